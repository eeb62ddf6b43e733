/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <stdio.h>
#include <sys/resource.h>

#include "complain.h"

#define FILL_BATCH 128u
/* Buffers, and descriptors, that the operations themselves have at the most, and some to spare. */
#define HEADROOM 256u
/* Long enough for a machine that is busy, short enough for a person who waits. */
#define TIMEOUT_MS 10000

static unsigned least(uint64_t a, uint64_t b)
{
    return (unsigned)(a < b ? a : b);
}

/* How many live buffers the broker and the bare server both can hold. */
static int find_room(struct stage *stage, unsigned wanted, unsigned *room)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};
    struct rlimit table;

    int r = sealbuf_stats(stage->client, &stats);
    if (r < 0)
        return complain_client("asking the broker for its limits", stage->client, r);
    uint64_t limit = least(stats.uid_buffers_limit, stats.uid_names_limit);
    if (getrlimit(RLIMIT_NOFILE, &table) == 0)
        limit = least(limit, table.rlim_cur);
    limit = least(limit, BARE_SLOTS - LIVE_SLOTS + HEADROOM);
    if (limit <= HEADROOM)
        return complain("the broker allows %llu buffers, but the bench needs more than %u; raise the limit of open "
                        "files (ulimit -Hn)",
                        (unsigned long long)limit, HEADROOM);
    *room = least(wanted, limit - HEADROOM);
    return 0;
}

static int publish_batch(struct stage *stage, unsigned first, sealbuf_buffer **buffers, unsigned count)
{
    struct sealbuf_publish_options options[FILL_BATCH];
    char names[FILL_BATCH][NAME_SIZE];

    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], NAME_SIZE, LIVE_NAME, first + i);
        options[i] = (struct sealbuf_publish_options){
            .struct_size = sizeof(options[i]), .name = names[i], .seals = SEALBUF_SEALS_IMMUTABLE};
    }
    int r = sealbuf_publish_many(stage->client, buffers, NULL, options, count);
    return r < 0 ? complain_client("publishing the live buffers", stage->client, r) : 0;
}

static int fill_broker(struct stage *stage, unsigned first, unsigned count)
{
    struct sealbuf_create_options options[FILL_BATCH];
    sealbuf_buffer *buffers[FILL_BATCH] = {NULL};

    for (unsigned i = 0; i < count; i++)
        options[i] = (struct sealbuf_create_options){
            .struct_size = sizeof(options[i]), .size = PAGE_BYTES, .seals = SEALBUF_SEALS_IMMUTABLE};
    int r = sealbuf_create_many(stage->client, buffers, NULL, options, count);
    if (r < 0)
        r = complain_client("creating the live buffers", stage->client, r);
    else
        r = publish_batch(stage, first, buffers, count);
    for (unsigned i = 0; i < count; i++)
        sealbuf_buffer_free(buffers[i]);
    return r;
}

static int fill_bare(struct stage *stage, unsigned first, unsigned count)
{
    struct bare_request request = {
        .operation = BARE_CREATE, .first = LIVE_SLOTS + first, .count = count, .size = PAGE_BYTES};
    struct bare_catch caught;
    int r = bare_call(&stage->bare, &request, &caught);

    bare_catch_close(&caught);
    if (r == 0) {
        request.operation = BARE_SEAL;
        request.seals = SEALBUF_SEAL_WRITE;
        r = bare_call(&stage->bare, &request, &caught);
    }
    return r < 0 ? complain_bare("making the live buffers", r) : 0;
}

int stage_open(struct stage *stage, const char *broker_program, unsigned live)
{
    /* Connections reserve descriptors: fewer of them leave room for more buffers. */
    static const char *const limits[] = {"connections=64", NULL};

    *stage = (struct stage){.bare = {.socket = -1}};
    if (broker_start(&stage->broker, broker_program, limits) < 0 || bare_client_start(&stage->bare) < 0)
        return -1;
    struct sealbuf_connect_options options = {
        .struct_size = sizeof(options), .address = stage->broker.socket, .timeout_ms = TIMEOUT_MS};
    int r = sealbuf_connect(&stage->client, &options);
    if (r < 0)
        return complain_client("connecting to the broker", NULL, r);
    if (find_room(stage, live, &live) < 0)
        return -1;
    while (stage->live < live) {
        unsigned count = least(FILL_BATCH, live - stage->live);
        if (fill_broker(stage, stage->live, count) < 0 || fill_bare(stage, stage->live, count) < 0)
            return -1;
        stage->live += count;
    }
    return 0;
}

void stage_close(struct stage *stage)
{
    stage->client = sealbuf_disconnect(stage->client);
    bare_client_stop(&stage->bare);
    broker_stop(&stage->broker);
}
