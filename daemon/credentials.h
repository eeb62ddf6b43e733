/* SPDX-License-Identifier: MIT */
/*
 * Who a peer is, on the kernel's word alone: SO_PEERCRED and SO_PEERGROUPS (unix(7), socket(7)), as they were when the
 * peer connected.
 */
#ifndef DAEMON_CREDENTIALS_H
#define DAEMON_CREDENTIALS_H

#include <stdbool.h>
#include <sys/types.h>

struct credentials {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    gid_t *groups; /* supplementary; asked for when first needed */
    unsigned group_count;
    bool groups_known;
    enum { NAMESPACE_UNKNOWN, NAMESPACE_OWN, NAMESPACE_OTHER } pid_namespace;
};

/* 0, or a negative errno of getsockopt(2). */
int credentials_of_peer(int socket, struct credentials *credentials);
void credentials_release(struct credentials *credentials);

/* Whether the peer on this socket has the group, as its main or a supplementary one. Errors mean no. */
bool credentials_have_group(struct credentials *credentials, int socket, gid_t group);

/*
 * Whether the peer lives in the broker's own pid namespace. vm.memfd_noexec is a setting of pid namespaces: one in a
 * stricter namespace must not get an executable memfd through the broker. What cannot be found out is answered no.
 */
bool credentials_are_of_own_pid_namespace(struct credentials *credentials, int socket);

#endif
