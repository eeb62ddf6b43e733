/* SPDX-License-Identifier: MIT */
/*
 * Accounts: what each numeric uid, and all of them together, hold of each resource. Every charge is released by the
 * same amount; when the broker ends, every account must be back at zero, or something was lost on the way.
 *
 * Besides its limit a uid has a fair share: of what the n - 1 other uids that hold some of a resource leave, the n-th
 * part of n + 1. One uid alone may have a half, the next one a third of the rest, and so on: whatever the first ones
 * do, there is some left for who comes after them. root and the broker's own uid have no share, but what is there:
 * whoever is either can take all from all in other ways, and a user's own broker is for nobody else.
 */
#ifndef DAEMON_QUOTA_H
#define DAEMON_QUOTA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "limit.h"
#include "tree.h"

struct account {
    RB_ENTRY(account) link;
    uid_t uid;
    uint64_t held[RESOURCES];
    TAILQ_ENTRY(account) turn; /* among those with peers that wait for their turn: see turn.h */
    TAILQ_HEAD(waiting_peers, peer) waiting;
    const char *told_key;         /* of the limit that it met and that was logged last, */
    uint64_t told_ns;             /* and when */
    TAILQ_ENTRY(account) storing; /* among those with buffers that are to be kept: see store.h */
    TAILQ_HEAD(keeps_of, keep) keeps;
    uint64_t busy_ns;                         /* of the loop's time, fading */
    uint64_t busy_at_ns;                      /* when that was true */
    TAILQ_HEAD(names_by_use, name) evictable; /* the least recently used first: see evict.h */
    uint64_t can_go[COUNTED_RESOURCES];       /* what would be released if all of them went */
};
RB_HEAD(account_tree, account);

struct quota {
    struct account_tree accounts;
    const struct limits *limits;
    uid_t own_uid; /* the broker's */
    uint64_t held[RESOURCES];
    uint64_t holders[RESOURCES]; /* uids that hold some */
};

/* Which limit a charge met. */
struct limit_met {
    enum limit_kind { LIMIT_OF_ALL, LIMIT_OF_UID, LIMIT_OF_SHARE } kind;
    const char *key; /* what it is called in the configuration, without uid- */
    uint64_t value;  /* of that limit */
    uint64_t share;  /* with LIMIT_OF_SHARE: what the uid may have of it now */
    uint64_t held;   /* by the uid */
    uint64_t amount; /* that it would have needed besides */
    uid_t uid;
};

void quota_init(struct quota *quota, const struct limits *limits, uid_t own_uid);

/* 0; SEALBUF_ERR_LIMIT, *met says which; SEALBUF_ERR_MEMORY. Where it fails nothing is charged. */
int quota_charge(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount, struct limit_met *met);
/* What a uid has from an earlier broker: no limit takes it away. 0 or SEALBUF_ERR_MEMORY. */
int quota_restore(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount);
/* The same for who holds something already, and whom no limit stops (flight.h has its own). */
void quota_add(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount);
/* Both for an account at hand, which something else keeps open. */
void account_add(struct quota *quota, struct account *account, enum resource resource, uint64_t amount);
void account_release(struct quota *quota, struct account *account, enum resource resource, uint64_t amount);
void quota_release(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount);

/* NULL where the uid holds nothing. It stays where it is for as long as the uid holds something. */
struct account *quota_find(struct quota *quota, uid_t uid);
/* The first account of this uid or a higher one, or NULL. */
struct account *quota_from(struct quota *quota, uid_t uid);
/* The one behind it, in order of uid, or NULL. */
struct account *quota_next(struct account *account);
/* What the uid may hold now, at most: by its limit, and by its fair share. Not above what is left by the others. */
uint64_t quota_may_hold(const struct quota *quota, uid_t uid, uint64_t held, enum resource resource);

/* Whether nobody holds anything. */
bool quota_is_empty(const struct quota *quota);

#endif
