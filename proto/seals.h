/* SPDX-License-Identifier: MIT */
/*
 * The seal vocabulary: sets of seals as people write them, `shrink|grow|write`, and as the kernel keeps them,
 * bits.
 *
 * A set is always tested as a subset, never with ==: the kernel may add seals of its own, and future kernels
 * may know seals that we do not.
 */
#ifndef PROTO_SEALS_H
#define PROTO_SEALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sealbuf-protocol.h"

/* Room for every known seal, one unknown rest in hexadecimal, and the NUL. */
#define SEALS_TEXT_SIZE 64

static inline bool seals_contain(uint32_t set, uint32_t required)
{
    return (set & required) == required;
}

/*
 * What CREATE's seals and flags come to: SHRINK and GROW are there unless the flags keep them away. The broker applies
 * this set and the library expects it, so it is said once. The kernel may add seals of its own.
 */
static inline uint32_t seals_at_birth(uint32_t seals, uint32_t create_flags)
{
    if (!(create_flags & SEALBUF_CREATE_GROWABLE))
        seals |= SEALBUF_SEAL_GROW;
    if (!(create_flags & SEALBUF_CREATE_SHRINKABLE))
        seals |= SEALBUF_SEAL_SHRINK;
    return seals;
}

/* Writes `shrink|grow|write`, `none` for the empty set, bits without a name as `0x40`. Returns text. */
const char *seals_format(uint32_t seals, char text[SEALS_TEXT_SIZE]);

/*
 * Reads a list of seal names, separated by `|` or `,` with blanks around them as you like: shrink, grow,
 * write, future_write, seal, exec, immutable (shrink|grow|write), none, or a hexadecimal number as
 * seals_format prints it. Upper and lower case, `-` and `_` are the same. Returns 0, or -EINVAL and leaves
 * *seals alone.
 */
int seals_parse(const char *text, uint32_t *seals);

#endif
