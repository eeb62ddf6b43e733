/* SPDX-License-Identifier: MIT */
#include "atomic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "serve.h"
#include "target.h"

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
    char sentence[sizeof(request->sentence)];

    snprintf(sentence, sizeof(sentence), "record %u: %s", index, request->sentence);
    memcpy(request->sentence, sentence, sizeof(sentence));
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
                           "another record of this atomic request has the same name; name each one once");
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

/* ---- GET --------------------------------------------------------------------------------------------------------- */

static int resolve(struct request *request, const struct get_request *in, union reply_record *out)
{
    struct atomic *atomic = request->atomic;
    struct target target = {0};

    if (in->token.length || in->flags & (SEALBUF_GET_WAIT | SEALBUF_GET_FIRST))
        return refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                                  "an atomic GET is of names and ids that are there, without a token, WAIT or FIRST; "
                                  "get these in requests of their own");
    int r = serve_find(request, in, &target, &out->buffer);
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
            r = serve_ship_reader(request, atomic->records[i].buffer);
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

static int judge_removal(struct request *request, const struct target_request *in, struct removal *removal,
                         struct mention *mention)
{
    struct target target;

    if (in->id)
        return refuse_with_remedy(request, SEALBUF_ERR_TARGET,
                                  "an atomic REMOVE is of names; remove by id in a request of its own");
    int r = check_remove(request, in, &target);
    if (r)
        return r;
    removal->name = target.name;
    *mention = (struct mention){.owner = target.name->owner, .index = request->index, .text = name_text(target.name)};
    return 0;
}

/* What does not survive the broker anyway needs no record. */
static int record_removal(struct request *request, struct removal *removal, uint64_t batch)
{
    const struct ledger_name record = {
        .owner = removal->name->owner, .text = name_text(removal->name), .batch = batch, .removed = 1};

    if (ledger_put(request->broker->ledger, LEDGER_NAME_RECORD, &record, &removal->slot))
        return refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    return 0;
}

static void forget_records(struct request *request, struct removal *removals)
{
    for (unsigned i = 0; i < request->header.count; i++)
        ledger_clear(request->broker->ledger, &removals[i].slot);
}

static int reply_to_removal(struct request *request, const struct name *name)
{
    union reply_record out;

    memset(&out, 0, sizeof(out));
    out.outcome.id = name->buffer->id;
    out.outcome.generation = name->generation;
    return write_reply(request, &out);
}

static int prepare_removals(struct request *request, struct removal *removals, struct mention *mentions, uint64_t batch)
{
    union request_record room;
    int r = 0;

    for (; request->index < request->header.count && r == 0; request->index++) {
        unsigned i = request->index;
        r = judge_removal(request, &next_record(request, &room)->target, &removals[i], &mentions[i]);
        if (r == 0)
            r = reply_to_removal(request, removals[i].name);
        if (r == 0)
            r = record_removal(request, &removals[i], batch);
    }
    return r ? refuse_record(request, request->index - 1, r) : refuse_twice(request, mentions);
}

static int remove_all(struct request *request)
{
    struct ledger *ledger = request->broker->ledger;
    const unsigned count = request->header.count;
    const uint64_t batch = ledger_next_batch(ledger);
    CLEANUP(cleanup_free)
    struct removal *removals = calloc(count, sizeof(*removals));
    CLEANUP(cleanup_free)
    struct mention *mentions = calloc(count, sizeof(*mentions));

    if (!removals || !mentions)
        return refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    int r = prepare_removals(request, removals, mentions, batch);
    if (r == 0) {
        ledger_commit(ledger, batch);
        for (unsigned i = 0; i < count; i++)
            remove_name(request, removals[i].name);
    }
    forget_records(request, removals);
    return r;
}

/* ------------------------------------------------------------------------------------------------------------------ */

int atomic_serve(struct request *request)
{
    switch (request->operation->opcode) {
    case SEALBUF_OP_GET:
        return get(request);
    case SEALBUF_OP_REMOVE:
        return remove_all(request);
    }
    return refuse(request, SEALBUF_ERR_UNSUPPORTED, "%s", "");
}
