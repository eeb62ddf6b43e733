/* SPDX-License-Identifier: MIT */
/*
 * The service manager's descriptor store: what is in there outlives the broker (sd_pid_notify_with_fds(3), FDSTORE=1).
 * A thread of its own talks to the manager, batch by batch: while one waits for the manager, the next one gathers.
 *
 * A full store says nothing, it just closes what it is sent. So after the descriptors of a batch comes a canary, the
 * one end of a pipe: when the manager has worked off all of it, the other end tells whether the canary was kept, and so
 * all that was sent before it. Where it was not, the batch is gone through one by one.
 *
 * From systemd 254 on, the manager closes what it does not keep a moment later, on a thread of its own, and the canary
 * proves less. But there it also says how much it keeps ($FDSTORE), and no more than that is ever sent (limit.h).
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "entry.h"
#include "manager.h"
#include "quota.h"
#include "worker.h"

struct buffer;
struct buffers;
struct keep; /* a buffer on its way into the store */

#define STORE_NAME_CANARY "canary"

/* What an entry is called in there: `buffer-` and 16 hexadecimal digits of its id. Returns `name`. */
#define STORED_NAME_SIZE 24
const char *stored_name(uint64_t id, char name[STORED_NAME_SIZE]);

/* Somebody who waits for a buffer to be kept. */
struct store_wait {
    LIST_ENTRY(store_wait) link;
    struct keep *keep; /* NULL: it has come to an end */
    /* 0; -ENOSPC: the store is full; or another negative errno: it is not known to be kept. */
    void (*done)(struct store_wait *wait, int result);
};

struct removal;
STAILQ_HEAD(removals, removal);

#define KEEPS_AT_ONCE 256

struct store_batch {
    struct job job;
    struct removals removals; /* those that are left, when it is done */
    unsigned count;
    struct keep *keeps[KEEPS_AT_ONCE];
    int error; /* the last one that there was */
};

struct store {
    bool is_there;
    struct manager manager;
    struct quota *quota;
    struct buffers *buffers;
    struct entry_tree entries;
    struct workers *workers; /* one thread, so that the manager hears everything in its order */
    struct removals removals;
    size_t removal_count;                          /* also of those in the batch */
    size_t keep_count;                             /* that have not come to an end */
    TAILQ_HEAD(storing_accounts, account) waiting; /* with buffers that wait for the next batch */
    struct event next;                             /* makes it; once in a pass of the loop */
    bool is_busy;                                  /* with the batch */
    bool is_held;                                  /* there is no next batch for now */
    bool is_leaving;                               /* nothing is sent any more */
    uint64_t failure_logged_ns, full_logged_ns;    /* or 0 */
    uint64_t full_until_ns;                        /* it is not tried again before, unless something is removed */
    bool canary_left;                              /* the thread's own: one may still be in there */
    struct store_batch batch;
};

/*
 * Finds out whether there is a store: waits for the manager, so not for the loop. `restored`: something came out of it,
 * so there is, even if it is full. 0, or -ENOMEM, or -EMFILE. Without a store nothing is kept.
 */
int store_open(struct store *store, struct event_base *loop, struct buffers *buffers, bool restored);

/* The same for a program that takes over from one that has found out (handover.h). Nobody is asked, nothing waits. */
int store_take_over(struct store *store, struct event_base *loop, struct buffers *buffers, bool is_there);

/*
 * While it is held nothing is begun; once it is not busy either, all that it has is what waits to be kept or removed.
 * What waits to be removed is told, and can be left to a program that takes over.
 */
void store_hold(struct store *store, bool held);
bool store_is_busy(const struct store *store);
void store_each_removal(const struct store *store, void (*look)(uint64_t id, void *userdata), void *userdata);
void store_remove_again(struct store *store, uint64_t id);

/* Keeps a descriptor of the broker's own, in place of what has this name. Waits, too. 0, -ENOSPC, or another errno. */
int store_put(struct store *store, const char *name, int fd);
/* Removes what has this name and is no buffer of ours. Waits as long as the manager does not read. */
int store_drop(struct store *store, const char *name);

/*
 * Has a buffer kept, charged to its owner, unless it is on its way already. Later `done` is called, and then the buffer
 * is_stored, unless it has gone. It may be so at once, where its entry is there: then wait->keep is NULL. 0;
 * SEALBUF_ERR_LIMIT with *met; SEALBUF_ERR_STORE_FULL, where that is known; SEALBUF_ERR_MEMORY.
 */
int store_keep(struct store *store, struct buffer *buffer, struct store_wait *wait, struct limit_met *met);
/* Does not wait any more. Where nobody does, and it has not been sent yet, it is not. */
void store_forget(struct store *store, struct store_wait *wait);

/* A stored buffer goes: where it is the last one of its entry, that is removed, before anything else is sent. */
void store_remove(struct store *store, struct buffer *buffer);

/* It was stored by an earlier broker: it is_stored, charged whatever the limits are, unless there is no memory. */
void store_restore(struct store *store, struct buffer *buffer, const struct ledger_buffer *record);

/* What has not come to an end. */
size_t store_pending(const struct store *store);

/* Sends what is to be removed, and then leaves the store as it is, whatever buffers go. Nobody may wait any more. */
void store_leave(struct store *store);

#endif
