/* SPDX-License-Identifier: MIT */
/*
 * A request that was put aside: to go on in the loop's next turn, or to be tried again a moment later. Its peer is not
 * read from meanwhile, so it has one at most.
 */
#ifndef DAEMON_ASIDE_H
#define DAEMON_ASIDE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "request.h"

struct aside {
    struct peer *peer;
    struct event later;
    uid_t owner; /* of the name that a LIST goes on behind */
    uint8_t text_length;
    char text[SEALBUF_MAX_NAME]; /* of that name; empty where there is none */
    size_t length;
    uint8_t message[];
};

/* Copies the request and the name, which may be NULL. False: no memory. */
bool aside_put(struct request *request, unsigned milliseconds, const struct name *behind);

/* Its peer has gone. */
void aside_cancel(struct aside *aside);

#endif
