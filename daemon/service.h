/* SPDX-License-Identifier: MIT */
/*
 * What the service manager gives and wants to hear: sockets (sd_listen_fds(3)) and states (sd_notify(3)). Built without
 * libsystemd, nothing is passed and nobody listens.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

/* How many sockets were passed, 0 without a service manager, or a negative errno. To be asked once. */
int service_passed_sockets(void);
/* The i-th of them, checked to be a listening SOCK_SEQPACKET Unix socket; else -EINVAL, and why has been logged. */
int service_passed_socket(int i);

void service_notify_ready(void);
/* The configuration is read again; service_notify_ready when that is done. */
void service_notify_reloading(void);
void service_notify_stopping(void);

#endif
