/* SPDX-License-Identifier: MIT */
/* From a message to its handler, and from what the handler says to the reply. */
#ifndef DAEMON_DISPATCH_H
#define DAEMON_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"
#include "peer.h"
#include "quota.h"
#include "sealbuf-protocol.h"

struct aside;
struct paused;
struct seal_job;
struct store_job;
struct wait;

/* Serves a message. Descriptors that it has no use for stay in the list, for the caller to close. */
enum verdict dispatch(struct peer *peer, const uint8_t *message, size_t length, struct descriptors *descriptors);

/* Answers a message whose descriptors the kernel could not deliver. */
enum verdict dispatch_without_descriptors(struct peer *peer, const uint8_t *message, size_t length);

/*
 * All of these may leave the request with the peer, to go on later: in its `job`, `storing`, `aside` or `paused`.
 */

/* Goes on with a message for which a worker has added seals, or tried to. Takes the job. */
enum verdict dispatch_sealed(struct peer *peer, struct seal_job *job);

/* Goes on with a message whose buffers are stored now, or could not be. Takes the job. */
enum verdict dispatch_stored(struct peer *peer, struct store_job *job);

/* Goes on with a request that was put aside. */
enum verdict dispatch_again(struct peer *peer, const struct aside *aside);

/* Goes on with a request that was paused. It is done with, unless it is the peer's again. */
enum verdict dispatch_paused(struct paused *paused);
/* Whether all of it can be served anew instead, as if it had just come: it has sent and changed nothing. */
bool dispatch_may_begin_again(const struct paused *paused);

/* A GET that waits, and is ripe (wait.h): answered, and gone, or hung up again; or neither, for now. */
enum answering {
    ANSWERING_DONE,
    ANSWERING_PAUSED,  /* the turn is over */
    ANSWERING_NO_ROOM, /* no descriptor may be sent to the peer now */
};
enum answering dispatch_wait(struct wait *wait, enum verdict *verdict);

/* Refuses what was detached from its request; nobody will answer it any more. */
enum verdict dispatch_last(struct peer *peer, enum sealbuf_opcode opcode, uint32_t serial, int error);

/* Writes a refusal of a whole request, and returns its length. `met` where error is SEALBUF_ERR_LIMIT. */
size_t dispatch_refusal(uint8_t *message, size_t room, uint16_t opcode, uint32_t serial, int error,
                        const struct limit_met *met);

#endif
