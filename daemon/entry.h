/* SPDX-License-Identifier: MIT */
/*
 * Entries of the service manager's store (store.h). The manager keeps an open file description once, by the name that
 * came first, and drops it without a word when it comes again. Buffers can have the same one: a client adopts what it
 * got writable, of another user, too. So an entry belongs to all of them, and is there until the last one has gone.
 */
#ifndef DAEMON_ENTRY_H
#define DAEMON_ENTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tree.h"

struct buffer;
struct keep;
struct ledger_buffer;

struct entry {
    RB_ENTRY(entry) by_inode;
    uint64_t device, inode;
    uint64_t id;                              /* of the first buffer: what it is called in the store */
    LIST_HEAD(entry_buffers, buffer) buffers; /* that it belongs to, or will once it is there; never empty */
    struct keep *keep;                        /* it is on its way */
    bool is_there;
    bool may_be_there;
};
RB_HEAD(entry_tree, entry);

/* The buffer's descriptor belongs to an entry from now on: to that of the same description, or to a new one. NULL: no
   memory, or fstat(2) fails. */
struct entry *entry_join(struct entry_tree *entries, struct buffer *buffer);

/* The same for a buffer that the ledger tells of, with the entry that it tells of. */
struct entry *entry_restore(struct entry_tree *entries, struct buffer *buffer, const struct ledger_buffer *record);

/* It does not any more. True: nor does any other, and the entry is freed. */
bool entry_leave(struct entry_tree *entries, struct buffer *buffer);

#endif
