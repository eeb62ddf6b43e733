/* SPDX-License-Identifier: MIT */
#include "reaper.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfd.h"

/* Freeing so much takes about 10 us. */
#define CLOSE_HERE_BLOCKS (256 * 1024 / 512)
#define BATCH             256

struct close_job {
    struct job job;
    struct reaper *reaper;
    unsigned count, room;
    int fd[];
};

static void run(struct job *job)
{
    struct close_job *closing = (struct close_job *)(void *)job;

    for (unsigned i = 0; i < closing->count; i++)
        close(closing->fd[i]);
}

static void done(struct job *job)
{
    struct close_job *closing = (struct close_job *)(void *)job;

    closing->reaper->pending -= closing->count;
    free(closing);
}

static struct close_job *new_job(struct reaper *reaper, unsigned room)
{
    struct close_job *closing = malloc(sizeof(*closing) + room * sizeof(int));

    if (closing)
        *closing = (struct close_job){.job = {.run = run, .done = done}, .reaper = reaper, .room = room};
    return closing;
}

static void submit(struct close_job *closing)
{
    workers_submit(closing->reaper->workers, &closing->job);
}

/* A client that fills the pages between this look and the close would have to hold a descriptor: then it closes last.
 */
static int is_small(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_blocks <= CLOSE_HERE_BLOCKS;
}

void reaper_close(struct reaper *reaper, int fd)
{
    struct close_job *closing = reaper->batch;

    if (fd < 0)
        return;
    if (!closing && (is_small(fd) || !(closing = new_job(reaper, 1)))) {
        close(fd);
        return;
    }
    closing->fd[closing->count++] = fd;
    reaper->pending++;
    if (closing->count < closing->room)
        return;
    submit(closing);
    if (closing == reaper->batch)
        reaper->batch = new_job(reaper, BATCH);
}

void reaper_begin_batch(struct reaper *reaper)
{
    if (!reaper->batch)
        reaper->batch = new_job(reaper, BATCH);
}

void reaper_end_batch(struct reaper *reaper)
{
    if (!reaper->batch)
        return;
    if (reaper->batch->count)
        submit(reaper->batch);
    else
        free(reaper->batch);
    reaper->batch = NULL;
}
