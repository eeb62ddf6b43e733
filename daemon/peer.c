/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <stdlib.h>

#include "aside.h"
#include "cleanup.h"
#include "dispatch.h"
#include "log.h"
#include "message_id.h"
#include "paused.h"
#include "peer_parts.h"
#include "sealing.h"
#include "storing.h"
#include "wait.h"
#include "watch.h"

/* Between two tries to answer what waits, where no more descriptors may be in flight. */
#define SHORTEST_PATIENCE_MS 2
#define LONGEST_PATIENCE_MS  16

void peer_blame(struct peer *peer, const char *reason)
{
    peer->broker->counters->disconnects++;
    log_about(LOG_NOTICE, &(struct log_subject){.message_id = MESSAGE_ID_DROPPED, .client = &peer->who}, "dropped: %s",
              reason);
}

bool peer_is_administrator(struct peer *peer)
{
    const struct config *config = peer->broker->config;
    uid_t uid = peer->who.uid;

    if (peer->who.is_unknown)
        return false;
    if (uid == 0 || uid == peer->broker->quota.own_uid)
        return true;
    return config->admin_group_set && credentials_have_group(&peer->who, peer->socket, config->admin_group);
}

bool peer_charge_request(struct peer *peer, struct limit_met *met)
{
    if (!peer->request_charged)
        peer->request_charged = quota_charge(&peer->broker->quota, peer->who.uid, RESOURCE_REQUESTS, 1, met) == 0;
    return peer->request_charged;
}

void peer_release_request(struct peer *peer)
{
    if (peer->request_charged)
        quota_release(&peer->broker->quota, peer->who.uid, RESOURCE_REQUESTS, 1);
    peer->request_charged = false;
}

bool peer_is_busy(const struct peer *peer)
{
    return peer->job || peer->storing || peer->aside || peer->paused;
}

void peer_end_request(struct peer *peer)
{
    if (!peer_is_busy(peer))
        peer_release_request(peer);
}

bool peer_is_in_the_middle(const struct peer *peer)
{
    return peer->paused && !dispatch_may_begin_again(peer->paused);
}

/* Goes on with the request that was left to go on later. */
static enum verdict go_on(struct peer *peer)
{
    enum verdict verdict = GO_ON;
    struct aside *aside = peer->aside;
    struct paused *paused = peer->paused;

    if (paused) {
        verdict = dispatch_paused(paused);
        if (paused->request.done) {
            peer->rests = peer->broker->is_resting;
            peer->paused = NULL;
            paused_drop(paused);
        }
    } else if (aside && aside->is_due) {
        peer->aside = NULL;
        verdict = dispatch_again(peer, aside);
        free(aside);
    } else if (peer->job && sealing_is_done(peer->job)) {
        verdict = dispatch_sealed(peer, take_pointer(peer->job));
    } else if (peer->storing && storing_is_done(peer->storing)) {
        verdict = dispatch_stored(peer, take_pointer(peer->storing));
    }
    if (verdict == GO_ON && !peer_is_busy(peer)) {
        peer_end_request(peer);
        peer_hold_back_if_full(peer);
        peer_watch_claims(peer);
    }
    return verdict;
}

/* Which of several replies it has read, nobody could tell: so one that takes is served one request at a time. */
static bool waits_for_claims(struct peer *peer)
{
    if (LIST_EMPTY(&peer->claims))
        return false;
    claims_settle(peer);
    peer_end_request(peer);
    if (LIST_EMPTY(&peer->claims))
        return false;
    peer_stop_listening(peer);
    peer_watch_claims(peer);
    return true;
}

bool peer_can_be_answered(const struct peer *peer)
{
    return !peer_is_held_back(peer) && LIST_EMPTY(&peer->claims);
}

void peer_has_ripe_waits(struct peer *peer)
{
    if (!peer_is_held_back(peer))
        turn_wait(peer);
}

static void be_patient(struct peer *peer)
{
    unsigned before = peer->patience_ms;

    peer->patience_ms = before == 0 ? SHORTEST_PATIENCE_MS : before < LONGEST_PATIENCE_MS ? before * 2 : before;
    peer_hold_back_for(peer, peer->patience_ms);
}

/* Looks at those that are ripe, until the turn is over. */
static enum verdict answer_waits(struct peer *peer)
{
    enum verdict verdict = GO_ON;
    struct wait *wait = NULL;

    for (bool first = true; verdict == GO_ON && (wait = wait_next(peer)); first = false) {
        if (!peer_can_be_answered(peer) || (!first && turn_is_over(peer->broker)))
            break;
        switch (dispatch_wait(wait, &verdict)) {
        case ANSWERING_DONE:
            peer->patience_ms = 0;
            break;
        case ANSWERING_PAUSED:
            return GO_ON;
        case ANSWERING_NO_ROOM:
            be_patient(peer);
            return GO_ON;
        }
        peer_hold_back_if_full(peer);
    }
    if (!wait)
        peer->patience_ms = 0;
    peer_watch_claims(peer);
    return verdict;
}

void peer_take_turn(struct peer *peer)
{
    enum verdict verdict = GO_ON;

    if (peer->ending) {
        peer_take_last_turn(peer);
        return;
    }
    if (peer_is_busy(peer)) {
        verdict = go_on(peer);
    } else if (peer_is_held_back(peer) || waits_for_claims(peer)) {
        waits_pass_on(peer);
        return;
    } else if (peer->is_readable || peer->patience_ms) { /* it was not listened to while it was held back */
        verdict = peer_read(peer);
    }
    if (verdict == GO_ON)
        verdict = answer_waits(peer);
    if (verdict == GO_ON)
        verdict = watches_serve(peer);
    if (verdict == END) {
        peer_end(peer);
        return;
    }
    if (!peer_can_be_answered(peer))
        waits_pass_on(peer);
    if (peer->paused)
        turn_wait(peer);
    if (peer_is_held_back(peer))
        peer_stop_listening(peer);
    else
        peer_listen(peer);
}
