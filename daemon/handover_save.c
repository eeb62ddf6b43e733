/* SPDX-License-Identifier: MIT */
/* From a broker that runs to the records of a handover. */
#include <config-build.h>
#include <errno.h>
#include <string.h>

#include "aside.h"
#include "broker.h"
#include "claim.h"
#include "handover.h"
#include "listener.h"
#include "paused.h"
#include "peer.h"
#include "sandbox.h"
#include "sealing.h"
#include "store.h"
#include "storing.h"
#include "wait.h"
#include "watch.h"

static void save_descriptor(struct handover *handover, enum handover_kind kind, int fd, uint64_t id)
{
    handover_add(handover, kind, &(struct handover_descriptor){handover_descriptor(handover, fd), id});
}

static void save_token(struct handover *handover, const struct token *token)
{
    uint8_t bytes[SEALBUF_TOKEN_SIZE];
    struct ledger_token record;

    token_to_ledger(token, bytes, &record);
    handover_add(handover, HANDOVER_TOKEN, &record);
    explicit_bzero(bytes, sizeof(bytes));
}

/* What has a slot is in the ledger. */
static void save_buffer(struct handover *handover, const struct buffer *buffer)
{
    struct ledger_buffer record;
    struct ledger_name name_record;
    const struct token *token;
    const struct name *name;

    save_descriptor(handover, buffer->slot ? HANDOVER_STORED : HANDOVER_MEMFD, buffer->fd, buffer->id);
    if (!buffer->slot) {
        int r = buffer_to_ledger(buffer, &record);
        if (r < 0 && handover->error == 0)
            handover->error = r;
        handover_add(handover, HANDOVER_BUFFER, &record);
    }
    LIST_FOREACH(name, &buffer->names, of_buffer) {
        if (name->slot)
            continue;
        name_to_ledger(name, &name_record);
        handover_add(handover, HANDOVER_NAME, &name_record);
    }
    LIST_FOREACH(token, &buffer->tokens, of_buffer)
        if (!token->slot)
            save_token(handover, token);
}

/* A request that waits, is paused, or that a worker is busy for, is served as if it had just come. */
static struct span unserved(const struct peer *peer)
{
    const uint8_t *message = NULL;
    size_t length = 0;

    if (peer->aside) {
        message = peer->aside->message;
        length = peer->aside->length;
    } else if (peer->job) {
        message = sealing_message(peer->job, &length);
    } else if (peer->storing) {
        message = storing_message(peer->storing, &length);
    } else if (peer->paused) {
        message = peer->paused->message;
        length = peer->paused->request.length;
    }
    return (struct span){(const char *)message, (uint32_t)length};
}

static uint32_t flags_of(const struct peer *peer)
{
    uint32_t flags = 0;

    flags |= peer->greeted ? HANDOVER_GREETED : 0;
    flags |= peer->ending ? HANDOVER_ENDING : 0;
    flags |= peer->full ? HANDOVER_FULL : 0;
    flags |= peer->was_reset ? HANDOVER_RESET : 0;
    flags |= peer->request_charged ? HANDOVER_CHARGED : 0;
    flags |= peer->who.pidfd_known ? HANDOVER_PIDFD_KNOWN : 0;
    flags |= peer->asked_reexec ? HANDOVER_ASKED_REEXEC : 0;
    return flags;
}

static void save_reply(struct handover *handover, const struct parcel *parcel)
{
    uint32_t numbers[SEALBUF_MAX_RECORDS];

    for (unsigned i = 0; i < parcel->count; i++)
        numbers[i] = handover_descriptor(handover, parcel->fd[i]);
    handover_add(handover, HANDOVER_REPLY,
                 &(struct handover_reply){
                     .message = {(const char *)parcel->message, (uint32_t)parcel->length},
                     .descriptors = {(const char *)numbers, (uint32_t)(parcel->count * sizeof(numbers[0]))},
                 });
}

static void save_claim(struct handover *handover, const struct claim *claim)
{
    struct handover_claim record = {
        .id = claim->buffer->id,
        .owner = claim->owner,
        .by_name = claim->by_name,
        .sent = claim->sent,
    };

    if (claim->name) {
        record.name_owner = claim->name->owner;
        record.name = name_text(claim->name);
    }
    handover_add(handover, HANDOVER_CLAIM, &record);
}

static void save_waits(struct handover *handover, struct peer *peer)
{
    struct handover_wait record;

    for (struct wait *wait = wait_first(peer); wait; wait = wait_after(wait)) {
        wait_to_handover(wait, &record);
        handover_add(handover, HANDOVER_WAIT, &record);
    }
}

static void save_peer(struct handover *handover, struct peer *peer)
{
    const struct buffer *buffer;
    const struct parcel *parcel;
    const struct claim *claim;
    const struct name *name;

    handover_add(handover, HANDOVER_PEER,
                 &(struct handover_peer){
                     .descriptor = handover_descriptor(handover, peer->socket),
                     .flags = flags_of(peer),
                     .priority = (uint32_t)event_get_priority(&peer->readable),
                     .in_flight = peer->in_flight,
                     .unread = peer->unread,
                     .unread_at_most = peer->unread_at_most,
                     .claimed_ns = peer->claimed_ns,
                     .pid_namespace = (uint32_t)peer->who.pid_namespace,
                     .pidfd = peer->who.pidfd,
                     .message = unserved(peer),
                     .door = SPAN(peer->who.door),
                 });
    LIST_FOREACH(buffer, &peer->held, held)
        handover_add(handover, HANDOVER_HELD, &(struct handover_held){buffer->id});
    STAILQ_FOREACH(parcel, &peer->outbox, link)
        save_reply(handover, parcel);
    LIST_FOREACH(claim, &peer->claims, of_peer)
        save_claim(handover, claim);
    LIST_FOREACH(name, &peer->names, of_peer)
        handover_add(handover, HANDOVER_CONNECTED, &(struct handover_connected){name->owner, name_text(name)});
    if (peer->ending)
        return;
    save_waits(handover, peer);
    watches_hand_over(peer, handover);
}

static void save_closing(int fd, void *userdata)
{
    save_descriptor(userdata, HANDOVER_CLOSING, fd, 0);
}

static void save_removal(uint64_t id, void *userdata)
{
    handover_add(userdata, HANDOVER_REMOVAL, &(struct handover_held){id});
}

int handover_save(struct broker *broker, const char *program, uint64_t stopped_ns, struct handover *handover)
{
    const struct handover_header header = {.started_ns = broker->started_ns,
                                           .stopped_ns = stopped_ns,
                                           .filtered = sandbox_is_filtered(),
                                           .has_store = broker->store.is_there,
                                           .program = SPAN(program),
                                           .version = SPAN(PACKAGE_VERSION)};
    struct peer *peer;

    int r = handover_begin(handover, &header);
    if (r < 0)
        return r;
    listeners_hand_over(broker, handover);
    save_descriptor(handover, HANDOVER_LEDGER, ledger_fd(broker->ledger), 0);
    for (struct buffer *buffer = buffers_first(&broker->buffers); buffer; buffer = buffers_next(buffer))
        save_buffer(handover, buffer);
    LIST_FOREACH(peer, &broker->peers, link)
        save_peer(handover, peer);
    store_each_removal(&broker->store, save_removal, handover);
    reaper_each_pending(&broker->reaper, save_closing, handover);
    return handover_finish(handover);
}
