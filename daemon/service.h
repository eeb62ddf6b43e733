/* SPDX-License-Identifier: MIT */
/*
 * What the service manager gives and wants to hear: sockets (sd_listen_fds(3)) and states (sd_notify(3)). Built without
 * libsystemd, nothing is passed and nobody listens.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include <stddef.h>

#include "restore.h"

/*
 * Takes over what was passed, once: sockets that clients connect to, and all else, which an earlier broker has stored:
 * *others, to be given back with service_free_passed. 0 or a negative errno.
 */
int service_take_passed(struct inherited **others, size_t *count);
void service_free_passed(struct inherited *others, size_t count);

/* How many sockets were passed; 0 without a service manager. */
int service_passed_sockets(void);
/* The i-th of them, checked to be a listening SOCK_SEQPACKET Unix socket; else -EINVAL, and why has been logged. */
int service_passed_socket(int i);

void service_notify_ready(void);
/* The configuration is read again; service_notify_ready when that is done. */
void service_notify_reloading(void);
void service_notify_stopping(void);
/* It takes long to restore what there is, but goes on. */
void service_notify_restoring(void);

/* The service manager is to close what it keeps by this name. Nobody waits for that. */
void service_forget(const char *name);

#endif
