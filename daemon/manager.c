/* SPDX-License-Identifier: MIT */
#include "manager.h"

#include <config-build.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "memfd.h"

/* The manager may be busy with other things, such as reading all of its units again. */
#define BARRIER_NS 5000000000u
#define HURRY_NS   1000000000u
#define SLICE_MS   50
/* For a message that finds no room. */
static const struct timeval send_time = {.tv_sec = 1};
/* Too much of this uid's is in flight: it will land. */
#define LANDING_TRIES 500
#define LANDING_MS    2

int manager_address(struct sockaddr_un *address, socklen_t *size)
{
    const char *path = HAVE_SYSTEMD ? getenv("NOTIFY_SOCKET") : NULL;
    size_t length = path ? strlen(path) : 0;

    if (length == 0)
        return -ENOENT;
    if ((path[0] != '/' && path[0] != '@') || length < 2 || length >= sizeof(address->sun_path))
        return -EAFNOSUPPORT; /* there are managers that listen elsewhere (vsock), but none that keeps descriptors */
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, length);
    if (path[0] == '@')
        address->sun_path[0] = '\0';
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] == '/'));
    return 0;
}

int manager_open(struct manager *manager)
{
    manager->socket = -1;
    atomic_init(&manager->in_hurry, false);
    int r = manager_address(&manager->address, &manager->length);
    if (r < 0)
        return r;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    fd = descriptor_above_stdio(fd);
    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_time, sizeof(send_time));
    manager->socket = fd;
    return 0;
}

void manager_close(struct manager *manager)
{
    close_quietly(manager->socket);
    manager->socket = -1;
}

static int try_to_send(const struct manager *manager, const char *text, int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    union { /* sendmsg(2) takes no pointers to const */
        const char *from;
        void *start;
    } bytes = {.from = text};
    struct sockaddr_un address = manager->address;
    struct iovec part = {.iov_base = bytes.start, .iov_len = strlen(text)};
    struct msghdr message = {.msg_name = &address, .msg_namelen = manager->length, .msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    }
    return sendmsg(manager->socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int manager_send(struct manager *manager, const char *text, int fd)
{
    int r = try_to_send(manager, text, fd);

    for (unsigned i = 0; i < LANDING_TRIES && (r == -ETOOMANYREFS || r == -EINTR); i++) {
        poll(NULL, 0, LANDING_MS);
        r = try_to_send(manager, text, fd);
    }
    return r;
}

/* The manager closes what comes with the barrier when it comes to it: then nobody holds the other end any more. */
static int wait_for_end(const struct manager *manager, int end)
{
    struct pollfd far = {.fd = end};
    uint64_t begin = clock_monotonic_ns();

    for (;;) {
        int r = poll(&far, 1, SLICE_MS);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return -errno;
        if (clock_monotonic_ns() - begin > (atomic_load(&manager->in_hurry) ? HURRY_NS : BARRIER_NS))
            return -ETIMEDOUT;
    }
}

int manager_barrier(struct manager *manager)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int r = manager_send(manager, "BARRIER=1", ends[1]);
    close(ends[1]);
    if (r == 0)
        r = wait_for_end(manager, ends[0]);
    close(ends[0]);
    return r;
}
