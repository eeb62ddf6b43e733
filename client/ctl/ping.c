/* SPDX-License-Identifier: MIT */
/* sealbufctl ping: how long a round trip to the broker takes. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "broker.h"
#include "command.h"
#include "display.h"
#include "options.h"
#include "output.h"
#include "report.h"

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static int measure(sealbuf_client *client, const struct options *options, uint64_t *times)
{
    char text[DISPLAY_SIZE];
    CLEANUP(cleanup_free)
    char *address = display_harmless(sealbuf_address(client));

    for (unsigned i = 0; i < options->count; i++) {
        uint64_t begun = now();
        int r = sealbuf_ping(client);
        if (r < 0)
            return report_broker(client, r, "no answer to ping %u", i + 1);
        times[i] = now() - begun;
        if (options->json)
            continue;
        if (printf("%s answered in %s\n", address, display_duration(times[i], text)) < 0)
            return report_output(errno);
    }
    return 0;
}

/* times are sorted. */
static void print_summary(const uint64_t *times, unsigned count)
{
    char least[DISPLAY_SIZE], median[DISPLAY_SIZE], most[DISPLAY_SIZE];

    if (count == 1)
        return;
    printf("%u round trips: least %s, median %s, most %s\n", count, display_duration(times[0], least),
           display_duration(times[count / 2], median), display_duration(times[count - 1], most));
}

static int print_json(const sealbuf_client *client, const uint64_t *times, unsigned count)
{
    return output_json(stdout, json_pack("{s:o, s:I, s:o, s:o, s:o}", "address", output_text(sealbuf_address(client)),
                                         "count", (json_int_t)count, "least_ns", output_number(times[0]), "median_ns",
                                         output_number(times[count / 2]), "most_ns", output_number(times[count - 1])));
}

int command_ping(const struct options *options)
{
    CLEANUP(cleanup_free)
    uint64_t *times = calloc(options->count, sizeof(*times));
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    if (!times)
        report_out_of_memory();
    int r = broker_connect(options, &client);
    if (!r)
        r = measure(client, options, times);
    if (r)
        return r;
    qsort(times, options->count, sizeof(*times), by_size);
    if (options->json)
        return print_json(client, times, options->count);
    print_summary(times, options->count);
    return 0;
}
