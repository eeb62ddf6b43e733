/* SPDX-License-Identifier: MIT */
#include "status.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker.h"
#include "cleanup.h"
#include "notify.h"

static const struct timeval interval = {.tv_sec = 1};

struct status {
    struct broker *broker;
    bool is_armed; /* `look` will be called */
    struct event look;
};

/* As du(1) -h does it: 1023 B, 1.0 KiB, 15.3 GiB. */
static void print_size(char *text, size_t room, uint64_t size)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    unsigned unit = 0;

    if (size < 1024) {
        snprintf(text, room, "%u B", (unsigned)size);
        return;
    }
    for (; size >= (uint64_t)1024 * 1024 && unit < 4; size /= 1024)
        unit++;
    snprintf(text, room, "%.1f %s", (double)size / 1024, units[unit]);
}

/* False: that was told before. */
static bool tell(struct broker *broker)
{
    const uint64_t *held = broker->quota.held;
    char text[160], size[32];

    print_size(size, sizeof(size), held[RESOURCE_BYTES]);
    unsigned long long buffers = held[RESOURCE_BUFFERS], names = held[RESOURCE_NAMES];
    unsigned long long clients = held[RESOURCE_CONNECTIONS];
    snprintf(text, sizeof(text), "%llu buffer%s of %s, %llu name%s, %llu client%s", buffers, buffers == 1 ? "" : "s",
             size, names, names == 1 ? "" : "s", clients, clients == 1 ? "" : "s");
    return notify_status(text);
}

static void on_look(evutil_socket_t fd, short what, void *argument)
{
    struct status *status = argument;

    (void)fd, (void)what;
    status->is_armed = false;
    if (tell(status->broker)) /* what was begun may not be over: a client that ends, and had much */
        status_touch(status);
}

void status_touch(struct status *status)
{
    if (!status || status->is_armed)
        return;
    status->is_armed = true;
    event_add(&status->look, &interval);
}

void status_watch(struct broker *broker)
{
    if (!notify_is_heard())
        return;
    tell(broker);
    broker->status = calloc(1, sizeof(*broker->status));
    if (!broker->status)
        return;
    broker->status->broker = broker;
    evtimer_assign(&broker->status->look, broker->loop, on_look, broker->status);
}

void status_end(struct broker *broker)
{
    struct status *status = take_pointer(broker->status);

    if (!status)
        return;
    event_del(&status->look);
    free(status);
}
