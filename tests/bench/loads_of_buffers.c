/* SPDX-License-Identifier: MIT */
/* Loads that create and get very many buffers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "complain.h"
#include "flood.h"
#include "hostile_buffers.h"
#include "hostile_loads.h"

#define BATCH       SEALBUF_MAX_RECORDS
#define SMALL_BYTES 4096u
#define OFFER       "offer/"

static struct flood flood;

/* ---- creates: batches of 253, again and again ---- */

static struct message creates, removes;

/* What was created is removed by the next message, so that the limits are never met. */
static int ask_for_creates(struct flood *f, struct line *line, struct answer *answer)
{
    uint64_t ids[BATCH];

    if (!answer || answer->header.opcode != (SEALBUF_OP_CREATE | SEALBUF_OP_REPLY))
        return f->resting ? 0 : flood_send(line, &creates, NULL, 0);
    int made = batch_ids(answer, ids);
    if (made <= 0)
        return made < 0 ? -1 : complain("the broker's limits allow a hostile client no buffer");
    if (batch_of_removes(&removes, ids, (unsigned)made) < 0)
        return -1;
    return flood_send(line, &removes, NULL, 0);
}

static int prepare_creates(struct hostile *hostile)
{
    flood = (struct flood){.lines = 4, .depth = 2, .ask = ask_for_creates};
    if (batch_of_creates(&creates, BATCH, SMALL_BYTES, 0) < 0)
        return -1;
    return flood_open(&flood, hostile);
}

const struct load load_of_creates = {
    .key = "creates",
    .meaning = "creates 253 in a message, and removes them",
    .unit = "messages",
    .prepare = prepare_creates,
    .begin = flood_begin,
    .step = flood_step,
    .rest = flood_rest,
};

/* ---- gets: batches of 253, again and again ---- */

static struct message gets;

static int make_offer(int socket)
{
    struct hostile_buffer buffers[BATCH];
    uint64_t ids[BATCH];
    struct get_request get = {.owner = SEALBUF_OWNER_SELF, .seals = SEALBUF_SEALS_IMMUTABLE};
    char name[32];

    if (hostile_buffers_create_all(socket, buffers, BATCH, SMALL_BYTES, SEALBUF_SEALS_IMMUTABLE) < 0)
        return -1;
    message_begin(&gets, SEALBUF_OP_GET);
    for (unsigned i = 0; i < BATCH; i++) {
        close(buffers[i].fd);
        ids[i] = buffers[i].id;
        snprintf(name, sizeof(name), OFFER "%06u", i);
        get.name = SPAN(name);
        if (message_add(&gets, &get_request_schema, &get) < 0)
            return -1;
    }
    message_end(&gets, 0);
    return hostile_names_bind(socket, ids, BATCH, OFFER, BATCH);
}

static int ask_for_gets(struct flood *f, struct line *line, struct answer *answer)
{
    if (answer && answer->descriptors.count != BATCH)
        return complain("a hostile GET of %u buffers brought %u descriptors", BATCH, answer->descriptors.count);
    return f->resting ? 0 : flood_send(line, &gets, NULL, 0);
}

static int prepare_gets(struct hostile *hostile)
{
    flood = (struct flood){.lines = 4, .depth = 2, .ask = ask_for_gets};
    return flood_open(&flood, hostile) < 0 ? -1 : make_offer(flood.line[0].socket);
}

const struct load load_of_gets = {
    .key = "gets",
    .meaning = "gets 253 in a message, read-only",
    .unit = "messages",
    .prepare = prepare_gets,
    .begin = flood_begin,
    .step = flood_step,
    .rest = flood_rest,
};

/* ---- unread: gets, and no reading ---- */

#define UNREAD_CONNECTIONS 16u
#define UNREAD_MS          40

static int prepare_unread(struct hostile *hostile)
{
    static int publisher = -1; /* open to the end */

    publisher = wire_open(hostile->address);
    return publisher < 0 ? -1 : make_offer(publisher);
}

/* Until the connection takes no more. */
static int ask_without_reading(struct hostile *hostile, int socket)
{
    int r;

    while ((r = wire_send(socket, &gets, NULL, 0)) == 0)
        hostile->done++;
    return r == -EAGAIN ? 0 : complain("sending what will not be read: %s", strerror(-r));
}

static int step_unread(struct hostile *hostile)
{
    const struct timespec a_while = {.tv_nsec = UNREAD_MS * 1000000L};
    int sockets[UNREAD_CONNECTIONS], r = 0;
    unsigned open = 0;

    while (open < UNREAD_CONNECTIONS && r == 0) {
        sockets[open] = wire_open(hostile->address);
        if (sockets[open] < 0)
            r = -1;
        else
            r = ask_without_reading(hostile, sockets[open++]);
    }
    if (r == 0)
        nanosleep(&a_while, NULL);
    while (open > 0)
        close(sockets[--open]);
    return r;
}

static int rest_nothing(struct hostile *hostile)
{
    (void)hostile;
    return 0;
}

const struct load load_of_unread = {
    .key = "unread",
    .meaning = "gets until 16 sockets are full, and reads none",
    .unit = "messages",
    .prepare = prepare_unread,
    .step = step_unread,
    .rest = rest_nothing,
};

/* ---- disconnects: a connection that ends with as many unpublished buffers as there may be ---- */

#define MOST_HELD       50000u
#define MOST_HELD_SMALL 2000u
#define BATCHES_A_STEP  32u
/* More than enough of them, also where there is no room at first. */
#define BATCHES_TO_BEGIN 1000u

static struct {
    int socket; /* -1: to be opened */
    unsigned count, most;
} holder = {.socket = -1};

static int prepare_disconnects(struct hostile *hostile)
{
    struct stats_reply stats;
    int socket = wire_open(hostile->address);

    if (socket < 0 || hostile_stats(socket, &stats) < 0)
        return -1;
    close(socket);
    holder.most = hostile->small ? MOST_HELD_SMALL : MOST_HELD;
    if (holder.most > stats.uid_buffers_limit)
        holder.most = (unsigned)stats.uid_buffers_limit;
    if (holder.most == 0)
        return complain("the broker allows no buffers");
    snprintf(hostile->note, sizeof(hostile->note), "%u buffers", holder.most);
    return 0;
}

static int create_held(void)
{
    struct hostile_buffer buffers[BATCH];
    int made = hostile_buffers_create(holder.socket, buffers, BATCH, SMALL_BYTES, 0);

    for (int i = 0; i < made; i++)
        close(buffers[i].fd);
    return made;
}

/* What the last connection held is dropped and closed some time after its end; until then there is no room. */
static int fill_holder(struct hostile *hostile, unsigned batches)
{
    const struct timespec a_moment = {.tv_nsec = 1000000};

    if (holder.socket < 0) {
        holder.count = 0;
        holder.socket = wire_open(hostile->address);
    }
    if (holder.socket < 0)
        return -1;
    while (batches-- > 0 && holder.count < holder.most) {
        int made = create_held();
        if (made < 0)
            return -1;
        holder.count += (unsigned)made;
        if (made < (int)BATCH)
            nanosleep(&a_moment, NULL);
    }
    return 0;
}

static int begin_disconnects(struct hostile *hostile)
{
    return fill_holder(hostile, BATCHES_TO_BEGIN);
}

static int step_disconnects(struct hostile *hostile)
{
    if (holder.count < holder.most || holder.socket < 0)
        return fill_holder(hostile, BATCHES_A_STEP);
    close(holder.socket);
    holder.socket = -1;
    hostile->done++;
    return 0;
}

const struct load load_of_disconnects = {
    .key = "disconnects",
    .meaning = "disconnects with many unpublished buffers",
    .unit = "disconnects",
    .limits = {"connections=16"}, /* connections reserve descriptors: fewer of them leave room for more buffers */
    .prepare = prepare_disconnects,
    .begin = begin_disconnects,
    .step = step_disconnects,
    .rest = rest_nothing,
};
