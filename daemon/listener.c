/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "address.h"
#include "cleanup.h"
#include "handover.h"
#include "log.h"
#include "message_id.h"
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
    char *name;              /* that the service manager gave it; else empty */
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
        log_about(LOG_WARNING, &(struct log_subject){.message_id = MESSAGE_ID_NOT_ACCEPTING},
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
        peer_create(listener->broker, socket, listener->name);
    }
}

/* Takes the socket and the address. */
static int add_listener(struct broker *broker, int socket, struct address *address, const char *name)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (!listener || !(listener->name = strdup(name))) {
        free(listener);
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
    return add_listener(broker, socket, address, "");
}

static void announce(const struct passed *passed)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);

    if (getsockname(passed->fd, (struct sockaddr *)&address, &length) < 0 || length > sizeof(address))
        length = offsetof(struct sockaddr_un, sun_path);
    int size = (int)(length - offsetof(struct sockaddr_un, sun_path));
    bool abstract = size > 0 && address.sun_path[0] == '\0';
    log_line(LOG_INFO, "listening on %s%.*s, from the service manager, named '%s'", abstract ? "@" : "",
             abstract ? size - 1 : size, address.sun_path + abstract, passed->name);
}

static int open_passed(struct broker *broker, struct passed *passed, int count)
{
    for (int i = 0; i < count; i++) {
        if (!service_is_socket(&passed[i]))
            continue;
        int r = service_check_socket(&passed[i]);
        if (r == 0) {
            announce(&passed[i]);
            r = add_listener(broker, take_fd(&passed[i].fd), NULL, passed[i].name);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int count_sockets(const struct passed *passed, int count)
{
    int sockets = 0;

    for (int i = 0; i < count; i++)
        sockets += service_is_socket(&passed[i]);
    return sockets;
}

int listeners_open(struct broker *broker, struct passed *passed, int count)
{
    int sockets = count_sockets(passed, count);

    if (sockets > 0 && broker->config->socket_path) {
        log_line(LOG_ERR,
                 "the service manager passed %d socket%s, and the configuration or --socket names another; use one or "
                 "the other",
                 sockets, sockets == 1 ? "" : "s");
        return -EINVAL;
    }
    return sockets > 0 ? open_passed(broker, passed, count) : open_own(broker);
}

void listeners_hand_over(const struct broker *broker, struct handover *handover)
{
    for (const struct listener *listener = broker->listeners; listener; listener = listener->next) {
        struct handover_listener record = {.descriptor = handover_descriptor(handover, listener->socket),
                                           .name = SPAN(listener->name)};
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
    CLEANUP(cleanup_free)
    char *name = strndup(record->name.data, record->name.length);

    if (!name || (record->lock && !address))
        return -ENOMEM;
    return add_listener(broker, (int)record->descriptor, address, name);
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
        free(listener->name);
        free(listener);
    }
}
