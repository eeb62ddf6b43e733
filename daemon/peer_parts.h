/* SPDX-License-Identifier: MIT */
/* What the files of the peer have of each other, and nobody else should use. */
#ifndef DAEMON_PEER_PARTS_H
#define DAEMON_PEER_PARTS_H

#include "peer.h"

/* Whether a request of its is left to go on later. */
bool peer_is_busy(const struct peer *peer);
/* Its request is answered, where nothing is left of it that takes time. */
void peer_end_request(struct peer *peer);

/* ---- Reading: peer_reading.c ------------------------------------------------------------------------------------- */

/* Its account has to be there. */
void peer_init_reading(struct peer *peer);
/* Whether something keeps it from being read. */
bool peer_is_held_back(const struct peer *peer);
/* Watches its socket, unless something holds it back. */
void peer_listen(struct peer *peer);
void peer_stop_listening(struct peer *peer);
/* Reads and serves what has come, until the turn is over. */
enum verdict peer_read(struct peer *peer);

/* ---- Sending: peer_sending.c ------------------------------------------------------------------------------------- */

void peer_init_sending(struct peer *peer);
/* Makes its send buffer big enough, and sets how much in it may be unread. */
void peer_set_send_buffer(struct peer *peer);
/* Drops the replies that wait. */
void peer_stop_sending(struct peer *peer);
/* A full socket (-EAGAIN) tells when it has room. For all else there is only the clock; who hangs up is noticed then.
 */
void peer_flush_later(struct peer *peer, int reason);
/* Neither reads nor answers for so long. */
void peer_hold_back_for(struct peer *peer, unsigned milliseconds);
/* Reads no more until the kernel says that there is room: at a quarter of the send buffer (unix_writable). */
void peer_hold_back_if_full(struct peer *peer);
/* Somebody who takes buffers is asked now and then, and ever less often, whether he has read: no event tells. */
void peer_watch_claims(struct peer *peer);

/* ---- Ending: peer_ending.c --------------------------------------------------------------------------------------- */

/* As peer_end, but in its turn: many may have to end at the same moment. */
void peer_end_in_turn(struct peer *peer);
/* Its last turn, or one of them: many buffers take more than one. */
void peer_take_last_turn(struct peer *peer);

#endif
