/* SPDX-License-Identifier: MIT */
/*
 * Requests that stand: GETs that wait for a name, and watches. They are answered when something happens, so out of the
 * order of all the others, and there may be thousands of them, for hours. They are found by their serial, in a table.
 */
#ifndef CLIENT_STANDING_H
#define CLIENT_STANDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct call;

TAILQ_HEAD(calls, call);
LIST_HEAD(standing_bucket, call);

struct standing {
    struct calls calls; /* in the order in which they were made */
    size_t count, watches;
    size_t ended;        /* those that have an outcome, and are to be called back */
    size_t bucket_count; /* a power of two; or 0: there was no memory, or never a standing request */
    struct standing_bucket *buckets;
};

void standing_init(struct standing *standing);
/* Frees the table; the calls must be gone. */
void standing_end(struct standing *standing);
void standing_insert(struct standing *standing, struct call *call);
void standing_remove(struct standing *standing, struct call *call);
struct call *standing_find(const struct standing *standing, uint32_t serial);

#endif
