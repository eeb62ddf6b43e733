/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <stdarg.h>
#include <stdio.h>

#include "clock.h"
#include "errors.h"
#include "log.h"
#include "message_id.h"
#include "peer.h"

/* Between two lines about a uid that meets the same limit. */
#define TELL_AGAIN_NS 60000000000
/* Records that are looked through between two looks at the clock. */
#define LOOK_AT_ONCE 4

int refuse(struct request *request, int code, const char *format, ...)
{
    const struct error_entry *entry = error_entry((uint32_t)code);
    char detail[SEALBUF_MAX_TEXT / 2];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    snprintf(request->sentence, sizeof(request->sentence), "%s; %s", detail[0] ? detail : entry->cause, entry->remedy);
    return code;
}

int refuse_with_remedy(struct request *request, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(request->sentence, sizeof(request->sentence), format, arguments);
    va_end(arguments);
    return code;
}

void log_refusal(struct request *request, const char *message_id, const char *limit)
{
    struct peer *peer = request->peer;

    if (!peer || (peer->account->told_key == limit && clock_monotonic_ns() - peer->account->told_ns < TELL_AGAIN_NS))
        return;
    peer->account->told_key = limit;
    peer->account->told_ns = clock_monotonic_ns();
    log_about(LOG_NOTICE, &(struct log_subject){.message_id = message_id, .client = &peer->who}, "%s",
              request->sentence);
}

static int refuse_for_limit(struct request *request, int code, const struct limit_met *met)
{
    if (code != SEALBUF_ERR_LIMIT)
        return refuse(request, code, "%s", "");
    unsigned long long value = met->value, held = met->held, more = met->amount;
    switch (met->kind) {
    case LIMIT_OF_UID:
        return refuse(request, code, "uid %u holds %llu, and %llu more would go beyond the limit uid-%s=%llu",
                      (unsigned)met->uid, held, more, met->key, value);
    case LIMIT_OF_SHARE:
        return refuse(request, code,
                      "uid %u holds %llu, and %llu more would go beyond its fair share of the limit %s=%llu, which is "
                      "%llu now",
                      (unsigned)met->uid, held, more, met->key, value, (unsigned long long)met->share);
    case LIMIT_OF_ALL:
        break;
    }
    return refuse(request, code, "%llu more would go beyond the limit %s=%llu of all users together", more, met->key,
                  value);
}

int refuse_limit(struct request *request, int code, const struct limit_met *met)
{
    refuse_for_limit(request, code, met);
    if (code == SEALBUF_ERR_LIMIT)
        log_refusal(request, MESSAGE_ID_LIMIT, met->key);
    return code;
}

const union request_record *next_record(struct request *request, union request_record *room)
{
    const char *field;

    if (request->header.count == 1 && request->only)
        return request->only;
    record_decode(request->operation->request, REFUSE_UNKNOWN, &request->records, room, &field);
    return room;
}

static int look_on(struct request *request, int (*look)(struct request *, const union request_record *))
{
    const unsigned count = request->header.count;
    union request_record room;

    while (request->index < count) {
        struct reader before = request->records;
        int r = look(request, next_record(request, &room));
        if (r > 0) {
            request->records = before;
            return r;
        }
        request->index++;
        if (r < 0)
            return r;
        if (request->index < count && request->index % LOOK_AT_ONCE == 0 && turn_is_over(request->broker))
            return 1;
    }
    return 0;
}

int request_look_through(struct request *request, int (*look)(struct request *, const union request_record *))
{
    int r = look_on(request, look);

    if (r > 0)
        return 1;
    request->index = 0;
    request->records = (struct reader){request->message + HEADER_SIZE, request->length - HEADER_SIZE};
    return r;
}

void request_ship(struct request *request, struct buffer *buffer)
{
    request->borrowed[request->shipment.count] = buffer;
    shipment_add_borrowed(&request->shipment, buffer->fd);
}

void request_pin(struct request *request)
{
    for (; request->pinned < request->shipment.count; request->pinned++)
        if (!request->shipment.owned[request->pinned])
            buffer_pin(request->borrowed[request->pinned]);
}

void request_unpin(struct request *request)
{
    while (request->pinned > 0)
        if (!request->shipment.owned[--request->pinned])
            buffer_unpin(&request->broker->buffers, request->borrowed[request->pinned]);
}
