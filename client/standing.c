/* SPDX-License-Identifier: MIT */
#include "standing.h"

#include <stdlib.h>

#include "client.h"

#define FEWEST_BUCKETS 16u

void standing_init(struct standing *standing)
{
    *standing = (struct standing){.count = 0};
    TAILQ_INIT(&standing->calls);
}

void standing_end(struct standing *standing)
{
    free(standing->buckets);
    standing_init(standing);
}

/* Serials count up. */
static struct standing_bucket *bucket_of(const struct standing *standing, uint32_t serial)
{
    return &standing->buckets[serial & (standing->bucket_count - 1)];
}

/* Without memory the buckets get long, or there are none and the list is searched, and that is all. */
static void make_room(struct standing *standing)
{
    size_t count = standing->bucket_count ? standing->bucket_count * 2 : FEWEST_BUCKETS;
    struct call *call;

    if (standing->count < standing->bucket_count)
        return;
    struct standing_bucket *buckets = calloc(count, sizeof(*buckets));
    if (!buckets)
        return;
    free(standing->buckets);
    standing->buckets = buckets;
    standing->bucket_count = count;
    TAILQ_FOREACH(call, &standing->calls, link)
        LIST_INSERT_HEAD(bucket_of(standing, call->serial), call, bucket);
}

void standing_insert(struct standing *standing, struct call *call)
{
    make_room(standing);
    TAILQ_INSERT_TAIL(&standing->calls, call, link);
    if (standing->buckets)
        LIST_INSERT_HEAD(bucket_of(standing, call->serial), call, bucket);
    standing->count++;
    standing->watches += call_is_watch(call);
}

void standing_remove(struct standing *standing, struct call *call)
{
    TAILQ_REMOVE(&standing->calls, call, link);
    if (standing->buckets)
        LIST_REMOVE(call, bucket);
    standing->count--;
    standing->watches -= call_is_watch(call);
    standing->ended -= call->outcome != 0;
}

struct call *standing_find(const struct standing *standing, uint32_t serial)
{
    struct call *call;

    if (standing->buckets) {
        call = LIST_FIRST(bucket_of(standing, serial));
        while (call && call->serial != serial)
            call = LIST_NEXT(call, bucket);
        return call;
    }
    TAILQ_FOREACH(call, &standing->calls, link)
        if (call->serial == serial)
            return call;
    return NULL;
}
