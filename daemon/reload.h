/* SPDX-License-Identifier: MIT */
/* SIGHUP: the configuration is read again, and takes the place of the one before if nothing is wrong with it. */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

struct broker;

/* Nobody who holds more than a new limit allows loses anything; he only gets no more. */
void reload_configuration(struct broker *broker);

#endif
