/* SPDX-License-Identifier: MIT */
/* HELLO, STAT, LIST and STATS: what there is to know. PING has its empty reply from dispatch. */
#include <config-build.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "serve.h"
#include "target.h"

/* Names looked at for one page of LIST: so many take some hundred microseconds, whoever's they are. */
#define NAMES_PER_PAGE 1024u

int serve_hello(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct hello_request *in = &record->hello;
    uint64_t magic;

    memcpy(&magic, SEALBUF_MAGIC, sizeof(magic));
    if (in->magic != le64toh(magic))
        return refuse(request, SEALBUF_ERR_HELLO, "HELLO does not carry the magic number of sealbuf");
    if (in->version_min > SEALBUF_VERSION || in->version_max < SEALBUF_VERSION)
        return refuse(request, SEALBUF_ERR_VERSION, "versions %u to %u are offered, the broker speaks %u",
                      in->version_min, in->version_max, SEALBUF_VERSION);
    request->peer->greeted = true;
    out->hello.version = SEALBUF_VERSION;
    out->hello.features = 0;
    out->hello.instance = request->broker->instance;
    out->hello.max_message = SEALBUF_MAX_MESSAGE;
    out->hello.max_records = SEALBUF_MAX_RECORDS;
    return 0;
}

int serve_stat(struct request *request, const union request_record *in, union reply_record *out)
{
    struct target target;
    int r = target_find(request, &in->target, ACCESS_READ, &target);

    return r ? r : target_describe(request, &target, DESCRIBE_ALL, &out->buffer);
}

static bool starts_with(struct span text, struct span prefix)
{
    return text.length >= prefix.length && memcmp(text.data, prefix.data, prefix.length) == 0;
}

/* Whether no name from here on can be wanted: names are in order of owner and then of text. */
static bool past_the_end(const struct name *name, const struct list_request *in, uid_t owner)
{
    if (in->flags & SEALBUF_LIST_ALL_OWNERS)
        return false;
    if (name->owner != owner)
        return true;
    struct span text = name_text(name);
    uint32_t common = text.length < in->prefix.length ? text.length : in->prefix.length;
    return common && memcmp(text.data, in->prefix.data, common) > 0;
}

/* The first name of the page. */
static struct name *first_name(struct request *request, const struct list_request *in, uid_t owner)
{
    struct registry *registry = &request->broker->registry;

    if (in->after.length)
        return registry_after(registry, in->flags & SEALBUF_LIST_ALL_OWNERS ? in->after_owner : owner, in->after);
    if (in->flags & SEALBUF_LIST_ALL_OWNERS)
        return registry_after(registry, 0, (struct span){"", 0});
    struct name *name = registry_find(registry, owner, in->prefix);
    return name ? name : registry_after(registry, owner, in->prefix);
}

/* Adds a name to the page. False: there is no room. A name that cannot be described is passed over. */
static bool add_name(struct request *request, struct name *name)
{
    struct target target = {name->buffer, name};
    struct buffer_record out = {0};

    if (target_describe(request, &target, DESCRIBE_NAME, &out))
        return true;
    if (record_encode(&buffer_record_schema, &request->reply, &out))
        return false;
    request->replies++;
    return true;
}

static bool may_list(struct request *request, const struct name *name)
{
    struct peer *peer = request->peer;
    return name_allows(name, &peer->who, peer->socket, ACCESS_READ);
}

/*
 * Writes names until the page is full; *last is the last one that was looked at, and *more tells whether others may
 * come behind it.
 */
static void fill_page(struct request *request, const struct list_request *in, struct name **last, bool *more)
{
    uid_t owner = in->owner == SEALBUF_OWNER_SELF ? request->peer->who.uid : in->owner;
    uint32_t limit = in->limit ? in->limit : UINT32_MAX;
    struct name *name = first_name(request, in, owner);
    unsigned looked_at = 0;

    *last = NULL;
    for (; name && !past_the_end(name, in, owner); name = registry_next(name)) {
        if (looked_at++ >= NAMES_PER_PAGE || request->replies > limit || request->replies > SEALBUF_MAX_RECORDS - 1)
            break;
        if (starts_with(name_text(name), in->prefix) && may_list(request, name) && !add_name(request, name))
            break;
        *last = name;
    }
    *more = name && !past_the_end(name, in, owner) && *last;
}

int serve_list(struct request *request, const union request_record *record)
{
    struct writer page_writer = request->reply;
    struct page page = {0};
    struct name *last;
    bool more;

    /* The page record comes first, but is known last: its place is kept, at its greatest length. */
    request->reply.used += RECORD_HEADER_SIZE + page_schema.fixed_size + SEALBUF_MAX_NAME;
    size_t names_at = request->reply.used;
    request->replies = 1;
    fill_page(request, &record->list, &last, &more);
    if (more) {
        page.more = 1;
        page.next_owner = last->owner;
        page.next = name_text(last);
    }
    record_encode(&page_schema, &page_writer, &page);
    memmove(request->reply.buffer + page_writer.used, request->reply.buffer + names_at, request->reply.used - names_at);
    request->reply.used -= names_at - page_writer.used;
    return 0;
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
    out->uid_buffers_limit = quota_uid_limit(quota, RESOURCE_BUFFERS);
    out->uid_bytes_limit = quota_uid_limit(quota, RESOURCE_BYTES);
    out->uid_names_limit = quota_uid_limit(quota, RESOURCE_NAMES);
    out->uid_connections_limit = quota_uid_limit(quota, RESOURCE_CONNECTIONS);
}

int serve_stats(struct request *request)
{
    const struct broker *broker = request->broker;
    const struct quota *quota = &broker->quota;
    struct stats_reply out = {
        .pid = (uint32_t)getpid(),
        .uptime_ns = clock_monotonic_ns() - broker->started_ns,
        .requests = broker->counters.requests,
        .refused = broker->counters.refused,
        .disconnects = broker->counters.disconnects,
        .buffers = quota->held[RESOURCE_BUFFERS],
        .buffers_limit = quota_limit(quota, RESOURCE_BUFFERS),
        .bytes = quota->held[RESOURCE_BYTES],
        .bytes_limit = quota_limit(quota, RESOURCE_BYTES),
        .names = quota->held[RESOURCE_NAMES],
        .names_limit = quota_limit(quota, RESOURCE_NAMES),
        .connections = quota->held[RESOURCE_CONNECTIONS],
        .connections_limit = quota_limit(quota, RESOURCE_CONNECTIONS),
        .buffer_size_limit = broker->config->limits.buffer_size,
        .jobs = workers_pending(broker->workers),
        .queued_descriptors = broker->queued_descriptors,
        .version = SPAN(PACKAGE_VERSION),
    };

    own_account(request, &out);
    record_encode(&stats_reply_schema, &request->reply, &out);
    request->replies = 1;
    return 0;
}
