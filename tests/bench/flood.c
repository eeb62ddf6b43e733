/* SPDX-License-Identifier: MIT */
#include "flood.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "complain.h"
#include "samples.h"

#define WAIT_MS     10
#define PATIENCE_NS 20000000000u
#define EVENTS      32

int flood_send(struct line *line, const struct message *message, const int *fds, unsigned count)
{
    int r = wire_send(line->socket, message, fds, count);

    if (r < 0)
        return complain("sending a hostile request: %s", strerror(-r));
    line->pending++;
    return 0;
}

static int ask(struct flood *flood, struct line *line, struct answer *answer)
{
    if (flood->ask)
        return flood->ask(flood, line, answer);
    return flood->resting ? 0 : flood_send(line, flood->message, flood->fds, flood->fd_count);
}

static int watch(struct flood *flood, struct line *line)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};

    if (epoll_ctl(flood->epoll, EPOLL_CTL_ADD, line->socket, &event) < 0)
        return complain("waiting for replies to hostile requests: %s", strerror(errno));
    return 0;
}

int flood_open(struct flood *flood, struct hostile *hostile)
{
    hostile->flood = flood;
    flood->hostile = hostile;
    flood->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (flood->epoll < 0)
        return complain("waiting for replies to hostile requests: %s", strerror(errno));
    for (unsigned i = 0; i < flood->lines; i++) {
        struct line *line = &flood->line[i];
        line->pending = 0;
        line->socket = wire_open(flood->hostile->address);
        if (line->socket < 0 || watch(flood, line) < 0)
            return -1;
    }
    return 0;
}

static int fill(struct flood *flood, struct line *line)
{
    while (line->pending < flood->depth && line->socket >= 0) {
        unsigned before = line->pending;
        if (ask(flood, line, NULL) < 0)
            return -1;
        if (line->pending == before)
            break;
    }
    return 0;
}

int flood_begin(struct hostile *hostile)
{
    struct flood *flood = hostile->flood;

    flood->resting = false;
    for (unsigned i = 0; i < flood->lines; i++)
        if (fill(flood, &flood->line[i]) < 0)
            return -1;
    return 0;
}

/* The broker has ended the connection: another one, if it takes it. */
static int replace(struct flood *flood, struct line *line)
{
    if (line->socket >= 0)
        close(line->socket);
    line->pending = 0;
    line->socket = wire_connect(flood->hostile->address);
    if (line->socket < 0)
        return -1;
    if (wire_greet(line->socket) < 0) {
        close(line->socket);
        line->socket = -1;
        return 0;
    }
    return watch(flood, line) < 0 ? -1 : fill(flood, line);
}

static int take_answer(struct flood *flood, struct line *line)
{
    struct answer *answer = &flood->answer;
    int r = wire_receive(line->socket, MSG_DONTWAIT, answer);

    if (r == -EAGAIN)
        return 0;
    if (r < 0 && flood->may_be_dropped)
        return replace(flood, line);
    if (r < 0)
        return complain("receiving the reply to a hostile request: %s", strerror(-r));
    line->pending--;
    flood->hostile->done++;
    if (answer->header.status != flood->expected) {
        answer_release(answer);
        return complain("a hostile request was answered in another way than expected: %s",
                        sealbuf_strerror((int)answer->header.status));
    }
    r = ask(flood, line, answer);
    answer_release(answer);
    return r;
}

int flood_step(struct hostile *hostile)
{
    struct flood *flood = hostile->flood;
    struct epoll_event events[EVENTS];
    int n = epoll_wait(flood->epoll, events, EVENTS, WAIT_MS);

    for (int i = 0; i < n; i++)
        if (take_answer(flood, events[i].data.ptr) < 0)
            return -1;
    for (unsigned i = 0; i < flood->lines && flood->may_be_dropped; i++)
        if (flood->line[i].socket < 0 && replace(flood, &flood->line[i]) < 0)
            return -1;
    return 0;
}

int flood_rest(struct hostile *hostile)
{
    struct flood *flood = hostile->flood;
    uint64_t start = now_ns();
    unsigned pending = 1;

    flood->resting = true;
    while (pending > 0) {
        if (now_ns() - start > PATIENCE_NS)
            return complain("%u hostile requests were not answered", pending);
        if (flood_step(hostile) < 0)
            return -1;
        pending = 0;
        for (unsigned i = 0; i < flood->lines; i++)
            pending += flood->line[i].pending;
    }
    return 0;
}
