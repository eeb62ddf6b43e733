/* SPDX-License-Identifier: MIT */
/* What the person at the terminal wants. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *broker; /* NULL: not said */
    const char *only;
    const char *survival; /* the address of a broker to kill; NULL: not wanted */
    int cpu;              /* -1: not said */
    unsigned iterations, live;
    uint64_t budget_ns;   /* 0: none */
    bool figures, stalls; /* which parts */
    unsigned stall_rounds, stall_run, survival_rounds;
    bool json, quick, stalls_only, normal_priority, together;
};

enum options_outcome { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

/* Reads the command line; prints --help, and what is wrong. */
enum options_outcome options_parse(struct options *options, int argc, char **argv);

#endif
