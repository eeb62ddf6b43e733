/* SPDX-License-Identifier: MIT */
/*
 * A watch in a loop of libevent.
 *
 *     cc -o loop_libevent loop_libevent.c $(pkg-config --cflags --libs libsealbuf libevent_core)
 *     ./loop_libevent frames/ 3 &         # shows what happens below frames/, and ends after 3 changes
 *     sealbufctl put frames/left left.raw
 */
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <sealbuf.h>
#include <stdio.h>
#include <stdlib.h>

struct watch {
    unsigned long left; /* changes of names, until it ends */
    int error;
    char sentence[SEALBUF_MAX_TEXT + 1]; /* that explains it */
};

static const char *name_of(uint32_t kind)
{
    static const char *const names[] = {"end",     "present", "published", "replaced", "removed",
                                        "expired", "evicted", "taken",     "overflow", "sync"};
    return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

/* sealbuf_dispatch calls this. It must not wait for the broker; it may start requests. */
static void on_change(sealbuf_client *client, const struct sealbuf_change *change, void *userdata)
{
    struct watch *watch = userdata;
    const char *kind = name_of(change->kind);

    (void)client;
    if (change->kind == 0) {
        watch->error = change->error;
        snprintf(watch->sentence, sizeof(watch->sentence), "%s", change->sentence);
    }
    if (!kind || watch->left == 0)
        return;
    printf("%s %s\n", kind, change->kind == SEALBUF_CHANGE_SYNC ? "" : change->info->name);
    fflush(stdout);
    if (change->kind != SEALBUF_CHANGE_SYNC && change->kind != SEALBUF_CHANGE_OVERFLOW)
        watch->left--;
}

/* What a callback of the loop needs. */
struct loop {
    struct event_base *base;
    struct event *event;
    sealbuf_client *client;
    struct watch *watch;
    int error;
};

static void on_ready(evutil_socket_t fd, short what, void *userdata);

/* What it waits for can be another thing after every call. */
static int wait_for_it(struct loop *loop)
{
    int events = sealbuf_events(loop->client);
    short what = (short)((events & POLLIN ? EV_READ : 0) | (events & POLLOUT ? EV_WRITE : 0));

    if (event_assign(loop->event, loop->base, sealbuf_fd(loop->client), what, on_ready, loop) < 0 ||
        event_add(loop->event, NULL) < 0)
        return -ENOMEM;
    return 0;
}

static void on_ready(evutil_socket_t fd, short what, void *userdata)
{
    struct loop *loop = userdata;

    (void)fd;
    (void)what;
    int r = sealbuf_dispatch(loop->client);
    if (r >= 0 && loop->watch->error == 0 && loop->watch->left > 0)
        r = wait_for_it(loop); /* else nothing is left for the loop, and it ends */
    loop->error = r < 0 ? r : loop->watch->error;
}

static int run(sealbuf_client *client, struct watch *watch)
{
    struct loop loop = {.base = event_base_new(), .client = client, .watch = watch};

    loop.event = loop.base ? event_new(loop.base, -1, 0, on_ready, &loop) : NULL;
    int r = loop.event ? wait_for_it(&loop) : -ENOMEM;
    if (r == 0 && event_base_dispatch(loop.base) < 0)
        r = -EIO;
    if (loop.event)
        event_free(loop.event);
    if (loop.base)
        event_base_free(loop.base);
    return loop.error ? loop.error : r;
}

int main(int argc, char **argv)
{
    struct watch watch = {.left = argc == 3 ? strtoul(argv[2], NULL, 10) : 0};
    struct sealbuf_watch_options options = {.struct_size = sizeof(options), .prefix = argv[1]};
    sealbuf_client *client = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: loop_libevent PREFIX COUNT\n");
        return 2;
    }
    int r = sealbuf_connect(&client, NULL);
    if (r == 0)
        r = sealbuf_watch(client, &options, on_change, &watch);
    if (r > 0)
        r = run(client, &watch);
    /* Of a watch that ended, only the change tells why. */
    const char *sentence = watch.error ? watch.sentence : client ? sealbuf_error(client) : "";
    if (r < 0)
        fprintf(stderr, "loop_libevent: %s\n", *sentence ? sentence : sealbuf_strerror(r));
    sealbuf_disconnect(client);
    return r < 0;
}
