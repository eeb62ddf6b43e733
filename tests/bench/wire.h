/* SPDX-License-Identifier: MIT */
/*
 * The protocol without the library, which would be polite: messages made once and sent again and again, and replies of
 * which nothing is wanted but that they are there.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "codec.h"
#include "packet.h"

struct message {
    struct writer writer;
    uint16_t opcode, count;
    uint8_t bytes[SEALBUF_MAX_MESSAGE];
};

/* A request: begin, add records, end. -1 where a record does not fit; it has been said why. */
void message_begin(struct message *message, uint16_t opcode);
int message_add(struct message *message, const struct schema *schema, const void *record);
/* `descriptors`: how many will be attached, as the header says. */
void message_end(struct message *message, unsigned descriptors);

struct answer {
    struct header header;
    struct reader records;
    struct descriptors descriptors; /* closed by answer_release */
    uint8_t bytes[SEALBUF_MAX_MESSAGE];
};

/* A connection without and with the handshake: the socket, or -1; it has been said why. */
int wire_connect(const char *address);
int wire_open(const char *address);
/* The handshake alone: 0, or a negative errno, -ECONNRESET where the broker refused. */
int wire_greet(int socket);

/* 0, or a negative errno: -EAGAIN where it would have to wait. */
int wire_send(int socket, const struct message *message, const int *descriptors, unsigned count);
/* Waits for a message, unless `flags` has MSG_DONTWAIT. 0; -EAGAIN; -ECONNRESET at the end of the connection. */
int wire_receive(int socket, int flags, struct answer *answer);
/* The next record of the reply; -1 where it cannot be read. */
int answer_next(struct answer *answer, const struct schema *schema, void *record);
void answer_release(struct answer *answer);

/* Sends, and waits for the reply, whose header's status must be 0. -1; it has been said why. */
int wire_call(int socket, const struct message *message, struct answer *answer, const char *what);

#endif
