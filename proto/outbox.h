/* SPDX-License-Identifier: MIT */
/*
 * Messages that wait until the other side reads. A descriptor in here is the outbox's own: a bare number could mean
 * another file by the time it is sent, when the buffer has gone and the number has been given to somebody's socket.
 */
#ifndef PROTO_OUTBOX_H
#define PROTO_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "sealbuf-protocol.h"

/* Descriptors to be sent with a message: some made for it and owned by it, others a buffer's. */
struct shipment {
    unsigned count;
    int fd[SEALBUF_MAX_RECORDS];
    bool owned[SEALBUF_MAX_RECORDS];
};

void shipment_add_owned(struct shipment *shipment, int fd);
void shipment_add_borrowed(struct shipment *shipment, int fd);
/* Closes what it owns from the n-th on, and forgets it. */
void shipment_cut(struct shipment *shipment, unsigned count);

struct parcel {
    STAILQ_ENTRY(parcel) link;
    uint8_t *message; /* behind the descriptors */
    size_t length;
    unsigned count;
    int fd[];
};

STAILQ_HEAD(outbox, parcel);

/*
 * Puts a message at the end. Takes the shipment's own descriptors and duplicates the others; afterwards the shipment
 * is empty. 0, -ENOMEM, or -EMFILE; then nothing was put and the shipment is as it was.
 */
int outbox_put(struct outbox *outbox, const uint8_t *message, size_t length, struct shipment *shipment);
struct parcel *outbox_first(struct outbox *outbox);
/* Takes the first one out, closes its descriptors, frees it. */
void outbox_drop_first(struct outbox *outbox);

#endif
