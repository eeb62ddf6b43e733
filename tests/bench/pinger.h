/* SPDX-License-Identifier: MIT */
/*
 * The innocent client: it pings now and then, and wants to be answered as fast as ever.
 *
 * It sends a ping every PING_INTERVAL_NS, and so leaves nearly all of the broker's time to others. While a ping has no
 * answer it cannot send the next one, and one long delay would be a single bad time among many good ones. So a ping
 * that takes longer than the interval also counts for those that it kept from being sent, each with the time that was
 * left of the delay when it was due.
 *
 * Together with the broker it pings a bare server on the broker's CPU, which nobody else uses: what happens to that
 * one is the machine's doing, not the broker's.
 */
#ifndef BENCH_PINGER_H
#define BENCH_PINGER_H

#include <stdbool.h>

#include "bare_client.h"
#include "samples.h"

#define PING_INTERVAL_NS 200000u

struct pinger {
    struct sealbuf_client *client;
    const struct bare_client *bare;
};

/* Connects; as INNOCENT_UID where that is another user. -1 where it failed; it has been said why. */
int pinger_connect(struct pinger *pinger, const char *address, bool is_another, const struct bare_client *bare);
/* `count` pings of each, after some that are not counted. */
int pinger_run(struct pinger *pinger, struct samples *samples, struct samples *bare, unsigned count);
void pinger_disconnect(struct pinger *pinger);

#endif
