/* SPDX-License-Identifier: MIT */
#include "reaper.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "memfd.h"

/* Freeing so much takes about 10 us. */
#define CLOSE_HERE_BLOCKS (256 * 1024 / 512)
#define BATCH             256
/* More of them than this are left to a worker, however small. */
#define CLOSE_HERE_AT_MOST 8

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

void reaper_close_on_worker(struct reaper *reaper, int fd)
{
    struct close_job *closing = new_job(reaper, 1);

    if (!closing) {
        close(fd);
        return;
    }
    closing->fd[closing->count++] = fd;
    reaper->pending++;
    submit(closing);
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

struct each_pending {
    reaper_pending_fn *look;
    void *userdata;
};

static void look_at_job(const struct job *job, void *userdata)
{
    const struct close_job *closing = (const struct close_job *)(const void *)job;
    const struct each_pending *each = userdata;

    for (unsigned i = 0; i < closing->count; i++)
        each->look(closing->fd[i], each->userdata);
}

void reaper_each_pending(const struct reaper *reaper, reaper_pending_fn *look, void *userdata)
{
    workers_each_waiting(reaper->workers, look_at_job, &(struct each_pending){look, userdata});
}

/* Foreign descriptors on their way to the thread that may be stuck. */
struct foreign_job {
    struct job job;
    struct reaper *reaper;
    uid_t uid;
    bool unread; /* it is a peer's socket, in which there are more */
    unsigned count;
    int fd[];
};

/* The last close of a socket that lingers waits until its other side has read everything, if it likes for years. */
static void close_without_waiting(int fd)
{
    static const struct linger none = {.l_onoff = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

/* The kernel would close what is in a socket as it is, and linger. The socket is shut down, so there is an end. */
static void empty_socket(int socket)
{
    struct descriptors list;
    uint8_t byte;
    size_t length;

    while (!packet_is_drained(socket)) {
        int r = packet_receive(socket, MSG_DONTWAIT, &byte, sizeof(byte), &length, &list);
        for (unsigned i = 0; i < list.count; i++)
            close_without_waiting(descriptors_take(&list, i));
        if (r < 0)
            break;
    }
}

static void run_foreign(struct job *job)
{
    struct foreign_job *foreign = (struct foreign_job *)(void *)job;

    if (foreign->unread)
        empty_socket(foreign->fd[0]);
    for (unsigned i = 0; i < foreign->count; i++)
        close_without_waiting(foreign->fd[i]);
}

static void foreign_done(struct job *job)
{
    struct foreign_job *foreign = (struct foreign_job *)(void *)job;

    foreign->reaper->foreign_moved_ns = clock_monotonic_ns();
    quota_release(foreign->reaper->quota, foreign->uid, RESOURCE_FOREIGN, foreign->count);
    free(foreign);
}

static void close_foreign(struct reaper *reaper, uid_t uid, const int *fds, unsigned count, bool unread)
{
    struct foreign_job *foreign = malloc(sizeof(*foreign) + count * sizeof(*fds));

    if (!foreign) {
        for (unsigned i = 0; i < count; i++)
            close_without_waiting(fds[i]);
        return;
    }
    *foreign = (struct foreign_job){.job = {.run = run_foreign, .done = foreign_done},
                                    .reaper = reaper,
                                    .uid = uid,
                                    .unread = unread,
                                    .count = count};
    memcpy(foreign->fd, fds, count * sizeof(*fds));
    if (reaper->quota->held[RESOURCE_FOREIGN] == 0)
        reaper->foreign_moved_ns = clock_monotonic_ns();
    quota_add(reaper->quota, uid, RESOURCE_FOREIGN, count);
    workers_submit(reaper->foreign, &foreign->job);
}

void reaper_close_received(struct reaper *reaper, uid_t uid, struct descriptors *list)
{
    int foreign[SEALBUF_MAX_RECORDS];
    unsigned foreign_count = 0;
    uint32_t seals;

    if (list->count > CLOSE_HERE_AT_MOST)
        reaper_begin_batch(reaper);
    for (unsigned i = 0; i < list->count; i++) {
        int fd = descriptors_take(list, i);
        if (fd < 0)
            continue;
        if (memfd_get_seals(fd, &seals) == 0) /* of files in memory only, and it asks no file system */
            reaper_close(reaper, fd);
        else
            foreign[foreign_count++] = fd;
    }
    reaper_end_batch(reaper);
    if (foreign_count)
        close_foreign(reaper, uid, foreign, foreign_count, false);
    list->count = 0;
}

void reaper_close_unread(struct reaper *reaper, uid_t uid, int socket)
{
    close_foreign(reaper, uid, &socket, 1, true);
}

enum patience reaper_patience(const struct reaper *reaper, uid_t uid)
{
    if (reaper->quota->held[RESOURCE_FOREIGN] <= FOREIGN_AT_MOST)
        return PATIENCE_LEFT;
    const struct account *account = quota_find(reaper->quota, uid);
    if (!account || account->held[RESOURCE_FOREIGN] <= FOREIGN_AT_MOST)
        return PATIENCE_LEFT;
    return clock_monotonic_ns() - reaper->foreign_moved_ns > 1000000000u ? PATIENCE_GONE : PATIENCE_SHORT;
}
