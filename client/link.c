/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"

/* Between two attempts: the first delay, which doubles, and the longest. */
#define BACK_OFF_MS      10
#define BACK_OFF_MOST_MS 1000
/* A request that ends three connections one after the other may be why they end. One that stands is not blamed for the
   end of a connection that has lived on for so long after it was sent. */
#define TRIES_AT_MOST 3
#define NOT_BLAMED_MS 1000

void link_init(struct link *link, bool reconnects)
{
    *link = (struct link){.reconnects = reconnects, .owner = reconnects ? getpid() : 0, .poller = -1, .timer = -1};
    link->figures.struct_size = sizeof(link->figures);
}

void link_end(sealbuf_client *client)
{
    struct link *link = &client->link;

    if (link->own)
        call_free(take_pointer(link->own));
    free(link->readopting);
    close_quietly(link->timer);
    close_quietly(link->poller);
}

void link_greeted(sealbuf_client *client, uint64_t instance)
{
    client->link.figures.instance = instance;
    client->link.state = LINK_UP;
    client->link.up_since = now_ms();
    if (client->holdings)
        holdings_begin_round(client->holdings, instance);
}

/* ---- When -------------------------------------------------------------------------------------------------------- */

/* xorshift64: all that it is for is that a thousand clients do not come back at the same moment. */
static uint64_t next_random(struct link *link)
{
    uint64_t x = link->random;

    if (!x) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        x = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)link ^ (uint64_t)link->owner << 32;
        x |= 1;
    }
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    link->random = x;
    return x;
}

/* The first attempt is made at once: where systemd holds the socket, it succeeds. */
static void back_off(struct link *link)
{
    unsigned doublings = link->failures < 8 ? link->failures : 8;
    int64_t most = (int64_t)BACK_OFF_MS << doublings;

    if (most > BACK_OFF_MOST_MS)
        most = BACK_OFF_MOST_MS;
    int64_t delay = link->failures ? most / 2 + (int64_t)(next_random(link) % (uint64_t)(most / 2 + 1)) : 0;
    link->due = now_ms() + delay;
    link->failures++;
}

void link_hurry(sealbuf_client *client)
{
    struct link *link = &client->link;

    if (link->state != LINK_AWAY)
        return;
    link->failures = 1;
    link->due = now_ms();
}

/* The earlier one of two points in time, of which -1 is never. */
static int64_t earlier(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int link_due(const sealbuf_client *client)
{
    const struct link *link = &client->link;
    const struct call *call = TAILQ_FIRST(&client->calls);
    int64_t due = -1;

    if (link_up(link))
        return -1;
    if (!link->own)
        due = link->due;
    if (call)
        due = earlier(due, call->give_up_at);
    TAILQ_FOREACH(call, &client->standing.calls, link)
        if (!call->outcome)
            due = earlier(due, call->give_up_at);
    return due < 0 ? -1 : deadline_left(due);
}

const char *link_sentence(sealbuf_client *client)
{
    struct link *link = &client->link;
    const char *doing = link->state == LINK_AWAY ? "the last attempt to connect again failed" : "it does not answer";
    const char *why = link->last_error ? sealbuf_strerror(link->last_error) : "";

    snprintf(link->why, sizeof(link->why),
             "the broker went away, and is not back within the time-out: %s%s%s; nothing of the request is with it; "
             "see whether it is to be started again, and repeat the request",
             doing, why[0] ? ": " : "", why);
    return link->why;
}

/* ---- What becomes of the requests -------------------------------------------------------------------------------- */

static const char unknown_outcome[] =
    "the connection to the broker ended after the request had been sent and before it was answered: its outcome is "
    "unknown; look whether it was carried out before you repeat it";
static const char ends_connections[] =
    "the connection to the broker ended each time when this request had been sent, so it is not sent again; the "
    "broker's log says why";

/* Whether it does no harm to have the same done twice. One with a token is none: it may be good for one use only. */
bool call_is_idempotent(const struct call *call)
{
    switch (call->operation->opcode) {
    case SEALBUF_OP_PING:
    case SEALBUF_OP_LIST:
    case SEALBUF_OP_STAT:
    case SEALBUF_OP_STATS:
    case SEALBUF_OP_ACCOUNTS:
    case SEALBUF_OP_CREATE: /* what an ended connection held is gone */
    case SEALBUF_OP_ADOPT:
    case SEALBUF_OP_TOUCH:
    case SEALBUF_OP_WATCH:
    case SEALBUF_OP_CANCEL: /* what it is to end has ended with the connection */
        return true;
    case SEALBUF_OP_GET:
        return !call->secret;
    default:
        return false;
    }
}

/* Where `flags` is in the record of a GET. */
#define GET_FLAGS_AT 16

/*
 * The name may hand its buffer over: who has got one already, in a reply that was lost with the connection, must not
 * take another one that somebody has published meanwhile. A GET that waits has most likely been waiting still.
 */
static void forbid_taking(const struct call *call)
{
    uint8_t *at = call->message + HEADER_SIZE;

    if (call->operation->opcode != SEALBUF_OP_GET || call->stands)
        return;
    for (unsigned i = 0; i < call->count; i++) {
        uint32_t length;
        memcpy(&length, at, sizeof(length));
        at[RECORD_HEADER_SIZE + GET_FLAGS_AT] |= SEALBUF_GET_NO_TAKE;
        at += le32toh(length);
    }
}

static bool is_wanted(const struct call *call)
{
    return call->fn || call->adopting || call->watching.fn;
}

/* How many connections it may have ended. */
static unsigned count_try(const sealbuf_client *client, struct call *call)
{
    int64_t up = client->link.up_since, sent = call->submitted > up ? call->submitted : up;

    if (call->stands && now_ms() - sent >= NOT_BLAMED_MS)
        call->tries = 0;
    return ++call->tries;
}

/* A request that was sent and not answered. */
static void repeat_or_end(sealbuf_client *client, struct call *call, struct outbox *again)
{
    struct shipment shipment = {.count = 0};

    if (!call_is_idempotent(call)) {
        call_end_later(client, call, -SEALBUF_ERR_DISCONNECTED, unknown_outcome);
        call->unknown = true;
        return;
    }
    bool wanted = is_wanted(call);
    if (!wanted || !call->message || count_try(client, call) >= TRIES_AT_MOST) {
        call_end_later(client, call, -SEALBUF_ERR_DISCONNECTED, wanted && call->message ? ends_connections : NULL);
        return;
    }
    if (call->adopting)
        shipment_add_borrowed(&shipment, call->adopting->fd);
    call->watching.interrupted |= call->watching.told;
    forbid_taking(call);
    int r = outbox_put(again, call->message, call->length, &shipment);
    if (r < 0)
        call_end_later(client, call, r, NULL);
}

/* The messages in the outbox are those of the last calls; all before them were sent. */
static void sort_requests(sealbuf_client *client)
{
    struct outbox again = STAILQ_HEAD_INITIALIZER(again);
    const struct parcel *parcel = outbox_first(&client->outbox);
    struct walk walk = walk_begin(client);
    struct header first = {0};
    struct call *call;
    bool sent = true;

    if (parcel)
        header_decode(parcel->message, parcel->length, &first);
    while ((call = walk_next(&walk))) {
        sent = sent && call->serial != first.serial;
        if (sent && !call->outcome)
            repeat_or_end(client, call, &again);
        if (!call->stands)
            call->give_up_at = deadline_after(client->timeout_ms);
    }
    STAILQ_CONCAT(&again, &client->outbox);
    STAILQ_CONCAT(&client->outbox, &again);
}

static void give_up_one(sealbuf_client *client, struct call *call)
{
    if (call->outcome)
        return;
    call_end_later(client, call, -SEALBUF_ERR_DISCONNECTED, link_sentence(client));
    take_out_message(client, call);
}

/* The first calls are those that have waited longest; those that stand have each its own time. */
static void give_up(sealbuf_client *client)
{
    int64_t now = now_ms();
    struct call *call;

    TAILQ_FOREACH(call, &client->calls, link) {
        if (call->give_up_at < 0 || call->give_up_at > now)
            break;
        give_up_one(client, call);
    }
    TAILQ_FOREACH(call, &client->standing.calls, link)
        if (call->give_up_at >= 0 && call->give_up_at <= now)
            give_up_one(client, call);
}

/* ---- Losing ------------------------------------------------------------------------------------------------------ */

static int who_listened(int socket, uid_t *uid)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return -errno;
    *uid = peer.uid;
    return 0;
}

static void close_socket(sealbuf_client *client)
{
    if (client->socket < 0)
        return;
    poller_forget_socket(client);
    close_quietly(take_fd(&client->socket));
}

/* Back to seeking, after an attempt that came to nothing. */
static void seek(sealbuf_client *client, int error)
{
    struct link *link = &client->link;

    if (link->own)
        call_free(take_pointer(link->own));
    close_socket(client);
    link->last_error = error;
    link->state = LINK_AWAY;
    back_off(link);
}

int link_lost(sealbuf_client *client, int error)
{
    struct link *link = &client->link;
    bool was_up = link->state == LINK_UP;

    if (!link->reconnects || link->state == LINK_FIRST)
        return client_break_off(client, error);
    if (link->owner != getpid()) {
        client_keep_refusal(client, error,
                            "the connection belongs to the process that this one was forked from, and has ended; "
                            "connect anew");
        return client_break_off(client, error);
    }
    if (!link->peer_known)
        link->peer_known = who_listened(client->socket, &link->peer) == 0;
    if (was_up)
        sort_requests(client);
    seek(client, error);
    if (was_up) {
        link->figures.disconnections++;
        event_tell(client, &(struct sealbuf_event){.kind = SEALBUF_EVENT_DISCONNECTED, .error = error});
    }
    return LINK_LOST;
}

/* ---- Coming back ------------------------------------------------------------------------------------------------- */

/*
 * What this connection holds will be sent there without anybody being asked: so it must be who listened there before,
 * or root, as systemd is.
 */
static int check_peer(sealbuf_client *client, int socket)
{
    struct link *link = &client->link;
    char sentence[160];
    uid_t uid = 0;
    int r = who_listened(socket, &uid);

    if (r < 0 || !link->peer_known || uid == link->peer || uid == 0)
        return r;
    snprintf(sentence, sizeof(sentence),
             "uid %u listens at the broker's address now, where uid %u did; see who that is, and connect anew", uid,
             link->peer);
    client_keep_refusal(client, -SEALBUF_ERR_BAD_REPLY, sentence);
    return -SEALBUF_ERR_BAD_REPLY;
}

static int greet(sealbuf_client *client)
{
    struct call *call = connect_greeting(client, NULL, NULL);

    if (!call)
        return -ENOMEM;
    call->serial = client_serial(client);
    message_finish(&client->writer, &(struct header){.opcode = SEALBUF_OP_HELLO, .count = 1, .serial = call->serial});
    int r = packet_send(client->socket, client->writer.buffer, client->writer.used, NULL, 0);
    if (r < 0) {
        call_free(call);
        return r;
    }
    client->link.own = call;
    client->link.state = LINK_GREETING;
    return 0;
}

static int attempt(sealbuf_client *client)
{
    int r = connect_to(client->address, 0, client->timeout_ms);

    if (r >= 0) {
        int socket = r;
        r = check_peer(client, socket);
        if (r < 0) {
            close_quietly(socket);
            return client_break_off(client, r);
        }
        client->socket = socket;
        r = greet(client);
    }
    if (r < 0)
        seek(client, r == -EAGAIN || r == -EPIPE ? -SEALBUF_ERR_TIMED_OUT : r);
    return 0;
}

int link_advance(sealbuf_client *client)
{
    struct link *link = &client->link;
    int r = 0;

    give_up(client);
    while (r == 0 && !link->own && !link_up(link) && deadline_left(link->due) == 0)
        r = link->state == LINK_AWAY ? attempt(client) : readopt_step(client);
    return r < 0 ? r : 0;
}

/* The broker is there, but has no room for us, or is about to go. */
static bool is_temporary(int error)
{
    switch (-error) {
    case SEALBUF_ERR_LIMIT:
    case SEALBUF_ERR_MEMORY:
    case SEALBUF_ERR_TABLE_FULL:
    case SEALBUF_ERR_STOPPING:
    case SEALBUF_ERR_INTERNAL:
        return true;
    default:
        return false;
    }
}

static int take_greeting(sealbuf_client *client, const struct sealbuf_reply *reply)
{
    struct link *link = &client->link;
    int status = reply->status;

    if (status < 0 && is_temporary(status)) {
        seek(client, status);
        return LINK_LOST;
    }
    if (status < 0) {
        client_keep_refusal(client, status, reply->sentence);
        return client_break_off(client, status);
    }
    call_free(take_pointer(link->own));
    bool another = reply->hello.instance != link->figures.instance;
    link->another |= another;
    link->figures.instance = reply->hello.instance;
    link->figures.reconnections++;
    holdings_begin_round(client->holdings, reply->hello.instance);
    link->state = LINK_READOPTING;
    link->due = now_ms();
    event_tell(client, &(struct sealbuf_event){.kind = SEALBUF_EVENT_RECONNECTED, .another = another});
    return 0;
}

int link_take_own(sealbuf_client *client, struct sealbuf_reply *reply)
{
    return client->link.state == LINK_GREETING ? take_greeting(client, reply) : readopt_take(client, reply);
}
