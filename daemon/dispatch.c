/* SPDX-License-Identifier: MIT */
#include "dispatch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "accounts.h"
#include "aside.h"
#include "atomic.h"
#include "claim.h"
#include "cleanup.h"
#include "errors.h"
#include "flight.h"
#include "listing.h"
#include "log.h"
#include "paused.h"
#include "request.h"
#include "sealing.h"
#include "serve.h"
#include "storing.h"
#include "text.h"
#include "token.h"
#include "wait.h"
#include "watch.h"

/* Between two looks at the clock. */
#define CLOSE_AT_ONCE 16u

/* So many records, or a LIST, may take more than a turn, and are charged as requests that wait. */
#define RECORDS_UNCHARGED 8

/* A reply's record without any string, and a short sentence: what must fit for each record, come what may. */
#define RECORD_AT_LEAST 224u
#define SHORT_SENTENCE  64u

static const struct handler {
    int (*record)(struct request *, const union request_record *, union reply_record *);
    int (*list)(struct request *, const union request_record *); /* also PAUSED */
    int (*whole)(struct request *);
    bool ships;          /* a descriptor for each record, which must be allowed to fly */
    bool seals;          /* what a worker does first */
    bool stores;         /* what is to be in the store first */
    bool is_for_unknown; /* also for peers whose uid is not known here */
} handlers[] = {
    [SEALBUF_OP_HELLO] = {.record = serve_hello},
    [SEALBUF_OP_PING] = {.is_for_unknown = true},
    [SEALBUF_OP_CREATE] = {.record = serve_create, .ships = true},
    [SEALBUF_OP_SEAL] = {.record = serve_seal, .seals = true},
    [SEALBUF_OP_ADOPT] = {.record = serve_adopt},
    [SEALBUF_OP_PUBLISH] = {.record = serve_publish, .seals = true, .stores = true},
    [SEALBUF_OP_GET] = {.record = serve_get, .ships = true, .is_for_unknown = true},
    [SEALBUF_OP_REMOVE] = {.record = serve_remove},
    [SEALBUF_OP_STAT] = {.record = serve_stat, .is_for_unknown = true},
    [SEALBUF_OP_LIST] = {.list = listing_serve, .is_for_unknown = true},
    [SEALBUF_OP_STATS] = {.whole = serve_stats, .is_for_unknown = true},
    [SEALBUF_OP_SHARE] = {.record = serve_share},
    [SEALBUF_OP_REVOKE] = {.record = serve_revoke},
    [SEALBUF_OP_ACCOUNTS] = {.list = accounts_serve},
    [SEALBUF_OP_REEXEC] = {.whole = serve_reexec},
    [SEALBUF_OP_TOUCH] = {.record = serve_touch},
    [SEALBUF_OP_WATCH] = {.list = serve_watch, .is_for_unknown = true},
    [SEALBUF_OP_CANCEL] = {.record = serve_cancel, .is_for_unknown = true},
};

static const struct handler *handler_of(const struct request *request)
{
    return &handlers[request->header.opcode];
}

/* An operation of schema.h that has no line above would be looked for behind the table's end. */
#define NUMBER_OPERATION(NAME, request, least, most, descriptors, reply) NUMBER_OF_##NAME,
enum { OPERATIONS(NUMBER_OPERATION) OPERATION_COUNT };
_Static_assert(sizeof(handlers) / sizeof(handlers[0]) == OPERATION_COUNT + 1, "an operation has no handler");

/* With the sentence that refuse() has written. */
static size_t write_refusal(uint8_t *message, size_t room, uint16_t opcode, uint32_t serial, int error,
                            const struct request *request)
{
    struct writer writer = {.buffer = message, .used = HEADER_SIZE, .room = room};
    struct outcome outcome = {.status = (uint32_t)error, .text = SPAN(request->sentence)};
    size_t space = room - HEADER_SIZE - RECORD_HEADER_SIZE - outcome_schema.fixed_size;

    if (error == SEALBUF_ERR_GENERATION)
        outcome.generation = request->at_generation;
    outcome.text.length = (uint32_t)text_cut(request->sentence, outcome.text.length, space);
    record_encode(&outcome_schema, &writer, &outcome);
    message_finish(&writer, &(struct header){.opcode = (uint16_t)(opcode | SEALBUF_OP_REPLY),
                                             .count = 1,
                                             .serial = serial,
                                             .status = (uint32_t)error});
    return writer.used;
}

size_t dispatch_refusal(uint8_t *message, size_t room, uint16_t opcode, uint32_t serial, int error,
                        const struct limit_met *met)
{
    struct request request = {0};

    refuse_limit(&request, error, met);
    return write_refusal(message, room, opcode, serial, error, &request);
}

/* Refuses the request as a whole, with the sentence that refuse() has written. */
static enum verdict refuse_all(struct request *request, int error)
{
    struct peer *peer = request->peer;
    struct broker *broker = peer->broker;

    broker->counters->refused++;
    shipment_cut(&request->shipment, 0);
    size_t length =
        write_refusal(broker->out, sizeof(broker->out), request->header.opcode, request->header.serial, error, request);
    return peer_send(peer, broker->out, length, &request->shipment);
}

/* Refuses, and ends the connection: what this client says cannot be trusted any more. */
static enum verdict refuse_and_end(struct request *request, int error, const char *reason)
{
    refuse(request, error, "%s", reason);
    refuse_all(request, error);
    peer_blame(request->peer, reason);
    return END;
}

static void set_status(const struct request *request, union reply_record *out, int status)
{
    struct span sentence = {NULL, 0};

    if (status) {
        sentence = SPAN(request->sentence);
        if (request->header.count > 32)
            sentence.length = (uint32_t)text_cut(sentence.data, sentence.length, SHORT_SENTENCE);
    }
    if (request->operation->reply == &outcome_schema) {
        out->outcome.status = (uint32_t)status;
        out->outcome.text = sentence;
        if (status == SEALBUF_ERR_GENERATION)
            out->outcome.generation = request->at_generation;
    } else if (request->operation->reply == &buffer_record_schema) {
        if (status)
            out->buffer = (struct buffer_record){0};
        out->buffer.status = (uint32_t)status;
        out->buffer.text = sentence;
    } else if (request->operation->reply == &token_record_schema) {
        out->token.status = (uint32_t)status;
        out->token.text = sentence;
    } else {
        assert(request->operation->reply == &hello_reply_schema); /* each reply with a status has its lines here */
        out->hello.status = (uint32_t)status;
        out->hello.text = sentence;
    }
}

/* The request goes on in its peer's next turn. Where there is no memory to keep it, it does now. */
static bool pause_request(struct request *request)
{
    if (!request->sent)
        request_pin(request);
    if (request->paused)
        return true;
    request->paused = paused_save(request);
    if (!request->paused)
        return false;
    request->paused->request.paused = request->paused;
    request->peer->paused = request->paused;
    request->shipment.count = request->pinned = 0; /* it has moved */
    request->sealed = request->to_seal = NULL;
    request->stored = request->to_store = NULL;
    request->atomic = NULL;
    return true;
}

/*
 * Serves the record in hand and writes its reply, leaving room for those of the records to come. False: it takes longer
 * than this turn, and is to be served again.
 */
static bool serve_record(struct request *request)
{
    const struct operation *operation = request->operation;
    const struct reader before = request->records;
    unsigned shipped = request->shipment.count, left = request->header.count - request->index - 1u;
    union request_record room;
    union reply_record out;

    memset(&out, 0, sizeof(out));
    request->claim = NULL;
    request->redeemed = NULL;
    int status = handlers[operation->opcode].record(request, next_record(request, &room), &out);
    if (status == REQUEST_AGAIN) {
        const struct reader behind = request->records;
        request->records = before;
        if (pause_request(request))
            return false;
        request->records = behind;
        status = refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    }
    set_status(request, &out, status);
    request->reply.room = SEALBUF_MAX_MESSAGE - left * RECORD_AT_LEAST;
    if (record_encode(operation->reply, &request->reply, &out)) {
        status = refuse(request, SEALBUF_ERR_TOO_BIG, "%s", "");
        shipment_cut(&request->shipment, shipped);
        if (request->claim)
            claim_undo(request->claim);
        set_status(request, &out, status);
        record_encode(operation->reply, &request->reply, &out);
    } else if (request->redeemed) {
        token_use(request->redeemed);
    }
    request->replies++;
    request->broker->counters->refused += status != 0;
    request->search.begun = false;
    return true;
}

/* Refuses a request for a field of a record. */
static enum verdict refuse_field(struct request *request, int error, const char *field)
{
    if (field)
        refuse(request, error, "%s (field '%s' of record %u)", error_entry((uint32_t)error)->cause, field,
               request->index);
    else
        refuse(request, error, "record %u does not follow the wire format", request->index);
    return refuse_all(request, error);
}

/* What the schema cannot say. */
static int judge_get(struct request *request, const struct get_request *in, const char **field)
{
    *field = "name";
    request->waiting_records += (in->flags & SEALBUF_GET_WAIT) != 0;
    return in->flags & SEALBUF_GET_FIRST || in->name.length == 0 || name_valid(in->name.data, in->name.length)
               ? 0
               : SEALBUF_ERR_NAME;
}

/* What its records say each for itself, but not together. */
static int judge_records(struct request *request)
{
    const unsigned count = request->header.count;

    if (request->atomic_records && request->atomic_records < count)
        return refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                                  "some records of the request say ATOMIC, and others do not; say it in all, or in "
                                  "none");
    if (request->waiting_records && count > 1)
        return refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                                  "a GET with WAIT must be the only record of its request, and there are %u; wait for "
                                  "each in a request of its own",
                                  count);
    return 0;
}

/*
 * Judges every record before any is carried out, and keeps the only one in *only. 0, or the error, *field, and the
 * index of the record at fault.
 */
static int validate(struct request *request, union request_record *only, const char **field)
{
    struct reader from_the_start = request->records;
    int r = 0;

    for (unsigned i = 0; i < request->header.count && r == 0; i++) {
        request->index = i;
        r = record_decode(request->operation->request, REFUSE_UNKNOWN, &request->records, only, field);
        if (r == 0 && request->header.opcode == SEALBUF_OP_GET)
            r = judge_get(request, &only->get, field);
        request->atomic_records += r == 0 && atomic_is_asked(request->operation, only);
    }
    if (r == 0 && request->records.left > 0) {
        *field = NULL;
        r = SEALBUF_ERR_MALFORMED;
    }
    request->records = from_the_start;
    request->only = only;
    if (r == 0)
        request->index = 0;
    return r;
}

static enum verdict send_reply(struct request *request)
{
    message_finish(&request->reply, &(struct header){.opcode = request->header.opcode | SEALBUF_OP_REPLY,
                                                     .count = (uint16_t)request->replies,
                                                     .serial = request->header.serial,
                                                     .descriptors = (uint16_t)request->shipment.count});
    if (request->is_lost)
        return END;
    return peer_send(request->peer, request->reply.buffer, request->reply.used, &request->shipment);
}

/* False: the turn is over before the last record. */
static bool serve_records(struct request *request)
{
    while (request->index < request->header.count) {
        if (!serve_record(request))
            return false;
        request->index++;
        if (request->index < request->header.count && turn_is_over(request->broker) && pause_request(request))
            return false;
    }
    return true;
}

/* Writes the reply. 0, or a refusal of the whole request, or PAUSED, or REQUEST_ASIDE, or REQUEST_DETACHED. */
#define PAUSED 1
static int make_reply(struct request *request)
{
    const struct handler *handler = handler_of(request);
    union request_record room;
    int r = 0;

    if (request->atomic_records) {
        do
            r = atomic_serve(request);
        while (r == PAUSED && !pause_request(request));
        return r;
    }
    if (handler->record)
        return serve_records(request) ? 0 : PAUSED;
    if (handler->list) {
        const union request_record *in = next_record(request, &room);
        do
            r = handler->list(request, in);
        while (r == PAUSED && !pause_request(request));
    } else if (handler->whole) {
        r = handler->whole(request);
    }
    return r;
}

/* Descriptors that were made for the reply are closed here, as many as there is time for. */
static bool close_shipment(struct request *request)
{
    while (request->shipment.count > CLOSE_AT_ONCE) {
        shipment_cut(&request->shipment, request->shipment.count - CLOSE_AT_ONCE);
        if (turn_is_over(request->broker) && pause_request(request))
            return false;
    }
    shipment_cut(&request->shipment, 0);
    return true;
}

/* Refuses what could neither be served nor wait: r as of sealing_start, storing_start and aside_put. */
static enum verdict refuse_waiting(struct request *request, int r, const struct limit_met *met)
{
    int error = SEALBUF_ERR_TABLE_FULL;

    flight_unreserve(request->peer);
    request->done = true;
    if (r == -EDQUOT)
        return refuse_all(request, refuse_limit(request, SEALBUF_ERR_LIMIT, met));
    if (r == -ENOMEM)
        error = SEALBUF_ERR_MEMORY;
    return refuse_all(request, refuse(request, error, "%s", ""));
}

static bool needs_sealing(const struct request *request)
{
    return handler_of(request)->seals && !request->sealed && !request->looked_through;
}

static bool needs_storing(const struct request *request)
{
    return handler_of(request)->stores && !request->stored && !request->looked_for_store;
}

/* True: it can be served now. Else *verdict says how it goes on. */
static bool prepare(struct request *request,
                    enum preparing (*start)(struct request *request, struct limit_met *met, int *error),
                    enum verdict *verdict)
{
    struct limit_met met;
    int error;

    *verdict = GO_ON;
    for (;;) {
        switch (start(request, &met, &error)) {
        case PREPARING_NOT_NEEDED:
            return true;
        case PREPARING_STARTED:
            request->done = true; /* it will be read again */
            return false;
        case PREPARING_PAUSED:
            if (pause_request(request))
                return false;
            break;
        case PREPARING_FAILED:
            *verdict = refuse_waiting(request, error, &met);
            return false;
        }
    }
}

/* The request as a whole will be refused, or it is not done with this. */
static bool check_atomic(struct request *request, enum verdict *verdict)
{
    int r;

    do
        r = atomic_check(request);
    while (r == PAUSED && !pause_request(request));
    if (r == 0)
        return true;
    if (r != PAUSED) {
        flight_unreserve(request->peer);
        request->done = true;
        *verdict = refuse_all(request, r);
        peer_release_request(request->peer);
    }
    return false;
}

/* All is known to be well-formed. */
static enum verdict serve(struct request *request)
{
    enum verdict verdict = GO_ON;

    if (request->atomic_records && !request->sealed && !request->looked_through && !check_atomic(request, &verdict))
        return verdict;
    if (needs_sealing(request) && !prepare(request, sealing_start, &verdict))
        return verdict;
    if (needs_storing(request) && !prepare(request, storing_start, &verdict))
        return verdict;
    if (!request->sent) {
        int r = make_reply(request);
        if (r == PAUSED)
            return GO_ON;
        if (r == REQUEST_ASIDE || r == REQUEST_DETACHED) {
            request->done = true; /* it will be read again, or others answer it */
            return GO_ON;
        }
        request->sent = true;
        verdict = r ? refuse_all(request, r) : send_reply(request);
        request_unpin(request);
        atomic_free(request);
        peer_release_request(request->peer);
    }
    if (verdict == GO_ON && !close_shipment(request))
        return GO_ON;
    shipment_cut(&request->shipment, 0);
    sealing_free(take_pointer(request->sealed));
    storing_free(take_pointer(request->stored));
    flight_unreserve(request->peer);
    request->done = true;
    return verdict;
}

/* What holds for every message, whatever its operation; *verdict where it is answered already. */
static bool admissible(struct request *request, enum verdict *verdict)
{
    const struct header *header = &request->header;
    const struct operation *operation = request->operation;
    unsigned count = request->descriptors ? request->descriptors->count : 0;
    int error = 0;

    if (header->serial == 0)
        error = refuse(request, SEALBUF_ERR_MALFORMED, "the serial is 0");
    else if (header->status != 0)
        error = refuse(request, SEALBUF_ERR_RESERVED, "a request has no status");
    else if (!operation)
        error = refuse(request, SEALBUF_ERR_OPCODE, "operation %u is unknown", header->opcode);
    else if (header->count < operation->least || header->count > operation->most)
        error = refuse(request, SEALBUF_ERR_MALFORMED, "%s takes %u to %u records, not %u", operation->name,
                       operation->least, operation->most, header->count);
    else if (header->descriptors != operation->descriptors * header->count || header->descriptors != count)
        error = refuse(request, SEALBUF_ERR_DESCRIPTORS, "%u descriptors came, %u are announced, %u are needed", count,
                       header->descriptors, operation->descriptors * header->count);
    else if (wait_find(request->peer, header->serial) || watch_find(request->peer, header->serial))
        error = refuse(request, SEALBUF_ERR_MALFORMED, "the serial is that of a GET that waits, or of a watch");
    else if (header->opcode == SEALBUF_OP_HELLO && request->peer->greeted)
        error = refuse(request, SEALBUF_ERR_HELLO, "HELLO came a second time");
    if (error)
        *verdict = refuse_all(request, error);
    return error == 0;
}

static void request_init(struct request *request, struct peer *peer, const uint8_t *message, size_t length)
{
    request->peer = peer;
    request->broker = peer->broker;
    request->message = message;
    request->length = length;
    request->records = (struct reader){message + HEADER_SIZE, length - HEADER_SIZE};
    request->only = NULL;
    request->descriptors = NULL;
    request->index = 0;
    request->sealed = request->to_seal = NULL;
    request->looked_through = false;
    request->stored = request->to_store = NULL;
    request->looked_for_store = false;
    request->aside = NULL;
    request->paused = NULL;
    request->pinned = 0;
    request->atomic = NULL;
    request->atomic_records = request->waiting_records = 0;
    request->at_generation = 0;
    request->is_checked = request->has_evicted = false;
    request->sent = request->done = false;
    request->claim = NULL;
    request->place.begun = request->place.shown = false;
    request->place.names_at = 0;
    request->search = (struct search){.begun = false};
    request->is_lost = false;
    request->reply =
        (struct writer){.buffer = peer->broker->out, .used = HEADER_SIZE, .room = sizeof(peer->broker->out)};
    request->replies = 0;
    request->shipment.count = 0;
}

/* REQUEST_DETACHED where it waits for what is not there. 0 where it can be served now; or a refusal. */
static int detach(struct request *request)
{
    const struct reader before = request->records;
    union request_record room;

    if (request->header.opcode != SEALBUF_OP_GET || request->header.count > 1)
        return 0;
    const struct get_request *in = &next_record(request, &room)->get;
    request->records = before;
    return in->flags & SEALBUF_GET_WAIT ? wait_begin(request, in) : 0;
}

/*
 * Serves a request that was found good; or puts it aside while what it asks for could not be sent: descriptors that
 * waited in the broker instead would only move the problem into its table.
 */
static enum verdict serve_good(struct request *request)
{
    struct limit_met met;
    int r = detach(request);

    if (r == REQUEST_DETACHED) {
        request->done = true;
        return GO_ON;
    }
    if (r)
        return refuse_all(request, r);

    if (handler_of(request)->ships && !flight_reserve(request->peer, request->header.count))
        r = aside_put(request, &met);
    if (r == 0 && (request->header.count > RECORDS_UNCHARGED || request->header.opcode == SEALBUF_OP_LIST) &&
        !peer_charge_request(request->peer, &met))
        r = -EDQUOT;
    if (r < 0)
        return refuse_waiting(request, r, &met);
    return r ? GO_ON : serve(request);
}

/* The first message must be a good HELLO; a client that begins in another way is not one of ours. */
static enum verdict greet(struct request *request)
{
    union request_record only;
    const char *field;
    int r;

    if (request->header.opcode != SEALBUF_OP_HELLO)
        return refuse_and_end(request, SEALBUF_ERR_HELLO, "its first message is not HELLO");
    r = validate(request, &only, &field);
    if (r) {
        refuse_field(request, r, field);
        peer_blame(request->peer, "its HELLO does not follow the wire format");
        return END;
    }
    enum verdict verdict = serve(request);
    if (verdict == GO_ON && !request->peer->greeted) {
        peer_blame(request->peer, "it speaks another protocol, or another version of it");
        return END;
    }
    return verdict;
}

/* Who may be anybody can look at what everybody may look at, and no more. */
static enum verdict serve_message(struct request *request)
{
    union request_record only;
    enum verdict verdict;
    const char *field;

    bool good = admissible(request, &verdict);
    if (!request->peer->greeted && !good) {
        peer_blame(request->peer, "its first message is not a good HELLO");
        return END;
    }
    if (!good)
        return verdict;
    if (!request->peer->greeted)
        return greet(request);
    int r = validate(request, &only, &field);
    if (r)
        return refuse_field(request, r, field);
    r = judge_records(request);
    if (r)
        return refuse_all(request, r);
    if (request->peer->who.is_unknown && !handler_of(request)->is_for_unknown)
        return refuse_all(request,
                          refuse_with_remedy(request, SEALBUF_ERR_DENIED,
                                             "your uid is not known in the broker's user namespace, so you can "
                                             "own nothing there; have the uid mapped, or use another broker"));
    return serve_good(request);
}

/* False where the header shows that the client's idea of a message is not ours; *verdict then. */
static bool read_header(struct request *request, enum verdict *verdict)
{
    int r = header_decode(request->message, request->length, &request->header);

    if (r == SEALBUF_ERR_RESERVED) {
        refuse(request, r, "a reserved field of the header is not zero");
        *verdict = request->peer->greeted ? refuse_all(request, r) : refuse_and_end(request, r, "it is no client");
    } else if (r) {
        request->header = (struct header){0};
        *verdict = refuse_and_end(request, r, "its message's header contradicts the message");
    }
    request->operation = operation_find(request->header.opcode);
    return r == 0;
}

enum verdict dispatch(struct peer *peer, const uint8_t *message, size_t length, struct descriptors *descriptors)
{
    struct request request;
    enum verdict verdict;

    peer->broker->counters->requests++;
    request_init(&request, peer, message, length);
    request.descriptors = descriptors;
    if (!read_header(&request, &verdict))
        return verdict;
    return serve_message(&request);
}

enum verdict dispatch_without_descriptors(struct peer *peer, const uint8_t *message, size_t length)
{
    struct request request;
    enum verdict verdict;

    peer->broker->counters->requests++;
    request_init(&request, peer, message, length);
    if (!read_header(&request, &verdict))
        return verdict;
    log_client(LOG_WARNING, &peer->who, "descriptors that it sent were lost: the table of descriptors is full");
    refuse(&request, SEALBUF_ERR_TABLE_FULL,
           "the broker's descriptor table had no room for what came with the message");
    return refuse_all(&request, SEALBUF_ERR_TABLE_FULL);
}

/* What the first record says, all do. */
static bool is_atomic(const struct request *request)
{
    struct reader records = request->records;
    union request_record room;
    const char *field;

    return request->header.count > 0 &&
           record_decode(request->operation->request, REFUSE_UNKNOWN, &records, &room, &field) == 0 &&
           atomic_is_asked(request->operation, &room);
}

/* A message that was found good before. */
static void read_again(struct request *request, struct peer *peer, const uint8_t *message, size_t length)
{
    request_init(request, peer, message, length);
    header_decode(message, length, &request->header);
    request->operation = operation_find(request->header.opcode);
    request->atomic_records = is_atomic(request) ? request->header.count : 0;
}

enum verdict dispatch_sealed(struct peer *peer, struct seal_job *job)
{
    struct request request;
    size_t length;
    const uint8_t *message = sealing_message(job, &length);

    read_again(&request, peer, message, length);
    request.sealed = job;
    return serve(&request);
}

enum verdict dispatch_stored(struct peer *peer, struct store_job *job)
{
    struct request request;
    size_t length;
    const uint8_t *message = storing_message(job, &length);

    read_again(&request, peer, message, length);
    request.looked_through = true;
    request.sealed = storing_take_sealed(job);
    request.stored = job;
    return serve(&request);
}

enum verdict dispatch_again(struct peer *peer, const struct aside *aside)
{
    struct request request;

    enum verdict verdict;

    if (aside->is_judged) {
        read_again(&request, peer, aside->message, aside->length);
        request.aside = aside;
        return serve_good(&request);
    }
    /* It comes from the program before, which may know more operations, or know them better. */
    request_init(&request, peer, aside->message, aside->length);
    request.aside = aside;
    return read_header(&request, &verdict) ? serve_message(&request) : verdict;
}

enum verdict dispatch_paused(struct paused *paused)
{
    return serve(&paused->request);
}

/* The wait is answered as a request that has just come, but that nothing else is kept for it. */
static enum answering answer(struct request *request, struct wait *wait, union request_record *only,
                             enum verdict *verdict)
{
    switch (wait_look(wait, request, &only->get)) {
    case LOOKING_NOT_YET:
        return ANSWERING_DONE;
    case LOOKING_PAUSED:
        return ANSWERING_PAUSED;
    case LOOKING_OVER:
        break;
    }
    if (!flight_reserve(request->peer, 1))
        return ANSWERING_NO_ROOM;
    *verdict = serve(request);
    wait_end(wait, request->claim != NULL);
    return ANSWERING_DONE;
}

enum answering dispatch_wait(struct wait *wait, enum verdict *verdict)
{
    struct request request;
    union request_record only;
    const char *field;

    *verdict = GO_ON;
    read_again(&request, wait->peer, wait->message, wait->length);
    int r = validate(&request, &only, &field);
    if (r == 0 && wait->ended == 0)
        return answer(&request, wait, &only, verdict);
    if (r)
        *verdict = refuse_field(&request, r, field);
    else
        *verdict = refuse_all(&request, wait_in_vain(wait, &request, &only.get));
    wait_end(wait, false);
    return ANSWERING_DONE;
}

enum verdict dispatch_last(struct peer *peer, enum sealbuf_opcode opcode, uint32_t serial, int error)
{
    uint8_t message[HEADER_SIZE + SEALBUF_MAX_TEXT];
    struct request request = {0};
    struct shipment shipment = {.count = 0};

    refuse(&request, error, "%s", "");
    size_t length = write_refusal(message, sizeof(message), (uint16_t)opcode, serial, error, &request);
    peer->broker->counters->refused++;
    return peer_send(peer, message, length, &shipment);
}

bool dispatch_may_begin_again(const struct paused *paused)
{
    const struct request *request = &paused->request;

    return !request->sent && request->header.descriptors == 0 && (handler_of(request)->list || request->replies == 0);
}
