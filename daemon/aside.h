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
    unsigned milliseconds; /* that it waits, or waited */
    uid_t owner;           /* of the name that a LIST goes on behind */
    uint8_t text_length;
    char text[SEALBUF_MAX_NAME]; /* of that name; empty where there is none */
    size_t length;
    uint8_t message[];
};

/* For the loop's next turn: a LIST that goes on behind this name. Copies both. False: no memory. */
bool aside_put_behind(struct request *request, const struct name *behind);
/* To be tried again: soon at first, and ever less often. Copies it. False: no memory. */
bool aside_put_to_retry(struct request *request);

/* Its peer has gone. */
void aside_cancel(struct aside *aside);

#endif
