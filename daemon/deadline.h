/* SPDX-License-Identifier: MIT */
/*
 * Deadlines: of leases, tokens, requests that wait. Points in time of CLOCK_MONOTONIC, so that a clock that is set
 * changes none of them. In a tree, with one timer for the one that is next: there may be very many, and a timer for
 * each would let all that pass at the same moment call at once. So many pass in one turn of the loop.
 */
#ifndef DAEMON_DEADLINE_H
#define DAEMON_DEADLINE_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "tree.h"

struct deadline {
    RB_ENTRY(deadline) link;
    uint64_t ns; /* CLOCK_MONOTONIC; 0: there is none */
    void (*passed)(struct deadline *deadline);
};
RB_HEAD(deadline_tree, deadline);

struct deadlines {
    struct deadline_tree tree;
    struct event timer;
};

void deadlines_init(struct deadlines *deadlines, struct event_base *loop);

/* `passed` is called once when it has come; the deadline is cleared then. One that was set before is replaced. ns: 0
   clears it. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t ns,
                  void (*passed)(struct deadline *deadline));
void deadline_clear(struct deadlines *deadlines, struct deadline *deadline);
/* Until its timer has come, what has passed is still there: whoever finds it must ask. */
bool deadline_has_passed(const struct deadline *deadline);

/* So many milliseconds from now; 0 for 0, and for more than a year, which is as good as never. */
uint64_t deadline_in(uint64_t ms);
/* The milliseconds that are left, 1 at least; 0 where there is no deadline. */
uint64_t deadline_left_ms(uint64_t ns);

#endif
