/* SPDX-License-Identifier: MIT */
/* What a watch tells: a message of events, out of the change log and of what is there. */
#ifndef DAEMON_TELLING_H
#define DAEMON_TELLING_H

#include "outbox.h"
#include "watch.h"

enum telling_end {
    TELLING_ALL,     /* there is nothing more to tell for now */
    TELLING_MORE,    /* there is, or there may be: the message is full, or the turn is over */
    TELLING_LANDING, /* there is, but descriptors must land first; the message is empty */
};

struct telling {
    struct watch *watch;
    struct broker *broker;
    struct writer writer;
    struct shipment shipment;
    unsigned count;    /* of events */
    unsigned may_ship; /* so many descriptors in all */
    bool is_full;
};

/* Puts the next message together, in the broker's `out`; the watch has told it then. */
enum telling_end tell(struct telling *telling, struct watch *watch);

#endif
