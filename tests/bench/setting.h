/* SPDX-License-Identifier: MIT */
/* What the figures were taken on. */
#ifndef BENCH_SETTING_H
#define BENCH_SETTING_H

#include <stdint.h>

struct setting {
    char kernel[160], cpu_model[128], broker[256];
    int cpu;
    int other_cpu;     /* where there is one; else the same */
    uint64_t clock_ns; /* part of every time: two readings of the clock */
};

/*
 * Pins this process, and with it what it starts, to one CPU (-1: the last that it may run on), and raises its limit of
 * open files to the hard one. -1 where the CPU is not to be had; it has been said why.
 */
int setting_prepare(struct setting *setting, int cpu, const char *broker);

#endif
