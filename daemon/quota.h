/* SPDX-License-Identifier: MIT */
/*
 * Accounts: what each numeric uid, and all of them together, hold of each resource. Every charge is released by the
 * same amount; when the broker ends, every account must be back at zero, or something was lost on the way.
 */
#ifndef DAEMON_QUOTA_H
#define DAEMON_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

#include "config.h"
#include "tree.h"

enum resource {
    RESOURCE_BYTES,
    RESOURCE_BUFFERS,
    RESOURCE_NAMES,
    RESOURCE_CONNECTIONS,
    RESOURCE_IN_FLIGHT,
    RESOURCE_SEALING, /* requests for which a worker adds seals */
    RESOURCE_FOREIGN, /* descriptors that are no memfds, and wait for their close: see reaper.h */
    RESOURCES
};

struct account {
    RB_ENTRY(account) link;
    uid_t uid;
    uint64_t held[RESOURCES];
};
RB_HEAD(account_tree, account);

struct quota {
    struct account_tree accounts;
    const struct limits *limits;
    uint64_t held[RESOURCES];
};

/* Which limit a charge met: what it is called in the configuration, and its value. */
struct limit_met {
    const char *key;
    uint64_t value;
};

void quota_init(struct quota *quota, const struct limits *limits);

/* 0; SEALBUF_ERR_LIMIT, *met says which; SEALBUF_ERR_MEMORY. Where it fails nothing is charged. */
int quota_charge(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount, struct limit_met *met);
/* The same for who holds something already, and whom no limit stops (flight.h has its own). */
void quota_add(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount);
void quota_release(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount);

/* NULL where the uid holds nothing. */
const struct account *quota_find(struct quota *quota, uid_t uid);
uint64_t quota_limit(const struct quota *quota, enum resource resource);
uint64_t quota_uid_limit(const struct quota *quota, enum resource resource);

/* Whether nobody holds anything. */
bool quota_is_empty(const struct quota *quota);

#endif
