/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told (sd_notify(3)): states, a line for whoever looks, and that the loop is alive.
 *
 * Nothing here ever waits, and nothing needs a descriptor when its time has come: there is one socket, which does not
 * block, opened at the start. sd_notify(3) opens one each time, which fails when clients have filled the table (and
 * then the watchdog would kill a broker that is well), and it waits while the manager's queue is full.
 *
 * There is no queue. What could not be told is remembered as what is still to be told, which is little: of several
 * states or lines the manager needs the last one. Built without libsystemd, or without a manager, nobody is told.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdbool.h>

struct event_base;

/* At the start, before anything is told. */
void notify_open(void);
/* From now on the loop feeds the watchdog, and tries again what could not be told at once. */
void notify_attach(struct event_base *loop);
void notify_close(void);

/* Whether there is anybody who listens. */
bool notify_is_heard(void);

/* Before clients are served, where that takes long: that the start goes on. May be called as often as one likes. */
void notify_still_starting(void);
void notify_ready(void);
/* The configuration is read again, or the program executed anew; notify_ready when that is done. */
void notify_reloading(void);
void notify_stopping(void);
/* One line for `systemctl status`. False: it is the line of before. */
bool notify_status(const char *text);

#endif
