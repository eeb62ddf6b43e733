/* SPDX-License-Identifier: MIT */
/* Who the clients of the stalls are, where the bench is root's. These users need not exist. */
#ifndef BENCH_USERS_H
#define BENCH_USERS_H

#include <stdbool.h>
#include <sys/types.h>

/* The innocent one is neither root nor the broker's own user, whom the broker could prefer. */
enum { INNOCENT_UID = 60001, HOSTILE_UID = 60002, OTHER_HOSTILE_UID = 60003 };

/* Whether this process may become them: it is root, in a user namespace that has them. */
bool users_are_there(void);

/* From now on this process is that user, and nothing of root but the way back. -1 where it failed; it has been said
   why. */
int users_become(uid_t uid);
/* The effective user only: what the broker sees of who connects. */
int users_act_as(uid_t uid);

#endif
