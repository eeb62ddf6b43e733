/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "claim.h"
#include "clock.h"
#include "evictable.h"
#include "ledger.h"
#include "peer.h"

/* From how many buffers on their closing is left to a worker. */
#define CLOSE_IN_BATCH 8

/* What the tree is searched for: RB_FIND wants a struct name, whose flexible text a key cannot have. */
static int compare_to(uid_t owner, struct span text, const struct name *name)
{
    if (owner != name->owner)
        return owner < name->owner ? -1 : 1;
    uint32_t common = text.length < name->length ? text.length : name->length;
    int r = common ? memcmp(text.data, name->text, common) : 0;
    if (r)
        return r;
    return (text.length > name->length) - (text.length < name->length);
}

static int compare_names(const struct name *a, const struct name *b)
{
    return compare_to(a->owner, name_text(a), b);
}

TREE_GENERATE(name_tree, name, link, compare_names)

void registry_init(struct registry *registry, struct broker *broker)
{
    *registry = (struct registry){.quota = &broker->quota,
                                  .buffers = &broker->buffers,
                                  .deadlines = &broker->deadlines,
                                  .changes = &broker->changes};
    RB_INIT(&registry->names);
}

struct name *registry_find(struct registry *registry, uid_t owner, struct span name)
{
    struct name *at = RB_ROOT(&registry->names);

    while (at) {
        int r = compare_to(owner, name, at);
        if (r == 0)
            return at;
        at = r < 0 ? RB_LEFT(at, link) : RB_RIGHT(at, link);
    }
    return NULL;
}

struct name *registry_after(struct registry *registry, uid_t owner, struct span name)
{
    struct name *at = RB_ROOT(&registry->names), *behind = NULL;

    while (at) {
        if (compare_to(owner, name, at) < 0) {
            behind = at;
            at = RB_LEFT(at, link);
        } else {
            at = RB_RIGHT(at, link);
        }
    }
    return behind;
}

struct name *registry_next(struct name *name)
{
    return name_tree_RB_NEXT(name);
}

struct name *name_generation(struct name *name, uint64_t generation)
{
    struct name *past;

    if (name->generation == generation)
        return name;
    TAILQ_FOREACH(past, &name->past, of_current)
        if (past->generation <= generation)
            return past->generation == generation ? past : NULL;
    return NULL;
}

uint64_t name_oldest(const struct name *name)
{
    const struct name *oldest = TAILQ_LAST(&name->past, past_names);
    return oldest ? oldest->generation : name->generation;
}

/* ---- One generation of a name, and its buffer -------------------------------------------------------------------- */

static void attach(struct name *name, struct buffer *buffer, const struct ledger_name *record)
{
    name->buffer = buffer;
    name->group = record->group;
    name->mode = (uint16_t)record->mode;
    name->take = !!record->take;
    name->published_ns = record->published_ns;
    name->generation = record->generation;
    LIST_INSERT_HEAD(&buffer->names, name, of_buffer);
    buffer->name_count++;
    buffer->flags |= SEALBUF_INFO_PUBLISHED;
    evictable_recount(name->registry->quota, buffer);
}

static void detach(struct name *name)
{
    LIST_REMOVE(name, of_buffer);
    name->buffer->name_count--;
    evictable_recount(name->registry->quota, name->buffer);
    claim_forget_name(name->buffer, name);
}

static int charge(struct registry *registry, uid_t owner, uint64_t length, struct limit_met *met)
{
    int r = quota_charge(registry->quota, owner, RESOURCE_NAMES, 1, met);
    if (r)
        return r;
    r = quota_charge(registry->quota, owner, RESOURCE_METADATA, length, met);
    if (r)
        quota_release(registry->quota, owner, RESOURCE_NAMES, 1);
    return r;
}

static int charge_restored(struct registry *registry, uid_t owner, uint64_t length)
{
    int r = quota_restore(registry->quota, owner, RESOURCE_NAMES, 1);
    if (r)
        return r;
    r = quota_restore(registry->quota, owner, RESOURCE_METADATA, length);
    if (r)
        quota_release(registry->quota, owner, RESOURCE_NAMES, 1);
    return r;
}

static void release(struct registry *registry, uid_t owner, uint64_t length)
{
    quota_release(registry->quota, owner, RESOURCE_NAMES, 1);
    quota_release(registry->quota, owner, RESOURCE_METADATA, length);
}

/* It is charged by now, and bound to nothing. */
static int new_name(struct registry *registry, uid_t owner, struct span text, struct name **made)
{
    struct name *name = calloc(1, sizeof(*name) + text.length);

    if (!name) {
        release(registry, owner, text.length);
        return SEALBUF_ERR_MEMORY;
    }
    name->registry = registry;
    name->owner = owner;
    name->length = (uint8_t)text.length;
    TAILQ_INIT(&name->past);
    memcpy(name->text, text.data, text.length);
    *made = name;
    return 0;
}

static void free_name(struct name *name)
{
    release(name->registry, name->owner, name->length);
    free(name);
}

/* ---- Former generations ------------------------------------------------------------------------------------------ */

/* What a name is bound to, its place among the buffer's names included, becomes its newest past one. */
static void keep_former(struct name *name, struct name *past)
{
    past->is_past = true;
    past->current = name;
    past->buffer = name->buffer;
    past->generation = name->generation;
    past->published_ns = name->published_ns;
    past->group = name->group;
    past->mode = name->mode;
    past->keep = name->keep; /* as it is in its record */
    past->slot = name->slot;
    name->slot = 0;
    LIST_INSERT_AFTER(name, past, of_buffer);
    LIST_REMOVE(name, of_buffer);
    TAILQ_INSERT_HEAD(&name->past, past, of_current);
    name->past_count++;
}

static void drop_past(struct name *past)
{
    struct registry *registry = past->registry;
    struct buffer *buffer = past->buffer;

    evictable_forget(registry->quota, past);
    ledger_clear(registry->buffers->ledger, &past->slot);
    TAILQ_REMOVE(&past->current->past, past, of_current);
    past->current->past_count--;
    detach(past);
    free_name(past);
    buffer_drop_if_unheld(registry->buffers, buffer);
}

/* The oldest ones go first, also out of the ledger: wherever that is cut off, what is left is a name with its newest
   past ones. */
static void trim(struct name *name, unsigned keep)
{
    while (name->past_count > keep)
        drop_past(TAILQ_LAST(&name->past, past_names));
}

/* Many buffers may go at once. */
static void drop_all_past(struct registry *registry, struct name *name)
{
    struct reaper *reaper = registry->buffers->reaper;
    bool in_batch = name->past_count > CLOSE_IN_BATCH && !reaper->batch;

    if (in_batch)
        reaper_begin_batch(reaper);
    trim(name, 0);
    if (in_batch)
        reaper_end_batch(reaper);
}

static void clear_past_records(struct registry *registry, struct name *name)
{
    struct name *past;

    TAILQ_FOREACH_REVERSE(past, &name->past, past_names, of_current)
        ledger_clear(registry->buffers->ledger, &past->slot);
}

bool registry_is_beyond_names(const struct name *name, const struct buffer *buffer, unsigned keep)
{
    const struct name *past = name ? TAILQ_FIRST(&name->past) : NULL;
    unsigned count = buffer->name_count + 1u, kept = 0;

    if (count <= NAMES_OF_BUFFER)
        return false;
    if (name && name->buffer == buffer && (keep == 0 || name->take))
        count--;
    if (name && keep > 0 && !name->take)
        kept = 1;
    for (; past; past = TAILQ_NEXT(past, of_current))
        if (++kept > keep && past->buffer == buffer)
            count--;
    return count > NAMES_OF_BUFFER;
}

/* ---- Leases ------------------------------------------------------------------------------------------------------ */

static void on_expiry(struct deadline *deadline)
{
    struct name *name = (struct name *)(void *)((char *)deadline - offsetof(struct name, lease));

    registry_unbind(name->registry, name, SEALBUF_CHANGE_EXPIRED);
}

static void set_lease(struct name *name, uint64_t deadline_ns)
{
    name->deadline_ns = deadline_ns;
    deadline_set(name->registry->deadlines, &name->lease, deadline_ns, on_expiry);
}

int name_set_lease(struct name *name, uint64_t deadline_ns)
{
    struct ledger_name record;

    name_to_ledger(name, &record);
    record.deadline_ns = deadline_ns;
    int r = name->slot ? ledger_put(name->registry->buffers->ledger, LEDGER_NAME_RECORD, &record, &name->slot) : 0;
    if (r == 0)
        set_lease(name, deadline_ns);
    return r;
}

static struct name *expired_name_of(const struct buffer *buffer)
{
    struct name *name;

    LIST_FOREACH(name, &buffer->names, of_buffer) {
        struct name *current = name->is_past ? name->current : name;
        if (name_has_expired(current))
            return current;
    }
    return NULL;
}

bool registry_expire(struct registry *registry, struct buffer *buffer)
{
    struct name *name = expired_name_of(buffer);

    if (!name)
        return false;
    buffer_pin(buffer);
    for (; name; name = expired_name_of(buffer))
        registry_unbind(registry, name, SEALBUF_CHANGE_EXPIRED);
    buffer_unpin(registry->buffers, buffer);
    return true;
}

/* ---- Binding ----------------------------------------------------------------------------------------------------- */

void name_to_ledger(const struct name *name, struct ledger_name *record)
{
    *record = (struct ledger_name){
        .buffer = name->buffer ? name->buffer->id : 0,
        .generation = name->generation,
        .published_ns = name->published_ns,
        .owner = name->owner,
        .group = name->group,
        .mode = name->mode,
        .take = name->take,
        .text = name_text(name),
        .keep = name->keep,
        .evictable = name->is_evictable,
        .deadline_ns = name->deadline_ns,
    };
}

/* The name as it is to be. */
static void binding_to_ledger(const struct prepared_binding *prepared, struct ledger_name *record)
{
    const struct binding *binding = prepared->what;

    *record = (struct ledger_name){
        .buffer = binding->buffer->id,
        .generation = prepared->generation,
        .published_ns = prepared->published_ns,
        .owner = binding->owner,
        .group = binding->group,
        .mode = binding->mode,
        .take = binding->take,
        .text = binding->name,
        .keep = binding->keep,
        .evictable = binding->is_evictable,
        .deadline_ns = binding->deadline_ns,
        .batch = binding->batch,
    };
}

/*
 * Of a batch all must come back as it was before, or nothing, wherever it is cut off: also what is replaced by what is
 * not to survive the broker.
 */
static int record_removal(struct registry *registry, struct prepared_binding *prepared)
{
    const struct binding *binding = prepared->what;
    const struct ledger_name record = {
        .owner = binding->owner, .text = binding->name, .batch = binding->batch, .removed = 1};

    if (!binding->batch || !prepared->name->slot)
        return 0;
    return ledger_put(registry->buffers->ledger, LEDGER_NAME_RECORD, &record, &prepared->removal);
}

/* Into the ledger, beside the record of what the name is bound to; unless it is not to survive the broker. */
static int record_binding(struct registry *registry, struct prepared_binding *prepared)
{
    struct buffers *buffers = registry->buffers;
    struct buffer *buffer = prepared->what->buffer;
    struct ledger_name record;

    if (!buffer->is_stored || prepared->what->publisher)
        return record_removal(registry, prepared);
    int r = buffer_record(buffers, buffer);
    if (r)
        return r;
    binding_to_ledger(prepared, &record);
    return ledger_put(buffers->ledger, LEDGER_NAME_RECORD, &record, &prepared->slot);
}

/* Where as many are kept as may be, one goes for the one that comes: no limit can keep that from being. */
static int prepare_past(struct registry *registry, struct prepared_binding *prepared, struct limit_met *met)
{
    const struct name *name = prepared->name;
    int r;

    if (!name->buffer || name->take || prepared->what->keep == 0)
        return 0;
    if (name->past_count < prepared->what->keep)
        r = charge(registry, name->owner, name->length, met);
    else
        r = charge_restored(registry, name->owner, name->length);
    return r ? r : new_name(registry, name->owner, name_text(name), &prepared->past);
}

static int prepare_name(struct registry *registry, struct prepared_binding *prepared, struct limit_met *met)
{
    const struct binding *binding = prepared->what;

    prepared->name = registry_find(registry, binding->owner, binding->name);
    if (prepared->name)
        return 0;
    int r = charge(registry, binding->owner, binding->name.length, met);
    return r ? r : new_name(registry, binding->owner, binding->name, &prepared->name);
}

void registry_abandon(struct registry *registry, struct prepared_binding *prepared)
{
    struct buffers *buffers = registry->buffers;
    struct buffer *buffer = prepared->what->buffer;

    ledger_clear(buffers->ledger, &prepared->slot);
    ledger_clear(buffers->ledger, &prepared->removal);
    if (!prepared->buffer_was_recorded)
        buffer_unrecord(buffers, buffer);
    buffer_undo_metadata(buffers, buffer, &prepared->metadata_before);
    if (prepared->past)
        free_name(prepared->past);
    if (prepared->name && !prepared->name->buffer)
        free_name(prepared->name);
}

int registry_prepare(struct registry *registry, const struct binding *binding, struct prepared_binding *prepared,
                     struct limit_met *met)
{
    struct buffer *buffer = binding->buffer;

    *prepared = (struct prepared_binding){.what = binding, .buffer_was_recorded = buffer->slot != 0};
    int r = prepare_name(registry, prepared, met);
    if (r == 0)
        r = prepare_past(registry, prepared, met);
    if (r == 0 && binding->metadata.length)
        r = buffer_set_metadata(registry->buffers, buffer, binding->metadata, &prepared->metadata_before, met);
    if (r == 0) {
        prepared->generation = prepared->name->generation + 1;
        prepared->published_ns = clock_realtime_ns();
        r = record_binding(registry, prepared);
    }
    if (r)
        registry_abandon(registry, prepared);
    return r;
}

void name_set_publisher(struct name *name, struct peer *publisher)
{
    if (name->publisher)
        LIST_REMOVE(name, of_peer);
    name->publisher = publisher;
    if (publisher)
        LIST_INSERT_HEAD(&publisher->names, name, of_peer);
}

/* Where the name is not in the ledger, no past one may be: it would come back in place of this one. */
static void replace_record(struct registry *registry, struct name *name, uint32_t slot)
{
    if (!slot)
        clear_past_records(registry, name);
    ledger_clear(registry->buffers->ledger, &name->slot);
    name->slot = slot;
}

struct name *registry_commit(struct registry *registry, struct prepared_binding *prepared)
{
    const struct binding *binding = prepared->what;
    struct name *name = prepared->name;
    struct buffer *before = name->buffer;
    struct visibility visibility = {.group = name->group, .mode = name->mode};
    struct ledger_name after;

    evictable_leave(registry->quota, name);
    if (prepared->past)
        keep_former(name, prepared->past);
    else if (before)
        detach(name);
    else
        RB_INSERT(name_tree, &registry->names, name);
    binding_to_ledger(prepared, &after);
    attach(name, binding->buffer, &after);
    name->keep = binding->keep;
    name->is_evictable = binding->is_evictable;
    set_lease(name, binding->deadline_ns);
    name_set_publisher(name, binding->publisher);
    replace_record(registry, name, prepared->slot);
    ledger_clear(registry->buffers->ledger, &prepared->removal);
    buffer_forget_metadata(&prepared->metadata_before);
    changes_note(registry->changes, before ? SEALBUF_CHANGE_REPLACED : SEALBUF_CHANGE_PUBLISHED, name,
                 before ? &visibility : NULL);
    buffer_unhold(registry->buffers, binding->buffer); /* its names hold it now */
    if (before)
        buffer_drop_if_unheld(registry->buffers, before);
    trim(name, name->keep);
    evictable_enter(registry->quota, name);
    return name;
}

int registry_bind(struct registry *registry, const struct binding *binding, struct name **bound, struct limit_met *met)
{
    struct prepared_binding prepared;
    int r = registry_prepare(registry, binding, &prepared, met);

    if (r == 0)
        *bound = registry_commit(registry, &prepared);
    return r;
}

/* ---- Restoring --------------------------------------------------------------------------------------------------- */

/* It is the current one from now on. */
static void take_over(struct name *name, const struct ledger_name *record, uint32_t slot, struct buffer *buffer)
{
    attach(name, buffer, record);
    name->slot = slot;
    name->keep = (uint8_t)record->keep;
    name->is_evictable = !!record->evictable;
    set_lease(name, record->deadline_ns);
    trim(name, name->keep);
}

static int restore_current(struct name *name, const struct ledger_name *record, uint32_t slot, struct buffer *buffer)
{
    struct registry *registry = name->registry;
    struct name *past;

    if (name->generation < record->generation && !name->take && record->keep > 0) {
        if (charge_restored(registry, name->owner, name->length) ||
            new_name(registry, name->owner, name_text(name), &past))
            return SEALBUF_ERR_MEMORY;
        keep_former(name, past);
    } else {
        detach(name);
        ledger_clear(registry->buffers->ledger, &name->slot);
    }
    take_over(name, record, slot, buffer);
    return 0;
}

static int restore_past(struct name *name, const struct ledger_name *record, uint32_t slot, struct buffer *buffer)
{
    struct registry *registry = name->registry;
    struct name *past, *older;

    if (charge_restored(registry, name->owner, name->length) || new_name(registry, name->owner, name_text(name), &past))
        return SEALBUF_ERR_MEMORY;
    attach(past, buffer, record);
    past->keep = (uint8_t)record->keep;
    past->is_past = true;
    past->current = name;
    past->slot = slot;
    TAILQ_FOREACH(older, &name->past, of_current)
        if (older->generation <= record->generation)
            break;
    if (older)
        TAILQ_INSERT_BEFORE(older, past, of_current);
    else
        TAILQ_INSERT_TAIL(&name->past, past, of_current);
    name->past_count++;
    if (older && older->generation == record->generation)
        drop_past(older);
    trim(name, name->keep);
    return 0;
}

int registry_restore(struct registry *registry, const struct ledger_name *record, uint32_t slot, struct buffer *buffer)
{
    struct name *name = registry_find(registry, record->owner, record->text);

    if (name && record->generation < name->generation)
        return restore_past(name, record, slot, buffer);
    if (name)
        return restore_current(name, record, slot, buffer);
    if (charge_restored(registry, record->owner, record->text.length) ||
        new_name(registry, record->owner, record->text, &name))
        return SEALBUF_ERR_MEMORY;
    RB_INSERT(name_tree, &registry->names, name);
    take_over(name, record, slot, buffer);
    return 0;
}

/* ---- Unbinding --------------------------------------------------------------------------------------------------- */

void registry_unbind(struct registry *registry, struct name *name, enum sealbuf_change_kind why)
{
    struct buffer *buffer = name->buffer;

    if (name->is_past) {
        drop_past(name);
        return;
    }
    changes_note(registry->changes, why, name, NULL);
    evictable_leave(registry->quota, name);
    drop_all_past(registry, name);
    ledger_clear(registry->buffers->ledger, &name->slot);
    deadline_clear(registry->deadlines, &name->lease);
    name_set_publisher(name, NULL);
    detach(name);
    RB_REMOVE(name_tree, &registry->names, name);
    free_name(name);
    buffer_drop_if_unheld(registry->buffers, buffer);
}

/* Past ones first: a current one takes others along, but then none of this buffer's. */
/* Former generations come first: where the current one goes, they go along. */
static struct name *next_meant(struct buffer *buffer, bool (*is_meant)(const struct name *name, void *userdata),
                               void *userdata)
{
    struct name *name, *current = NULL;

    LIST_FOREACH(name, &buffer->names, of_buffer) {
        if (!is_meant(name, userdata))
            continue;
        if (name->is_past)
            return name;
        current = current ? current : name;
    }
    return current;
}

bool registry_unbind_all(struct registry *registry, struct buffer *buffer, enum sealbuf_change_kind why,
                         const struct meant *meant)
{
    struct name *name;
    bool is_over = false;

    buffer_pin(buffer);
    while (!is_over && (name = next_meant(buffer, meant->is_meant, meant->userdata))) {
        registry_unbind(registry, name, why);
        is_over = meant->is_over && meant->is_over(meant->userdata);
    }
    bool is_done = !next_meant(buffer, meant->is_meant, meant->userdata);
    buffer_unpin(registry->buffers, buffer);
    return is_done;
}

bool name_is_claimed(const struct name *name)
{
    const struct claim *claim = name->buffer->claim;

    if (!claim)
        return false;
    return claim->by_name ? claim->name == name : claim->owner == name->owner;
}

bool name_allows(const struct name *name, struct credentials *who, int socket, enum access access)
{
    if (!who->is_unknown && (who->uid == 0 || who->uid == name->owner))
        return true;
    if (name->is_past)
        name = name->current;
    if (credentials_have_group(who, socket, name->group))
        return (name->mode >> 3 & access) == access;
    return (name->mode & access) == access;
}
