/* SPDX-License-Identifier: MIT */
/* sealbufctl stat: all that the broker knows of buffers. */
#include <inttypes.h>
#include <string.h>

#include "broker.h"
#include "command.h"
#include "display.h"
#include "each.h"
#include "options.h"
#include "output.h"
#include "table.h"

#define ROW(table, name, ...) (table_add(table, "%s", name ":"), table_add(table, __VA_ARGS__))

static void add_metadata(struct table *table, const struct sealbuf_info *info)
{
    const char *pair = info->metadata, *end = pair + info->metadata_size;

    for (; pair < end; pair += strlen(pair) + 1)
        ROW(table, "Metadata", "%s", pair);
}

static void add_generation(struct table *table, const struct sealbuf_info *info)
{
    if (info->oldest && info->oldest < info->generation)
        ROW(table, "Generation", "%" PRIu64 " (kept from %" PRIu64 " on)", info->generation, info->oldest);
    else
        ROW(table, "Generation", "%" PRIu64, info->generation);
}

static void add_lease(struct table *table, const struct sealbuf_info *info)
{
    char text[DISPLAY_SIZE];

    if (info->flags & SEALBUF_INFO_CONNECTED)
        ROW(table, "Lease", "until its publisher's connection ends");
    else if (info->expire_ms)
        ROW(table, "Lease", "%s left", display_milliseconds(info->expire_ms, text));
    if (info->flags & SEALBUF_INFO_EVICTABLE)
        ROW(table, "Evictable", "least recently used first, where a limit is met");
}

static int print_text(const struct sealbuf_info *info)
{
    CLEANUP(table_free)
    struct table table = {.alignment = "ll"};
    char text[DISPLAY_SIZE], seals[SEALBUF_SEALS_TEXT];

    ROW(&table, "Name", "%s", info->name);
    ROW(&table, "Id", "%" PRIu64, info->id);
    add_generation(&table, info);
    ROW(&table, "Size", "%" PRIu64 " (%s)", info->size, display_bytes(info->size, text));
    ROW(&table, "Allocated", "%" PRIu64 " (%s)", info->allocated, display_bytes(info->allocated, text));
    ROW(&table, "Seals", "%s (0x%02x)", sealbuf_seals_format(info->seals, seals), info->seals);
    ROW(&table, "Mode", "%04o", info->mode);
    ROW(&table, "Owner", "%s (%u)", display_user(info->owner, text), info->owner);
    ROW(&table, "Group", "%u", info->group);
    ROW(&table, "Kind", "%s%s%s", info->flags & SEALBUF_INFO_ADOPTED ? "adopted" : "created",
        info->flags & SEALBUF_INFO_EXECUTABLE ? ", executable" : "",
        info->flags & SEALBUF_INFO_HUGE ? ", huge pages" : "");
    ROW(&table, "Survives", "%s", info->flags & SEALBUF_INFO_SURVIVES ? "a crash or restart of the broker" : "no");
    if (info->flags & SEALBUF_INFO_TAKE)
        ROW(&table, "Hand-over", "whoever gets it by this name takes it");
    ROW(&table, "Created", "%s by process %u", display_time(info->created_ns, text), info->creator_pid);
    if (*info->creator_security)
        ROW(&table, "Security", "%s", info->creator_security);
    ROW(&table, "Published", "%s", display_time(info->published_ns, text));
    add_lease(&table, info);
    if (*info->label)
        ROW(&table, "Label", "%s", info->label);
    add_metadata(&table, info);
    return table_print(&table);
}

static int stat_name(sealbuf_client *client, const struct options *options, const char *name, json_t **object)
{
    struct sealbuf_target target = broker_target(options, name);
    const struct sealbuf_info *info;
    int r = sealbuf_stat(client, &target, &info);

    if (r < 0)
        return r;
    if (options->json) {
        *object = output_details(info);
        return 0;
    }
    if (name != options->operands[0])
        putchar('\n');
    return print_text(info);
}

int command_stat(const struct options *options)
{
    return each_name(options, "stat", stat_name);
}
