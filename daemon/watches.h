/* SPDX-License-Identifier: MIT */
/* Watches (watch.h), as the broker and each peer have them. */
#ifndef DAEMON_WATCHES_H
#define DAEMON_WATCHES_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "tree.h"

struct watch;

/* Those of a peer, by serial. */
RB_HEAD(watch_tree, watch);
/* Those of a peer that have something to tell; or those of all that wait until descriptors have been received. */
TAILQ_HEAD(ready_watches, watch);

struct watches {
    struct ready_watches landing;
    struct event later; /* when they are tried again */
};

void watches_init(struct watches *watches, struct event_base *loop);

#endif
