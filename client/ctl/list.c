/* SPDX-License-Identifier: MIT */
/* sealbufctl list: the names that are published, one a line. */
#include "broker.h"
#include "command.h"
#include "display.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "table.h"

static int add_row(const struct sealbuf_info *info, void *userdata)
{
    struct table *table = userdata;
    char size[DISPLAY_SIZE], user[DISPLAY_SIZE], time[DISPLAY_SIZE], seals[SEALBUF_SEALS_TEXT];

    if (table->count == 0)
        for (const char *const *header =
                 (const char *const[]){"SIZE", "SEALS", "MODE", "SURVIVES", "OWNER", "PUBLISHED", "NAME", NULL};
             *header; header++)
            table_add(table, "%s", *header);
    table_add(table, "%s", display_bytes(info->size, size));
    table_add(table, "%s", sealbuf_seals_format(info->seals, seals));
    table_add(table, "%04o%s", info->mode, info->flags & SEALBUF_INFO_TAKE ? "+take" : "");
    table_add(table, "%s", info->flags & SEALBUF_INFO_SURVIVES ? "yes" : "no");
    table_add(table, "%s", display_user(info->owner, user));
    table_add(table, "%s", display_time(info->published_ns, time));
    table_add(table, "%s", info->name);
    return 0;
}

static int add_object(const struct sealbuf_info *info, void *userdata)
{
    if (json_array_append_new(userdata, output_info(info)) < 0)
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
        .flags = (options->has_owner ? SEALBUF_GET_OF_OWNER : 0) | (options->all ? SEALBUF_LIST_ALL_OWNERS : 0),
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
    struct table table = {.alignment = "rllllll"};

    if (options->json)
        return list_json(options);
    int r = list(options, add_row, &table);
    return r ? r : table_print(&table);
}
