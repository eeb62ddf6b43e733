/* SPDX-License-Identifier: MIT */
/*
 * Makes the tables by which the codec decodes and encodes, out of a list such as SCHEMAS: codec.c for what travels on
 * the wire, and whoever has lists of its own. To be included where the tables are to be.
 */
#ifndef PROTO_CODEC_TABLE_H
#define PROTO_CODEC_TABLE_H

#include "codec.h"

/*
 * The packed image of each fixed part: offsetof gives the offset on the wire. Of a byte string it holds the
 * length.
 */
#define WIRE_U32      uint32_t
#define WIRE_U64      uint64_t
#define WIRE_NAME     uint32_t
#define WIRE_PREFIX   uint32_t
#define WIRE_LABEL    uint32_t
#define WIRE_METADATA uint32_t
#define WIRE_TEXT     uint32_t
#define WIRE_TOKEN    uint32_t

#define MAX_FIXED 512

#define WIRE_MEMBER(S, kind, field, bound, error) WIRE_##kind field;
#define FIELD_ENTRY(S, kind, field, bound, error)                                                                      \
    {#field, FIELD_##kind, offsetof(struct S, field), offsetof(struct S##_wire, field), error, bound},

#define SCHEMA_TABLE(S, FIELDS)                                                                                        \
    struct S##_wire {                                                                                                  \
        FIELDS(WIRE_MEMBER, S)                                                                                         \
    } __attribute__((packed));                                                                                         \
    _Static_assert(sizeof(struct S##_wire) <= MAX_FIXED, "the decoder's copy of a fixed part is too small");           \
    static const struct field S##_fields[] = {FIELDS(FIELD_ENTRY, S)};                                                 \
    const struct schema S##_schema = {#S, S##_fields, sizeof(S##_fields) / sizeof(S##_fields[0]), sizeof(struct S),    \
                                      sizeof(struct S##_wire)};

#endif
