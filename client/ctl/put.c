/* SPDX-License-Identifier: MIT */
/* sealbufctl put: a file, or a stream, becomes a published buffer; or many of them do, in one step. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "command.h"
#include "load.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "source.h"

static int report_publish(const sealbuf_client *client, int error, const char *name)
{
    if (error == -SEALBUF_ERR_EXISTS) {
        report_failure("cannot put '%s': the name is bound already; choose another name, or give --replace", name);
        return STATUS_EXISTS;
    }
    return report_broker(client, error, "cannot put '%s'", name);
}

static int check_generation(const struct options *options, const char *name, uint64_t generation)
{
    if (generation == options->if_generation)
        return 0;
    if (generation == 0)
        report_failure("cannot put '%s': it is not bound, and so not at generation %" PRIu64
                       "; look at what has become of it, and try again",
                       name, options->if_generation);
    else
        report_failure("cannot put '%s': it is at generation %" PRIu64 ", not %" PRIu64
                       "; get that, and try again with its number",
                       name, generation, options->if_generation);
    return STATUS_GENERATION;
}

/* Publishing is what decides. But a name that cannot be had is better refused before gigabytes are read. */
static int check_name(sealbuf_client *client, const struct options *options, const char *name)
{
    struct sealbuf_target target = {.struct_size = sizeof(target), .name = name};
    const struct sealbuf_info *info;

    int r = sealbuf_stat(client, &target, &info);
    if (r < 0 && r != -SEALBUF_ERR_NOT_FOUND)
        return report_publish(client, r, name);
    if (options->compare)
        return check_generation(options, name, r == 0 ? info->generation : 0);
    return r == 0 && !options->replace ? report_publish(client, -SEALBUF_ERR_EXISTS, name) : 0;
}

static struct sealbuf_publish_options publish_options(const struct options *options, const char *name)
{
    return (struct sealbuf_publish_options){
        .struct_size = sizeof(struct sealbuf_publish_options),
        .name = name,
        .seals = options->seals,
        .mode = options->mode,
        .flags = (options->replace ? SEALBUF_PUBLISH_REPLACE : 0) | (options->take ? SEALBUF_PUBLISH_TAKE : 0) |
                 (options->has_group ? SEALBUF_PUBLISH_GROUP : 0) |
                 (options->is_volatile ? SEALBUF_PUBLISH_VOLATILE : 0) |
                 (options->or_volatile ? SEALBUF_PUBLISH_OR_VOLATILE : 0) |
                 (options->compare ? SEALBUF_PUBLISH_COMPARE : 0) | (options->atomic ? SEALBUF_PUBLISH_ATOMIC : 0) |
                 (options->evictable ? SEALBUF_PUBLISH_EVICTABLE : 0),
        .group = options->group,
        .expected = options->if_generation,
        .expire_ms = options->expire_ms,
        .keep = options->keep,
    };
}

/* ---- One --------------------------------------------------------------------------------------------------------- */

/* Somebody may have taken it by now: then nothing is there to survive. */
static int find_out_survival(sealbuf_client *client, const sealbuf_buffer *buffer, bool *survives)
{
    struct sealbuf_target target = {.struct_size = sizeof(target), .id = sealbuf_buffer_id(buffer)};
    const struct sealbuf_info *info;

    int r = sealbuf_stat(client, &target, &info);
    *survives = r == 0 && info->flags & SEALBUF_INFO_SURVIVES;
    return r == -SEALBUF_ERR_NOT_FOUND ? 0 : r;
}

static json_t *describe(const sealbuf_buffer *buffer, const char *name, uint64_t generation, bool survives)
{
    uint64_t size = 0;
    uint32_t seals = 0;

    if (sealbuf_buffer_size(buffer, &size) < 0 || sealbuf_buffer_seals(buffer, &seals) < 0)
        return NULL;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:b}", "name", output_text(name), "id",
                     output_number(sealbuf_buffer_id(buffer)), "generation", output_number(generation), "size",
                     output_number(size), "seals", output_seals(seals), "seals_raw", (json_int_t)seals, "survives",
                     survives);
}

static int publish(sealbuf_client *client, const struct options *options, sealbuf_buffer *buffer)
{
    const char *name = options->operands[0];
    struct sealbuf_publish_options publish = publish_options(options, name);
    uint64_t generation;
    bool survives;

    int r = sealbuf_publish(client, buffer, &publish, &generation);
    if (r < 0)
        return report_publish(client, r, name);
    if (!options->json)
        return 0;
    r = find_out_survival(client, buffer, &survives);
    if (r < 0)
        return report_broker(client, r, "'%s' is published, but whether it survives the broker cannot be told", name);
    return output_json(stdout, describe(buffer, name, generation, survives));
}

static int put_one(const struct options *options)
{
    const char *name = options->operands[0];
    CLEANUP(source_close)
    struct source source;
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(cleanup_buffer)
    sealbuf_buffer *buffer = NULL;

    int r = source_open(&source, options->operand_count > 1 ? options->operands[1] : NULL);
    if (!r)
        r = broker_connect(options, &client);
    if (!r)
        r = check_name(client, options, name);
    if (!r)
        r = load_buffer(client, options, name, &source, &buffer);
    return r ? r : publish(client, options, buffer);
}

/* ---- Many, in one step ---------------------------------------------------------------------------------------------
 */

/* What `put --atomic` is about: one element for each operand, NAME=FILE. */
struct batch {
    size_t count;
    char **names;
    sealbuf_buffer **buffers;
    struct sealbuf_publish_options *publish;
};

static void free_batch(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->names[i]);
        sealbuf_buffer_free(batch->buffers[i]);
    }
    free(batch->names);
    free(batch->buffers);
    free(batch->publish);
}

static void make_batch(struct batch *batch, const struct options *options)
{
    size_t count = options->operand_count;

    *batch = (struct batch){
        .names = calloc(count, sizeof(*batch->names)),
        .buffers = calloc(count, sizeof(sealbuf_buffer *)),
        .publish = calloc(count, sizeof(*batch->publish)),
    };
    if (!batch->names || !batch->buffers || !batch->publish)
        report_out_of_memory();
    for (; batch->count < count; batch->count++) {
        const char *operand = options->operands[batch->count];
        char *name = strndup(operand, strcspn(operand, "="));
        if (!name)
            report_out_of_memory();
        batch->names[batch->count] = name;
        batch->publish[batch->count] = publish_options(options, name);
    }
}

static int load_batch(sealbuf_client *client, const struct options *options, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const char *path = strchr(options->operands[i], '=') + 1;
        CLEANUP(source_close)
        struct source source;
        int r = source_open(&source, path);
        if (!r)
            r = load_buffer(client, options, batch->names[i], &source, &batch->buffers[i]);
        if (r)
            return r;
    }
    return 0;
}

/* Another one may have replaced it by now: then its generation is nobody's business here. */
static int describe_batch(sealbuf_client *client, const struct batch *batch)
{
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    for (size_t i = 0; i < batch->count; i++) {
        struct sealbuf_target target = {.struct_size = sizeof(target), .name = batch->names[i]};
        const struct sealbuf_info *info;
        int r = sealbuf_stat(client, &target, &info);
        bool same = r == 0 && info->id == sealbuf_buffer_id(batch->buffers[i]);
        if (r < 0 && r != -SEALBUF_ERR_NOT_FOUND)
            return report_broker(client, r, "all are published, but '%s' cannot be described", batch->names[i]);
        json_t *object = describe(batch->buffers[i], batch->names[i], same ? info->generation : UINT64_MAX,
                                  same && info->flags & SEALBUF_INFO_SURVIVES);
        json_array_append_new(array, object);
    }
    return output_json(stdout, json_incref(array));
}

static int put_batch(const struct options *options)
{
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(free_batch)
    struct batch batch;

    make_batch(&batch, options);
    int r = broker_connect(options, &client);
    for (size_t i = 0; i < batch.count && !r; i++)
        r = check_name(client, options, batch.names[i]);
    if (!r)
        r = load_batch(client, options, &batch);
    if (r)
        return r;
    r = sealbuf_publish_many(client, batch.buffers, NULL, batch.publish, batch.count);
    if (r < 0)
        return broker_report_batch(client, r, "put", batch.names, batch.count);
    return options->json ? describe_batch(client, &batch) : 0;
}

int command_put(const struct options *options)
{
    return options->atomic ? put_batch(options) : put_one(options);
}
