/* SPDX-License-Identifier: MIT */
/* The figures on standard output: a table for people, or JSON for programs. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "figures.h"
#include "setting.h"
#include "stalls.h"
#include "survival.h"

/* What was taken: each may be NULL. The samples are sorted. */
struct results {
    const struct setting *setting;
    struct figures *figures;
    struct stalls *stalls;
    const struct stall_plan *stall_plan;
    struct survival *survival;
};

/* -1 where standard output takes no more; it has been said why. */
int report_table(const struct results *results);
int report_json(const struct results *results);

#endif
