/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "aside.h"
#include "cleanup.h"
#include "clock.h"
#include "dispatch.h"
#include "errors.h"
#include "flight.h"
#include "log.h"
#include "message_id.h"
#include "packet.h"
#include "paused.h"
#include "sealing.h"
#include "status.h"
#include "storing.h"

/* A silent connection holds a slot for so long. */
static const struct timeval handshake_time = {.tv_sec = 10};
/* How often to try again what no event tells of. */
#define RETRY_MS 10
/* From when on to look whether what is taken has been read, and how long to wait for it. */
#define CLAIM_LOOK_MS 10
#define CLAIM_TIME_NS 10000000000u
/* And whether they have, where the connection has ended. */
static const struct timeval landing_time = {.tv_usec = 100000};

#define GREATEST_BURST      16
#define TURNS_BETWEEN_TRIES 16
/*
 * A request is only read where its reply will find room, so that replies need not be kept: once so much may be unread
 * that a reply of the greatest length might not fit, the kernel is asked how much it is (SIOCOUTQ). What it charges for
 * a message is below SMALL_MESSAGE and twice its length.
 */
#define SMALL_MESSAGE  1280
#define GREATEST_REPLY (80 << 10)
#define SEND_BUFFER    (208 << 10) /* asked for; the kernel doubles it for its own needs, see socket(7) */

/* From how many buffers on their closing is left to a worker. */
#define CLOSE_IN_BATCH 8
/* So many are released between two looks at the clock. */
#define RELEASE_AT_ONCE 2

static void flush_later(struct peer *peer, int reason);
static void take_last_turn(struct peer *peer);
static void listen_again(struct peer *peer);
static void end_in_turn(struct peer *peer);
static void on_landing(evutil_socket_t fd, short what, void *argument);
static void end_request(struct peer *peer);

void peer_blame(struct peer *peer, const char *reason)
{
    peer->broker->counters->disconnects++;
    log_about(LOG_NOTICE, &(struct log_subject){.message_id = MESSAGE_ID_DROPPED, .client = &peer->who}, "dropped: %s",
              reason);
}

bool peer_is_administrator(struct peer *peer)
{
    const struct config *config = peer->broker->config;
    uid_t uid = peer->who.uid;

    if (peer->who.is_unknown)
        return false;
    if (uid == 0 || uid == peer->broker->quota.own_uid)
        return true;
    return config->admin_group_set && credentials_have_group(&peer->who, peer->socket, config->admin_group);
}

/* 0, -EAGAIN (the socket is full), -ETOOMANYREFS (too many descriptors in flight), or the peer is gone. */
static int try_to_send(struct peer *peer, const uint8_t *message, size_t length, const int *fds, unsigned count)
{
    claims_suspend(peer);
    int r = packet_send(peer->socket, message, length, fds, count);

    if (r < 0) {
        claims_resume(peer);
        peer->was_reset |= r == -ECONNRESET;
        return r;
    }
    flight_sent(peer, count);
    if (!LIST_EMPTY(&peer->claims)) {
        peer->claimed_ns = clock_monotonic_ns();
        claims_sent(peer);
    }
    peer->unread += SMALL_MESSAGE + 2 * (unsigned)length;
    return 0;
}

static bool may_work_later(int r)
{
    return r == -EAGAIN || r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM;
}

static enum verdict lost(struct peer *peer, int r)
{
    if (r == -EPERM)
        peer_blame(peer, "its socket takes no descriptors (SO_PASSRIGHTS), but it asked for some");
    else if (r != -EPIPE && r != -ECONNRESET)
        log_client(LOG_WARNING, &peer->who, "cannot send: %s", strerror(-r));
    return END;
}

/* A reply that waits, and its descriptors. */
static bool charge_reply(struct peer *peer, unsigned descriptors)
{
    struct quota *quota = &peer->broker->quota;
    struct limit_met met;

    if (quota_charge(quota, peer->who.uid, RESOURCE_REPLIES, 1, &met))
        return false;
    if (quota_charge(quota, peer->who.uid, RESOURCE_QUEUED, descriptors, &met) == 0)
        return true;
    quota_release(quota, peer->who.uid, RESOURCE_REPLIES, 1);
    return false;
}

static void release_reply(struct peer *peer, unsigned descriptors)
{
    quota_release(&peer->broker->quota, peer->who.uid, RESOURCE_REPLIES, 1);
    quota_release(&peer->broker->quota, peer->who.uid, RESOURCE_QUEUED, descriptors);
}

static enum verdict queue(struct peer *peer, const uint8_t *message, size_t length, struct shipment *shipment,
                          int reason)
{
    unsigned count = shipment->count;
    bool first = !outbox_first(&peer->outbox);

    if (!charge_reply(peer, count)) {
        peer_blame(peer, "it does not read, and as many replies or descriptors wait for its user as may");
        return END;
    }
    int r = outbox_put(&peer->outbox, message, length, shipment);
    if (r < 0) {
        release_reply(peer, count);
        peer_blame(peer, r == -ENOMEM ? "it does not read, and there is no memory to keep its reply"
                                      : "it does not read, and there is no descriptor left to keep its reply");
        return END;
    }
    if (first)
        flush_later(peer, reason);
    return GO_ON;
}

enum verdict peer_send(struct peer *peer, const uint8_t *message, size_t length, struct shipment *shipment)
{
    int r = -EAGAIN;
    enum verdict verdict = GO_ON;

    status_touch(peer->broker->status);
    if (!outbox_first(&peer->outbox))
        r = try_to_send(peer, message, length, shipment->fd, shipment->count);
    if (r < 0)
        verdict = may_work_later(r) ? queue(peer, message, length, shipment, r) : lost(peer, r);
    return verdict;
}

/* Whether the peer has left so much unread that no more should be sent. */
static bool is_full(struct peer *peer)
{
    int unread;

    if (peer->unread <= peer->unread_at_most)
        return false;
    if (ioctl(peer->socket, SIOCOUTQ, &unread) < 0)
        return false;
    peer->unread = (unsigned)unread;
    return peer->unread > peer->unread_at_most;
}

/* Reads no more until the kernel says that there is room: at a quarter of the send buffer (unix_writable). */
static void hold_back_if_full(struct peer *peer)
{
    if (peer->full || outbox_first(&peer->outbox) || !is_full(peer))
        return;
    peer->full = true;
    flush_later(peer, -EAGAIN);
}

static void flush_after(struct peer *peer, uint64_t milliseconds);

/* Somebody who takes buffers is asked now and then, and ever less often, whether he has read: no event tells. */
static void watch_claims(struct peer *peer)
{
    if (LIST_EMPTY(&peer->claims) || peer->full || outbox_first(&peer->outbox))
        return;
    uint64_t waited_ms = (clock_monotonic_ns() - peer->claimed_ns) / 1000000;
    flush_after(peer, waited_ms < CLAIM_LOOK_MS ? CLAIM_LOOK_MS : waited_ms);
}

/* What it takes and does not read is there for nobody, and stays charged to its owner. */
static bool claims_are_overdue(const struct peer *peer)
{
    return !LIST_EMPTY(&peer->claims) && clock_monotonic_ns() - peer->claimed_ns > CLAIM_TIME_NS;
}

static void drop_first(struct peer *peer)
{
    release_reply(peer, outbox_first(&peer->outbox)->count);
    outbox_drop_first(&peer->outbox);
}

static void on_flush(evutil_socket_t fd, short what, void *argument)
{
    struct peer *peer = argument;
    struct parcel *parcel;

    (void)fd, (void)what;
    claims_settle(peer);
    if (claims_are_overdue(peer)) {
        peer_blame(peer, "it has not read for 10 seconds what it takes");
        peer_end(peer);
        return;
    }
    peer->full = false;
    while ((parcel = outbox_first(&peer->outbox))) {
        int r = try_to_send(peer, parcel->message, parcel->length, parcel->fd, parcel->count);
        if (r < 0 && may_work_later(r)) {
            flush_later(peer, r);
            return;
        }
        if (r < 0) {
            lost(peer, r);
            peer_end(peer);
            return;
        }
        drop_first(peer);
    }
    end_request(peer);
    watch_claims(peer);
    listen_again(peer);
}

static void flush_after(struct peer *peer, uint64_t milliseconds)
{
    struct timeval time = {.tv_sec = (time_t)(milliseconds / 1000),
                           .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000)};

    event_del(&peer->flush);
    event_assign(&peer->flush, peer->broker->loop, -1, 0, on_flush, peer);
    event_add(&peer->flush, &time);
}

/* A full socket tells when it has room. For all else there is only the clock; a peer that hangs up is noticed then. */
static void flush_later(struct peer *peer, int reason)
{
    if (reason != -EAGAIN) {
        flush_after(peer, RETRY_MS);
        return;
    }
    event_del(&peer->flush);
    event_assign(&peer->flush, peer->broker->loop, peer->socket, EV_WRITE, on_flush, peer);
    event_add(&peer->flush, NULL);
}

static bool is_busy(const struct peer *peer)
{
    return peer->job || peer->storing || peer->aside || peer->paused;
}

static bool held_back(const struct peer *peer)
{
    return is_busy(peer) || peer->full || peer->ending || peer->rests || !STAILQ_EMPTY(&peer->outbox);
}

/* Watches its socket, unless something holds it back. */
static void listen_again(struct peer *peer)
{
    if (peer->timed && peer->greeted) {
        peer->timed = false;
        event_remove_timer(&peer->readable);
    }
    if (peer->listening || held_back(peer))
        return;
    peer->listening = true;
    event_add(&peer->readable, peer->timed ? &handshake_time : NULL);
}

static void stop_listening(struct peer *peer)
{
    if (!peer->listening)
        return;
    peer->listening = false;
    event_del(&peer->readable);
}

bool peer_charge_request(struct peer *peer, struct limit_met *met)
{
    if (!peer->request_charged)
        peer->request_charged = quota_charge(&peer->broker->quota, peer->who.uid, RESOURCE_REQUESTS, 1, met) == 0;
    return peer->request_charged;
}

void peer_release_request(struct peer *peer)
{
    if (peer->request_charged)
        quota_release(&peer->broker->quota, peer->who.uid, RESOURCE_REQUESTS, 1);
    peer->request_charged = false;
}

/* Where nothing is left of it that takes time. */
static void end_request(struct peer *peer)
{
    if (!is_busy(peer))
        peer_release_request(peer);
}

/* Reads one message and has it served. *there: one was there. */
static enum verdict read_message(struct peer *peer, bool *there)
{
    struct broker *broker = peer->broker;
    struct descriptors list;
    size_t length;
    enum verdict verdict;

    *there = false;
    switch (reaper_patience(&broker->reaper, peer->who.uid)) {
    case PATIENCE_GONE:
        peer_blame(peer, "its user has sent many descriptors that are no memfds, and they cannot be closed");
        return END;
    case PATIENCE_SHORT:
        peer->full = true;
        flush_later(peer, -ETOOMANYREFS);
        return GO_ON;
    case PATIENCE_LEFT:
        break;
    }
    int r = packet_receive(peer->socket, MSG_DONTWAIT, broker->in, sizeof(broker->in), &length, &list);

    *there = r == PACKET_OK || r == PACKET_LOST_FDS;
    if (r != PACKET_OK)
        reaper_close_received(&broker->reaper, peer->who.uid, &list);
    switch (r) {
    case PACKET_OK:
        verdict = dispatch(peer, broker->in, length, &list);
        reaper_close_received(&broker->reaper, peer->who.uid, &list);
        peer->rests |= broker->is_resting && peer->account->held[RESOURCE_FOREIGN] > 0;
        return verdict;
    case PACKET_LOST_FDS:
        return dispatch_without_descriptors(peer, broker->in, length);
    case PACKET_AGAIN:
        return GO_ON;
    case PACKET_END:
        return END;
    case PACKET_EMPTY:
        peer_blame(peer, "it sent an empty message with descriptors");
        return END;
    case PACKET_CUT:
        peer_blame(peer, "it sent a message longer than 65536 bytes");
        return END;
    default:
        if (r == -ENOMEM || r == -ENOBUFS)
            return GO_ON;
        if (r != -ECONNRESET)
            log_client(LOG_WARNING, &peer->who, "cannot receive: %s", strerror(-r));
        peer->was_reset |= r == -ECONNRESET;
        return END;
    }
}

/*
 * A peer that waits for each reply is read once a turn, without a futile second try; one that sends many messages at
 * once is read many times a turn. Which of the two it is comes out of a second try now and then.
 */
static void adapt_burst(struct peer *peer, unsigned done, bool there)
{
    if (!there)
        peer->burst = done ? done : 1;
    else if (peer->burst > 1 || ++peer->turns % TURNS_BETWEEN_TRIES == 0)
        peer->burst = peer->burst * 2 < GREATEST_BURST ? peer->burst * 2 : GREATEST_BURST;
}

/* Reads and serves what has come, until the turn is over. */
static enum verdict read_messages(struct peer *peer)
{
    enum verdict verdict = GO_ON;
    bool there = true;
    unsigned done = 0;

    while (there && verdict == GO_ON && done < peer->burst && !held_back(peer) && LIST_EMPTY(&peer->claims)) {
        if (done && turn_is_over(peer->broker))
            break;
        verdict = read_message(peer, &there);
        hold_back_if_full(peer);
        done += there;
        end_request(peer);
    }
    watch_claims(peer);
    adapt_burst(peer, done, there);
    return verdict;
}

/* Goes on with the request that was left to go on later. */
static enum verdict go_on(struct peer *peer)
{
    enum verdict verdict = GO_ON;
    struct aside *aside = peer->aside;
    struct paused *paused = peer->paused;

    if (paused) {
        verdict = dispatch_paused(paused);
        if (paused->request.done) {
            peer->rests = peer->broker->is_resting;
            peer->paused = NULL;
            paused_drop(paused);
        }
    } else if (aside && aside->is_due) {
        peer->aside = NULL;
        verdict = dispatch_again(peer, aside);
        free(aside);
    } else if (peer->job && sealing_is_done(peer->job)) {
        verdict = dispatch_sealed(peer, take_pointer(peer->job));
    } else if (peer->storing && storing_is_done(peer->storing)) {
        verdict = dispatch_stored(peer, take_pointer(peer->storing));
    }
    if (verdict == GO_ON && !is_busy(peer)) {
        end_request(peer);
        hold_back_if_full(peer);
        watch_claims(peer);
    }
    return verdict;
}

/* Which of several replies it has read, nobody could tell: so one that takes is served one request at a time. */
static bool waits_for_claims(struct peer *peer)
{
    if (LIST_EMPTY(&peer->claims))
        return false;
    claims_settle(peer);
    end_request(peer);
    if (LIST_EMPTY(&peer->claims))
        return false;
    stop_listening(peer);
    watch_claims(peer);
    return true;
}

void peer_take_turn(struct peer *peer)
{
    enum verdict verdict;

    if (peer->ending) {
        take_last_turn(peer);
        return;
    }
    if (is_busy(peer))
        verdict = go_on(peer);
    else if (held_back(peer) || waits_for_claims(peer))
        return;
    else
        verdict = read_messages(peer);
    if (verdict == END) {
        peer_end(peer);
        return;
    }
    if (peer->paused)
        turn_wait(peer);
    if (held_back(peer))
        stop_listening(peer);
    else
        listen_again(peer);
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct peer *peer = argument;
    struct broker *broker = peer->broker;
    uid_t uid = peer->who.uid;

    (void)fd;
    if (what == EV_TIMEOUT) {
        peer_blame(peer, "no HELLO came in 10 seconds");
        end_in_turn(peer);
        return;
    }
    if (turn_begin_at_once(peer)) {
        peer_take_turn(peer);
        turn_end(broker, uid);
        return;
    }
    turn_wait(peer);
    stop_listening(peer); /* or the loop would hear of it again and again */
}

static int admit(struct broker *broker, const struct credentials *who, struct limit_met *met)
{
    if (reaper_patience(&broker->reaper, who->uid) == PATIENCE_GONE)
        return SEALBUF_ERR_TABLE_FULL;
    return quota_charge(&broker->quota, who->uid, RESOURCE_CONNECTIONS, 1, met);
}

static void turn_away(const struct credentials *who, int socket, int error, const struct limit_met *met)
{
    uint8_t message[HEADER_SIZE + SEALBUF_MAX_TEXT];
    size_t length = dispatch_refusal(message, sizeof(message), SEALBUF_OP_HELLO, 0, error, met);

    packet_send(socket, message, length, NULL, 0);
    const char *message_id = error == SEALBUF_ERR_LIMIT ? MESSAGE_ID_LIMIT : MESSAGE_ID_NOT_ADMITTED;
    log_about(LOG_NOTICE, &(struct log_subject){.message_id = message_id, .client = who}, "not admitted: %s%s",
              error == SEALBUF_ERR_LIMIT ? "it is at the limit " : "",
              error == SEALBUF_ERR_LIMIT ? met->key : error_entry((uint32_t)error)->cause);
}

/* How much may be unread. A send buffer that is small by the system's settings leaves what it can. */
static unsigned set_send_buffer(int socket)
{
    int size = SEND_BUFFER;
    socklen_t length = sizeof(size);

    setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0 || size < 0)
        size = SEND_BUFFER;
    return (unsigned)(size > 2 * GREATEST_REPLY ? size - GREATEST_REPLY : size / 4);
}

/* Its connection has been charged. */
static struct peer *new_peer(struct broker *broker, const struct credentials *who)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return NULL;
    peer->broker = broker;
    peer->socket = who->socket;
    peer->who = *who;
    peer->burst = 1;
    peer->account = quota_find(&broker->quota, who->uid);
    peer->timed = true;
    LIST_INIT(&peer->held);
    LIST_INIT(&peer->claims);
    STAILQ_INIT(&peer->outbox);
    LIST_INSERT_HEAD(&broker->peers, peer, link);
    event_assign(&peer->readable, broker->loop, peer->socket, EV_READ | EV_PERSIST, on_readable, peer);
    event_priority_set(&peer->readable, turn_priority(peer));
    event_assign(&peer->flush, broker->loop, -1, 0, on_flush, peer);
    return peer;
}

void peer_create(struct broker *broker, int socket_taken, const char *door)
{
    CLEANUP(cleanup_close)
    int socket = socket_taken;
    struct credentials who;
    struct limit_met met = {.key = NULL};

    if (credentials_of_peer(socket, &who) < 0) /* it has gone already */
        return;
    snprintf(who.door, sizeof(who.door), "%s", door);
    int r = admit(broker, &who, &met);
    if (r) {
        turn_away(&who, socket, r, &met);
        return;
    }
    struct peer *peer = new_peer(broker, &who);
    if (!peer) {
        quota_release(&broker->quota, who.uid, RESOURCE_CONNECTIONS, 1);
        return;
    }
    take_fd(&socket);
    peer->unread_at_most = set_send_buffer(peer->socket);
    peer->rests = broker->is_resting;
    listen_again(peer);
    status_touch(broker->status);
    log_client(LOG_DEBUG, &peer->who, "connected");
}

struct peer *peer_restore(struct broker *broker, int *socket)
{
    struct credentials who;

    errno = ENOMEM;
    int r = credentials_of_peer(*socket, &who);
    if (r < 0)
        errno = -r;
    if (r < 0 || quota_restore(&broker->quota, who.uid, RESOURCE_CONNECTIONS, 1))
        return NULL;
    struct peer *peer = new_peer(broker, &who);
    if (peer)
        take_fd(socket);
    else
        quota_release(&broker->quota, who.uid, RESOURCE_CONNECTIONS, 1);
    return peer;
}

int peer_restore_reply(struct peer *peer, const uint8_t *message, size_t length, struct shipment *shipment)
{
    struct quota *quota = &peer->broker->quota;
    unsigned count = shipment->count;

    int r = outbox_put(&peer->outbox, message, length, shipment);
    if (r < 0)
        return r;
    account_add(quota, peer->account, RESOURCE_REPLIES, 1);
    account_add(quota, peer->account, RESOURCE_QUEUED, count);
    return 0;
}

void peer_go_on(struct peer *peer)
{
    if (peer->ending) {
        turn_wait(peer);
        return;
    }
    if (peer->full || outbox_first(&peer->outbox))
        flush_later(peer, -EAGAIN);
    watch_claims(peer);
    listen_again(peer);
}

bool peer_is_in_the_middle(const struct peer *peer)
{
    return peer->paused && !dispatch_may_begin_again(peer->paused);
}

void peer_wake(struct peer *peer)
{
    peer->rests = false;
    if (!peer->ending)
        listen_again(peer);
}

/* Drops the buffers that it held, until the turn is over, or all of them. True: there are none any more. */
static bool release_buffers(struct peer *peer, bool all)
{
    struct reaper *reaper = &peer->broker->reaper;
    struct buffer *buffer = LIST_FIRST(&peer->held);
    unsigned count = 0;

    for (; buffer && count <= CLOSE_IN_BATCH; buffer = LIST_NEXT(buffer, held))
        count++;
    if (count > CLOSE_IN_BATCH)
        reaper_begin_batch(reaper);
    for (count = 0; (buffer = LIST_FIRST(&peer->held)); count++) {
        if (!all && count && count % RELEASE_AT_ONCE == 0 && turn_is_over(peer->broker))
            break;
        buffer_unhold(&peer->broker->buffers, buffer);
    }
    reaper_end_batch(reaper);
    return !buffer;
}

/* Nothing more is read, and nothing more is served. */
static void stop_serving(struct peer *peer)
{
    stop_listening(peer);
    turn_forget(peer);
    event_del(&peer->flush);
    if (peer->job)
        sealing_forget_peer(take_pointer(peer->job));
    storing_free(take_pointer(peer->storing));
    if (peer->aside)
        aside_cancel(take_pointer(peer->aside));
    if (peer->paused)
        paused_drop(take_pointer(peer->paused));
    peer_release_request(peer);
    flight_unreserve(peer);
    while (outbox_first(&peer->outbox))
        drop_first(peer);
}

/*
 * What it has sent and nobody has read may hold the last descriptor of a big buffer, which the close would free, or
 * foreign ones, which may never be closed.
 */
static void close_socket(struct peer *peer)
{
    shutdown(peer->socket, SHUT_RDWR);
    if (packet_is_drained(peer->socket))
        close(peer->socket);
    else
        reaper_close_unread(&peer->broker->reaper, peer->who.uid, peer->socket);
}

void peer_destroy(struct peer *peer)
{
    struct broker *broker = peer->broker;

    status_touch(broker->status);
    log_client(LOG_DEBUG, &peer->who, "disconnected");
    stop_serving(peer);
    release_buffers(peer, true);
    claims_end(peer);
    flight_forget(peer);
    close_socket(peer);
    LIST_REMOVE(peer, link);
    quota_release(&broker->quota, peer->who.uid, RESOURCE_CONNECTIONS, 1);
    credentials_release(&peer->who);
    free(peer);
}

static void on_landing(evutil_socket_t fd, short what, void *argument)
{
    struct peer *peer = argument;

    (void)fd, (void)what;
    if (flight_landed(peer))
        peer_destroy(peer);
    else
        event_add(&peer->flush, &landing_time);
}

/* Its last turn, or one of them: many buffers take more than one. */
static void take_last_turn(struct peer *peer)
{
    if (!release_buffers(peer, false)) {
        turn_wait(peer);
        return;
    }
    if (flight_landed(peer)) {
        peer_destroy(peer);
        return;
    }
    event_assign(&peer->flush, peer->broker->loop, -1, 0, on_landing, peer);
    event_add(&peer->flush, &landing_time);
}

static void prepare_end(struct peer *peer)
{
    stop_serving(peer);
    shutdown(peer->socket, SHUT_RDWR);
    peer->ending = true;
}

/* Many may have to end at the same moment. */
static void end_in_turn(struct peer *peer)
{
    prepare_end(peer);
    turn_wait(peer);
}

void peer_end(struct peer *peer)
{
    prepare_end(peer);
    take_last_turn(peer);
}
