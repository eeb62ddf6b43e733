/* SPDX-License-Identifier: MIT */
/*
 * LIST: pages of names.
 *
 * Where its peer's turn is over before the page is full, the request is paused, and goes on from there. The cursor that
 * the peer gets is always a name that it may see.
 */
#ifndef DAEMON_LISTING_H
#define DAEMON_LISTING_H

#include "request.h"

/* Fills in the reply. 0; or 1: the turn is over, to be called again. */
int listing_serve(struct request *request, const union request_record *in);

#endif
