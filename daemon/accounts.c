/* SPDX-License-Identifier: MIT */
#include "accounts.h"

/* So many are written in one go: whoever wants more asks again. */
#define ACCOUNTS_PER_PAGE 64u

/* What is held and allowed of each resource, into the members that have its name. */
#define FILL(member, resource)                                                                                         \
    out->member = held[resource];                                                                                      \
    out->member##_limit = may_hold(quota, account, resource);

static uint64_t may_hold(const struct quota *quota, const struct account *account, enum resource resource)
{
    if (account->uid == SEALBUF_ALL_UIDS)
        return quota->limits->all[resource];
    return quota_may_hold(quota, account->uid, account->held[resource], resource);
}

static int add(struct request *request, const struct quota *quota, const struct account *account)
{
    const uint64_t *held = account->uid == SEALBUF_ALL_UIDS ? quota->held : account->held;
    struct account_record record = {.uid = account->uid}, *out = &record;

    FILL(bytes, RESOURCE_BYTES)
    FILL(buffers, RESOURCE_BUFFERS)
    FILL(names, RESOURCE_NAMES)
    FILL(metadata, RESOURCE_METADATA)
    FILL(tokens, RESOURCE_TOKENS)
    FILL(connections, RESOURCE_CONNECTIONS)
    FILL(requests, RESOURCE_REQUESTS)
    FILL(replies, RESOURCE_REPLIES)
    FILL(queued_descriptors, RESOURCE_QUEUED)
    FILL(in_flight, RESOURCE_IN_FLIGHT)
    FILL(stored, RESOURCE_STORED)
    FILL(waits, RESOURCE_WAITS)
    FILL(watches, RESOURCE_WATCHES)
    if (!request->broker->store.is_there)
        out->stored_limit = 0;
    int r = record_encode(&account_record_schema, &request->reply, out);
    request->replies += r == 0;
    return r;
}

/* A resource that nobody has added above would be missing in every account. */
#define NUMBER_FIELD(S, kind, field, bound, error) NUMBER_OF_##field,
enum { ACCOUNT_FIELDS(NUMBER_FIELD, account) ACCOUNT_FIELD_COUNT };
_Static_assert(ACCOUNT_FIELD_COUNT == 2 + 2 * COUNTED_RESOURCES,
               "ACCOUNT_FIELDS lacks a resource, or has one too many");

/* Until the page is full; then whoever asked asks again, from the next one on. */
static void add_all(struct request *request, struct quota *quota, uid_t from)
{
    static const struct account all = {.uid = SEALBUF_ALL_UIDS};
    struct account *account = quota_from(quota, from);

    for (; account && request->replies < ACCOUNTS_PER_PAGE; account = quota_next(account))
        if (add(request, quota, account))
            return;
    if (!account)
        add(request, quota, &all);
}

int accounts_serve(struct request *request, const union request_record *in)
{
    struct quota *quota = &request->broker->quota;
    uid_t own = request->peer->who.uid;
    bool all = in->accounts.flags & SEALBUF_ACCOUNTS_ALL;

    if (all && !peer_is_administrator(request->peer))
        return refuse(request, SEALBUF_ERR_DENIED, "the accounts of other users are for administrators");
    if (all)
        add_all(request, quota, in->accounts.from);
    else if (in->accounts.from <= own)
        add(request, quota, quota_find(quota, own)); /* it has a connection, and so an account */
    return 0;
}
