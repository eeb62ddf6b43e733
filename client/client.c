/* SPDX-License-Identifier: MIT */
/* The asynchronous core: requests out, replies in, callbacks. See client.h. */
#include "client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"

/* In one dispatch. */
#define WATCH_MESSAGES_AT_MOST 64u

struct call *call_begin(sealbuf_client *client, uint16_t opcode, size_t count, sealbuf_reply_fn *fn, void *userdata)
{
    const struct operation *operation = operation_find(opcode);
    struct call *call = malloc(sizeof(*call) + count * sizeof(struct expectation));

    if (!call)
        return NULL;
    memset(call, 0, sizeof(*call) + count * sizeof(struct expectation));
    call->operation = operation;
    call->count = (uint16_t)count;
    call->fn = fn;
    call->userdata = userdata;
    client->writer = (struct writer){.buffer = client->out, .used = HEADER_SIZE, .room = sizeof(client->out)};
    client->shipment.count = 0;
    client->reason[0] = '\0';
    return call;
}

int call_add(sealbuf_client *client, struct call *call, const void *record)
{
    int r = record_encode(call->operation->request, &client->writer, record);

    return r ? call_abandon(client, call, -r) : 0;
}

/* What was sent, or is not going to be, needs not lie about. */
static void wipe_request(sealbuf_client *client, const struct call *call)
{
    if (call->secret)
        explicit_bzero(client->writer.buffer, client->writer.used);
}

void call_free(struct call *call)
{
    free(call->message);
    free(call);
}

int call_abandon(sealbuf_client *client, struct call *call, int error)
{
    wipe_request(client, call);
    call_free(call);
    return error;
}

uint32_t client_serial(sealbuf_client *client)
{
    do
        client->last_serial = client->last_serial % INT_MAX + 1;
    while (client->standing.count && standing_find(&client->standing, client->last_serial));
    return client->last_serial;
}

struct call *call_find(const sealbuf_client *client, uint32_t serial)
{
    struct call *call = TAILQ_FIRST(&client->calls);

    if (call && call->serial == serial)
        return call;
    struct call *standing = client->standing.count ? standing_find(&client->standing, serial) : NULL;
    if (standing)
        return standing;
    while (call && call->serial != serial)
        call = TAILQ_NEXT(call, link);
    return call;
}

struct walk walk_begin(const sealbuf_client *client)
{
    return (struct walk){TAILQ_FIRST(&client->calls), TAILQ_FIRST(&client->standing.calls)};
}

struct call *walk_next(struct walk *walk)
{
    bool stands = walk->standing && (!walk->ordered || walk->standing->number < walk->ordered->number);
    struct call **next = stands ? &walk->standing : &walk->ordered;
    struct call *call = *next;

    if (call)
        *next = TAILQ_NEXT(call, link);
    return call;
}

void call_remove(sealbuf_client *client, struct call *call)
{
    if (call->stands)
        standing_remove(&client->standing, call);
    else
        TAILQ_REMOVE(&client->calls, call, link);
    client->pending -= !call_is_watch(call);
}

static void insert_call(sealbuf_client *client, struct call *call)
{
    call->number = ++client->last_number;
    if (call->stands)
        standing_insert(&client->standing, call);
    else
        TAILQ_INSERT_TAIL(&client->calls, call, link);
    client->pending += !call_is_watch(call);
}

void call_end_later(sealbuf_client *client, struct call *call, int outcome, const char *sentence)
{
    client->standing.ended += call->stands && !call->outcome;
    call->outcome = outcome;
    call->sentence = sentence;
}

/* The other side has closed; but what it said before, perhaps why, can still be read, and then comes the end. */
static bool is_end(int error)
{
    return error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN;
}

/*
 * Sends it, or keeps it where the socket is full, or there is none. Where so many descriptors of this user are in
 * flight that the kernel takes no more (-ETOOMANYREFS), it is not kept: nothing tells when to try again. The socket can
 * be written to all the while, so whoever polls would go round and round.
 */
static int send_or_keep(sealbuf_client *client)
{
    const struct writer *message = &client->writer;
    int r = -EAGAIN;

    if (!outbox_first(&client->outbox) && link_up(&client->link))
        r = packet_send(client->socket, message->buffer, message->used, client->shipment.fd, client->shipment.count);
    if (r == -EAGAIN || is_end(r))
        return outbox_put(&client->outbox, message->buffer, message->used, &client->shipment);
    return r;
}

/* Without memory it is not repeated, and that is all. */
static void keep_message(const sealbuf_client *client, struct call *call)
{
    if (!client->link.reconnects || !call_is_idempotent(call))
        return;
    call->message = malloc(client->writer.used);
    call->length = client->writer.used;
    if (call->message)
        memcpy(call->message, client->writer.buffer, call->length);
}

int call_submit(sealbuf_client *client, struct call *call)
{
    call->serial = client_serial(client);
    message_finish(&client->writer, &(struct header){.opcode = call->operation->opcode,
                                                     .count = call->count,
                                                     .serial = call->serial,
                                                     .descriptors = (uint16_t)client->shipment.count});
    int r = client->broken ? client->broken : send_or_keep(client);
    if (r < 0)
        return call_abandon(client, call, r);
    keep_message(client, call);
    wipe_request(client, call);
    if (call->stands) {
        call->submitted = now_ms();
        call->give_up_at = deadline_after_wait(call->wait_ms);
    } else if (!link_up(&client->link)) {
        call->give_up_at = deadline_after(client->timeout_ms);
    }
    insert_call(client, call);
    if (outbox_first(&client->outbox))
        poller_update(client);
    return (int)call->serial;
}

/* What the request said of the buffers that it was to make: for when they must be adopted. */
static void hold_created(sealbuf_client *client, const struct call *call, const struct sealbuf_reply *reply)
{
    struct reader reader = {call->message ? call->message + HEADER_SIZE : NULL,
                            call->message ? call->length - HEADER_SIZE : 0};
    const char *field;

    for (size_t i = 0; i < reply->count; i++) {
        struct create_request said = {0};
        if (call->message)
            record_decode(&create_request_schema, IGNORE_UNKNOWN, &reader, &said, &field);
        if (reply->records[i].buffer)
            holdings_add(client->holdings, reply->records[i].buffer, said.label, said.metadata);
    }
}

static void hold_adopted(sealbuf_client *client, const struct call *call)
{
    struct adopt_request said = {0};
    struct reader reader;
    const char *field;

    if (call->message) {
        reader = (struct reader){call->message + HEADER_SIZE, call->length - HEADER_SIZE};
        record_decode(&adopt_request_schema, IGNORE_UNKNOWN, &reader, &said, &field);
    }
    holdings_add(client->holdings, call->adopting, said.label, said.metadata);
}

/* What the connection holds because of this reply, or does not hold any more. */
static void note_holdings(sealbuf_client *client, const struct call *call, const struct sealbuf_reply *reply)
{
    uint16_t opcode = call->operation->opcode;

    if (opcode == SEALBUF_OP_CREATE)
        hold_created(client, call, reply);
    for (size_t i = 0; i < reply->count; i++) {
        const struct reply_record *record = &reply->records[i];
        if (opcode == SEALBUF_OP_GET && record->buffer)
            holdings_join(client->holdings, record->buffer);
        if ((opcode == SEALBUF_OP_PUBLISH || opcode == SEALBUF_OP_REMOVE) && record->status == 0)
            holdings_forget(client->holdings, record->info.id);
    }
}

/* Calls back, and frees the call, and the reply unless the callback keeps it. */
static void finish(sealbuf_client *client, struct call *call, struct sealbuf_reply *reply)
{
    if (client->holdings && !call->outcome)
        note_holdings(client, call, reply);
    if (call->adopting && reply->count == 1 && reply->records[0].status == 0) {
        call->adopting->id = reply->records[0].info.id;
        if (client->holdings)
            hold_adopted(client, call);
    }
    if (call->fn)
        call->fn(client, reply, call->userdata);
    if (!reply->kept)
        reply_free(reply);
    call_free(call);
}

static void tell_unknown(sealbuf_client *client, const struct call *call)
{
    client->link.figures.unknown++;
    event_tell(client, &(struct sealbuf_event){.kind = SEALBUF_EVENT_UNKNOWN,
                                               .error = call->outcome,
                                               .serial = (int)call->serial,
                                               .opcode = call->operation->opcode,
                                               .sentence = call->sentence});
}

/* Ends a call without a reply. 0, or -ENOMEM: nothing to tell with, and the call is there still. */
static int finish_without(sealbuf_client *client, struct call *call, int status, const char *sentence)
{
    if (call_is_watch(call)) {
        call_remove(client, call);
        watch_end(client, call, status, sentence);
        return 0;
    }
    struct sealbuf_reply *reply = reply_of_failure(status);
    if (!reply)
        return -ENOMEM;
    if (sentence)
        reply->sentence = sentence;
    call_remove(client, call);
    if (call->unknown)
        tell_unknown(client, call);
    finish(client, call, reply);
    return 0;
}

static void end_for_good(sealbuf_client *client, int error)
{
    bool was_greeted = client->link.state != LINK_FIRST;

    client->broken = error;
    if (client->link.reconnects && was_greeted)
        event_tell(client,
                   &(struct sealbuf_event){.kind = SEALBUF_EVENT_ENDED, .error = error, .sentence = client->refusal});
}

static struct call *first_call(const sealbuf_client *client)
{
    struct walk walk = walk_begin(client);
    return walk_next(&walk);
}

int client_break_off(sealbuf_client *client, int error)
{
    struct call *call;

    if (!client->broken)
        end_for_good(client, error);
    while (outbox_first(&client->outbox))
        outbox_drop_first(&client->outbox);
    while ((call = first_call(client))) {
        int r = call->outcome ? finish_without(client, call, call->outcome, call->sentence)
                              : finish_without(client, call, client->broken, client->refusal);
        if (r == 0)
            continue;
        call_remove(client, call); /* who waits sees that the connection is broken */
        call_free(call);
    }
    poller_update(client);
    return client->broken;
}

void client_keep_refusal(sealbuf_client *client, int error, const char *sentence)
{
    snprintf(client->refusal, sizeof(client->refusal), "%s", sentence);
    client_fail(client, error, client->refusal);
}

/* A reply to the link's own request, in the middle of a reconnection. */
static int take_own(sealbuf_client *client, const uint8_t *message, size_t length, struct descriptors *descriptors)
{
    struct sealbuf_reply *reply = NULL;
    int r = reply_parse(client->link.own, message, length, descriptors, &reply);

    if (r == -SEALBUF_ERR_BAD_REPLY)
        return client_break_off(client, r);
    if (r < 0)
        return link_lost(client, r);
    r = link_take_own(client, reply);
    reply_free(reply);
    return r == 0 ? LINK_LOST : r;
}

/* A broker that admits nobody says so with serial 0, before it closes. */
static int refused_admission(sealbuf_client *client, const uint8_t *message, size_t length, struct header *header)
{
    struct call *hello = TAILQ_FIRST(&client->calls);
    struct descriptors none = {.count = 0};
    struct sealbuf_reply *reply = NULL;

    if (!hello || hello->operation->opcode != SEALBUF_OP_HELLO || !header->status ||
        reply_parse(hello, message, length, &none, &reply) < 0)
        return client_break_off(client, -SEALBUF_ERR_BAD_REPLY);
    int status = reply->status;
    client_keep_refusal(client, reply->status, reply->sentence);
    call_remove(client, hello);
    finish(client, hello, reply);
    return client_break_off(client, status);
}

/* One of the many that a watch gets: changes, or its end. */
static int take_watch_message(sealbuf_client *client, struct call *call, struct sealbuf_reply *reply, int error)
{
    client->link.failures = 0;
    client->watch_messages++;
    if (!reply) {
        watch_fail(client, call, error);
    } else if (reply->status < 0) {
        call_remove(client, call);
        watch_end(client, call, reply->status, reply->sentence);
        reply_free(reply);
    } else {
        watch_tell(client, call, reply);
    }
    return 1;
}

/* One message that has arrived. 1: a call is finished, or a watch has told something. */
static int take_message(sealbuf_client *client, const uint8_t *message, size_t length, struct descriptors *descriptors)
{
    struct sealbuf_reply *reply = NULL;
    struct header header;

    if (header_decode(message, length, &header))
        return client_break_off(client, -SEALBUF_ERR_BAD_REPLY);
    const struct call *own = client->link.own;
    if (own && (header.serial == own->serial || (header.serial == 0 && client->link.state == LINK_GREETING)))
        return take_own(client, message, length, descriptors);
    if (header.serial == 0)
        return refused_admission(client, message, length, &header);
    struct call *call = call_find(client, header.serial);
    if (!call)
        return client_break_off(client, -SEALBUF_ERR_BAD_REPLY);
    int r = reply_parse(call, message, length, descriptors, &reply);
    if (r == -SEALBUF_ERR_BAD_REPLY)
        return client_break_off(client, r);
    if (call_is_watch(call))
        return take_watch_message(client, call, reply, r);
    if (r < 0 && !(reply = reply_of_failure(r)))
        return client_break_off(client, -ENOMEM);
    /* Without its HELLO there is no connection; what else is in flight fails for the same reason. */
    bool greeting = call->operation->opcode == SEALBUF_OP_HELLO;
    int refused = greeting ? reply->status : 0;
    if (greeting && refused == 0)
        link_greeted(client, reply->hello.instance);
    client->link.failures = 0;
    if (refused < 0)
        client_keep_refusal(client, reply->status, reply->sentence);
    if (call->operation->opcode == SEALBUF_OP_SHARE)
        explicit_bzero(client->in, length);
    call_remove(client, call);
    finish(client, call, reply);
    return refused < 0 ? client_break_off(client, refused) : 1;
}

/* The call of a message that will not be sent. */
static void note_unsent(sealbuf_client *client, const struct parcel *parcel, int error)
{
    struct header header;
    struct call *call =
        header_decode(parcel->message, parcel->length, &header) ? NULL : call_find(client, header.serial);

    if (call)
        call_end_later(client, call, error, NULL);
}

/* 0, or LINK_LOST: the other side has gone; what it has said before is to be read yet. */
static int flush(sealbuf_client *client)
{
    struct parcel *parcel;

    while (link_up(&client->link) && (parcel = outbox_first(&client->outbox))) {
        int r = packet_send(client->socket, parcel->message, parcel->length, parcel->fd, parcel->count);
        if (r == -EAGAIN)
            return 0;
        if (r == -ETOOMANYREFS)
            note_unsent(client, parcel, r);
        else if (r < 0)
            return LINK_LOST;
        outbox_drop_first(&client->outbox);
    }
    return 0;
}

/* Those that stand have no turn. They are looked through anew each time, as the program may do anything meanwhile. */
static struct call *standing_ended(const sealbuf_client *client)
{
    struct call *call;

    if (!client->standing.ended)
        return NULL;
    TAILQ_FOREACH(call, &client->standing.calls, link)
        if (call->outcome)
            return call;
    return NULL;
}

/* Those that get no reply end in the order of all requests: when the ones before them have theirs. */
static int finish_unanswered(sealbuf_client *client)
{
    struct call *call;
    int finished = 0;

    for (;;) {
        call = TAILQ_FIRST(&client->calls);
        if (!call || !call->outcome)
            call = standing_ended(client);
        if (!call)
            return finished;
        if (finish_without(client, call, call->outcome, call->sentence) < 0)
            return client_break_off(client, -ENOMEM);
        finished++;
    }
}

/* 1: a message was there and a call is finished; 0: nothing there; LINK_LOST: the link has changed. */
static int receive(sealbuf_client *client, int flags)
{
    struct descriptors descriptors;
    size_t length;
    int r = packet_receive(client->socket, flags, client->in, sizeof(client->in), &length, &descriptors);

    /* That something of ours was not read comes first, and once; what the other side had said is there behind it. */
    if (r == -ECONNRESET)
        r = packet_receive(client->socket, flags, client->in, sizeof(client->in), &length, &descriptors);
    if (r != PACKET_OK)
        descriptors_close(&descriptors);
    switch (r) {
    case PACKET_OK:
        r = take_message(client, client->in, length, &descriptors);
        descriptors_close(&descriptors);
        return r;
    case PACKET_AGAIN:
        return 0;
    case PACKET_LOST_FDS: { /* our table is full; the buffers are lost, the connection is not */
        struct header header;
        struct call *call = header_decode(client->in, length, &header) ? NULL : call_find(client, header.serial);
        if (call && call_is_watch(call))
            return take_watch_message(client, call, NULL, -EMFILE);
        struct sealbuf_reply *reply = call ? reply_of_failure(-EMFILE) : NULL;
        if (!reply)
            return client_break_off(client, -SEALBUF_ERR_BAD_REPLY);
        call_remove(client, call);
        finish(client, call, reply);
        return 1;
    }
    case PACKET_END:
        return link_lost(client, -SEALBUF_ERR_DISCONNECTED);
    case PACKET_EMPTY:
    case PACKET_CUT:
        return client_break_off(client, -SEALBUF_ERR_BAD_REPLY);
    default:
        return r == -ECONNRESET ? link_lost(client, -SEALBUF_ERR_DISCONNECTED) : client_break_off(client, r);
    }
}

/* One message, or the end where nothing can be sent any more although nothing more is there to be read. */
static int receive_next(sealbuf_client *client, int flags, bool unsendable)
{
    int r = receive(client, unsendable ? MSG_DONTWAIT : flags);

    return r == 0 && unsendable ? link_lost(client, -SEALBUF_ERR_DISCONNECTED) : r;
}

/* Whether there is anything that the broker may send now, besides the end. */
static bool expects_messages(const sealbuf_client *client)
{
    return client->pending || client->standing.watches || client->link.own;
}

static int dispatch(sealbuf_client *client, int flags)
{
    int finished = 0, r;

    client->watch_messages = 0;
    for (;;) {
        r = client->broken ? client_break_off(client, client->broken) : 0;
        if (r == 0 && !link_up(&client->link))
            r = link_advance(client);
        if (r < 0)
            return r;
        bool unsendable = flush(client) == LINK_LOST;
        r = finish_unanswered(client);
        if (r < 0)
            return r;
        finished += r;
        /* A wait is over with the first message; what else is there comes without another one. */
        if (client->socket < 0 || !expects_messages(client) || (finished > 0 && !(flags & MSG_DONTWAIT)))
            return finished;
        /* As much as is told may be told for ever: the program has other things to do, too. */
        if (client->watch_messages >= WATCH_MESSAGES_AT_MOST)
            return finished;
        r = receive_next(client, flags, unsendable);
        if (r <= 0)
            return r < 0 ? r : finished;
        if (r == LINK_LOST)
            flags |= MSG_DONTWAIT; /* the rest is for who knows how much time is left */
        else
            finished++;
    }
}

int client_dispatch(sealbuf_client *client, int flags)
{
    int r = dispatch(client, flags);

    if (client->link.poller >= 0)
        poller_update(client);
    return r < 0 || !client->broken ? r : client->broken;
}

int sealbuf_dispatch(sealbuf_client *client)
{
    int r = client_dispatch(client, MSG_DONTWAIT);

    if (r >= 0 && client->socket >= 0 && !expects_messages(client)) {
        int again = receive(client, MSG_DONTWAIT); /* nothing should come now, but the end */
        if (again == LINK_LOST)
            again = client_dispatch(client, MSG_DONTWAIT);
        return again < 0 ? again : r + again;
    }
    return r;
}

int sealbuf_events(const sealbuf_client *client)
{
    return POLLIN | (STAILQ_EMPTY(&client->outbox) || !link_up(&client->link) ? 0 : POLLOUT);
}

size_t sealbuf_pending(const sealbuf_client *client)
{
    return client->pending;
}
