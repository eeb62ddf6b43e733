/* SPDX-License-Identifier: MIT */
/*
 * Turns: who is served next, and for how long.
 *
 * The loop's time is shared out by uid. It is measured how busy each uid keeps the loop. Whoever asks for little is
 * served as soon as it asks. Whoever asks for much waits in a queue, uid by uid, the least busy one first, and is
 * served for a slice at a time; before the next slice the loop looks who else has come. A request that takes longer
 * than a slice is paused, and goes on in its peer's next turn. So what a client waits for others does not depend on how
 * much they ask for, nor on how many connections they have.
 *
 * A uid that has the loop for itself, over a few connections, is served at once, too: there is nobody to be fair to.
 */
#ifndef DAEMON_TURN_H
#define DAEMON_TURN_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

struct account;
struct broker;
struct peer;

struct turns {
    TAILQ_HEAD(waiting_accounts, account) waiting; /* with peers that wait for a turn */
    unsigned peers;                                /* that wait */
    struct event next;                             /* active while some wait */
    uint64_t begun_ns, over_ns;                    /* the slice that is being used */
    uint64_t alone_ns;                             /* since when one uid alone is served */
    uid_t last_uid;                                /* it */
};

/*
 * Priorities of events (event_priority_set(3)): the first few connections of each uid are looked at first; of all else,
 * the other connections too, so many are called in one pass of the loop. (libevent can also bound a pass by time, but
 * its clock has the resolution of a tick, and a better one costs system calls.)
 */
enum { PRIORITY_FEW, PRIORITY_OTHER, PRIORITIES };
#define OTHERS_AT_ONCE 64

void turns_init(struct broker *broker);
int turn_priority(const struct peer *peer);

/* Whether the peer may be served at once. Starts the slice. */
bool turn_begin_at_once(struct peer *peer);
/* The slice has been used, for this uid; its peers may have gone. */
void turn_end(struct broker *broker, uid_t uid);
/* Whether what is being done should go on later. */
bool turn_is_over(const struct broker *broker);

/* Puts it in the queue, if it is not there. peer_take_turn will be called. */
void turn_wait(struct peer *peer);
/* Takes it out of the queue, if it is there. */
void turn_forget(struct peer *peer);
#endif
