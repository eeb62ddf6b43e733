/* SPDX-License-Identifier: MIT */
/*
 * What one figure is measured on: a broker with a connection to it, and beside it a bare server, each of which holds
 * the same number of live buffers: 4 KiB, immutable, published as live/0, live/1 and so on.
 */
#ifndef BENCH_STAGE_H
#define BENCH_STAGE_H

#include <sealbuf.h>

#include "bare_client.h"
#include "broker.h"

#define PAGE_BYTES 4096u
/* The bare server's slots below are for the operations, the live buffers have those from here on. */
#define LIVE_SLOTS 256u
#define LIVE_NAME  "live/%u"
#define NAME_SIZE  32

struct stage {
    struct broker broker;
    sealbuf_client *client;
    struct bare_client bare;
    unsigned live;
};

/*
 * Starts everything, with as many live buffers as asked for, or as the limits of descriptors allow: stage->live says
 * how many. -1 where it failed; it has been said why, and stage_close is still to be called.
 */
int stage_open(struct stage *stage, const char *broker_program, unsigned live);
void stage_close(struct stage *stage);

#endif
