/* SPDX-License-Identifier: MIT */
#include "survival.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <sealbuf.h>

#include "complain.h"

#define TIMEOUT_MS 30000
#define BYTES      4096u
#define NAME_SIZE  32

static const struct survival_figure figures[SURVIVAL_KINDS] = {
    [SURVIVAL_SINGLE] = {.key = "single", .meaning = "one after the other", .spread = 1},
    [SURVIVAL_FLIGHT] = {.key = "flight", .meaning = "64 in flight, for each", .spread = SURVIVAL_SET},
    [SURVIVAL_BATCH] = {.key = "batch", .meaning = "64 in a message, for each", .spread = SURVIVAL_SET},
};

/* Buffers of a run, and what they are to be published as. */
struct set {
    sealbuf_buffer *buffer[SURVIVAL_SET];
    struct sealbuf_publish_options options[SURVIVAL_SET];
    char name[SURVIVAL_SET][NAME_SIZE];
};

static sealbuf_client *connect_to(const char *address)
{
    struct sealbuf_connect_options options = {
        .struct_size = sizeof(options), .address = address, .timeout_ms = TIMEOUT_MS};
    sealbuf_client *client = NULL;
    int r = sealbuf_connect(&client, &options);

    if (r < 0)
        complain_client("connecting to the broker", NULL, r);
    return client;
}

static int set_create(struct set *set, sealbuf_client *client, unsigned first, uint32_t flags)
{
    struct sealbuf_create_options options[SURVIVAL_SET];

    memset(set, 0, sizeof(*set));
    for (unsigned i = 0; i < SURVIVAL_SET; i++) {
        options[i] = (struct sealbuf_create_options){
            .struct_size = sizeof(options[i]), .size = BYTES, .seals = SEALBUF_SEALS_IMMUTABLE};
        snprintf(set->name[i], NAME_SIZE, "bench/survival/%u", first + i);
        set->options[i] = (struct sealbuf_publish_options){.struct_size = sizeof(set->options[i]),
                                                           .name = set->name[i],
                                                           .seals = SEALBUF_SEALS_IMMUTABLE,
                                                           .flags = flags | SEALBUF_PUBLISH_REPLACE};
    }
    int r = sealbuf_create_many(client, set->buffer, NULL, options, SURVIVAL_SET);
    return r < 0 ? complain_client("creating buffers to measure with", client, r) : 0;
}

static void set_free(struct set *set)
{
    for (unsigned i = 0; i < SURVIVAL_SET; i++)
        set->buffer[i] = sealbuf_buffer_free(set->buffer[i]);
}

/* Names first to first + SURVIVAL_SET - 1 are unbound. */
static int remove_set(sealbuf_client *client, unsigned first)
{
    for (unsigned i = 0; i < SURVIVAL_SET; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof(name), "bench/survival/%u", first + i);
        struct sealbuf_target target = {.struct_size = sizeof(target), .name = name};
        int r = sealbuf_remove(client, &target);
        if (r < 0)
            return complain_client("removing what was measured", client, r);
    }
    return 0;
}

static int publish_single(sealbuf_client *client, struct set *set, struct samples *samples)
{
    int r = 0;

    for (unsigned i = 0; i < SURVIVAL_SET && r >= 0; i++)
        r = TIMED(samples, sealbuf_publish(client, set->buffer[i], &set->options[i], NULL));
    return r;
}

static void note_failure(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    int *first = userdata;

    (void)client;
    if (*first == 0)
        *first = sealbuf_reply_status(reply);
}

static int publish_flight(sealbuf_client *client, struct set *set)
{
    int failure = 0, r = 0;

    for (unsigned i = 0; i < SURVIVAL_SET && r >= 0; i++)
        r = sealbuf_start_publish(client, &set->buffer[i], &set->options[i], 1, note_failure, &failure);
    while (r >= 0 && sealbuf_pending(client) > 0)
        r = sealbuf_wait(client, TIMEOUT_MS);
    return r < 0 ? r : failure;
}

static int publish_set(sealbuf_client *client, struct set *set, enum survival_kind kind, struct samples *samples)
{
    int r;

    if (kind == SURVIVAL_SINGLE)
        r = publish_single(client, set, samples);
    else if (kind == SURVIVAL_FLIGHT)
        r = TIMED(samples, publish_flight(client, set));
    else
        r = TIMED(samples, sealbuf_publish_many(client, set->buffer, NULL, set->options, SURVIVAL_SET));
    return r < 0 ? complain_client("publish", client, r) : 0;
}

/* What the service manager is still to remove is removed when this is published, which is not timed: so that no run
   pays for the one before. */
static int settle(sealbuf_client *client)
{
    const struct sealbuf_put_options options = {
        .struct_size = sizeof(options), .name = "bench/settle", .flags = SEALBUF_PUBLISH_REPLACE};
    int r = sealbuf_put(client, &options, "", 1, NULL);

    return r < 0 ? complain_client("publish", client, r) : 0;
}

static int run(sealbuf_client *client, enum survival_kind kind, uint32_t flags, struct samples *samples)
{
    struct set set;
    int r = set_create(&set, client, 0, flags);

    if (r == 0)
        r = publish_set(client, &set, kind, samples);
    if (r == 0)
        r = remove_set(client, 0);
    set_free(&set);
    return r == 0 ? settle(client) : r;
}

static int take_publishes(struct survival *survival, sealbuf_client *client, const struct survival_plan *plan)
{
    for (unsigned round = 0; round < plan->rounds; round++)
        for (enum survival_kind kind = 0; kind < SURVIVAL_KINDS; kind++) {
            struct survival_figure *figure = &survival->figure[kind];
            if (run(client, kind, SEALBUF_PUBLISH_VOLATILE, &figure->fleeting) < 0 ||
                run(client, kind, 0, &figure->survives) < 0)
                return -1;
        }
    return 0;
}

/* As many buffers as are to come back. */
static int fill(struct survival *survival, sealbuf_client *client, unsigned buffers)
{
    struct set set;

    while (survival->buffers < buffers) {
        int r = set_create(&set, client, survival->buffers, 0);
        if (r == 0) {
            r = sealbuf_publish_many(client, set.buffer, NULL, set.options, SURVIVAL_SET);
            if (r < 0)
                complain_client("publishing what is to come back", client, r);
        }
        set_free(&set);
        if (r < 0)
            return r;
        survival->buffers += SURVIVAL_SET;
    }
    return 0;
}

/* Whether they are there, all of them. */
static int look(sealbuf_client *client, unsigned buffers)
{
    for (unsigned i = 0; i < buffers; i++) {
        char name[NAME_SIZE];
        const struct sealbuf_info *info;
        snprintf(name, sizeof(name), "bench/survival/%u", i);
        struct sealbuf_target target = {.struct_size = sizeof(target), .name = name};
        int r = sealbuf_stat(client, &target, &info);
        if (r < 0)
            return complain_client(name, client, r);
    }
    return 0;
}

/* *client is one of the new broker afterwards. */
static int kill_once(struct survival *survival, sealbuf_client **client, const char *address)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)}, after = {.struct_size = sizeof(after)};
    int r = sealbuf_stats(*client, &stats);

    if (r < 0)
        return complain_client("asking for the broker's process", *client, r);
    *client = sealbuf_disconnect(*client);
    uint64_t start = now_ns();
    if (kill((pid_t)stats.pid, SIGKILL) < 0)
        return complain("killing the broker, process %u: %s; --survival needs a broker that one may kill", stats.pid,
                        strerror(errno));
    *client = connect_to(address);
    if (!*client)
        return -1;
    samples_add(&survival->back, now_ns() - start);
    r = sealbuf_stats(*client, &after);
    if (r < 0)
        return complain_client("asking for the new broker's process", *client, r);
    if (after.pid == stats.pid)
        return complain("process %u answers, although it was killed", stats.pid);
    samples_add(&survival->restore, after.uptime_ns);
    return look(*client, survival->buffers);
}

static int take_kills(struct survival *survival, sealbuf_client **client, const struct survival_plan *plan)
{
    int r = fill(survival, *client, plan->buffers);

    for (unsigned i = 0; i < plan->kills && r == 0; i++)
        r = kill_once(survival, client, plan->address);
    for (unsigned i = 0; i < survival->buffers && r == 0; i += SURVIVAL_SET)
        r = remove_set(*client, i);
    return r;
}

static int make_room(struct survival *survival, const struct survival_plan *plan)
{
    int r = 0;

    for (unsigned kind = 0; kind < SURVIVAL_KINDS && r == 0; kind++) {
        struct survival_figure *figure = &survival->figure[kind];
        size_t room = (size_t)plan->rounds * SURVIVAL_SET / figure->spread;
        r = samples_init(&figure->fleeting, room);
        if (r == 0)
            r = samples_init(&figure->survives, room);
    }
    if (r == 0)
        r = samples_init(&survival->back, plan->kills);
    if (r == 0)
        r = samples_init(&survival->restore, plan->kills);
    return r < 0 ? complain("no memory for the times; take fewer --iterations") : 0;
}

static void sort_all(struct survival *survival)
{
    for (unsigned kind = 0; kind < SURVIVAL_KINDS; kind++) {
        samples_sort(&survival->figure[kind].fleeting);
        samples_sort(&survival->figure[kind].survives);
    }
    samples_sort(&survival->back);
    samples_sort(&survival->restore);
}

int survival_take(struct survival *survival, const struct survival_plan *plan)
{
    uint64_t start = now_ns();

    *survival = (struct survival){.buffers = 0};
    memcpy(survival->figure, figures, sizeof(figures));
    if (make_room(survival, plan) < 0)
        return -1;
    sealbuf_client *client = connect_to(plan->address);
    int r = client ? take_publishes(survival, client, plan) : -1;
    if (r == 0)
        r = take_kills(survival, &client, plan);
    sealbuf_disconnect(client);
    sort_all(survival);
    survival->took_ns = now_ns() - start;
    return r;
}

void survival_free(struct survival *survival)
{
    for (unsigned kind = 0; kind < SURVIVAL_KINDS; kind++) {
        samples_free(&survival->figure[kind].fleeting);
        samples_free(&survival->figure[kind].survives);
    }
    samples_free(&survival->back);
    samples_free(&survival->restore);
}
