/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "handover.h"
#include "peer_parts.h"
#include "telling.h"

/* When those that wait for descriptors to land try again, and how many of them at a time. */
static const struct timeval landing_time = {.tv_usec = 10000};
#define LAND_AT_ONCE 64
/* So many end between two looks at the clock. */
#define END_AT_ONCE 16

static int compare_serials(const struct watch *a, const struct watch *b)
{
    return (a->serial > b->serial) - (a->serial < b->serial);
}

TREE_GENERATE(watch_tree, watch, of_peer, compare_serials)

/* ---- Where it is ------------------------------------------------------------------------------------------------- */

/* It is served in the turn that its peer has or gets. */
static void queue(struct watch *watch)
{
    watch->state = WATCH_READY;
    TAILQ_INSERT_TAIL(&watch->peer->ready_watches, watch, link);
}

static void make_ready(struct watch *watch)
{
    queue(watch);
    if (!peer_is_held_back(watch->peer)) /* else it gets its turn when it is not any more: peer_listen */
        turn_wait(watch->peer);
}

static void wait_for_landing(struct watch *watch)
{
    struct watches *watches = &watch->peer->broker->watches;

    if (TAILQ_EMPTY(&watches->landing))
        event_add(&watches->later, &landing_time);
    watch->state = WATCH_LANDING;
    TAILQ_INSERT_TAIL(&watches->landing, watch, link);
}

static void leave(struct watch *watch)
{
    switch (watch->state) {
    case WATCH_IDLE:
        changes_take_down(&watch->hook);
        break;
    case WATCH_READY:
        TAILQ_REMOVE(&watch->peer->ready_watches, watch, link);
        break;
    case WATCH_LANDING:
        TAILQ_REMOVE(&watch->peer->broker->watches.landing, watch, link);
        break;
    }
}

static void on_landing(evutil_socket_t fd, short what, void *argument)
{
    struct watches *watches = argument;
    struct watch *watch;

    (void)fd, (void)what;
    for (unsigned i = 0; i < LAND_AT_ONCE && (watch = TAILQ_FIRST(&watches->landing)); i++) {
        leave(watch);
        make_ready(watch);
    }
    if (!TAILQ_EMPTY(&watches->landing))
        event_add(&watches->later, &landing_time);
}

void watches_init(struct watches *watches, struct event_base *loop)
{
    TAILQ_INIT(&watches->landing);
    evtimer_assign(&watches->later, loop, on_landing, watches);
}

/* What has changed since it was idle and before does not concern it, however much it is. */
static bool on_change(struct hook *hook, const struct waking *waking)
{
    struct watch *watch = (struct watch *)(void *)((char *)hook - offsetof(struct watch, hook));

    if (watch->seen < waking->first_seq - 1)
        watch->seen = waking->first_seq - 1;
    make_ready(watch);
    return true;
}

/* ---- Its life ---------------------------------------------------------------------------------------------------- */

/* It is charged by now. NULL: no memory. */
static struct watch *new_watch(struct peer *peer, uint32_t serial, uid_t owner, uint32_t flags, struct span prefix)
{
    struct broker *broker = peer->broker;
    struct watch *watch = calloc(1, sizeof(*watch) + prefix.length);

    if (!watch)
        return NULL;
    watch->hook.kind = HOOK_WATCH;
    watch->hook.wake = on_change;
    if (changes_attach(&broker->changes, &watch->hook, owner, prefix, !(flags & SEALBUF_WATCH_EXACT)) < 0) {
        free(watch);
        return NULL;
    }
    watch->peer = peer;
    watch->serial = serial;
    watch->flags = flags;
    watch->owner = owner;
    watch->seen = broker->changes.seq;
    watch->to_sync = true;
    watch->prefix_length = (uint8_t)prefix.length;
    if (prefix.length)
        memcpy(watch->prefix, prefix.data, prefix.length);
    RB_INSERT(watch_tree, &peer->watches, watch);
    return watch;
}

static void release(struct peer *peer, uint32_t length)
{
    account_release(&peer->broker->quota, peer->account, RESOURCE_WATCHES, 1);
    account_release(&peer->broker->quota, peer->account, RESOURCE_METADATA, length);
}

static void end(struct watch *watch)
{
    struct peer *peer = watch->peer;

    leave(watch);
    changes_detach(&peer->broker->changes, &watch->hook);
    RB_REMOVE(watch_tree, &peer->watches, watch);
    release(peer, watch->prefix_length);
    free(watch);
}

static int charge(struct peer *peer, uint32_t length, struct limit_met *met)
{
    struct quota *quota = &peer->broker->quota;

    int r = quota_charge(quota, peer->who.uid, RESOURCE_WATCHES, 1, met);
    if (r)
        return r;
    r = quota_charge(quota, peer->who.uid, RESOURCE_METADATA, length, met);
    if (r)
        quota_release(quota, peer->who.uid, RESOURCE_WATCHES, 1);
    return r;
}

int watch_begin(struct peer *peer, uint32_t serial, const struct watch_request *in, struct limit_met *met)
{
    uid_t owner = peer_owner(peer, in->owner);
    int r = charge(peer, in->name.length, met);

    if (r)
        return r;
    struct watch *watch = new_watch(peer, serial, owner, in->flags, in->name);
    if (!watch) {
        release(peer, in->name.length);
        return SEALBUF_ERR_MEMORY;
    }
    watch->walking = !(in->flags & SEALBUF_WATCH_NO_SNAPSHOT);
    queue(watch);
    return 0;
}

struct watch *watch_find(struct peer *peer, uint32_t serial)
{
    struct watch key = {.serial = serial};

    return RB_FIND(watch_tree, &peer->watches, &key);
}

bool watch_cancel(struct peer *peer, uint32_t serial)
{
    struct watch *watch = watch_find(peer, serial);

    if (!watch)
        return false;
    end(watch);
    return true;
}

bool watches_end(struct peer *peer, bool all)
{
    struct watch *watch;

    for (unsigned i = 1; (watch = RB_ROOT(&peer->watches)); i++) {
        end(watch);
        if (!all && i % END_AT_ONCE == 0 && turn_is_over(peer->broker))
            return RB_EMPTY(&peer->watches);
    }
    return true;
}

/* ---- Its turn ---------------------------------------------------------------------------------------------------- */

static enum verdict send_telling(struct telling *telling)
{
    message_finish(&telling->writer, &(struct header){.opcode = SEALBUF_OP_WATCH | SEALBUF_OP_REPLY,
                                                      .count = (uint16_t)telling->count,
                                                      .serial = telling->watch->serial,
                                                      .descriptors = (uint16_t)telling->shipment.count});
    enum verdict verdict =
        peer_send(telling->watch->peer, telling->writer.buffer, telling->writer.used, &telling->shipment);
    shipment_cut(&telling->shipment, 0);
    return verdict;
}

/* One message of one watch. */
static enum verdict serve_one(struct watch *watch)
{
    struct broker *broker = watch->peer->broker;
    struct telling telling;
    enum verdict verdict = GO_ON;

    leave(watch);
    watch->state = WATCH_IDLE;
    switch (tell(&telling, watch)) {
    case TELLING_ALL:
        if (changes_hang(&broker->changes, &watch->hook, watch->seen))
            break;
        __attribute__((fallthrough));
    case TELLING_MORE:
        queue(watch);
        break;
    case TELLING_LANDING:
        wait_for_landing(watch);
        break;
    }
    if (telling.count)
        verdict = send_telling(&telling);
    return verdict;
}

enum verdict watches_serve(struct peer *peer)
{
    enum verdict verdict = GO_ON;

    while (verdict == GO_ON && watches_are_ready(peer) && LIST_EMPTY(&peer->claims) && !peer_is_held_back(peer)) {
        verdict = serve_one(TAILQ_FIRST(&peer->ready_watches));
        peer_hold_back_if_full(peer);
        if (turn_is_over(peer->broker))
            break;
    }
    return verdict;
}

/* ---- Re-exec ----------------------------------------------------------------------------------------------------- */

static bool is_to_be_woken(const struct watch *watch)
{
    return watch->state != WATCH_IDLE || changes_will_wake(&watch->hook);
}

void watches_hand_over(struct peer *peer, struct handover *handover)
{
    struct watch *watch;

    RB_FOREACH(watch, watch_tree, &peer->watches)
        handover_add(handover, HANDOVER_WATCH,
                     &(struct handover_watch){
                         .serial = watch->serial,
                         .owner = watch->owner,
                         .flags = watch->flags,
                         .told = watch->told || watch->overflowed ||
                                 (watch->walking && watch->flags & SEALBUF_WATCH_NO_SNAPSHOT),
                         .idle = !is_to_be_woken(watch),
                         .name = {watch->prefix, watch->prefix_length},
                     });
}

/* The log of changes is not handed over: who has not seen all of it is told anew. */
int watch_restore(struct peer *peer, const struct handover_watch *record)
{
    struct quota *quota = &peer->broker->quota;
    struct watch *watch = watch_find(peer, record->serial)
                              ? NULL
                              : new_watch(peer, record->serial, record->owner, record->flags, record->name);

    if (!watch)
        return -ENOMEM;
    account_add(quota, peer->account, RESOURCE_WATCHES, 1);
    account_add(quota, peer->account, RESOURCE_METADATA, record->name.length);
    watch->told = record->told;
    watch->state = WATCH_IDLE;
    if (record->idle && changes_hang(&peer->broker->changes, &watch->hook, watch->seen)) {
        watch->to_sync = false;
        return 0;
    }
    watch->overflowed = watch->told;
    watch->walking = watch->told || !(record->flags & SEALBUF_WATCH_NO_SNAPSHOT);
    queue(watch);
    return 0;
}
