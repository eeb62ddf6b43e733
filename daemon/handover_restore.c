/* SPDX-License-Identifier: MIT */
/* From the records of a handover to a broker that goes on. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "aside.h"
#include "broker.h"
#include "claim.h"
#include "cleanup.h"
#include "clock.h"
#include "flight.h"
#include "handover.h"
#include "listener.h"
#include "log.h"
#include "peer.h"
#include "request.h"
#include "restore.h"
#include "store.h"
#include "wait.h"
#include "watch.h"

/* What is put together until all of it is there. */
struct restoring {
    struct broker *broker;
    struct inherited *inherited; /* the ledger, and the descriptors of its buffers */
    char (*names)[STORED_NAME_SIZE];
    size_t count, room;
    int memfd;                     /* of the buffer whose record comes next */
    struct held_buffers unclaimed; /* all buffers; those that no name and no peer holds at the end go */
    struct peer *peer;             /* the last one */
    size_t peers;
};

static int fail(const char *what, const char *why)
{
    log_line(LOG_ERR, "cannot take over: %s: %s", what, why);
    return -EPROTO;
}

/* A trial is to find it out. But where there is no way back, all but this one thing goes on. */
static int fail_to_restore(const struct restoring *restoring, const char *what, const char *why)
{
    if (restoring->broker->is_trial)
        return fail(what, why);
    log_line(LOG_ERR, "lost when the broker was executed anew: %s: %s", what, why);
    return 0;
}

/* Every descriptor of a broker is close-on-exec. One that is not there is an error of who handed it over. */
static int own(uint32_t descriptor)
{
    return fcntl((int)descriptor, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/* Who waits for what has been lost must not wait for ever: what its connection has is released as ever. */
static int lose_peer(const struct restoring *restoring, const char *what, int r)
{
    shutdown(restoring->peer->socket, SHUT_RDWR);
    return fail_to_restore(restoring, what, strerror(-r));
}

/* ---- What is in the ledger --------------------------------------------------------------------------------------- */

static int make_room(struct restoring *restoring)
{
    if (restoring->count < restoring->room)
        return 0;
    size_t room = restoring->room ? restoring->room * 2 : 1024;
    struct inherited *grown = reallocarray(restoring->inherited, room, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    restoring->inherited = grown;
    char(*names)[STORED_NAME_SIZE] = reallocarray(restoring->names, room, sizeof(*names));
    if (!names)
        return -ENOMEM;
    restoring->names = names;
    restoring->room = room;
    return 0;
}

static int inherit(struct restoring *restoring, const struct handover_descriptor *record, bool is_ledger)
{
    int r = own(record->descriptor);

    if (r == 0)
        r = make_room(restoring);
    if (r < 0)
        return fail_to_restore(restoring, is_ledger ? "the ledger" : "a buffer's descriptor", strerror(-r));
    assert(restoring->inherited && restoring->names);
    if (is_ledger)
        snprintf(restoring->names[restoring->count], STORED_NAME_SIZE, "%s", LEDGER_NAME);
    else
        stored_name(record->id, restoring->names[restoring->count]);
    restoring->inherited[restoring->count++].fd = (int)record->descriptor;
    return 0;
}

static int open_ledger(struct restoring *restoring)
{
    for (size_t i = 0; i < restoring->count; i++)
        restoring->inherited[i].name = restoring->names[i];
    return restore(restoring->broker, restoring->inherited, restoring->count, &restoring->unclaimed);
}

/* On trial the broker goes on meanwhile, and what its ledger told of may have gone. */
static bool has_gone(const struct restoring *restoring, uint64_t id)
{
    return restoring->broker->is_trial && !buffer_find(&restoring->broker->buffers, id);
}

/* ---- What is not ------------------------------------------------------------------------------------------------- */

static int restore_volatile(struct restoring *restoring, const struct ledger_buffer *record)
{
    struct buffer *buffer;
    const char *why = restore_buffer(restoring->broker, record, 0, &restoring->memfd, &restoring->unclaimed, &buffer);

    close_quietly(take_fd(&restoring->memfd));
    return why ? fail_to_restore(restoring, "a buffer", why) : 0;
}

static int restore_name_of(const struct restoring *restoring, const struct ledger_name *record)
{
    const char *why = has_gone(restoring, record->buffer) ? NULL : restore_name(restoring->broker, record, 0);
    return why ? fail_to_restore(restoring, "a name", why) : 0;
}

/* It may expire just now. */
static int restore_token_of(const struct restoring *restoring, const struct ledger_token *record)
{
    const char *why = has_gone(restoring, record->buffer) ? NULL : restore_token(restoring->broker, record, 0);
    bool has_expired = record->deadline_ns && record->deadline_ns <= clock_monotonic_ns();
    return why && !has_expired ? fail_to_restore(restoring, "a token", why) : 0;
}

static int restore_peer_of(struct restoring *restoring, const struct handover_peer *record)
{
    CLEANUP(cleanup_close)
    int socket = (int)record->descriptor;
    int r = own(record->descriptor);
    struct peer *peer = r < 0 ? NULL : peer_restore(restoring->broker, &socket);

    restoring->peer = peer;
    if (!peer)
        return fail_to_restore(restoring, "a connection", strerror(r < 0 ? -r : errno));
    peer->greeted = record->flags & HANDOVER_GREETED;
    peer->ending = record->flags & HANDOVER_ENDING;
    peer->full = record->flags & HANDOVER_FULL;
    peer->was_reset = record->flags & HANDOVER_RESET;
    peer->asked_reexec = record->flags & HANDOVER_ASKED_REEXEC;
    peer->request_charged = record->flags & HANDOVER_CHARGED;
    peer->unread = record->unread;
    peer->unread_at_most = record->unread_at_most;
    peer->claimed_ns = record->claimed_ns;
    peer->who.pidfd_known = record->flags & HANDOVER_PIDFD_KNOWN;
    peer->who.pidfd = record->pidfd;
    peer->who.pid_namespace = record->pid_namespace;
    snprintf(peer->who.door, sizeof(peer->who.door), "%.*s", (int)record->door.length, record->door.data);
    if (record->priority < PRIORITIES)
        event_priority_set(&peer->readable, (int)record->priority);
    account_add(&restoring->broker->quota, peer->account, RESOURCE_REQUESTS, peer->request_charged);
    flight_sent(peer, record->in_flight);
    restoring->peers++;
    if (record->message.length)
        r = aside_restore(peer, (const uint8_t *)record->message.data, record->message.length);
    return r < 0 ? lose_peer(restoring, "a request", r) : 0;
}

static struct buffer *find_buffer(const struct restoring *restoring, uint64_t id)
{
    struct buffer *buffer = buffer_find(&restoring->broker->buffers, id);

    if (!buffer && !restoring->broker->is_trial)
        log_line(LOG_WARNING, "a buffer that a connection had is not there any more: %llu", (unsigned long long)id);
    return buffer;
}

static int restore_held(struct restoring *restoring, const struct handover_held *record)
{
    struct buffer *buffer = find_buffer(restoring, record->id);

    if (!buffer)
        return 0;
    if (!LIST_EMPTY(&buffer->names))
        return fail_to_restore(restoring, "that a connection holds a buffer", "the buffer has a name");
    LIST_REMOVE(buffer, held);
    LIST_INSERT_HEAD(&restoring->peer->held, buffer, held);
    return 0;
}

static int restore_reply(struct restoring *restoring, const struct handover_reply *record)
{
    unsigned count = record->descriptors.length / (unsigned)sizeof(uint32_t);
    struct shipment shipment = {.count = 0};
    uint32_t number;
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++) {
        memcpy(&number, record->descriptors.data + i * sizeof(number), sizeof(number));
        r = own(number);
        if (r == 0)
            shipment_add_owned(&shipment, (int)number);
    }
    if (r == 0)
        r = peer_restore_reply(restoring->peer, (const uint8_t *)record->message.data, record->message.length,
                               &shipment);
    shipment_cut(&shipment, 0); /* empty where it worked */
    return r < 0 ? lose_peer(restoring, "a reply", r) : 0;
}

static int restore_claim(struct restoring *restoring, const struct handover_claim *record)
{
    struct broker *broker = restoring->broker;
    struct buffer *buffer = find_buffer(restoring, record->id);
    struct name *name = record->name.length ? registry_find(&broker->registry, record->name_owner, record->name) : NULL;

    if (!buffer || buffer->claim || (name && name->buffer != buffer))
        return 0;
    struct claim *claim = claim_make(restoring->peer, buffer, name, record->owner);
    if (!claim)
        return fail_to_restore(restoring, "a claim", strerror(ENOMEM));
    claim->by_name = record->by_name;
    claim->sent = record->sent;
    return 0;
}

static int restore_wait(struct restoring *restoring, const struct handover_wait *record)
{
    int r = wait_restore(restoring->peer, record);
    return r < 0 ? lose_peer(restoring, "a request that waits", r) : 0;
}

/* Not on trial: it may have been published anew meanwhile, in another way. */
static int restore_connected(const struct restoring *restoring, const struct handover_connected *record)
{
    struct name *name = registry_find(&restoring->broker->registry, record->owner, record->name);

    if (name && !restoring->broker->is_trial)
        name_set_publisher(name, restoring->peer);
    return 0;
}

static int restore_watch(const struct restoring *restoring, const struct handover_watch *record)
{
    int r = watch_restore(restoring->peer, record);
    return r < 0 ? lose_peer(restoring, "a watch", r) : 0;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

/* On trial the broker's workers go on meanwhile: it may be closed already, and nothing is to be done with it. */
static int restore_closing(struct restoring *restoring, const struct handover_descriptor *record)
{
    if (restoring->broker->is_trial)
        return 0;
    int r = own(record->descriptor);
    if (r < 0)
        return fail_to_restore(restoring, "what was to be closed", strerror(-r));
    reaper_close_on_worker(&restoring->broker->reaper, (int)record->descriptor);
    return 0;
}

/* Its lock is 0 where it has none: that is no descriptor of ours. */
static int restore_listener(const struct restoring *restoring, const struct handover_listener *record)
{
    int r = own(record->descriptor);

    if (r == 0 && record->lock)
        r = own(record->lock);
    if (r == 0)
        r = listener_take_over(restoring->broker, record);
    return r < 0 ? fail_to_restore(restoring, "a socket to listen on", strerror(-r)) : 0;
}

static int restore_of_peer(struct restoring *restoring, enum handover_kind kind, const union handover_record *record)
{
    if (!restoring->peer)
        return fail_to_restore(restoring, "a record", "its connection is missing");
    if (kind == HANDOVER_HELD)
        return restore_held(restoring, &record->held);
    if (kind == HANDOVER_CONNECTED)
        return restore_connected(restoring, &record->connected);
    if (kind == HANDOVER_REPLY)
        return restore_reply(restoring, &record->reply);
    if (kind == HANDOVER_WAIT)
        return restore_wait(restoring, &record->wait);
    if (kind == HANDOVER_WATCH)
        return restore_watch(restoring, &record->watch);
    return restore_claim(restoring, &record->claim);
}

static int restore_record(struct restoring *restoring, enum handover_kind kind, const union handover_record *record)
{
    switch (kind) {
    case HANDOVER_LISTENER:
        return restore_listener(restoring, &record->listener);
    case HANDOVER_LEDGER:
    case HANDOVER_STORED:
        return inherit(restoring, &record->descriptor, kind == HANDOVER_LEDGER);
    case HANDOVER_MEMFD:
        restoring->memfd = own(record->descriptor.descriptor) < 0 ? -1 : (int)record->descriptor.descriptor;
        return 0;
    case HANDOVER_BUFFER:
        return restore_volatile(restoring, &record->buffer);
    case HANDOVER_NAME:
        return restore_name_of(restoring, &record->name);
    case HANDOVER_TOKEN:
        return restore_token_of(restoring, &record->token);
    case HANDOVER_PEER:
        return restore_peer_of(restoring, &record->peer);
    case HANDOVER_HELD:
    case HANDOVER_REPLY:
    case HANDOVER_CLAIM:
    case HANDOVER_WAIT:
    case HANDOVER_CONNECTED:
    case HANDOVER_WATCH:
        return restore_of_peer(restoring, kind, record);
    case HANDOVER_REMOVAL:
        store_remove_again(&restoring->broker->store, record->held.id);
        return 0;
    case HANDOVER_CLOSING:
        return restore_closing(restoring, &record->descriptor);
    case HANDOVER_NONE:
    case HANDOVER_HEADER:
    case HANDOVER_END:
    case HANDOVER_KINDS:
        break;
    }
    return fail("a record", "it cannot be read");
}

/* Twice through the records: first for what is in the ledger, to which those of the second time refer. */
static bool is_first(enum handover_kind kind)
{
    return kind == HANDOVER_LISTENER || kind == HANDOVER_LEDGER || kind == HANDOVER_STORED;
}

static int restore_records(struct takeover *takeover, struct restoring *restoring, bool first)
{
    const struct reader from_the_start = takeover->reader;
    const uint64_t records = takeover->records;
    union handover_record record;
    enum handover_kind kind;
    int r = 0;

    while (r == 0 && (kind = takeover_next(takeover, &record)) != HANDOVER_END)
        if (kind == HANDOVER_NONE || is_first(kind) == first)
            r = restore_record(restoring, kind, &record);
    if (r == 0 && record.end.records != takeover->records - 1)
        r = fail("the handover", "it is not complete");
    if (first) {
        takeover->reader = from_the_start;
        takeover->records = records;
    }
    return r;
}

static void go_on(struct restoring *restoring)
{
    struct peer *peer;

    restore_let_go(restoring->broker, &restoring->unclaimed);
    LIST_FOREACH(peer, &restoring->broker->peers, link)
        peer_go_on(peer);
}

int takeover_restore(struct takeover *takeover, struct broker *broker)
{
    struct restoring restoring = {.broker = broker, .memfd = -1};

    LIST_INIT(&restoring.unclaimed);
    broker->started_ns = takeover->header.started_ns;
    bool has_store = takeover->header.has_store && !broker->is_trial;
    int r = store_take_over(&broker->store, broker->loop, &broker->buffers, has_store);
    if (r < 0)
        return fail("what waits for the service manager's store", strerror(-r));
    r = restore_records(takeover, &restoring, true);
    if (r == 0)
        r = open_ledger(&restoring);
    if (r == 0)
        r = restore_records(takeover, &restoring, false);
    if (r == 0)
        go_on(&restoring);
    free(restoring.inherited);
    free(restoring.names);
    return r;
}
