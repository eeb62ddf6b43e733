/* SPDX-License-Identifier: MIT */
#include "atomic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "evict.h"
#include "serve.h"
#include "target.h"
#include "text.h"

#define LET_GO_AT_MOST 1024u

#define PAUSED 1

struct atomic {
    unsigned count, next;
    struct {
        struct buffer *buffer; /* pinned */
        bool writable;
    } records[];
};

/* A name as the request has it, to find those that it has twice. */
struct mention {
    uid_t owner;
    unsigned index;
    struct span text;
    uint64_t generation; /* that it was at when it was judged; 0: it was not bound */
};

bool atomic_is_asked(const struct operation *operation, const union request_record *record)
{
    switch (operation->opcode) {
    case SEALBUF_OP_PUBLISH:
        return record->publish.flags & SEALBUF_PUBLISH_ATOMIC;
    case SEALBUF_OP_GET:
        return record->get.flags & SEALBUF_GET_ATOMIC;
    case SEALBUF_OP_REMOVE:
        return record->target.flags & SEALBUF_REMOVE_ATOMIC;
    }
    return false;
}

/* The sentence tells which record it is that keeps all of them from being served. */
static int refuse_record(struct request *request, unsigned index, int error)
{
    char prefix[32];
    size_t length = (size_t)snprintf(prefix, sizeof(prefix), "record %u: ", index);
    size_t kept = text_cut(request->sentence, strlen(request->sentence), sizeof(request->sentence) - length - 1);

    memmove(request->sentence + length, request->sentence, kept);
    request->sentence[length + kept] = '\0';
    memcpy(request->sentence, prefix, length);
    return error;
}

static void rewind_records(struct request *request)
{
    request->index = 0;
    request->records = (struct reader){request->message + HEADER_SIZE, request->length - HEADER_SIZE};
}

static int check_one(struct request *request, const union request_record *in)
{
    struct buffer *buffer;
    int r = check_publish(request, &in->publish, &buffer);

    return r ? -refuse_record(request, request->index, r) : 0;
}

int atomic_check(struct request *request)
{
    if (request->operation->opcode != SEALBUF_OP_PUBLISH || request->is_checked)
        return 0;
    int r = request_look_through(request, check_one);
    request->is_checked = r == 0;
    return r < 0 ? -r : r;
}

static int compare_mentions(const void *a, const void *b)
{
    const struct mention *one = a, *other = b;

    if (one->owner != other->owner)
        return one->owner < other->owner ? -1 : 1;
    if (one->text.length != other->text.length)
        return one->text.length < other->text.length ? -1 : 1;
    return one->text.length ? memcmp(one->text.data, other->text.data, one->text.length) : 0;
}

/* In no order that would make sense can a name be bound, or removed, twice at once. */
static int refuse_twice(struct request *request, struct mention *mentions)
{
    const unsigned count = request->header.count;

    qsort(mentions, count, sizeof(*mentions), compare_mentions);
    for (unsigned i = 1; i < count; i++) {
        const struct mention *one = &mentions[i - 1], *other = &mentions[i];
        if (compare_mentions(one, other) != 0)
            continue;
        refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                           "'%.*s' is the name of two records of this atomic request; name each one once",
                           SPAN_ARGS(one->text));
        return refuse_record(request, one->index > other->index ? one->index : other->index, SEALBUF_ERR_FLAGS);
    }
    return 0;
}

static int write_reply(struct request *request, const union reply_record *out)
{
    if (record_encode(request->operation->reply, &request->reply, out))
        return refuse(request, SEALBUF_ERR_TOO_BIG, "%s", "");
    request->replies++;
    return 0;
}

/* While records were judged, leases and claims may have ended. */
static int still_at(struct request *request, const struct mention *mention, struct name **name)
{
    *name = registry_find(&request->broker->registry, mention->owner, mention->text);
    if ((*name ? (*name)->generation : 0) == mention->generation)
        return 0;
    return refuse_with_remedy(request, SEALBUF_ERR_BUSY,
                              "the name has changed while the broker served this request; try again");
}

/* ---- GET --------------------------------------------------------------------------------------------------------- */

static int resolve(struct request *request, const struct get_request *in, union reply_record *out)
{
    struct atomic *atomic = request->atomic;
    struct target target = {0};

    if (in->token.length || in->flags & (SEALBUF_GET_WAIT | SEALBUF_GET_FIRST))
        return refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                                  "an atomic GET is of names and ids that are there, without a token, WAIT or FIRST; "
                                  "get these in requests of their own");
    int r = get_judge(request, in, &target, &out->buffer);
    if (r)
        return r;
    if (target.name && target.name->take)
        return refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                                  "the buffer would be handed over, which an atomic GET does not do; get it in a "
                                  "request of its own");
    out->buffer.descriptors = 1;
    r = write_reply(request, out);
    if (r)
        return r;
    buffer_pin(target.buffer);
    atomic->records[atomic->count].buffer = target.buffer;
    atomic->records[atomic->count++].writable = in->flags & SEALBUF_GET_WRITABLE;
    return 0;
}

/* All that the reply tells, at one moment: without a pause. */
static int resolve_all(struct request *request)
{
    const unsigned count = request->header.count;
    union request_record room;
    int r = 0;

    request->atomic = malloc(sizeof(*request->atomic) + count * sizeof(request->atomic->records[0]));
    if (!request->atomic)
        return refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    request->atomic->count = request->atomic->next = 0;
    for (request->index = 0; request->index < count && r == 0; request->index++) {
        union reply_record out;
        memset(&out, 0, sizeof(out));
        r = resolve(request, &next_record(request, &room)->get, &out);
    }
    return r ? refuse_record(request, request->index - 1, r) : 0;
}

static int get(struct request *request)
{
    int r = request->atomic ? 0 : resolve_all(request);

    if (r)
        return r;
    struct atomic *atomic = request->atomic;
    while (atomic->next < atomic->count) {
        const unsigned i = atomic->next;
        if (atomic->records[i].writable)
            request_ship(request, atomic->records[i].buffer);
        else
            r = get_ship_reader(request, atomic->records[i].buffer);
        if (r)
            return refuse_record(request, i, r);
        atomic->next++;
        if (atomic->next < atomic->count && turn_is_over(request->broker))
            return PAUSED;
    }
    return 0;
}

void atomic_free(struct request *request)
{
    struct atomic *atomic = take_pointer(request->atomic);

    if (!atomic)
        return;
    for (unsigned i = 0; i < atomic->count; i++)
        buffer_unpin(&request->broker->buffers, atomic->records[i].buffer);
    free(atomic);
}

/* ---- REMOVE ------------------------------------------------------------------------------------------------------ */

struct removal {
    struct name *name;
    uint32_t slot; /* of the record that tells that the name is removed */
};

static int judge_removal(struct request *request, const struct target_request *in, struct mention *mention)
{
    struct target target;
    struct outcome out;

    if (in->id)
        return refuse_with_remedy(request, SEALBUF_ERR_TARGET,
                                  "an atomic REMOVE is of names; remove by id in a request of its own");
    int r = remove_judge(request, in, &target, &out);
    if (r == 0)
        *mention = (struct mention){.owner = target.name->owner,
                                    .index = request->index,
                                    .text = in->name,
                                    .generation = target.name->generation};
    return r;
}

/* What is done in one step holds up everybody: so many generations go in it at most, former ones too. */
static int let_go_of(struct request *request, unsigned *let_go, unsigned more)
{
    *let_go += more;
    if (*let_go <= LET_GO_AT_MOST)
        return 0;
    return refuse_with_remedy(
        request, SEALBUF_ERR_LIMIT,
        "in one step more than 1024 generations, former ones included, would go; take fewer names "
        "at once, or have fewer generations kept");
}

/* Once it is committed, nothing of the name is found any more that was recorded before. */
static int prepare_removal(struct request *request, const struct mention *mention, struct removal *removal,
                           uint64_t batch, unsigned *let_go)
{
    const struct ledger_name record = {.owner = mention->owner, .text = mention->text, .batch = batch, .removed = 1};
    union reply_record out;
    int r = still_at(request, mention, &removal->name);

    if (r == 0)
        r = let_go_of(request, let_go, removal->name->past_count + 1u);
    if (r)
        return r;
    memset(&out, 0, sizeof(out));
    out.outcome.id = removal->name->buffer->id;
    out.outcome.generation = removal->name->generation;
    r = write_reply(request, &out);
    if (r == 0 && ledger_put(request->broker->ledger, LEDGER_NAME_RECORD, &record, &removal->slot))
        r = refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    return r;
}

static int judge_removals(struct request *request, struct mention *mentions)
{
    union request_record room;
    int r = 0;

    for (rewind_records(request); request->index < request->header.count; request->index++) {
        r = judge_removal(request, &next_record(request, &room)->target, &mentions[request->index]);
        if (r)
            return refuse_record(request, request->index, r);
    }
    return refuse_twice(request, mentions);
}

/* In one step, as nobody else may see a half of it. */
static int remove_all(struct request *request)
{
    struct broker *broker = request->broker;
    const unsigned count = request->header.count;
    const uint64_t batch = ledger_next_batch(broker->ledger);
    CLEANUP(cleanup_free)
    struct removal *removals = calloc(count, sizeof(*removals));
    CLEANUP(cleanup_free)
    struct mention *mentions = calloc(count, sizeof(*mentions));

    if (!removals || !mentions)
        return refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    unsigned let_go = 0;
    int r = judge_removals(request, mentions);
    for (unsigned i = 0; i < count && r == 0; i++) {
        r = prepare_removal(request, &mentions[i], &removals[i], batch, &let_go);
        if (r)
            refuse_record(request, i, r);
    }
    if (r == 0) {
        ledger_commit(broker->ledger, batch);
        reaper_begin_batch(&broker->reaper);
        for (unsigned i = 0; i < count; i++) {
            remove_log(request, removals[i].name);
            registry_unbind(&broker->registry, removals[i].name, SEALBUF_CHANGE_REMOVED);
        }
        reaper_end_batch(&broker->reaper);
    }
    for (unsigned i = 0; i < count; i++)
        ledger_clear(broker->ledger, &removals[i].slot);
    return r;
}

/* ---- PUBLISH ----------------------------------------------------------------------------------------------------- */

/* What is to be bound, in the order of the records. */
struct bindings {
    unsigned judged, prepared; /* so many are */
    unsigned let_go;           /* generations that names lose by it */
    struct mention mentions[SEALBUF_MAX_RECORDS];
    struct mention sorted[SEALBUF_MAX_RECORDS];
    uint64_t ids[SEALBUF_MAX_RECORDS];            /* of the buffers */
    uid_t owners[SEALBUF_MAX_RECORDS];            /* of these */
    struct binding bindings[SEALBUF_MAX_RECORDS]; /* without the buffer until it is prepared: see judge_publish */
    bool adds[SEALBUF_MAX_RECORDS];               /* the buffer has one name more then */
    uint32_t seals[SEALBUF_MAX_RECORDS];
    struct prepared_binding plans[SEALBUF_MAX_RECORDS];
};

/* Beside those that come in the same request. */
static int check_buffer(struct request *request, const struct bindings *all, const struct binding *binding)
{
    unsigned more = 0;
    bool is_again = false;

    for (unsigned i = 0; i < all->judged; i++) {
        if (all->ids[i] != binding->buffer->id)
            continue;
        is_again = true;
        more += all->adds[i];
    }
    if (is_again && binding->metadata.length)
        return refuse_with_remedy(request, SEALBUF_ERR_METADATA,
                                  "another record before has the same buffer; give its metadata in the first one");
    if (is_again && all->adds[all->judged] && more + binding->buffer->name_count >= NAMES_OF_BUFFER)
        return refuse_with_remedy(
            request, SEALBUF_ERR_LIMIT,
            "a buffer has 256 names at most, former generations included; remove some, or publish another buffer");
    return 0;
}

static int judge_publish(struct request *request, const struct publish_request *in, struct bindings *all)
{
    const unsigned i = all->judged;
    struct outcome out = {0};
    int r = publish_judge(request, in, &all->bindings[i], &out);

    if (r)
        return r;
    const struct binding *binding = &all->bindings[i];
    const struct name *name = registry_find(&request->broker->registry, binding->owner, in->name);
    all->adds[i] = !name || name->buffer != binding->buffer || binding->keep;
    r = check_buffer(request, all, binding);
    if (r == 0 && name && name->past_count >= binding->keep)
        r = let_go_of(request, &all->let_go, name->past_count + 1u - binding->keep);
    if (r)
        return r;
    all->mentions[i] = (struct mention){
        .owner = all->bindings[i].owner, .index = i, .text = in->name, .generation = name ? name->generation : 0};
    all->ids[i] = binding->buffer->id;
    all->owners[i] = binding->buffer->owner;
    all->bindings[i].buffer = NULL; /* when others are judged, leases and claims may end, and it may go */
    all->seals[i] = out.seals;
    all->judged++;
    return 0;
}

/* All of them, before anything is done for the first one. */
static int judge_all(struct request *request, struct bindings *all)
{
    union request_record room;
    int r = 0;

    for (rewind_records(request); request->index < request->header.count; request->index++) {
        r = judge_publish(request, &next_record(request, &room)->publish, all);
        if (r)
            return refuse_record(request, request->index, r);
    }
    memcpy(all->sorted, all->mentions, all->judged * sizeof(all->sorted[0]));
    return refuse_twice(request, all->sorted);
}

/* It may have grown since it was charged. */
static int measure(struct broker *broker, struct buffer *buffer, struct limit_met *met)
{
    uint64_t size, allocated;

    return buffer->is_final ? 0 : buffer_measure(&broker->buffers, buffer, &size, &allocated, met);
}

static int prepare_one(struct request *request, struct bindings *all, uint64_t batch, struct limit_met *met)
{
    struct broker *broker = request->broker;
    struct binding *binding = &all->bindings[all->prepared];
    struct name *name;
    int r = still_at(request, &all->mentions[all->prepared], &name);

    if (r)
        return r;
    binding->buffer = buffer_find(&broker->buffers, all->ids[all->prepared]);
    if (!binding->buffer)
        return refuse(request, SEALBUF_ERR_NOT_FOUND, "there is no buffer with id %llu any more",
                      (unsigned long long)all->ids[all->prepared]);
    binding->batch = batch;
    r = measure(broker, binding->buffer, met);
    if (r == 0)
        r = registry_prepare(&broker->registry, binding, &all->plans[all->prepared], met);
    if (r)
        return refuse_limit(request, r, met);
    all->prepared++;
    return 0;
}

static void abandon_all(struct request *request, struct bindings *all)
{
    while (all->prepared > 0)
        registry_abandon(&request->broker->registry, &all->plans[--all->prepared]);
}

static int prepare_all(struct request *request, struct bindings *all, uint64_t batch, struct limit_met *met)
{
    int r = 0;

    while (all->prepared < all->judged && r == 0)
        r = prepare_one(request, all, batch, met);
    if (r) {
        refuse_record(request, all->prepared, r);
        abandon_all(request, all);
    }
    return r;
}

/* A buffer that one name loses, another one may get. */
static void hold_all(struct request *request, struct bindings *all)
{
    for (unsigned i = 0; i < all->judged; i++)
        buffer_hold(&request->broker->buffers, all->bindings[i].buffer, &request->peer->held);
}

static void commit_all(struct request *request, struct bindings *all, uint64_t batch)
{
    struct broker *broker = request->broker;

    hold_all(request, all);
    ledger_commit(broker->ledger, batch);
    reaper_begin_batch(&broker->reaper);
    for (unsigned i = 0; i < all->judged; i++)
        registry_commit(&broker->registry, &all->plans[i]);
    reaper_end_batch(&broker->reaper);
}

static int reply_to_all(struct request *request, const struct bindings *all)
{
    int r = 0;

    for (unsigned i = 0; i < all->judged && r == 0; i++) {
        union reply_record out;
        memset(&out, 0, sizeof(out));
        out.outcome.id = all->ids[i];
        out.outcome.seals = all->seals[i];
        out.outcome.generation = all->plans[i].generation;
        r = write_reply(request, &out);
    }
    return r;
}

static bool is_first_of_id(const struct bindings *all, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (all->ids[i] == all->ids[index])
            return false;
    return true;
}

static bool is_first_of_owner(const struct bindings *all, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (all->owners[i] == all->owners[index])
            return false;
    return true;
}

/* What all of them need together of what is that uid's. */
static int make_room_of(struct request *request, const struct bindings *all, uid_t uid)
{
    struct need needs[] = {{RESOURCE_NAMES, 0}, {RESOURCE_METADATA, 0}, {RESOURCE_BYTES, 0}};
    struct broker *broker = request->broker;

    for (unsigned i = 0; i < all->judged; i++) {
        const struct binding *binding = &all->bindings[i];
        const struct buffer *buffer = all->owners[i] == uid ? buffer_find(&broker->buffers, all->ids[i]) : NULL;
        if (buffer)
            needs[1].amount += binding->metadata.length;
        if (buffer && is_first_of_id(all, i))
            needs[2].amount += buffer_growth(buffer);
        const struct name *name = registry_find(&broker->registry, binding->owner, binding->name);
        if (binding->owner != uid || (name && name->past_count >= binding->keep))
            continue;
        needs[0].amount++;
        needs[1].amount += binding->name.length;
    }
    return evict_for_publish(request, NULL, uid, needs, sizeof(needs) / sizeof(needs[0]));
}

/* Root publishes buffers of others, too. Whether it was of use, the next try will tell. */
static int make_room(struct request *request, const struct bindings *all)
{
    const uid_t uid = request->peer->who.uid;
    int r = make_room_of(request, all, uid);

    for (unsigned i = 0; i < all->judged && r == 0; i++)
        if (all->owners[i] != uid && is_first_of_owner(all, i))
            r = make_room_of(request, all, all->owners[i]);
    return r;
}

static int try_to_publish(struct request *request, struct bindings *all, struct limit_met *met)
{
    const uint64_t batch = ledger_next_batch(request->broker->ledger);

    all->judged = all->prepared = all->let_go = 0;
    int r = judge_all(request, all);
    if (r == 0)
        r = prepare_all(request, all, batch, met);
    if (r)
        return r;
    r = reply_to_all(request, all);
    if (r)
        abandon_all(request, all);
    else
        commit_all(request, all, batch);
    return r;
}

static int publish_all(struct request *request)
{
    CLEANUP(cleanup_free)
    struct bindings *all = malloc(sizeof(*all));
    struct limit_met met = {0};

    if (!all)
        return refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    int r = try_to_publish(request, all, &met);
    if (r == SEALBUF_ERR_LIMIT && all->judged == request->header.count && make_room(request, all) == REQUEST_AGAIN)
        r = REQUEST_AGAIN;
    else if (r == SEALBUF_ERR_LIMIT && all->judged == request->header.count)
        r = try_to_publish(request, all, &met);
    return r == REQUEST_AGAIN ? PAUSED : r;
}

/* ------------------------------------------------------------------------------------------------------------------ */

int atomic_serve(struct request *request)
{
    switch (request->operation->opcode) {
    case SEALBUF_OP_GET:
        return get(request);
    case SEALBUF_OP_REMOVE:
        return remove_all(request);
    case SEALBUF_OP_PUBLISH:
        return publish_all(request);
    }
    return refuse(request, SEALBUF_ERR_UNSUPPORTED, "%s", "");
}
