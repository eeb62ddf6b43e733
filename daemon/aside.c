/* SPDX-License-Identifier: MIT */
#include "aside.h"

#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

#define LONGEST_MS 32

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct aside *aside = argument;
    struct peer *peer = aside->peer;

    (void)fd, (void)what;
    peer->aside = NULL;
    if (dispatch_again(peer, aside) == END)
        peer_end(peer);
    else
        peer_resume(peer);
    free(aside);
}

static bool put(struct request *request, unsigned milliseconds, const struct name *behind)
{
    struct timeval time = {.tv_usec = (suseconds_t)milliseconds * 1000};
    struct aside *aside = malloc(sizeof(*aside) + request->length);

    if (!aside)
        return false;
    aside->peer = request->peer;
    aside->milliseconds = milliseconds;
    aside->owner = behind ? behind->owner : 0;
    aside->text_length = behind ? behind->length : 0;
    if (behind)
        memcpy(aside->text, behind->text, behind->length);
    aside->length = request->length;
    memcpy(aside->message, request->message, request->length);
    event_assign(&aside->later, request->broker->loop, -1, 0, on_later, aside);
    event_add(&aside->later, &time);
    request->peer->aside = aside;
    return true;
}

bool aside_put_behind(struct request *request, const struct name *behind)
{
    return put(request, 0, behind);
}

bool aside_put_to_retry(struct request *request)
{
    unsigned before = request->aside ? request->aside->milliseconds : 1;

    return put(request, before < LONGEST_MS ? before * 2 : LONGEST_MS, NULL);
}

void aside_cancel(struct aside *aside)
{
    event_del(&aside->later);
    free(aside);
}
