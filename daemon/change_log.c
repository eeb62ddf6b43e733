/* SPDX-License-Identifier: MIT */
#include "change_log.h"

#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "registry.h"

/* What is kept is not reached any more, whoever has not seen it. */
static void lose(struct change_log *log)
{
    for (; log->ring && log->first != log->next; log->first++)
        free(log->ring[log->first % CHANGES_KEPT]);
}

void change_log_clear(struct change_log *log)
{
    lose(log);
    free(log->ring);
    *log = (struct change_log){0};
}

uint32_t change_log_find(const struct change_log *log, uint64_t number)
{
    uint32_t from = 0, to = log->next - log->first;

    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (change_log_at(log, log->first + middle)->number > number)
            to = middle;
        else
            from = middle + 1;
    }
    return log->first + from;
}

uint32_t change_flags(const struct name *name)
{
    uint32_t flags = name->buffer->flags;

    flags |= name->take ? SEALBUF_INFO_TAKE : 0;
    flags |= name->slot ? SEALBUF_INFO_SURVIVES : 0;
    flags |= name->is_evictable ? SEALBUF_INFO_EVICTABLE : 0;
    flags |= name->publisher ? SEALBUF_INFO_CONNECTED : 0;
    return flags;
}

/* The buffer's size was measured when it was published. */
static struct change *new_change(uint8_t kind, const struct name *name, const struct visibility *before)
{
    struct change *change = malloc(sizeof(*change) + name->length);

    if (!change)
        return NULL;
    *change = (struct change){
        .kind = kind,
        .id = name->buffer->id,
        .size = name->buffer->charged,
        .generation = name->generation,
        .published_ns = name->published_ns,
        .deadline_ns = name->deadline_ns,
        .seals = name->buffer->seals,
        .flags = change_flags(name),
        .group = name->group,
        .mode = name->mode,
        .group_before = before ? before->group : name->group,
        .mode_before = before ? before->mode : name->mode,
        .length = name->length,
    };
    memcpy(change->text, name->text, name->length);
    return change;
}

static void drop_first(struct change_log *log)
{
    struct change *change = log->ring[log->first++ % CHANGES_KEPT];

    log->lost = change->number;
    free(change);
}

void change_log_add(struct change_log *log, uint64_t number, uint8_t kind, const struct name *name,
                    const struct visibility *before)
{
    if (!log->ring)
        log->ring = malloc(CHANGES_KEPT * sizeof(struct change *));
    struct change *change = log->ring ? new_change(kind, name, before) : NULL;
    if (!change) {
        lose(log);
        log->lost = number;
        return;
    }
    if (log->next - log->first == CHANGES_KEPT)
        drop_first(log);
    change->number = number;
    log->ring[log->next++ % CHANGES_KEPT] = change;
}
