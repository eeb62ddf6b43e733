/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "handover_schema.h"
#include "registry.h"
#include "target.h"

/* So many are dropped between two looks at the clock. */
#define DROP_AT_ONCE 16

#define OWNER_OF(member, pointer) ((struct wait *)(void *)((char *)(pointer)-offsetof(struct wait, member)))

static int compare_waits(const struct wait *a, const struct wait *b)
{
    return (a->serial > b->serial) - (a->serial < b->serial);
}

TREE_GENERATE(wait_tree, wait, of_peer, compare_waits)

struct wait *wait_find(struct peer *peer, uint32_t serial)
{
    struct wait *at = RB_ROOT(&peer->waiting);

    while (at && at->serial != serial)
        at = serial < at->serial ? RB_LEFT(at, of_peer) : RB_RIGHT(at, of_peer);
    return at;
}

struct wait *wait_first(struct peer *peer)
{
    return RB_MIN(wait_tree, &peer->waiting);
}

struct wait *wait_after(struct wait *wait)
{
    return wait_tree_RB_NEXT(wait);
}

struct wait *wait_next(struct peer *peer)
{
    return TAILQ_FIRST(&peer->ripe_waits);
}

/* ---- Waking ------------------------------------------------------------------------------------------------------ */

static void ripen(struct wait *wait)
{
    if (wait->is_ripe)
        return;
    wait->is_ripe = true;
    TAILQ_INSERT_TAIL(&wait->peer->ripe_waits, wait, ripe);
    peer_has_ripe_waits(wait->peer);
}

static void unripen(struct wait *wait)
{
    if (!wait->is_ripe)
        return;
    wait->is_ripe = false;
    TAILQ_REMOVE(&wait->peer->ripe_waits, wait, ripe);
}

static void pass_on(struct wait *wait)
{
    if (!wait->ticket)
        return;
    changes_pass_on(&wait->peer->broker->changes, wait->hook.point, wait->ticket);
    wait->ticket = 0;
    wait->peer->chosen = NULL;
}

/* It does not hold up others for what only one can have, while its peer cannot be answered, or has such a one already.
 */
static bool on_wake(struct hook *hook, const struct waking *waking)
{
    struct wait *wait = OWNER_OF(hook, hook);
    struct peer *peer = wait->peer;

    ripen(wait);
    if (!waking->alone)
        return true;
    if (peer->chosen || !peer_can_be_answered(peer))
        return false;
    peer->chosen = wait;
    wait->ticket = waking->ticket;
    return true;
}

static void on_deadline(struct deadline *deadline)
{
    struct wait *wait = OWNER_OF(deadline, deadline);

    wait->ended = SEALBUF_ERR_TIMED_OUT;
    changes_take_down(&wait->hook);
    pass_on(wait);
    ripen(wait);
}

void waits_pass_on(struct peer *peer)
{
    if (peer->chosen)
        pass_on(peer->chosen);
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

int wait_check(struct request *request, const struct get_request *in)
{
    bool waits = in->flags & SEALBUF_GET_WAIT, first = in->flags & SEALBUF_GET_FIRST;

    if (!waits && in->wait_ms)
        return refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                                  "wait_ms is given, and no flag says that it counts; say WAIT, or make it 0");
    if (!waits && !first)
        return 0;
    if (in->id || in->token.length || (in->name.length == 0 && !first))
        return refuse_with_remedy(request, SEALBUF_ERR_TARGET,
                                  "only names are waited for, or looked for by how they begin; give no id or token");
    if (in->flags & SEALBUF_GET_ATOMIC)
        return refuse(request, SEALBUF_ERR_FLAGS, "ATOMIC and %s contradict each other", waits ? "WAIT" : "FIRST");
    if (in->generation)
        return refuse(request, SEALBUF_ERR_FLAGS, "a generation is given, and %s", waits ? "WAIT" : "FIRST");
    if (first && in->newer_than)
        return refuse(request, SEALBUF_ERR_FLAGS, "newer_than and FIRST contradict each other");
    return 0;
}

static enum access access_to(const struct get_request *in)
{
    return in->flags & SEALBUF_GET_WRITABLE ? ACCESS_READ_WRITE : ACCESS_READ;
}

/* By the rules of every GET: DENIED, say, is an answer. *for_others: it is there, but not for this one. */
static enum looking look(struct request *request, const struct get_request *in, struct search *search, bool *for_others)
{
    struct target target = {0};
    int r;

    if (in->flags & SEALBUF_GET_FIRST)
        r = target_first(request, in, access_to(in), search, &target);
    else
        r = target_find(request, &(struct target_request){.owner = in->owner, .name = in->name}, access_to(in),
                        &target);
    if (r == REQUEST_AGAIN)
        return LOOKING_PAUSED;
    *for_others = r == 0 && in->newer_than && target.name && target.name->generation <= in->newer_than;
    if (r == SEALBUF_ERR_NOT_FOUND && search)
        *for_others = search->passed_over;
    return *for_others || r == SEALBUF_ERR_NOT_FOUND ? LOOKING_NOT_YET : LOOKING_OVER;
}

/* It waits on. What it was woken for alone may be for another one. */
static void wait_on(struct wait *wait, bool for_others)
{
    struct search *search = wait->search;

    if (for_others)
        pass_on(wait);
    if (wait->ticket)
        wait->peer->chosen = NULL;
    wait->ticket = 0;
    unripen(wait);
    if (search)
        *search = (struct search){.begun = false};
    if (!changes_hang(&wait->peer->broker->changes, &wait->hook, wait->since))
        ripen(wait);
}

enum looking wait_look(struct wait *wait, struct request *request, struct get_request *in)
{
    if (!wait->search || !wait->search->begun)
        wait->since = request->broker->changes.seq;
    if (wait->hook.point->gone_seq > wait->begun_seq)
        wait->takes_any = true;
    if (wait->takes_any)
        in->newer_than = 0;
    bool for_others = false;
    enum looking looking = look(request, in, wait->search, &for_others);
    if (looking == LOOKING_NOT_YET)
        wait_on(wait, for_others);
    else if (looking == LOOKING_OVER && wait->search)
        request->search = *wait->search; /* it goes on where it has found something */
    return looking;
}

/* Of what he may not read, nobody is told where it is. */
int wait_in_vain(struct wait *wait, struct request *request, const struct get_request *in)
{
    const struct target_request named = {.owner = in->owner, .name = in->name};
    const unsigned long long ms = in->wait_ms, than = in->newer_than;
    bool takes_any = wait->takes_any || wait->hook.point->gone_seq > wait->begun_seq || than == 0;
    struct target target = {0};

    if (in->flags & SEALBUF_GET_FIRST)
        return refuse_with_remedy(request, wait->ended,
                                  "nothing whose name begins with '%.*s' was there to get within %llu ms; wait for "
                                  "longer",
                                  SPAN_ARGS(in->name), ms);
    if (!takes_any && target_find(request, &named, access_to(in), &target) == 0)
        return refuse_with_remedy(request, wait->ended,
                                  "'%.*s' is at generation %llu, and none above %llu came within %llu ms; wait for "
                                  "longer",
                                  SPAN_ARGS(in->name), (unsigned long long)target.name->generation, than, ms);
    return refuse_with_remedy(request, wait->ended,
                              "nothing was there to get as '%.*s' within %llu ms; wait for longer", SPAN_ARGS(in->name),
                              ms);
}

/* ---- From the beginning to the end ------------------------------------------------------------------------------- */

static struct wait *allocate(struct peer *peer, struct span message, bool searches)
{
    struct wait *wait = calloc(1, sizeof(*wait) + message.length + (searches ? sizeof(*wait->search) : 0));

    if (!wait)
        return NULL;
    wait->peer = peer;
    wait->hook.kind = HOOK_WAIT;
    wait->hook.wake = on_wake;
    wait->length = message.length;
    wait->search = searches ? (struct search *)(wait + 1) : NULL; /* of bytes alone: it may be anywhere */
    wait->message = (uint8_t *)(wait + 1) + (searches ? sizeof(*wait->search) : 0);
    memcpy(wait->message, message.data, message.length);
    return wait;
}

/* It is charged by now. NULL: no memory. */
static struct wait *put(struct peer *peer, struct span message, uint32_t serial, const struct get_request *in)
{
    struct changes *changes = &peer->broker->changes;
    bool searches = in->flags & SEALBUF_GET_FIRST;
    struct wait *wait = allocate(peer, message, searches);

    if (!wait)
        return NULL;
    if (changes_attach(changes, &wait->hook, peer_owner(peer, in->owner), in->name, searches) < 0) {
        free(wait);
        return NULL;
    }
    wait->serial = serial;
    wait->begun_seq = wait->since = changes->seq;
    RB_INSERT(wait_tree, &peer->waiting, wait);
    return wait;
}

static void release(struct peer *peer, size_t length)
{
    quota_release(&peer->broker->quota, peer->who.uid, RESOURCE_WAITS, 1);
    quota_release(&peer->broker->quota, peer->who.uid, RESOURCE_METADATA, length);
}

static int charge(struct peer *peer, size_t length, struct limit_met *met)
{
    struct quota *quota = &peer->broker->quota;
    int r = quota_charge(quota, peer->who.uid, RESOURCE_WAITS, 1, met);

    if (r)
        return r;
    r = quota_charge(quota, peer->who.uid, RESOURCE_METADATA, length, met);
    if (r)
        quota_release(quota, peer->who.uid, RESOURCE_WAITS, 1);
    return r;
}

/* What is not there has no generation that another one would have to be newer than. */
static bool is_unbound(struct request *request, const struct get_request *in)
{
    return !registry_find(&request->broker->registry, peer_owner(request->peer, in->owner), in->name);
}

/* NULL: it cannot wait, and *error says why. */
static struct wait *begin(struct request *request, const struct get_request *in, int *error)
{
    struct peer *peer = request->peer;
    const struct span message = {(const char *)request->message, (uint32_t)request->length};
    struct limit_met met;

    *error = charge(peer, message.length, &met);
    if (*error) {
        refuse_limit(request, *error, &met);
        return NULL;
    }
    struct wait *wait = put(peer, message, request->header.serial, in);
    if (!wait) {
        release(peer, message.length);
        *error = refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
        return NULL;
    }
    wait->takes_any = !wait->search && is_unbound(request, in);
    deadline_set(&peer->broker->deadlines, &wait->deadline, deadline_in(in->wait_ms), on_deadline);
    return wait;
}

int wait_begin(struct request *request, const struct get_request *in)
{
    uint64_t since = request->broker->changes.seq;
    int error;

    if (wait_check(request, in))
        return 0; /* it is refused for that when it is served */
    bool for_others;
    enum looking looking = look(request, in, &request->search, &for_others);
    if (looking == LOOKING_OVER)
        return 0;
    struct wait *wait = begin(request, in, &error);
    if (!wait)
        return error;
    if (looking == LOOKING_PAUSED) {
        *wait->search = request->search;
        wait->since = since;
        ripen(wait);
    } else if (!changes_hang(&request->broker->changes, &wait->hook, since)) {
        ripen(wait);
    }
    return REQUEST_DETACHED;
}

void wait_end(struct wait *wait, bool took)
{
    struct peer *peer = wait->peer;
    struct broker *broker = peer->broker;

    if (peer->chosen == wait && took)
        peer->chosen = NULL;
    else
        pass_on(wait);
    unripen(wait);
    deadline_clear(&broker->deadlines, &wait->deadline);
    changes_detach(&broker->changes, &wait->hook);
    RB_REMOVE(wait_tree, &peer->waiting, wait);
    release(peer, wait->length);
    free(wait);
}

bool waits_drop(struct peer *peer, bool all)
{
    struct wait *wait;

    for (unsigned count = 0; (wait = RB_ROOT(&peer->waiting)); count++) {
        if (!all && count && count % DROP_AT_ONCE == 0 && turn_is_over(peer->broker))
            return false;
        wait_end(wait, false);
    }
    return true;
}

/* ---- Handover ---------------------------------------------------------------------------------------------------- */

void wait_to_handover(const struct wait *wait, struct handover_wait *record)
{
    bool takes_any = wait->takes_any || wait->hook.point->gone_seq > wait->begun_seq;

    *record = (struct handover_wait){
        .flags = takes_any ? HANDOVER_TAKES_ANY : 0,
        .ended = (uint32_t)wait->ended,
        .deadline_ns = wait->deadline.ns,
        .message = {(const char *)wait->message, wait->length},
    };
}

/* The program before has found it good. */
static int decode(struct span message, uint32_t *serial, struct get_request *in)
{
    struct reader reader = {(const uint8_t *)message.data + HEADER_SIZE, message.length - HEADER_SIZE};
    struct header header;
    const char *field;

    if (header_decode((const uint8_t *)message.data, message.length, &header) || header.opcode != SEALBUF_OP_GET)
        return -EINVAL;
    *serial = header.serial;
    return record_decode(&get_request_schema, REFUSE_UNKNOWN, &reader, in, &field) ? -EINVAL : 0;
}

int wait_restore(struct peer *peer, const struct handover_wait *record)
{
    struct quota *quota = &peer->broker->quota;
    struct get_request in;
    uint32_t serial;
    int r = decode(record->message, &serial, &in);

    if (r < 0)
        return r;
    struct wait *wait = wait_find(peer, serial) ? NULL : put(peer, record->message, serial, &in);
    if (!wait)
        return -ENOMEM;
    account_add(quota, peer->account, RESOURCE_WAITS, 1);
    account_add(quota, peer->account, RESOURCE_METADATA, wait->length);
    wait->takes_any = record->flags & HANDOVER_TAKES_ANY;
    wait->ended = (int)record->ended;
    deadline_set(&peer->broker->deadlines, &wait->deadline, record->deadline_ns, on_deadline);
    ripen(wait);
    return 0;
}
