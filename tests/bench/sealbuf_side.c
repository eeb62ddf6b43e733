/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "complain.h"
#include "sides.h"

#define GIB (1ULL << 30)
/* What the runs publish; outside of a run there is nothing of it. */
#define RUN_NAME "run/%u"

/* The buffers that a run needs or makes. */
struct set {
    sealbuf_buffer *buffer[GREATEST_RUN];
    char name[GREATEST_RUN][NAME_SIZE];
    unsigned count;
};

static const struct sealbuf_create_options page = {.struct_size = sizeof(page), .size = PAGE_BYTES};

static void set_init(struct set *set, unsigned count)
{
    set->count = count;
    for (unsigned i = 0; i < count; i++) {
        set->buffer[i] = NULL;
        snprintf(set->name[i], NAME_SIZE, RUN_NAME, i);
    }
}

static void set_free(struct set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        set->buffer[i] = sealbuf_buffer_free(set->buffer[i]);
}

static int set_create(struct stage *stage, struct set *set, unsigned count, const struct sealbuf_create_options *each)
{
    struct sealbuf_create_options options[GREATEST_RUN];

    set_init(set, count);
    for (unsigned i = 0; i < count; i++)
        options[i] = *each;
    int r = sealbuf_create_many(stage->client, set->buffer, NULL, options, count);
    if (r < 0) {
        set_free(set);
        return complain_client("creating buffers to measure with", stage->client, r);
    }
    return 0;
}

static int set_publish(struct stage *stage, struct set *set, uint32_t seals)
{
    struct sealbuf_publish_options options[GREATEST_RUN];

    for (unsigned i = 0; i < set->count; i++)
        options[i] =
            (struct sealbuf_publish_options){.struct_size = sizeof(options[i]), .name = set->name[i], .seals = seals};
    int r = sealbuf_publish_many(stage->client, set->buffer, NULL, options, set->count);
    if (r < 0) {
        set_free(set);
        return complain_client("publishing buffers to measure with", stage->client, r);
    }
    return 0;
}

/* Published ones: created with these seals at birth, under their names, and closed here. */
static int set_offer(struct stage *stage, struct set *set, unsigned count, uint64_t size, uint32_t seals)
{
    struct sealbuf_create_options each = {.struct_size = sizeof(each), .size = size, .seals = seals};

    int r = set_create(stage, set, count, &each);
    if (r == 0)
        r = set_publish(stage, set, seals);
    if (r == 0)
        set_free(set);
    return r;
}

/* Has the broker forget them, and closes them here. A run that failed has its reason: no second one is given. */
static int set_drop(struct stage *stage, struct set *set, int result)
{
    for (unsigned i = 0; i < set->count && result == 0; i++) {
        struct sealbuf_target target = {.struct_size = sizeof(target)};
        if (!set->buffer[i])
            continue;
        target.id = sealbuf_buffer_id(set->buffer[i]);
        int r = sealbuf_remove(stage->client, &target);
        if (r < 0)
            result = complain_client("removing what was measured", stage->client, r);
    }
    set_free(set);
    return result;
}

/* The same by name, for published ones. */
static int set_unpublish(struct stage *stage, struct set *set, int result)
{
    for (unsigned i = 0; i < set->count && result == 0; i++) {
        struct sealbuf_target target = {.struct_size = sizeof(target), .name = set->name[i]};
        int r = sealbuf_remove(stage->client, &target);
        if (r < 0)
            result = complain_client("removing what was measured", stage->client, r);
    }
    set_free(set);
    return result;
}

int by_sealbuf_ping(struct stage *stage, struct samples *samples, unsigned count)
{
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++)
        r = TIMED(samples, sealbuf_ping(stage->client));
    return r < 0 ? complain_client("ping", stage->client, r) : 0;
}

int by_sealbuf_create(struct stage *stage, struct samples *samples, unsigned count)
{
    struct set set;
    int r = 0;

    set_init(&set, count);
    for (unsigned i = 0; i < count && r == 0; i++)
        r = TIMED(samples, sealbuf_create(stage->client, &set.buffer[i], &page));
    return set_drop(stage, &set, r < 0 ? complain_client("create", stage->client, r) : 0);
}

int by_sealbuf_seal(struct stage *stage, struct samples *samples, unsigned count)
{
    struct set set;
    int r = 0;

    if (set_create(stage, &set, count, &page) < 0)
        return -1;
    for (unsigned i = 0; i < count && r == 0; i++) {
        uint64_t id = sealbuf_buffer_id(set.buffer[i]);
        r = TIMED(samples, sealbuf_seal(stage->client, id, SEALBUF_SEAL_WRITE));
    }
    return set_drop(stage, &set, r < 0 ? complain_client("seal", stage->client, r) : 0);
}

int by_sealbuf_seal_local(struct stage *stage, struct samples *samples, unsigned count)
{
    struct set set;
    int r = 0;

    if (set_create(stage, &set, count, &page) < 0)
        return -1;
    for (unsigned i = 0; i < count && r == 0; i++)
        r = TIMED(samples, sealbuf_buffer_seal(set.buffer[i], SEALBUF_SEAL_WRITE));
    return set_drop(stage, &set, r < 0 ? complain_client("seal by the client", NULL, r) : 0);
}

int by_sealbuf_publish(struct stage *stage, struct samples *samples, unsigned count)
{
    const struct sealbuf_create_options immutable = {
        .struct_size = sizeof(immutable), .size = PAGE_BYTES, .seals = SEALBUF_SEALS_IMMUTABLE};
    struct set set;
    int r = 0;

    if (set_create(stage, &set, count, &immutable) < 0)
        return -1;
    for (unsigned i = 0; i < count && r == 0; i++) {
        const struct sealbuf_publish_options options = {
            .struct_size = sizeof(options), .name = set.name[i], .seals = SEALBUF_SEALS_IMMUTABLE};
        r = TIMED(samples, sealbuf_publish(stage->client, set.buffer[i], &options, NULL));
    }
    return set_unpublish(stage, &set, r < 0 ? complain_client("publish", stage->client, r) : 0);
}

/* One after the other; options[i].name says which. */
static int get_each(struct stage *stage, struct samples *samples, const struct sealbuf_get_options *options,
                    unsigned count)
{
    sealbuf_buffer *got[GREATEST_RUN] = {NULL};
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++)
        r = TIMED(samples, sealbuf_get(stage->client, &got[i], &options[i]));
    for (unsigned i = 0; i < count; i++)
        sealbuf_buffer_free(got[i]);
    return r < 0 ? complain_client("get", stage->client, r) : 0;
}

int by_sealbuf_get(struct stage *stage, struct samples *samples, unsigned count)
{
    struct sealbuf_get_options options[GREATEST_RUN];
    char names[GREATEST_RUN][NAME_SIZE];
    static uint32_t state;

    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], NAME_SIZE, LIVE_NAME, random_below(&state, stage->live));
        options[i] = (struct sealbuf_get_options){
            .struct_size = sizeof(options[i]), .name = names[i], .seals = SEALBUF_SEALS_IMMUTABLE};
    }
    return get_each(stage, samples, options, count);
}

/* The same one of the set each time. */
static int get_first(struct stage *stage, struct samples *samples, struct set *set, unsigned count, uint32_t seals,
                     uint32_t flags)
{
    struct sealbuf_get_options options[GREATEST_RUN];

    for (unsigned i = 0; i < count; i++)
        options[i] = (struct sealbuf_get_options){
            .struct_size = sizeof(options[i]), .name = set->name[0], .seals = seals, .flags = flags};
    return set_unpublish(stage, set, get_each(stage, samples, options, count));
}

int by_sealbuf_get_writable(struct stage *stage, struct samples *samples, unsigned count)
{
    const uint32_t seals = SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW;
    struct set set;

    if (set_offer(stage, &set, 1, PAGE_BYTES, seals) < 0)
        return -1;
    return get_first(stage, samples, &set, count, seals, SEALBUF_GET_WRITABLE);
}

int by_sealbuf_get_1gib(struct stage *stage, struct samples *samples, unsigned count)
{
    struct set set;

    if (set_offer(stage, &set, 1, GIB, SEALBUF_SEALS_IMMUTABLE) < 0)
        return -1;
    return get_first(stage, samples, &set, count, SEALBUF_SEALS_IMMUTABLE, 0);
}

int by_sealbuf_create_set(struct stage *stage, struct samples *samples, unsigned count)
{
    struct sealbuf_create_options options[SET_SIZE];
    struct set set;
    int r = 0;

    for (unsigned i = 0; i < SET_SIZE; i++)
        options[i] = page;
    for (unsigned i = 0; i < count && r == 0; i++) {
        set_init(&set, SET_SIZE);
        r = TIMED(samples, sealbuf_create_many(stage->client, set.buffer, NULL, options, SET_SIZE));
        r = set_drop(stage, &set, r < 0 ? complain_client("create of a set", stage->client, r) : 0);
    }
    return r;
}

int by_sealbuf_get_set(struct stage *stage, struct samples *samples, unsigned count)
{
    struct sealbuf_get_options options[SET_SIZE];
    struct set set;
    int r = 0;

    if (set_offer(stage, &set, SET_SIZE, PAGE_BYTES, SEALBUF_SEALS_IMMUTABLE) < 0)
        return -1;
    for (unsigned i = 0; i < SET_SIZE; i++)
        options[i] = (struct sealbuf_get_options){
            .struct_size = sizeof(options[i]), .name = set.name[i], .seals = SEALBUF_SEALS_IMMUTABLE};
    for (unsigned i = 0; i < count && r == 0; i++) {
        r = TIMED(samples, sealbuf_get_many(stage->client, set.buffer, NULL, options, SET_SIZE));
        set_free(&set);
    }
    return set_unpublish(stage, &set, r < 0 ? complain_client("get of a set", stage->client, r) : 0);
}
