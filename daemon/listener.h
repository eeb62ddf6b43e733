/* SPDX-License-Identifier: MIT */
/*
 * The sockets that clients connect to: made here, or passed by the service manager (sd_listen_fds(3)).
 *
 * Accepting stops while the system is out of descriptors or memory, and goes on a moment later; clients wait in the
 * kernel's queue meanwhile. Nothing that accept(2) returns ends the broker.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include "broker.h"

struct handover;
struct handover_listener;
struct listener;
struct passed;

/*
 * Listens on the sockets that were passed (service.h), which it takes; where there are none, where the configuration
 * says. What else was passed stays there. 0, or a negative errno; why has been logged.
 */
int listeners_open(struct broker *broker, struct passed *passed, int count);
/* Those of the program before: handover.h. */
void listeners_hand_over(const struct broker *broker, struct handover *handover);
int listener_take_over(struct broker *broker, const struct handover_listener *record);
/* Stops accepting, closes, and removes the socket that was made here. */
void listeners_close(struct broker *broker);

#endif
