/* SPDX-License-Identifier: MIT */
/* sealbufctl list: the names that are published, one a line. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "command.h"
#include "display.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "table.h"

/* How long the name will be there: what is left, until its publisher goes, or, `-`, until it is removed. */
static void add_lease(struct table *table, const struct sealbuf_info *info)
{
    char text[DISPLAY_SIZE] = "-";

    if (info->flags & SEALBUF_INFO_CONNECTED)
        strcpy(text, "connection");
    else if (info->expire_ms)
        display_milliseconds(info->expire_ms, text);
    table_add(table, "%s%s", text, info->flags & SEALBUF_INFO_EVICTABLE ? "+evictable" : "");
}

/* The current one; and before it the oldest that can still be got, where there are former ones. */
static void add_generations(struct table *table, const struct sealbuf_info *info)
{
    if (info->oldest && info->oldest < info->generation)
        table_add(table, "%" PRIu64 "-%" PRIu64, info->oldest, info->generation);
    else
        table_add(table, "%" PRIu64, info->generation);
}

/* Metadata is told where it was asked for; it goes before the name, with blanks between the pairs. */
static void add_metadata(struct table *table, const struct sealbuf_info *info)
{
    const char *pair = info->metadata, *end = pair + info->metadata_size;
    CLEANUP(cleanup_free)
    char *text = strdup("");

    if (!text)
        report_out_of_memory();
    for (; pair < end; pair += strlen(pair) + 1) {
        char *longer;
        if (asprintf(&longer, "%s%s%s", text, *text ? " " : "", pair) < 0)
            report_out_of_memory();
        free(text);
        text = longer;
    }
    table_add(table, "%s", *text ? text : "-");
}

static void add_header(struct table *table, bool details)
{
    static const char *const header[] = {"SIZE", "SEALS", "MODE", "SURVIVES", "LEASE", "GEN", "OWNER", "PUBLISHED"};

    for (size_t i = 0; i < sizeof(header) / sizeof(header[0]); i++)
        table_add(table, "%s", header[i]);
    if (details)
        table_add(table, "METADATA");
    table_add(table, "NAME");
}

static int add_row(const struct sealbuf_info *info, struct table *table, bool details)
{
    char size[DISPLAY_SIZE], user[DISPLAY_SIZE], time[DISPLAY_SIZE], seals[SEALBUF_SEALS_TEXT];

    if (table->count == 0)
        add_header(table, details);
    table_add(table, "%s", display_bytes(info->size, size));
    table_add(table, "%s", sealbuf_seals_format(info->seals, seals));
    table_add(table, "%04o%s", info->mode, info->flags & SEALBUF_INFO_TAKE ? "+take" : "");
    table_add(table, "%s", info->flags & SEALBUF_INFO_SURVIVES ? "yes" : "no");
    add_lease(table, info);
    add_generations(table, info);
    table_add(table, "%s", display_user(info->owner, user));
    table_add(table, "%s", display_time(info->published_ns, time));
    if (details)
        add_metadata(table, info);
    table_add(table, "%s", info->name);
    return 0;
}

static int add_plain_row(const struct sealbuf_info *info, void *userdata)
{
    return add_row(info, userdata, false);
}

static int add_detailed_row(const struct sealbuf_info *info, void *userdata)
{
    return add_row(info, userdata, true);
}

static int add_object(const struct sealbuf_info *info, void *userdata)
{
    if (json_array_append_new(userdata, output_details(info)) < 0)
        report_out_of_memory();
    return 0;
}

static int list(const struct options *options, sealbuf_list_fn *add, void *userdata)
{
    const char *prefix = options->operand_count > 0 ? options->operands[0] : "";
    struct sealbuf_list_options list = {
        .struct_size = sizeof(list),
        .prefix = prefix,
        .owner = options->owner,
        .flags = (options->has_owner ? SEALBUF_GET_OF_OWNER : 0) | (options->all ? SEALBUF_LIST_ALL_OWNERS : 0) |
                 (options->details || options->json ? SEALBUF_LIST_DETAILS : 0),
    };
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    int r = broker_connect(options, &client);
    if (r)
        return r;
    r = sealbuf_list(client, &list, add, userdata);
    return r < 0 ? report_broker(client, r, *prefix ? "cannot list '%s'" : "cannot list%s", prefix) : 0;
}

static int list_json(const struct options *options)
{
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    int r = list(options, add_object, array);
    return r ? r : output_json(stdout, json_incref(array));
}

int command_list(const struct options *options)
{
    CLEANUP(table_free)
    struct table table = {.alignment = options->details ? "rlllllllll" : "rllllllll"};

    if (options->json)
        return list_json(options);
    int r = list(options, options->details ? add_detailed_row : add_plain_row, &table);
    return r ? r : table_print(&table);
}
