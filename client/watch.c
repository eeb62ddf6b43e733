/* SPDX-License-Identifier: MIT */
/* Watches: one request, and many messages with what happens to names. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"

/* What the program gets to see, and where its buffer is until it takes it. */
struct told_change {
    struct sealbuf_change change;
    sealbuf_buffer **buffer;
};

static void tell(sealbuf_client *client, const struct call *call, const struct sealbuf_change *change,
                 sealbuf_buffer **buffer)
{
    static const struct sealbuf_info nothing = {
        .struct_size = sizeof(nothing), .name = "", .label = "", .metadata = "", .creator_security = ""};
    struct told_change told = {.change = *change, .buffer = buffer};

    told.change.struct_size = sizeof(told.change);
    if (!told.change.info)
        told.change.info = &nothing;
    if (!told.change.sentence)
        told.change.sentence = "";
    if (buffer)
        told.change.buffer = *buffer;
    if (call->watching.fn)
        call->watching.fn(client, &told.change, call->userdata);
}

sealbuf_buffer *sealbuf_change_take_buffer(const struct sealbuf_change *change)
{
    union { /* what the program was given is never a constant: tell() has made it */
        const char *given;
        struct told_change *told;
    } same = {.given = (const char *)change - offsetof(struct told_change, change)};

    return same.told->buffer ? take_pointer(*same.told->buffer) : NULL;
}

/* In the middle of all this the program may cancel the watch, or another one's callback break the connection off. */
static void tell_all(sealbuf_client *client, struct call *call, struct sealbuf_reply *reply)
{
    if (call->watching.interrupted) {
        call->watching.interrupted = false;
        tell(client, call, &(struct sealbuf_change){.kind = SEALBUF_CHANGE_OVERFLOW}, NULL);
    }
    for (size_t i = 0; i < reply->count && call->watching.fn; i++) {
        struct reply_record *record = &reply->records[i];
        if (client->holdings && record->buffer)
            holdings_join(client->holdings, record->buffer);
        call->watching.told = true;
        tell(client, call, &(struct sealbuf_change){.kind = record->kind, .info = &record->info}, &record->buffer);
    }
}

void watch_tell(sealbuf_client *client, struct call *call, struct sealbuf_reply *reply)
{
    call->watching.busy = true;
    tell_all(client, call, reply);
    call->watching.busy = false;
    reply_free(reply);
    if (call->watching.over)
        call_free(call);
    else if (!call->watching.fn && !call->cancelled)
        cancel_standing(client, call);
}

void watch_end(sealbuf_client *client, struct call *call, int error, const char *sentence)
{
    tell(client, call, &(struct sealbuf_change){.error = error, .sentence = sentence}, NULL);
    call->watching.fn = NULL;
    if (call->watching.busy)
        call->watching.over = true;
    else
        call_free(call);
}

void watch_fail(sealbuf_client *client, struct call *call, int error)
{
    call->watching.busy = true;
    tell(client, call, &(struct sealbuf_change){.error = error}, NULL);
    call->watching.busy = false;
    call->watching.fn = NULL;
    if (call->watching.over)
        call_free(call);
    else if (!call->cancelled)
        cancel_standing(client, call);
}

int sealbuf_watch(sealbuf_client *client, const struct sealbuf_watch_options *given, sealbuf_change_fn *fn,
                  void *userdata)
{
    struct sealbuf_watch_options options;
    int r = OPTIONS_COPY(&options, given);

    if (r == 0 && !fn)
        r = -EINVAL;
    if (r < 0)
        return r;
    struct call *call = call_begin(client, SEALBUF_OP_WATCH, 1, NULL, userdata);
    if (!call)
        return -ENOMEM;
    call->stands = true;
    call->watching.fn = fn;
    call->watching.descriptors = options.flags & SEALBUF_WATCH_DESCRIPTORS;
    struct watch_request record = {
        .owner = options.flags & SEALBUF_GET_OF_OWNER ? options.owner : SEALBUF_OWNER_SELF,
        .flags = options.flags & ~SEALBUF_GET_OF_OWNER,
        .name = SPAN(options.prefix ? options.prefix : ""),
    };
    r = call_add(client, call, &record);
    return r < 0 ? r : call_submit(client, call);
}
