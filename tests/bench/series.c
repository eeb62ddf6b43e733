/* SPDX-License-Identifier: MIT */
#include "series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int series_init(struct series *series, size_t room)
{
    *series = (struct series){.rounds = 0};
    return samples_init(&series->samples, room);
}

void series_free(struct series *series)
{
    samples_free(&series->samples);
}

int series_end_round(struct series *series)
{
    size_t count = series->samples.count - series->round_from;
    struct samples round;

    if (samples_init(&round, count ? count : 1) < 0)
        return -ENOMEM;
    round.count = count;
    memcpy(round.ns, series->samples.ns + series->round_from, count * sizeof(*round.ns));
    samples_sort(&round);
    if (series->rounds < SERIES_ROUNDS)
        series->p99[series->rounds++] = samples_percentile(&round, 99);
    series->round_from = series->samples.count;
    samples_free(&round);
    return 0;
}

void series_drop_round(struct series *series)
{
    series->samples.count = series->round_from;
}

void series_finish(struct series *series)
{
    struct samples p99 = {.ns = series->p99, .count = series->rounds, .room = SERIES_ROUNDS};

    samples_sort(&p99);
    samples_sort(&series->samples);
}

uint64_t series_p99(const struct series *series)
{
    return series->rounds ? series->p99[(series->rounds - 1) / 2] : 0;
}

uint64_t series_percentile(const struct series *series, double percent)
{
    return samples_percentile(&series->samples, percent);
}
