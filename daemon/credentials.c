/* SPDX-License-Identifier: MIT */
#include "credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "text.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
/* linux/magic.h of Debian 12 is older. */
#define PIDFS_MAGIC 0x50494446

#define ALL_IDS 4294967295u /* but for -1, which is none */

/* The ids that stand for those that this user namespace does not have; where `all` are there, they are like others. */
static struct {
    bool all_uids, all_gids;
    uid_t overflow_uid;
    gid_t overflow_gid;
} namespace = {.overflow_uid = 65534, .overflow_gid = 65534};

/* Lines of "first here, first outside, how many", which do not overlap. */
static bool maps_all_ids(const char *path)
{
    FILE *map = fopen(path, "re");
    unsigned long long sum = 0;
    char line[128], *end;

    if (!map)
        return false;
    while (fgets(line, sizeof(line), map)) {
        strtoull(line, &end, 10);
        strtoull(end, &end, 10);
        sum += strtoull(end, NULL, 10);
    }
    fclose(map);
    return sum >= ALL_IDS;
}

/* What cannot be read has the value that the kernel starts with: a unit may hide /proc/sys. */
static void read_id(const char *path, unsigned *id)
{
    FILE *file = fopen(path, "re");
    char line[32];

    if (!file)
        return;
    if (fgets(line, sizeof(line), file))
        *id = (unsigned)strtoul(line, NULL, 10);
    fclose(file);
}

void credentials_learn_namespace(void)
{
    namespace.all_uids = maps_all_ids("/proc/self/uid_map");
    namespace.all_gids = maps_all_ids("/proc/self/gid_map");
    read_id("/proc/sys/kernel/overflowuid", &namespace.overflow_uid);
    read_id("/proc/sys/kernel/overflowgid", &namespace.overflow_gid);
    if (!namespace.all_uids)
        log_line(
            LOG_NOTICE,
            "not all users are known in this user namespace, or /proc is missing that would tell: clients of uid %u "
            "can create and own nothing",
            (unsigned)namespace.overflow_uid);
}

bool credentials_uid_is_known(uid_t uid)
{
    return namespace.all_uids || uid != namespace.overflow_uid;
}

static bool gid_is_known(gid_t gid)
{
    return namespace.all_gids || gid != namespace.overflow_gid;
}

int credentials_of_peer(int socket, struct credentials *credentials)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -errno;
    *credentials = (struct credentials){.uid = peer.uid,
                                        .gid = peer.gid,
                                        .pid = peer.pid,
                                        .socket = socket,
                                        .is_unknown = !credentials_uid_is_known(peer.uid)};
    return 0;
}

void credentials_release(struct credentials *credentials)
{
    free(credentials->groups);
    credentials->groups = NULL;
    free(credentials->security);
    credentials->security = NULL;
}

static void ask_groups(struct credentials *credentials, int socket)
{
    socklen_t size = 0;

    credentials->groups_known = true;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
        return;
    credentials->groups = calloc(1, size);
    credentials->groups_known = credentials->groups != NULL;
    if (!credentials->groups)
        return;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, credentials->groups, &size) == 0)
        credentials->group_count = (unsigned)(size / sizeof(gid_t));
}

bool credentials_have_group(struct credentials *credentials, int socket, gid_t group)
{
    if (credentials->is_unknown || !gid_is_known(group))
        return false;
    if (credentials->gid == group)
        return true;
    if (!credentials->groups_known)
        ask_groups(credentials, socket);
    for (unsigned i = 0; i < credentials->group_count; i++)
        if (credentials->groups[i] == group)
            return true;
    return false;
}

/* -ENOPROTOOPT: the kernel has none (before Linux 6.5). Other errors: this peer has none, it has ended for example. */
static int peer_pidfd(int socket)
{
    int pidfd = -1;
    socklen_t size = sizeof(pidfd);

    return getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0 ? -errno : pidfd;
}

/*
 * A pidfd's fdinfo cannot be fooled by a pid that was used again. /proc/PID/status can, so it is for kernels that have
 * nothing better, and never for a peer that has ended. Both numbers are the kernel's.
 */
static FILE *open_status(const struct credentials *credentials, int pidfd)
{
    char path[48];

    if (pidfd >= 0)
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    else if (pidfd == -ENOPROTOOPT)
        snprintf(path, sizeof(path), "/proc/%d/status", (int)credentials->pid);
    else
        return NULL;
    return fopen(path, "re");
}

/* What may work later, and so tells nothing of the peer. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* 1, 0, or a negative errno where it cannot be found out now. */
static int in_own_pid_namespace(const struct credentials *credentials, int socket)
{
    CLEANUP(cleanup_close)
    int pidfd = -1; /* its fdinfo is there as long as it is */
    char line[256], expected[32];
    bool own = false;

    if (credentials->pid <= 0)
        return 0;
    pidfd = peer_pidfd(socket);
    if (pidfd < 0 && is_shortage(-pidfd))
        return pidfd;
    FILE *status = open_status(credentials, pidfd);
    if (!status)
        return is_shortage(errno) ? -errno : 0;
    /* One number: the pid in our namespace is its only one. A dead process has -1. */
    snprintf(expected, sizeof(expected), "NSpid:\t%d\n", (int)credentials->pid);
    while (!own && fgets(line, sizeof(line), status))
        own = strcmp(line, expected) == 0;
    fclose(status);
    return own;
}

int credentials_are_of_own_pid_namespace(struct credentials *credentials, int socket)
{
    if (credentials->pid_namespace == NAMESPACE_UNKNOWN) {
        int r = in_own_pid_namespace(credentials, socket);
        if (r < 0)
            return r;
        credentials->pid_namespace = r ? NAMESPACE_OWN : NAMESPACE_OTHER;
    }
    return credentials->pid_namespace == NAMESPACE_OWN;
}

/* Labels are made by administrators, but a line of a log is not the place to rely on that. */
static void make_printable(char *text, size_t length)
{
    if (label_valid(text, length))
        return;
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
}

void credentials_ask_security(const struct credentials *credentials, char security[SECURITY_SIZE])
{
    char text[4096];
    socklen_t size = sizeof(text);

    security[0] = '\0';
    if (getsockopt(credentials->socket, SOL_SOCKET, SO_PEERSEC, text, &size) < 0)
        return;
    size_t length = strnlen(text, size); /* some LSMs count a NUL at the end */
    while (length > 0 && text[length - 1] == '\n')
        length--;
    length = text_cut(text, length, SECURITY_SIZE - 1);
    memcpy(security, text, length);
    security[length] = '\0';
    make_printable(security, length);
}

const char *credentials_security(struct credentials *credentials)
{
    char security[SECURITY_SIZE];

    if (!credentials->security) {
        credentials_ask_security(credentials, security);
        credentials->security = strdup(security);
    }
    return credentials->security ? credentials->security : "";
}

/* Before pidfs all pidfds were of one inode, which says nothing. */
static uint64_t number_of_pidfd(int pidfd)
{
    struct statfs fs;
    struct stat st;

    if (pidfd < 0 || fstatfs(pidfd, &fs) < 0 || fs.f_type != PIDFS_MAGIC || fstat(pidfd, &st) < 0)
        return 0;
    return st.st_ino;
}

uint64_t credentials_pidfd(struct credentials *credentials)
{
    if (!credentials->pidfd_known) {
        int pidfd = peer_pidfd(credentials->socket);
        credentials->pidfd = number_of_pidfd(pidfd);
        credentials->pidfd_known = pidfd >= 0 || !is_shortage(-pidfd);
        close_quietly(pidfd);
    }
    return credentials->pidfd;
}
