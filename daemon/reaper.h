/* SPDX-License-Identifier: MIT */
/*
 * Closes descriptors of buffers. The last close of a big one frees its pages, 40 ms a GiB: that is a job for a worker.
 * A descriptor that waits for its close still takes a slot in the table, so it is counted until it is gone.
 */
#ifndef DAEMON_REAPER_H
#define DAEMON_REAPER_H

#include <stddef.h>

#include "worker.h"

struct reaper {
    struct workers *workers;
    struct close_job *batch; /* gathers descriptors between reaper_begin and reaper_end */
    size_t pending;          /* descriptors that wait */
};

/* Closes fd, here where that takes no time, else on a worker. */
void reaper_close(struct reaper *reaper, int fd);

/* Between these two every descriptor goes to a worker, many in one job: for the end of a client that had many. */
void reaper_begin_batch(struct reaper *reaper);
void reaper_end_batch(struct reaper *reaper);

#endif
