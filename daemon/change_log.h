/* SPDX-License-Identifier: MIT */
/*
 * The change log of a namespace: its last changes, in order, for all who watch it. It is kept only while somebody does.
 * So what a change costs does not depend on how many watch, nor what they cost on how many changes they have missed:
 * each has a place in the log, and who is too slow finds that it does not reach back so far any more.
 */
#ifndef DAEMON_CHANGE_LOG_H
#define DAEMON_CHANGE_LOG_H

#include <stdint.h>
#include <sys/types.h>

#include "codec.h"

struct name;
struct visibility;

/* So many changes are kept. */
#define CHANGES_KEPT 1024u

/* What a name was when it changed; when it was unbound, what it had been until then. */
struct change {
    uint64_t number;
    uint64_t id, size, generation, published_ns;
    uint64_t deadline_ns; /* of its lease; 0: none */
    uint32_t seals, flags;
    gid_t group, group_before; /* before: where it was replaced */
    mode_t mode, mode_before;
    uint8_t kind; /* SEALBUF_CHANGE_... */
    uint8_t length;
    char text[];
};

/* All zero: an empty one. */
struct change_log {
    struct change **ring; /* NULL until something changes: whoever watches costs nothing but that */
    uint32_t first, next; /* the change that is kept longest, and the place behind the last: counted, in the ring they
                             are at the remainder */
    uint64_t lost;        /* the number of the last change that is not kept any more */
};

/*
 * Adds a change with its number, which is greater than those before. Where there is no memory, it is lost, with all
 * that is kept.
 */
void change_log_add(struct change_log *log, uint64_t number, uint8_t kind, const struct name *name,
                    const struct visibility *before);
/* Makes it empty. */
void change_log_clear(struct change_log *log);

/* Where the first change behind this number is, or would be. Meaningless for one below `lost`. */
uint32_t change_log_find(const struct change_log *log, uint64_t number);
static inline const struct change *change_log_at(const struct change_log *log, uint32_t at)
{
    return log->ring[at % CHANGES_KEPT];
}

static inline struct span change_text(const struct change *change)
{
    return (struct span){change->text, change->length};
}

/* SEALBUF_INFO_... of a name and its buffer, as an event has them. */
uint32_t change_flags(const struct name *name);

#endif
