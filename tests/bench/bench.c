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
#include "report.h"

enum { EXIT_USAGE = 2 };

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

static int run(const struct options *options, const char *broker)
{
    const struct plan plan = {.broker = broker,
                              .only = options->only,
                              .iterations = options->iterations,
                              .live = options->live,
                              .budget_ns = options->budget_ns};
    struct setting setting;
    struct figures figures;

    if (setting_prepare(&setting, options->cpu, broker) < 0)
        return EXIT_FAILURE;
    int r = figures_take(&figures, &plan);
    if (r == 0)
        r = options->json ? report_json(&figures, &setting) : report_table(&figures, &setting);
    figures_free(&figures);
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
