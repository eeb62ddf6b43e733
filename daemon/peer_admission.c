/* SPDX-License-Identifier: MIT */
/* Who gets a connection, and how it begins. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "dispatch.h"
#include "errors.h"
#include "log.h"
#include "message_id.h"
#include "packet.h"
#include "peer.h"
#include "peer_parts.h"
#include "status.h"

static int admit(struct broker *broker, const struct credentials *who, struct limit_met *met)
{
    if (reaper_patience(&broker->reaper, who->uid) == PATIENCE_GONE)
        return SEALBUF_ERR_TABLE_FULL;
    return quota_charge(&broker->quota, who->uid, RESOURCE_CONNECTIONS, 1, met);
}

static void turn_away(const struct credentials *who, int socket, int error, const struct limit_met *met)
{
    uint8_t message[HEADER_SIZE + SEALBUF_MAX_TEXT];
    size_t length = dispatch_refusal(message, sizeof(message), SEALBUF_OP_HELLO, 0, error, met);

    packet_send(socket, message, length, NULL, 0);
    const char *message_id = error == SEALBUF_ERR_LIMIT ? MESSAGE_ID_LIMIT : MESSAGE_ID_NOT_ADMITTED;
    log_about(LOG_NOTICE, &(struct log_subject){.message_id = message_id, .client = who}, "not admitted: %s%s",
              error == SEALBUF_ERR_LIMIT ? "it is at the limit " : "",
              error == SEALBUF_ERR_LIMIT ? met->key : error_entry((uint32_t)error)->cause);
}

/* Its connection has been charged. */
static struct peer *new_peer(struct broker *broker, const struct credentials *who)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return NULL;
    peer->broker = broker;
    peer->socket = who->socket;
    peer->who = *who;
    peer->account = quota_find(&broker->quota, who->uid);
    LIST_INIT(&peer->held);
    LIST_INIT(&peer->names);
    LIST_INIT(&peer->claims);
    RB_INIT(&peer->waiting);
    TAILQ_INIT(&peer->ripe_waits);
    RB_INIT(&peer->watches);
    TAILQ_INIT(&peer->ready_watches);
    LIST_INSERT_HEAD(&broker->peers, peer, link);
    peer_init_reading(peer);
    peer_init_sending(peer);
    return peer;
}

void peer_create(struct broker *broker, int socket_taken, const char *door)
{
    CLEANUP(cleanup_close)
    int socket = socket_taken;
    struct credentials who;
    struct limit_met met = {.key = NULL};

    if (credentials_of_peer(socket, &who) < 0) /* it has gone already */
        return;
    snprintf(who.door, sizeof(who.door), "%s", door);
    int r = admit(broker, &who, &met);
    if (r) {
        turn_away(&who, socket, r, &met);
        return;
    }
    struct peer *peer = new_peer(broker, &who);
    if (!peer) {
        quota_release(&broker->quota, who.uid, RESOURCE_CONNECTIONS, 1);
        return;
    }
    take_fd(&socket);
    peer_set_send_buffer(peer);
    peer->rests = broker->is_resting;
    peer_listen(peer);
    status_touch(broker->status);
    log_client(LOG_DEBUG, &peer->who, "connected");
}

struct peer *peer_restore(struct broker *broker, int *socket)
{
    struct credentials who;

    errno = ENOMEM;
    int r = credentials_of_peer(*socket, &who);
    if (r < 0)
        errno = -r;
    if (r < 0 || quota_restore(&broker->quota, who.uid, RESOURCE_CONNECTIONS, 1))
        return NULL;
    struct peer *peer = new_peer(broker, &who);
    if (peer)
        take_fd(socket);
    else
        quota_release(&broker->quota, who.uid, RESOURCE_CONNECTIONS, 1);
    return peer;
}

void peer_go_on(struct peer *peer)
{
    if (peer->ending) {
        turn_wait(peer);
        return;
    }
    if (peer->full || outbox_first(&peer->outbox))
        peer_flush_later(peer, -EAGAIN);
    peer_watch_claims(peer);
    peer_listen(peer);
}
