/* SPDX-License-Identifier: MIT */
/*
 * Names: each uid has a namespace of its own, and a name in it is bound to one buffer. Nobody can take a name in
 * another's namespace, so nobody can squat. In bytewise order, owner by owner; an ordered tree, because names come from
 * clients, and a hash table invites those who know how to make them collide.
 *
 * Each publish over a name raises its generation. Former generations that are kept hang on the current one, which alone
 * is in the tree: whoever searches or walks through it need not know of them.
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

TAILQ_HEAD(past_names, name);

struct name {
    RB_ENTRY(name) link;
    LIST_ENTRY(name) of_buffer;
    struct registry *registry;
    struct buffer *buffer;
    uint64_t generation;
    uint64_t published_ns;
    uid_t owner;
    gid_t group;
    uint16_t mode;
    bool take;         /* whoever gets it by this name takes it out of the broker */
    bool is_past;      /* a former generation; what follows up to `length` is of the current one, but for `current` */
    bool is_evictable; /* it may go where a limit is met */
    bool is_counted;   /* with those of its account that may: see evictable.h; of each generation */
    uint8_t keep;      /* so many former generations are kept */
    uint16_t past_count;
    struct past_names past;       /* the newest first */
    struct name *current;         /* of a past one */
    TAILQ_ENTRY(name) of_current; /* among its past ones */
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
    uint64_t batch;         /* of the ledger; 0: it is bound alone */
    struct span name;
    struct span metadata; /* in place of the buffer's, unless it is empty; it must not have been published */
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
 * Binds a name, new or bound before: then the generation rises, and the buffer that it was bound to loses it, unless
 * that generation is kept; one that hands over (take) never is. The buffer belongs to its names from now on. Where the
 * buffer is stored, the name is in the ledger, unless it goes with a connection; else neither it nor a past one is. 0,
 * SEALBUF_ERR_LIMIT with *met, or SEALBUF_ERR_MEMORY; then nothing has changed.
 */
int registry_bind(struct registry *registry, const struct binding *binding, struct name **bound, struct limit_met *met);

/* The same in two steps: all that can fail, and what changes something that others see, which must follow at once. */
struct prepared_binding {
    const struct binding *what;
    struct name *name; /* the one that is bound, or a new one, which is not in the tree yet */
    struct name *past; /* room for what it is bound to; NULL: that is not kept */
    uint64_t generation, published_ns;
    struct buffer_metadata metadata_before;
    uint32_t slot;
    uint32_t removal; /* the slot of what makes the records of before count no more, where it has none of its own */
    bool buffer_was_recorded;
};
int registry_prepare(struct registry *registry, const struct binding *binding, struct prepared_binding *prepared,
                     struct limit_met *met);
struct name *registry_commit(struct registry *registry, struct prepared_binding *prepared);
void registry_abandon(struct registry *registry, struct prepared_binding *prepared);

/* Of so many of the buffer's names a binding would make more than there may be (NAMES_OF_BUFFER). `name` may be NULL.
 */
bool registry_is_beyond_names(const struct name *name, const struct buffer *buffer, unsigned keep);
/*
 * One from an earlier broker, whatever the limits are; of those with the same text the one with the highest generation
 * is the current one, whichever comes first, and says how many others stay. Of two with the same generation the later
 * one counts. No buffer is let go of. `slot` is where the record is in the ledger, or 0. 0 or SEALBUF_ERR_MEMORY.
 */
int registry_restore(struct registry *registry, const struct ledger_name *record, uint32_t slot, struct buffer *buffer);
/* The record that tells of it; its strings are the name's. */
void name_to_ledger(const struct name *name, struct ledger_name *record);
/* All generations of it, or but the one where it is past; `why` is REMOVED, EXPIRED, EVICTED or TAKEN. */
void registry_unbind(struct registry *registry, struct name *name, enum sealbuf_change_kind why);
/* Some names of a buffer; until it is over, where that is not NULL. */
struct meant {
    bool (*is_meant)(const struct name *name, void *userdata);
    bool (*is_over)(void *userdata);
    void *userdata;
};
/* The buffer goes along with the last one. False: it was over before the last one. */
bool registry_unbind_all(struct registry *registry, struct buffer *buffer, enum sealbuf_change_kind why,
                         const struct meant *meant);

/* The generation itself, or NULL; and the lowest that there is. `name` is the current one. */
struct name *name_generation(struct name *name, uint64_t generation);
uint64_t name_oldest(const struct name *name);

/* With whose connection it goes; NULL: with none. */
void name_set_publisher(struct name *name, struct peer *publisher);
/* Its lease anew: a point in time, or 0 for none. 0 or SEALBUF_ERR_MEMORY; then nothing has changed. */
int name_set_lease(struct name *name, uint64_t deadline_ns);
/* The lease has run out, and is only not yet worked off: it is there for nobody. */
static inline bool name_has_expired(const struct name *name)
{
    return deadline_has_passed(&name->lease);
}
/* Works that off for all names of a buffer. True: the buffer may be gone. */
bool registry_expire(struct registry *registry, struct buffer *buffer);

/* Whether somebody is taking the buffer by it, or by a token of its owner's: it is there for nobody else. */
bool name_is_claimed(const struct name *name);

/* What writes can read, too: there are no write-only descriptors of buffers. */
enum access { ACCESS_READ = 4, ACCESS_READ_WRITE = 6 };

/* As for files (inode(7)), but the owner, and root, need no bits. A past generation is judged by the current one. */
bool name_allows(const struct name *name, struct credentials *who, int socket, enum access access);

#endif
