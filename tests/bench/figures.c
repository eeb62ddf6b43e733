/* SPDX-License-Identifier: MIT */
#include "figures.h"

#include <string.h>

#include "child.h"
#include "complain.h"

#define RUN     100u /* operations, between two changes of the side */
#define SET_RUN 4u   /* messages with a set each */
#define WARM_UP 8u   /* untimed pings, with which each run begins */

#define BOTH(name) by_sealbuf_##name, by_bare_##name

static struct figure all[] = {
    {"ping", "ping", WITH_ONE_LIVE, BOTH(ping), RUN, 1, false, {0}, {0}},
    {"create", "create 4 KiB", WITH_ONE_LIVE, BOTH(create), RUN, 1, false, {0}, {0}},
    {"seal", "seal, by the broker", WITH_ONE_LIVE, BOTH(seal), RUN, 1, false, {0}, {0}},
    {"seal-local", "seal, by the client", WITH_ONE_LIVE, BOTH(seal_local), RUN, 1, false, {0}, {0}},
    {"publish", "publish", WITH_ONE_LIVE, BOTH(publish), RUN, 1, false, {0}, {0}},
    {"get", "get 4 KiB", WITH_ONE_LIVE, BOTH(get), RUN, 1, false, {0}, {0}},
    {"get-writable", "get, writable", WITH_ONE_LIVE, BOTH(get_writable), RUN, 1, false, {0}, {0}},
    {"create-set", "create 64 at once, for each", WITH_ONE_LIVE, BOTH(create_set), SET_RUN, SET_SIZE, false, {0}, {0}},
    {"get-set", "get 64 at once, for each", WITH_ONE_LIVE, BOTH(get_set), SET_RUN, SET_SIZE, false, {0}, {0}},
    {"get-1gib", "get 1 GiB, untouched", WITH_ONE_LIVE, BOTH(get_1gib), RUN, 1, false, {0}, {0}},
    {"get-many", "get 4 KiB, many live", WITH_MANY_LIVE, BOTH(get), RUN, 1, false, {0}, {0}},
};
#define FIGURES (sizeof(all) / sizeof(all[0]))

struct figure *figures_find(const char *key)
{
    for (unsigned i = 0; i < FIGURES; i++)
        if (strcmp(all[i].key, key) == 0)
            return &all[i];
    return NULL;
}

static unsigned rounds_for(unsigned iterations)
{
    return (iterations + RUN - 1) / RUN;
}

/* Room for all the samples; and which stages they need. */
static int prepare(const struct plan *plan, bool needed[STAGES])
{
    for (struct figure *f = all; f < all + FIGURES; f++) {
        size_t room = (size_t)f->run * rounds_for(plan->iterations);
        f->wanted = !plan->only || strcmp(plan->only, f->key) == 0;
        if (!f->wanted)
            continue;
        needed[f->where] = true;
        if (samples_init(&f->sealbuf, room) < 0 || samples_init(&f->bare, room) < 0)
            return complain("no memory for %u times; ask for fewer --iterations", plan->iterations);
    }
    return 0;
}

/* The caches, and the scheduler's mind, are on the other side: the first operations would pay for that. */
static int take_run(run_fn *run, run_fn *ping, struct stage *stage, struct samples *samples, unsigned count)
{
    struct samples none = {0};

    if (interrupted() || ping(stage, &none, WARM_UP) < 0)
        return -1;
    return run(stage, samples, count);
}

static int take_round(struct stage *stages)
{
    for (struct figure *f = all; f < all + FIGURES; f++) {
        struct stage *stage = &stages[f->where];
        if (!f->wanted)
            continue;
        if (take_run(f->by_sealbuf, by_sealbuf_ping, stage, &f->sealbuf, f->run) < 0 ||
            take_run(f->by_bare, by_bare_ping, stage, &f->bare, f->run) < 0)
            return -1;
    }
    return 0;
}

static void forget_samples(void)
{
    for (struct figure *f = all; f < all + FIGURES; f++)
        f->sealbuf.count = f->bare.count = 0;
}

/* The first round is not counted: it fills the caches, the allocators and the page tables. */
static int take_rounds(struct stage *stages, const struct plan *plan, struct figures *figures)
{
    if (take_round(stages) < 0)
        return -1;
    forget_samples();
    uint64_t start = now_ns();
    for (figures->rounds = 0; figures->rounds < rounds_for(plan->iterations); figures->rounds++) {
        if (plan->budget_ns && figures->rounds && now_ns() - start > plan->budget_ns)
            break;
        if (take_round(stages) < 0)
            return -1;
    }
    figures->took_ns = now_ns() - start;
    for (struct figure *f = all; f < all + FIGURES; f++) {
        samples_sort(&f->sealbuf);
        samples_sort(&f->bare);
    }
    return 0;
}

int figures_take(struct figures *figures, const struct plan *plan)
{
    const unsigned live[STAGES] = {[WITH_ONE_LIVE] = 1, [WITH_MANY_LIVE] = plan->live};
    struct stage stages[STAGES] = {{.live = 0}};
    bool needed[STAGES] = {false};
    unsigned opened = 0;

    *figures = (struct figures){.figure = all, .count = FIGURES};
    int r = prepare(plan, needed);
    while (r == 0 && opened < STAGES) {
        if (needed[opened])
            r = stage_open(&stages[opened], plan->broker, live[opened]);
        opened++;
    }
    figures->live = stages[WITH_MANY_LIVE].live;
    if (r == 0)
        r = take_rounds(stages, plan, figures);
    while (opened > 0) {
        struct stage *stage = &stages[--opened];
        if (r < 0)
            broker_show_log(&stage->broker);
        stage_close(stage);
    }
    return r;
}

void figures_free(struct figures *figures)
{
    for (struct figure *f = figures->figure; f < figures->figure + figures->count; f++) {
        samples_free(&f->sealbuf);
        samples_free(&f->bare);
    }
}
