/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN 8
#define PATIENCE 200 /* looks, 10 ms apart */

static volatile pid_t children[CHILDREN];
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    int saved = errno;

    (void)signal;
    stop = 1;
    for (unsigned i = 0; i < CHILDREN; i++)
        if (children[i] > 0)
            kill(children[i], SIGTERM);
    errno = saved;
}

void children_watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void)
{
    return stop;
}

/* The handler must neither miss a child nor signal a pid that has been reaped and may be somebody else's. */
static void hold_signals(sigset_t *before)
{
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    sigprocmask(SIG_BLOCK, &ours, before);
}

static void become_child(pid_t parent, const sigset_t *mask)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(1);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

pid_t child_start(int (*body)(void *), void *argument)
{
    pid_t parent = getpid();
    sigset_t before;
    unsigned slot = 0;

    while (slot < CHILDREN && children[slot] > 0)
        slot++;
    if (slot == CHILDREN)
        return -EAGAIN;
    hold_signals(&before);
    pid_t pid = fork();
    if (pid == 0) {
        become_child(parent, &before);
        _exit(body(argument));
    }
    int error = errno;
    if (pid > 0)
        children[slot] = pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid < 0 ? -error : pid;
}

static void forget(pid_t pid)
{
    for (unsigned i = 0; i < CHILDREN; i++)
        if (children[i] == pid)
            children[i] = 0;
}

void child_stop(pid_t pid)
{
    const struct timespec a_moment = {.tv_nsec = 10000000};
    sigset_t before;
    pid_t reaped = 0;

    if (pid <= 0)
        return;
    hold_signals(&before);
    kill(pid, SIGTERM);
    for (unsigned i = 0; i < PATIENCE && (reaped = waitpid(pid, NULL, WNOHANG)) == 0; i++)
        nanosleep(&a_moment, NULL);
    if (reaped == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    forget(pid);
    sigprocmask(SIG_SETMASK, &before, NULL);
}
