/* SPDX-License-Identifier: MIT */
/*
 * After a reconnection: the buffers that the last connection held are adopted anew, a message full at a time, with the
 * seals that they have; and the requests that wait get the new ids.
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "memfd.h"

/* Where only time can tell: nothing says when the kernel takes descriptors again. */
#define TRY_AGAIN_MS 10

/* As many as fit go into the message. How many. */
static unsigned add_records(sealbuf_client *client, const struct adoptee *adoptees, unsigned count)
{
    unsigned added = 0;

    while (added < count) {
        const struct adoptee *each = &adoptees[added];
        uint32_t seals = 0;
        memfd_get_seals(each->fd, &seals);
        struct adopt_request record = {
            .seals = seals & SEALBUF_SEALS_ALL, .label = each->label, .metadata = each->metadata};
        if (record_encode(&adopt_request_schema, &client->writer, &record))
            break;
        shipment_add_borrowed(&client->shipment, each->fd);
        client->link.readopting[added++] = each->id;
    }
    return added;
}

/* With the lock: nobody closes a descriptor before it is sent. The number of buffers, 0: none is left; or an error. */
static int send_next(sealbuf_client *client, struct call *call)
{
    struct adoptee adoptees[SEALBUF_MAX_RECORDS];
    unsigned count = holdings_next(client->holdings, adoptees, SEALBUF_MAX_RECORDS);

    count = add_records(client, adoptees, count);
    if (count == 0)
        return 0;
    call->count = (uint16_t)count;
    call->serial = client_serial(client);
    message_finish(&client->writer, &(struct header){.opcode = SEALBUF_OP_ADOPT,
                                                     .count = call->count,
                                                     .serial = call->serial,
                                                     .descriptors = call->count});
    int r = packet_send(client->socket, client->writer.buffer, client->writer.used, client->shipment.fd, count);
    if (r < 0)
        return r;
    holdings_taken(client->holdings, adoptees, count);
    return (int)count;
}

/* ---- The requests that wait -------------------------------------------------------------------------------------- */

/* These records begin with an id. */
static bool has_id(uint16_t opcode)
{
    switch (opcode) {
    case SEALBUF_OP_SEAL:
    case SEALBUF_OP_PUBLISH:
    case SEALBUF_OP_GET:
    case SEALBUF_OP_REMOVE:
    case SEALBUF_OP_STAT:
    case SEALBUF_OP_SHARE:
    case SEALBUF_OP_REVOKE:
        return true;
    default:
        return false;
    }
}

static const char gone[] = "the broker is another one since the request was made, and its id meant a buffer of the one "
                           "before; look the buffer up by its name";
static const char not_restored[] =
    "the broker was started again and did not take back the buffer of this id: it is memory of this process alone now; "
    "the event, or sealbuf_adopt, says why";

/* What becomes of an id: 0, or the error with which the request ends. */
static int renew_id(sealbuf_client *client, uint8_t *at, bool another, const char **sentence)
{
    uint64_t id, renewed = 0;

    memcpy(&id, at, sizeof(id));
    if (id == 0)
        return 0;
    int r = holdings_translate(client->holdings, le64toh(id), &renewed);
    if (r == 0) {
        renewed = htole64(renewed);
        memcpy(at, &renewed, sizeof(renewed));
    } else if (r == -ENOENT) {
        *sentence = gone;
        r = another ? -SEALBUF_ERR_NOT_FOUND : 0;
    } else {
        *sentence = not_restored;
    }
    return r;
}

static int renew_ids(sealbuf_client *client, uint8_t *message, uint16_t count, bool another, const char **sentence)
{
    uint8_t *at = message + HEADER_SIZE;
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++) {
        uint32_t length;
        memcpy(&length, at, sizeof(length));
        r = renew_id(client, at + RECORD_HEADER_SIZE, another, sentence);
        at += le32toh(length);
    }
    return r;
}

/* A field of the only record of a message, where it is on the wire; `member` is its place in the struct. */
static uint8_t *field_at(const struct schema *schema, size_t member, uint8_t *message)
{
    const struct field *field = schema->fields;

    while (field->member != member)
        field++;
    return message + HEADER_SIZE + RECORD_HEADER_SIZE + field->offset;
}
#define FIELD_AT(record, member, message) field_at(&record##_schema, offsetof(struct record, member), message)

/*
 * A wait goes on with what is left of its time. Generations count anew where the broker is another one: any is newer
 * than what the program has. A watch that has told something must tell all that is there now, as it will be interrupted
 * by an overflow.
 */
static void renew_standing(struct call *call, uint8_t *message, bool another)
{
    uint32_t no_snapshot = htole32(SEALBUF_WATCH_NO_SNAPSHOT), flags;
    uint64_t none = 0;

    if (!call->stands)
        return;
    if (call_is_watch(call) && call->watching.interrupted) {
        uint8_t *at = FIELD_AT(watch_request, flags, message);
        memcpy(&flags, at, sizeof(flags));
        flags &= ~no_snapshot;
        memcpy(at, &flags, sizeof(flags));
    }
    if (call_is_watch(call))
        return;
    if (call->give_up_at >= 0) {
        uint64_t left = (uint64_t)deadline_left(call->give_up_at);
        left = htole64(left ? left : 1); /* 0 would be for ever */
        memcpy(FIELD_AT(get_request, wait_ms, message), &left, sizeof(left));
    }
    if (another)
        memcpy(FIELD_AT(get_request, newer_than, message), &none, sizeof(none));
}

static const char counts_anew[] =
    "the broker is another one since the request was made, and its generations count anew; look which one the name is "
    "at, and decide anew";

/* A generation of the broker before says nothing about a name of this one, although the numbers may be the same. */
static bool compares(uint16_t opcode, struct reader *reader)
{
    struct publish_request publish;
    struct target_request target;
    const char *field;

    if (opcode == SEALBUF_OP_PUBLISH)
        return record_decode(&publish_request_schema, IGNORE_UNKNOWN, reader, &publish, &field) == 0 &&
               publish.flags & SEALBUF_PUBLISH_COMPARE && publish.expected;
    return opcode == SEALBUF_OP_REMOVE &&
           record_decode(&target_request_schema, IGNORE_UNKNOWN, reader, &target, &field) == 0 && target.generation;
}

static int judge_generations(const struct parcel *parcel, const struct header *header, const char **sentence)
{
    struct reader reader = {parcel->message + HEADER_SIZE, parcel->length - HEADER_SIZE};

    for (unsigned i = 0; i < header->count; i++)
        if (compares(header->opcode, &reader)) {
            *sentence = counts_anew;
            return -SEALBUF_ERR_GENERATION;
        }
    return 0;
}

/* 0, or the error with which the call (NULL: nobody's) ends instead of being sent. */
static int renew_parcel(sealbuf_client *client, struct parcel *parcel, const struct header *header, struct call *call)
{
    const char *sentence = NULL;
    int r =
        has_id(header->opcode) ? renew_ids(client, parcel->message, header->count, client->link.another, &sentence) : 0;

    if (r == 0 && client->link.another)
        r = judge_generations(parcel, header, &sentence);
    if (!call)
        return r;
    if (r == 0)
        renew_standing(call, parcel->message, client->link.another);
    if (r < 0) {
        call_end_later(client, call, r, sentence);
    } else if (call->message) {
        memcpy(call->message, parcel->message, parcel->length);
    }
    return r;
}

/* The call of a parcel. Those that do not stand come in the order of the parcels: *ordered is the next of them. */
static struct call *call_of(const sealbuf_client *client, uint32_t serial, struct call **ordered)
{
    struct call *call = client->standing.count ? standing_find(&client->standing, serial) : NULL;

    if (call)
        return call;
    while (*ordered && (*ordered)->serial != serial)
        *ordered = TAILQ_NEXT(*ordered, link);
    return *ordered;
}

/* The parcels that are waiting are those of the last calls, in their order. */
static void renew_requests(sealbuf_client *client)
{
    struct outbox kept = STAILQ_HEAD_INITIALIZER(kept);
    struct call *ordered = TAILQ_FIRST(&client->calls);
    struct parcel *parcel;

    while ((parcel = outbox_first(&client->outbox))) {
        struct header header = {0};
        header_decode(parcel->message, parcel->length, &header);
        if (renew_parcel(client, parcel, &header, call_of(client, header.serial, &ordered)) < 0) {
            outbox_drop_first(&client->outbox);
            continue;
        }
        STAILQ_REMOVE_HEAD(&client->outbox, link);
        STAILQ_INSERT_TAIL(&kept, parcel, link);
    }
    STAILQ_CONCAT(&client->outbox, &kept);
}

/* ---- The steps --------------------------------------------------------------------------------------------------- */

static void tell_new_ids(sealbuf_client *client)
{
    uint64_t former, id;

    while (holdings_untold(client->holdings, &former, &id)) {
        client->link.figures.readopted++;
        event_tell(client, &(struct sealbuf_event){.kind = SEALBUF_EVENT_READOPTED, .id = id, .former_id = former});
    }
}

static int finish_readopting(sealbuf_client *client)
{
    renew_requests(client);
    holdings_commit(client->holdings);
    client->link.another = false;
    client->link.state = LINK_UP;
    client->link.up_since = now_ms();
    client->link.last_error = 0;
    tell_new_ids(client);
    return 0;
}

int readopt_step(sealbuf_client *client)
{
    struct call *call = call_begin(client, SEALBUF_OP_ADOPT, SEALBUF_MAX_RECORDS, NULL, NULL);

    if (!call || (!client->link.readopting &&
                  !(client->link.readopting = malloc(SEALBUF_MAX_RECORDS * sizeof(*client->link.readopting))))) {
        free(call);
        client->link.due = now_ms() + TRY_AGAIN_MS;
        return 0;
    }
    holdings_lock(client->holdings);
    int r = send_next(client, call);
    holdings_unlock(client->holdings);
    if (r > 0) {
        client->link.own = call;
        return 0;
    }
    call_free(call);
    if (r == 0)
        return finish_readopting(client);
    if (r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN)
        return link_lost(client, -SEALBUF_ERR_DISCONNECTED);
    client->link.last_error = r;
    client->link.due = now_ms() + TRY_AGAIN_MS;
    return 0;
}

static void note_lost(sealbuf_client *client, uint64_t id, int error, const char *sentence)
{
    if (!holdings_settle(client->holdings, id, 0, error))
        return;
    client->link.figures.lost++;
    event_tell(client, &(struct sealbuf_event){
                           .kind = SEALBUF_EVENT_LOST, .error = error, .former_id = id, .sentence = sentence});
}

int readopt_take(sealbuf_client *client, struct sealbuf_reply *reply)
{
    unsigned count = client->link.own->count;

    call_free(take_pointer(client->link.own));
    for (unsigned i = 0; i < count; i++) {
        uint64_t id = client->link.readopting[i];
        int status = sealbuf_reply_record_status(reply, i);
        if (status < 0)
            note_lost(client, id, status, sealbuf_reply_record_error(reply, i));
        else
            holdings_settle(client->holdings, id, reply->records[i].info.id, 0);
    }
    client->link.due = now_ms();
    return 0;
}
