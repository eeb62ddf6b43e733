/* SPDX-License-Identifier: MIT */
/*
 * What it costs that a name survives the broker: publishes that are answered when the service manager holds the buffer,
 * beside volatile ones; and how long a broker that was killed takes to come back with many buffers.
 */
#ifndef BENCH_SURVIVAL_H
#define BENCH_SURVIVAL_H

#include "samples.h"

#define SURVIVAL_SET 64u /* publishes in flight, or in a message */

struct survival_plan {
    const char *address; /* of a broker that its service manager starts again. It is killed */
    unsigned rounds;     /* of SURVIVAL_SET publishes of each kind */
    unsigned kills;
    unsigned buffers; /* that are there when it is killed */
};

enum survival_kind { SURVIVAL_SINGLE, SURVIVAL_FLIGHT, SURVIVAL_BATCH, SURVIVAL_KINDS };

struct survival_figure {
    const char *key, *meaning;
    unsigned spread;                   /* publishes that a time is of */
    struct samples fleeting, survives; /* times of volatile ones, and of those that survive */
};

struct survival {
    struct survival_figure figure[SURVIVAL_KINDS];
    struct samples back;    /* from kill -9 to the first answer */
    struct samples restore; /* from the start of the new broker to that */
    unsigned buffers;       /* that came back each time */
    uint64_t took_ns;
};

/* -1 where it failed; it has been said why. */
int survival_take(struct survival *survival, const struct survival_plan *plan);
void survival_free(struct survival *survival);

/* cpu: that of the bench. */
void survival_print_table(const struct survival *survival, int cpu);
void survival_print_json(const struct survival *survival);

#endif
