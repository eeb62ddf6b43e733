/* SPDX-License-Identifier: MIT */
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "handover.h"
#include "memfd.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

/*
 * The child runs in our memory until it executes, while we wait: nothing is copied, however big we are. ThreadSanitizer
 * takes the child's steps for our own then, so under it memory is copied, and what goes wrong in there is told by the
 * exit status only.
 */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define SHARED_MEMORY 0
#else
#define SHARED_MEMORY (CLONE_VM | CLONE_VFORK)
#endif

/* "LISTEN_PID=" and a number. */
#define PID_TEXT 32
/* Status of a child that could not execute the program, and where in its report the reason is, behind the nonce. */
#define NOT_EXECUTED 127
#define ERROR_AT     8
/* What is killed closes its descriptors first; where that does not end, nobody waits for it. */
#define DEATH_MS 200

/* ---- The environment --------------------------------------------------------------------------------------------- */

static bool is_named(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

/* Sockets are handed over by number. And who only tries has nothing to notify of. */
static bool is_for_us_alone(const char *entry, bool on_trial)
{
    static const char *const listen[] = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", HANDOVER_VARIABLE,
                                         TRIAL_VARIABLE};
    static const char *const notify[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};

    for (size_t i = 0; i < sizeof(listen) / sizeof(listen[0]); i++)
        if (is_named(entry, listen[i]))
            return true;
    for (size_t i = 0; on_trial && i < sizeof(notify) / sizeof(notify[0]); i++)
        if (is_named(entry, notify[i]))
            return true;
    return false;
}

static char *number_entry(const char *name, int number)
{
    char *entry = NULL;
    return asprintf(&entry, "%s=%d", name, number) < 0 ? NULL : entry;
}

/*
 * The first two are owned; all others belong to somebody else. An old program that knows nothing of handovers must not
 * take itself for a broker of its own, which might take the address away: it meets a LISTEN_FDS that is no number.
 */
char **trial_environment(int handover, int report, char *listen_pid)
{
    static char listen_fds[] = "LISTEN_FDS=handover";
    bool on_trial = report >= 0;
    size_t count = 0, n = 2;

    while (environ && environ[count])
        count++;
    char **made = calloc(count + 5, sizeof(*made));
    if (!made)
        return NULL;
    made[0] = number_entry(HANDOVER_VARIABLE, handover);
    made[1] = number_entry(TRIAL_VARIABLE, report);
    if (!made[0] || !made[1]) {
        trial_environment_free(made);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (!is_for_us_alone(environ[i], on_trial))
            made[n++] = environ[i];
    if (listen_pid) {
        made[n++] = listen_pid;
        made[n++] = listen_fds;
    }
    return made;
}

void trial_environment_free(char **environment)
{
    if (!environment)
        return;
    free(environment[0]);
    free(environment[1]);
    free(environment);
}

/* ---- Execution --------------------------------------------------------------------------------------------------- */

void trial_pass_on(const struct handover *handover, bool inherit)
{
    int flags = inherit ? 0 : FD_CLOEXEC;

    for (size_t i = 0; i < handover->count; i++)
        fcntl(handover->descriptors[i], F_SETFD, flags);
    fcntl(handover->fd, F_SETFD, flags);
}

int trial_execute(int program, char **argv, char **environment)
{
    syscall(SYS_execveat, program, "", argv, environment, AT_EMPTY_PATH);
    return -errno;
}

/* ---- The child --------------------------------------------------------------------------------------------------- */

/* Its descriptors and signals are its own. */
struct child {
    const struct handover *handover;
    int program, report;
    char **argv, **environment;
    char listen_pid[PID_TEXT];
    int error;
};

/* Handlers of ours must not run in there; what we ignore stays ignored. */
static void reset_signals(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD};
    sigset_t none;

    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        signal(handled[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int run(void *argument)
{
    struct child *child = argument;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* it would hold the listening sockets */
    snprintf(child->listen_pid, sizeof(child->listen_pid), "LISTEN_PID=%d", (int)getpid());
    trial_pass_on(child->handover, true);
    fcntl(child->report, F_SETFD, 0);
    reset_signals();
    child->error = trial_execute(child->program, child->argv, child->environment);
    (void)!pwrite(child->report, &child->error, sizeof(child->error), ERROR_AT);
    _exit(NOT_EXECUTED);
}

static int start(struct trial *trial, struct child *child)
{
    static char stack[64 << 10] __attribute__((aligned(16)));
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    trial->pid = clone(run, stack + sizeof(stack), SHARED_MEMORY | CLONE_PIDFD | SIGCHLD, child, &trial->pidfd);
    int r = trial->pid < 0 ? -errno : child->error;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (r == 0 && trial->pidfd < 0)
        r = -ENOSYS; /* before Linux 5.2 */
    return r;
}

void trial_init(struct trial *trial)
{
    *trial = (struct trial){.pid = -1, .pidfd = -1, .report = -1};
}

int trial_begin(struct trial *trial, int program, char **argv, const struct handover *handover)
{
    struct child child = {.handover = handover, .program = program, .argv = argv};

    trial_init(trial);
    trial->nonce = handover->nonce;
    trial->report = memfd_create_spec(&(struct memfd_spec){.label = "sealbuf-trial", .mode = 0600});
    if (trial->report < 0)
        return trial->report;
    child.report = trial->report;
    child.environment = trial_environment(handover->fd, trial->report, child.listen_pid);
    int r = child.environment ? start(trial, &child) : -ENOMEM;
    trial_environment_free(child.environment);
    return r;
}

static bool is_stop(int signal_number)
{
    return signal_number == SIGTERM || signal_number == SIGINT;
}

bool trial_has_worked(struct trial *trial, char cause[TRIAL_CAUSE])
{
    uint64_t nonce = 0;
    int status = 0, error = 0;

    pid_t ended = waitpid(trial->pid, &status, 0);
    trial->pid = -1;
    if (ended < 0)
        snprintf(cause, TRIAL_CAUSE, "nobody knows how it ended: %s", strerror(errno));
    else if (WIFSIGNALED(status) && (trial->was_stopped = is_stop(WTERMSIG(status))))
        snprintf(cause, TRIAL_CAUSE, "was ended by signal %d (%s), as is done to all processes of a service that stops",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WIFSIGNALED(status))
        snprintf(cause, TRIAL_CAUSE, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == NOT_EXECUTED &&
             pread(trial->report, &error, sizeof(error), ERROR_AT) == sizeof(error))
        snprintf(cause, TRIAL_CAUSE, "the kernel cannot execute it: %s; install a sealbufd there and try again",
                 error == -ENOENT ? "it is a script, or its interpreter is missing" : strerror(-error));
    else if (WEXITSTATUS(status) != 0)
        snprintf(cause, TRIAL_CAUSE, "exited with status %d; the broker's log, before this line, says why",
                 WEXITSTATUS(status));
    else if (pread(trial->report, &nonce, sizeof(nonce), 0) != sizeof(nonce) || nonce != trial->nonce)
        snprintf(cause, TRIAL_CAUSE, "exited without having taken over anything; is it a sealbufd?");
    else
        return true;
    return false;
}

void trial_end(struct trial *trial)
{
    if (trial->pid > 0 && trial->pidfd >= 0) {
        syscall(SYS_pidfd_send_signal, trial->pidfd, SIGKILL, NULL, 0);
        poll(&(struct pollfd){.fd = trial->pidfd, .events = POLLIN}, 1, DEATH_MS);
        waitpid(trial->pid, NULL, WNOHANG);
    }
    close_quietly(trial->pidfd);
    close_quietly(trial->report);
    trial_init(trial);
}
