/* SPDX-License-Identifier: MIT */
/*
 * The connection in the course of time: up, lost, sought, greeted, its buffers adopted anew, and up again.
 *
 * Nothing in here waits. Whoever dispatches takes the link a step further; link_due() says when the next one is due.
 * A request that could not be sent stays in the outbox meanwhile. One that was sent and not answered is put in front of
 * it again where repeating it does no harm; else it ends, and the program is told that its outcome is unknown.
 */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sealbuf.h"

enum link_state {
    LINK_FIRST,      /* the very first handshake is not over: if it fails, that is it */
    LINK_UP,         /* requests and replies */
    LINK_AWAY,       /* no socket; the next attempt is due some time */
    LINK_GREETING,   /* a socket, and HELLO on its way */
    LINK_READOPTING, /* what the last connection held is being adopted */
};

struct link {
    enum link_state state;
    bool reconnects;
    pid_t owner; /* a child of it has the same socket, but must not meddle with the rest */
    bool peer_known;
    uid_t peer;        /* who listened where it was connected first */
    unsigned failures; /* since the last reply */
    int last_error;    /* of the last attempt */
    int64_t due;       /* when the next step is */
    int64_t up_since;  /* requests were sent then at the earliest */
    uint64_t random;   /* for the jitter; 0: not seeded */
    int poller, timer; /* what sealbuf_fd returns, and what wakes it without a connection; -1: none */
    bool watched;      /* the poller has the socket */
    uint32_t watched_for;
    bool another;         /* instance than the one that knew the ids in the requests that wait */
    struct call *own;     /* HELLO or ADOPT, which the link itself has sent; NULL: none */
    uint64_t *readopting; /* the ids in that ADOPT, as they were before */
    char why[SEALBUF_MAX_TEXT + 1];
    struct sealbuf_connection figures;
};

/* The connection is lost, but not for good: nothing was called back, and something else is to be done now. */
#define LINK_LOST 2

/* Requests can be sent. */
static inline bool link_up(const struct link *link)
{
    return link->state <= LINK_UP;
}

void link_init(struct link *link, bool reconnects);
void link_end(sealbuf_client *client);
/* The first handshake is over. */
void link_greeted(sealbuf_client *client, uint64_t instance);
/* The socket has come to its end. LINK_LOST, or a negative error where the connection is broken off for good. */
int link_lost(sealbuf_client *client, int error);
/* Does what is due. 0, or a negative error where the connection is broken off for good. */
int link_advance(sealbuf_client *client);
/* A reply to link.own. 0, LINK_LOST, or a negative error where the connection is broken off for good. */
int link_take_own(sealbuf_client *client, struct sealbuf_reply *reply);
/* Somebody waits, and perhaps not as long as the next attempt would take: it is made now. */
void link_hurry(sealbuf_client *client);
/* In how many milliseconds something is due; -1: nothing is. */
int link_due(const sealbuf_client *client);
/* Whether it does no harm to have the request carried out twice. */
bool call_is_idempotent(const struct call *call);
/* What is to be said where the time is up and the connection is not back. */
const char *link_sentence(sealbuf_client *client);

/* ---- readopt.c ---- */

/* Adopts the next ones anew, or is done with all. 0, LINK_LOST, or a negative error. */
int readopt_step(sealbuf_client *client);
int readopt_take(sealbuf_client *client, struct sealbuf_reply *reply);

/* ---- poller.c ---- */

/* Tells the poller, where there is one, of the socket and of the time that is due now. */
void poller_update(sealbuf_client *client);
/* Before the socket is closed. */
void poller_forget_socket(sealbuf_client *client);

/* ---- event.c ---- */

void event_tell(sealbuf_client *client, const struct sealbuf_event *event);

#endif
