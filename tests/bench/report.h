/* SPDX-License-Identifier: MIT */
/* The figures on standard output: a table for people, or JSON for programs. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "figures.h"
#include "setting.h"

/* The samples are sorted. -1 where standard output takes no more; it has been said why. */
int report_table(const struct figures *figures, const struct setting *setting);
int report_json(const struct figures *figures, const struct setting *setting);

#endif
