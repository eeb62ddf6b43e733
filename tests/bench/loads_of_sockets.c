/* SPDX-License-Identifier: MIT */
/* Loads of connections and messages: there is no buffer in any of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "complain.h"
#include "flood.h"
#include "hostile_loads.h"

static struct flood flood;

/* ---- connects: connections that come and go, every other one without a word ---- */

#define CONNECTS_A_STEP 16

static int connect_once(struct hostile *hostile, bool greet)
{
    int socket = wire_connect(hostile->address), r = 0;

    if (socket < 0)
        return -1;
    if (greet)
        r = wire_greet(socket);
    close(socket);
    hostile->done++;
    /* So many of those before may still be open that this one was not admitted. */
    return r == 0 || r == -ECONNRESET ? 0 : complain("the handshake of a hostile client: %s", strerror(-r));
}

static int prepare_connects(struct hostile *hostile)
{
    return connect_once(hostile, true);
}

static int step_connects(struct hostile *hostile)
{
    for (unsigned i = 0; i < CONNECTS_A_STEP; i++)
        if (connect_once(hostile, i % 2) < 0)
            return -1;
    return 0;
}

/* They are accepted in their order. */
static int rest_connects(struct hostile *hostile)
{
    return connect_once(hostile, true);
}

const struct load load_of_connects = {
    .key = "connects",
    .meaning = "connects and disconnects",
    .unit = "connections",
    .prepare = prepare_connects,
    .step = step_connects,
    .rest = rest_connects,
};

/* ---- pings: many connections, some of which have many pings in flight ---- */

#define SILENT     1000u
#define PINGERS    100u
#define PINGS_DEEP 64u

static struct message ping;

static int prepare_pings(struct hostile *hostile)
{
    flood = (struct flood){.lines = PINGERS, .depth = PINGS_DEEP, .message = &ping};
    message_begin(&ping, SEALBUF_OP_PING);
    message_end(&ping, 0);
    for (unsigned i = 0; i < SILENT; i++)
        if (wire_open(hostile->address) < 0) /* open to the end */
            return -1;
    return flood_open(&flood, hostile);
}

const struct load load_of_pings = {
    .key = "pings",
    .meaning = "1000 idle, and 100 with 64 pings in flight",
    .unit = "pings",
    .limits = {"connections=4096"},
    .prepare = prepare_pings,
    .begin = flood_begin,
    .step = flood_step,
    .rest = flood_rest,
};

/* ---- descriptors: 253 that nobody wants, in messages that are refused ---- */

static struct message unwanted;
static int pipes[SEALBUF_MAX_RECORDS];

static int prepare_descriptors(struct hostile *hostile)
{
    int ends[2];

    flood = (struct flood){.lines = 4,
                           .depth = 2,
                           .message = &unwanted,
                           .fds = pipes,
                           .fd_count = SEALBUF_MAX_RECORDS,
                           .expected = SEALBUF_ERR_DESCRIPTORS,
                           .may_be_dropped = true};
    message_begin(&unwanted, SEALBUF_OP_PING);
    message_end(&unwanted, SEALBUF_MAX_RECORDS);
    for (unsigned i = 0; i < SEALBUF_MAX_RECORDS; i++) {
        if (i % 2 == 0 && pipe2(ends, O_CLOEXEC) < 0)
            return complain("pipes to send: %s", strerror(errno));
        pipes[i] = ends[i % 2];
    }
    return flood_open(&flood, hostile);
}

const struct load load_of_descriptors = {
    .key = "descriptors",
    .meaning = "sends 253 unwanted pipes in a message",
    .unit = "messages",
    .needs_users = true, /* the broker turns all connections of the user away that does so */
    .prepare = prepare_descriptors,
    .begin = flood_begin,
    .step = flood_step,
    .rest = flood_rest,
};
