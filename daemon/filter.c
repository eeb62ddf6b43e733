/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <config-build.h>
#include <errno.h>
#include <string.h>

#include "log.h"

#if HAVE_SECCOMP
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * By name, since which calls there are depends on the architecture, and how new libseccomp is. Those that libc makes of
 * its own accord are among them, glibc's and musl's, new and old ones; the look-ups of users and groups are, too, which
 * may load libraries and ask daemons.
 */
static const char *const allowed[] = {
    /* clients, the service manager, the journal */
    "accept4", "connect", "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown",
    /* its store */
    "pipe2",
    /* buffers */
    "fallocate", "fchmod", "ftruncate", "ftruncate64", "memfd_create",
    /* the loop and its clock */
    "clock_getres", "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "epoll_ctl",
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "gettimeofday", "nanosleep", "poll", "ppoll", "ppoll_time64", "time",
    "timerfd_settime", "timerfd_settime64",
    /* files: those of /proc and of the configuration; logs, eventfds and libevent's pipe; its own socket at the end */
    "_llseek", "access", "close", "faccessat", "faccessat2", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64",
    "getcwd", "getdents", "getdents64", "lseek", "lstat", "lstat64", "newfstatat", "pread64", "read", "readlink",
    "readlinkat", "readv", "stat", "stat64", "statx", "unlink", "unlinkat", "write", "writev",
    /* memory */
    "brk", "madvise", "mremap", "munmap",
    /* threads and signals */
    "exit", "exit_group", "futex", "futex_time64", "gettid", "restart_syscall", "rseq", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list", "sigreturn",
    /* the process and its machine */
    "getegid", "geteuid", "getgid", "getpid", "getrandom", "getrlimit", "getuid", "sysinfo", "ugetrlimit", "uname",
    /* what a program begins with, see below: its threads' memory, its loop; and the end of its trial */
    "arch_prctl", "epoll_create1", "eventfd2", "pipe2", "set_thread_area", "set_tid_address", "set_tls", "signalfd",
    "signalfd4", "wait4", "waitid"};

/* Allowed where `of` the bits of an argument are `value`. The kernel, too, looks at 32 bits of an int only. */
struct condition {
    const char *call;
    unsigned argument;
    uint64_t of, value;
};

#define WHOLE_INT UINT32_MAX

#ifndef CLONE_PIDFD /* linux/sched.h of Linux 5.2 */
#define CLONE_PIDFD 0x00001000
#endif

/* Whoever opens cannot write: the one thing that the broker writes to a disk, it has written by now. */
#define OPEN_TO_WRITE (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
#define NEW_NAMESPACES                                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#if defined(__s390__)
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

#define FCNTL(command)                                                                                                 \
    {"fcntl", 1, WHOLE_INT, command},                                                                                  \
    {                                                                                                                  \
        "fcntl64", 1, WHOLE_INT, command                                                                               \
    }
#define IOCTL(request)                                                                                                 \
    {                                                                                                                  \
        "ioctl", 1, WHOLE_INT, request                                                                                 \
    }
/* A library that is loaded has code, but code that nobody can write. */
#if defined(__s390__) /* where the arguments are in memory, and none is negative */
#define MMAP(call)                                                                                                     \
    {                                                                                                                  \
        call, 0, (uint64_t)1 << 63, 0                                                                                  \
    }
#else
#define MMAP(call)                                                                                                     \
    {call, 2, PROT_EXEC, 0},                                                                                           \
    {                                                                                                                  \
        call, 2, PROT_EXEC | PROT_WRITE, PROT_EXEC                                                                     \
    }
#endif

static const struct condition conditions[] = {
    {"open", 1, OPEN_TO_WRITE, O_RDONLY},
    {"openat", 2, OPEN_TO_WRITE, O_RDONLY},
    {"socket", 0, WHOLE_INT, AF_UNIX},
    FCNTL(F_GETFD),
    FCNTL(F_SETFD),
    FCNTL(F_GETFL),
    FCNTL(F_SETFL),
    FCNTL(F_DUPFD),
    FCNTL(F_DUPFD_CLOEXEC),
    FCNTL(F_GET_SEALS),
    FCNTL(F_ADD_SEALS),
    IOCTL(SIOCOUTQ),
    IOCTL(FIONBIO),
    IOCTL(FIONREAD),
    IOCTL(TCGETS), /* isatty(3) */
    MMAP("mmap"),
    MMAP("mmap2"),
    {"mprotect", 2, PROT_EXEC, 0},
    {"clone", CLONE_FLAGS, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD},
    {"prlimit64", 0, WHOLE_INT, 0}, /* its own */
    /* a program that takes over (reexec.h): to execute it, in a child first, which ends with its parent or before */
    {"execveat", 4, WHOLE_INT, AT_EMPTY_PATH},
    {"clone", CLONE_FLAGS, UINT32_MAX, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD},
    {"pidfd_send_signal", 1, WHOLE_INT, SIGKILL},
    /* and what it does at its start that is not its work */
    {"prctl", 0, WHOLE_INT, PR_SET_NAME},
    {"socketpair", 0, WHOLE_INT, AF_UNIX},
};

struct filter {
    scmp_filter_ctx context;
    const char *failed; /* the call for which there could be no rule */
    int error;
};

/* A call that this architecture does not have needs no rule. */
static void add_rule(struct filter *filter, uint32_t action, const char *name, unsigned count,
                     const struct scmp_arg_cmp *comparison)
{
    int call = seccomp_syscall_resolve_name(name);

    if (call == __NR_SCMP_ERROR || filter->error < 0)
        return;
    filter->error = seccomp_rule_add_array(filter->context, action, call, count, comparison);
    if (filter->error < 0)
        filter->failed = name;
}

static void allow(struct filter *filter, const struct condition *condition)
{
    const struct scmp_arg_cmp comparison = {
        .arg = condition->argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = condition->of, .datum_b = condition->value};

    add_rule(filter, SCMP_ACT_ALLOW, condition->call, 1, &comparison);
}

static void allow_prctl(struct filter *filter, uint64_t option, uint64_t argument)
{
    const struct scmp_arg_cmp comparisons[] = {{0, SCMP_CMP_MASKED_EQ, WHOLE_INT, option},
                                               {1, SCMP_CMP_EQ, argument, 0}};

    add_rule(filter, SCMP_ACT_ALLOW, "prctl", 2, comparisons);
}

static void add_rules(struct filter *filter)
{
    const struct condition kill_itself = {"tgkill", 0, WHOLE_INT, (uint64_t)getpid()}; /* abort(3) */

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        add_rule(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
        allow(filter, &conditions[i]);
    allow(filter, &kill_itself);
    allow_prctl(filter, PR_SET_DUMPABLE, 0);
    allow_prctl(filter, PR_SET_PDEATHSIG, SIGKILL);
    /* Its flags are in memory, where no filter sees them. Told that there is no such call, libc takes clone(2). */
    add_rule(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

/*
 * What is not allowed fails with EPERM. To kill the process would be stricter, and wrong: on somebody's libc the filter
 * may lack a call, and then everybody's buffers would go for a look-up that could have failed.
 */
static scmp_filter_ctx new_filter(void)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    if (!context)
        return NULL;
    seccomp_attr_set(context, SCMP_FLTATR_API_SYSRAWRC, 1); /* errors as the kernel tells them */
    /* There is one thread by now; should a library have started others, they are not to be left out. */
    seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1);
    /* No code of others runs in here: without this, kernels before 5.16 make the broker slower against such code. */
    seccomp_attr_set(context, SCMP_FLTATR_CTL_SSB, 1);
    /* What is made for each buffer comes first. Calls without a condition take the same time wherever they are. */
    seccomp_syscall_priority(context, SCMP_SYS(openat), 255);
    seccomp_syscall_priority(context, SCMP_SYS(fcntl), 254);
    return context;
}

bool filter_load(void)
{
    struct filter filter = {.context = new_filter(), .failed = ""};

    if (!filter.context) {
        log_line(LOG_WARNING,
                 "system calls are not filtered: libseccomp does not know this architecture, or has no memory");
        return false;
    }
    add_rules(&filter);
    int r = filter.error < 0 ? filter.error : seccomp_load(filter.context);
    seccomp_release(filter.context);
    if (r == 0)
        return true;
    log_line(LOG_WARNING,
             "system calls are not filtered: the kernel or the unit's own filter refuses it (seccomp(2)): %s%s%s",
             strerror(-r), filter.failed[0] ? ", at the rule for " : "", filter.failed);
    return false;
}

#else

bool filter_load(void)
{
    log_line(LOG_WARNING, "system calls are not filtered: this broker is built without libseccomp");
    return false;
}

#endif
