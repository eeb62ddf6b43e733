/* SPDX-License-Identifier: MIT */
/* Leaving when nobody needs the broker: --idle-exit. Never while a buffer would be lost. */
#ifndef DAEMON_IDLE_H
#define DAEMON_IDLE_H

struct broker;
struct idle;

/* Watches from now on; breaks the loop when there was no client and no buffer for that long. NULL: no memory. */
struct idle *idle_watch(struct broker *broker);
void idle_free(struct idle *idle);

#endif
