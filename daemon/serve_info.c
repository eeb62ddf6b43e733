/* SPDX-License-Identifier: MIT */
/* HELLO, STAT and STATS: what there is to know. LIST is in listing.c, and PING has its empty reply from dispatch. */
#include <config-build.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "serve.h"
#include "target.h"

int serve_hello(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct hello_request *in = &record->hello;

    if (in->magic != magic_number())
        return refuse(request, SEALBUF_ERR_HELLO, "HELLO does not carry the magic number of sealbuf");
    if (in->version_min > SEALBUF_VERSION || in->version_max < SEALBUF_VERSION)
        return refuse(request, SEALBUF_ERR_VERSION, "versions %u to %u are offered, the broker speaks %u",
                      in->version_min, in->version_max, SEALBUF_VERSION);
    request->peer->greeted = true;
    out->hello.version = SEALBUF_VERSION;
    out->hello.features = 0;
    out->hello.instance = ledger_instance(request->broker->ledger);
    out->hello.max_message = SEALBUF_MAX_MESSAGE;
    out->hello.max_records = SEALBUF_MAX_RECORDS;
    return 0;
}

int serve_stat(struct request *request, const union request_record *in, union reply_record *out)
{
    struct target target;

    if (in->target.flags)
        return refuse(request, SEALBUF_ERR_FLAGS, "STAT has no flags");
    int r = target_find(request, &in->target, ACCESS_LOOK, &target);
    return r ? r : target_describe(request, &target, DESCRIBE_ALL, SEALBUF_SEALS_ALL, &out->buffer);
}

static void own_account(struct request *request, struct stats_reply *out)
{
    static const struct account none;
    struct quota *quota = &request->broker->quota;
    const struct account *account = quota_find(quota, request->peer->who.uid);

    if (!account)
        account = &none;
    out->uid = request->peer->who.uid;
    out->uid_buffers = account->held[RESOURCE_BUFFERS];
    out->uid_bytes = account->held[RESOURCE_BYTES];
    out->uid_names = account->held[RESOURCE_NAMES];
    out->uid_connections = account->held[RESOURCE_CONNECTIONS];
    out->uid_stored = account->held[RESOURCE_STORED];
    out->uid_stored_limit = quota_may_hold(quota, out->uid, account->held[RESOURCE_STORED], RESOURCE_STORED);
    out->uid_buffers_limit = quota_may_hold(quota, out->uid, account->held[RESOURCE_BUFFERS], RESOURCE_BUFFERS);
    out->uid_bytes_limit = quota_may_hold(quota, out->uid, account->held[RESOURCE_BYTES], RESOURCE_BYTES);
    out->uid_names_limit = quota_may_hold(quota, out->uid, account->held[RESOURCE_NAMES], RESOURCE_NAMES);
    out->uid_connections_limit =
        quota_may_hold(quota, out->uid, account->held[RESOURCE_CONNECTIONS], RESOURCE_CONNECTIONS);
}

/* How much all together do and have is the administrators' business. */
static void sums(const struct broker *broker, struct stats_reply *out)
{
    const struct quota *quota = &broker->quota;

    out->requests = broker->counters->requests;
    out->refused = broker->counters->refused;
    out->disconnects = broker->counters->disconnects;
    out->buffers = quota->held[RESOURCE_BUFFERS];
    out->bytes = quota->held[RESOURCE_BYTES];
    out->names = quota->held[RESOURCE_NAMES];
    out->connections = quota->held[RESOURCE_CONNECTIONS];
    out->jobs = workers_pending(broker->workers) + workers_pending(broker->reaper.workers) +
                workers_pending(broker->reaper.foreign) + store_pending(&broker->store);
    out->stored = quota->held[RESOURCE_STORED];
    out->queued_descriptors = quota->held[RESOURCE_QUEUED];
}

int serve_stats(struct request *request)
{
    const struct broker *broker = request->broker;
    const struct limits *limits = broker->quota.limits;
    struct stats_reply out = {
        .pid = (uint32_t)getpid(),
        .uptime_ns = clock_monotonic_ns() - broker->started_ns,
        .buffers_limit = limits->all[RESOURCE_BUFFERS],
        .bytes_limit = limits->all[RESOURCE_BYTES],
        .names_limit = limits->all[RESOURCE_NAMES],
        .connections_limit = limits->all[RESOURCE_CONNECTIONS],
        .buffer_size_limit = limits->buffer_size,
        .stored_limit = limits->all[RESOURCE_STORED],
        .version = SPAN(PACKAGE_VERSION),
    };

    if (peer_is_administrator(request->peer))
        sums(broker, &out);
    own_account(request, &out);
    if (!broker->store.is_there)
        out.stored_limit = out.uid_stored_limit = 0;
    record_encode(&stats_reply_schema, &request->reply, &out);
    request->replies = 1;
    return 0;
}
