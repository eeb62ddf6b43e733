/* SPDX-License-Identifier: MIT */
#include "quota.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "sealbuf-protocol.h"

static const struct {
    const char *key, *uid_key;
    size_t limit, uid_limit;
} resources[RESOURCES] = {
    [RESOURCE_BYTES] = {"bytes", "uid-bytes", offsetof(struct limits, bytes), offsetof(struct limits, uid_bytes)},
    [RESOURCE_BUFFERS] = {"buffers", "uid-buffers", offsetof(struct limits, buffers),
                          offsetof(struct limits, uid_buffers)},
    [RESOURCE_NAMES] = {"names", "uid-names", offsetof(struct limits, names), offsetof(struct limits, uid_names)},
    [RESOURCE_CONNECTIONS] = {"connections", "uid-connections", offsetof(struct limits, connections),
                              offsetof(struct limits, uid_connections)},
    [RESOURCE_IN_FLIGHT] = {"in-flight", "in-flight", offsetof(struct limits, in_flight),
                            offsetof(struct limits, in_flight)},
    [RESOURCE_SEALING] = {"sealing", "sealing", offsetof(struct limits, in_flight), offsetof(struct limits, in_flight)},
    [RESOURCE_FOREIGN] = {"foreign", "foreign", offsetof(struct limits, in_flight), offsetof(struct limits, in_flight)},
};

static int compare_accounts(const struct account *a, const struct account *b)
{
    return (a->uid > b->uid) - (a->uid < b->uid);
}

TREE_GENERATE(account_tree, account, link, compare_accounts)

void quota_init(struct quota *quota, const struct limits *limits)
{
    *quota = (struct quota){.limits = limits};
    RB_INIT(&quota->accounts);
}

static uint64_t limit_at(const struct quota *quota, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)quota->limits + offset);
}

uint64_t quota_limit(const struct quota *quota, enum resource resource)
{
    return limit_at(quota, resources[resource].limit);
}

uint64_t quota_uid_limit(const struct quota *quota, enum resource resource)
{
    return limit_at(quota, resources[resource].uid_limit);
}

static struct account *find(struct quota *quota, uid_t uid)
{
    struct account key = {.uid = uid};
    return RB_FIND(account_tree, &quota->accounts, &key);
}

const struct account *quota_find(struct quota *quota, uid_t uid)
{
    return find(quota, uid);
}

static struct account *find_or_open(struct quota *quota, uid_t uid)
{
    struct account *account = find(quota, uid);

    if (account)
        return account;
    account = calloc(1, sizeof(*account));
    if (!account)
        return NULL;
    account->uid = uid;
    RB_INSERT(account_tree, &quota->accounts, account);
    return account;
}

static void close_if_empty(struct quota *quota, struct account *account)
{
    for (unsigned i = 0; i < RESOURCES; i++)
        if (account->held[i])
            return;
    RB_REMOVE(account_tree, &quota->accounts, account);
    free(account);
}

/* Amounts and limits are at most 2^63-1 each: the differences cannot wrap. */
static bool fits(uint64_t held, uint64_t amount, uint64_t limit)
{
    return held <= limit && amount <= limit - held;
}

int quota_charge(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount, struct limit_met *met)
{
    struct account *account = find_or_open(quota, uid);
    uint64_t all = quota_limit(quota, resource), own = quota_uid_limit(quota, resource);
    int r = 0;

    if (!account)
        return SEALBUF_ERR_MEMORY;
    if (!fits(account->held[resource], amount, own)) {
        *met = (struct limit_met){resources[resource].uid_key, own};
        r = SEALBUF_ERR_LIMIT;
    } else if (!fits(quota->held[resource], amount, all)) {
        *met = (struct limit_met){resources[resource].key, all};
        r = SEALBUF_ERR_LIMIT;
    } else {
        account->held[resource] += amount;
        quota->held[resource] += amount;
    }
    close_if_empty(quota, account);
    return r;
}

void quota_add(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount)
{
    struct account *account = find(quota, uid);

    assert(account);
    account->held[resource] += amount;
    quota->held[resource] += amount;
}

void quota_release(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount)
{
    struct account *account = find(quota, uid);

    if (amount == 0)
        return;
    assert(account && account->held[resource] >= amount && quota->held[resource] >= amount);
    account->held[resource] -= amount;
    quota->held[resource] -= amount;
    close_if_empty(quota, account);
}

bool quota_is_empty(const struct quota *quota)
{
    /* Whether a foreign descriptor can be closed is not up to us: RESOURCE_FOREIGN, the last one, may stay. */
    for (unsigned i = 0; i < RESOURCE_FOREIGN; i++)
        if (quota->held[i])
            return false;
    return quota->held[RESOURCE_FOREIGN] || RB_EMPTY(&quota->accounts);
}
