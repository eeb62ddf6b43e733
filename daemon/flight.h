/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in flight: sent, and not yet received.
 *
 * The kernel allows one uid RLIMIT_NOFILE of them, over all its sockets (unix(7), ETOOMANYREFS), and counts them
 * against the sender: the broker, for everybody. So one client that does not read could use up what all others need.
 * Here they are counted for whom they are sent to. A uid may have half of what the others leave, and a connection half
 * of what the others of its uid leave. A connection that has read everything may get one more message, while its uid
 * has less than three quarters, and a uid that has nothing in flight, while there is room at all.
 *
 * When they land, nobody tells. SIOCOUTQ shows whether a socket has been read empty, and it is asked when it matters.
 */
#ifndef DAEMON_FLIGHT_H
#define DAEMON_FLIGHT_H

#include <stdbool.h>

struct peer;

/* Whether so many descriptors may be sent to the peer now. */
bool flight_allowed(struct peer *peer, unsigned count);

/* They have been sent. */
void flight_sent(struct peer *peer, unsigned count);

/* Whether everything that was sent to it has been received: then it is not charged any more. */
bool flight_landed(struct peer *peer);

/* It is gone, and all that was on its way to it. */
void flight_forget(struct peer *peer);

#endif
