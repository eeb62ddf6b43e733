/* SPDX-License-Identifier: MIT */
#include "pinger.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "complain.h"
#include "hostile.h"

#define TIMEOUT_MS 10000
#define WARM_UP    50u

/* The broker sees the effective uid of connect(2). */
static int connect_as_innocent(struct pinger *pinger, const char *address)
{
    const struct sealbuf_connect_options options = {
        .struct_size = sizeof(options), .address = address, .timeout_ms = TIMEOUT_MS};
    bool root = geteuid() == 0;

    if (root && seteuid(INNOCENT_UID) < 0)
        return complain("becoming the user %u: %s", (unsigned)INNOCENT_UID, strerror(errno));
    int r = sealbuf_connect(&pinger->client, &options);
    if (root && seteuid(0) < 0)
        return complain("becoming root again: %s", strerror(errno));
    return r < 0 ? complain_client("connecting the innocent client", NULL, r) : 0;
}

int pinger_connect(struct pinger *pinger, const char *address)
{
    pinger->client = NULL;
    prctl(PR_SET_TIMERSLACK, 1UL);
    return connect_as_innocent(pinger, address);
}

static void wait_until(uint64_t ns)
{
    const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static int ping_once(struct pinger *pinger, struct samples *samples)
{
    int r = TIMED(samples, sealbuf_ping(pinger->client));

    return r < 0 ? complain_client("the innocent client's ping", pinger->client, r) : 0;
}

static int take(struct pinger *pinger, struct samples *samples, unsigned count)
{
    size_t end = samples->count + count;

    while (samples->count < end) {
        uint64_t due = now_ns() + PING_INTERVAL_NS;
        if (ping_once(pinger, samples) < 0)
            return -1;
        uint64_t left = samples->ns[samples->count - 1];
        while (left > PING_INTERVAL_NS && samples->count < end) {
            left -= PING_INTERVAL_NS;
            samples_add(samples, left);
        }
        wait_until(due);
    }
    return 0;
}

int pinger_run(struct pinger *pinger, struct samples *samples, unsigned count)
{
    uint64_t ns[WARM_UP];
    struct samples none = {.ns = ns, .room = WARM_UP};

    if (take(pinger, &none, WARM_UP) < 0)
        return -1;
    return take(pinger, samples, count);
}

void pinger_disconnect(struct pinger *pinger)
{
    pinger->client = sealbuf_disconnect(pinger->client);
}
