/* SPDX-License-Identifier: MIT */
/*
 * Gets a buffer and maps it, then has the same bytes copied through a Unix socket by a child, and tells both times.
 *
 *     cc -o handoff handoff.c $(pkg-config --cflags --libs libsealbuf)
 *     sealbufctl put frames/left left.raw
 *     ./handoff frames/left $(id -u)     # NAME OWNER-UID
 */
#include <sealbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (1 << 20)

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void send_all(int socket, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(socket, bytes + done, size - done < CHUNK ? size - done : CHUNK);
        if (n <= 0)
            _exit(1);
        done += (size_t)n;
    }
    _exit(0);
}

/* Microseconds, or -1. */
static double copy_through_socket(const char *bytes, size_t size)
{
    char *copy = malloc(size ? size : 1);
    size_t done = 0;
    int pair[2];

    if (!copy || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        free(copy);
        return -1;
    }
    double start = now_us();
    pid_t child = fork();
    if (child == 0)
        send_all(pair[1], bytes, size);
    close(pair[1]);
    while (child > 0 && done < size) {
        ssize_t n = read(pair[0], copy + done, size - done < CHUNK ? size - done : CHUNK);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    double took = now_us() - start;
    close(pair[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    free(copy);
    return done == size ? took : -1;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "handoff: %s: %s; %s\n", what, sealbuf_strerror(error), sealbuf_error_remedy(error));
    return 1;
}

int main(int argc, char **argv)
{
    sealbuf_client *client = NULL;
    sealbuf_buffer *buffer = NULL;
    void *bytes = NULL;
    size_t size = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: handoff NAME OWNER-UID\n");
        return 2;
    }
    int r = sealbuf_connect(&client, NULL);
    if (r < 0)
        return fail("cannot connect", r);
    struct sealbuf_get_options options = {.struct_size = sizeof(options),
                                          .name = argv[1],
                                          .owner = (uint32_t)atoi(argv[2]),
                                          .seals = SEALBUF_SEALS_IMMUTABLE,
                                          .flags = SEALBUF_GET_OF_OWNER};
    double start = now_us();
    r = sealbuf_get(client, &buffer, &options);
    if (r == 0)
        r = sealbuf_buffer_map(buffer, 0, &bytes, &size);
    double handed = now_us() - start;
    if (r < 0)
        return fail("cannot get the buffer", r);
    double copied = copy_through_socket(bytes, size);
    printf("  handing over %zu bytes, verified and mapped  %12.1f us\n", size, handed);
    printf("  copying them through a Unix socket %*s %12.1f us\n", (int)snprintf(NULL, 0, "%zu", size), "", copied);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(client);
    return copied < 0;
}
