/* SPDX-License-Identifier: MIT */
#include "samples.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int samples_init(struct samples *samples, size_t room)
{
    samples->count = 0;
    samples->room = room;
    samples->ns = malloc(room * sizeof(*samples->ns));
    if (!samples->ns)
        return -ENOMEM;
    /* Touched now, so that no page fault is ever taken between two readings of the clock. */
    memset(samples->ns, 0, room * sizeof(*samples->ns));
    return 0;
}

void samples_free(struct samples *samples)
{
    free(samples->ns);
    *samples = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void samples_sort(struct samples *samples)
{
    if (samples->count)
        qsort(samples->ns, samples->count, sizeof(*samples->ns), compare);
}

uint64_t samples_percentile(const struct samples *sorted, double percent)
{
    if (sorted->count == 0)
        return 0;
    double exact = percent / 100 * (double)sorted->count;
    size_t rank = (size_t)exact;
    if ((double)rank < exact)
        rank++;
    if (rank < 1)
        rank = 1;
    if (rank > sorted->count)
        rank = sorted->count;
    return sorted->ns[rank - 1];
}

uint64_t samples_clock_cost(void)
{
    uint64_t ns[1001];
    struct samples samples = {.ns = ns, .room = 1001};

    while (samples.count < samples.room)
        TIMED(&samples, 0);
    samples_sort(&samples);
    return samples_percentile(&samples, 50);
}
