/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <errno.h>
#include <unistd.h>

#include "broker.h"
#include "options.h"
#include "report.h"
#include "source.h"
#include "transfer.h"

/* SHRINK and GROW are there from birth where they are wanted, but a stream must grow first. */
static int create(sealbuf_client *client, const struct options *options, const char *name, const struct source *source,
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
    return r < 0 ? report_broker(client, r, "cannot create a buffer for '%s'", name) : 0;
}

/*
 * A stream may have no end, and a buffer that can grow has nobody in its way but the memory of this machine: so it may
 * become as big as the broker would ever let it be. What is left of that just now says too little: names that may be
 * evicted make room, and that is for the broker to find out when it publishes.
 */
static int room_for_stream(sealbuf_client *client, const char *name, uint64_t *room)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};

    int r = sealbuf_stats(client, &stats);
    if (r < 0)
        return report_broker(client, r, "cannot put '%s'", name);
    *room = stats.uid_bytes_limit < stats.buffer_size_limit ? stats.uid_bytes_limit : stats.buffer_size_limit;
    return 0;
}

static int report_fill(const struct transfer *transfer, int r, const struct source *source, const char *name)
{
    if (r == -EFBIG && !transfer->failed_writing && transfer->done > transfer->most)
        return report_failure("cannot put '%s': '%s' has more than the %llu bytes that the broker's limits allow; put "
                              "less, or have buffer-size or uid-bytes raised",
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

int load_buffer(sealbuf_client *client, const struct options *options, const char *name, const struct source *source,
                sealbuf_buffer **buffer)
{
    uint64_t room = 0;

    int r = source->size == TRANSFER_TO_END ? room_for_stream(client, name, &room) : 0;
    if (!r)
        r = create(client, options, name, source, buffer);
    return r ? r : fill(*buffer, source, name, room);
}
