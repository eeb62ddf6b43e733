/* SPDX-License-Identifier: MIT */
#include "bare_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "complain.h"

static int serve(void *argument)
{
    int socket = dup2(*(int *)argument, STDERR_FILENO + 1);

    /* The ends of other pairs that the bench had open: they are none of ours. */
    close_range((unsigned)socket + 1, ~0U, 0);
    return bare_server_run(socket);
}

int bare_client_start(struct bare_client *bare)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return complain("the bare server's socket: %s", strerror(errno));
    pid_t pid = child_start(serve, &pair[1]);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return complain("the bare server's process: %s; ulimit -u says how many there may be", strerror(-pid));
    }
    *bare = (struct bare_client){.socket = pair[0], .server = pid};
    return 0;
}

void bare_client_stop(struct bare_client *bare)
{
    if (bare->server <= 0)
        return;
    close(bare->socket);
    child_stop(bare->server);
    *bare = (struct bare_client){.socket = -1};
}

static void collect(struct msghdr *message, struct bare_catch *caught)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);

    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return;
    caught->count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(caught->fd, CMSG_DATA(c), caught->count * sizeof(int));
}

int bare_call(const struct bare_client *bare, const struct bare_request *request, struct bare_catch *caught)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * BARE_GREATEST)];
        struct cmsghdr align;
    } control;
    struct bare_reply reply;
    struct iovec out = {.iov_base = (void *)(uintptr_t)request, .iov_len = sizeof(*request)};
    struct iovec in = {.iov_base = &reply, .iov_len = sizeof(reply)};
    struct msghdr question = {.msg_iov = &out, .msg_iovlen = 1};
    struct msghdr answer = {
        .msg_iov = &in, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};

    caught->count = 0;
    if (sendmsg(bare->socket, &question, MSG_NOSIGNAL) < 0)
        return -errno;
    ssize_t n = recvmsg(bare->socket, &answer, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    collect(&answer, caught);
    if (n != sizeof(reply))
        return -ECONNRESET;
    if (answer.msg_flags & MSG_CTRUNC)
        return -EMFILE;
    return -reply.error;
}

void bare_catch_close(struct bare_catch *caught)
{
    for (unsigned i = 0; i < caught->count; i++)
        close(caught->fd[i]);
    caught->count = 0;
}

int complain_bare(const char *what, int error)
{
    const char *remedy = "";

    if (error == -EMFILE)
        remedy = "; raise the number of open files (ulimit -n)";
    if (error == -ECONNRESET || error == -EPIPE)
        remedy = "; the bare server has ended";
    return complain("%s by the bare server: %s%s", what, strerror(-error), remedy);
}
