/* SPDX-License-Identifier: MIT */
/*
 * A peer: the broker's view of one connection.
 *
 * It is read from only while it can be answered: not while a reply waits in its outbox, nor while a worker is busy for
 * it. So its replies come in the order of its requests, what it can make the broker keep is bounded, and the queue that
 * grows is in its own socket.
 */
#ifndef DAEMON_PEER_H
#define DAEMON_PEER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "broker.h"
#include "claim.h"
#include "credentials.h"
#include "outbox.h"
#include "tree.h"
#include "watches.h"

struct aside;
struct name;
struct paused;
struct seal_job;
struct store_job;
struct wait;

LIST_HEAD(connected_names, name);

struct peer {
    LIST_ENTRY(peer) link;
    struct broker *broker;
    int socket;
    struct credentials who;
    struct account *account; /* its uid's, which lives as long as a connection of it */
    TAILQ_ENTRY(peer) turn;  /* among those of its uid, while it waits for its turn */
    bool waits;
    bool ending;                /* nothing is left to do but to release what it held */
    bool request_charged;       /* its request may take time */
    bool listening;             /* its socket is watched */
    bool is_readable;           /* and has been found readable, and not been read since */
    bool timed;                 /* until HELLO comes */
    bool greeted;               /* HELLO has come */
    unsigned burst;             /* messages to read in one turn */
    unsigned turns;             /* with a burst of one */
    unsigned in_flight;         /* descriptors, see flight.h */
    unsigned in_flight_at_most; /* in one message of those */
    unsigned reserved;          /* of them, for the request that is served */
    unsigned unread;            /* bytes that the kernel may keep for it, at most, since its socket was last asked */
    unsigned unread_at_most;
    bool was_reset;                   /* it has gone, and left something unread */
    bool asked_reexec;                /* and waits to be told how that went */
    bool full;                        /* it has left too much unread: nothing is read until there is room */
    bool rests;                       /* nothing is read before the broker's next program does: broker->is_resting */
    TAILQ_ENTRY(peer) flying;         /* in the broker's list, while in_flight */
    struct seal_job *job;             /* a worker is busy for it */
    struct store_job *storing;        /* the service manager is */
    struct aside *aside;              /* a request of its that is tried again later */
    struct paused *paused;            /* a request of its that goes on in its next turn */
    RB_HEAD(wait_tree, wait) waiting; /* its GETs that wait, by serial */
    TAILQ_HEAD(ripe_waits, wait) ripe_waits; /* those of them that are to be looked at */
    struct wait *chosen;                     /* the one of these that was woken alone */
    unsigned patience_ms;                    /* between two tries to answer these, where nothing may be sent */
    struct held_buffers held;
    struct connected_names names; /* that it has published until it ends */
    uint64_t claimed_ns;          /* when the last of these was sent */
    struct claims claims;         /* what it is taking out of the broker */
    struct watch_tree watches;
    struct ready_watches ready_watches; /* those of them that have something to tell */
    struct outbox outbox;
    struct event readable;
    struct event flush; /* for what is in the outbox: the socket is writable, or it is time to try again */
};

/* Whether the connection goes on after a message. */
enum verdict { GO_ON, END };

/* Takes the socket in every case. Peers that may not connect are told why. */
void peer_create(struct broker *broker, int socket, const char *door);

/*
 * The connection of a peer of the program before (handover.h), which was admitted then; takes the socket on success
 * only. It is charged for nothing but that it is there, and nothing is read from it before peer_go_on. NULL: no memory,
 * or no socket that has a peer; errno says which.
 */
struct peer *peer_restore(struct broker *broker, int *socket);
/* A reply that waited for it. Takes the descriptors in the shipment. 0 or a negative errno. */
int peer_restore_reply(struct peer *peer, const uint8_t *message, size_t length, struct shipment *shipment);
/* It is all there again. */
void peer_go_on(struct peer *peer);

/* Whether its request has begun to do something, and cannot be handed over; its next turns end that. */
bool peer_is_in_the_middle(const struct peer *peer);
/* It is read from again, if it rests. */
void peer_wake(struct peer *peer);

/*
 * Ends the connection. What descriptors are still on their way to a client that does not read stays charged to it, and
 * so does its connection, until it has read or closed.
 */
void peer_end(struct peer *peer);
/* At once, whatever is on its way: when the broker stops. */
void peer_destroy(struct peer *peer);

/*
 * Sends, or queues where the peer does not read, and empties the shipment. END: it cannot be reached, or holds too
 * much already.
 */
enum verdict peer_send(struct peer *peer, const uint8_t *message, size_t length, struct shipment *shipment);

/* Goes on with what it is about, or reads what it has sent; until its turn is over. Then it may be gone. */
void peer_take_turn(struct peer *peer);

/* Whether what waits may be answered now. */
bool peer_can_be_answered(const struct peer *peer);

/* Whose names it means by this owner in a request. */
static inline uid_t peer_owner(const struct peer *peer, uint32_t owner)
{
    return owner == SEALBUF_OWNER_SELF ? peer->who.uid : owner;
}
/* It gets a turn as soon as it can be answered. */
void peer_has_ripe_waits(struct peer *peer);

/* Charges its request as one that waits, if that has not been done. False: too many of its user's do; *met. */
bool peer_charge_request(struct peer *peer, struct limit_met *met);
/* It is answered. */
void peer_release_request(struct peer *peer);

/* root, the broker's own user, or a member of the group that the configuration names: who may list and remove all. */
bool peer_is_administrator(struct peer *peer);

/* Logs why, at most so often, and counts. The caller then ends the connection. */
void peer_blame(struct peer *peer, const char *reason);

#endif
