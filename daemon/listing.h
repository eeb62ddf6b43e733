/* SPDX-License-Identifier: MIT */
/*
 * LIST: pages of names.
 *
 * A page looks at so many names at most, so that it cannot hold up the loop. Where none of them may be shown to the
 * peer, there is no name that its cursor could tell without telling too much; then the request is put aside, and goes
 * on from there in the loop's next turn, until there is something to show or the end.
 */
#ifndef DAEMON_LISTING_H
#define DAEMON_LISTING_H

#include "request.h"

/* Fills in the reply. 0; or 1: put aside, dispatch_again will be called. Or a refusal. */
int listing_serve(struct request *request, const union request_record *in);

#endif
