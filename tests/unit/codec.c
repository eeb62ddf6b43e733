/* SPDX-License-Identifier: MIT */
/*
 * The codec, over every record of the schema: what it writes it reads, and nothing that arrives makes it read where
 * it must not. Messages are judged in memory of exactly their size, so that a sanitizer or valgrind sees a byte too
 * far.
 */
#include "codec.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define ROOM 8192

static const struct schema *const schemas[] = {
#define SCHEMA_ADDRESS(name, FIELDS) &name##_schema,
    SCHEMAS(SCHEMA_ADDRESS)};
#define SCHEMA_COUNT (int)(sizeof(schemas) / sizeof(schemas[0]))

/* Room for any decoded record. */
union record {
#define SCHEMA_STRUCT_MEMBER(name, FIELDS) struct name name;
    SCHEMAS(SCHEMA_STRUCT_MEMBER)
};

static uint64_t random_state = 1;

static uint64_t random_number(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 11 ^ random_state << 29;
}

static bool is_number(const struct field *field)
{
    return field->kind == FIELD_U32 || field->kind == FIELD_U64;
}

static void set_number(union record *record, const struct field *field, uint64_t value)
{
    uint32_t narrow = (uint32_t)value;

    if (field->kind == FIELD_U64)
        memcpy((char *)record + field->member, &value, sizeof(value));
    else
        memcpy((char *)record + field->member, &narrow, sizeof(narrow));
}

static uint64_t get_number(const union record *record, const struct field *field)
{
    uint64_t wide;
    uint32_t narrow;

    memcpy(&narrow, (const char *)record + field->member, sizeof(narrow));
    if (field->kind == FIELD_U32)
        return narrow;
    memcpy(&wide, (const char *)record + field->member, sizeof(wide));
    return wide;
}

static void set_span(union record *record, const struct field *field, const char *data, size_t length)
{
    struct span span = {data, (uint32_t)length};

    memcpy((char *)record + field->member, &span, sizeof(span));
}

static struct span get_span(const union record *record, const struct field *field)
{
    struct span span;

    memcpy(&span, (const char *)record + field->member, sizeof(span));
    return span;
}

/* A valid string for the field. */
static struct span sample(const struct field *field)
{
    static const char metadata[] = "key=value\0other=\xff\n";
    static const char token[SEALBUF_TOKEN_SIZE] = "any\0bytes\xff\n, 24 of them";

    if (field->kind == FIELD_METADATA)
        return (struct span){metadata, sizeof(metadata)};
    if (field->kind == FIELD_TOKEN)
        return (struct span){token, sizeof(token)};
    return SPAN("part/\xc3\xa9");
}

/* Valid, and different in every field. */
static void fill(const struct schema *schema, union record *record)
{
    memset(record, 0, sizeof(*record));
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        struct span span = sample(f);
        if (is_number(f))
            set_number(record, f, random_number() & f->bound);
        else
            set_span(record, f, span.data, span.length);
    }
}

static void check_equal(const struct schema *schema, const union record *a, const union record *b)
{
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        if (is_number(f)) {
            ck_assert_msg(get_number(a, f) == get_number(b, f), "%s.%s", schema->name, f->name);
            continue;
        }
        struct span x = get_span(a, f), y = get_span(b, f);
        ck_assert_msg(x.length == y.length, "%s.%s", schema->name, f->name);
        ck_assert_msg(x.length == 0 || memcmp(x.data, y.data, x.length) == 0, "%s.%s", schema->name, f->name);
    }
}

/* Encodes into memory of exactly the record's size, which the caller frees. */
static uint8_t *encoded(const struct schema *schema, const union record *record, size_t *length)
{
    uint8_t buffer[ROOM];
    struct writer writer = {.buffer = buffer, .room = sizeof(buffer)};

    ck_assert_int_eq(record_encode(schema, &writer, record), 0);
    uint8_t *bytes = malloc(writer.used);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, buffer, writer.used);
    *length = writer.used;
    return bytes;
}

static int decode(const struct schema *schema, enum strictness strictness, const uint8_t *bytes, size_t length,
                  union record *record, const char **field)
{
    struct reader reader = {bytes, length};

    memset(record, 0x5a, sizeof(*record));
    int r = record_decode(schema, strictness, &reader, record, field);
    ck_assert(reader.at >= bytes && reader.at + reader.left == bytes + length);
    return r;
}

/* The same for bytes that are not exactly in memory of their own. */
static int decode_copy(const struct schema *schema, enum strictness strictness, const uint8_t *bytes, size_t length,
                       union record *record, const char **field)
{
    uint8_t *copy = malloc(length ? length : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, length);
    int r = decode(schema, strictness, copy, length, record, field);
    free(copy);
    return r;
}

static void store(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

START_TEST(round_trip)
{
    const struct schema *schema = schemas[_i];
    const char *field;

    for (int round = 0; round < 100; round++) {
        union record in, out;
        size_t length;
        fill(schema, &in);
        uint8_t *bytes = encoded(schema, &in, &length);
        ck_assert_int_eq(decode(schema, REFUSE_UNKNOWN, bytes, length, &out, &field), 0);
        ck_assert_ptr_null(field);
        check_equal(schema, &in, &out);
        ck_assert_int_eq(decode(schema, IGNORE_UNKNOWN, bytes, length, &out, &field), 0);
        check_equal(schema, &in, &out);
        free(bytes);
    }
}
END_TEST

/* On the wire, fields follow each other without gaps. */
START_TEST(layout)
{
    const struct schema *schema = schemas[_i];
    unsigned offset = 0;

    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        ck_assert_uint_eq(f->offset, offset);
        offset += f->kind == FIELD_U64 ? 8 : 4;
    }
    ck_assert_uint_eq(schema->fixed_size, offset);
}
END_TEST

START_TEST(cut_anywhere)
{
    const struct schema *schema = schemas[_i];
    union record in, out;
    const char *field;
    size_t length;

    fill(schema, &in);
    uint8_t *bytes = encoded(schema, &in, &length);
    for (size_t cut = 0; cut < length; cut++) {
        ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, bytes, cut, &out, &field), SEALBUF_ERR_MALFORMED);
        if (cut < RECORD_HEADER_SIZE)
            continue;
        /* With a length that agrees: a string, or the fixed part, is longer than what is there. */
        uint8_t saved[4];
        memcpy(saved, bytes, 4);
        store(bytes, (uint32_t)cut);
        ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, bytes, cut, &out, &field), SEALBUF_ERR_MALFORMED);
        memcpy(bytes, saved, 4);
    }
    free(bytes);
}
END_TEST

/* What is decoded from damaged bytes is either refused with a code of ours or has all of its strings in the message. */
static void check_harmless(const struct schema *schema, const uint8_t *bytes, size_t length)
{
    union record out;
    const char *field;
    int r = decode(schema, REFUSE_UNKNOWN, bytes, length, &out, &field);

    if (r) {
        ck_assert_int_ge(r, SEALBUF_ERR_FIRST);
        ck_assert_int_le(r, SEALBUF_ERR_LAST);
        return;
    }
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        if (is_number(f)) {
            ck_assert_uint_eq(get_number(&out, f) & ~f->bound, 0);
            continue;
        }
        struct span span = get_span(&out, f);
        ck_assert_uint_le(span.length, f->bound);
        ck_assert((const uint8_t *)span.data >= bytes && (const uint8_t *)span.data + span.length <= bytes + length);
    }
}

START_TEST(every_bit_flipped)
{
    const struct schema *schema = schemas[_i];
    union record in;
    size_t length;

    fill(schema, &in);
    uint8_t *bytes = encoded(schema, &in, &length);
    for (size_t bit = 0; bit < length * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_harmless(schema, bytes, length);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(bytes);
}
END_TEST

START_TEST(noise)
{
    const struct schema *schema = schemas[_i];

    for (int round = 0; round < 20000; round++) {
        size_t length = random_number() % 160;
        uint8_t *bytes = malloc(length ? length : 1);
        ck_assert_ptr_nonnull(bytes);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)random_number();
        /* Else the frame would hardly ever be taken for one. */
        if (length >= RECORD_HEADER_SIZE && round % 4) {
            store(bytes, (uint32_t)length);
            store(bytes + 4, (uint32_t)(random_number() % length));
            for (size_t i = RECORD_HEADER_SIZE; i < length; i++)
                if (random_number() % 4)
                    bytes[i] = 0;
        }
        check_harmless(schema, bytes, length);
        free(bytes);
    }
}
END_TEST

/* A frame around a fixed part that is the start of, or longer than, the one that we know. */
static size_t reframe(const uint8_t *fixed, size_t have, size_t fixed_size, uint8_t out[ROOM])
{
    memset(out, 0, ROOM);
    store(out, (uint32_t)(RECORD_HEADER_SIZE + fixed_size));
    store(out + 4, (uint32_t)fixed_size);
    memcpy(out + RECORD_HEADER_SIZE, fixed, have < fixed_size ? have : fixed_size);
    return RECORD_HEADER_SIZE + fixed_size;
}

/* Numbers only: a string whose bytes are not there would be malformed. */
static void fill_numbers(const struct schema *schema, union record *record)
{
    memset(record, 0, sizeof(*record));
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++)
        if (is_number(f))
            set_number(record, f, f->bound);
}

START_TEST(shorter_is_zero_extended)
{
    const struct schema *schema = schemas[_i];
    uint8_t message[ROOM];
    union record in, out;
    const char *field;
    size_t length;

    fill_numbers(schema, &in);
    uint8_t *bytes = encoded(schema, &in, &length);
    for (size_t size = 0; size <= schema->fixed_size; size++) {
        length = reframe(bytes + RECORD_HEADER_SIZE, schema->fixed_size, size, message);
        ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, message, length, &out, &field), 0);
        for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
            unsigned width = f->kind == FIELD_U64 ? 8 : 4;
            if (!is_number(f))
                ck_assert_uint_eq(get_span(&out, f).length, 0);
            else if (f->offset + width <= size)
                ck_assert_uint_eq(get_number(&out, f), get_number(&in, f));
            else if (f->offset >= size)
                ck_assert_uint_eq(get_number(&out, f), 0);
            else
                ck_assert_uint_eq(get_number(&out, f),
                                  get_number(&in, f) & ((UINT64_C(1) << 8 * (size - f->offset)) - 1));
        }
    }
    free(bytes);
}
END_TEST

START_TEST(longer_must_be_zero)
{
    const struct schema *schema = schemas[_i];
    uint8_t message[ROOM];
    union record in, out;
    const char *field;
    size_t length;

    fill_numbers(schema, &in);
    uint8_t *bytes = encoded(schema, &in, &length);
    for (size_t more = 1; more < 300; more += 7) {
        length = reframe(bytes + RECORD_HEADER_SIZE, schema->fixed_size, schema->fixed_size + more, message);
        ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, message, length, &out, &field), 0);
        check_equal(schema, &in, &out);
        for (size_t i = 0; i < more; i++) {
            uint8_t *unknown = message + RECORD_HEADER_SIZE + schema->fixed_size + i;
            *unknown = (uint8_t)(1u << i % 8);
            ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, message, length, &out, &field), SEALBUF_ERR_RESERVED);
            ck_assert_ptr_null(field);
            ck_assert_int_eq(decode_copy(schema, IGNORE_UNKNOWN, message, length, &out, &field), 0);
            check_equal(schema, &in, &out);
            *unknown = 0;
        }
    }
    free(bytes);
}
END_TEST

/* Bytes behind the strings that we know: a newer reply's strings, in a request a mistake. */
START_TEST(unknown_strings)
{
    const struct schema *schema = schemas[_i];
    uint8_t message[ROOM];
    union record in, out;
    const char *field;
    size_t length;

    fill(schema, &in);
    uint8_t *bytes = encoded(schema, &in, &length);
    memcpy(message, bytes, length);
    memcpy(message + length, "more", 4);
    store(message, (uint32_t)length + 4);
    ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, message, length + 4, &out, &field), SEALBUF_ERR_MALFORMED);
    struct reader reader = {message, length + 4};
    ck_assert_int_eq(record_decode(schema, IGNORE_UNKNOWN, &reader, &out, &field), 0);
    check_equal(schema, &in, &out);
    ck_assert_uint_eq(reader.left, 0);
    free(bytes);
}
END_TEST

static void check_refused(const struct schema *schema, const union record *in, const struct field *f)
{
    union record out;
    const char *field;
    size_t length;
    uint8_t *bytes = encoded(schema, in, &length);

    ck_assert_int_eq(decode(schema, REFUSE_UNKNOWN, bytes, length, &out, &field), (int)f->error);
    ck_assert_ptr_nonnull(field);
    ck_assert_str_eq(field, f->name);
    free(bytes);
}

START_TEST(every_bound)
{
    static const char control[] = "a\nb";
    const struct schema *schema = schemas[_i];
    union record in;

    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        fill(schema, &in);
        if (!is_number(f)) {
            set_span(&in, f, control, 3);
            if (f->kind != FIELD_TEXT)
                check_refused(schema, &in, f);
            continue;
        }
        for (unsigned bit = 0; bit < (f->kind == FIELD_U64 ? 64 : 32); bit++)
            if (!(f->bound & UINT64_C(1) << bit)) {
                set_number(&in, f, UINT64_C(1) << bit);
                check_refused(schema, &in, f);
            }
    }
}
END_TEST

/* All of a token or none of it: what is shorter is no prefix of one. */
START_TEST(every_token_cut)
{
    static const char token[SEALBUF_TOKEN_SIZE];
    const struct schema *schema = schemas[_i];
    union record in;

    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++)
        for (uint32_t length = 1; f->kind == FIELD_TOKEN && length < SEALBUF_TOKEN_SIZE; length++) {
            fill(schema, &in);
            set_span(&in, f, token, length);
            check_refused(schema, &in, f);
        }
}
END_TEST

START_TEST(every_string_too_long)
{
    const struct schema *schema = schemas[_i];
    char *text = calloc(1, ROOM);
    uint8_t message[2 * ROOM];
    union record in, out;
    const char *field;

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', ROOM);
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++) {
        struct writer writer = {.buffer = message, .room = sizeof(message)};
        if (is_number(f))
            continue;
        memset(&in, 0, sizeof(in));
        set_span(&in, f, text, f->bound + 1);
        ck_assert_int_eq(record_encode(schema, &writer, &in), (int)f->error);
        ck_assert_uint_eq(writer.used, 0);
        /* By hand, as another client might send it. */
        size_t length = reframe(message, 0, schema->fixed_size, message);
        store(message, (uint32_t)(length + f->bound + 1));
        store(message + RECORD_HEADER_SIZE + f->offset, (uint32_t)f->bound + 1);
        memcpy(message + length, text, f->bound + 1);
        ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, message, length + f->bound + 1, &out, &field),
                         (int)f->error);
        ck_assert_str_eq(field, f->name);
        /* Lengths that wrap around when they are added up. */
        for (unsigned i = 0; i < 4; i++) {
            store(message + RECORD_HEADER_SIZE + f->offset, UINT32_MAX - i);
            ck_assert_int_eq(decode_copy(schema, REFUSE_UNKNOWN, message, length + f->bound + 1, &out, &field),
                             SEALBUF_ERR_MALFORMED);
        }
    }
    free(text);
}
END_TEST

START_TEST(no_room)
{
    const struct schema *schema = schemas[_i];
    union record in;
    size_t length;

    fill(schema, &in);
    uint8_t *bytes = encoded(schema, &in, &length);
    for (size_t room = 0; room <= length; room++) {
        uint8_t *buffer = malloc(room + 4);
        ck_assert_ptr_nonnull(buffer);
        memset(buffer, 0x5a, room + 4);
        struct writer writer = {.buffer = buffer, .used = 4, .room = room + 4};
        int r = record_encode(schema, &writer, &in);
        ck_assert_int_eq(r, room < length ? SEALBUF_ERR_TOO_BIG : 0);
        ck_assert_uint_eq(writer.used, room < length ? 4 : 4 + length);
        ck_assert(room < length || memcmp(buffer + 4, bytes, length) == 0);
        free(buffer);
    }
    free(bytes);
}
END_TEST

START_TEST(frames)
{
    static const struct {
        uint32_t length, fixed;
    } wrong[] = {{0, 0},           {7, 0},           {8, 1},   {9, 2},  {0xffffffff, 0},
                 {0x80000000u, 8}, {24, 0xffffffff}, {24, 17}, {25, 16}};
    uint8_t bytes[24] = {0};
    union record out;
    const char *field;

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        store(bytes, wrong[i].length);
        store(bytes + 4, wrong[i].fixed);
        ck_assert_int_eq(decode_copy(&seal_request_schema, REFUSE_UNKNOWN, bytes, sizeof(bytes), &out, &field),
                         SEALBUF_ERR_MALFORMED);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec");
    TCase *records = harness_tcase(suite, "records");

    tcase_add_loop_test(records, round_trip, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, layout, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, cut_anywhere, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, every_bit_flipped, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, noise, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, shorter_is_zero_extended, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, longer_must_be_zero, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, unknown_strings, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, every_bound, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, every_token_cut, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, every_string_too_long, 0, SCHEMA_COUNT);
    tcase_add_loop_test(records, no_room, 0, SCHEMA_COUNT);
    tcase_add_test(records, frames);
    return harness_run(suite);
}
