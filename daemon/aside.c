/* SPDX-License-Identifier: MIT */
#include "aside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_MS 32

static void on_later(evutil_socket_t fd, short what, void *argument)
{
    struct aside *aside = argument;

    (void)fd, (void)what;
    aside->is_due = true;
    turn_wait(aside->peer);
}

static struct aside *new_aside(const struct request *request)
{
    unsigned before = request->aside ? request->aside->milliseconds : 1;
    struct aside *aside = malloc(sizeof(*aside) + request->length);

    if (!aside)
        return NULL;
    aside->peer = request->peer;
    aside->milliseconds = before < LONGEST_MS ? before * 2 : LONGEST_MS;
    aside->is_due = false;
    aside->length = request->length;
    memcpy(aside->message, request->message, request->length);
    return aside;
}

int aside_put(struct request *request, struct limit_met *met)
{
    if (!peer_charge_request(request->peer, met))
        return -EDQUOT;
    struct aside *aside = new_aside(request);
    if (!aside)
        return -ENOMEM;
    struct timeval time = {.tv_usec = (suseconds_t)aside->milliseconds * 1000};
    event_assign(&aside->later, request->broker->loop, -1, 0, on_later, aside);
    event_add(&aside->later, &time);
    request->peer->aside = aside;
    return 1;
}

void aside_cancel(struct aside *aside)
{
    event_del(&aside->later);
    free(aside);
}
