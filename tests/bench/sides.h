/* SPDX-License-Identifier: MIT */
/*
 * The operations, each on both sides: through libsealbuf and sealbufd, and with the bare-kernel server.
 *
 * A call does one operation `count` times (at most GREATEST_RUN), adding one time to the samples for each. What is
 * timed is the one call of the library, or the one request and reply of the bare server, as TIMED encloses it: from
 * before the request is built until the caller has its descriptors. What the operation needs is made before, and what
 * it made is removed and closed after the run, outside of the timed part: so at most GREATEST_RUN buffers, or
 * SET_SIZE of them for the batches, are there at any time besides the live ones.
 *
 * 0, or -1 where it failed; it has been said why.
 */
#ifndef BENCH_SIDES_H
#define BENCH_SIDES_H

#include "samples.h"
#include "stage.h"

#define GREATEST_RUN 128u
#define SET_SIZE     64u /* buffers in a message, for the batches */

typedef int run_fn(struct stage *stage, struct samples *samples, unsigned count);

/* Each of them with the same meaning on both sides. */
#define OPERATIONS_MEASURED(O)                                                                                         \
    O(ping)         /* a round trip */                                                                                 \
    O(create)       /* 4 KiB, SHRINK and GROW at birth; the read-write descriptor is the caller's */                   \
    O(seal)         /* WRITE, added by the server */                                                                   \
    O(seal_local)   /* WRITE, added by the client itself */                                                            \
    O(publish)      /* of a buffer that is immutable already, under a new name; bare: the seals are looked at */       \
    O(get)          /* of live buffers, in random order: a read-only description of its own */                         \
    O(get_writable) /* the read-write description that the server holds */                                             \
    O(create_set)   /* SET_SIZE buffers in one message */                                                              \
    O(get_set)      /* SET_SIZE buffers in one message */                                                              \
    O(get_1gib)     /* of a buffer of 1 GiB that nobody has touched */

#define DECLARE_SIDES(name) run_fn by_sealbuf_##name, by_bare_##name;
OPERATIONS_MEASURED(DECLARE_SIDES)
#undef DECLARE_SIDES

/* Below `bound`; of a sequence that looks random and is the same in every run. */
static inline uint32_t random_below(uint32_t *state, uint32_t bound)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)*state * bound >> 32);
}

#endif
