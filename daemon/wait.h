/* SPDX-License-Identifier: MIT */
/*
 * Waits: GETs that wait for a name. One costs its memory, and nothing else, until a change concerns it (changes.h).
 * Then it is ripe, and is looked at in its peer's turn: answered, as any GET, or hung up again. So is one whose time
 * is up. Only while its peer can be answered; meanwhile it stays ripe, and nothing is kept for it but itself.
 */
#ifndef DAEMON_WAIT_H
#define DAEMON_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "changes.h"
#include "deadline.h"
#include "peer.h"
#include "request.h"
#include "tree.h"

struct handover_wait;

struct wait {
    RB_ENTRY(wait) of_peer;
    TAILQ_ENTRY(wait) ripe; /* while is_ripe */
    struct hook hook;
    struct deadline deadline;
    struct peer *peer;
    struct search *search; /* of a GET of the first name: behind the message */
    uint64_t since;        /* with FIRST: the last change before the search began */
    uint64_t begun_seq;    /* the last change before it waited */
    uint64_t ticket;       /* it was woken alone, see changes.h; 0: it was not */
    int ended;             /* SEALBUF_ERR_TIMED_OUT: it is to be told so */
    bool is_ripe;
    bool takes_any; /* what it is to be newer than is gone: every generation is newer */
    uint32_t serial;
    uint32_t length;
    uint8_t *message; /* behind it */
};

/* What is wrong with a GET that waits, or is of the first name, which no other GET could have wrong. 0 or a refusal. */
int wait_check(struct request *request, const struct get_request *in);

/*
 * Whether a GET that may wait can be answered now: 0, also with an error. Else it waits from now on: REQUEST_DETACHED;
 * or could not: what refuse() returned.
 */
int wait_begin(struct request *request, const struct get_request *in);

/* What comes of looking at a ripe one. */
enum looking {
    LOOKING_OVER,    /* there is something to answer */
    LOOKING_NOT_YET, /* it waits on */
    LOOKING_PAUSED,  /* the turn is over: to be called again */
};
enum looking wait_look(struct wait *wait, struct request *request, struct get_request *in);

/* Its time is up: the error, with a sentence that tells what there is instead. */
int wait_in_vain(struct wait *wait, struct request *request, const struct get_request *in);

/* It has been answered; `took` what only one can have, or else another one is woken for that. */
void wait_end(struct wait *wait, bool took);

struct wait *wait_find(struct peer *peer, uint32_t serial);
/* The next one that is to be looked at, or NULL. */
struct wait *wait_next(struct peer *peer);
/* The peer cannot be answered now: what one of its waits was woken for alone, another peer's may have. */
void waits_pass_on(struct peer *peer);
/* The connection has ended: drops them, until the turn is over, or all of them. True: there are none any more. */
bool waits_drop(struct peer *peer, bool all);

/* For a handover. */
struct wait *wait_first(struct peer *peer);
struct wait *wait_after(struct wait *wait);
void wait_to_handover(const struct wait *wait, struct handover_wait *record);
/* It is looked at once the peer goes on. 0 or a negative errno. */
int wait_restore(struct peer *peer, const struct handover_wait *record);

#endif
