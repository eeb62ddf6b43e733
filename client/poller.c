/* SPDX-License-Identifier: MIT */
/*
 * One descriptor for somebody's event loop, over all sockets that the connection has one after the other: an epoll
 * descriptor (epoll(7)) with the socket in it, and while there is none, with a timer. It comes with the first
 * sealbuf_fd: who only makes calls that wait has neither its cost nor its descriptor.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "cleanup.h"
#include "client.h"
#include "memfd.h"

static uint32_t wanted(const sealbuf_client *client)
{
    return sealbuf_events(client) & POLLOUT ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

static int control(const struct link *link, int operation, int fd, uint32_t events)
{
    return epoll_ctl(link->poller, operation, fd, &(struct epoll_event){.events = events}) < 0 ? -errno : 0;
}

static int watch_socket(sealbuf_client *client)
{
    struct link *link = &client->link;
    uint32_t events = wanted(client);

    if (client->socket < 0 || (link->watched && events == link->watched_for))
        return 0;
    int r = control(link, link->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, client->socket, events);
    if (r < 0)
        return r;
    link->watched = true;
    link->watched_for = events;
    return 0;
}

void poller_forget_socket(sealbuf_client *client)
{
    struct link *link = &client->link;

    /* Closing does not do it where a child of this process has the socket, too. */
    if (link->watched)
        control(link, EPOLL_CTL_DEL, client->socket, 0);
    link->watched = false;
}

static void drop_timer(struct link *link)
{
    if (link->timer < 0)
        return;
    control(link, EPOLL_CTL_DEL, link->timer, 0);
    close_quietly(take_fd(&link->timer));
}

static int make_timer(struct link *link)
{
    CLEANUP(cleanup_close)
    int fd = descriptor_above_stdio(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));

    if (fd < 0)
        return -errno;
    int r = control(link, EPOLL_CTL_ADD, fd, EPOLLIN);
    if (r == 0)
        link->timer = take_fd(&fd);
    return r;
}

/* It is never read: setting it anew takes back that it went off. */
static int set_timer(struct link *link, int due)
{
    struct itimerspec time = {.it_value = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000L}};
    int r = link->timer < 0 ? make_timer(link) : 0;

    if (r < 0)
        return r;
    if (due <= 0)
        time.it_value.tv_nsec = due == 0; /* at once; or never */
    return timerfd_settime(link->timer, 0, &time, NULL) < 0 ? -errno : 0;
}

static int update(sealbuf_client *client)
{
    int r = watch_socket(client);

    if (r < 0)
        return r;
    if (client->broken && client->socket < 0)
        return set_timer(&client->link, 0); /* as a socket whose other side has closed */
    if (!link_up(&client->link))
        return set_timer(&client->link, link_due(client));
    drop_timer(&client->link);
    return 0;
}

/* Without memory, or a descriptor, for what wakes the loop, the program must not wait for ever. */
void poller_update(sealbuf_client *client)
{
    if (client->link.poller < 0)
        return;
    int r = update(client);
    if (r < 0 && !client->broken)
        client_break_off(client, r);
}

int sealbuf_fd(const sealbuf_client *given)
{
    union { /* a client is never a constant: sealbuf_connect has made it */
        const sealbuf_client *given;
        sealbuf_client *client;
    } same = {.given = given};
    struct link *link = &same.client->link;

    if (!link->reconnects)
        return given->socket;
    if (link->poller >= 0)
        return link->poller;
    CLEANUP(cleanup_close)
    int fd = descriptor_above_stdio(epoll_create1(EPOLL_CLOEXEC));
    if (fd < 0)
        return -errno;
    link->poller = fd;
    int r = update(same.client);
    if (r == 0)
        return take_fd(&fd);
    link->poller = -1;
    link->watched = false;
    close_quietly(take_fd(&link->timer));
    return r;
}
