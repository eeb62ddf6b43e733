/* SPDX-License-Identifier: MIT */
/*
 * The service manager's ear: messages with descriptors, and the barrier that tells when they have been worked off
 * (sd_notify(3), sd_notify_barrier(3)). Not by libsystemd's calls: each of those makes a socket of its own, and waits
 * for ever where the manager does not read. These wait, too, but not longer than they say; they are for threads that
 * may.
 */
#ifndef DAEMON_MANAGER_H
#define DAEMON_MANAGER_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

struct manager {
    int socket; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t length;
    atomic_bool in_hurry; /* the broker stops: nothing is waited for longer than a second */
};

/* Where it listens ($NOTIFY_SOCKET): 0; -ENOENT: nowhere; -EAFNOSUPPORT: at an address that is none for us. */
int manager_address(struct sockaddr_un *address, socklen_t *size);

/* Where $NOTIFY_SOCKET says. -ENOENT: it is not set, or this is built without systemd. */
int manager_open(struct manager *manager);
void manager_close(struct manager *manager);

/* Sends a message, with a descriptor where fd is not negative. 0 or a negative errno; -EAGAIN: nobody reads. */
int manager_send(struct manager *manager, const char *text, int fd);

/* Waits until all that was sent has been worked off. 0; -ETIMEDOUT; another negative errno. */
int manager_barrier(struct manager *manager);

#endif
