/* SPDX-License-Identifier: MIT */
/* The inside of a sealbuf_buffer: one descriptor, at most one mapping, and what a broker has said of it. */
#ifndef CLIENT_BUFFER_H
#define CLIENT_BUFFER_H

#include <stdbool.h>

#include "holdings.h"
#include "sealbuf.h"

struct sealbuf_buffer {
    int fd;
    bool writable;
    bool mapped;
    uint32_t map_flags;
    void *address;
    size_t map_size;
    uint32_t known_seals; /* the kernel has confirmed them; there may be more */
    uint64_t id;          /* as the broker gave it out: whether it still means something, holding_id knows */
    struct holding holding;
    struct sealbuf_info *info; /* with its strings behind it; NULL where no broker was asked */
};

/* A buffer around a descriptor that is known to be good. Takes fd on success only. NULL: no memory. */
struct sealbuf_buffer *buffer_wrap(int fd, bool writable);

/* Whether the options are valid for every way of creating. 0 or a negative error. */
int creation_check(const struct sealbuf_create_options *options);

/*
 * A struct of the caller's, as far as the caller knows it, copied into ours, the rest zero. Both start with their size.
 * NULL gives all zero. -EINVAL where the size is too small to be one, or a field that we do not know is not zero.
 */
int options_copy(void *ours, size_t size, const void *theirs);
#define OPTIONS_COPY(ours, theirs) options_copy(ours, sizeof(*(ours)), theirs)

/* The other way round: ours, behind its size, into theirs, and zero into what they know and we do not. 0, or -EINVAL.
 */
int options_return(void *theirs, const void *ours, size_t size);

/* The i-th of an array of such structs, whose elements have the size that the first one says. */
const void *options_at(const void *array, size_t i);

#endif
