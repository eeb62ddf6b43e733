/* SPDX-License-Identifier: MIT */
/*
 * What the service manager passes: sockets to listen on, and what it has kept (sd_listen_fds(3)). Built without
 * libsystemd, nothing is passed. What it wants to hear is in notify.h.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include <stdbool.h>

struct passed {
    int fd;
    char *name; /* FileDescriptorName= of a socket's unit, or FDNAME= of what was stored; never NULL */
};

/*
 * All that was passed, to be asked once; close-on-exec. How many, 0 without a service manager, or a negative errno. To
 * be freed by service_passed_free, which closes what is left in it (take_fd).
 */
int service_passed(struct passed **passed);
void service_passed_free(struct passed *passed, int count);

/*
 * Whether it is something to listen on, or meant to be: a socket of any kind and name, as brokers store none; and what
 * else a socket unit gives (a FIFO, a device), as brokers store memfds only, but for the canary.
 */
bool service_is_socket(const struct passed *passed);
/* 0: it is a listening SOCK_SEQPACKET Unix socket, and does not block; else -EINVAL, and why has been logged. */
int service_check_socket(const struct passed *passed);

#endif
