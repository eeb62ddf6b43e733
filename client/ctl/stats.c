/* SPDX-License-Identifier: MIT */
/* sealbufctl stats: the broker's figures, and those of one's own uid. */
#include <inttypes.h>

#include "broker.h"
#include "command.h"
#include "display.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "table.h"

/* What is counted, of everybody and of oneself. */
struct figure {
    const char *name;
    uint64_t used, limit, own, own_limit;
};

#define FIGURES 4
static void figures_of(const struct sealbuf_stats *stats, struct figure figures[FIGURES])
{
#define FIGURE(what)                                                                                                   \
    {                                                                                                                  \
#what, stats->what, stats->what##_limit, stats->uid_##what, stats->uid_##what##_limit                          \
    }
    const struct figure all[FIGURES] = {FIGURE(buffers), FIGURE(bytes), FIGURE(names), FIGURE(connections)};
#undef FIGURE

    for (size_t i = 0; i < FIGURES; i++)
        figures[i] = all[i];
}

static void add_amount(struct table *table, uint64_t amount, bool bytes)
{
    char text[DISPLAY_SIZE];

    if (amount == UINT64_MAX)
        table_add(table, "none");
    else if (bytes)
        table_add(table, "%s", display_bytes(amount, text));
    else
        table_add(table, "%" PRIu64, amount);
}

static int print_figures(const struct sealbuf_stats *stats)
{
    static const char *const headers[] = {"", "USED", "LIMIT", "YOURS", "YOUR LIMIT"};
    CLEANUP(table_free)
    struct table table = {.alignment = "lrrrr"};
    struct figure figures[FIGURES];

    figures_of(stats, figures);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        table_add(&table, "%s", headers[i]);
    for (size_t i = 0; i < FIGURES; i++) {
        bool bytes = i == 1;
        table_add(&table, "%s", figures[i].name);
        add_amount(&table, figures[i].used, bytes);
        add_amount(&table, figures[i].limit, bytes);
        add_amount(&table, figures[i].own, bytes);
        add_amount(&table, figures[i].own_limit, bytes);
    }
    return table_print(&table);
}

static int print_text(const struct sealbuf_stats *stats)
{
    CLEANUP(table_free)
    struct table table = {.alignment = "ll"};
    char text[DISPLAY_SIZE], user[DISPLAY_SIZE];

    table_add(&table, "Broker:");
    table_add(&table, "sealbufd %s, process %u, up %s", stats->version, stats->pid,
              display_duration(stats->uptime_ns, text));
    table_add(&table, "Requests:");
    table_add(&table, "%" PRIu64 ", %" PRIu64 " refused, %" PRIu64 " peers disconnected", stats->requests,
              stats->refused, stats->disconnects);
    table_add(&table, "Pending:");
    table_add(&table, "%" PRIu64 " jobs, %" PRIu64 " queued descriptors", stats->jobs, stats->queued_descriptors);
    table_add(&table, "Largest buffer:");
    add_amount(&table, stats->buffer_size_limit, true);
    table_add(&table, "You:");
    table_add(&table, "%s (%u)", display_user(stats->uid, user), stats->uid);
    int r = table_print(&table);
    putchar('\n');
    return r ? r : print_figures(stats);
}

static json_t *amounts(uint64_t used, uint64_t limit)
{
    return json_pack("{s:o, s:o}", "used", output_number(used), "limit", output_number(limit));
}

static json_t *describe(const struct sealbuf_stats *stats)
{
    json_t *user = json_pack("{s:I}", "uid", (json_int_t)stats->uid);
    json_t *object = json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", output_text(stats->version),
                               "pid", (json_int_t)stats->pid, "uptime_ns", output_number(stats->uptime_ns), "requests",
                               output_number(stats->requests), "refused", output_number(stats->refused), "disconnects",
                               output_number(stats->disconnects), "jobs", output_number(stats->jobs),
                               "queued_descriptors", output_number(stats->queued_descriptors), "buffer_size_limit",
                               output_number(stats->buffer_size_limit));
    struct figure figures[FIGURES];

    figures_of(stats, figures);
    for (size_t i = 0; i < FIGURES; i++) {
        json_object_set_new(object, figures[i].name, amounts(figures[i].used, figures[i].limit));
        json_object_set_new(user, figures[i].name, amounts(figures[i].own, figures[i].own_limit));
    }
    json_object_set_new(object, "user", user);
    return object;
}

int command_stats(const struct options *options)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    int r = broker_connect(options, &client);
    if (r)
        return r;
    r = sealbuf_stats(client, &stats);
    if (r < 0)
        return report_broker(client, r, "cannot get the broker's figures");
    if (options->json)
        return output_json(stdout, describe(&stats));
    return print_text(&stats);
}
