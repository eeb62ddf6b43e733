/* SPDX-License-Identifier: MIT */
/* A source's content becomes a buffer, which is then to be published. */
#ifndef CTL_LOAD_H
#define CTL_LOAD_H

#include <sealbuf.h>

struct options;
struct source;

/* `name` is what it will be published as. 0, or an exit status, reported; *buffer is the caller's in both cases. */
int load_buffer(sealbuf_client *client, const struct options *options, const char *name, const struct source *source,
                sealbuf_buffer **buffer);

#endif
