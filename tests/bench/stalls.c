/* SPDX-License-Identifier: MIT */
#include "stalls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "complain.h"
#include "cpus.h"
#include "hostile_loads.h"
#include "pinger.h"
#include "realtime.h"

static struct stall all[] = {
    {.load = &load_of_pins},        {.load = &load_of_closes},   {.load = &load_of_creates},
    {.load = &load_of_gets},        {.load = &load_of_listings}, {.load = &load_of_hidden_names},
    {.load = &load_of_connects},    {.load = &load_of_pings},    {.load = &load_of_disconnects},
    {.load = &load_of_descriptors}, {.load = &load_of_unread},
};
#define STALLS (sizeof(all) / sizeof(all[0]))

struct theatre {
    struct broker broker;
    struct pinger pinger;
    struct hostile_process hostile;
};

bool stalls_know(const char *key)
{
    for (unsigned i = 0; i < STALLS; i++)
        if (strcmp(all[i].load->key, key) == 0)
            return true;
    return false;
}

double stall_ratio(const struct stall *stall)
{
    return stall->quiet_p99 ? (double)stall->loaded_p99 / (double)stall->quiet_p99 : 0;
}

static int theatre_open(struct theatre *theatre, const struct stall *stall, const struct stall_plan *plan)
{
    struct hostile hostile = {.address = theatre->broker.socket,
                              .small = plan->small,
                              .yields = !plan->realtime,
                              .run_ms = plan->run * (PING_INTERVAL_NS / 1000) / 1000};
    int load_cpu = plan->cpu, pinger_cpu = plan->cpu;

    *theatre = (struct theatre){.hostile = {.control = -1}};
    if (getenv("BENCH_TOGETHER"))
        pinger_cpu = plan->broker_cpu;
    if (cpus_pin(plan->broker_cpu) < 0)
        return -1;
    int r = broker_start(&theatre->broker, plan->broker, stall->load->limits);
    if (cpus_pin(pinger_cpu) < 0 || r < 0 || broker_open_to_all(&theatre->broker) < 0)
        return -1;
    if (plan->realtime)
        realtime_begin(theatre->broker.pid, 1); /* its loop: workers are threads that it starts later */
    if (hostile_start(&theatre->hostile, stall->load, &hostile, load_cpu) < 0)
        return -1;
    if (plan->realtime)
        realtime_begin(0, 2);
    return pinger_connect(&theatre->pinger, theatre->broker.socket);
}

static void theatre_close(struct theatre *theatre)
{
    pinger_disconnect(&theatre->pinger);
    realtime_end(0);
    hostile_stop(&theatre->hostile);
    broker_stop(&theatre->broker);
}

static uint64_t percentile_of_last(const struct samples *samples, unsigned run, double percent)
{
    uint64_t *copy = malloc(run * sizeof(*copy));
    struct samples last = {.ns = copy, .count = run, .room = run};

    if (!copy)
        return 0;
    memcpy(copy, samples->ns + samples->count - run, run * sizeof(*copy));
    samples_sort(&last);
    uint64_t ns = samples_percentile(&last, percent);
    free(copy);
    return ns;
}

static int take_rounds(struct theatre *theatre, struct stall *stall, const struct stall_plan *plan)
{
    uint64_t quiet[STALL_ROUNDS_AT_MOST], loaded[STALL_ROUNDS_AT_MOST], busy_ns = 0;

    for (unsigned i = 0; i < plan->rounds; i++) {
        const struct timespec settle = {.tv_nsec = 20000000};
        nanosleep(&settle, NULL);
        if (interrupted() || pinger_run(&theatre->pinger, &stall->quiet, plan->run) < 0)
            return -1;
        quiet[i] = percentile_of_last(&stall->quiet, plan->run, 99);
        if (hostile_go(&theatre->hostile) < 0)
            return -1;
        uint64_t start = now_ns();
        if (pinger_run(&theatre->pinger, &stall->loaded, plan->run) < 0 || hostile_rest(&theatre->hostile) < 0)
            return -1;
        busy_ns += now_ns() - start;
        loaded[i] = percentile_of_last(&stall->loaded, plan->run, 99);
    }
    struct samples q = {.ns = quiet, .count = plan->rounds}, l = {.ns = loaded, .count = plan->rounds};
    if (getenv("BENCH_ROUNDS"))
        for (unsigned i = 0; i < plan->rounds; i++)
            fprintf(stderr, "%s round %u: quiet %.1f loaded %.1f\n", stall->load->key, i, (double)quiet[i] / 1e3,
                    (double)loaded[i] / 1e3);
    samples_sort(&q);
    samples_sort(&l);
    stall->quiet_p99 = samples_percentile(&q, 50);
    stall->loaded_p99 = samples_percentile(&l, 50);
    stall->rate = (double)theatre->hostile.done * 1e9 / (double)busy_ns;
    memcpy(stall->note, theatre->hostile.note, sizeof(stall->note));
    samples_sort(&stall->quiet);
    samples_sort(&stall->loaded);
    return 0;
}

static int take_stall(struct stall *stall, const struct stall_plan *plan)
{
    size_t room = (size_t)plan->rounds * plan->run;
    struct theatre theatre;

    if (samples_init(&stall->quiet, room) < 0 || samples_init(&stall->loaded, room) < 0)
        return complain("no memory for %zu times; ask for fewer --iterations", 2 * room);
    int r = theatre_open(&theatre, stall, plan);
    if (r == 0)
        r = take_rounds(&theatre, stall, plan);
    if (r < 0)
        broker_show_log(&theatre.broker);
    theatre_close(&theatre);
    return r;
}

int stalls_take(struct stalls *stalls, const struct stall_plan *plan)
{
    uint64_t start = now_ns();
    int r = 0;

    *stalls = (struct stalls){.stall = all, .count = STALLS, .rounds = plan->rounds, .run = plan->run};
    for (unsigned i = 0; i < STALLS && r == 0; i++) {
        struct stall *stall = &all[i];
        stall->wanted = !plan->only || strcmp(plan->only, stall->load->key) == 0;
        stall->skipped = stall->load->needs_users && geteuid() != 0;
        if (stall->wanted && !stall->skipped)
            r = take_stall(stall, plan);
    }
    if (cpus_pin(plan->cpu) < 0)
        r = -1;
    stalls->took_ns = now_ns() - start;
    return r;
}

void stalls_free(struct stalls *stalls)
{
    for (unsigned i = 0; i < stalls->count; i++) {
        samples_free(&stalls->stall[i].quiet);
        samples_free(&stalls->stall[i].loaded);
    }
}
