/* SPDX-License-Identifier: MIT */
/* sealbufctl put: a file, or a stream, becomes a published buffer. */
#include <errno.h>
#include <unistd.h>

#include "broker.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "source.h"
#include "transfer.h"

static int report_publish(const sealbuf_client *client, int error, const char *name)
{
    if (error == -SEALBUF_ERR_EXISTS) {
        report_failure("cannot put '%s': the name is bound already; choose another name, or give --replace", name);
        return STATUS_EXISTS;
    }
    return report_broker(client, error, "cannot put '%s'", name);
}

/* Publishing is what decides. But a name that cannot be had is better refused before gigabytes are read. */
static int check_name(sealbuf_client *client, const struct options *options, const char *name)
{
    struct sealbuf_target target = {.struct_size = sizeof(target), .name = name};
    const struct sealbuf_info *info;

    int r = sealbuf_stat(client, &target, &info);
    if (r == 0 && !options->replace)
        return report_publish(client, -SEALBUF_ERR_EXISTS, name);
    return r == 0 || r == -SEALBUF_ERR_NOT_FOUND ? 0 : report_publish(client, r, name);
}

/* SHRINK and GROW are there from birth where they are wanted, but a stream must grow first. */
static int create(sealbuf_client *client, const struct options *options, const struct source *source,
                  sealbuf_buffer **buffer)
{
    bool stream = source->size == TRANSFER_TO_END;
    struct sealbuf_create_options create = {
        .struct_size = sizeof(create),
        .size = stream ? 0 : source->size,
        .label = options->label,
        .metadata = options->metadata,
    };

    if (stream || !(options->seals & SEALBUF_SEAL_GROW))
        create.flags |= SEALBUF_CREATE_GROWABLE;
    if (!(options->seals & SEALBUF_SEAL_SHRINK))
        create.flags |= SEALBUF_CREATE_SHRINKABLE;
    int r = sealbuf_create(client, buffer, &create);
    return r < 0 ? report_broker(client, r, "cannot create a buffer for '%s'", options->operands[0]) : 0;
}

/*
 * A stream may have no end, and a buffer that can grow has nobody in its way but the memory of this machine: so it may
 * become as big as the broker would let it be at once.
 */
static int room_for_stream(sealbuf_client *client, const char *name, uint64_t *room)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};

    int r = sealbuf_stats(client, &stats);
    if (r < 0)
        return report_broker(client, r, "cannot put '%s'", name);
    uint64_t left = stats.uid_bytes < stats.uid_bytes_limit ? stats.uid_bytes_limit - stats.uid_bytes : 0;
    *room = left < stats.buffer_size_limit ? left : stats.buffer_size_limit;
    return 0;
}

static int report_fill(const struct transfer *transfer, int r, const struct source *source, const char *name)
{
    if (r == -EFBIG && !transfer->failed_writing && transfer->done > transfer->most)
        return report_failure(
            "cannot put '%s': '%s' has more than the %llu bytes that the broker's limits leave; remove "
            "what is not needed, or have buffer-size or uid-bytes raised",
            name, source->name, (unsigned long long)transfer->most);
    if (transfer->failed_writing)
        return report_system(-r, "free memory, or raise the limits of this process (ulimit -a)",
                             "cannot fill the buffer for '%s'", name);
    return report_system(-r, "give a file that can be read", "cannot read '%s'", source->name);
}

static int fill(const sealbuf_buffer *buffer, const struct source *source, const char *name, uint64_t room)
{
    struct transfer transfer = {
        .way = source->pipe          ? TRANSFER_SPLICE
               : source->offset >= 0 ? TRANSFER_SENDFILE
                                     : TRANSFER_COPY,
        .from = source->fd,
        .to = sealbuf_buffer_fd(buffer),
        .offset = source->offset,
        .size = source->size,
        .most = room,
    };

    int r = transfer_run(&transfer);
    if (r < 0)
        return report_fill(&transfer, r, source, name);
    r = source_verify(source, transfer.done);
    if (r)
        return r;
    /* A writer may get this very descriptor: it should find its offset at the start. */
    if (lseek(transfer.to, 0, SEEK_SET) < 0)
        return report_system(errno, "", "cannot rewind the buffer for '%s'", name);
    /* Who shares our standard input goes on reading behind what we took, as after cat(1). */
    if (source->offset >= 0)
        lseek(source->fd, transfer.offset, SEEK_SET);
    return 0;
}

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
    struct sealbuf_publish_options publish = {
        .struct_size = sizeof(publish),
        .name = name,
        .seals = options->seals,
        .mode = options->mode,
        .flags = (options->replace ? SEALBUF_PUBLISH_REPLACE : 0) | (options->take ? SEALBUF_PUBLISH_TAKE : 0) |
                 (options->has_group ? SEALBUF_PUBLISH_GROUP : 0) |
                 (options->is_volatile ? SEALBUF_PUBLISH_VOLATILE : 0) |
                 (options->or_volatile ? SEALBUF_PUBLISH_OR_VOLATILE : 0),
        .group = options->group,
    };
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

int command_put(const struct options *options)
{
    const char *name = options->operands[0];
    CLEANUP(source_close)
    struct source source;
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(cleanup_buffer)
    sealbuf_buffer *buffer = NULL;
    uint64_t room = 0;

    int r = source_open(&source, options->operand_count > 1 ? options->operands[1] : NULL);
    if (!r)
        r = broker_connect(options, &client);
    if (!r)
        r = check_name(client, options, name);
    if (!r && source.size == TRANSFER_TO_END)
        r = room_for_stream(client, name, &room);
    if (!r)
        r = create(client, options, &source, &buffer);
    if (!r)
        r = fill(buffer, &source, name, room);
    if (!r)
        r = publish(client, options, buffer);
    return r;
}
