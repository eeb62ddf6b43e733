/* SPDX-License-Identifier: MIT */
/*
 * Where get's content goes. A file gets all of it or stays what it was: the content is written beside it, and takes its
 * place at the end. What is no regular file, and standard output, is written to directly.
 */
#ifndef CTL_SINK_H
#define CTL_SINK_H

struct sink {
    const char *name; /* for reports */
    int fd;
    char *path;      /* that the temporary file is going to take; NULL where there is none */
    char *temporary; /* until sink_commit */
};

/* path: NULL or "-" for standard output. Each returns 0, or an exit status, reported. */
int sink_open(struct sink *sink, const char *path);
int sink_commit(struct sink *sink);
/* Removes what was not committed. A sink that was never opened must be all zero, with fd -1. */
void sink_close(struct sink *sink);

#endif
