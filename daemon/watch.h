/* SPDX-License-Identifier: MIT */
/*
 * Watches: who is told what changes in a namespace, after all that is there.
 *
 * A watch has a place in the change log of its namespace and nothing else: no queue of its own. Where it has caught up
 * it is idle, hangs on its point (changes.h), and costs nothing until something changes that it asks for. Else it is
 * ready, and is served in its peer's turn, a message at a time, as long as the peer reads. Where the peer does not, the
 * log goes on without it; when it reads again, and the log does not reach back so far any more, it is told so, once,
 * and then all that is there.
 */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "changes.h"
#include "peer.h"
#include "walk.h"

struct broker;
struct handover;
struct handover_watch;
struct limit_met;
struct watch_request;

enum watch_state {
    WATCH_IDLE,    /* caught up: on its point */
    WATCH_READY,   /* among those of its peer that have something to tell */
    WATCH_LANDING, /* among those of all peers that wait until descriptors have been received */
};

struct watch {
    RB_ENTRY(watch) of_peer; /* by serial */
    TAILQ_ENTRY(watch) link; /* while it is not idle: where its state says */
    struct hook hook;        /* which hangs while it is idle */
    struct peer *peer;
    enum watch_state state;
    uint32_t serial, flags;
    uid_t owner;
    uint64_t seen;   /* up to this change it has been told everything */
    bool told;       /* something, that an overflow would make void */
    bool overflowed; /* and that is to be told next */
    bool walking;    /* not all that is there has been told */
    bool to_sync;    /* that it has been is to be told next */
    struct walk walk;
    uint8_t prefix_length;
    char prefix[];
};
/* Begins one, which tells its first message in this turn of its peer. 0, SEALBUF_ERR_LIMIT with *met, or _MEMORY. */
int watch_begin(struct peer *peer, uint32_t serial, const struct watch_request *in, struct limit_met *met);
/* The peer's watch with this serial, or NULL. */
struct watch *watch_find(struct peer *peer, uint32_t serial);
/* Ends it; what its last message is to say, the caller says. False: there is none. */
bool watch_cancel(struct peer *peer, uint32_t serial);
static inline bool watches_are_ready(const struct peer *peer)
{
    return !TAILQ_EMPTY(&peer->ready_watches);
}
/* In the peer's turn: what its watches have to tell, until the turn is over or the peer has enough to read. */
enum verdict watches_serve(struct peer *peer);
/* Its connection has ended. They end, all or until the turn is over: false then. */
bool watches_end(struct peer *peer, bool all);

void watches_hand_over(struct peer *peer, struct handover *handover);
/* One from the program before. 0 or -ENOMEM. */
int watch_restore(struct peer *peer, const struct handover_watch *record);

#endif
