/* SPDX-License-Identifier: MIT */
/*
 * Names: each uid has a namespace of its own, and a name in it is bound to one buffer. Nobody can take a name in
 * another's namespace, so nobody can squat. In bytewise order, owner by owner; an ordered tree, because names come from
 * clients, and a hash table invites those who know how to make them collide.
 */
#ifndef DAEMON_REGISTRY_H
#define DAEMON_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "buffer.h"
#include "codec.h"
#include "credentials.h"
#include "deadline.h"
#include "tree.h"

struct broker;
struct changes;
struct ledger_name;
struct peer;

struct name {
    RB_ENTRY(name) link;
    LIST_ENTRY(name) of_buffer;
    struct buffer *buffer;
    uint64_t generation;
    uint64_t published_ns;
    uid_t owner;
    gid_t group;
    uint16_t mode;
    bool take;         /* whoever gets it by this name takes it out of the broker */
    bool is_past;      /* a former generation, which is kept behind the one that is current */
    bool is_evictable; /* it may go where a limit is met */
    bool is_counted;   /* with those of its account that may: see evictable.h */
    uint8_t keep;      /* so many former generations are kept; of the current one */
    struct deadline lease;
    uint64_t deadline_ns;     /* of the lease, CLOCK_MONOTONIC; 0: none */
    struct peer *publisher;   /* with whose connection it goes; NULL: it does not */
    LIST_ENTRY(name) of_peer; /* among those that go with it */
    TAILQ_ENTRY(name) by_use; /* among the evictable ones of its owner, the least recently used first */
    uint8_t length;
    uint32_t slot; /* in the ledger: it survives the broker; 0: it does not */
    char text[];
};

RB_HEAD(name_tree, name);

struct registry {
    struct name_tree names;
    struct quota *quota;
    struct buffers *buffers;
    struct deadlines *deadlines;
    struct changes *changes;
};

struct binding {
    uid_t owner;
    gid_t group;
    uint16_t mode;
    bool take;
    bool is_evictable;
    uint8_t keep;
    uint64_t deadline_ns;
    struct peer *publisher; /* with whose connection it is to go, or NULL */
    struct span name;
    struct buffer *buffer;
};

void registry_init(struct registry *registry, struct broker *broker);
struct name *registry_find(struct registry *registry, uid_t owner, struct span name);
/* The first name behind (owner, name) in order, or NULL. */
struct name *registry_after(struct registry *registry, uid_t owner, struct span name);
struct name *registry_next(struct name *name);
static inline struct span name_text(const struct name *name)
{
    return (struct span){name->text, name->length};
}

/*
 * Binds a name, new or bound before: then the buffer that it was bound to loses it, and the generation rises. The
 * buffer belongs to its names from now on. Where the buffer is stored, the name is in the ledger, else it is not. 0,
 * SEALBUF_ERR_LIMIT with *met, or SEALBUF_ERR_MEMORY; then nothing has changed.
 */
int registry_bind(struct registry *registry, const struct binding *binding, struct name **bound, struct limit_met *met);
/* One from an earlier broker, whatever the limits are; the buffer is not let go of. 0 or SEALBUF_ERR_MEMORY. */
int registry_restore(struct registry *registry, const struct ledger_name *record, struct buffer *buffer,
                     struct name **restored);
/* The record that tells of it; its strings are the name's. */
void name_to_ledger(const struct name *name, struct ledger_name *record);
/* All generations of it; `why` is REMOVED, EXPIRED, EVICTED or TAKEN. */
void registry_unbind(struct registry *registry, struct name *name, enum sealbuf_change_kind why);

/* Whether somebody is taking the buffer by it, or by a token of its owner's: it is there for nobody else. */
bool name_is_claimed(const struct name *name);

/* What writes can read, too: there are no write-only descriptors of buffers. */
enum access { ACCESS_READ = 4, ACCESS_READ_WRITE = 6 };

/* As for files (inode(7)), but the owner, and root, need no bits. */
bool name_allows(const struct name *name, struct credentials *who, int socket, enum access access);

#endif
