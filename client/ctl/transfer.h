/* SPDX-License-Identifier: MIT */
/*
 * Moves content from one descriptor to another, inside the kernel where it can: sendfile(2) out of anything that has
 * pages, splice(2) out of a pipe, read(2) and write(2) for the rest.
 */
#ifndef CTL_TRANSFER_H
#define CTL_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum transfer_way {
    TRANSFER_SENDFILE,
    TRANSFER_SPLICE,
    TRANSFER_COPY,
};

#define TRANSFER_TO_END UINT64_MAX

struct transfer {
    enum transfer_way way; /* to try; what the kernel refuses is copied */
    int from, to;
    off_t offset;        /* where to read in `from`; -1: it is a stream, read on from where it is */
    uint64_t size;       /* how much; TRANSFER_TO_END: all there is */
    uint64_t most;       /* of a stream: with a byte more than this it is given up, -EFBIG */
    uint64_t done;       /* how much has arrived: less than size only where the input ended before */
    bool failed_writing; /* after a failure: it was the output's */
};

/* 0, or -errno. Takes as long as it takes, and shows its progress. */
int transfer_run(struct transfer *transfer);

#endif
