/* SPDX-License-Identifier: MIT */
#include "quota.h"

#include <assert.h>
#include <stdlib.h>

#include "sealbuf-protocol.h"

static int compare_accounts(const struct account *a, const struct account *b)
{
    return (a->uid > b->uid) - (a->uid < b->uid);
}

TREE_GENERATE(account_tree, account, link, compare_accounts)

void quota_init(struct quota *quota, const struct limits *limits, uid_t own_uid)
{
    *quota = (struct quota){.limits = limits, .own_uid = own_uid};
    RB_INIT(&quota->accounts);
}

struct account *quota_find(struct quota *quota, uid_t uid)
{
    struct account key = {.uid = uid};
    return RB_FIND(account_tree, &quota->accounts, &key);
}

struct account *quota_from(struct quota *quota, uid_t uid)
{
    struct account *at = RB_ROOT(&quota->accounts), *found = NULL;

    while (at) {
        if (at->uid >= uid) {
            found = at;
            at = RB_LEFT(at, link);
        } else {
            at = RB_RIGHT(at, link);
        }
    }
    return found;
}

struct account *quota_next(struct account *account)
{
    return account_tree_RB_NEXT(account);
}

static struct account *find_or_open(struct quota *quota, uid_t uid)
{
    struct account *account = quota_find(quota, uid);

    if (account)
        return account;
    account = calloc(1, sizeof(*account));
    if (!account)
        return NULL;
    account->uid = uid;
    TAILQ_INIT(&account->waiting);
    TAILQ_INIT(&account->keeps);
    TAILQ_INIT(&account->evictable);
    RB_INSERT(account_tree, &quota->accounts, account);
    return account;
}

static void close_if_empty(struct quota *quota, struct account *account)
{
    for (unsigned i = 0; i < RESOURCES; i++)
        if (account->held[i])
            return;
    assert(TAILQ_EMPTY(&account->evictable));
    for (unsigned i = 0; i < COUNTED_RESOURCES; i++)
        assert(account->can_go[i] == 0);
    RB_REMOVE(account_tree, &quota->accounts, account);
    free(account);
}

void account_add(struct quota *quota, struct account *account, enum resource resource, uint64_t amount)
{
    if (amount && account->held[resource] == 0)
        quota->holders[resource]++;
    account->held[resource] += amount;
    quota->held[resource] += amount;
}

void account_release(struct quota *quota, struct account *account, enum resource resource, uint64_t amount)
{
    if (amount == 0)
        return;
    assert(account->held[resource] >= amount && quota->held[resource] >= amount);
    account->held[resource] -= amount;
    quota->held[resource] -= amount;
    if (account->held[resource] == 0)
        quota->holders[resource]--;
}

/* Limits may have been lowered below what is held: no difference is taken that could wrap. */
static uint64_t left_by_others(const struct quota *quota, uint64_t held, enum resource resource)
{
    uint64_t others = quota->held[resource] - held, limit = quota->limits->all[resource];
    return others < limit ? limit - others : 0;
}

static uint64_t fair_share(const struct quota *quota, uid_t uid, uint64_t held, enum resource resource)
{
    uint64_t left = left_by_others(quota, held, resource);

    if (uid == 0 || uid == quota->own_uid)
        return left;
    uint64_t uids = quota->holders[resource] + (held == 0);
    uint64_t share = left / (uids + 1);
    return share || !left ? share : 1;
}

uint64_t quota_may_hold(const struct quota *quota, uid_t uid, uint64_t held, enum resource resource)
{
    uint64_t share = fair_share(quota, uid, held, resource), limit = limits_of_uid(quota->limits, uid, resource);
    return share < limit ? share : limit;
}

static bool fits(uint64_t held, uint64_t amount, uint64_t limit)
{
    return held <= limit && amount <= limit - held;
}

int quota_charge(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount, struct limit_met *met)
{
    struct account *account = find_or_open(quota, uid);
    int r = SEALBUF_ERR_LIMIT;

    if (!account)
        return SEALBUF_ERR_MEMORY;
    uint64_t held = account->held[resource], own = limits_of_uid(quota->limits, uid, resource);
    *met = (struct limit_met){.key = limits_key(resource), .uid = uid, .held = held, .amount = amount};
    if (!fits(held, amount, own)) {
        met->kind = LIMIT_OF_UID;
        met->value = own;
    } else if (!fits(quota->held[resource], amount, quota->limits->all[resource])) {
        met->kind = LIMIT_OF_ALL;
        met->value = quota->limits->all[resource];
    } else if (!fits(held, amount, met->share = fair_share(quota, uid, held, resource))) {
        met->kind = LIMIT_OF_SHARE;
        met->value = quota->limits->all[resource];
    } else {
        account_add(quota, account, resource, amount);
        r = 0;
    }
    close_if_empty(quota, account);
    return r;
}

int quota_restore(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount)
{
    struct account *account = find_or_open(quota, uid);

    if (!account)
        return SEALBUF_ERR_MEMORY;
    account_add(quota, account, resource, amount);
    close_if_empty(quota, account);
    return 0;
}

void quota_add(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount)
{
    struct account *account = quota_find(quota, uid);

    assert(account);
    account_add(quota, account, resource, amount);
}

void quota_release(struct quota *quota, uid_t uid, enum resource resource, uint64_t amount)
{
    if (amount == 0)
        return;
    struct account *account = quota_find(quota, uid);
    assert(account);
    account_release(quota, account, resource, amount);
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
