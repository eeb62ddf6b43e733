/* SPDX-License-Identifier: MIT */
#include "stalls.h"

#include <string.h>
#include <time.h>

#include "child.h"
#include "complain.h"
#include "cpus.h"
#include "hostile_loads.h"
#include "pinger.h"
#include "realtime.h"
#include "stolen.h"

static struct stall all[] = {
    {.load = &load_of_pins},        {.load = &load_of_closes},   {.load = &load_of_creates},
    {.load = &load_of_gets},        {.load = &load_of_listings}, {.load = &load_of_hidden_names},
    {.load = &load_of_connects},    {.load = &load_of_pings},    {.load = &load_of_disconnects},
    {.load = &load_of_descriptors}, {.load = &load_of_unread},
};
#define STALLS (sizeof(all) / sizeof(all[0]))

/* How long the broker, and the machine, have to finish with what the load has left behind. */
#define SETTLING_MS 20
/* Ticks of stolen time that a round may have: /proc/stat counts whole ones. */
#define STOLEN_AT_MOST 1

/* The clients go first, and so does the bare server: it stands for what a broker could do at the best. */
#define LOOP_PRIORITY   1
#define CLIENT_PRIORITY 2

struct scene {
    struct broker broker;
    struct bare_client bare; /* its server runs beside the broker */
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

double stall_ratio(const struct series *quiet, const struct series *loaded)
{
    return series_p99(quiet) ? (double)series_p99(loaded) / (double)series_p99(quiet) : 0;
}

enum stall_verdict stall_judge(const struct stall *stall)
{
    double ratio = stall_ratio(&stall->quiet, &stall->loaded);
    double bare = stall_ratio(&stall->bare_quiet, &stall->bare_loaded);

    if (ratio <= STALL_RATIO)
        return STALL_NONE;
    return bare > STALL_RATIO && ratio <= bare * STALL_LIKE_BARE ? STALL_BY_MACHINE : STALL_BY_BROKER;
}

/* On the CPU where this process is, and not only for the moment: what else it starts is elsewhere. */
static int start_servers(struct scene *scene, const struct load *load, const struct stall_plan *plan)
{
    if (broker_start(&scene->broker, plan->broker, load->limits) < 0 || broker_open_to_all(&scene->broker) < 0 ||
        bare_client_start(&scene->bare) < 0)
        return -1;
    if (!plan->realtime)
        return 0;
    realtime_begin(scene->broker.pid, LOOP_PRIORITY); /* not its workers, which it starts later */
    realtime_begin(scene->bare.server, CLIENT_PRIORITY);
    return 0;
}

/* The innocent client is this process. */
static int scene_open(struct scene *scene, const struct load *load, const struct stall_plan *plan)
{
    *scene = (struct scene){.hostile = {.control = -1}, .bare = {.socket = -1}};
    if (cpus_pin(plan->broker_cpu) < 0)
        return -1;
    int r = start_servers(scene, load, plan);
    if (cpus_pin(plan->together ? plan->broker_cpu : plan->cpu) < 0 || r < 0)
        return -1;
    const struct hostile hostile = {.address = scene->broker.socket,
                                    .small = plan->small,
                                    .is_another = plan->several_users,
                                    .yields = !plan->realtime,
                                    .run_ms = plan->run * (PING_INTERVAL_NS / 1000) / 1000};
    if (hostile_start(&scene->hostile, load, &hostile, plan->cpu) < 0)
        return -1;
    if (plan->realtime)
        realtime_begin(0, CLIENT_PRIORITY);
    return pinger_connect(&scene->pinger, scene->broker.socket, plan->several_users, &scene->bare);
}

static void scene_close(struct scene *scene)
{
    pinger_disconnect(&scene->pinger);
    realtime_end(0);
    hostile_stop(&scene->hostile);
    bare_client_stop(&scene->bare);
    broker_stop(&scene->broker);
}

static int take_round(struct scene *scene, struct stall *stall, unsigned run, uint64_t *busy_ns)
{
    const unsigned ms = stall->load->settling_ms ? stall->load->settling_ms : SETTLING_MS;
    const struct timespec settling = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&settling, NULL);
    if (interrupted() || pinger_run(&scene->pinger, &stall->quiet.samples, &stall->bare_quiet.samples, run) < 0 ||
        hostile_go(&scene->hostile) < 0)
        return -1;
    uint64_t start = now_ns();
    if (pinger_run(&scene->pinger, &stall->loaded.samples, &stall->bare_loaded.samples, run) < 0 ||
        hostile_rest(&scene->hostile) < 0)
        return -1;
    *busy_ns += now_ns() - start;
    return 0;
}

static int end_round(struct stall *stall)
{
    if (series_end_round(&stall->quiet) < 0 || series_end_round(&stall->loaded) < 0 ||
        series_end_round(&stall->bare_quiet) < 0 || series_end_round(&stall->bare_loaded) < 0)
        return complain("no memory for the times of a round");
    return 0;
}

static void drop_round(struct stall *stall)
{
    series_drop_round(&stall->quiet);
    series_drop_round(&stall->loaded);
    series_drop_round(&stall->bare_quiet);
    series_drop_round(&stall->bare_loaded);
}

/* A round in which a CPU was taken away for longer than a moment says nothing; but they cannot be taken for ever. */
static int take_rounds(struct scene *scene, struct stall *stall, const struct stall_plan *plan, unsigned *repeated)
{
    unsigned spoilt = 0;
    uint64_t busy_ns = 0;

    for (unsigned i = 0; i < plan->rounds;) {
        unsigned long long stolen = stolen_ticks();
        if (take_round(scene, stall, plan->run, &busy_ns) < 0)
            return -1;
        if (stolen_ticks() - stolen > STOLEN_AT_MOST && spoilt < plan->rounds) {
            drop_round(stall);
            spoilt++;
            continue;
        }
        if (end_round(stall) < 0)
            return -1;
        i++;
    }
    *repeated += spoilt;
    stall->rate = (double)scene->hostile.done * 1e9 / (double)busy_ns;
    memcpy(stall->note, scene->hostile.note, sizeof(stall->note));
    return 0;
}

static void finish_series(struct stall *stall)
{
    series_finish(&stall->quiet);
    series_finish(&stall->loaded);
    series_finish(&stall->bare_quiet);
    series_finish(&stall->bare_loaded);
}

static int prepare_series(struct stall *stall, size_t room)
{
    if (series_init(&stall->quiet, room) < 0 || series_init(&stall->loaded, room) < 0 ||
        series_init(&stall->bare_quiet, room) < 0 || series_init(&stall->bare_loaded, room) < 0)
        return complain("no memory for %zu times; ask for fewer --iterations", 4 * room);
    return 0;
}

static int take_stall(struct stall *stall, const struct stall_plan *plan, unsigned *repeated)
{
    struct scene scene;

    if (prepare_series(stall, (size_t)plan->rounds * plan->run) < 0)
        return -1;
    int r = scene_open(&scene, stall->load, plan);
    if (r == 0)
        r = take_rounds(&scene, stall, plan, repeated);
    if (r == 0)
        finish_series(stall);
    else
        broker_show_log(&scene.broker);
    scene_close(&scene);
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
        stall->skipped = stall->load->needs_users && !plan->several_users;
        if (stall->wanted && !stall->skipped)
            r = take_stall(stall, plan, &stalls->repeated);
    }
    if (cpus_pin(plan->cpu) < 0)
        r = -1;
    stalls->took_ns = now_ns() - start;
    return r;
}

void stalls_free(struct stalls *stalls)
{
    for (unsigned i = 0; i < stalls->count; i++) {
        struct stall *stall = &stalls->stall[i];
        series_free(&stall->quiet);
        series_free(&stall->loaded);
        series_free(&stall->bare_quiet);
        series_free(&stall->bare_loaded);
    }
}
