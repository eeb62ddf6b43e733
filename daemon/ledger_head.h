/* SPDX-License-Identifier: MIT */
/*
 * The first page of the ledger: what it is, which ids have been given out, and the counters. What a flipped bit must
 * not cost is there more than once.
 */
#ifndef DAEMON_LEDGER_HEAD_H
#define DAEMON_LEDGER_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"

#define LEDGER_MAGIC "SEALLEDG"
/* Of the layout. From 2 on there may be several records of a name, of which one is the current generation. */
#define LEDGER_VERSION 2u
#define HEAD_SIZE      4096u

/* The same in every version to come, up to its checksum. */
struct ledger_identity {
    char magic[8];
    uint32_t version;
    uint32_t reserved;
    uint64_t instance;
    uint64_t created_ns;
    uint32_t checksum; /* of all before it */
    uint32_t reserved_too;
};

struct guarded {
    uint64_t value, complement;
};

struct ledger_head {
    struct ledger_identity identity;
    uint8_t room[1024 - sizeof(struct ledger_identity)];
    struct ledger_identity identity_again;
    uint8_t more_room[1024 - sizeof(struct ledger_identity)];
    struct guarded last_id[3];
    uint8_t room_of_ids[1024 - 3 * sizeof(struct guarded)];
    struct counters counters;
    uint8_t room_of_counters[512 - sizeof(struct counters)];
    uint64_t committed[3]; /* the number of the last batch, with a checksum in itself; the first one counts */
};
_Static_assert(sizeof(struct ledger_head) <= HEAD_SIZE, "the head is one page");

/* Of a new ledger. 0 or a negative errno. */
int head_make(struct ledger_head *head);
/* Of one that was found; repairs what it can, and makes it one of this version. False, and *cause says why, where it
 * cannot be used. */
bool head_check(struct ledger_head *head, const char **cause);

/* The greatest id of those copies that are whole. False where none is. */
bool head_last_id(const struct ledger_head *head, uint64_t *id);
void head_set_last_id(struct ledger_head *head, uint64_t id);

/* The last batch that was committed; 0: none was yet. False where all copies are damaged. */
bool head_committed(const struct ledger_head *head, uint64_t *batch);
/* One aligned store, after all that was stored before: the batch is there then, or it is not. */
void head_commit(struct ledger_head *head, uint64_t batch);

#endif
