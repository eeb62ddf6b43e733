/* SPDX-License-Identifier: MIT */
/*
 * All or nothing: a PUBLISH, GET or REMOVE of several names that are changed, or looked at, together.
 *
 * It has two parts. In the first one everything is judged, prepared and reserved that could fail: seals are added,
 * buffers are stored, charges are made, records are written that do not count yet. That may take many turns, and where
 * it fails, all of it is undone, and the request is refused as a whole. In the second one nothing can fail, and it is
 * not paused: so nobody sees a half of it. For who finds the ledger after kill -9, it is one store (ledger.h).
 */
#ifndef DAEMON_ATOMIC_H
#define DAEMON_ATOMIC_H

#include <stdbool.h>

#include "request.h"

/* What there is of a GET once all is resolved: buffers, pinned, whose descriptors are yet to be made. */
struct atomic;

/* Whether a record says so: then all of them must. */
bool atomic_is_asked(const struct operation *operation, const union request_record *record);

/*
 * What can be judged before anybody waits for seals or the store: so that nothing is sealed and stored in vain. 0, or
 * a refusal of the whole request, or 1: the turn is over, to be called again.
 */
int atomic_check(struct request *request);

/* Serves it, and writes the reply. 0, or a refusal of the whole request, or 1: as above. */
int atomic_serve(struct request *request);

/* It is done with, or its peer has gone. */
void atomic_free(struct request *request);

#endif
