/* SPDX-License-Identifier: MIT */
#include "evictable.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"

static void uncount(struct account *account, struct buffer *buffer)
{
    const struct evictable *counted = &buffer->evictable;

    account->can_go[RESOURCE_BUFFERS]--;
    account->can_go[RESOURCE_BYTES] -= counted->bytes;
    account->can_go[RESOURCE_STORED] -= counted->is_stored;
    account->can_go[RESOURCE_METADATA] -= counted->metadata;
}

static void count(struct account *account, struct buffer *buffer)
{
    struct evictable *counted = &buffer->evictable;

    counted->bytes = buffer->charged;
    counted->is_stored = buffer->is_stored;
    counted->metadata = buffer->label_length + buffer->metadata_length + (uint32_t)buffer->security_length;
    account->can_go[RESOURCE_BUFFERS]++;
    account->can_go[RESOURCE_BYTES] += counted->bytes;
    account->can_go[RESOURCE_STORED] += counted->is_stored;
    account->can_go[RESOURCE_METADATA] += counted->metadata;
}

void evictable_recount(struct quota *quota, struct buffer *buffer)
{
    struct evictable *counted = &buffer->evictable;
    bool counts = counted->names && counted->names == buffer->name_count && !buffer->is_held;

    if (!counts && !counted->is_counted)
        return;
    struct account *account = quota_find(quota, buffer->owner);
    if (counted->is_counted)
        uncount(account, buffer);
    if (counts)
        count(account, buffer);
    counted->is_counted = counts;
}

static void enter(struct quota *quota, struct name *name)
{
    struct account *account = quota_find(quota, name->owner);

    name->is_counted = true;
    account->can_go[RESOURCE_NAMES]++;
    account->can_go[RESOURCE_METADATA] += name->length;
    if (name->owner == name->buffer->owner)
        name->buffer->evictable.names++;
    evictable_recount(quota, name->buffer);
}

void evictable_forget(struct quota *quota, struct name *name)
{
    if (!name->is_counted)
        return;
    struct account *account = quota_find(quota, name->owner);
    name->is_counted = false;
    account->can_go[RESOURCE_NAMES]--;
    account->can_go[RESOURCE_METADATA] -= name->length;
    if (name->owner == name->buffer->owner)
        name->buffer->evictable.names--;
    evictable_recount(quota, name->buffer);
}

/* Former generations go with the current one, so they are not in the list themselves. */
void evictable_enter(struct quota *quota, struct name *name)
{
    struct name *past;

    if (name->is_counted || !name->is_evictable)
        return;
    enter(quota, name);
    TAILQ_FOREACH(past, &name->past, of_current)
        enter(quota, past);
    TAILQ_INSERT_TAIL(&quota_find(quota, name->owner)->evictable, name, by_use);
}

void evictable_leave(struct quota *quota, struct name *name)
{
    struct name *past;

    if (!name->is_counted)
        return;
    TAILQ_REMOVE(&quota_find(quota, name->owner)->evictable, name, by_use);
    evictable_forget(quota, name);
    TAILQ_FOREACH(past, &name->past, of_current)
        evictable_forget(quota, past);
}

void evictable_use(struct quota *quota, struct name *name)
{
    if (name->is_past)
        name = name->current;
    if (!name->is_counted)
        return;
    struct account *account = quota_find(quota, name->owner);
    TAILQ_REMOVE(&account->evictable, name, by_use);
    TAILQ_INSERT_TAIL(&account->evictable, name, by_use);
}

static int compare_ages(const void *a, const void *b)
{
    const struct name *one = *(struct name *const *)a, *other = *(struct name *const *)b;

    return (one->published_ns > other->published_ns) - (one->published_ns < other->published_ns);
}

int evictable_enter_all(struct registry *registry)
{
    const struct span nothing = {"", 0}; /* before all names */
    size_t count = 0;
    struct name *name;

    for (name = registry_after(registry, 0, nothing); name; name = registry_next(name))
        count += name->is_evictable;
    CLEANUP(cleanup_free)
    struct name **names = calloc(count + 1, sizeof(struct name *));
    if (!names)
        return -ENOMEM;
    count = 0;
    for (name = registry_after(registry, 0, nothing); name; name = registry_next(name))
        if (name->is_evictable)
            names[count++] = name;
    qsort(names, count, sizeof(struct name *), compare_ages);
    for (size_t i = 0; i < count; i++)
        evictable_enter(registry->quota, names[i]);
    return 0;
}
