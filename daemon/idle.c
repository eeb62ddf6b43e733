/* SPDX-License-Identifier: MIT */
#include "idle.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "broker.h"
#include "clock.h"
#include "log.h"
#include "message_id.h"

struct idle {
    struct broker *broker;
    uint64_t last_requests; /* at the last look */
    uint64_t since_ns;      /* nothing was seen to happen since */
    struct event look;
};

static void look_again(struct idle *idle, uint64_t after_ms)
{
    struct timeval time = {.tv_sec = (time_t)(after_ms / 1000), .tv_usec = (suseconds_t)(after_ms % 1000 * 1000)};
    event_add(&idle->look, &time);
}

static bool is_idle(const struct broker *broker)
{
    return broker->quota.held[RESOURCE_CONNECTIONS] == 0 && broker->quota.held[RESOURCE_BUFFERS] == 0 &&
           workers_pending(broker->workers) == 0 && store_pending(&broker->store) == 0 && broker->reaper.pending == 0;
}

/*
 * Looks ten times within the time, which costs nothing when clients come and go. Nothing has happened since some time
 * after the last look that saw something: so it waits for a tenth more, and is never early, and late by two at most.
 */
static void on_look(evutil_socket_t fd, short what, void *argument)
{
    struct idle *idle = argument;
    struct broker *broker = idle->broker;
    uint64_t limit_ms = broker->config->idle_exit_ms, now = clock_monotonic_ns();

    (void)fd, (void)what;
    if (!is_idle(broker) || idle->last_requests != broker->counters->requests)
        idle->since_ns = now;
    idle->last_requests = broker->counters->requests;
    if (now - idle->since_ns >= (limit_ms + limit_ms / 10) * 1000000) {
        log_about(LOG_INFO, &(struct log_subject){.message_id = MESSAGE_ID_STOPPING},
                  "no client and no buffer for %llu ms: leaving", (unsigned long long)limit_ms);
        event_base_loopbreak(broker->loop);
        return;
    }
    look_again(idle, limit_ms / 10 + 1);
}

struct idle *idle_watch(struct broker *broker)
{
    struct idle *idle = calloc(1, sizeof(*idle));

    if (!idle)
        return NULL;
    idle->broker = broker;
    idle->since_ns = clock_monotonic_ns();
    event_assign(&idle->look, broker->loop, -1, 0, on_look, idle);
    look_again(idle, broker->config->idle_exit_ms / 10 + 1);
    return idle;
}

void idle_free(struct idle *idle)
{
    if (!idle)
        return;
    event_del(&idle->look);
    free(idle);
}
