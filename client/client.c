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

int call_abandon(sealbuf_client *client, struct call *call, int error)
{
    wipe_request(client, call);
    free(call);
    return error;
}

/* A number that no pending call has; also positive as an int, and never 0. */
static uint32_t next_serial(sealbuf_client *client)
{
    client->last_serial = client->last_serial % INT_MAX + 1;
    return client->last_serial;
}

static struct call *find_call(const sealbuf_client *client, uint32_t serial)
{
    struct call *call;

    STAILQ_FOREACH(call, &client->calls, link)
    if (call->serial == serial)
        return call;
    return NULL;
}

static void remove_call(sealbuf_client *client, struct call *call)
{
    STAILQ_REMOVE(&client->calls, call, call, link);
    client->pending--;
}

/*
 * Sends it, or keeps it where the socket is full. Where so many descriptors of this user are in flight that the kernel
 * takes no more (-ETOOMANYREFS), it is not kept: nothing tells when to try again. The socket can be written to all the
 * while, so whoever polls would go round and round.
 */
static int send_or_keep(sealbuf_client *client)
{
    const struct writer *message = &client->writer;
    int r = -EAGAIN;

    if (!outbox_first(&client->outbox))
        r = packet_send(client->socket, message->buffer, message->used, client->shipment.fd, client->shipment.count);
    if (r == -EAGAIN)
        return outbox_put(&client->outbox, message->buffer, message->used, &client->shipment);
    return r;
}

int call_submit(sealbuf_client *client, struct call *call)
{
    call->serial = next_serial(client);
    message_finish(&client->writer, &(struct header){.opcode = call->operation->opcode,
                                                     .count = call->count,
                                                     .serial = call->serial,
                                                     .descriptors = (uint16_t)client->shipment.count});
    int r = client->broken ? client->broken : send_or_keep(client);
    /* The other side has closed; but what it said before, perhaps why, can still be read, and then comes the end. */
    if (r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN)
        r = 0;
    if (r < 0)
        return call_abandon(client, call, r);
    wipe_request(client, call);
    STAILQ_INSERT_TAIL(&client->calls, call, link);
    client->pending++;
    return (int)call->serial;
}

/* Calls back, and frees the call, and the reply unless the callback keeps it. */
static void finish(sealbuf_client *client, struct call *call, struct sealbuf_reply *reply)
{
    if (call->adopting && reply->count == 1 && reply->records[0].status == 0)
        call->adopting->id = reply->records[0].info.id;
    if (call->fn)
        call->fn(client, reply, call->userdata);
    if (!reply->kept)
        reply_free(reply);
    free(call);
}

/* The connection has ended: everybody who waits is told. */
static int break_off(sealbuf_client *client, int error)
{
    struct call *call;

    if (!client->broken)
        client->broken = error;
    while (outbox_first(&client->outbox))
        outbox_drop_first(&client->outbox);
    while ((call = STAILQ_FIRST(&client->calls))) {
        remove_call(client, call);
        struct sealbuf_reply *reply = reply_of_failure(client->broken);
        if (reply)
            reply->sentence = client->refusal;
        if (reply)
            finish(client, call, reply);
        else
            free(call); /* no memory to tell with: who waits sees that the connection is broken */
    }
    return client->broken;
}

/* HELLO's reply is a failure: the broker's sentence outlives it, for all that fails because of it. */
static void keep_refusal(sealbuf_client *client, const struct sealbuf_reply *reply)
{
    snprintf(client->refusal, sizeof(client->refusal), "%s", reply->sentence);
    client_fail(client, reply->status, client->refusal);
}

/* A broker that admits nobody says so with serial 0, before it closes. */
static int refused_admission(sealbuf_client *client, const uint8_t *message, size_t length, struct header *header)
{
    struct call *hello = STAILQ_FIRST(&client->calls);
    struct descriptors none = {.count = 0};
    struct sealbuf_reply *reply = NULL;

    if (!hello || hello->operation->opcode != SEALBUF_OP_HELLO || !header->status ||
        reply_parse(hello, message, length, &none, &reply) < 0)
        return break_off(client, -SEALBUF_ERR_BAD_REPLY);
    int status = reply->status;
    keep_refusal(client, reply);
    remove_call(client, hello);
    finish(client, hello, reply);
    return break_off(client, status);
}

/* One message that has arrived. 1: a call is finished. */
static int take_message(sealbuf_client *client, const uint8_t *message, size_t length, struct descriptors *descriptors)
{
    struct sealbuf_reply *reply = NULL;
    struct header header;

    if (header_decode(message, length, &header))
        return break_off(client, -SEALBUF_ERR_BAD_REPLY);
    if (header.serial == 0)
        return refused_admission(client, message, length, &header);
    struct call *call = find_call(client, header.serial);
    if (!call)
        return break_off(client, -SEALBUF_ERR_BAD_REPLY);
    int r = reply_parse(call, message, length, descriptors, &reply);
    if (r == -SEALBUF_ERR_BAD_REPLY)
        return break_off(client, r);
    if (r < 0 && !(reply = reply_of_failure(r)))
        return break_off(client, -ENOMEM);
    /* Without its HELLO there is no connection; what else is in flight fails for the same reason. */
    int refused = call->operation->opcode == SEALBUF_OP_HELLO ? reply->status : 0;
    if (refused < 0)
        keep_refusal(client, reply);
    if (call->operation->opcode == SEALBUF_OP_SHARE)
        explicit_bzero(client->in, length);
    remove_call(client, call);
    finish(client, call, reply);
    return refused < 0 ? break_off(client, refused) : 1;
}

/* The call of a message that will not be sent. */
static void note_unsent(sealbuf_client *client, const struct parcel *parcel, int error)
{
    struct header header;
    struct call *call =
        header_decode(parcel->message, parcel->length, &header) ? NULL : find_call(client, header.serial);

    if (call)
        call->unsent = error;
}

static int flush(sealbuf_client *client)
{
    struct parcel *parcel;

    while ((parcel = outbox_first(&client->outbox))) {
        int r = packet_send(client->socket, parcel->message, parcel->length, parcel->fd, parcel->count);
        if (r == -EAGAIN)
            return 0;
        if (r == -ETOOMANYREFS)
            note_unsent(client, parcel, r);
        else if (r < 0)
            return break_off(client, -SEALBUF_ERR_DISCONNECTED);
        outbox_drop_first(&client->outbox);
    }
    return 0;
}

/* Those that were never sent end in the order of all requests: when the ones before them have their replies. */
static int finish_unsent(sealbuf_client *client)
{
    struct call *call;
    int finished = 0;

    while ((call = STAILQ_FIRST(&client->calls)) && call->unsent) {
        struct sealbuf_reply *reply = reply_of_failure(call->unsent);
        if (!reply)
            return break_off(client, -ENOMEM);
        remove_call(client, call);
        finish(client, call, reply);
        finished++;
    }
    return finished;
}

/* 1: a message was there and a call is finished; 0: nothing there. */
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
        struct call *call = header_decode(client->in, length, &header) ? NULL : find_call(client, header.serial);
        struct sealbuf_reply *reply = call ? reply_of_failure(-EMFILE) : NULL;
        if (!reply)
            return break_off(client, -SEALBUF_ERR_BAD_REPLY);
        remove_call(client, call);
        finish(client, call, reply);
        return 1;
    }
    case PACKET_END:
        return break_off(client, -SEALBUF_ERR_DISCONNECTED);
    case PACKET_EMPTY:
    case PACKET_CUT:
        return break_off(client, -SEALBUF_ERR_BAD_REPLY);
    default:
        return break_off(client, r == -ECONNRESET ? -SEALBUF_ERR_DISCONNECTED : r);
    }
}

int client_dispatch(sealbuf_client *client, int flags)
{
    int r = client->broken ? break_off(client, client->broken) : flush(client);
    int finished = 0;

    while (r >= 0) {
        r = finish_unsent(client);
        if (r < 0)
            break;
        finished += r;
        /* A wait is over with the first message; what else is there comes without another one. */
        if (!client->pending || (finished > 0 && !(flags & MSG_DONTWAIT)))
            return finished;
        r = receive(client, flags);
        if (r == 0)
            return finished;
        finished++;
    }
    return r;
}

int sealbuf_dispatch(sealbuf_client *client)
{
    int r = client_dispatch(client, MSG_DONTWAIT);

    if (r >= 0 && !client->pending) { /* nothing should come now, but the end */
        int again = receive(client, MSG_DONTWAIT);
        return again < 0 ? again : r + again;
    }
    return r;
}

int sealbuf_fd(const sealbuf_client *client)
{
    return client->socket;
}

int sealbuf_events(const sealbuf_client *client)
{
    return POLLIN | (STAILQ_EMPTY(&client->outbox) ? 0 : POLLOUT);
}

size_t sealbuf_pending(const sealbuf_client *client)
{
    return client->pending;
}

int sealbuf_cancel(sealbuf_client *client, int serial)
{
    struct call *call = serial > 0 ? find_call(client, (uint32_t)serial) : NULL;

    if (!call || (!call->fn && !call->adopting))
        return -ENOENT;
    call->fn = NULL;
    call->adopting = NULL;
    return 0;
}
