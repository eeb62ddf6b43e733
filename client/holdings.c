/* SPDX-License-Identifier: MIT */
#include "holdings.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "memfd.h"

#define FEWEST_BUCKETS 16u

LIST_HEAD(bucket, holding);
TAILQ_HEAD(list, holding);

struct holdings {
    pthread_mutex_t lock;
    unsigned references;
    unsigned round;
    bool ended;
    uint64_t instance;
    struct list list;
    size_t count, bucket_count; /* a power of two */
    struct bucket *buckets;
};

struct holdings *holdings_new(void)
{
    struct holdings *holdings = calloc(1, sizeof(*holdings));
    struct bucket *buckets = calloc(FEWEST_BUCKETS, sizeof(*buckets));

    if (!holdings || !buckets) {
        free(holdings);
        free(buckets);
        return NULL;
    }
    pthread_mutex_init(&holdings->lock, NULL);
    TAILQ_INIT(&holdings->list);
    holdings->references = 1;
    holdings->buckets = buckets;
    holdings->bucket_count = FEWEST_BUCKETS;
    return holdings;
}

void holdings_lock(struct holdings *holdings)
{
    pthread_mutex_lock(&holdings->lock);
}

void holdings_unlock(struct holdings *holdings)
{
    pthread_mutex_unlock(&holdings->lock);
}

/* With the lock, which is released. */
static void release(struct holdings *holdings)
{
    bool last = --holdings->references == 0;

    holdings_unlock(holdings);
    if (!last)
        return;
    pthread_mutex_destroy(&holdings->lock);
    free(holdings->buckets);
    free(holdings);
}

/* ---- The table, with the lock ------------------------------------------------------------------------------------ */

/* The broker counts its ids up. */
static struct bucket *bucket_of(const struct holdings *holdings, uint64_t id)
{
    return &holdings->buckets[id & (holdings->bucket_count - 1)];
}

/* All of an id: the n-th object of a buffer, for there may be clones. */
static struct holding *first_of(const struct holdings *holdings, uint64_t id)
{
    struct holding *holding = LIST_FIRST(bucket_of(holdings, id));

    while (holding && holding->id != id)
        holding = LIST_NEXT(holding, bucket);
    return holding;
}

static struct holding *next_of(const struct holding *before)
{
    struct holding *holding = LIST_NEXT(before, bucket);

    while (holding && holding->id != before->id)
        holding = LIST_NEXT(holding, bucket);
    return holding;
}

/* Sorts all in anew, by the ids that they have now. */
static void fill_buckets(struct holdings *holdings)
{
    for (size_t i = 0; i < holdings->bucket_count; i++)
        LIST_INIT(&holdings->buckets[i]);
    for (struct holding *holding = TAILQ_FIRST(&holdings->list); holding; holding = TAILQ_NEXT(holding, link))
        LIST_INSERT_HEAD(bucket_of(holdings, holding->id), holding, bucket);
}

/* Without memory the buckets get long, and that is all. */
static void make_room(struct holdings *holdings)
{
    if (holdings->count < holdings->bucket_count)
        return;
    struct bucket *buckets = calloc(holdings->bucket_count * 2, sizeof(*buckets));
    if (!buckets)
        return;
    free(holdings->buckets);
    holdings->buckets = buckets;
    holdings->bucket_count *= 2;
    fill_buckets(holdings);
}

static void enter(struct holdings *holdings, sealbuf_buffer *buffer, uint64_t id)
{
    struct holding *holding = &buffer->holding;

    holding->buffer = buffer;
    holding->held = true;
    holding->id = id;
    TAILQ_INSERT_TAIL(&holdings->list, holding, link);
    LIST_INSERT_HEAD(bucket_of(holdings, id), holding, bucket);
    holdings->count++;
    make_room(holdings);
}

static void take_out(struct holdings *holdings, struct holding *holding)
{
    TAILQ_REMOVE(&holdings->list, holding, link);
    LIST_REMOVE(holding, bucket);
    holdings->count--;
    holding->held = false;
    free(holding->description);
    holding->description = NULL;
    holding->former = 0;
}

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

/* Makes the object one of this connection's, with the lock of `holdings`. */
static void attach(struct holdings *holdings, struct holding *holding)
{
    holding->instance = holdings->instance;
    holding->lost = 0;
    if (holding->of == holdings)
        return;
    holding->of = holdings;
    holdings->references++;
}

static void leave_another(struct holdings *holdings, sealbuf_buffer *buffer)
{
    if (buffer->holding.of && buffer->holding.of != holdings)
        holding_end(buffer);
}

void holdings_join(struct holdings *holdings, sealbuf_buffer *buffer)
{
    leave_another(holdings, buffer);
    holdings_lock(holdings);
    attach(holdings, &buffer->holding);
    holdings_unlock(holdings);
}

static char *join_spans(struct span label, struct span metadata)
{
    size_t size = (size_t)label.length + metadata.length;
    char *joined = size ? malloc(size) : NULL;

    if (joined && label.data)
        memcpy(joined, label.data, label.length);
    if (joined && metadata.data)
        memcpy(joined + label.length, metadata.data, metadata.length);
    return joined;
}

void holdings_add(struct holdings *holdings, sealbuf_buffer *buffer, struct span label, struct span metadata)
{
    struct holding *holding = &buffer->holding;
    char *description = join_spans(label, metadata);

    leave_another(holdings, buffer);
    holdings_lock(holdings);
    if (holding->held)
        take_out(holdings, holding);
    attach(holdings, holding);
    holding->description = description;
    holding->label_size = description ? label.length : 0;
    holding->metadata_size = description ? metadata.length : 0;
    holding->round = holdings->round;
    enter(holdings, buffer, buffer->id);
    holdings_unlock(holdings);
}

void holdings_forget(struct holdings *holdings, uint64_t id)
{
    struct holding *holding;

    holdings_lock(holdings);
    while ((holding = first_of(holdings, id)))
        take_out(holdings, holding);
    holdings_unlock(holdings);
}

void holding_copy(const sealbuf_buffer *from, sealbuf_buffer *to)
{
    const struct holding *like = &from->holding;
    struct holdings *holdings = like->of;
    struct span label, metadata;

    to->id = from->id;
    if (!holdings)
        return;
    holdings_lock(holdings);
    to->id = from->id;
    attach(holdings, &to->holding);
    to->holding.instance = like->instance;
    to->holding.lost = like->lost;
    if (like->held) {
        label = (struct span){like->description, like->label_size};
        metadata = (struct span){like->description ? like->description + label.length : NULL, like->metadata_size};
        to->holding.description = join_spans(label, metadata);
        to->holding.label_size = to->holding.description ? label.length : 0;
        to->holding.metadata_size = to->holding.description ? metadata.length : 0;
        to->holding.round = like->round;
        to->holding.renewed = like->renewed;
        enter(holdings, to, like->id);
    }
    holdings_unlock(holdings);
}

void holding_end(sealbuf_buffer *buffer)
{
    struct holdings *holdings = buffer->holding.of;

    if (!holdings)
        return;
    holdings_lock(holdings);
    if (buffer->holding.held)
        take_out(holdings, &buffer->holding);
    buffer->holding.of = NULL;
    release(holdings);
}

void holdings_end(struct holdings *holdings)
{
    struct holding *holding;

    if (!holdings)
        return;
    holdings_lock(holdings);
    while ((holding = TAILQ_FIRST(&holdings->list)))
        take_out(holdings, holding);
    holdings->ended = true;
    release(holdings);
}

uint64_t holding_id(const sealbuf_buffer *buffer)
{
    const struct holding *holding = &buffer->holding;
    struct holdings *holdings = holding->of;

    if (!holdings)
        return buffer->id;
    holdings_lock(holdings);
    bool known = holding->held || holdings->ended || holding->instance == holdings->instance;
    uint64_t id = known && !holding->lost ? buffer->id : 0;
    holdings_unlock(holdings);
    return id;
}

int holding_lost(const sealbuf_buffer *buffer)
{
    struct holdings *holdings = buffer->holding.of;

    if (!holdings)
        return 0;
    holdings_lock(holdings);
    int lost = buffer->holding.lost;
    holdings_unlock(holdings);
    return lost;
}

/* ---- Restoring --------------------------------------------------------------------------------------------------- */

void holdings_begin_round(struct holdings *holdings, uint64_t instance)
{
    holdings_lock(holdings);
    holdings->round++;
    holdings->instance = instance;
    holdings_unlock(holdings);
}

/* The object with the right to write; clones and readers of the same buffer get the same id. */
static struct adoptee describe(const struct holdings *holdings, const struct holding *holding)
{
    const struct holding *writer = first_of(holdings, holding->id);

    while (writer && !writer->buffer->writable)
        writer = next_of(writer);
    return (struct adoptee){
        .id = holding->id,
        .fd = (writer ? writer : holding)->buffer->fd,
        .label = {holding->description, holding->label_size},
        .metadata = {holding->description ? holding->description + holding->label_size : NULL, holding->metadata_size},
    };
}

/* Those that were looked at are at the end of the list. A buffer's objects need not be next to each other: the marks of
   this batch are taken back afterwards. */
unsigned holdings_next(struct holdings *holdings, struct adoptee *adoptees, unsigned most)
{
    struct holding *holding, *other;
    unsigned count = 0;

    for (holding = TAILQ_FIRST(&holdings->list); holding && count < most; holding = TAILQ_NEXT(holding, link)) {
        if (holding->round == holdings->round)
            continue;
        if (!holding->lost)
            adoptees[count++] = describe(holdings, holding);
        for (other = first_of(holdings, holding->id); other; other = next_of(other))
            other->round = holdings->round;
    }
    for (unsigned i = 0; i < count; i++)
        for (other = first_of(holdings, adoptees[i].id); other; other = next_of(other))
            other->round = holdings->round - 1;
    return count;
}

void holdings_taken(struct holdings *holdings, const struct adoptee *adoptees, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (struct holding *each = first_of(holdings, adoptees[i].id); each; each = next_of(each)) {
            each->round = holdings->round;
            TAILQ_REMOVE(&holdings->list, each, link);
            TAILQ_INSERT_TAIL(&holdings->list, each, link);
        }
}

bool holdings_settle(struct holdings *holdings, uint64_t id, uint64_t renewed, int lost)
{
    holdings_lock(holdings);
    struct holding *each = first_of(holdings, id);
    bool there = each;

    for (; each; each = next_of(each)) {
        each->renewed = renewed;
        each->lost = lost;
    }
    holdings_unlock(holdings);
    return there;
}

int holdings_translate(struct holdings *holdings, uint64_t id, uint64_t *renewed)
{
    int r = -ENOENT;

    holdings_lock(holdings);
    const struct holding *holding = first_of(holdings, id);
    if (holding) {
        r = holding->lost;
        *renewed = holding->renewed;
    }
    holdings_unlock(holdings);
    return r;
}

void holdings_commit(struct holdings *holdings)
{
    struct holding *holding, *next;

    holdings_lock(holdings);
    for (holding = TAILQ_FIRST(&holdings->list); holding; holding = next) {
        next = TAILQ_NEXT(holding, link);
        if (holding->lost) {
            take_out(holdings, holding);
            continue;
        }
        holding->former = holding->id;
        holding->id = holding->renewed;
        holding->instance = holdings->instance;
        holding->buffer->id = holding->renewed;
    }
    fill_buckets(holdings);
    holdings_unlock(holdings);
}

/* Those that were told go to the end of the list. */
bool holdings_untold(struct holdings *holdings, uint64_t *former, uint64_t *id)
{
    holdings_lock(holdings);
    struct holding *holding = TAILQ_FIRST(&holdings->list);
    bool untold = holding && holding->former;

    if (untold) {
        *former = holding->former;
        *id = holding->id;
        for (struct holding *each = first_of(holdings, *id); each; each = next_of(each)) {
            each->former = 0;
            TAILQ_REMOVE(&holdings->list, each, link);
            TAILQ_INSERT_TAIL(&holdings->list, each, link);
        }
    }
    holdings_unlock(holdings);
    return untold;
}
