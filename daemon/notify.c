/* SPDX-License-Identifier: MIT */
#include "notify.h"

#include <config-build.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "manager.h"
#include "memfd.h"
#include "message_id.h"
#include "turn.h"

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define STATUS_ROOM  256
#define MESSAGE_ROOM (STATUS_ROOM + 128)
/* How long a start may go on without a word of it, once it has said that it goes on. */
#define EXTEND_USEC      30000000
#define EXTEND_EVERY_NS  1000000000
#define USEC_IN_A_SECOND 1000000
/* The loop looks so often in the watchdog's time whether it has stood still, and feeds it each fourth time. */
#define TICKS         8
#define TICKS_TO_FEED 4

static const struct timeval retry_time = {.tv_usec = 100000};

static struct {
    int socket; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_length;
    struct event_base *loop;
    struct event retry, tick;
    struct timeval tick_time;
    uint64_t watchdog_ns;    /* after which the manager takes the loop for dead; 0: never */
    uint64_t ticked_ns;      /* when the loop last was alive, */
    unsigned ticks;          /* and how often since the watchdog was fed */
    uint64_t extended_ns;    /* when it was last said that the start goes on */
    uint64_t reloading_usec; /* still to be told: since when it reloads, */
    bool ready, stopping;    /* */
    bool alive;              /* for the watchdog, */
    bool status_changed;     /* and `status` */
    char status[STATUS_ROOM];
} state = {.socket = -1};

/* False: the manager's queue is full, so it is to be tried again. An error that stays is nobody's business but its own.
 */
static bool tell(const char *text)
{
    ssize_t n = sendto(state.socket, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                       (const struct sockaddr *)&state.address, state.address_length);
    return n >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM && errno != EINTR);
}

static bool tell_reloading(void)
{
    char text[MESSAGE_ROOM];

    if (state.reloading_usec == 0)
        return true;
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)state.reloading_usec);
    if (!tell(text))
        return false;
    state.reloading_usec = 0;
    return true;
}

static bool tell_the_rest(void)
{
    char text[MESSAGE_ROOM];

    if (!state.ready && !state.stopping && !state.alive && !state.status_changed)
        return true;
    snprintf(text, sizeof(text), "%s%s%s%s%s", state.ready ? "READY=1\n" : "", state.stopping ? "STOPPING=1\n" : "",
             state.alive ? "WATCHDOG=1\n" : "", state.status_changed ? "STATUS=" : "",
             state.status_changed ? state.status : "");
    if (!tell(text))
        return false;
    state.ready = state.stopping = state.alive = state.status_changed = false;
    return true;
}

static void tell_all(void)
{
    if (state.socket < 0)
        return;
    if ((!tell_reloading() || !tell_the_rest()) && state.loop)
        event_add(&state.retry, &retry_time);
}

static void on_retry(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what, (void)argument;
    tell_all();
}

/* How long the loop stood still at least: it may have begun at any time after the last tick. */
static uint64_t stood_still_ns(uint64_t now, uint64_t tick_ns)
{
    uint64_t passed_ns = now - state.ticked_ns;

    return passed_ns > 2 * tick_ns ? passed_ns - tick_ns : 0;
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    uint64_t now = clock_monotonic_ns(), late_ns = stood_still_ns(now, state.watchdog_ns / TICKS);

    (void)fd, (void)what, (void)argument;
    state.ticked_ns = now;
    if (++state.ticks >= TICKS_TO_FEED || late_ns) {
        state.ticks = 0;
        state.alive = true;
        tell_all();
    }
    event_add(&state.tick, &state.tick_time);
    if (late_ns)
        log_about(LOG_WARNING, &(struct log_subject){.message_id = MESSAGE_ID_LATE},
                  "the loop stood still for at least %.1f s; after %.1f s (WatchdogSec=) the service manager ends the "
                  "broker",
                  (double)late_ns / 1e9, (double)state.watchdog_ns / 1e9);
}

#if HAVE_SYSTEMD

static uint64_t ask_watchdog(void)
{
    uint64_t usec = 0;

    return sd_watchdog_enabled(0, &usec) > 0 ? usec * 1000 : 0;
}

#else

static uint64_t ask_watchdog(void)
{
    return 0;
}

#endif

void notify_open(void)
{
    if (manager_address(&state.address, &state.address_length) < 0)
        return;
    state.socket = descriptor_above_stdio(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (state.socket < 0) {
        log_line(LOG_WARNING, "cannot tell the service manager anything: %s", strerror(errno));
        return;
    }
    state.watchdog_ns = ask_watchdog();
}

void notify_attach(struct event_base *loop)
{
    if (state.socket < 0)
        return;
    state.loop = loop;
    evtimer_assign(&state.retry, loop, on_retry, NULL);
    evtimer_assign(&state.tick, loop, on_tick, NULL);
    /* A loop that serves some clients and no others is alive. */
    event_priority_set(&state.tick, PRIORITY_FEW);
    if (state.watchdog_ns == 0)
        return;
    uint64_t tick_usec = state.watchdog_ns / 1000 / TICKS;
    state.tick_time = (struct timeval){.tv_sec = (time_t)(tick_usec / USEC_IN_A_SECOND),
                                       .tv_usec = (suseconds_t)(tick_usec % USEC_IN_A_SECOND)};
    state.ticked_ns = clock_monotonic_ns();
    event_add(&state.tick, &state.tick_time);
    /* For a program that is executed anew the manager's time goes on, and it may have been executed often. */
    state.alive = true;
    tell_all();
}

void notify_close(void)
{
    if (state.socket < 0)
        return;
    if (state.loop) {
        event_del(&state.retry);
        event_del(&state.tick);
        state.loop = NULL;
    }
    close_quietly(take_fd(&state.socket));
}

bool notify_is_heard(void)
{
    return state.socket >= 0;
}

void notify_still_starting(void)
{
    uint64_t now = clock_monotonic_ns();
    char text[MESSAGE_ROOM];

    if (state.socket < 0 || now - state.extended_ns < EXTEND_EVERY_NS)
        return;
    /* In place of another program, which was watched, this one is watched from its first moment. */
    snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%d\nWATCHDOG=1", EXTEND_USEC);
    if (tell(text))
        state.extended_ns = now;
}

void notify_ready(void)
{
    state.ready = true;
    state.alive = state.watchdog_ns > 0; /* when the program before this one was alive is long ago */
    tell_all();
}

void notify_reloading(void)
{
    state.ready = false; /* which would come after this, and before it is */
    state.reloading_usec = clock_monotonic_ns() / 1000;
    tell_all();
}

void notify_stopping(void)
{
    state.stopping = true;
    tell_all();
}

bool notify_status(const char *text)
{
    if (strcmp(text, state.status) == 0)
        return false;
    snprintf(state.status, sizeof(state.status), "%s", text);
    state.status_changed = true;
    tell_all();
    return true;
}
