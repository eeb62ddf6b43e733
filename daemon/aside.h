/* SPDX-License-Identifier: MIT */
/*
 * A request that was put aside, to be tried again a moment later, in its peer's turn. Its peer is not read from
 * meanwhile, so it has one at most.
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
    bool is_due;
    bool is_judged; /* it is known to be well-formed */
    size_t length;
    uint8_t message[];
};

/*
 * To be tried again: soon at first, and ever less often. Copies it. 1; or -ENOMEM; or -EDQUOT, *met says why: too many
 * requests of this user wait.
 */
int aside_put(struct request *request, struct limit_met *met);

/* A request that the program before has put aside, or that its workers were busy with. 0 or -ENOMEM. */
int aside_restore(struct peer *peer, const uint8_t *message, size_t length);

/* Its peer has gone. */
void aside_cancel(struct aside *aside);

#endif
