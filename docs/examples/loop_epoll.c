/* SPDX-License-Identifier: MIT */
/*
 * A watch in a loop of one's own, on epoll(7).
 *
 *     cc -o loop_epoll loop_epoll.c $(pkg-config --cflags --libs libsealbuf)
 *     ./loop_epoll frames/ 3 &         # shows what happens below frames/, and ends after 3 changes
 *     sealbufctl put frames/left left.raw
 */
#include <errno.h>
#include <sealbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

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

static int run(sealbuf_client *client, struct watch *watch)
{
    int fd = sealbuf_fd(client), epoll = epoll_create1(EPOLL_CLOEXEC), r = fd < 0 ? fd : 0;
    struct epoll_event event = {.events = (uint32_t)sealbuf_events(client)};

    if (epoll < 0 || (r == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0))
        r = -errno;
    while (r >= 0 && watch->error == 0 && watch->left > 0) {
        if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
            r = -errno;
        else
            r = sealbuf_dispatch(client);
        /* What it waits for can be another thing after every call. The bits are those of poll(2), as epoll's are. */
        event.events = (uint32_t)sealbuf_events(client);
        if (r >= 0 && epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0)
            r = -errno;
    }
    close(epoll);
    return watch->error ? watch->error : r;
}

int main(int argc, char **argv)
{
    struct watch watch = {.left = argc == 3 ? strtoul(argv[2], NULL, 10) : 0};
    struct sealbuf_watch_options options = {.struct_size = sizeof(options), .prefix = argv[1]};
    sealbuf_client *client = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: loop_epoll PREFIX COUNT\n");
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
        fprintf(stderr, "loop_epoll: %s\n", *sentence ? sentence : sealbuf_strerror(r));
    sealbuf_disconnect(client);
    return r < 0;
}
