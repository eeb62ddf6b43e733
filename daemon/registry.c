/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "claim.h"
#include "clock.h"
#include "ledger.h"

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
}

static void detach(struct name *name)
{
    LIST_REMOVE(name, of_buffer);
    name->buffer->name_count--;
    claim_forget_name(name->buffer, name);
}

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
    };
}

/* The name as it is to be, into the ledger, or out of it where it goes to a buffer that does not survive the broker. */
static int record_name(struct registry *registry, struct name *name, const struct ledger_name *after,
                       struct buffer *buffer)
{
    struct buffers *buffers = registry->buffers;
    bool recorded = buffer->slot != 0;

    if (!buffer->is_stored) {
        ledger_clear(buffers->ledger, &name->slot);
        return 0;
    }
    int r = buffer_record(buffers, buffer);
    if (r)
        return r;
    r = ledger_put(buffers->ledger, LEDGER_NAME_RECORD, after, &name->slot);
    if (r && !recorded)
        buffer_unrecord(buffers, buffer);
    return r;
}

/* What can fail comes first: the ledger. */
static int rebind(struct registry *registry, struct name *name, const struct binding *binding)
{
    struct buffer *before = name->buffer;
    struct ledger_name after;

    name_to_ledger(name, &after);
    after.buffer = binding->buffer->id;
    after.group = binding->group;
    after.mode = binding->mode;
    after.take = binding->take;
    after.published_ns = clock_realtime_ns();
    after.generation++;
    int r = record_name(registry, name, &after, binding->buffer);
    if (r)
        return r;
    struct visibility visibility = {.group = name->group, .mode = name->mode};
    if (before)
        detach(name);
    attach(name, binding->buffer, &after);
    changes_note(registry->changes, before ? SEALBUF_CHANGE_REPLACED : SEALBUF_CHANGE_PUBLISHED, name,
                 before ? &visibility : NULL);
    buffer_unhold(registry->buffers, binding->buffer); /* its names hold it now */
    if (before)
        buffer_drop_if_unheld(registry->buffers, before);
    return 0;
}

static void release(struct registry *registry, uid_t owner, uint64_t length)
{
    quota_release(registry->quota, owner, RESOURCE_NAMES, 1);
    quota_release(registry->quota, owner, RESOURCE_METADATA, length);
}

static void forget(struct registry *registry, struct name *name)
{
    RB_REMOVE(name_tree, &registry->names, name);
    release(registry, name->owner, name->length);
    free(name);
}

/* It is charged by now. */
static int new_name(struct registry *registry, uid_t owner, struct span text, struct name **made)
{
    struct name *name = calloc(1, sizeof(*name) + text.length);

    if (!name) {
        release(registry, owner, text.length);
        return SEALBUF_ERR_MEMORY;
    }
    name->owner = owner;
    name->length = (uint8_t)text.length;
    memcpy(name->text, text.data, text.length);
    RB_INSERT(name_tree, &registry->names, name);
    *made = name;
    return 0;
}

static int charge(struct registry *registry, const struct binding *binding, struct limit_met *met)
{
    int r = quota_charge(registry->quota, binding->owner, RESOURCE_NAMES, 1, met);
    if (r)
        return r;
    r = quota_charge(registry->quota, binding->owner, RESOURCE_METADATA, binding->name.length, met);
    if (r)
        quota_release(registry->quota, binding->owner, RESOURCE_NAMES, 1);
    return r;
}

int registry_bind(struct registry *registry, const struct binding *binding, struct name **bound, struct limit_met *met)
{
    struct name *name = registry_find(registry, binding->owner, binding->name);
    bool is_new = !name;
    int r = is_new ? charge(registry, binding, met) : 0;

    if (r == 0 && is_new)
        r = new_name(registry, binding->owner, binding->name, &name);
    if (r)
        return r;
    r = rebind(registry, name, binding);
    if (r && is_new)
        forget(registry, name);
    if (r == 0)
        *bound = name;
    return r;
}

int registry_restore(struct registry *registry, const struct ledger_name *record, struct buffer *buffer,
                     struct name **restored)
{
    struct name *name;

    if (quota_restore(registry->quota, record->owner, RESOURCE_NAMES, 1))
        return SEALBUF_ERR_MEMORY;
    if (quota_restore(registry->quota, record->owner, RESOURCE_METADATA, record->text.length)) {
        quota_release(registry->quota, record->owner, RESOURCE_NAMES, 1);
        return SEALBUF_ERR_MEMORY;
    }
    int r = new_name(registry, record->owner, record->text, &name);
    if (r)
        return r;
    attach(name, buffer, record);
    *restored = name;
    return 0;
}

void registry_unbind(struct registry *registry, struct name *name, enum sealbuf_change_kind why)
{
    struct buffer *buffer = name->buffer;

    changes_note(registry->changes, why, name, NULL);
    ledger_clear(registry->buffers->ledger, &name->slot);
    detach(name);
    forget(registry, name);
    buffer_drop_if_unheld(registry->buffers, buffer);
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
    if (credentials_have_group(who, socket, name->group))
        return (name->mode >> 3 & access) == access;
    return (name->mode & access) == access;
}
