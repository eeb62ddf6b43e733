/* SPDX-License-Identifier: MIT */
#include "telling.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "broker.h"
#include "change_log.h"
#include "flight.h"
#include "memfd.h"

/* So many changes or names are looked at between two looks at the clock. */
#define LOOK_AT_ONCE 8u
/* So many descriptors are sent with a message, or less where less may be in flight. */
#define DESCRIPTORS_AT_ONCE 64u

static struct change_log *log_of(const struct watch *watch)
{
    return &watch->hook.point->namespace->log;
}

static struct walk_range range_of(const struct watch *watch)
{
    return (struct walk_range){watch->owner, {watch->prefix, watch->prefix_length}, watch->flags & SEALBUF_WATCH_EXACT};
}

/* ---- Who sees what ----------------------------------------------------------------------------------------------- */

static bool may_read(const struct watch *watch, gid_t group, mode_t mode)
{
    struct name name = {.owner = watch->owner, .group = group, .mode = (uint16_t)mode};
    struct peer *peer = watch->peer;

    return name_allows(&name, &peer->who, peer->socket, ACCESS_READ);
}

static bool may_see(const struct watch *watch, gid_t group, mode_t mode)
{
    return may_read(watch, group, mode) || peer_is_administrator(watch->peer);
}

/* What a change is to who watches: 0, where it is nothing. */
static unsigned kind_for(const struct watch *watch, const struct change *change)
{
    bool sees = may_see(watch, change->group, change->mode), saw = sees;

    if (change->kind != SEALBUF_CHANGE_REPLACED)
        return sees ? change->kind : 0;
    if (change->group_before != change->group || change->mode_before != change->mode)
        saw = may_see(watch, change->group_before, change->mode_before);
    if (sees)
        return saw ? SEALBUF_CHANGE_REPLACED : SEALBUF_CHANGE_PUBLISHED;
    return saw ? SEALBUF_CHANGE_REMOVED : 0;
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

/* The name that the buffer has still, as it had when it changed; or NULL. */
static const struct name *find_still(const struct watch *watch, uint64_t id, struct span text)
{
    const struct buffer *buffer = buffer_find(&watch->peer->broker->buffers, id);
    const struct name *name = buffer ? LIST_FIRST(&buffer->names) : NULL;

    while (name && (name->owner != watch->owner || name->length != text.length ||
                    memcmp(name->text, text.data, text.length) != 0))
        name = LIST_NEXT(name, of_buffer);
    return name;
}

/* A reader's descriptor for it, as GET would give. 0, or a negative errno: without one. -EAGAIN: not yet. */
static int ship(struct telling *telling, const struct name *name)
{
    const struct watch *watch = telling->watch;
    const struct name *current = registry_find(&telling->broker->registry, watch->owner, name_text(name));

    if (name->take || name_is_claimed(name) || !current || name_has_expired(current) ||
        !may_read(watch, current->group, current->mode))
        return -EACCES;
    if (telling->broker->own_descriptors < 0)
        return -ENOENT;
    if (telling->shipment.count == telling->may_ship)
        return -EAGAIN;
    int fd = memfd_reopen_at(telling->broker->own_descriptors, name->buffer->fd, O_RDONLY);
    if (fd == -EMFILE || fd == -ENFILE)
        return -EAGAIN;
    if (fd < 0)
        return -EACCES;
    shipment_add_owned(&telling->shipment, fd);
    return 0;
}

/* Adds an event, with what it is to have of the buffer where `still` is. False: there is no room for it. */
static bool add(struct telling *telling, struct event_record *event, const struct name *still)
{
    struct watch *watch = telling->watch;
    unsigned shipped = telling->shipment.count;

    telling->is_full = true;
    if (telling->count == SEALBUF_MAX_RECORDS)
        return false;
    if (still && watch->flags & SEALBUF_WATCH_DETAILS)
        event->metadata = buffer_metadata(still->buffer);
    if (still && watch->flags & SEALBUF_WATCH_DESCRIPTORS) {
        int r = ship(telling, still);
        if (r == -EAGAIN)
            return false;
        event->descriptors = r == 0;
    }
    if (record_encode(&event_record_schema, &telling->writer, event)) {
        shipment_cut(&telling->shipment, shipped);
        return false;
    }
    telling->count++;
    telling->is_full = false;
    watch->told = event->kind != SEALBUF_CHANGE_OVERFLOW;
    return true;
}

static bool add_mark(struct telling *telling, enum sealbuf_change_kind kind)
{
    return add(telling, &(struct event_record){.kind = kind, .owner = telling->watch->owner}, NULL);
}

static bool binds(unsigned kind)
{
    return kind == SEALBUF_CHANGE_PUBLISHED || kind == SEALBUF_CHANGE_REPLACED;
}

/* Who cannot see what a name is now is only told that it has lost it. */
static bool add_change(struct telling *telling, const struct change *change, unsigned kind)
{
    struct event_record event = {
        .kind = kind, .owner = telling->watch->owner, .name = change_text(change), .generation = change->generation};

    if (kind == SEALBUF_CHANGE_REMOVED && change->kind == SEALBUF_CHANGE_REPLACED) {
        event.generation--;
        event.group = change->group_before;
        event.mode = change->mode_before;
        return add(telling, &event, NULL);
    }
    event.id = change->id;
    event.size = change->size;
    event.published_ns = change->published_ns;
    event.expire_ms = binds(kind) ? deadline_left_ms(change->deadline_ns) : 0;
    event.seals = change->seals;
    event.flags = change->flags;
    event.mode = change->mode;
    event.group = change->group;
    return add(telling, &event, binds(kind) ? find_still(telling->watch, change->id, change_text(change)) : NULL);
}

/* What is being taken is there until it is gone: else it would be missing where it is not taken in the end. So is what
   expires: that will be told. */
static bool add_name(struct telling *telling, const struct name *name)
{
    struct buffer *buffer = name->buffer;
    struct event_record event = {
        .kind = SEALBUF_CHANGE_PRESENT,
        .id = buffer->id,
        .size = buffer->charged,
        .generation = name->generation,
        .published_ns = name->published_ns,
        .expire_ms = deadline_left_ms(name->deadline_ns),
        .flags = change_flags(name),
        .mode = name->mode,
        .owner = name->owner,
        .group = name->group,
        .name = name_text(name),
    };
    struct stat st;

    if (buffer_seals(buffer, 0, &event.seals) < 0)
        event.seals = buffer->seals;
    if (!buffer->is_final && fstat(buffer->fd, &st) == 0) /* not measured: that may have names go, this one too */
        event.size = (uint64_t)st.st_size;
    return add(telling, &event, name);
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

/* What it has missed cannot be told any more: all that is there is told anew, which it must know if it was told some.
 */
static void tell_anew_if_lost(struct watch *watch)
{
    if (watch->seen >= log_of(watch)->lost)
        return;
    watch->seen = watch->peer->broker->changes.seq;
    watch->overflowed |= watch->told;
    if (watch->walking) {
        walk_begin_again(&watch->walk);
    } else if (watch->told) {
        walk_begin(&watch->walk);
        watch->walking = true;
    }
    watch->to_sync = true;
}

/* False: the turn is over. */
static bool may_go_on(const struct telling *telling, unsigned looked_at)
{
    return looked_at % LOOK_AT_ONCE || !turn_is_over(telling->broker);
}

/* The changes that it has not seen. False: not all of them. */
static bool tell_changes(struct telling *telling)
{
    struct watch *watch = telling->watch;
    const struct change_log *log = log_of(watch);
    const struct walk_range range = range_of(watch);
    unsigned looked_at = 0;

    for (uint32_t at = change_log_find(log, watch->seen); at != log->next; at++) {
        const struct change *change = change_log_at(log, at);
        bool concerns = range_contains(&range, change_text(change)) &&
                        (!watch->walking || walk_has_passed(&watch->walk, change_text(change)));
        unsigned kind = concerns ? kind_for(watch, change) : 0;
        if (kind && !add_change(telling, change, kind))
            return false;
        watch->seen = change->number;
        if (!may_go_on(telling, ++looked_at))
            return false;
    }
    watch->seen = telling->broker->changes.seq;
    return true;
}

/* The names that it has not passed, as they are now. False: not all of them. */
static bool tell_names(struct telling *telling)
{
    struct watch *watch = telling->watch;
    const struct walk_range range = range_of(watch);
    struct name *name;
    unsigned looked_at = 0;

    while ((name = walk_next(&watch->walk, &range, &telling->broker->registry))) {
        if (may_see(watch, name->group, name->mode) && !add_name(telling, name))
            return false;
        walk_pass(&watch->walk, name);
        if (!may_go_on(telling, ++looked_at))
            return false;
    }
    watch->walking = false;
    return true;
}

/* Nothing changes on the way: so what is told of names that were passed, and of those that were not, is of one moment.
 */
static bool tell_all(struct telling *telling)
{
    struct watch *watch = telling->watch;

    tell_anew_if_lost(watch);
    if (watch->overflowed) {
        add_mark(telling, SEALBUF_CHANGE_OVERFLOW);
        watch->overflowed = false;
    }
    if (!tell_changes(telling) || (watch->walking && !tell_names(telling)))
        return false;
    if (!watch->to_sync)
        return true;
    watch->to_sync = !add_mark(telling, SEALBUF_CHANGE_SYNC);
    return !watch->to_sync;
}

static void reserve(struct telling *telling)
{
    unsigned count = DESCRIPTORS_AT_ONCE;

    if (!(telling->watch->flags & SEALBUF_WATCH_DESCRIPTORS))
        return;
    while (count && !flight_reserve(telling->watch->peer, count))
        count /= 4;
    telling->may_ship = count;
}

enum telling_end tell(struct telling *telling, struct watch *watch)
{
    struct broker *broker = watch->peer->broker;

    telling->watch = watch;
    telling->broker = broker;
    telling->writer = (struct writer){.buffer = broker->out, .used = HEADER_SIZE, .room = sizeof(broker->out)};
    telling->shipment.count = telling->count = telling->may_ship = 0;
    telling->is_full = false;
    reserve(telling);
    bool all = tell_all(telling);
    if (telling->count == 0)
        flight_unreserve(watch->peer);
    if (all)
        return TELLING_ALL;
    return telling->is_full && telling->count == 0 ? TELLING_LANDING : TELLING_MORE;
}
