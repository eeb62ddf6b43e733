/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "clock.h"

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

void registry_init(struct registry *registry, struct quota *quota, struct buffers *buffers)
{
    *registry = (struct registry){.quota = quota, .buffers = buffers};
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

static void attach(struct name *name, const struct binding *binding, struct buffers *buffers)
{
    struct buffer *buffer = binding->buffer;

    name->buffer = buffer;
    name->group = binding->group;
    name->mode = binding->mode;
    name->take = binding->take;
    name->published_ns = clock_realtime_ns();
    name->generation++;
    LIST_INSERT_HEAD(&buffer->names, name, of_buffer);
    buffer->name_count++;
    buffer->flags |= SEALBUF_INFO_PUBLISHED;
    buffer_unhold(buffers, buffer); /* its names hold it now */
}

static void rebind(struct registry *registry, struct name *name, const struct binding *binding)
{
    struct buffer *before = name->buffer;

    LIST_REMOVE(name, of_buffer);
    before->name_count--;
    claim_forget_name(before, name);
    attach(name, binding, registry->buffers);
    buffer_drop_if_unheld(registry->buffers, before);
}

static void release(struct registry *registry, uid_t owner, uint64_t length)
{
    quota_release(registry->quota, owner, RESOURCE_NAMES, 1);
    quota_release(registry->quota, owner, RESOURCE_METADATA, length);
}

static int new_name(struct registry *registry, const struct binding *binding, struct name **made, struct limit_met *met)
{
    int r = quota_charge(registry->quota, binding->owner, RESOURCE_NAMES, 1, met);
    if (r)
        return r;
    r = quota_charge(registry->quota, binding->owner, RESOURCE_METADATA, binding->name.length, met);
    if (r) {
        quota_release(registry->quota, binding->owner, RESOURCE_NAMES, 1);
        return r;
    }
    struct name *name = calloc(1, sizeof(*name) + binding->name.length);
    if (!name) {
        release(registry, binding->owner, binding->name.length);
        return SEALBUF_ERR_MEMORY;
    }
    name->owner = binding->owner;
    name->length = (uint8_t)binding->name.length;
    memcpy(name->text, binding->name.data, binding->name.length);
    RB_INSERT(name_tree, &registry->names, name);
    *made = name;
    return 0;
}

int registry_bind(struct registry *registry, const struct binding *binding, struct name **bound, struct limit_met *met)
{
    struct name *name = registry_find(registry, binding->owner, binding->name);

    if (name) {
        rebind(registry, name, binding);
    } else {
        int r = new_name(registry, binding, &name, met);
        if (r)
            return r;
        attach(name, binding, registry->buffers);
    }
    *bound = name;
    return 0;
}

void registry_unbind(struct registry *registry, struct name *name)
{
    struct buffer *buffer = name->buffer;

    LIST_REMOVE(name, of_buffer);
    buffer->name_count--;
    claim_forget_name(buffer, name);
    RB_REMOVE(name_tree, &registry->names, name);
    release(registry, name->owner, name->length);
    free(name);
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
