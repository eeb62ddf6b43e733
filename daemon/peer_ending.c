/* SPDX-License-Identifier: MIT */
/* How a connection ends: over as many turns as it takes, and after what is on its way has landed. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "aside.h"
#include "cleanup.h"
#include "flight.h"
#include "log.h"
#include "packet.h"
#include "paused.h"
#include "peer.h"
#include "peer_parts.h"
#include "sealing.h"
#include "status.h"
#include "storing.h"
#include "wait.h"
#include "watch.h"

/* From how many buffers on their closing is left to a worker. */
#define CLOSE_IN_BATCH 8
/* So many are released between two looks at the clock. */
#define RELEASE_AT_ONCE 2

/* How often to look whether what has been sent is read, where the connection has ended. */
static const struct timeval landing_time = {.tv_usec = 100000};

/* Drops the buffers that it held, until the turn is over, or all of them. True: there are none any more. */
static bool release_buffers(struct peer *peer, bool all)
{
    struct reaper *reaper = &peer->broker->reaper;
    struct buffer *buffer = LIST_FIRST(&peer->held);
    unsigned count = 0;

    for (; buffer && count <= CLOSE_IN_BATCH; buffer = LIST_NEXT(buffer, held))
        count++;
    if (count > CLOSE_IN_BATCH)
        reaper_begin_batch(reaper);
    for (count = 0; (buffer = LIST_FIRST(&peer->held)); count++) {
        if (!all && count && count % RELEASE_AT_ONCE == 0 && turn_is_over(peer->broker))
            break;
        buffer_unhold(&peer->broker->buffers, buffer);
    }
    reaper_end_batch(reaper);
    return !buffer;
}

/* Unbinds the names that go with it, until the turn is over, or all of them. True: there are none any more. */
static bool release_names(struct peer *peer, bool all)
{
    struct name *name;

    while ((name = LIST_FIRST(&peer->names))) {
        registry_unbind(&peer->broker->registry, name, SEALBUF_CHANGE_EXPIRED);
        if (!all && turn_is_over(peer->broker))
            break;
    }
    return LIST_EMPTY(&peer->names);
}

/* Nothing more is read, and nothing more is served. */
static void stop_serving(struct peer *peer)
{
    peer_stop_listening(peer);
    turn_forget(peer);
    if (peer->job)
        sealing_forget_peer(take_pointer(peer->job));
    storing_free(take_pointer(peer->storing));
    if (peer->aside)
        aside_cancel(take_pointer(peer->aside));
    if (peer->paused)
        paused_drop(take_pointer(peer->paused));
    peer_release_request(peer);
    flight_unreserve(peer);
    peer_stop_sending(peer);
}

/*
 * What it has sent and nobody has read may hold the last descriptor of a big buffer, which the close would free, or
 * foreign ones, which may never be closed.
 */
static void close_socket(struct peer *peer)
{
    shutdown(peer->socket, SHUT_RDWR);
    if (packet_is_drained(peer->socket))
        close(peer->socket);
    else
        reaper_close_unread(&peer->broker->reaper, peer->who.uid, peer->socket);
}

void peer_destroy(struct peer *peer)
{
    struct broker *broker = peer->broker;

    status_touch(broker->status);
    log_client(LOG_DEBUG, &peer->who, "disconnected");
    stop_serving(peer);
    waits_drop(peer, true);
    watches_end(peer, true);
    release_names(peer, true);
    release_buffers(peer, true);
    claims_end(peer);
    flight_forget(peer);
    close_socket(peer);
    LIST_REMOVE(peer, link);
    quota_release(&broker->quota, peer->who.uid, RESOURCE_CONNECTIONS, 1);
    credentials_release(&peer->who);
    free(peer);
}

static void on_landing(evutil_socket_t fd, short what, void *argument)
{
    struct peer *peer = argument;

    (void)fd, (void)what;
    if (flight_landed(peer))
        peer_destroy(peer);
    else
        event_add(&peer->flush, &landing_time);
}

void peer_take_last_turn(struct peer *peer)
{
    if (!waits_drop(peer, false) || !watches_end(peer, false) || !release_names(peer, false) ||
        !release_buffers(peer, false)) {
        turn_wait(peer);
        return;
    }
    if (flight_landed(peer)) {
        peer_destroy(peer);
        return;
    }
    event_assign(&peer->flush, peer->broker->loop, -1, 0, on_landing, peer);
    event_add(&peer->flush, &landing_time);
}

static void prepare_end(struct peer *peer)
{
    stop_serving(peer);
    shutdown(peer->socket, SHUT_RDWR);
    peer->ending = true;
}

void peer_end_in_turn(struct peer *peer)
{
    prepare_end(peer);
    turn_wait(peer);
}

void peer_end(struct peer *peer)
{
    prepare_end(peer);
    peer_take_last_turn(peer);
}
