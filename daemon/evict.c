/* SPDX-License-Identifier: MIT */
#include "evict.h"

#include "evictable.h"

/* By how much it is too much; what the uid may hold does not depend on what it holds itself. */
static uint64_t excess(const struct quota *quota, const struct account *account, const struct need *need)
{
    uint64_t held = account->held[need->resource];
    uint64_t may_hold = quota_may_hold(quota, account->uid, held, need->resource);

    if (need->amount > may_hold)
        return UINT64_MAX;
    return held > may_hold - need->amount ? held - (may_hold - need->amount) : 0;
}

static bool is_too_much(const struct quota *quota, const struct account *account, const struct need *needs,
                        unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (excess(quota, account, &needs[i]))
            return true;
    return false;
}

/* Where there is one that would not fit all the same, nothing is to go for the others. */
static bool can_help(const struct quota *quota, const struct account *account, const struct need *needs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (excess(quota, account, &needs[i]) > account->can_go[needs[i].resource])
            return false;
    return true;
}

static void evict_first(struct broker *broker, struct account *account)
{
    struct name *name = TAILQ_FIRST(&account->evictable);

    registry_unbind(&broker->registry, name, SEALBUF_CHANGE_EVICTED);
}

int evict_for(struct request *request, uid_t uid, const struct need *needs, unsigned count)
{
    struct broker *broker = request->broker;
    struct quota *quota = &broker->quota;
    struct account *account = quota_find(quota, uid);
    struct limit_met met;

    if (!account || TAILQ_EMPTY(&account->evictable) || !is_too_much(quota, account, needs, count) ||
        !can_help(quota, account, needs, count))
        return 0;
    if (!peer_charge_request(request->peer, &met))
        return refuse_limit(request, SEALBUF_ERR_LIMIT, &met);
    request->has_evicted = true;
    for (;;) {
        evict_first(broker, account);
        account = quota_find(quota, uid);
        if (!account || TAILQ_EMPTY(&account->evictable) || !is_too_much(quota, account, needs, count))
            return 0;
        if (turn_is_over(broker))
            return REQUEST_AGAIN;
    }
}

/* What is about to be bound, and what it is about to be bound to, is not there to go. */
static void set_aside(struct request *request, const struct publish_request *in)
{
    struct broker *broker = request->broker;
    struct name *name = registry_find(&broker->registry, request->peer->who.uid, in->name);
    struct buffer *buffer = buffer_find(&broker->buffers, in->id);

    if (buffer)
        buffer_hold(&broker->buffers, buffer, &request->peer->held);
    if (name)
        evictable_leave(&broker->quota, name);
}

/* A buffer that has lost its names meanwhile stays held until it is bound. */
static void put_back(struct request *request, const struct publish_request *in)
{
    struct broker *broker = request->broker;
    struct name *name = registry_find(&broker->registry, request->peer->who.uid, in->name);
    struct buffer *buffer = buffer_find(&broker->buffers, in->id);

    if (name)
        evictable_enter(&broker->quota, name);
    if (buffer && !LIST_EMPTY(&buffer->names))
        buffer_unhold(&broker->buffers, buffer);
}

/* The record, or, where they are served as a whole, each one of the request, whichever is in hand. */
static void each_record(struct request *request, const struct publish_request *in,
                        void (*act)(struct request *request, const struct publish_request *in))
{
    struct reader records = {request->message + HEADER_SIZE, request->length - HEADER_SIZE};
    struct publish_request room;
    const char *field;

    if (!request->atomic_records) {
        act(request, in);
        return;
    }
    for (unsigned i = 0; i < request->header.count; i++) {
        record_decode(request->operation->request, REFUSE_UNKNOWN, &records, &room, &field);
        act(request, &room);
    }
}

int evict_for_publish(struct request *request, const struct publish_request *in, uid_t uid, const struct need *needs,
                      unsigned count)
{
    struct quota *quota = &request->broker->quota;
    const struct account *account = quota_find(quota, uid);

    if (!account || TAILQ_EMPTY(&account->evictable) || !is_too_much(quota, account, needs, count) ||
        !can_help(quota, account, needs, count))
        return 0;
    each_record(request, in, set_aside);
    int r = evict_for(request, uid, needs, count);
    each_record(request, in, put_back);
    return r;
}
