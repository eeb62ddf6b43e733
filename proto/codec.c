/* SPDX-License-Identifier: MIT */
#include "codec.h"

#include <endian.h>
#include <string.h>

#include "codec_table.h"
#include "text.h"

SCHEMAS(SCHEMA_TABLE)

/* PING's records, and those of STATS' request: there are none. */
static const struct schema none_schema = {.name = "none"};

static const struct operation operations[] = {
#define OPERATION_ENTRY(NAME, request, least, most, descriptors, reply)                                                \
    [SEALBUF_OP_##NAME] = {#NAME, SEALBUF_OP_##NAME, least, most, descriptors, &request##_schema, &reply##_schema},
    OPERATIONS(OPERATION_ENTRY)
#undef OPERATION_ENTRY
};

const struct operation *operation_find(uint16_t opcode)
{
    if (opcode >= sizeof(operations) / sizeof(operations[0]) || !operations[opcode].name)
        return NULL;
    return &operations[opcode];
}

/* Unaligned little-endian loads and stores; the compiler makes single moves of them. */
static uint16_t load16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return le16toh(v);
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static void store16(uint8_t *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof(v));
}

static void store32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static void store64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
}

uint64_t magic_number(void)
{
    return load64((const uint8_t *)SEALBUF_MAGIC);
}

int header_decode(const uint8_t *message, size_t length, struct header *header)
{
    if (length < HEADER_SIZE || length > SEALBUF_MAX_MESSAGE)
        return SEALBUF_ERR_MALFORMED;
    *header = (struct header){
        .length = load32(message),
        .opcode = load16(message + 4),
        .count = load16(message + 6),
        .serial = load32(message + 8),
        .status = load32(message + 12),
        .descriptors = load16(message + 16),
    };
    if (header->length != length)
        return SEALBUF_ERR_MALFORMED;
    if (load16(message + 18) != 0 || load32(message + 20) != 0)
        return SEALBUF_ERR_RESERVED;
    return 0;
}

void header_encode(const struct header *header, uint8_t message[HEADER_SIZE])
{
    store32(message, header->length);
    store16(message + 4, header->opcode);
    store16(message + 6, header->count);
    store32(message + 8, header->serial);
    store32(message + 12, header->status);
    store16(message + 16, header->descriptors);
    store16(message + 18, 0);
    store32(message + 20, 0);
}

static bool all_zero(const uint8_t *p, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (p[i])
            return false;
    return true;
}

static bool is_string(enum field_kind kind)
{
    return kind != FIELD_U32 && kind != FIELD_U64;
}

static bool string_valid(const struct field *field, const char *data, uint32_t length)
{
    if (length > field->bound)
        return false;
    switch (field->kind) {
    case FIELD_NAME:
        return length == 0 || name_valid(data, length);
    case FIELD_PREFIX:
        return prefix_valid(data, length);
    case FIELD_LABEL:
        return label_valid(data, length);
    case FIELD_METADATA:
        return metadata_valid(data, length);
    case FIELD_TEXT:
        return true;
    case FIELD_TOKEN:
        return length == 0 || length == field->bound;
    case FIELD_U32:
    case FIELD_U64:
        break;
    }
    return false;
}

/* One field out of the fixed part; a byte string takes its bytes from `strings`. */
static int field_decode(const struct field *field, const uint8_t *fixed, struct reader *strings, void *record)
{
    uint8_t *member = (uint8_t *)record + field->member;

    if (field->kind == FIELD_U64) {
        uint64_t v = load64(fixed + field->offset);
        memcpy(member, &v, sizeof(v));
        return v & ~field->bound ? (int)field->error : 0;
    }
    uint32_t v = load32(fixed + field->offset);
    if (field->kind == FIELD_U32) {
        memcpy(member, &v, sizeof(v));
        return v & ~field->bound ? (int)field->error : 0;
    }
    if (v > strings->left)
        return SEALBUF_ERR_MALFORMED;
    struct span span = {(const char *)strings->at, v};
    memcpy(member, &span, sizeof(span));
    strings->at += v;
    strings->left -= v;
    return string_valid(field, span.data, v) ? 0 : (int)field->error;
}

/* Takes one framed record off the reader: its fixed part, cut or zero-extended to what we know, and the rest
 * of it. */
static int frame_decode(const struct schema *schema, enum strictness strictness, struct reader *reader,
                        uint8_t fixed[MAX_FIXED], struct reader *strings)
{
    if (reader->left < RECORD_HEADER_SIZE)
        return SEALBUF_ERR_MALFORMED;
    uint32_t length = load32(reader->at), fixed_size = load32(reader->at + 4);
    if (length < RECORD_HEADER_SIZE || length > reader->left || fixed_size > length - RECORD_HEADER_SIZE)
        return SEALBUF_ERR_MALFORMED;
    const uint8_t *body = reader->at + RECORD_HEADER_SIZE;
    size_t known = fixed_size < schema->fixed_size ? fixed_size : schema->fixed_size;
    memcpy(fixed, body, known);
    memset(fixed + known, 0, schema->fixed_size - known);
    strings->at = body + fixed_size;
    strings->left = length - RECORD_HEADER_SIZE - fixed_size;
    reader->at += length;
    reader->left -= length;
    if (strictness == REFUSE_UNKNOWN && !all_zero(body + known, fixed_size - known))
        return SEALBUF_ERR_RESERVED;
    return 0;
}

int record_decode(const struct schema *schema, enum strictness strictness, struct reader *reader, void *record,
                  const char **field)
{
    uint8_t fixed[MAX_FIXED];
    struct reader strings;

    *field = NULL;
    int r = frame_decode(schema, strictness, reader, fixed, &strings);
    if (r)
        return r;
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        r = field_decode(f, fixed, &strings, record);
        if (r) {
            *field = f->name;
            return r;
        }
    }
    if (strictness == REFUSE_UNKNOWN && strings.left > 0)
        return SEALBUF_ERR_MALFORMED;
    return 0;
}

int record_encode(const struct schema *schema, struct writer *writer, const void *record)
{
    uint8_t *start = writer->buffer + writer->used, *fixed = start + RECORD_HEADER_SIZE;
    size_t left = writer->room - writer->used, need = RECORD_HEADER_SIZE + (size_t)schema->fixed_size;

    if (need > left)
        return SEALBUF_ERR_TOO_BIG;
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        const uint8_t *member = (const uint8_t *)record + f->member;
        uint64_t v64;
        uint32_t v32;
        struct span span;

        if (is_string(f->kind)) {
            memcpy(&span, member, sizeof(span));
            store32(fixed + f->offset, span.length);
            if (span.length > f->bound)
                return (int)f->error;
            if (span.length > left - need)
                return SEALBUF_ERR_TOO_BIG;
            if (span.length)
                memcpy(start + need, span.data, span.length);
            need += span.length;
        } else if (f->kind == FIELD_U64) {
            memcpy(&v64, member, sizeof(v64));
            store64(fixed + f->offset, v64);
        } else {
            memcpy(&v32, member, sizeof(v32));
            store32(fixed + f->offset, v32);
        }
    }
    store32(start, (uint32_t)need);
    store32(start + 4, schema->fixed_size);
    writer->used += need;
    return 0;
}

void message_finish(struct writer *writer, const struct header *header)
{
    struct header complete = *header;

    complete.length = (uint32_t)writer->used;
    header_encode(&complete, writer->buffer);
}
