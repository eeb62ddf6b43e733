/* SPDX-License-Identifier: MIT */
/* What is sent to a peer, and what becomes of it where the peer does not read. */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "clock.h"
#include "flight.h"
#include "log.h"
#include "packet.h"
#include "peer.h"
#include "peer_parts.h"
#include "status.h"

/* How often to try again what no event tells of. */
#define RETRY_MS 10
/* From when on to look whether what is taken has been read, and how long to wait for it. */
#define CLAIM_LOOK_MS 10
#define CLAIM_TIME_NS 10000000000u

/*
 * A request is only read where its reply will find room, so that replies need not be kept: once so much may be unread
 * that a reply of the greatest length might not fit, the kernel is asked how much it is (SIOCOUTQ). What it charges for
 * a message is below SMALL_MESSAGE and twice its length.
 */
#define SMALL_MESSAGE  1280
#define GREATEST_REPLY (80 << 10)
#define SEND_BUFFER    (208 << 10) /* asked for; the kernel doubles it for its own needs, see socket(7) */

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
        peer_flush_later(peer, reason);
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
            peer_flush_later(peer, r);
            return;
        }
        if (r < 0) {
            lost(peer, r);
            peer_end(peer);
            return;
        }
        drop_first(peer);
    }
    peer_end_request(peer);
    peer_watch_claims(peer);
    peer_listen(peer);
}

static void flush_after(struct peer *peer, uint64_t milliseconds)
{
    struct timeval time = {.tv_sec = (time_t)(milliseconds / 1000),
                           .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000)};

    event_del(&peer->flush);
    event_assign(&peer->flush, peer->broker->loop, -1, 0, on_flush, peer);
    event_add(&peer->flush, &time);
}

void peer_flush_later(struct peer *peer, int reason)
{
    if (reason != -EAGAIN) {
        flush_after(peer, RETRY_MS);
        return;
    }
    event_del(&peer->flush);
    event_assign(&peer->flush, peer->broker->loop, peer->socket, EV_WRITE, on_flush, peer);
    event_add(&peer->flush, NULL);
}

void peer_hold_back_for(struct peer *peer, unsigned milliseconds)
{
    peer->full = true;
    flush_after(peer, milliseconds);
}

void peer_watch_claims(struct peer *peer)
{
    if (LIST_EMPTY(&peer->claims) || peer->full || outbox_first(&peer->outbox))
        return;
    uint64_t waited_ms = (clock_monotonic_ns() - peer->claimed_ns) / 1000000;
    flush_after(peer, waited_ms < CLAIM_LOOK_MS ? CLAIM_LOOK_MS : waited_ms);
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

void peer_hold_back_if_full(struct peer *peer)
{
    if (peer->full || outbox_first(&peer->outbox) || !is_full(peer))
        return;
    peer->full = true;
    peer_flush_later(peer, -EAGAIN);
}

void peer_init_sending(struct peer *peer)
{
    STAILQ_INIT(&peer->outbox);
    event_assign(&peer->flush, peer->broker->loop, -1, 0, on_flush, peer);
}

/* A send buffer that is small by the system's settings leaves what it can. */
void peer_set_send_buffer(struct peer *peer)
{
    int size = SEND_BUFFER;
    socklen_t length = sizeof(size);

    setsockopt(peer->socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (getsockopt(peer->socket, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0 || size < 0)
        size = SEND_BUFFER;
    peer->unread_at_most = (unsigned)(size > 2 * GREATEST_REPLY ? size - GREATEST_REPLY : size / 4);
}

void peer_stop_sending(struct peer *peer)
{
    event_del(&peer->flush);
    while (outbox_first(&peer->outbox))
        drop_first(peer);
}
