/* SPDX-License-Identifier: MIT */
/*
 * Names that may go where a limit is met (SEALBUF_PUBLISH_EVICTABLE): those of each account in the order of their use,
 * and what would be released if all of them went. So it costs nothing to find out that it would not help (evict.h).
 *
 * A name counts with its former generations, which go with it. A buffer counts as long as nothing else holds it but
 * evictable names of its own owner's.
 */
#ifndef DAEMON_EVICTABLE_H
#define DAEMON_EVICTABLE_H

#include "registry.h"

/* A name that is_evictable, with its former generations, as the one that was used last. To leave before any changes. */
void evictable_enter(struct quota *quota, struct name *name);
void evictable_leave(struct quota *quota, struct name *name);
/* The same for a former generation alone, which goes. */
void evictable_forget(struct quota *quota, struct name *name);
/* It was bound, got, or touched. */
void evictable_use(struct quota *quota, struct name *name);
/* After a change of who holds the buffer, or of what it is charged for. */
void evictable_recount(struct quota *quota, struct buffer *buffer);

/* What was restored, whose use nobody knows, in the order in which it was published. 0 or -ENOMEM. */
int evictable_enter_all(struct registry *registry);

#endif
