/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "cleanup.h"
#include "handover.h"
#include "log.h"
#include "peer.h"
#include "service.h"

/* Between them the loop looks who else has come. */
#define ACCEPTS_PER_TURN 2

/* Until the next try, after the system had no descriptor or memory for a connection. */
static const struct timeval pause_time = {.tv_usec = 100000};

struct listener {
    struct listener *next;
    struct broker *broker;
    int socket;
    struct address *address; /* where it was bound; NULL where the service manager bound it */
    bool paused;
    struct event readable, resume;
};

static void resume(evutil_socket_t fd, short what, void *argument)
{
    struct listener *listener = argument;

    (void)fd, (void)what;
    event_add(&listener->readable, NULL);
}

static void pause_accepting(struct listener *listener, int error)
{
    if (!listener->paused)
        log_line(LOG_WARNING,
                 "cannot accept connections: %s; they wait until descriptors or memory are free (see RLIMIT_NOFILE)",
                 strerror(error));
    listener->paused = true;
    event_del(&listener->readable);
    event_add(&listener->resume, &pause_time);
}

static bool is_passing(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_connection(evutil_socket_t fd, short what, void *argument)
{
    struct listener *listener = argument;

    (void)what;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int socket = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (socket < 0) {
            if (is_passing(errno))
                pause_accepting(listener, errno);
            else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                log_line(LOG_WARNING, "cannot accept a connection: %s", strerror(errno));
            return;
        }
        if (listener->paused)
            log_line(LOG_NOTICE, "accepting connections again");
        listener->paused = false;
        peer_create(listener->broker, socket);
    }
}

/* Takes the socket and the address. */
static int add_listener(struct broker *broker, int socket, struct address *address)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (!listener) {
        close(socket);
        address_release(address);
        return -ENOMEM;
    }
    listener->broker = broker;
    listener->socket = socket;
    listener->address = address;
    event_assign(&listener->readable, broker->loop, socket, EV_READ | EV_PERSIST, on_connection, listener);
    event_assign(&listener->resume, broker->loop, -1, 0, resume, listener);
    event_add(&listener->readable, NULL);
    listener->next = broker->listeners;
    broker->listeners = listener;
    return 0;
}

static int open_own(struct broker *broker)
{
    struct address *address = NULL;
    int socket = address_listen(broker->config, &address);

    if (socket < 0)
        return socket;
    log_line(LOG_INFO, "listening on %s", address_text(address));
    return add_listener(broker, socket, address);
}

static int open_passed(struct broker *broker, int count)
{
    for (int i = 0; i < count; i++) {
        int socket = service_passed_socket(i);
        if (socket < 0)
            return socket;
        int r = add_listener(broker, socket, NULL);
        if (r < 0)
            return r;
    }
    log_line(LOG_INFO, "listening on %d socket%s from the service manager", count, count == 1 ? "" : "s");
    return 0;
}

int listeners_open(struct broker *broker)
{
    int count = service_passed_sockets();

    if (count > 0 && broker->config->socket_path) {
        log_line(LOG_ERR,
                 "the service manager passed %d sockets, and the configuration or --socket names another; use one or "
                 "the other",
                 count);
        return -EINVAL;
    }
    return count > 0 ? open_passed(broker, count) : open_own(broker);
}

void listeners_hand_over(const struct broker *broker, struct handover *handover)
{
    for (const struct listener *listener = broker->listeners; listener; listener = listener->next) {
        struct handover_listener record = {.descriptor = handover_descriptor(handover, listener->socket)};
        if (listener->address) {
            record.lock = handover_descriptor(handover, address_lock(listener->address));
            record.path = SPAN(address_text(listener->address));
        }
        handover_add(handover, HANDOVER_LISTENER, &record);
    }
}

int listener_take_over(struct broker *broker, const struct handover_listener *record)
{
    struct address *address = record->lock ? address_restore(record->path, (int)record->lock) : NULL;

    if (record->lock && !address)
        return -ENOMEM;
    return add_listener(broker, (int)record->descriptor, address);
}

void listeners_close(struct broker *broker)
{
    struct listener *listener;

    while ((listener = broker->listeners)) {
        broker->listeners = listener->next;
        event_del(&listener->readable);
        event_del(&listener->resume);
        close(listener->socket);
        address_release(listener->address);
        free(listener);
    }
}
