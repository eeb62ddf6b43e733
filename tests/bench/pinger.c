/* SPDX-License-Identifier: MIT */
#include "pinger.h"

#include <errno.h>
#include <sys/prctl.h>

#include "complain.h"
#include "users.h"

#define TIMEOUT_MS 10000
#define WARM_UP    50u

int pinger_connect(struct pinger *pinger, const char *address, bool is_another, const struct bare_client *bare)
{
    const struct sealbuf_connect_options options = {
        .struct_size = sizeof(options), .address = address, .timeout_ms = TIMEOUT_MS};

    *pinger = (struct pinger){.bare = bare};
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (is_another && users_act_as(INNOCENT_UID) < 0)
        return -1;
    int r = sealbuf_connect(&pinger->client, &options);
    if (is_another && users_act_as(0) < 0)
        return -1;
    return r < 0 ? complain_client("connecting the innocent client", NULL, r) : 0;
}

static void wait_until(uint64_t ns)
{
    const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* What the last one kept from being sent in its time. */
static void add_kept_back(struct samples *samples, size_t end)
{
    uint64_t left = samples->ns[samples->count - 1];

    while (left > PING_INTERVAL_NS && samples->count < end) {
        left -= PING_INTERVAL_NS;
        samples_add(samples, left);
    }
}

static int ping_broker(const struct pinger *pinger, struct samples *samples, size_t end)
{
    int r = TIMED(samples, sealbuf_ping(pinger->client));

    add_kept_back(samples, end);
    return r < 0 ? complain_client("the innocent client's ping", pinger->client, r) : 0;
}

static int ping_bare(const struct pinger *pinger, struct samples *samples, size_t end)
{
    const struct bare_request request = {.operation = BARE_PING};
    struct bare_catch caught;

    if (samples->count >= end)
        return 0;
    int r = TIMED(samples, bare_call(pinger->bare, &request, &caught));
    add_kept_back(samples, end);
    return r < 0 ? complain_bare("the innocent client's ping", r) : 0;
}

static int take_both(struct pinger *pinger, struct samples *samples, size_t end, struct samples *bare, size_t bare_end)
{
    /* What hits the machine between two intervals hits the first ping: so each of them is the first in its turn. */
    bool bare_first = samples->count % 2;

    if (bare_first && ping_bare(pinger, bare, bare_end) < 0)
        return -1;
    if (ping_broker(pinger, samples, end) < 0)
        return -1;
    return bare_first ? 0 : ping_bare(pinger, bare, bare_end);
}

static int take(struct pinger *pinger, struct samples *samples, struct samples *bare, unsigned count)
{
    size_t end = samples->count + count, bare_end = bare->count + count;

    while (samples->count < end) {
        uint64_t due = now_ns() + PING_INTERVAL_NS;
        if (take_both(pinger, samples, end, bare, bare_end) < 0)
            return -1;
        wait_until(due);
    }
    return 0;
}

int pinger_run(struct pinger *pinger, struct samples *samples, struct samples *bare, unsigned count)
{
    uint64_t ns[2][WARM_UP];
    struct samples none = {.ns = ns[0], .room = WARM_UP}, bare_none = {.ns = ns[1], .room = WARM_UP};

    if (take(pinger, &none, &bare_none, WARM_UP) < 0)
        return -1;
    return take(pinger, samples, bare, count);
}

void pinger_disconnect(struct pinger *pinger)
{
    pinger->client = sealbuf_disconnect(pinger->client);
}
