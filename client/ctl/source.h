/* SPDX-License-Identifier: MIT */
/*
 * Where put's content comes from: a regular file, whose size is known and must stay what it is, or a stream, which is
 * read to its end. A regular file that claims to be empty is a stream: /proc is full of such.
 */
#ifndef CTL_SOURCE_H
#define CTL_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct source {
    const char *name; /* for reports */
    int fd;
    bool opened; /* and so to be closed */
    bool pipe;
    off_t offset;  /* where the content begins; -1 for a stream */
    uint64_t size; /* TRANSFER_TO_END for a stream */
    struct stat before;
};

/* path: NULL or "-" for standard input. Each returns 0, or an exit status, reported. */
int source_open(struct source *source, const char *path);
/* After so many bytes were moved: are they the file, all of it, as it was when it was opened? */
int source_verify(const struct source *source, uint64_t moved);
void source_close(struct source *source);

#endif
