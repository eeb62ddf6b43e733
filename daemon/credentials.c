/* SPDX-License-Identifier: MIT */
#include "credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int credentials_of_peer(int socket, struct credentials *credentials)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -errno;
    *credentials = (struct credentials){.uid = peer.uid, .gid = peer.gid, .pid = peer.pid};
    return 0;
}

void credentials_release(struct credentials *credentials)
{
    free(credentials->groups);
    credentials->groups = NULL;
}

static void ask_groups(struct credentials *credentials, int socket)
{
    socklen_t size = 0;

    credentials->groups_known = true;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
        return;
    credentials->groups = calloc(1, size);
    if (!credentials->groups)
        return;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, credentials->groups, &size) == 0)
        credentials->group_count = (unsigned)(size / sizeof(gid_t));
}

bool credentials_have_group(struct credentials *credentials, int socket, gid_t group)
{
    if (credentials->gid == group)
        return true;
    if (!credentials->groups_known)
        ask_groups(credentials, socket);
    for (unsigned i = 0; i < credentials->group_count; i++)
        if (credentials->groups[i] == group)
            return true;
    return false;
}

/* A pidfd's fdinfo cannot be fooled by a pid that was used again; without one (before Linux 6.5), /proc/PID/status. */
static FILE *open_status(const struct credentials *credentials, int pidfd)
{
    char path[48];

    if (pidfd >= 0)
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    else
        snprintf(path, sizeof(path), "/proc/%d/status", (int)credentials->pid);
    return fopen(path, "re");
}

static bool in_own_pid_namespace(const struct credentials *credentials, int socket)
{
    CLEANUP(cleanup_close)
    int pidfd = -1; /* its fdinfo is there as long as it is */
    socklen_t size = sizeof(pidfd);
    char line[256], expected[32];
    bool own = false;

    if (credentials->pid <= 0)
        return false;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
        pidfd = -1;
    FILE *status = open_status(credentials, pidfd);
    if (!status)
        return false;
    /* One number: the pid in our namespace is its only one. A dead process has -1. */
    snprintf(expected, sizeof(expected), "NSpid:\t%d\n", (int)credentials->pid);
    while (!own && fgets(line, sizeof(line), status))
        own = strcmp(line, expected) == 0;
    fclose(status);
    return own;
}

bool credentials_are_of_own_pid_namespace(struct credentials *credentials, int socket)
{
    if (credentials->pid_namespace == NAMESPACE_UNKNOWN)
        credentials->pid_namespace = in_own_pid_namespace(credentials, socket) ? NAMESPACE_OWN : NAMESPACE_OTHER;
    return credentials->pid_namespace == NAMESPACE_OWN;
}
