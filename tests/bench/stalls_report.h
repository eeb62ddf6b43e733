/* SPDX-License-Identifier: MIT */
/* What came out of the stalls, for people and for programs. */
#ifndef BENCH_STALLS_REPORT_H
#define BENCH_STALLS_REPORT_H

#include "stalls.h"

void stalls_print_table(const struct stalls *stalls, const struct stall_plan *plan);
/* One member of an object, behind others. */
void stalls_print_json(const struct stalls *stalls, const struct stall_plan *plan);

#endif
