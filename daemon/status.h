/* SPDX-License-Identifier: MIT */
/* The line that `systemctl status` shows: how much the broker holds. Told when it has changed, once a second at most.
 */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

struct broker;
struct status;

/* Tells it now, and from now on; where nobody listens, or without memory, never. */
void status_watch(struct broker *broker);
void status_end(struct broker *broker);

/* Something may have changed. Costs nothing while there is a look to come. `status` may be NULL. */
void status_touch(struct status *status);

#endif
