/* SPDX-License-Identifier: MIT */
/* bench: what a hand-off costs beyond what the kernel costs. See docs/performance.md. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "complain.h"
#include "options.h"
#include "realtime.h"
#include "report.h"
#include "users.h"

enum { EXIT_USAGE = 2 };

/* That come back when the broker was killed: a service manager keeps 4096 descriptors for the unit. */
#define SURVIVAL_BUFFERS 3968u

/* The sealbufd beside this program, or else the one in the working directory, as in a build tree. */
static void find_broker(char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    if (!slash || (size_t)snprintf(path, size, "%s/sealbufd", self) >= size || access(path, X_OK) < 0)
        snprintf(path, size, "./sealbufd");
}

static int take_figures(const struct options *options, const char *broker, struct results *results)
{
    static struct figures figures;
    const struct plan plan = {.broker = broker,
                              .only = options->only,
                              .iterations = options->iterations,
                              .live = options->live,
                              .budget_ns = options->budget_ns};

    results->figures = &figures;
    return figures_take(&figures, &plan);
}

static bool can_be_realtime(void)
{
    bool can = realtime_begin(0, 1);

    if (can)
        realtime_end(0);
    return can;
}

static int take_stalls(const struct options *options, const char *broker, struct results *results)
{
    static struct stalls stalls;
    static struct stall_plan plan;

    plan = (struct stall_plan){.broker = broker,
                               .only = options->only,
                               .rounds = options->stall_rounds,
                               .run = options->stall_run,
                               .small = options->quick || options->figures,
                               .realtime = !options->normal_priority && can_be_realtime(),
                               .several_users = users_are_there(),
                               .together = options->together,
                               .cpu = results->setting->cpu,
                               .broker_cpu = results->setting->other_cpu};
    results->stall_plan = &plan;
    results->stalls = &stalls;
    return stalls_take(&stalls, &plan);
}

static int take_survival(const struct options *options, struct results *results)
{
    static struct survival survival;
    const struct survival_plan plan = {.address = options->survival,
                                       .rounds = options->survival_rounds,
                                       .kills = options->quick ? 1 : 5,
                                       .buffers = SURVIVAL_BUFFERS};

    results->survival = &survival;
    return survival_take(&survival, &plan);
}

static int run(const struct options *options, const char *broker)
{
    struct setting setting;
    struct results results = {.setting = &setting};
    int r = setting_prepare(&setting, options->cpu, options->survival ? options->survival : broker);

    if (r == 0 && options->figures)
        r = take_figures(options, broker, &results);
    if (r == 0 && options->stalls)
        r = take_stalls(options, broker, &results);
    if (r == 0 && options->survival)
        r = take_survival(options, &results);
    if (r == 0)
        r = options->json ? report_json(&results) : report_table(&results);
    if (results.figures)
        figures_free(results.figures);
    if (results.stalls)
        stalls_free(results.stalls);
    if (results.survival)
        survival_free(results.survival);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options options;
    char found[PATH_MAX];

    enum options_outcome outcome = options_parse(&options, argc, argv);
    if (outcome != OPTIONS_RUN)
        return outcome == OPTIONS_DONE ? EXIT_SUCCESS : EXIT_USAGE;
    const char *broker = options.broker ? options.broker : getenv("SEALBUFD");
    if (!broker) {
        find_broker(found, sizeof(found));
        broker = found;
    }
    children_watch_signals();
    int status = run(&options, broker);
    if (interrupted())
        fprintf(stderr, "bench: interrupted\n");
    return status;
}
