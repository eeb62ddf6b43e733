/* SPDX-License-Identifier: MIT */
#include "outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static void shipment_add(struct shipment *shipment, int fd, bool owned)
{
    shipment->fd[shipment->count] = fd;
    shipment->owned[shipment->count] = owned;
    shipment->count++;
}

void shipment_add_owned(struct shipment *shipment, int fd)
{
    shipment_add(shipment, fd, true);
}

void shipment_add_borrowed(struct shipment *shipment, int fd)
{
    shipment_add(shipment, fd, false);
}

void shipment_cut(struct shipment *shipment, unsigned count)
{
    while (shipment->count > count) {
        shipment->count--;
        if (shipment->owned[shipment->count])
            close_quietly(shipment->fd[shipment->count]);
    }
}

static void parcel_free(struct parcel *parcel)
{
    for (unsigned i = 0; i < parcel->count; i++)
        close_quietly(parcel->fd[i]);
    if (parcel->message)
        explicit_bzero(parcel->message, parcel->length); /* it may have a token in it */
    free(parcel);
}

/* First the duplicates, which can fail, then the hand-over, which cannot. */
static int duplicate_borrowed(struct parcel *parcel, const struct shipment *shipment)
{
    for (unsigned i = 0; i < shipment->count; i++) {
        if (shipment->owned[i])
            continue;
        parcel->fd[i] = fcntl(shipment->fd[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (parcel->fd[i] < 0)
            return -errno;
    }
    return 0;
}

int outbox_put(struct outbox *outbox, const uint8_t *message, size_t length, struct shipment *shipment)
{
    struct parcel *parcel = malloc(sizeof(*parcel) + shipment->count * sizeof(int) + length);

    if (!parcel)
        return -ENOMEM;
    parcel->count = shipment->count;
    parcel->message = NULL;
    for (unsigned i = 0; i < parcel->count; i++)
        parcel->fd[i] = -1;
    int r = duplicate_borrowed(parcel, shipment);
    if (r < 0) {
        parcel_free(parcel);
        return r;
    }
    for (unsigned i = 0; i < shipment->count; i++)
        if (shipment->owned[i])
            parcel->fd[i] = shipment->fd[i];
    shipment->count = 0;
    parcel->message = (uint8_t *)&parcel->fd[parcel->count];
    parcel->length = length;
    memcpy(parcel->message, message, length);
    STAILQ_INSERT_TAIL(outbox, parcel, link);
    return 0;
}

struct parcel *outbox_first(struct outbox *outbox)
{
    return STAILQ_FIRST(outbox);
}

void outbox_drop_first(struct outbox *outbox)
{
    struct parcel *parcel = STAILQ_FIRST(outbox);

    STAILQ_REMOVE_HEAD(outbox, link);
    parcel_free(parcel);
}
