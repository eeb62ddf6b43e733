/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "progress.h"

/* One call moves 2 GiB at most anyway; smaller ones let the progress move. */
#define CHUNK      (16u << 20)
#define COPY_CHUNK (64u << 10)

/* Standard input and output may be non-blocking: their other users decide that. */
static bool try_again(int fd, short events)
{
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN)
        return false;
    return poll(&(struct pollfd){.fd = fd, .events = events}, 1, -1) >= 0 || errno == EINTR;
}

static ssize_t read_some(const struct transfer *transfer, char *bytes, size_t size)
{
    for (;;) {
        ssize_t got = transfer->offset < 0 ? read(transfer->from, bytes, size)
                                           : pread(transfer->from, bytes, size, transfer->offset);
        if (got >= 0 || !try_again(transfer->from, POLLIN))
            return got;
    }
}

static int write_all(const struct transfer *transfer, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(transfer->to, bytes, size);
        if (wrote < 0 && !try_again(transfer->to, POLLOUT))
            return -1;
        if (wrote > 0) {
            bytes += wrote;
            size -= (size_t)wrote;
        }
    }
    return 0;
}

static ssize_t copy(struct transfer *transfer, size_t size)
{
    char bytes[COPY_CHUNK];

    ssize_t got = read_some(transfer, bytes, size < sizeof(bytes) ? size : sizeof(bytes));
    if (got <= 0)
        return got;
    if (write_all(transfer, bytes, (size_t)got) < 0) {
        transfer->failed_writing = true;
        return -1;
    }
    if (transfer->offset >= 0)
        transfer->offset += got;
    return got;
}

static ssize_t move(struct transfer *transfer, size_t size)
{
    switch (transfer->way) {
    case TRANSFER_SENDFILE:
        return sendfile(transfer->to, transfer->from, transfer->offset < 0 ? NULL : &transfer->offset, size);
    case TRANSFER_SPLICE:
        return splice(transfer->from, NULL, transfer->to, NULL, size, 0);
    case TRANSFER_COPY:
        return copy(transfer, size);
    }
    return 0;
}

/* How much to move next; of a stream one byte more than it may be, at most. */
static size_t next_chunk(const struct transfer *transfer)
{
    bool stream = transfer->size == TRANSFER_TO_END;
    uint64_t left = (stream ? transfer->most : transfer->size) - transfer->done;

    if (left >= CHUNK)
        return CHUNK;
    return (size_t)left + stream; /* a byte more tells that it is too much */
}

static int run(struct transfer *transfer, struct progress *progress)
{
    while (transfer->done < transfer->size) {
        if (transfer->size == TRANSFER_TO_END && transfer->done > transfer->most)
            return -EFBIG;
        ssize_t moved = move(transfer, next_chunk(transfer));
        if (moved == 0)
            return 0;
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0 && transfer->way == TRANSFER_COPY)
            return -errno;
        /* Be it that this pair of files cannot (huge pages, O_APPEND, some file systems), or that the disk is full:
           copying either works, or finds out whose fault it is. What was moved before is moved. */
        if (moved < 0) {
            transfer->way = TRANSFER_COPY;
            continue;
        }
        transfer->done += (uint64_t)moved;
        progress_update(progress, transfer->done);
    }
    return 0;
}

int transfer_run(struct transfer *transfer)
{
    struct progress progress;

    progress_start(&progress, transfer->size);
    /* What somebody types, or reads, must not be drawn over. */
    if (isatty(transfer->from) || isatty(transfer->to))
        progress.shown = false;
    int r = run(transfer, &progress);
    progress_clear(&progress);
    return r;
}
