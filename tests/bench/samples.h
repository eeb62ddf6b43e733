/* SPDX-License-Identifier: MIT */
/* Times of single operations, and what can be said of many of them. The room is there before the first is taken. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct samples {
    uint64_t *ns;
    size_t count, room;
};

/* -ENOMEM. */
int samples_init(struct samples *samples, size_t room);
void samples_free(struct samples *samples);

/* In place, ascending. */
void samples_sort(struct samples *samples);
/* The smallest time that `percent` of all do not exceed (nearest rank). 0 where there are none. Sort first. */
uint64_t samples_percentile(const struct samples *sorted, double percent);

/* What two readings of the clock, one right after the other, differ by at the median: it is part of every sample. */
uint64_t samples_clock_cost(void);

static inline uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Beyond the room nothing is kept. */
static inline void samples_add(struct samples *samples, uint64_t ns)
{
    if (samples->count < samples->room)
        samples->ns[samples->count++] = ns;
}

/* What `call`, an expression of type int, returns; its time is added to the samples. This is all that is ever timed. */
#define TIMED(samples, call)                                                                                           \
    __extension__({                                                                                                    \
        uint64_t start_ = now_ns();                                                                                    \
        int result_ = (call);                                                                                          \
        samples_add(samples, now_ns() - start_);                                                                       \
        result_;                                                                                                       \
    })

#endif
