/* SPDX-License-Identifier: MIT */
/*
 * Eviction: names that may go where a limit is met (SEALBUF_PUBLISH_EVICTABLE). Where a uid is about to be charged for
 * more than it may hold, evictable names of the same uid go, those that were used longest ago first, until it fits. A
 * use is to be bound, got, or touched. Where it would not fit all the same, none goes.
 */
#ifndef DAEMON_EVICT_H
#define DAEMON_EVICT_H

#include "registry.h"
#include "request.h"

/* What somebody is about to be charged. */
struct need {
    enum resource resource;
    uint64_t amount;
};

/*
 * Makes room for all of these, if it is not there, and if that can be done. 0: they can be charged, or it is of no use.
 * REQUEST_AGAIN: it takes longer than this turn. Or a refusal.
 */
int evict_for(struct request *request, uid_t uid, const struct need *needs, unsigned count);

/*
 * The same for a PUBLISH that is about to carry out this record, or, where it is ATOMIC, all of its records: neither
 * their names nor their buffers go. What buffer has no name afterwards is held by the peer.
 */
int evict_for_publish(struct request *request, const struct publish_request *in, uid_t uid, const struct need *needs,
                      unsigned count);

#endif
