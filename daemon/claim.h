/* SPDX-License-Identifier: MIT */
/*
 * Claims: buffers that are being taken out of the broker. Whoever gets a buffer by a name or a token that hands it over
 * claims it: from then on it is there for nobody else. Only when the reply has been read is it gone for good; should
 * its reader be gone before, the kernel throws the descriptor away, and the buffer is back under its names; but not
 * where it was sent to another user than its owner, who could have got the descriptor all the same.
 *
 * That a reply was read, SIOCOUTQ tells (flight.h). That one was never read, the kernel tells by ECONNRESET: a socket
 * that is closed with something unread in it leaves that error with the other side (unix(7), unix_release_sock).
 */
#ifndef DAEMON_CLAIM_H
#define DAEMON_CLAIM_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct buffer;
struct name;
struct peer;

struct claim {
    LIST_ENTRY(claim) of_peer;
    struct peer *peer;
    struct buffer *buffer;
    struct name *name; /* that goes with it; NULL: all names of `owner`, or none */
    uid_t owner;
    bool by_name;
    bool sent; /* the reply is on its way */
};

LIST_HEAD(claims, claim);

/* Claims a buffer for the peer: by a name, or (NULL) by a token of `owner`'s. NULL: no memory. */
struct claim *claim_make(struct peer *peer, struct buffer *buffer, struct name *name, uid_t owner);
/* The buffer is there again, for all. */
void claim_undo(struct claim *claim);
/* The buffer, or the name, has gone in another way. */
void claim_forget_buffer(struct buffer *buffer);
void claim_forget_name(struct buffer *buffer, const struct name *name);

/*
 * The replies with these claims are about to be sent: what is another user's must not be found in the ledger any more,
 * should the broker end before it can carry them out. And back, where they could not be sent.
 */
void claims_suspend(struct peer *peer);
void claims_resume(struct peer *peer);
/* The replies with these claims have been sent: those of other users' buffers are carried out. */
void claims_sent(struct peer *peer);
/* Carries them out, if all that was sent has been read. */
void claims_settle(struct peer *peer);
/* At the end of the connection: carries out those that were read, and undoes the others. */
void claims_end(struct peer *peer);

#endif
