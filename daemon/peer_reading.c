/* SPDX-License-Identifier: MIT */
/* What is read from a peer, and when: only while it can be answered. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "dispatch.h"
#include "log.h"
#include "packet.h"
#include "peer.h"
#include "peer_parts.h"
#include "wait.h"
#include "watch.h"

/* A silent connection holds a slot for so long. */
static const struct timeval handshake_time = {.tv_sec = 10};

#define GREATEST_BURST      16
#define TURNS_BETWEEN_TRIES 16

bool peer_is_held_back(const struct peer *peer)
{
    return peer_is_busy(peer) || peer->full || peer->ending || peer->rests || !STAILQ_EMPTY(&peer->outbox);
}

void peer_listen(struct peer *peer)
{
    if (peer->timed && peer->greeted) {
        peer->timed = false;
        event_remove_timer(&peer->readable);
    }
    if (peer_is_held_back(peer))
        return;
    if (wait_next(peer) || watches_are_ready(peer))
        turn_wait(peer);
    if (peer->listening)
        return;
    peer->listening = true;
    event_add(&peer->readable, peer->timed ? &handshake_time : NULL);
}

void peer_stop_listening(struct peer *peer)
{
    if (!peer->listening)
        return;
    peer->listening = false;
    event_del(&peer->readable);
}

void peer_wake(struct peer *peer)
{
    peer->rests = false;
    if (!peer->ending)
        peer_listen(peer);
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
        peer_flush_later(peer, -ETOOMANYREFS);
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

enum verdict peer_read(struct peer *peer)
{
    enum verdict verdict = GO_ON;
    bool there = true;
    unsigned done = 0;

    peer->is_readable = false; /* where not all is read, the loop will tell again */
    while (there && verdict == GO_ON && done < peer->burst && !peer_is_held_back(peer) && LIST_EMPTY(&peer->claims)) {
        if (done && turn_is_over(peer->broker))
            break;
        verdict = read_message(peer, &there);
        peer_hold_back_if_full(peer);
        done += there;
        peer_end_request(peer);
    }
    peer_watch_claims(peer);
    adapt_burst(peer, done, there);
    return verdict;
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct peer *peer = argument;
    struct broker *broker = peer->broker;
    uid_t uid = peer->who.uid;

    (void)fd;
    if (what == EV_TIMEOUT) {
        peer_blame(peer, "no HELLO came in 10 seconds");
        peer_end_in_turn(peer);
        return;
    }
    peer->is_readable = true;
    if (turn_begin_at_once(peer)) {
        peer_take_turn(peer);
        turn_end(broker, uid);
        return;
    }
    turn_wait(peer);
    peer_stop_listening(peer); /* or the loop would hear of it again and again */
}

void peer_init_reading(struct peer *peer)
{
    peer->burst = 1;
    peer->timed = true;
    event_assign(&peer->readable, peer->broker->loop, peer->socket, EV_READ | EV_PERSIST, on_readable, peer);
    event_priority_set(&peer->readable, turn_priority(peer));
}
