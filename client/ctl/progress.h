/* SPDX-License-Identifier: MIT */
/* How far a transfer is, on a terminal: shown once it has taken a second, taken away at the end. */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    bool shown;       /* standard error is a terminal */
    uint64_t total;   /* UINT64_MAX: nobody knows */
    uint64_t started; /* nanoseconds of CLOCK_MONOTONIC */
    uint64_t drawn;   /* when last; 0: never */
    size_t width;     /* of what stands on the terminal */
};

void progress_start(struct progress *progress, uint64_t total);
void progress_update(struct progress *progress, uint64_t done);
void progress_clear(struct progress *progress);

#endif
