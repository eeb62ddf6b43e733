/* SPDX-License-Identifier: MIT */
/*
 * One message with its descriptors over a SOCK_SEQPACKET socket.
 *
 * What the kernel does that surprises: recvmsg(2) returns 0 for an empty message that carries descriptors, so
 * control messages are read before 0 is taken for the end; where the descriptor table or the control buffer
 * is full, recvmsg succeeds, says MSG_CTRUNC, and has installed some descriptors already; room for one
 * descriptor is room for two.
 */
#ifndef PROTO_PACKET_H
#define PROTO_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "sealbuf-protocol.h"

/* Descriptors in a row, owned by the list. */
struct descriptors {
    unsigned count;
    int fd[SEALBUF_MAX_RECORDS];
};

static inline void descriptors_init(struct descriptors *list)
{
    list->count = 0;
}

/* Closes what the list still owns. */
void descriptors_close(struct descriptors *list);

/* Takes descriptor i out of the list, which goes on without owning it. */
int descriptors_take(struct descriptors *list, unsigned i);

enum packet_outcome {
    PACKET_OK,       /* a message is there, whole */
    PACKET_AGAIN,    /* nothing there now */
    PACKET_END,      /* the other side has closed, or sent an empty message without descriptors */
    PACKET_EMPTY,    /* an empty message that carried descriptors */
    PACKET_CUT,      /* longer than the buffer */
    PACKET_LOST_FDS, /* descriptors did not arrive, or not all; the bytes are there */
};

/*
 * Receives one message, without waiting where flags has MSG_DONTWAIT. On PACKET_OK and PACKET_LOST_FDS *length is its
 * length. All descriptors that arrive are close-on-exec, and owned by *list. Returns a packet_outcome, or a negative
 * errno of recvmsg(2).
 */
int packet_receive(int socket, int flags, void *buffer, size_t room, size_t *length, struct descriptors *list);

/* Whether nothing is left to receive on a socket that is shut down: neither a message nor an empty one. Blocks not. */
bool packet_is_drained(int socket);

/*
 * Sends one message without waiting and without SIGPIPE; the descriptors stay the caller's. 0, or a negative
 * errno: -EAGAIN: no room now. -ETOOMANYREFS: too many descriptors of this uid are in flight; later it may
 * work. -EPIPE, -ECONNRESET: the other side is gone. -EPERM: it takes no descriptors (SO_PASSRIGHTS,
 * Linux 6.16).
 */
int packet_send(int socket, const void *message, size_t length, const int *fds, unsigned count);

#endif
