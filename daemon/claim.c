/* SPDX-License-Identifier: MIT */
#include "claim.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "flight.h"
#include "log.h"
#include "peer.h"
#include "token.h"

struct claim *claim_make(struct peer *peer, struct buffer *buffer, struct name *name, uid_t owner)
{
    struct claim *claim = malloc(sizeof(*claim));

    if (!claim)
        return NULL;
    *claim = (struct claim){.peer = peer, .buffer = buffer, .name = name, .owner = owner, .by_name = name != NULL};
    buffer->claim = claim;
    LIST_INSERT_HEAD(&peer->claims, claim, of_peer);
    return claim;
}

static void forget(struct claim *claim)
{
    claim->buffer->claim = NULL;
    LIST_REMOVE(claim, of_peer);
    free(claim);
}

/* What was there for nobody meanwhile. */
void claim_undo(struct claim *claim)
{
    const struct claim was = *claim;
    struct changes *changes = &was.peer->broker->changes;
    struct name *name;

    forget(claim);
    if (was.by_name && was.name)
        changes_note_back(changes, was.name);
    if (was.by_name)
        return;
    LIST_FOREACH(name, &was.buffer->names, of_buffer)
        if (name->owner == was.owner)
            changes_note_back(changes, name);
}

void claim_forget_buffer(struct buffer *buffer)
{
    if (buffer->claim)
        forget(buffer->claim);
}

void claim_forget_name(struct buffer *buffer, const struct name *name)
{
    if (buffer->claim && buffer->claim->name == name)
        buffer->claim->name = NULL;
}

/* With it go its past generations: none of them must take its place. */
static void set_name_suspended(struct ledger *ledger, const struct name *name,
                               void (*set)(struct ledger *ledger, uint32_t slot))
{
    const struct name *past;

    TAILQ_FOREACH(past, &name->past, of_current)
        set(ledger, past->slot);
    set(ledger, name->slot);
}

/* What would go if it was carried out, as the ledger has it; of another user's. */
static void set_suspended(struct claim *claim, bool suspended)
{
    struct ledger *ledger = claim->peer->broker->ledger;
    void (*set)(struct ledger *, uint32_t) = suspended ? ledger_suspend : ledger_resume;
    struct token *token;
    struct name *name;

    if (claim->owner == claim->peer->who.uid)
        return;
    if (claim->by_name) {
        if (claim->name)
            set(ledger, claim->name->slot);
        return;
    }
    LIST_FOREACH(token, &claim->buffer->tokens, of_buffer)
        if (token->maker == claim->owner)
            set(ledger, token->slot);
    LIST_FOREACH(name, &claim->buffer->names, of_buffer)
        if (name->owner == claim->owner)
            set_name_suspended(ledger, name, set);
}

void claims_suspend(struct peer *peer)
{
    struct claim *claim;

    LIST_FOREACH(claim, &peer->claims, of_peer)
        set_suspended(claim, true);
}

void claims_resume(struct peer *peer)
{
    struct claim *claim;

    LIST_FOREACH(claim, &peer->claims, of_peer)
        set_suspended(claim, false);
}

static bool is_of(const struct name *name, void *userdata)
{
    const uid_t *owner = userdata;
    return name->owner == *owner;
}

/* Everything by which its owner could still get at the buffer; the last name takes the buffer along. */
static void remove_all_of(struct broker *broker, struct buffer *buffer, uid_t owner)
{
    struct token *token = LIST_FIRST(&buffer->tokens), *next_token;

    for (; token; token = next_token) {
        next_token = LIST_NEXT(token, of_buffer);
        if (token->maker == owner)
            token_remove(token);
    }
    if (buffer->is_held) {
        buffer_unhold(&broker->buffers, buffer);
        return;
    }
    registry_unbind_all(&broker->registry, buffer, SEALBUF_CHANGE_TAKEN,
                        &(struct meant){.is_meant = is_of, .userdata = &owner});
}

static void carry_out(struct claim *claim)
{
    const struct claim was = *claim;
    struct broker *broker = was.peer->broker;

    forget(claim);
    if (!was.by_name)
        remove_all_of(broker, was.buffer, was.owner);
    else if (was.name)
        registry_unbind(&broker->registry, was.name, SEALBUF_CHANGE_TAKEN);
}

/* Whether the other side has gone, and left something of ours unread. It is told once. */
static bool left_unread(struct peer *peer)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(peer->socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNRESET)
        peer->was_reset = true;
    return peer->was_reset;
}

/*
 * A taker could look at its reply, descriptors and all, without taking it off the socket (MSG_PEEK). Of one's own uid
 * nobody gains by that. But what was sent to another user is gone for good: there must not be two who have it.
 */
void claims_sent(struct peer *peer)
{
    struct claim *claim, *next;

    for (claim = LIST_FIRST(&peer->claims); claim; claim = next) {
        next = LIST_NEXT(claim, of_peer);
        claim->sent = true;
        if (claim->owner != peer->who.uid)
            carry_out(claim);
    }
}

static void end_all(struct peer *peer, bool read)
{
    struct claim *claim;

    while ((claim = LIST_FIRST(&peer->claims))) {
        if (read && claim->sent) {
            carry_out(claim);
        } else {
            log_about(LOG_INFO, &(struct log_subject){.client = &peer->who, .id = claim->buffer->id},
                      "did not read the buffer that it was to take: buffer %llu is back",
                      (unsigned long long)claim->buffer->id);
            claim_undo(claim);
        }
    }
}

void claims_settle(struct peer *peer)
{
    struct claim *claim = LIST_FIRST(&peer->claims);

    /* What has landed was read, or thrown away when the other side went: in that order the kernel tells. */
    if (claim && claim->sent && flight_landed(peer))
        end_all(peer, !left_unread(peer));
}

void claims_end(struct peer *peer)
{
    if (!LIST_EMPTY(&peer->claims))
        end_all(peer, !left_unread(peer));
}
