/* SPDX-License-Identifier: MIT */
/*
 * A pool of workers that take buffers one by one: each job is a name below jobs/ that is handed over, and each worker
 * waits for the first one that there is. However many workers there are, each job goes to one of them.
 *
 *     cc -o worker_pool worker_pool.c $(pkg-config --cflags --libs libsealbuf)
 *     ./worker_pool work 2000 & ./worker_pool work 2000 &     # each ends when nothing came for 2000 ms
 *     ./worker_pool submit 10
 */
#include <sealbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const sealbuf_client *client, int error)
{
    fprintf(stderr, "worker_pool: %s\n",
            client && *sealbuf_error(client) ? sealbuf_error(client) : sealbuf_strerror(error));
    return 1;
}

static int submit(sealbuf_client *client, int count)
{
    for (int i = 0; i < count; i++) {
        char name[32], work[64];
        struct sealbuf_put_options put = {.struct_size = sizeof(put), .name = name, .flags = SEALBUF_PUBLISH_TAKE};
        snprintf(name, sizeof(name), "jobs/%06d", i);
        int length = snprintf(work, sizeof(work), "the work of job %d", i);
        int r = sealbuf_put(client, &put, work, (size_t)length, NULL);
        if (r < 0)
            return fail(client, r);
    }
    printf("submitted %d jobs\n", count);
    return 0;
}

static int do_job(sealbuf_buffer *job)
{
    void *work;
    size_t size;

    int r = sealbuf_buffer_map(job, 0, &work, &size);
    if (r == 0)
        printf("%s: did %.*s\n", sealbuf_buffer_info(job)->name, (int)size, (const char *)work);
    return r;
}

static int work(sealbuf_client *client, uint64_t patience_ms)
{
    struct sealbuf_get_options get = {.struct_size = sizeof(get),
                                      .name = "jobs/",
                                      .seals = SEALBUF_SEALS_IMMUTABLE,
                                      .flags = SEALBUF_GET_FIRST | SEALBUF_GET_WAIT | SEALBUF_GET_DETAILS,
                                      .wait_ms = patience_ms};
    int jobs = 0;

    for (;;) {
        sealbuf_buffer *job = NULL;
        int r = sealbuf_get(client, &job, &get);
        if (r == -SEALBUF_ERR_TIMED_OUT)
            break;
        if (r == 0)
            r = do_job(job);
        sealbuf_buffer_free(job); /* it was ours alone: now it is gone */
        if (r < 0)
            return fail(client, r);
        jobs++;
    }
    printf("worked on %d jobs\n", jobs);
    return 0;
}

int main(int argc, char **argv)
{
    sealbuf_client *client = NULL;

    if (argc != 3 || (strcmp(argv[1], "submit") != 0 && strcmp(argv[1], "work") != 0)) {
        fprintf(stderr, "usage: worker_pool submit COUNT | worker_pool work PATIENCE-MS\n");
        return 2;
    }
    int r = sealbuf_connect(&client, NULL);
    if (r < 0)
        return fail(NULL, r);
    r = strcmp(argv[1], "submit") == 0 ? submit(client, atoi(argv[2])) : work(client, strtoull(argv[2], NULL, 10));
    sealbuf_disconnect(client);
    return r;
}
