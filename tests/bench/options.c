/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "figures.h"
#include "stalls.h"
#include "survival.h"

#define SECOND           1000000000ULL
#define ITERATIONS       100000u
#define QUICK_ITERATIONS 20000u
#define BUDGET           (45 * SECOND)
#define QUICK_BUDGET     (6 * SECOND)
#define GREATEST_REQUEST 10000000ul
/* Of the stalls: rounds, and pings in a run, of which there are two in a round; alone, beside the figures, quickly. */
#define STALL_ROUNDS        5u
#define STALL_ROUNDS_BESIDE 3u
#define STALL_ROUNDS_QUICK  2u
#define STALL_RUN           2000u
#define STALL_RUN_QUICK     500u
#define LIVE                10000u
/* Of what survives: rounds of SURVIVAL_SET publishes of each kind. */
#define SURVIVAL_ROUNDS       150u
#define SURVIVAL_ROUNDS_QUICK 10u
#define GREATEST_LIVE         (BARE_SLOTS - LIVE_SLOTS)

enum option_id {
    OPT_BROKER = 256,
    OPT_CPU,
    OPT_ITERATIONS,
    OPT_LIVE,
    OPT_ONLY,
    OPT_JSON,
    OPT_QUICK,
    OPT_STALLS,
    OPT_SURVIVAL,
    OPT_NORMAL_PRIORITY,
    OPT_TOGETHER
};

static const struct option long_options[] = {
    {"broker", required_argument, NULL, OPT_BROKER},
    {"cpu", required_argument, NULL, OPT_CPU},
    {"iterations", required_argument, NULL, OPT_ITERATIONS},
    {"live", required_argument, NULL, OPT_LIVE},
    {"only", required_argument, NULL, OPT_ONLY},
    {"json", no_argument, NULL, OPT_JSON},
    {"quick", no_argument, NULL, OPT_QUICK},
    {"stalls", no_argument, NULL, OPT_STALLS},
    {"survival", required_argument, NULL, OPT_SURVIVAL},
    {"normal-priority", no_argument, NULL, OPT_NORMAL_PRIORITY},
    {"together", no_argument, NULL, OPT_TOGETHER},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    printf("Usage: bench [OPTION]...\n"
           "Measures sealbufd, through libsealbuf, beside a server that only makes the system calls; and how long an\n"
           "innocent client waits for an answer while a hostile one keeps the broker busy (the stalls).\n\n"
           "  --broker PATH      the sealbufd to measure (default: $SEALBUFD, else the one beside this program,\n"
           "                     else ./sealbufd)\n"
           "  --quick            under half a minute; the p99 columns say little then, and the loads are small\n"
           "  --iterations N     how often each operation is done on each side (default: %u, or as often as fits\n"
           "                     in %llu s), in steps of 100\n"
           "  --live N           buffers for the figure with many of them (default: %u, at most %u), as far as the\n"
           "                     limit of open files allows\n"
           "  --only KEY         take one figure, or the stalls by one load, by its key in the JSON\n"
           "  --cpu N            pin all to this CPU (default: the last one that this process may run on); the\n"
           "                     brokers of the stalls to the first other one\n"
           "  --json             for programs: times in nanoseconds\n"
           "  --help             show this and exit\n\n"
           "The stalls:\n"
           "  --stalls           take them only: with loads of full size, and %u pings in quiet and under each load\n"
           "                     instead of %u; --iterations says how many, in steps of %u\n"
           "  --together         the innocent client on the broker's CPU; see docs/performance.md\n"
           "  --normal-priority  no real-time priority for the broker's loop and the innocent client (default: with\n"
           "                     it where that is allowed, so that what else the machine does is not measured)\n\n"
           "Survival:\n"
           "  --survival ADDRESS take only what it costs that names survive the broker, by the broker that listens\n"
           "                     there. It is killed (SIGKILL), and its service manager must start it again; for a\n"
           "                     machine to try things on. --iterations: publishes of each kind, in steps of 64\n\n"
           "Exits with 0, with 1 where a measurement failed, with 2 where the command line is wrong.\n",
           ITERATIONS, BUDGET / SECOND, LIVE, GREATEST_LIVE, STALL_ROUNDS * STALL_RUN, STALL_ROUNDS_BESIDE * STALL_RUN,
           STALL_RUN);
}

static bool parse_number(const char *text, unsigned long least, unsigned long greatest, unsigned long *value)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return !errno && *end == '\0' && *value >= least && *value <= greatest;
}

/* NULL, or what was expected of the option's argument. */
static const char *apply(struct options *options, int option, const char *argument)
{
    unsigned long number;

    switch (option) {
    case OPT_BROKER:
        options->broker = argument;
        return NULL;
    case OPT_CPU:
        if (!parse_number(argument, 0, CPU_SETSIZE - 1, &number))
            return "the number of a CPU";
        options->cpu = (int)number;
        return NULL;
    case OPT_ITERATIONS:
        if (!parse_number(argument, 1, GREATEST_REQUEST, &number))
            return "a number from 1 to 10000000";
        options->iterations = (unsigned)number;
        return NULL;
    case OPT_LIVE:
        if (!parse_number(argument, 1, GREATEST_LIVE, &number))
            return "a number of buffers as --help shows";
        options->live = (unsigned)number;
        return NULL;
    case OPT_ONLY:
        options->only = argument;
        return figures_find(argument) || stalls_know(argument)
                   ? NULL
                   : "the key of a figure or a load, such as ping, create, publish, get or pins";
    case OPT_STALLS:
        options->stalls_only = true;
        return NULL;
    case OPT_SURVIVAL:
        options->survival = argument;
        return NULL;
    case OPT_NORMAL_PRIORITY:
        options->normal_priority = true;
        return NULL;
    case OPT_TOGETHER:
        options->together = true;
        return NULL;
    case OPT_QUICK:
        options->quick = true;
        return NULL;
    default: /* OPT_JSON */
        options->json = true;
        return NULL;
    }
}

static const char *option_name(int option)
{
    for (const struct option *o = long_options; o->name; o++)
        if (o->val == option)
            return o->name;
    return "";
}

/* Which parts there are, and how long the stalls take. */
static void settle_stalls(struct options *options)
{
    bool of_figure = options->only && figures_find(options->only), of_load = options->only && !of_figure;

    options->figures = !options->stalls_only && !of_load && !options->survival;
    options->stalls = !of_figure && !options->survival;
    options->stall_run = options->quick ? STALL_RUN_QUICK : STALL_RUN;
    options->stall_rounds = options->figures ? STALL_ROUNDS_BESIDE : STALL_ROUNDS;
    if (options->quick)
        options->stall_rounds = STALL_ROUNDS_QUICK;
    if (options->iterations && !options->figures)
        options->stall_rounds = (options->iterations + options->stall_run - 1) / options->stall_run;
    if (options->stall_rounds > SERIES_ROUNDS)
        options->stall_rounds = SERIES_ROUNDS;
}

static void settle_survival(struct options *options)
{
    options->survival_rounds = options->quick ? SURVIVAL_ROUNDS_QUICK : SURVIVAL_ROUNDS;
    if (options->iterations)
        options->survival_rounds = (options->iterations + SURVIVAL_SET - 1) / SURVIVAL_SET;
}

/* What was not said. Whoever names a number of iterations gets them all, however long it takes. */
static void settle(struct options *options)
{
    settle_stalls(options);
    settle_survival(options);
    if (options->iterations)
        return;
    options->iterations = options->quick ? QUICK_ITERATIONS : ITERATIONS;
    options->budget_ns = options->quick ? QUICK_BUDGET : BUDGET;
}

enum options_outcome options_parse(struct options *options, int argc, char **argv)
{
    int option;

    *options = (struct options){.cpu = -1, .live = LIVE};
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return OPTIONS_DONE;
        }
        if (option == '?') { /* getopt has said what is wrong */
            fprintf(stderr, "Try 'bench --help'.\n");
            return OPTIONS_WRONG;
        }
        const char *expected = apply(options, option, optarg);
        if (expected) {
            fprintf(stderr, "bench: --%s '%s': expected %s\n", option_name(option), optarg, expected);
            return OPTIONS_WRONG;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "bench: unexpected argument '%s'; try 'bench --help'\n", argv[optind]);
        return OPTIONS_WRONG;
    }
    settle(options);
    return OPTIONS_RUN;
}
