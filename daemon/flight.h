/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in flight: sent, and not yet received.
 *
 * The kernel allows one uid RLIMIT_NOFILE of them, over all its sockets (unix(7), ETOOMANYREFS), and counts them
 * against the sender: the broker, for everybody. So one client that does not read could use up what all others need.
 * Here they are counted for whom they are sent to. A uid may have its fair share (quota.h), and one that has nothing in
 * flight gets a message while there is room at all. So does a connection that has read everything, as long as its uid
 * has room; one that has not may have half of what the others of its uid leave of two thirds.
 *
 * A request that ships descriptors reserves them before it is served: it may take some turns until they are sent.
 *
 * When they land, nobody tells. SIOCOUTQ shows whether a socket has been read empty, and it is asked when it matters.
 */
#ifndef DAEMON_FLIGHT_H
#define DAEMON_FLIGHT_H

#include <stdbool.h>

struct peer;

/* Whether so many descriptors may be sent to the peer now; then they are reserved for its request. */
bool flight_reserve(struct peer *peer, unsigned count);
/* Its request is done with, or has gone. */
void flight_unreserve(struct peer *peer);

/* They have been sent: what was reserved is in flight now. */
void flight_sent(struct peer *peer, unsigned count);

/* Whether everything that was sent to it has been received: then it is not charged any more. */
bool flight_landed(struct peer *peer);

/* It is gone, and all that was on its way to it. */
void flight_forget(struct peer *peer);

#endif
