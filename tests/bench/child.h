/* SPDX-License-Identifier: MIT */
/*
 * The processes that the bench starts. Each is known by its pid until it is reaped; none outlives the bench: a signal
 * that ends the bench is passed on to them by pid, and the kernel kills them where the bench itself is killed.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* From now on SIGINT, SIGTERM and SIGHUP kill the children and set what `interrupted` tells. */
void children_watch_signals(void);
bool interrupted(void);

/* Runs body(argument) in a new process, which exits with what it returns. The pid, or -errno. */
pid_t child_start(int (*body)(void *), void *argument);

/* Asks it to end, kills it where it does not within two seconds, and reaps it. 0 and less: nothing to do. */
void child_stop(pid_t pid);

#endif
