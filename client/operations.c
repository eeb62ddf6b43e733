/* SPDX-License-Identifier: MIT */
/* The synchronous operations: each starts a request, waits for its reply, and hands over what is in it. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"

/* Between two tries where only time can tell. */
#define TRY_AGAIN_MS 10

/* The wait, and the verdict on the reply as a whole: *reply is the caller's to free where this returns 0. */
static int complete(sealbuf_client *client, int serial, struct waiting *waiting)
{
    client->sentence[0] = '\0';
    return wait_for(client, serial, waiting);
}

/* What the reply says; a failure's sentence is kept. */
static int status_of(sealbuf_client *client, const struct sealbuf_reply *reply)
{
    return reply->status < 0 ? client_fail(client, reply->status, reply->sentence) : 0;
}

/* For requests of which only success or failure matters. */
static int complete_and_free(sealbuf_client *client, int serial, struct waiting *waiting)
{
    int r = complete(client, serial, waiting);

    if (r < 0)
        return r;
    r = status_of(client, waiting->reply);
    reply_free(waiting->reply);
    return r;
}

/* Each record's status and buffer into the caller's arrays; the first failure is the result. */
static int complete_many(sealbuf_client *client, int serial, struct waiting *waiting, sealbuf_buffer **buffers,
                         int *status, size_t count)
{
    int r = complete(client, serial, waiting);

    for (size_t i = 0; i < count; i++) {
        if (buffers)
            buffers[i] = r < 0 ? NULL : sealbuf_reply_take_buffer(waiting->reply, i);
        if (status)
            status[i] = r < 0 ? r : sealbuf_reply_record_status(waiting->reply, i);
    }
    if (r < 0)
        return r;
    r = status_of(client, waiting->reply);
    reply_free(waiting->reply);
    return r;
}

int sealbuf_ping(sealbuf_client *client)
{
    struct waiting waiting = {0};
    return complete_and_free(client, sealbuf_start_ping(client, waiting_done, &waiting), &waiting);
}

int sealbuf_reexec(sealbuf_client *client)
{
    struct waiting waiting = {0};
    return complete_and_free(client, sealbuf_start_reexec(client, waiting_done, &waiting), &waiting);
}

int sealbuf_create(sealbuf_client *client, sealbuf_buffer **buffer, const struct sealbuf_create_options *options)
{
    sealbuf_buffer *made;
    int r = sealbuf_create_many(client, &made, NULL, options, 1);

    if (r == 0)
        *buffer = made;
    return r;
}

int sealbuf_create_many(sealbuf_client *client, sealbuf_buffer **buffers, int *status,
                        const struct sealbuf_create_options *options, size_t count)
{
    struct waiting waiting = {0};
    int serial = sealbuf_start_create(client, options, count, waiting_done, &waiting);

    return complete_many(client, serial, &waiting, buffers, status, count);
}

static int adopt_once(sealbuf_client *client, sealbuf_buffer *buffer, const struct sealbuf_adopt_options *options)
{
    struct waiting waiting = {0};
    int serial = sealbuf_start_adopt(client, buffer, options, waiting_done, &waiting);

    return complete_and_free(client, serial, &waiting);
}

/* No event tells that descriptors of this user have landed somewhere, and that there may be more in flight again. */
int sealbuf_adopt(sealbuf_client *client, sealbuf_buffer *buffer, const struct sealbuf_adopt_options *options)
{
    int64_t deadline = deadline_after(client->timeout_ms);
    int r;

    while ((r = adopt_once(client, buffer, options)) == -ETOOMANYREFS && deadline_left(deadline)) {
        r = sealbuf_wait(client, TRY_AGAIN_MS);
        if (r < 0)
            return client_fail(client, r, NULL);
    }
    if (r == -ETOOMANYREFS)
        client_fail(client, r,
                    "so many descriptors of this user are on their way that the kernel takes no more; "
                    "have those who do not read their sockets read them, or raise RLIMIT_NOFILE");
    return r;
}

int sealbuf_seal(sealbuf_client *client, uint64_t id, uint32_t seals)
{
    struct waiting waiting = {0};
    return complete_and_free(client, sealbuf_start_seal(client, id, seals, waiting_done, &waiting), &waiting);
}

/*
 * Seals that are missing are added here: that is a tenth of the time of a request, and if it blocks, it blocks nobody
 * else. What cannot be added for want of a writable descriptor is left to the broker.
 */
static int seal_before_publishing(sealbuf_client *client, sealbuf_buffer *buffer,
                                  const struct sealbuf_publish_options *options)
{
    uint32_t missing = options->seals & ~buffer->known_seals;

    if (options->flags & SEALBUF_PUBLISH_VERIFY || !missing || !buffer->writable)
        return 0;
    int r = sealbuf_buffer_seals(buffer, &buffer->known_seals);
    missing &= ~buffer->known_seals;
    if (r == 0 && missing)
        r = sealbuf_buffer_seal(buffer, missing);
    return r < 0 ? client_fail(client, r, NULL) : 0;
}

int sealbuf_publish(sealbuf_client *client, sealbuf_buffer *buffer, const struct sealbuf_publish_options *given,
                    uint64_t *generation)
{
    struct sealbuf_publish_options options;
    struct waiting waiting = {0};
    int r = OPTIONS_COPY(&options, given);

    if (r < 0)
        return client_fail(client, r, NULL);
    r = seal_before_publishing(client, buffer, &options);
    if (r == 0 && holding_id(buffer) == 0)
        r = sealbuf_adopt(client, buffer, NULL);
    if (r < 0)
        return r;
    options.struct_size = sizeof(options);
    r = complete(client, sealbuf_start_publish(client, &buffer, &options, 1, waiting_done, &waiting), &waiting);
    if (r < 0)
        return r;
    r = status_of(client, waiting.reply);
    /* Where it is another one than was expected, too; with ATOMIC that is a refusal of the whole. */
    if ((r == 0 || r == -SEALBUF_ERR_GENERATION) && generation)
        *generation = waiting.reply->count ? waiting.reply->records[0].info.generation : waiting.reply->generation;
    reply_free(waiting.reply);
    return r;
}

int sealbuf_publish_many(sealbuf_client *client, sealbuf_buffer *const *buffers, int *status,
                         const struct sealbuf_publish_options *options, size_t count)
{
    struct waiting waiting = {0};
    int serial = sealbuf_start_publish(client, buffers, options, count, waiting_done, &waiting);

    return complete_many(client, serial, &waiting, NULL, status, count);
}

static int fill(sealbuf_client *client, sealbuf_buffer *buffer, const void *bytes, size_t size)
{
    ssize_t written = sealbuf_buffer_write(buffer, bytes, size, 0);

    if (written >= 0 && (size_t)written < size)
        written = -ENOSPC;
    return written < 0 ? client_fail(client, (int)written, NULL) : 0;
}

/* Where GROW or SHRINK are not wanted in the end, they must not be there from birth. */
static uint32_t birth_flags(uint32_t seals, bool unsealed)
{
    uint32_t flags = 0;

    if (unsealed)
        return 0;
    if (!(seals & SEALBUF_SEAL_GROW))
        flags |= SEALBUF_CREATE_GROWABLE;
    if (!(seals & SEALBUF_SEAL_SHRINK))
        flags |= SEALBUF_CREATE_SHRINKABLE;
    return flags;
}

int sealbuf_put(sealbuf_client *client, const struct sealbuf_put_options *given, const void *bytes, size_t size,
                uint64_t *generation)
{
    struct sealbuf_put_options options;
    sealbuf_buffer *buffer = NULL;
    int r = OPTIONS_COPY(&options, given);

    if (r == 0 && options.reserved)
        r = -EINVAL;
    if (r < 0)
        return client_fail(client, r, NULL);
    bool unsealed = options.flags & SEALBUF_PUT_UNSEALED;
    uint32_t seals = unsealed || options.seals ? options.seals : SEALBUF_SEALS_IMMUTABLE;
    struct sealbuf_create_options create = {.struct_size = sizeof(create),
                                            .size = size,
                                            .flags = birth_flags(seals, unsealed),
                                            .label = options.label,
                                            .metadata = options.metadata};
    struct sealbuf_publish_options publish = {.struct_size = sizeof(publish),
                                              .name = options.name,
                                              .seals = seals,
                                              .mode = options.mode,
                                              .group = options.group,
                                              .flags = options.flags & ~SEALBUF_PUT_UNSEALED,
                                              .expected = options.expected,
                                              .expire_ms = options.expire_ms,
                                              .keep = options.keep};
    r = sealbuf_create(client, &buffer, &create);
    if (r < 0 || !buffer)
        return r;
    r = fill(client, buffer, bytes, size);
    if (r == 0)
        r = sealbuf_publish(client, buffer, &publish, generation);
    /* Or else it would stay until the connection ends, unless that has come; why it failed is what there is to tell. */
    if (r < 0 && r != -SEALBUF_ERR_DISCONNECTED) {
        sealbuf_start_remove(
            client,
            &(struct sealbuf_target){.struct_size = sizeof(struct sealbuf_target), .id = sealbuf_buffer_id(buffer)}, 1,
            NULL, NULL);
    }
    sealbuf_buffer_free(buffer);
    return r;
}

int sealbuf_get(sealbuf_client *client, sealbuf_buffer **buffer, const struct sealbuf_get_options *options)
{
    sealbuf_buffer *got;
    int r = sealbuf_get_many(client, &got, NULL, options, 1);

    if (r == 0)
        *buffer = got;
    return r;
}

int sealbuf_get_many(sealbuf_client *client, sealbuf_buffer **buffers, int *status,
                     const struct sealbuf_get_options *options, size_t count)
{
    struct waiting waiting = {0};
    int serial = sealbuf_start_get(client, options, count, waiting_done, &waiting);

    return complete_many(client, serial, &waiting, buffers, status, count);
}

int sealbuf_remove(sealbuf_client *client, const struct sealbuf_target *target)
{
    struct waiting waiting = {0};
    return complete_and_free(client, sealbuf_start_remove(client, target, 1, waiting_done, &waiting), &waiting);
}

int sealbuf_remove_many(sealbuf_client *client, int *status, const struct sealbuf_target *targets, size_t count)
{
    struct waiting waiting = {0};
    int serial = sealbuf_start_remove(client, targets, count, waiting_done, &waiting);

    return complete_many(client, serial, &waiting, NULL, status, count);
}

int sealbuf_touch(sealbuf_client *client, const struct sealbuf_target *target, uint64_t expire_ms)
{
    struct waiting waiting = {0};
    int serial = sealbuf_start_touch(client, target, 1, expire_ms, waiting_done, &waiting);

    return complete_and_free(client, serial, &waiting);
}

int sealbuf_stat(sealbuf_client *client, const struct sealbuf_target *target, const struct sealbuf_info **info)
{
    struct waiting waiting = {0};
    int r = complete(client, sealbuf_start_stat(client, target, 1, waiting_done, &waiting), &waiting);

    if (r < 0)
        return r;
    reply_free(client->kept);
    client->kept = waiting.reply;
    r = status_of(client, waiting.reply);
    if (r == 0)
        *info = &waiting.reply->records[0].info;
    return r;
}

int sealbuf_share(sealbuf_client *client, const struct sealbuf_share_options *options, char token[SEALBUF_TOKEN_TEXT])
{
    struct waiting waiting = {0};
    int r = complete(client, sealbuf_start_share(client, options, 1, waiting_done, &waiting), &waiting);

    if (r < 0)
        return r;
    r = status_of(client, waiting.reply);
    if (r == 0)
        r = sealbuf_reply_token(waiting.reply, 0, token);
    reply_free(waiting.reply);
    return r;
}

int sealbuf_redeem(sealbuf_client *client, sealbuf_buffer **buffer, const char *token, uint32_t seals, uint32_t flags)
{
    struct sealbuf_get_options options = {
        .struct_size = sizeof(options), .seals = seals, .flags = flags, .token = token ? token : ""};

    return sealbuf_get(client, buffer, &options);
}

int sealbuf_revoke(sealbuf_client *client, const struct sealbuf_revoke_options *options)
{
    struct waiting waiting = {0};
    return complete_and_free(client, sealbuf_start_revoke(client, options, 1, waiting_done, &waiting), &waiting);
}
