/* SPDX-License-Identifier: MIT */
/*
 * A buffer: one memfd and what the broker knows of it.
 *
 * It lives as long as somebody holds it: the connection that created it, until it is published or that connection
 * ends; then the names that are bound to it. Its tokens go with it. An id is never used again.
 */
#ifndef DAEMON_BUFFER_H
#define DAEMON_BUFFER_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "codec.h"
#include "memfd.h"
#include "quota.h"
#include "reaper.h"
#include "tree.h"

struct claim;
struct entry;
struct keep;
struct ledger;
struct ledger_buffer;
struct name;
struct store;
struct token;

struct buffer {
    RB_ENTRY(buffer) by_id;
    LIST_ENTRY(buffer) held;         /* in the list of its connection, while `is_held` */
    LIST_HEAD(names_of, name) names; /* that are bound to it */
    LIST_HEAD(tokens_of, token) tokens;
    uint16_t name_count, token_count;
    unsigned pins;       /* paused requests that will send its descriptor */
    struct keep *keep;   /* it is on its way into the store */
    struct entry *entry; /* of the store, that it has, or is to have; NULL: none */
    LIST_ENTRY(buffer) of_entry;
    struct claim *claim; /* somebody is taking it: it is there for nobody else */
    uint64_t id;
    uint64_t charged; /* bytes */
    uint64_t created_ns;
    uint64_t creator_pidfd;
    int fd;
    uid_t owner;
    pid_t creator;
    uint32_t seals; /* that are known to be there; there is no way back */
    uint16_t flags; /* SEALBUF_INFO_... */
    uint16_t metadata_length;
    uint8_t label_length;
    uint8_t security_length;
    bool is_final; /* what was charged is the size, and no seal lets it change */
    bool is_held;
    bool is_stored;    /* the service manager keeps it, and it is charged for that */
    uint32_t slot;     /* in the ledger, from when it gets a name that is to survive; 0: none */
    struct evictable { /* what is counted of it in its owner's account: see evictable.h */
        uint64_t bytes;
        uint32_t metadata;
        uint16_t names; /* of its owner's, that may go */
        bool is_counted, is_stored;
    } evictable;
    bool is_gone;   /* but for its descriptor, which waits for the pins */
    char *metadata; /* that replaces the one in `strings`; NULL: none does */
    char strings[]; /* label, then the creator's security label, then metadata */
};

RB_HEAD(buffer_tree, buffer);
LIST_HEAD(held_buffers, buffer);

/*
 * Names and tokens of one buffer: so few that all of them can be looked at, or taken away, in one go. A token can be
 * good for many uses, and a name for many readers.
 */
#define NAMES_OF_BUFFER  256u
#define TOKENS_OF_BUFFER 64u

struct buffers {
    struct buffer_tree by_id;
    struct ledger *ledger; /* set once there is one */
    struct quota *quota;
    struct reaper *reaper;
    struct store *store;
};

struct buffer_spec {
    uint64_t id;         /* 0: a new one; else it is restored, whatever the limits are */
    uint64_t created_ns; /* 0: now */
    uid_t owner;
    pid_t creator;
    uint64_t creator_pidfd; /* see credentials.h */
    uint64_t size;
    uint32_t seals; /* known to be there */
    uint16_t flags;
    struct span label, metadata, creator_security;
};

void buffers_init(struct buffers *buffers, struct quota *quota, struct reaper *reaper, struct store *store);

/*
 * Enters a buffer, charged to its owner and held by `holder`. Takes *fd on success only. 0, SEALBUF_ERR_LIMIT with
 * *met, or SEALBUF_ERR_MEMORY.
 */
int buffer_enter(struct buffers *buffers, const struct buffer_spec *spec, int *fd, struct held_buffers *holder,
                 struct buffer **buffer, struct limit_met *met);

struct buffer *buffer_find(struct buffers *buffers, uint64_t id);
/* All of them, in the order of their ids. */
struct buffer *buffers_first(struct buffers *buffers);
struct buffer *buffers_next(struct buffer *buffer);

/* A connection holds it, too, unless one does. */
void buffer_hold(struct buffers *buffers, struct buffer *buffer, struct held_buffers *holder);
/* The connection lets go of it: it is gone, unless names hold it. */
void buffer_unhold(struct buffers *buffers, struct buffer *buffer);

/* To be called when its last holder may have gone. */
void buffer_drop_if_unheld(struct buffers *buffers, struct buffer *buffer);

/* Its descriptor stays open, whatever becomes of it, until it is unpinned as often as it was pinned. */
void buffer_pin(struct buffer *buffer);
void buffer_unpin(struct buffers *buffers, struct buffer *buffer);

/*
 * The seals: those that are there now; or, where it is known to be immutable and to have those of interest, what is
 * known: what may have come since changes nothing. 0, or a negative errno of fcntl(2).
 */
int buffer_seals(struct buffer *buffer, uint32_t of_interest, uint32_t *seals);

/*
 * The size as it is now; who may still grow or shrink it is charged for what it has become. *met as buffer_enter.
 * 0 or SEALBUF_ERR_LIMIT or SEALBUF_ERR_INTERNAL; *size and *allocated (bytes) are set unless INTERNAL.
 */
int buffer_measure(struct buffers *buffers, struct buffer *buffer, uint64_t *size, uint64_t *allocated,
                   struct limit_met *met);
/* How many bytes more it has now than it was charged for. */
uint64_t buffer_growth(const struct buffer *buffer);

/* The record that tells of it; its strings are the buffer's. 0, or a negative errno of fstat(2). */
int buffer_to_ledger(const struct buffer *buffer, struct ledger_buffer *record);

/*
 * Writes it into the ledger, with its tokens, unless it is there already; and takes it out again. 0 or
 * SEALBUF_ERR_MEMORY or SEALBUF_ERR_INTERNAL; then nothing has changed.
 */
int buffer_record(struct buffers *buffers, struct buffer *buffer);
void buffer_unrecord(struct buffers *buffers, struct buffer *buffer);

/*
 * Its metadata anew, charged to its owner. What it was is in *before: to be given back to buffer_undo_metadata, or to
 * buffer_forget_metadata. 0, SEALBUF_ERR_LIMIT with *met, or SEALBUF_ERR_MEMORY.
 */
struct buffer_metadata {
    bool was_set;
    char *text;
    uint16_t length;
};
int buffer_set_metadata(struct buffers *buffers, struct buffer *buffer, struct span metadata,
                        struct buffer_metadata *before, struct limit_met *met);
void buffer_undo_metadata(struct buffers *buffers, struct buffer *buffer, struct buffer_metadata *before);
void buffer_forget_metadata(struct buffer_metadata *before);

struct span buffer_label(const struct buffer *buffer);
struct span buffer_metadata(const struct buffer *buffer);
struct span buffer_creator_security(const struct buffer *buffer);

#endif
