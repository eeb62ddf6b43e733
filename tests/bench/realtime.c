/* SPDX-License-Identifier: MIT */
#include "realtime.h"

#include <sched.h>

bool realtime_begin(pid_t thread, int priority)
{
    const struct sched_param parameter = {.sched_priority = priority};
    return sched_setscheduler(thread, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter) == 0;
}

void realtime_end(pid_t thread)
{
    const struct sched_param none = {.sched_priority = 0};
    sched_setscheduler(thread, SCHED_OTHER, &none);
}

void realtime_yield(void)
{
    const struct sched_param none = {.sched_priority = 0};
    sched_setscheduler(0, SCHED_IDLE, &none);
}
