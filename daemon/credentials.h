/* SPDX-License-Identifier: MIT */
/*
 * Who a peer is, on the kernel's word alone: SO_PEERCRED, SO_PEERGROUPS, SO_PEERSEC, SO_PEERPIDFD (unix(7), socket(7)),
 * as it was when the peer connected.
 *
 * Where the broker is in a user namespace that does not have all ids, the kernel shows it those that are missing as the
 * overflow uid and gid (user_namespaces(7)). Whoever has one of them is unknown: it may be anybody, so it owns nothing,
 * and belongs to no group.
 */
#ifndef DAEMON_CREDENTIALS_H
#define DAEMON_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Of a security label, with its NUL; longer ones are cut. */
#define SECURITY_SIZE 250
/* Of the name of a socket to listen on, with its NUL; longer ones are cut. */
#define DOOR_SIZE 32

struct credentials {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    int socket;      /* of the connection: what is not asked at once is asked there */
    bool is_unknown; /* its uid is none that the broker can tell from others */
    gid_t *groups;   /* supplementary; asked for when first needed */
    unsigned group_count;
    bool groups_known;
    enum { NAMESPACE_UNKNOWN, NAMESPACE_OWN, NAMESPACE_OTHER } pid_namespace;
    char *security; /* NULL: not asked yet */
    uint64_t pidfd;
    bool pidfd_known;
    char door[DOOR_SIZE]; /* the socket by which it came, where the service manager gave that a name: for the log */
};

/* Finds out, once and before any peer comes, which ids this user namespace does not have. */
void credentials_learn_namespace(void);

/* False for the id that stands for all those that this user namespace does not have. */
bool credentials_uid_is_known(uid_t uid);

/* 0, or a negative errno of getsockopt(2). */
int credentials_of_peer(int socket, struct credentials *credentials);
void credentials_release(struct credentials *credentials);

/* Whether the peer on this socket has the group, as its main or a supplementary one. Errors mean no. */
bool credentials_have_group(struct credentials *credentials, int socket, gid_t group);

/*
 * Whether the peer lives in the broker's own pid namespace. vm.memfd_noexec is a setting of pid namespaces: one in a
 * stricter namespace must not get an executable memfd through the broker. 1 or 0; what cannot be found out is 0; or
 * -EMFILE, -ENFILE, -ENOMEM: it may be found out later.
 */
int credentials_are_of_own_pid_namespace(struct credentials *credentials, int socket);

/* The security label that an LSM (SELinux, AppArmor, Smack) gives the peer; empty where there is none. */
const char *credentials_security(struct credentials *credentials);
/* The same, asked anew: for where nothing may be remembered. */
void credentials_ask_security(const struct credentials *credentials, char security[SECURITY_SIZE]);

/*
 * The number of the peer's pidfd (its inode, Linux 6.9): unlike its pid, no other process has it as long as the system
 * runs. 0 where it cannot be had.
 */
uint64_t credentials_pidfd(struct credentials *credentials);

#endif
