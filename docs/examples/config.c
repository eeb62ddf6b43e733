/* SPDX-License-Identifier: MIT */
/*
 * A configuration that one process replaces, and thousands read. A reader has it mapped, and waits for a newer one: it
 * costs nothing while nothing changes, and no reader ever sees half of an old and half of a new one.
 *
 *     cc -o config config.c $(pkg-config --cflags --libs libsealbuf)
 *     ./config follow 2 &          # shows what there is, or what comes, and then what comes next
 *     ./config set 'colour = blue'
 *     ./config set 'colour = green'
 */
#include <sealbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "config/main"

static int fail(const sealbuf_client *client, int error)
{
    fprintf(stderr, "config: %s\n", client && *sealbuf_error(client) ? sealbuf_error(client) : sealbuf_strerror(error));
    return 1;
}

/* Immutable from now on: what somebody has mapped stays what it is, also when a newer one is there. */
static int set(sealbuf_client *client, const char *text)
{
    const char *const metadata[] = {"content-type=text/plain", NULL};
    struct sealbuf_put_options put = {
        .struct_size = sizeof(put), .name = NAME, .mode = 0644, .flags = SEALBUF_PUBLISH_REPLACE, .metadata = metadata};
    uint64_t generation;

    int r = sealbuf_put(client, &put, text, strlen(text), &generation);
    if (r < 0)
        return fail(client, r);
    printf("set generation %llu\n", (unsigned long long)generation);
    return 0;
}

/* Waits for one that is newer than the one that *config is, and puts it in its place. */
static int next(sealbuf_client *client, sealbuf_buffer **config)
{
    struct sealbuf_get_options get = {.struct_size = sizeof(get),
                                      .name = NAME,
                                      .seals = SEALBUF_SEALS_IMMUTABLE,
                                      .flags = SEALBUF_GET_WAIT,
                                      .newer_than = *config ? sealbuf_buffer_info(*config)->generation : 0};
    sealbuf_buffer *newer;

    int r = sealbuf_get(client, &newer, &get);
    if (r < 0)
        return r;
    sealbuf_buffer_free(*config); /* nobody may use what was mapped any more */
    *config = newer;
    return 0;
}

static int follow(sealbuf_client *client, int count)
{
    sealbuf_buffer *config = NULL;
    void *text;
    size_t size;
    int r = 0;

    for (int i = 0; i < count && r == 0; i++) {
        r = next(client, &config);
        if (r == 0)
            r = sealbuf_buffer_map(config, 0, &text, &size);
        if (r < 0)
            break;
        printf("generation %llu: %.*s\n", (unsigned long long)sealbuf_buffer_info(config)->generation, (int)size,
               size ? (const char *)text : "");
        fflush(stdout);
    }
    sealbuf_buffer_free(config);
    return r < 0 ? fail(client, r) : 0;
}

int main(int argc, char **argv)
{
    sealbuf_client *client = NULL;

    if (argc != 3 || (strcmp(argv[1], "set") != 0 && strcmp(argv[1], "follow") != 0)) {
        fprintf(stderr, "usage: config set TEXT | config follow COUNT\n");
        return 2;
    }
    int r = sealbuf_connect(&client, NULL);
    if (r < 0)
        return fail(NULL, r);
    r = strcmp(argv[1], "set") == 0 ? set(client, argv[2]) : follow(client, atoi(argv[2]));
    sealbuf_disconnect(client);
    return r;
}
