/* SPDX-License-Identifier: MIT */
#include "changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"
#include "turn.h"

/* So many hooks are woken in one turn of the loop. */
#define WAKE_AT_ONCE 64

/* ---- Points ------------------------------------------------------------------------------------------------------ */

static int compare_namespaces(const struct namespace *a, const struct namespace *b)
{
    return (a->owner > b->owner) - (a->owner < b->owner);
}

TREE_GENERATE(namespace_tree, namespace, link, compare_namespaces)

/* What there is by that name comes before what begins with it; neither order means anything. */
static int compare_to(bool is_prefix, struct span text, const struct point *point)
{
    if (is_prefix != point->is_prefix)
        return is_prefix ? 1 : -1;
    if (text.length != point->length)
        return text.length < point->length ? -1 : 1;
    return text.length ? memcmp(text.data, point->text, text.length) : 0;
}

static int compare_points(const struct point *a, const struct point *b)
{
    return compare_to(a->is_prefix, (struct span){a->text, a->length}, b);
}

TREE_GENERATE(point_tree, point, link, compare_points)

static struct namespace *find_namespace(struct changes *changes, uid_t owner)
{
    struct namespace *at = RB_ROOT(&changes->namespaces);

    while (at && at->owner != owner)
        at = owner < at->owner ? RB_LEFT(at, link) : RB_RIGHT(at, link);
    return at;
}

static struct point *find_point(struct namespace *namespace, bool is_prefix, struct span text)
{
    struct point *at = RB_ROOT(&namespace->points);

    while (at) {
        int r = compare_to(is_prefix, text, at);
        if (r == 0)
            return at;
        at = r < 0 ? RB_LEFT(at, link) : RB_RIGHT(at, link);
    }
    return NULL;
}

/* Makes it if need be. */
static struct namespace *namespace_of(struct changes *changes, uid_t owner)
{
    struct namespace *found = find_namespace(changes, owner);

    if (found)
        return found;
    struct namespace *namespace = calloc(1, sizeof(*namespace));
    if (!namespace)
        return NULL;
    namespace->owner = owner;
    RB_INIT(&namespace->points);
    RB_INSERT(namespace_tree, &changes->namespaces, namespace);
    return namespace;
}

static struct point *make_point(struct namespace *namespace, bool is_prefix, struct span text)
{
    struct point *point = calloc(1, sizeof(*point) + text.length);

    if (!point)
        return NULL;
    point->namespace = namespace;
    point->is_prefix = is_prefix;
    point->length = (uint8_t)text.length;
    if (text.length)
        memcpy(point->text, text.data, text.length);
    for (unsigned i = 0; i < HOOK_KINDS; i++)
        TAILQ_INIT(&point->racks[i].hooks);
    RB_INSERT(point_tree, &namespace->points, point);
    namespace->count++;
    namespace->prefixes[text.length] += is_prefix;
    return point;
}

static void drop_namespace_if_empty(struct changes *changes, struct namespace *namespace)
{
    if (namespace->count)
        return;
    RB_REMOVE(namespace_tree, &changes->namespaces, namespace);
    free(namespace);
}

static void drop_point(struct changes *changes, struct point *point)
{
    struct namespace *namespace = point->namespace;

    if (point->is_ripe)
        TAILQ_REMOVE(&changes->ripe, point, ripe);
    RB_REMOVE(point_tree, &namespace->points, point);
    namespace->count--;
    namespace->prefixes[point->length] -= point->is_prefix;
    free(point);
    drop_namespace_if_empty(changes, namespace);
}

int changes_attach(struct changes *changes, struct hook *hook, uid_t owner, struct span text, bool is_prefix)
{
    struct namespace *namespace = namespace_of(changes, owner);

    if (!namespace)
        return -ENOMEM;
    struct point *point = find_point(namespace, is_prefix, text);
    if (!point)
        point = make_point(namespace, is_prefix, text);
    if (!point) {
        drop_namespace_if_empty(changes, namespace);
        return -ENOMEM;
    }
    point->attached++;
    namespace->watches += hook->kind == HOOK_WATCH;
    hook->point = point;
    hook->hangs = false;
    return 0;
}

void changes_detach(struct changes *changes, struct hook *hook)
{
    struct point *point = hook->point;

    changes_take_down(hook);
    hook->point = NULL;
    if (hook->kind == HOOK_WATCH && --point->namespace->watches == 0)
        change_log_clear(&point->namespace->log);
    if (--point->attached == 0)
        drop_point(changes, point);
}

/* ---- Waking ------------------------------------------------------------------------------------------------------ */

static bool has_ripe(const struct rack *rack)
{
    const struct hook *first = TAILQ_FIRST(&rack->hooks);

    return first && first->since < rack->ripe_seq;
}

static bool has_ticket(const struct point *point)
{
    const struct hook *first = TAILQ_FIRST(&point->racks[HOOK_WAIT].hooks);

    return point->tickets && first && first->since < point->ticket;
}

static bool is_ripe(const struct point *point)
{
    return has_ripe(&point->racks[HOOK_WATCH]) || has_ripe(&point->racks[HOOK_WAIT]) || has_ticket(point);
}

static void ripen(struct changes *changes, struct point *point)
{
    if (point->is_ripe || !is_ripe(point))
        return;
    if (TAILQ_EMPTY(&changes->ripe))
        event_active(&changes->wake, 0, 0);
    point->is_ripe = true;
    TAILQ_INSERT_TAIL(&changes->ripe, point, ripe);
}

bool changes_hang(struct changes *changes, struct hook *hook, uint64_t since)
{
    struct rack *rack = &hook->point->racks[hook->kind];

    if (hook->hangs)
        return true;
    if (rack->last_seq > since)
        return false;
    hook->since = changes->seq; /* nothing since then concerned it */
    hook->hangs = true;
    TAILQ_INSERT_TAIL(&rack->hooks, hook, link);
    return true;
}

void changes_take_down(struct hook *hook)
{
    if (!hook->hangs)
        return;
    hook->hangs = false;
    TAILQ_REMOVE(&hook->point->racks[hook->kind].hooks, hook, link);
}

bool changes_will_wake(const struct hook *hook)
{
    return hook->hangs && hook->since < hook->point->racks[hook->kind].ripe_seq;
}

static bool wake_first(struct rack *rack, struct waking *waking)
{
    struct hook *hook = TAILQ_FIRST(&rack->hooks);

    waking->first_seq = rack->first_seq > hook->since ? rack->first_seq : hook->since + 1;
    changes_take_down(hook);
    return hook->wake(hook, waking);
}

/* Wakes one of those that are to be woken. */
static void wake_one(struct point *point)
{
    struct waking waking = {0};

    for (unsigned i = 0; i < HOOK_KINDS; i++)
        if (has_ripe(&point->racks[i])) {
            wake_first(&point->racks[i], &waking);
            return;
        }
    waking.alone = true;
    waking.ticket = point->ticket;
    if (wake_first(&point->racks[HOOK_WAIT], &waking))
        point->tickets--;
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
    struct changes *changes = argument;
    struct point *point;

    (void)fd, (void)what;
    for (unsigned i = 0; i < WAKE_AT_ONCE && (point = TAILQ_FIRST(&changes->ripe)); i++) {
        if (is_ripe(point))
            wake_one(point);
        if (is_ripe(point))
            continue;
        point->tickets = 0; /* who comes now looks for himself */
        point->is_ripe = false;
        TAILQ_REMOVE(&changes->ripe, point, ripe);
    }
    if (!(point = TAILQ_FIRST(&changes->ripe)))
        return;
    TAILQ_REMOVE(&changes->ripe, point, ripe); /* it is another one's turn */
    TAILQ_INSERT_TAIL(&changes->ripe, point, ripe);
    event_active(&changes->wake, 0, 0);
}

void changes_init(struct changes *changes, struct event_base *loop)
{
    RB_INIT(&changes->namespaces);
    TAILQ_INIT(&changes->ripe);
    event_assign(&changes->wake, loop, -1, 0, on_wake, changes);
    event_priority_set(&changes->wake, PRIORITY_OTHER);
}

/* ---- Changes ----------------------------------------------------------------------------------------------------- */

static void wake_all(struct changes *changes, struct rack *rack)
{
    if (!has_ripe(rack))
        rack->first_seq = changes->seq;
    rack->ripe_seq = rack->last_seq = changes->seq;
}

static void add_ticket(struct changes *changes, struct point *point, uint64_t ticket)
{
    if (TAILQ_EMPTY(&point->racks[HOOK_WAIT].hooks))
        return;
    point->tickets++;
    if (point->ticket < ticket)
        point->ticket = ticket;
    ripen(changes, point);
}

void changes_pass_on(struct changes *changes, struct point *point, uint64_t ticket)
{
    add_ticket(changes, point, ticket);
}

/* It can be got: by all that wait, or by one. */
static void note_for_waits(struct changes *changes, struct point *point, const struct name *name)
{
    struct rack *waits = &point->racks[HOOK_WAIT];

    if (!name->take) {
        wake_all(changes, waits);
        return;
    }
    waits->last_seq = changes->seq;
    add_ticket(changes, point, changes->seq);
}

static bool binds(enum sealbuf_change_kind kind)
{
    return kind == SEALBUF_CHANGE_PUBLISHED || kind == SEALBUF_CHANGE_REPLACED;
}

/* With kind 0, for waits alone. */
static void note_at(struct changes *changes, struct point *point, unsigned kind, const struct name *name)
{
    if (kind == 0 || binds(kind))
        note_for_waits(changes, point, name);
    else
        point->gone_seq = changes->seq;
    if (kind)
        wake_all(changes, &point->racks[HOOK_WATCH]);
    ripen(changes, point);
}

static void note(struct changes *changes, struct namespace *namespace, unsigned kind, const struct name *name)
{
    struct span text = name_text(name);
    struct point *point = find_point(namespace, false, text);

    if (point)
        note_at(changes, point, kind, name);
    for (uint32_t length = 0; length <= name->length; length++) {
        if (namespace->prefixes[length] == 0)
            continue;
        point = find_point(namespace, true, (struct span){name->text, length});
        if (point)
            note_at(changes, point, kind, name);
    }
}

void changes_note(struct changes *changes, enum sealbuf_change_kind kind, const struct name *name,
                  const struct visibility *before)
{
    struct namespace *namespace = find_namespace(changes, name->owner);

    changes->seq++;
    if (!namespace)
        return;
    if (namespace->watches)
        change_log_add(&namespace->log, changes->seq, (uint8_t)kind, name, before);
    note(changes, namespace, kind, name);
}

void changes_note_back(struct changes *changes, const struct name *name)
{
    struct namespace *namespace = find_namespace(changes, name->owner);

    changes->seq++;
    if (namespace)
        note(changes, namespace, 0, name);
}
