/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "display.h"
#include "report.h"

static json_t *hexadecimal(const char *bytes)
{
    size_t length = strlen(bytes);
    CLEANUP(cleanup_free)
    char *digits = malloc(2 * length + 1);

    if (!digits)
        return NULL;
    digits[0] = '\0';
    for (size_t i = 0; i < length; i++)
        sprintf(digits + 2 * i, "%02x", (unsigned char)bytes[i]);
    return json_pack("{s:s}", "hex", digits);
}

json_t *output_text(const char *text)
{
    /* NULL for what is not UTF-8: a JSON string cannot hold it. */
    json_t *string = json_string(text);

    return string ? string : hexadecimal(text);
}

json_t *output_number(uint64_t number)
{
    return number > INT64_MAX ? json_null() : json_integer((json_int_t)number);
}

json_t *output_seals(uint32_t seals)
{
    char text[SEALBUF_SEALS_TEXT], *rest = text;
    json_t *names = json_array();

    if (seals == 0)
        return names;
    sealbuf_seals_format(seals, text);
    for (char *name; (name = strsep(&rest, "|"));)
        json_array_append_new(names, json_string(name));
    return names;
}

json_t *output_time(uint64_t nanoseconds_since_epoch)
{
    char text[DISPLAY_SIZE];

    return nanoseconds_since_epoch ? json_string(display_time(nanoseconds_since_epoch, text)) : json_null();
}

static json_t *metadata(const struct sealbuf_info *info)
{
    const char *pair = info->metadata, *end = pair + info->metadata_size;
    json_t *object = json_object();

    for (; pair < end; pair += strlen(pair) + 1) {
        const char *equals = strchr(pair, '=');
        if (!equals)
            continue;
        CLEANUP(cleanup_free)
        char *key = strndup(pair, (size_t)(equals - pair));
        /* Keys may repeat; the first one counts. */
        if (key && !json_object_get(object, key))
            json_object_set_new(object, key, output_text(equals + 1));
    }
    return object;
}

/* What only a name has: who got the buffer by a token is told nothing of a name. */
static json_t *of_name(const struct sealbuf_info *info, json_t *value)
{
    if (info->name[0])
        return value;
    json_decref(value);
    return json_null();
}

static json_t *mode_text(uint32_t mode)
{
    char text[16];

    snprintf(text, sizeof(text), "%04o", mode);
    return json_string(text);
}

/* null where the broker does not know. */
static json_t *pidfd(const struct sealbuf_info *info)
{
    return info->creator_pidfd ? output_number(info->creator_pidfd) : json_null();
}

/* Who and when: apart, because one json_pack of all of it nobody could read. */
static int add_origin(json_t *object, const struct sealbuf_info *info)
{
    char user[DISPLAY_SIZE];
    CLEANUP(json_decrefp)
    json_t *origin =
        json_pack("{s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "owner", (json_int_t)info->owner, "owner_name",
                  output_text(display_user(info->owner, user)), "group", of_name(info, json_integer(info->group)),
                  "creator_pid", (json_int_t)info->creator_pid, "created", output_time(info->created_ns), "created_ns",
                  output_number(info->created_ns), "published", output_time(info->published_ns), "published_ns",
                  output_number(info->published_ns), "creator_pidfd", pidfd(info), "creator_security",
                  output_text(info->creator_security));

    return origin ? json_object_update(object, origin) : -1;
}

/* How long the name is there: null for no end, and where there is no name. */
static int add_lease(json_t *object, const struct sealbuf_info *info)
{
    CLEANUP(json_decrefp)
    json_t *lease = json_pack(
        "{s:o, s:o, s:b, s:b}", "oldest", of_name(info, output_number(info->oldest ? info->oldest : info->generation)),
        "expire_ms", info->expire_ms ? output_number(info->expire_ms) : json_null(), "evictable",
        !!(info->flags & SEALBUF_INFO_EVICTABLE), "until_close", !!(info->flags & SEALBUF_INFO_CONNECTED));

    return lease ? json_object_update(object, lease) : -1;
}

static json_t *describe(const struct sealbuf_info *info)
{
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:b, s:b, s:b, s:b, s:b}", "name",
                  of_name(info, output_text(info->name)), "id", output_number(info->id), "generation",
                  of_name(info, output_number(info->generation)), "size", output_number(info->size), "allocated",
                  output_number(info->allocated), "seals", output_seals(info->seals), "seals_raw",
                  (json_int_t)info->seals, "mode", of_name(info, mode_text(info->mode)), "label",
                  output_text(info->label), "adopted", !!(info->flags & SEALBUF_INFO_ADOPTED), "executable",
                  !!(info->flags & SEALBUF_INFO_EXECUTABLE), "huge", !!(info->flags & SEALBUF_INFO_HUGE), "take",
                  !!(info->flags & SEALBUF_INFO_TAKE), "survives", !!(info->flags & SEALBUF_INFO_SURVIVES));

    if (!object || (add_origin(object, info) == 0 && add_lease(object, info) == 0))
        return object;
    json_decref(object);
    return NULL;
}

json_t *output_details(const struct sealbuf_info *info)
{
    json_t *object = describe(info);

    json_object_set_new(object, "metadata", metadata(info));
    return object;
}

json_t *output_error(const char *name, int error)
{
    json_t *object = json_object();

    if (name)
        json_object_set_new(object, "name", output_text(name));
    json_object_set_new(object, "error", json_string(sealbuf_error_name(error)));
    json_object_set_new(object, "message", json_string(sealbuf_strerror(error)));
    return object;
}

json_t *output_change(const char *event, const struct sealbuf_info *info)
{
    char text[DISPLAY_SIZE];
    json_t *object = json_pack("{s:s}", "event", event);

    if (!info)
        return object;
    CLEANUP(json_decrefp)
    json_t *rest = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:I, s:I, s:o, s:o, s:o, s:b, s:b, s:b, s:o}", "name",
        output_text(info->name), "id", output_number(info->id), "generation", output_number(info->generation), "size",
        output_number(info->size), "seals", output_seals(info->seals), "seals_raw", (json_int_t)info->seals, "mode",
        mode_text(info->mode), "owner", (json_int_t)info->owner, "group", (json_int_t)info->group, "owner_name",
        output_text(display_user(info->owner, text)), "published_ns", output_number(info->published_ns), "expire_ms",
        info->expire_ms ? output_number(info->expire_ms) : json_null(), "take", !!(info->flags & SEALBUF_INFO_TAKE),
        "survives", !!(info->flags & SEALBUF_INFO_SURVIVES), "evictable", !!(info->flags & SEALBUF_INFO_EVICTABLE),
        "metadata", metadata(info));
    if (rest && json_object_update(object, rest) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static int print_json(FILE *stream, json_t *value, size_t flags)
{
    if (!value)
        report_out_of_memory();
    bool printed = json_dumpf(value, stream, flags) == 0 && fputc('\n', stream) != EOF;
    int error = errno;
    json_decref(value);
    return printed ? 0 : report_output(error);
}

int output_json_line(FILE *stream, json_t *value)
{
    return print_json(stream, value, JSON_COMPACT);
}

int output_json(FILE *stream, json_t *value)
{
    return print_json(stream, value, JSON_INDENT(2));
}
