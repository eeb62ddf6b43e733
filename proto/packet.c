/* SPDX-License-Identifier: MIT */
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"

#define CONTROL_SIZE CMSG_SPACE(sizeof(int) * SEALBUF_MAX_RECORDS)

void descriptors_close(struct descriptors *list)
{
    for (unsigned i = 0; i < list->count; i++)
        close_quietly(list->fd[i]);
    list->count = 0;
}

int descriptors_take(struct descriptors *list, unsigned i)
{
    return take_fd(&list->fd[i]);
}

/* Moves what the control messages carry into the list. Never more than the control buffer has room for. */
static void collect(struct msghdr *message, struct descriptors *list)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (list->count < SEALBUF_MAX_RECORDS)
                list->fd[list->count++] = fd;
            else
                close_quietly(fd);
        }
    }
}

int packet_receive(int socket, int flags, void *buffer, size_t room, size_t *length, struct descriptors *list)
{
    union {
        char bytes[CONTROL_SIZE];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = room};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n;

    descriptors_init(list);
    do
        n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? PACKET_AGAIN : -errno;
    collect(&message, list);
    *length = (size_t)n;
    if (message.msg_flags & MSG_TRUNC)
        return PACKET_CUT;
    if (n == 0)
        return list->count == 0 && !(message.msg_flags & MSG_CTRUNC) ? PACKET_END : PACKET_EMPTY;
    return message.msg_flags & MSG_CTRUNC ? PACKET_LOST_FDS : PACKET_OK;
}

int packet_send(int socket, const void *message, size_t length, const int *fds, unsigned count)
{
    union {
        char bytes[CONTROL_SIZE];
        struct cmsghdr align;
    } control;
    union { /* sendmsg(2) writes nothing there, but struct iovec is for recvmsg(2), too */
        const void *from;
        void *base;
    } data = {.from = message};
    struct iovec part = {.iov_base = data.base, .iov_len = length};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    if (count > SEALBUF_MAX_RECORDS) /* as the kernel says, but before the control buffer is full */
        return -EINVAL;
    if (count > 0) {
        size_t bytes = sizeof(int) * count;
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(bytes);
        memset(control.bytes, 0, header.msg_controllen);
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), fds, bytes);
    }
    do
        n = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/*
 * An empty message and the end both are 0 bytes. But with SO_PASSCRED (unix(7)) a message comes with who has sent it,
 * and the end does not.
 */
bool packet_is_drained(int socket)
{
    char control[CMSG_SPACE(sizeof(struct ucred))], byte;
    struct iovec part = {&byte, sizeof(byte)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    int on = 1;

    if (setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return false;
    return recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT) == 0 && message.msg_controllen == 0 &&
           !(message.msg_flags & MSG_CTRUNC);
}
