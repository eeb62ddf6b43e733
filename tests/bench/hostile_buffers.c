/* SPDX-License-Identifier: MIT */
#include "hostile_buffers.h"

#include <stdio.h>
#include <string.h>

#include "complain.h"

#define NAME_ROOM 64

static struct message request;
static struct answer answer;

int batch_of_creates(struct message *message, unsigned count, uint64_t size, uint32_t seals)
{
    const struct create_request create = {.size = size, .seals = seals};

    message_begin(message, SEALBUF_OP_CREATE);
    for (unsigned i = 0; i < count; i++)
        if (message_add(message, &create_request_schema, &create) < 0)
            return -1;
    message_end(message, 0);
    return 0;
}

int batch_of_removes(struct message *message, const uint64_t *ids, unsigned count)
{
    message_begin(message, SEALBUF_OP_REMOVE);
    for (unsigned i = 0; i < count; i++) {
        const struct target_request target = {.id = ids[i], .owner = SEALBUF_OWNER_SELF};
        if (message_add(message, &target_request_schema, &target) < 0)
            return -1;
    }
    message_end(message, 0);
    return 0;
}

int batch_ids(struct answer *reply, uint64_t *ids)
{
    struct buffer_record record;
    int made = 0;

    for (unsigned i = 0; i < reply->header.count; i++) {
        if (answer_next(reply, &buffer_record_schema, &record) < 0)
            return -1;
        if (record.status && record.status != SEALBUF_ERR_LIMIT)
            return complain("a hostile client's buffer: %s", sealbuf_strerror((int)record.status));
        if (!record.status)
            ids[made++] = record.id;
    }
    return made;
}

int hostile_buffers_create(int socket, struct hostile_buffer *buffers, unsigned count, uint64_t size, uint32_t seals)
{
    uint64_t ids[SEALBUF_MAX_RECORDS];

    if (batch_of_creates(&request, count, size, seals) < 0 ||
        wire_call(socket, &request, &answer, "creating buffers for a hostile client") < 0)
        return -1;
    int made = batch_ids(&answer, ids);
    for (int i = 0; i < made; i++)
        buffers[i] = (struct hostile_buffer){.id = ids[i], .fd = descriptors_take(&answer.descriptors, (unsigned)i)};
    answer_release(&answer);
    return made;
}

int hostile_buffers_create_all(int socket, struct hostile_buffer *buffers, unsigned count, uint64_t size,
                               uint32_t seals)
{
    for (unsigned done = 0; done < count;) {
        unsigned batch = count - done < SEALBUF_MAX_RECORDS ? count - done : SEALBUF_MAX_RECORDS;
        int made = hostile_buffers_create(socket, buffers + done, batch, size, seals);
        if (made < 0)
            return -1;
        done += (unsigned)made;
        if (made < (int)batch)
            return complain("the broker's limits allow a hostile client %u of %u buffers", done, count);
    }
    return 0;
}

/* That none of the records has failed. */
static int check_outcomes(const char *what)
{
    struct outcome outcome;
    int r = 0;

    for (unsigned i = 0; i < answer.header.count && r == 0; i++) {
        r = answer_next(&answer, &outcome_schema, &outcome);
        if (r == 0 && outcome.status)
            r = complain("%s: %s", what, sealbuf_strerror((int)outcome.status));
    }
    answer_release(&answer);
    return r;
}

int hostile_buffers_remove(int socket, const uint64_t *ids, unsigned count)
{
    static const char what[] = "removing a hostile client's buffers";

    if (batch_of_removes(&request, ids, count) < 0 || wire_call(socket, &request, &answer, what) < 0)
        return -1;
    return check_outcomes(what);
}

static int bind_batch(int socket, const uint64_t *ids, unsigned buffers, const char *prefix, unsigned first,
                      unsigned count)
{
    static const char what[] = "publishing a hostile client's buffers";
    char name[NAME_ROOM];

    message_begin(&request, SEALBUF_OP_PUBLISH);
    for (unsigned i = first; i < first + count; i++) {
        snprintf(name, sizeof(name), "%s%06u", prefix, i);
        const struct publish_request publish = {
            .id = ids[i % buffers], .seals = SEALBUF_SEALS_IMMUTABLE, .name = SPAN(name)};
        if (message_add(&request, &publish_request_schema, &publish) < 0)
            return -1;
    }
    message_end(&request, 0);
    return wire_call(socket, &request, &answer, what) < 0 ? -1 : check_outcomes(what);
}

int hostile_names_bind(int socket, const uint64_t *ids, unsigned buffers, const char *prefix, unsigned count)
{
    for (unsigned done = 0; done < count;) {
        unsigned batch = count - done < SEALBUF_MAX_RECORDS ? count - done : SEALBUF_MAX_RECORDS;
        if (bind_batch(socket, ids, buffers, prefix, done, batch) < 0)
            return -1;
        done += batch;
    }
    return 0;
}

int hostile_stats(int socket, struct stats_reply *stats)
{
    message_begin(&request, SEALBUF_OP_STATS);
    message_end(&request, 0);
    if (wire_call(socket, &request, &answer, "a hostile client's look at the broker's figures") < 0)
        return -1;
    int r = answer_next(&answer, &stats_reply_schema, stats);
    answer_release(&answer);
    return r;
}
