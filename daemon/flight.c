/* SPDX-License-Identifier: MIT */
#include "flight.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "clock.h"
#include "peer.h"

/* How many of those that were sent to longest ago are looked at when there is no room. */
#define LOOK_AT       64
#define LOOK_EVERY_NS 1000000u
/* The kernel charges a socket for more than this by each message that is unread: SKB_TRUESIZE(0) is 576 or more. */
#define MESSAGE_AT_LEAST 512u

void flight_forget(struct peer *peer)
{
    struct broker *broker = peer->broker;

    if (peer->in_flight == 0)
        return;
    TAILQ_REMOVE(&broker->in_flight, peer, flying);
    account_release(&broker->quota, peer->account, RESOURCE_IN_FLIGHT, peer->in_flight);
    peer->in_flight = peer->in_flight_at_most = 0;
}

/* Who reads all the time, and never all, has read what does not fit into the messages that may be unread. */
static void forget_what_was_read(struct peer *peer, unsigned unread)
{
    uint64_t left = (uint64_t)(unread / MESSAGE_AT_LEAST) * peer->in_flight_at_most;

    if (left >= peer->in_flight)
        return;
    account_release(&peer->broker->quota, peer->account, RESOURCE_IN_FLIGHT, peer->in_flight - left);
    peer->in_flight = (unsigned)left;
}

bool flight_landed(struct peer *peer)
{
    int unread;

    if (peer->in_flight == 0)
        return true;
    if (ioctl(peer->socket, SIOCOUTQ, &unread) < 0)
        return false;
    /* While the kernel frees the last message, it tells of one byte. */
    if (unread >= (int)MESSAGE_AT_LEAST) {
        forget_what_was_read(peer, (unsigned)unread);
        return false;
    }
    flight_forget(peer);
    return true;
}

void flight_sent(struct peer *peer, unsigned count)
{
    struct broker *broker = peer->broker;

    flight_unreserve(peer);
    if (count == 0)
        return;
    if (peer->in_flight)
        TAILQ_REMOVE(&broker->in_flight, peer, flying);
    TAILQ_INSERT_TAIL(&broker->in_flight, peer, flying);
    account_add(&broker->quota, peer->account, RESOURCE_IN_FLIGHT, count);
    peer->in_flight += count;
    if (count > peer->in_flight_at_most)
        peer->in_flight_at_most = count;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static bool fits(const struct peer *peer, unsigned count)
{
    struct quota *quota = &peer->broker->quota;
    uint64_t most = quota->limits->all[RESOURCE_IN_FLIGHT], of_uid = peer->account->held[RESOURCE_IN_FLIGHT];

    if (quota->held[RESOURCE_IN_FLIGHT] + count > most)
        return false;
    if (of_uid == 0)
        return true;
    uint64_t uid_may = quota_may_hold(quota, peer->who.uid, of_uid, RESOURCE_IN_FLIGHT);
    if (peer->in_flight == 0)
        return of_uid + count <= uid_may;
    return peer->in_flight + count <= minus(uid_may / 3 * 2, of_uid - peer->in_flight) / 2;
}

/* Those who have read everything are still counted until somebody looks; but not more often than it helps. */
static void look_at_others(struct broker *broker)
{
    struct peer *peer, *last = TAILQ_LAST(&broker->in_flight, flying_peers);
    uint64_t now = clock_monotonic_ns();

    if (now - broker->looked_ns < LOOK_EVERY_NS)
        return;
    broker->looked_ns = now;
    for (unsigned i = 0; i < LOOK_AT && (peer = TAILQ_FIRST(&broker->in_flight)); i++) {
        if (!flight_landed(peer)) {
            TAILQ_REMOVE(&broker->in_flight, peer, flying);
            TAILQ_INSERT_TAIL(&broker->in_flight, peer, flying);
        }
        if (peer == last)
            break;
    }
}

static bool make_room(struct peer *peer, unsigned count)
{
    if (fits(peer, count))
        return true;
    flight_landed(peer);
    if (fits(peer, count))
        return true;
    look_at_others(peer->broker);
    return fits(peer, count);
}

bool flight_reserve(struct peer *peer, unsigned count)
{
    if (!make_room(peer, count))
        return false;
    account_add(&peer->broker->quota, peer->account, RESOURCE_IN_FLIGHT, count);
    peer->reserved = count;
    return true;
}

void flight_unreserve(struct peer *peer)
{
    account_release(&peer->broker->quota, peer->account, RESOURCE_IN_FLIGHT, peer->reserved);
    peer->reserved = 0;
}
