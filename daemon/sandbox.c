/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <config-build.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"
#include "log.h"

/* linux/prctl.h of Debian 12 is older than these (Linux 6.3). */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1UL
#endif

/* Their runtimes attach to their own process as debuggers do, execute symbolizers, and write reports. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#else
#define HAS_SANITIZER                                                                                                  \
    (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer))
#endif

/*
 * No core dump and no debugger, and what is in its /proc/PID (fd, mem, maps, environ) is not for other processes of the
 * same uid: they would find the read-write descriptor of every buffer there.
 */
static bool hide_memory(void)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
        return true;
    log_line(LOG_WARNING, "processes of the same uid can read the broker's memory and open its descriptors: %s",
             strerror(errno));
    return false;
}

/* Also what lets a process without privileges have a filter of system calls. */
static bool refuse_privileges(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return true;
    log_line(LOG_WARNING, "this kernel does not let a process refuse new privileges: %s", strerror(errno));
    return false;
}

/* The ambient ones go with the inheritable ones: capabilities(7). The calls have no wrappers in libc. */
static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}}, held[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (syscall(SYS_capget, &header, held) == 0 && memcmp(held, none, sizeof(none)) == 0)
        return true; /* a unit's own filter may forbid capset(2) */
    if (syscall(SYS_capset, &header, none) == 0)
        return true;
    log_line(LOG_WARNING, "the broker keeps the capabilities that it was started with: %s", strerror(errno));
    return false;
}

/* Memory is either written or executed, for good. Kernels before 6.3 do not know this. */
static bool separate_code_from_data(void)
{
    return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0;
}

static bool is_filtered;

bool sandbox_is_filtered(void)
{
    return is_filtered;
}

void sandbox_hide(void)
{
    if (!HAS_SANITIZER)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void sandbox_go_on(void)
{
    hide_memory();
    is_filtered = true;
}

void sandbox_enter(const struct config *config)
{
    if (!config->sandbox) {
        log_line(LOG_NOTICE, "no sandbox, as configured");
        return;
    }
    if (HAS_SANITIZER) {
        log_line(LOG_NOTICE, "no sandbox: the sanitizer in this build does not work in one");
        return;
    }
    bool hidden = hide_memory(), refused = refuse_privileges(), dropped = drop_capabilities();
    bool separated = separate_code_from_data();
    bool filtered = is_filtered = filter_load(); /* which refuses most of prctl(2), too, so it is the last */
    if (!separated && !filtered) /* the filter, too, keeps memory that was written from being executed */
        log_line(LOG_NOTICE, "this kernel cannot keep the broker's memory from becoming executable");
    if (hidden && refused && dropped && filtered)
        log_line(LOG_INFO, "sandboxed: memory hidden, no capabilities, no new privileges, system calls filtered");
}
