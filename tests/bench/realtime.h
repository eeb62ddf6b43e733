/* SPDX-License-Identifier: MIT */
/*
 * Ahead of everything else on its CPU: what other processes of the machine do then, and when the scheduler lets whom
 * run, is not part of a time.
 */
#ifndef BENCH_REALTIME_H
#define BENCH_REALTIME_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * For the thread with this id (0: this one), not for those that it starts later. Where that is not allowed (sched(7),
 * RLIMIT_RTPRIO): false.
 */
bool realtime_begin(pid_t thread, int priority);
void realtime_end(pid_t thread);

/* The opposite, for this process: it runs when no other one wants to. */
void realtime_yield(void);

#endif
