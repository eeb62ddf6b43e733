/* SPDX-License-Identifier: MIT */
/*
 * The wire format: headers and records, decoded into structs and encoded from them by the tables that
 * schema.h makes. This is the only place where a length, a count or a reserved field of a message is judged.
 * It allocates nothing: byte strings in a decoded struct point into the message.
 *
 * Functions return 0 or the positive code of enum sealbuf_error that the sender of the message should be
 * told.
 */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema.h"

struct span {
    const char *data;
    uint32_t length;
};

#define SPAN(text) ((struct span){(text), (uint32_t)strlen(text)})

/* One struct a record, its members in the order of the schema. */
#define MEMBER_U32      uint32_t
#define MEMBER_U64      uint64_t
#define MEMBER_NAME     struct span
#define MEMBER_PREFIX   struct span
#define MEMBER_LABEL    struct span
#define MEMBER_METADATA struct span
#define MEMBER_TEXT     struct span
#define MEMBER_TOKEN    struct span

#define SCHEMA_MEMBER(S, kind, field, bound, error) MEMBER_##kind field;
#define SCHEMA_STRUCT(name, FIELDS)                                                                                    \
    struct name {                                                                                                      \
        FIELDS(SCHEMA_MEMBER, name)                                                                                    \
    };                                                                                                                 \
    extern const struct schema name##_schema;

enum field_kind {
    FIELD_U32,
    FIELD_U64,
    FIELD_NAME,
    FIELD_PREFIX,
    FIELD_LABEL,
    FIELD_METADATA,
    FIELD_TEXT,
    FIELD_TOKEN
};

struct field {
    const char *name;
    enum field_kind kind;
    uint16_t member; /* offset in the struct */
    uint16_t offset; /* offset in the fixed part on the wire */
    uint32_t error;
    uint64_t bound;
};

struct schema {
    const char *name;
    const struct field *fields;
    uint16_t count;      /* of fields */
    uint16_t size;       /* of the struct */
    uint16_t fixed_size; /* of the fixed part on the wire */
};

SCHEMAS(SCHEMA_STRUCT)

#define HEADER_SIZE        24u
#define RECORD_HEADER_SIZE 8u

struct header {
    uint32_t length; /* of the whole message, bytes */
    uint16_t opcode;
    uint16_t count; /* of records */
    uint32_t serial;
    uint32_t status;
    uint16_t descriptors;
};

struct operation {
    const char *name;
    uint16_t opcode;
    uint16_t least, most;                 /* records */
    uint16_t descriptors;                 /* with each record of a request */
    const struct schema *request, *reply; /* of no fields where there are no records */
};

/* NULL for an opcode that this version does not know. */
const struct operation *operation_find(uint16_t opcode);

struct reader {
    const uint8_t *at;
    size_t left;
};

struct writer {
    uint8_t *buffer;
    size_t used, room;
};

/* The magic number of HELLO: eight bytes in order, and so, as a number, another one on machines of another byte order.
 */
uint64_t magic_number(void);

/* Reads the header of a message that arrived whole; what it says of the length must be true. */
int header_decode(const uint8_t *message, size_t length, struct header *header);
void header_encode(const struct header *header, uint8_t message[HEADER_SIZE]);

/* How to take what this version does not know: requests are refused for it, replies are read without it. */
enum strictness { REFUSE_UNKNOWN, IGNORE_UNKNOWN };

/* Reads the next record. On failure *field is the name of the field at fault, or NULL where the framing is.
 */
int record_decode(const struct schema *schema, enum strictness strictness, struct reader *reader, void *record,
                  const char **field);

/* Appends a record. SEALBUF_ERR_TOO_BIG where it does not fit, a field's error where a string is longer than it may be;
   the writer is as it was then. */
int record_encode(const struct schema *schema, struct writer *writer, const void *record);

/* Writes the header in front of what was written behind it; the writer must have started at HEADER_SIZE. */
void message_finish(struct writer *writer, const struct header *header);

#endif
