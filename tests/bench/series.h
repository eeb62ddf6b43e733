/* SPDX-License-Identifier: MIT */
/*
 * Times that were taken in rounds. What the machine does meanwhile spoils some of the rounds: so the 99th percentile is
 * that of the round in the middle, which was left alone, and not that of all times, which the bad rounds decide.
 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include "samples.h"

#define SERIES_ROUNDS 64u

struct series {
    struct samples samples;      /* of all rounds */
    uint64_t p99[SERIES_ROUNDS]; /* of each round */
    unsigned rounds;
    size_t round_from; /* where in the samples the round in hand begins */
};

/* -ENOMEM. */
int series_init(struct series *series, size_t room);
void series_free(struct series *series);

/* Ends the round in hand. -ENOMEM. */
int series_end_round(struct series *series);
/* Forgets it instead. */
void series_drop_round(struct series *series);
/* After the last one: sorts all that there is. */
void series_finish(struct series *series);

/* Of a finished one. */
uint64_t series_p99(const struct series *series);
uint64_t series_percentile(const struct series *series, double percent);

#endif
