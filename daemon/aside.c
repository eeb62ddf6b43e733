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

static int put(struct peer *peer, const uint8_t *message, size_t length, unsigned milliseconds, bool is_judged)
{
    struct timeval time = {.tv_usec = (suseconds_t)milliseconds * 1000};
    struct aside *aside = malloc(sizeof(*aside) + length);

    if (!aside)
        return -ENOMEM;
    aside->peer = peer;
    aside->milliseconds = milliseconds;
    aside->is_due = false;
    aside->is_judged = is_judged;
    aside->length = length;
    memcpy(aside->message, message, length);
    event_assign(&aside->later, peer->broker->loop, -1, 0, on_later, aside);
    event_add(&aside->later, &time);
    peer->aside = aside;
    return 1;
}

int aside_put(struct request *request, struct limit_met *met)
{
    unsigned before = request->aside ? request->aside->milliseconds : 1;

    if (!peer_charge_request(request->peer, met))
        return -EDQUOT;
    return put(request->peer, request->message, request->length, before < LONGEST_MS ? before * 2 : LONGEST_MS, true);
}

int aside_restore(struct peer *peer, const uint8_t *message, size_t length)
{
    int r = put(peer, message, length, 1, false);
    return r < 0 ? r : 0;
}

void aside_cancel(struct aside *aside)
{
    event_del(&aside->later);
    free(aside);
}
