/* SPDX-License-Identifier: MIT */
/*
 * Whether a client can keep another one waiting: an innocent client's pings while all is quiet, and while a hostile
 * client of another user does what it can; in rounds of both, so that what the machine does meanwhile hits both.
 */
#ifndef BENCH_STALLS_H
#define BENCH_STALLS_H

#include "hostile.h"
#include "samples.h"

#define STALL_ROUNDS_AT_MOST 64u
/* The 99th percentile under load may be so many times that in quiet. */
#define STALL_RATIO 2.0

struct stall {
    const struct load *load;
    bool wanted;
    bool skipped;                   /* it needs root */
    struct samples quiet, loaded;   /* of all rounds, sorted */
    uint64_t quiet_p99, loaded_p99; /* the median of those of the rounds */
    double rate;                    /* what the load did in a second */
    char note[80];
};

struct stall_plan {
    const char *broker;   /* the program */
    const char *only;     /* one load's key, or NULL for all */
    unsigned rounds, run; /* and pings in each run */
    bool small;
    bool realtime; /* the broker's loop and the innocent client are: see realtime.h */
    int cpu, broker_cpu;
};

struct stalls {
    struct stall *stall;
    unsigned count;
    unsigned rounds, run;
    uint64_t took_ns;
};

/* Whether there is a load with this key. */
bool stalls_know(const char *key);
/* -1 where it failed; it has been said why. */
int stalls_take(struct stalls *stalls, const struct stall_plan *plan);
void stalls_free(struct stalls *stalls);
double stall_ratio(const struct stall *stall);

#endif
