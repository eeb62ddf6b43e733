/* SPDX-License-Identifier: MIT */
/*
 * A watch in a loop of sd-event(3).
 *
 *     cc -o loop_sdevent loop_sdevent.c $(pkg-config --cflags --libs libsealbuf libsystemd)
 *     ./loop_sdevent frames/ 3 &         # shows what happens below frames/, and ends after 3 changes
 *     sealbufctl put frames/left left.raw
 */
#include <sealbuf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-event.h>

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
    sd_event *event;
    sealbuf_client *client;
    struct watch *watch;
};

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct loop *loop = userdata;

    (void)fd;
    (void)revents;
    int r = sealbuf_dispatch(loop->client);
    if (r < 0 || loop->watch->error || loop->watch->left == 0)
        return sd_event_exit(loop->event, r < 0 ? r : loop->watch->error);
    /* What it waits for can be another thing after every call. The bits are those of poll(2), as epoll's are. */
    return sd_event_source_set_io_events(source, (uint32_t)sealbuf_events(loop->client));
}

static int run(sealbuf_client *client, struct watch *watch)
{
    struct loop loop = {.client = client, .watch = watch};
    int fd = sealbuf_fd(client);

    int r = fd < 0 ? fd : sd_event_new(&loop.event);
    if (r >= 0)
        r = sd_event_add_io(loop.event, NULL, fd, (uint32_t)sealbuf_events(client), on_ready, &loop);
    if (r >= 0)
        r = sd_event_loop(loop.event);
    sd_event_unref(loop.event);
    return r;
}

int main(int argc, char **argv)
{
    struct watch watch = {.left = argc == 3 ? strtoul(argv[2], NULL, 10) : 0};
    struct sealbuf_watch_options options = {.struct_size = sizeof(options), .prefix = argv[1]};
    sealbuf_client *client = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: loop_sdevent PREFIX COUNT\n");
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
        fprintf(stderr, "loop_sdevent: %s\n", *sentence ? sentence : sealbuf_strerror(r));
    sealbuf_disconnect(client);
    return r < 0;
}
