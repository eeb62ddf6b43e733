/* SPDX-License-Identifier: MIT */
/* The requests: options into records, records onto their way. None of these waits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "seals.h"
#include "token.h"

static struct span span_of(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    /* What is longer than any field may be is refused by the encoder, whatever is left of it. */
    return (struct span){text, length < UINT32_MAX ? (uint32_t)length : UINT32_MAX};
}

/* The broker does the same with those that it creates: then no other uid can reopen a reader's descriptor for writing.
 */
static void protect(const sealbuf_buffer *buffer)
{
    struct stat st;

    if (fstat(buffer->fd, &st) == 0)
        fchmod(buffer->fd, st.st_mode & 0555);
}

/* KEY=VALUE strings into one, each ended by its NUL. */
static int join_metadata(const char *const *metadata, char joined[SEALBUF_MAX_METADATA], struct span *span)
{
    size_t used = 0;

    for (; metadata && *metadata; metadata++) {
        size_t length = strlen(*metadata) + 1;
        if (length > SEALBUF_MAX_METADATA - used)
            return -SEALBUF_ERR_METADATA;
        memcpy(joined + used, *metadata, length);
        used += length;
    }
    *span = (struct span){joined, (uint32_t)used};
    return 0;
}

/* Whose name is meant, as the wire has it. */
static uint32_t owner_of(uint32_t flags, uint32_t owner)
{
    return flags & SEALBUF_GET_OF_OWNER ? owner : SEALBUF_OWNER_SELF;
}

/* Where a token is given, its bytes and a span of them; the caller wipes the bytes. 0, or -SEALBUF_ERR_TOKEN. */
static int read_token(const char *text, char bytes[SEALBUF_TOKEN_SIZE], struct span *span)
{
    int r = text ? token_parse(text, bytes) : 0;

    *span = (struct span){bytes, text && r == 0 ? SEALBUF_TOKEN_SIZE : 0};
    return r;
}

static bool count_valid(size_t count)
{
    return count > 0 && count <= SEALBUF_MAX_RECORDS;
}

int sealbuf_start_reexec(sealbuf_client *client, sealbuf_reply_fn *fn, void *userdata)
{
    struct call *call = call_begin(client, SEALBUF_OP_REEXEC, 0, fn, userdata);
    return call ? call_submit(client, call) : -ENOMEM;
}

int sealbuf_start_ping(sealbuf_client *client, sealbuf_reply_fn *fn, void *userdata)
{
    struct call *call = call_begin(client, SEALBUF_OP_PING, 0, fn, userdata);
    return call ? call_submit(client, call) : -ENOMEM;
}

/* Adds the record of the i-th element of the caller's array. On failure, a negative error, the call is gone. */
typedef int add_fn(sealbuf_client *client, struct call *call, size_t i, const void *given);

static int add_create(sealbuf_client *client, struct call *call, size_t i, const void *given)
{
    struct sealbuf_create_options options;
    struct create_request record = {0};
    char metadata[SEALBUF_MAX_METADATA];
    int r = OPTIONS_COPY(&options, given);

    if (r == 0)
        r = creation_check(&options);
    if (r == 0 && options.flags & ~SEALBUF_CREATE_FLAGS)
        r = -SEALBUF_ERR_FLAGS;
    if (r == 0)
        r = join_metadata(options.metadata, metadata, &record.metadata);
    if (r < 0)
        return call_abandon(client, call, r);
    record.size = options.size;
    record.seals = options.seals;
    record.flags = options.flags;
    record.huge_shift = options.huge_shift;
    record.label = span_of(options.label);
    call->expected[i] = (struct expectation){
        .seals = seals_at_birth(options.seals, options.flags), .writable = true, .sized = true, .size = options.size};
    return call_add(client, call, &record);
}

/* 0, or why the broker does not have the buffer any more. */
static int explain_loss(sealbuf_client *client, const sealbuf_buffer *buffer)
{
    int lost = holding_lost(buffer);

    if (lost < 0)
        snprintf(client->reason, sizeof(client->reason),
                 "the broker was started again, and did not take this buffer back: %s; it is memory of this process "
                 "alone now, which sealbuf_adopt offers to the broker once more",
                 sealbuf_strerror(lost));
    return lost;
}

static int add_publish(sealbuf_client *client, struct call *call, const sealbuf_buffer *buffer, const void *given)
{
    struct sealbuf_publish_options options;
    char metadata[SEALBUF_MAX_METADATA];
    struct span joined;
    int r = OPTIONS_COPY(&options, given);

    uint64_t id = holding_id(buffer);
    if (r == 0 && options.reserved)
        r = -EINVAL;
    if (r == 0 && id == 0)
        r = explain_loss(client, buffer);
    if (r == 0)
        r = join_metadata(options.metadata, metadata, &joined);
    if (r < 0)
        return call_abandon(client, call, r);
    struct publish_request record = {
        .id = id,
        .seals = options.seals,
        .mode = options.mode ? options.mode : 0600,
        .flags = options.flags,
        .name = span_of(options.name),
        .group = options.group,
        .expected = options.expected,
        .keep = options.keep,
        .expire_ms = options.expire_ms,
        .metadata = joined,
    };
    return call_add(client, call, &record);
}

static int add_get(sealbuf_client *client, struct call *call, size_t i, const void *given)
{
    struct sealbuf_get_options options;
    struct get_request record = {0};
    char token[SEALBUF_TOKEN_SIZE];
    int r = OPTIONS_COPY(&options, given);

    if (r == 0 && options.reserved)
        r = -EINVAL;
    if (r == 0)
        r = read_token(options.token, token, &record.token);
    if (r < 0)
        return call_abandon(client, call, r);
    record.id = options.id;
    record.owner = owner_of(options.flags, options.owner);
    record.seals = options.seals;
    record.flags = options.flags & ~SEALBUF_GET_OF_OWNER;
    record.name = span_of(options.name);
    record.generation = options.generation;
    record.newer_than = options.newer_than;
    record.wait_ms = options.wait_ms;
    call->secret |= record.token.length > 0;
    call->stands |= (options.flags & SEALBUF_GET_WAIT) != 0;
    call->wait_ms = options.wait_ms;
    call->expected[i] =
        (struct expectation){.seals = options.seals, .writable = !!(options.flags & SEALBUF_GET_WRITABLE)};
    r = call_add(client, call, &record);
    explicit_bzero(token, sizeof(token));
    return r;
}

static int add_target(sealbuf_client *client, struct call *call, size_t i, const void *given)
{
    struct sealbuf_target target;
    int r = OPTIONS_COPY(&target, given);

    (void)i;
    if (r == 0 && target.flags & ~(SEALBUF_GET_OF_OWNER | SEALBUF_TARGET_FLAGS))
        r = -SEALBUF_ERR_FLAGS;
    if (r < 0)
        return call_abandon(client, call, r);
    struct target_request record = {
        .id = target.id,
        .owner = owner_of(target.flags, target.owner),
        .name = span_of(target.name),
        .flags = target.flags & ~SEALBUF_GET_OF_OWNER,
        .generation = target.generation,
    };
    return call_add(client, call, &record);
}

static int refuse_generation(sealbuf_client *client)
{
    snprintf(client->reason, sizeof(client->reason),
             "a generation is given, and a lease is renewed whatever the name is at; leave the generation 0");
    return -SEALBUF_ERR_FLAGS;
}

static int add_touch(sealbuf_client *client, struct call *call, const void *given, uint64_t expire_ms)
{
    struct sealbuf_target target;
    int r = OPTIONS_COPY(&target, given);

    if (r == 0 && target.id)
        r = -SEALBUF_ERR_TARGET;
    if (r == 0 && target.flags & ~SEALBUF_GET_OF_OWNER)
        r = -SEALBUF_ERR_FLAGS;
    if (r == 0 && target.generation)
        r = refuse_generation(client);
    if (r < 0)
        return call_abandon(client, call, r);
    struct touch_request record = {
        .owner = owner_of(target.flags, target.owner),
        .expire_ms = expire_ms,
        .name = span_of(target.name),
    };
    return call_add(client, call, &record);
}

static int add_share(sealbuf_client *client, struct call *call, size_t i, const void *given)
{
    struct sealbuf_share_options options;
    int r = OPTIONS_COPY(&options, given);

    (void)i;
    if (r == 0 && options.reserved)
        r = -EINVAL;
    if (r < 0)
        return call_abandon(client, call, r);
    struct share_request record = {
        .id = options.id,
        .owner = owner_of(options.flags, options.owner),
        .flags = options.flags & ~SEALBUF_GET_OF_OWNER,
        .expire_ms = options.expire_ms,
        .uses = options.uses,
        .name = span_of(options.name),
    };
    return call_add(client, call, &record);
}

static int add_revoke(sealbuf_client *client, struct call *call, size_t i, const void *given)
{
    struct sealbuf_revoke_options options;
    struct revoke_request record = {0};
    char token[SEALBUF_TOKEN_SIZE];
    int r = OPTIONS_COPY(&options, given);

    (void)i;
    if (r == 0 && options.flags & ~SEALBUF_GET_OF_OWNER)
        r = -SEALBUF_ERR_FLAGS;
    if (r == 0)
        r = read_token(options.token, token, &record.token);
    if (r < 0)
        return call_abandon(client, call, r);
    record.id = options.id;
    record.owner = owner_of(options.flags, options.owner);
    record.name = span_of(options.name);
    call->secret |= record.token.length > 0;
    r = call_add(client, call, &record);
    explicit_bzero(token, sizeof(token));
    return r;
}

/* One record for each element of an array of option structs. */
static int start_many(sealbuf_client *client, uint16_t opcode, add_fn *add, const void *options, size_t count,
                      sealbuf_reply_fn *fn, void *userdata)
{
    if (!count_valid(count))
        return -EINVAL;
    struct call *call = call_begin(client, opcode, count, fn, userdata);
    if (!call)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int r = add(client, call, i, options_at(options, i));
        if (r < 0)
            return r;
    }
    return call_submit(client, call);
}

int sealbuf_start_create(sealbuf_client *client, const struct sealbuf_create_options *options, size_t count,
                         sealbuf_reply_fn *fn, void *userdata)
{
    return start_many(client, SEALBUF_OP_CREATE, add_create, options, count, fn, userdata);
}

int sealbuf_start_adopt(sealbuf_client *client, sealbuf_buffer *buffer, const struct sealbuf_adopt_options *given,
                        sealbuf_reply_fn *fn, void *userdata)
{
    struct sealbuf_adopt_options options;
    struct adopt_request record = {0};
    char metadata[SEALBUF_MAX_METADATA];
    int r = OPTIONS_COPY(&options, given);

    if (r == 0)
        r = join_metadata(options.metadata, metadata, &record.metadata);
    if (r < 0)
        return r;
    record.seals = options.seals;
    record.flags = options.flags;
    record.label = span_of(options.label);
    struct call *call = call_begin(client, SEALBUF_OP_ADOPT, 1, fn, userdata);
    if (!call)
        return -ENOMEM;
    protect(buffer);
    call->adopting = buffer;
    shipment_add_borrowed(&client->shipment, buffer->fd);
    r = call_add(client, call, &record);
    return r < 0 ? r : call_submit(client, call);
}

int sealbuf_start_seal(sealbuf_client *client, uint64_t id, uint32_t seals, sealbuf_reply_fn *fn, void *userdata)
{
    struct call *call = call_begin(client, SEALBUF_OP_SEAL, 1, fn, userdata);
    int r = call ? call_add(client, call, &(struct seal_request){id, seals}) : -ENOMEM;

    return r < 0 ? r : call_submit(client, call);
}

int sealbuf_start_publish(sealbuf_client *client, sealbuf_buffer *const *buffers,
                          const struct sealbuf_publish_options *options, size_t count, sealbuf_reply_fn *fn,
                          void *userdata)
{
    if (!count_valid(count))
        return -EINVAL;
    struct call *call = call_begin(client, SEALBUF_OP_PUBLISH, count, fn, userdata);
    if (!call)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int r = add_publish(client, call, buffers[i], options_at(options, i));
        if (r < 0)
            return r;
    }
    return call_submit(client, call);
}

int sealbuf_start_get(sealbuf_client *client, const struct sealbuf_get_options *options, size_t count,
                      sealbuf_reply_fn *fn, void *userdata)
{
    return start_many(client, SEALBUF_OP_GET, add_get, options, count, fn, userdata);
}

int sealbuf_start_remove(sealbuf_client *client, const struct sealbuf_target *targets, size_t count,
                         sealbuf_reply_fn *fn, void *userdata)
{
    return start_many(client, SEALBUF_OP_REMOVE, add_target, targets, count, fn, userdata);
}

int sealbuf_start_stat(sealbuf_client *client, const struct sealbuf_target *targets, size_t count, sealbuf_reply_fn *fn,
                       void *userdata)
{
    return start_many(client, SEALBUF_OP_STAT, add_target, targets, count, fn, userdata);
}

int sealbuf_start_touch(sealbuf_client *client, const struct sealbuf_target *targets, size_t count, uint64_t expire_ms,
                        sealbuf_reply_fn *fn, void *userdata)
{
    if (!count_valid(count))
        return -EINVAL;
    struct call *call = call_begin(client, SEALBUF_OP_TOUCH, count, fn, userdata);
    if (!call)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int r = add_touch(client, call, options_at(targets, i), expire_ms);
        if (r < 0)
            return r;
    }
    return call_submit(client, call);
}

int sealbuf_start_share(sealbuf_client *client, const struct sealbuf_share_options *options, size_t count,
                        sealbuf_reply_fn *fn, void *userdata)
{
    return start_many(client, SEALBUF_OP_SHARE, add_share, options, count, fn, userdata);
}

int sealbuf_start_revoke(sealbuf_client *client, const struct sealbuf_revoke_options *options, size_t count,
                         sealbuf_reply_fn *fn, void *userdata)
{
    return start_many(client, SEALBUF_OP_REVOKE, add_revoke, options, count, fn, userdata);
}
