/* SPDX-License-Identifier: MIT */
/* What every command does with libsealbuf. Each returns 0, or an exit status, reported. */
#ifndef CTL_BROKER_H
#define CTL_BROKER_H

#include <sealbuf.h>

#include "cleanup.h"

struct options;

static inline void cleanup_client(sealbuf_client **client)
{
    sealbuf_disconnect(*client);
}

static inline void cleanup_buffer(sealbuf_buffer **buffer)
{
    sealbuf_buffer_free(*buffer);
}

int broker_connect(const struct options *options, sealbuf_client **client);

/* How many buffers are meant: one for each NAME, or the one of a token. */
size_t broker_count(const struct options *options);
/* What reports call the i-th. */
const char *broker_name(const struct options *options, size_t i);

/* How to get it: by this name of --owner's, or by the token; with the seals of --require. */
struct sealbuf_get_options broker_get_options(const struct options *options, const char *name);
/* Reports that it cannot be got. The exit status that goes with the error. */
int broker_report_get(const sealbuf_client *client, const struct options *options, int error, const char *name);
/* name: what broker_name says. Waits where that is wanted. */
int broker_get(sealbuf_client *client, const struct options *options, const char *name, sealbuf_buffer **buffer);

/*
 * Which of so many names, all to be dealt with in one step, kept the others from it: `count` where the failure just now
 * is not of one of them. *sentence: what is said of it, without the number; lives as long as sealbuf_error's.
 */
size_t broker_culprit(const sealbuf_client *client, size_t count, const char **sentence);
/* Reports it: "cannot get 'a', and so none of them: ...". The exit status that goes with the error. */
int broker_report_batch(const sealbuf_client *client, int error, const char *what, char *const *names, size_t count);

/* Which name is meant, for stat, touch and remove. */
struct sealbuf_target broker_target(const struct options *options, const char *name);

#endif
