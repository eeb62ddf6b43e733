/* SPDX-License-Identifier: MIT */
#include "bare_server.h"

#include <errno.h>
#include <fcntl.h>
#include <memfd.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int held[BARE_SLOTS];
static unsigned creation_flags;
static int own_descriptors; /* /proc/self/fd */

/* The descriptors of one reply. */
struct load {
    int fd[BARE_GREATEST];
    unsigned count;
};

static int create_one(uint64_t size)
{
    int fd = memfd_create("bare", creation_flags);

    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 &&
        fchmod(fd, 0444) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Relative to the directory, and without printf: a third of a microsecond less than the whole path with it. */
static int reopen_one(int fd)
{
    char text[12], *at = &text[sizeof(text) - 1];

    *at = '\0';
    do
        *--at = (char)('0' + fd % 10);
    while (fd /= 10);
    return openat(own_descriptors, at, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* One slot; 0 or errno. */
static int serve_slot(const struct bare_request *request, uint32_t slot, struct bare_reply *reply, struct load *load)
{
    int r = 0;

    switch ((enum bare_operation)request->operation) {
    case BARE_PING:
        break;
    case BARE_CREATE:
        r = held[slot] = create_one(request->size);
        load->fd[load->count++] = held[slot];
        break;
    case BARE_HELD:
        load->fd[load->count++] = held[slot];
        break;
    case BARE_GET:
        r = load->fd[load->count++] = reopen_one(held[slot]);
        break;
    case BARE_SEAL:
        r = fcntl(held[slot], F_ADD_SEALS, request->seals);
        break;
    case BARE_PUBLISH:
        r = fcntl(held[slot], F_GET_SEALS);
        reply->seals = (uint32_t)r;
        break;
    case BARE_DROP:
        r = close(held[slot]);
        break;
    }
    return r < 0 ? errno : 0;
}

static int send_reply(int socket, const struct bare_reply *reply, const struct load *load)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * BARE_GREATEST)];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)reply, .iov_len = sizeof(*reply)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (load->count) {
        size_t bytes = load->count * sizeof(int);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(bytes);
        memset(control.bytes, 0, message.msg_controllen);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), load->fd, bytes);
    }
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* 1 where a message was served, 0 at the end, -1 on failure. */
static int serve(int socket)
{
    struct bare_request request;
    struct bare_reply reply = {0};
    struct load load;
    struct iovec part = {.iov_base = &request, .iov_len = sizeof(request)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? 1 : (int)n;
    load.count = 0;
    for (uint32_t i = 0; i < request.count && reply.error == 0; i++)
        reply.error = serve_slot(&request, request.first + i, &reply, &load);
    if (reply.error) /* the bench ends here: what was opened goes with this process */
        load.count = 0;
    int r = send_reply(socket, &reply, &load);
    for (unsigned i = 0; request.operation == BARE_GET && i < load.count; i++)
        close(load.fd[i]);
    return r < 0 ? -1 : 1;
}

/* Kernels before 6.3 do not know MFD_NOEXEC_SEAL. */
static void choose_creation_flags(void)
{
    creation_flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL;
    int fd = memfd_create("bare", creation_flags);
    if (fd >= 0)
        close(fd);
    else
        creation_flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
}

int bare_server_run(int socket)
{
    struct epoll_event event = {.events = EPOLLIN};
    int loop = epoll_create1(EPOLL_CLOEXEC), r = 1;

    choose_creation_flags();
    own_descriptors = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (loop < 0 || own_descriptors < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, socket, &event) < 0)
        return 1;
    while (r > 0) {
        if (epoll_wait(loop, &event, 1, -1) < 0)
            return 1;
        r = serve(socket);
    }
    return r < 0;
}
