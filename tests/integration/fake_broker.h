/* SPDX-License-Identifier: MIT */
/*
 * A broker that is none: a child that listens on an abstract address and answers as a test's function says, well or
 * badly. It speaks by way of proto, except where a lie needs other bytes.
 */
#ifndef TESTS_INTEGRATION_FAKE_BROKER_H
#define TESTS_INTEGRATION_FAKE_BROKER_H

#include "codec.h"
#include "packet.h"
#include "support.h"

/* What it does with a connection, until it returns. */
typedef void fake_fn(int socket, void *argument);

struct fake {
    pid_t pid;
    char address[64]; /* @NAME */
};

/* Starts it; each connection is served by fn, one after the other, and then closed. */
void fake_start(struct fake *fake, fake_fn *serve, void *argument);
void fake_stop(struct fake *fake);

/* ---- For fn, in the child ---- */

/* A request that has arrived. False: the client has gone. */
bool fake_receive(int socket, struct header *request);
/* The first record of it. Its strings live until the next request. */
void fake_record(const struct schema *schema, void *record);
/* Waits until the client goes. */
void fake_await_end(int socket);
/* Takes the client's HELLO, and answers it as a broker does. */
void fake_greet(int socket);

/* An answer in the making: bytes and descriptors. */
struct answer {
    struct header header;
    struct writer writer;
    int fd[SEALBUF_MAX_RECORDS];
    unsigned descriptors; /* that are sent; what the header says of them is the header's */
    uint8_t message[SEALBUF_MAX_MESSAGE + 256];
};

void answer_begin(struct answer *answer, const struct header *request);
void answer_add(struct answer *answer, const struct schema *schema, const void *record);
/* Puts a descriptor along, which the answer owns, and counts it in the header. */
void answer_attach(struct answer *answer, int fd);
/* Writes the header in front; afterwards the bytes may be falsified. */
void answer_finish(struct answer *answer);
/* Sends what is there now, once there is room for it, and closes the descriptors. */
void answer_send(int socket, struct answer *answer);

/* A memfd with this size and these seals, opened read-only or read-write; mode 0444. */
int fake_memfd(uint64_t size, uint32_t seals, int access_mode);

#endif
