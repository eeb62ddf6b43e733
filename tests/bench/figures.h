/* SPDX-License-Identifier: MIT */
/*
 * The figures, and how they are taken: in rounds, in each of which every figure has a run by sealbuf and then one by
 * the bare server, so that whatever the machine does meanwhile hits all of them alike.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdbool.h>

#include "sides.h"

enum where { WITH_ONE_LIVE, WITH_MANY_LIVE, STAGES };

struct figure {
    const char *key;     /* for programs, and --only */
    const char *meaning; /* for people */
    enum where where;
    run_fn *by_sealbuf, *by_bare;
    unsigned run;    /* operations in a run */
    unsigned spread; /* buffers that each of them handles: times are given for one */
    bool wanted;
    struct samples sealbuf, bare;
};

struct plan {
    const char *broker;  /* the program */
    const char *only;    /* one figure's key, or NULL for all */
    unsigned iterations; /* of each operation whose `spread` is 1 */
    unsigned live;       /* buffers of the stage with many */
    uint64_t budget_ns;  /* no round begins after so long; 0: there is no such end */
};

struct figures {
    struct figure *figure;
    unsigned count;
    unsigned rounds, live;
    uint64_t took_ns;
};

/* NULL where no figure has this key. */
struct figure *figures_find(const char *key);

/* Takes all that the plan wants; sorts the samples. -1 where it failed; it has been said why. */
int figures_take(struct figures *figures, const struct plan *plan);
void figures_free(struct figures *figures);

#endif
