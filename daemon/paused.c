/* SPDX-License-Identifier: MIT */
#include "paused.h"

#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "cleanup.h"
#include "sealing.h"
#include "storing.h"

/* The pointers into message and reply, which have moved. */
static void redirect(struct paused *paused, const struct request *before)
{
    struct request *request = &paused->request;

    request->message = paused->message;
    request->records.at = paused->message + (before->records.at - before->message);
    request->reply.buffer = paused->reply;
    request->aside = NULL;
    if (before->only) {
        struct reader reader = {paused->message + HEADER_SIZE, before->length - HEADER_SIZE};
        const char *field;
        record_decode(request->operation->request, REFUSE_UNKNOWN, &reader, &paused->only, &field);
        request->only = &paused->only;
    }
    if (before->descriptors) {
        paused->descriptors = *before->descriptors;
        before->descriptors->count = 0;
        request->descriptors = &paused->descriptors;
    }
}

struct paused *paused_save(struct request *request)
{
    struct paused *paused = malloc(sizeof(*paused) + request->length);

    if (!paused)
        return NULL;
    paused->request = *request;
    paused->message = (uint8_t *)(paused + 1);
    paused->descriptors.count = 0;
    memcpy(paused->message, request->message, request->length);
    memcpy(paused->reply, request->reply.buffer, request->reply.used);
    redirect(paused, request);
    return paused;
}

void paused_drop(struct paused *paused)
{
    struct request *request = &paused->request;

    request_unpin(request);
    atomic_free(request);
    shipment_cut(&request->shipment, 0);
    if (request->descriptors)
        reaper_close_received(&request->broker->reaper, request->peer->who.uid, request->descriptors);
    sealing_free(request->sealed);
    sealing_abandon(request);
    storing_free(request->stored);
    storing_free(request->to_store);
    free(paused);
}
