/* SPDX-License-Identifier: MIT */
/*
 * A request that takes more than its peer's turn: what is left of it, and the reply as far as it goes. It goes on in
 * the next turn. Its peer is not read from meanwhile, so it has one at most.
 */
#ifndef DAEMON_PAUSED_H
#define DAEMON_PAUSED_H

#include "request.h"

struct paused {
    struct request request;
    union request_record only;      /* where it has but one record */
    struct descriptors descriptors; /* that came with it */
    uint8_t *message;               /* behind the reply */
    uint8_t reply[SEALBUF_MAX_MESSAGE];
};

/* Copies the request and all that it refers to; it is the peer's from now on. NULL: no memory. */
struct paused *paused_save(struct request *request);

/* Closes what it has, and frees it. */
void paused_drop(struct paused *paused);

#endif
