/* SPDX-License-Identifier: MIT */
/* sealbufctl stat: all that the broker knows of buffers. */
#include <inttypes.h>
#include <string.h>

#include "broker.h"
#include "command.h"
#include "display.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "table.h"

#define ROW(table, name, ...) (table_add(table, "%s", name ":"), table_add(table, __VA_ARGS__))

static void add_metadata(struct table *table, const struct sealbuf_info *info)
{
    const char *pair = info->metadata, *end = pair + info->metadata_size;

    for (; pair < end; pair += strlen(pair) + 1)
        ROW(table, "Metadata", "%s", pair);
}

static int print_text(const struct sealbuf_info *info)
{
    CLEANUP(table_free)
    struct table table = {.alignment = "ll"};
    char text[DISPLAY_SIZE], seals[SEALBUF_SEALS_TEXT];

    ROW(&table, "Name", "%s", info->name);
    ROW(&table, "Id", "%" PRIu64, info->id);
    ROW(&table, "Generation", "%" PRIu64, info->generation);
    ROW(&table, "Size", "%" PRIu64 " (%s)", info->size, display_bytes(info->size, text));
    ROW(&table, "Allocated", "%" PRIu64 " (%s)", info->allocated, display_bytes(info->allocated, text));
    ROW(&table, "Seals", "%s (0x%02x)", sealbuf_seals_format(info->seals, seals), info->seals);
    ROW(&table, "Mode", "%04o", info->mode);
    ROW(&table, "Owner", "%s (%u)", display_user(info->owner, text), info->owner);
    ROW(&table, "Group", "%u", info->group);
    ROW(&table, "Kind", "%s%s%s", info->flags & SEALBUF_INFO_ADOPTED ? "adopted" : "created",
        info->flags & SEALBUF_INFO_EXECUTABLE ? ", executable" : "",
        info->flags & SEALBUF_INFO_HUGE ? ", huge pages" : "");
    ROW(&table, "Created", "%s by process %u", display_time(info->created_ns, text), info->creator_pid);
    ROW(&table, "Published", "%s", display_time(info->published_ns, text));
    if (*info->label)
        ROW(&table, "Label", "%s", info->label);
    add_metadata(&table, info);
    return table_print(&table);
}

static int stat_name(sealbuf_client *client, const struct options *options, const char *name, json_t *array)
{
    struct sealbuf_target target = broker_target(options, name);
    const struct sealbuf_info *info;

    int r = sealbuf_stat(client, &target, &info);
    if (r < 0) {
        json_array_append_new(array, output_error(name, r));
        return report_broker(client, r, "cannot stat '%s'", name);
    }
    if (options->json) {
        json_array_append_new(array, output_details(info));
        return 0;
    }
    if (name != options->operands[0])
        putchar('\n');
    return print_text(info);
}

int command_stat(const struct options *options)
{
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    int status = broker_connect(options, &client);
    if (status)
        return status;
    for (size_t i = 0; i < options->operand_count; i++) {
        int r = stat_name(client, options, options->operands[i], array);
        status = status ? status : r;
    }
    if (options->json)
        output_json(stdout, json_incref(array));
    return status;
}
