/* SPDX-License-Identifier: MIT */
/* Whole messages: the header, the table of operations, and records one behind the other. */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "harness.h"

static uint64_t random_state = 1;

static uint64_t random_number(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 11 ^ random_state << 29;
}

static void store(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

START_TEST(several_in_a_row)
{
    uint8_t buffer[4096];
    struct writer writer = {.buffer = buffer, .used = HEADER_SIZE, .room = sizeof(buffer)};
    struct header header;
    const char *field;

    for (uint64_t id = 1; id <= 50; id++)
        ck_assert_int_eq(record_encode(&get_request_schema, &writer, &(struct get_request){.id = id}), 0);
    message_finish(&writer, &(struct header){.opcode = SEALBUF_OP_GET, .count = 50, .serial = 7});
    ck_assert_int_eq(header_decode(buffer, writer.used, &header), 0);
    ck_assert_uint_eq(header.length, writer.used);
    struct reader reader = {buffer + HEADER_SIZE, writer.used - HEADER_SIZE};
    for (uint64_t id = 1; id <= 50; id++) {
        struct get_request got;
        ck_assert_int_eq(record_decode(&get_request_schema, REFUSE_UNKNOWN, &reader, &got, &field), 0);
        ck_assert_uint_eq(got.id, id);
    }
    ck_assert_uint_eq(reader.left, 0);
}
END_TEST

/* The example of docs/protocol.md. */
START_TEST(golden_bytes)
{
    static const uint8_t
        expected[] = {0x57, 0,    0,   0, 7,    0, 1, 0, 2,    0,    0,    0,    0,    0, 0, 0, 0, 0,
                      0,    0,    0,   0, 0,    0,       /* the header */
                      0x3f, 0,    0,   0, 0x34, 0, 0, 0, /* the record, and its fixed part: id, owner, seals, flags,
                                                            lengths */
                      0,    0,    0,   0, 0,    0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0e, 0, 0, 0, 0, 0,
                      0,    0,    3,   0, 0,    0, 0, 0, 0,    0,    0,    0,    0,    0, 0, 0, 0, 0,
                      0,    0,    0,   0, 0,    0, 0, 0, 0,    0,    0,    0,    0,    0, 0, 0, /* generation,
                                                                                                   newer_than, wait_ms
                                                                                                 */
                      0x61, 0x2f, 0x62};
    uint8_t buffer[sizeof(expected)];
    struct writer writer = {.buffer = buffer, .used = HEADER_SIZE, .room = sizeof(buffer)};
    const struct get_request in = {.owner = SEALBUF_OWNER_SELF, .seals = SEALBUF_SEALS_IMMUTABLE, .name = SPAN("a/b")};

    ck_assert_int_eq(record_encode(&get_request_schema, &writer, &in), 0);
    message_finish(&writer, &(struct header){.opcode = SEALBUF_OP_GET, .count = 1, .serial = 2});
    ck_assert_uint_eq(writer.used, sizeof(expected));
    ck_assert_mem_eq(buffer, expected, sizeof(expected));
}
END_TEST

START_TEST(header_round_trip)
{
    uint8_t message[200] = {0};

    for (int i = 0; i < 1000; i++) {
        struct header out, in = {.length = sizeof(message),
                                 .opcode = (uint16_t)random_number(),
                                 .count = (uint16_t)(random_number() % (SEALBUF_MAX_RECORDS + 1)),
                                 .serial = (uint32_t)random_number(),
                                 .status = (uint32_t)random_number(),
                                 .descriptors = (uint16_t)(random_number() % (SEALBUF_MAX_RECORDS + 1))};
        header_encode(&in, message);
        ck_assert_int_eq(header_decode(message, sizeof(message), &out), 0);
        ck_assert_uint_eq(out.length, in.length);
        ck_assert_uint_eq(out.opcode, in.opcode);
        ck_assert_uint_eq(out.count, in.count);
        ck_assert_uint_eq(out.serial, in.serial);
        ck_assert_uint_eq(out.status, in.status);
        ck_assert_uint_eq(out.descriptors, in.descriptors);
    }
}
END_TEST

START_TEST(header_lengths)
{
    uint8_t *message = calloc(1, SEALBUF_MAX_MESSAGE + 1);
    struct header header;

    ck_assert_ptr_nonnull(message);
    for (size_t length = 0; length < 300; length++) {
        uint8_t *exact = calloc(1, length ? length : 1);
        ck_assert_ptr_nonnull(exact);
        if (length >= 4)
            store(exact, (uint32_t)length);
        int r = header_decode(exact, length, &header);
        ck_assert_int_eq(r, length < HEADER_SIZE ? SEALBUF_ERR_MALFORMED : 0);
        for (uint32_t lie = 0; length >= HEADER_SIZE && lie < 300; lie++) {
            store(exact, lie);
            ck_assert_int_eq(header_decode(exact, length, &header), lie == length ? 0 : SEALBUF_ERR_MALFORMED);
        }
        free(exact);
    }
    store(message, SEALBUF_MAX_MESSAGE);
    ck_assert_int_eq(header_decode(message, SEALBUF_MAX_MESSAGE, &header), 0);
    store(message, SEALBUF_MAX_MESSAGE + 1);
    ck_assert_int_eq(header_decode(message, SEALBUF_MAX_MESSAGE + 1, &header), SEALBUF_ERR_MALFORMED);
    free(message);
}
END_TEST

START_TEST(header_reserved)
{
    uint8_t message[HEADER_SIZE] = {HEADER_SIZE};
    struct header header;

    for (unsigned bit = 0; bit < HEADER_SIZE * 8; bit++) {
        unsigned byte = bit / 8;
        message[byte] ^= (uint8_t)(1u << bit % 8);
        int r = header_decode(message, sizeof(message), &header);
        if (byte < 4)
            ck_assert_int_eq(r, SEALBUF_ERR_MALFORMED);
        else if (byte >= 18)
            ck_assert_int_eq(r, SEALBUF_ERR_RESERVED);
        message[byte] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(operations)
{
    for (unsigned opcode = 0; opcode <= UINT16_MAX; opcode++) {
        const struct operation *op = operation_find((uint16_t)opcode);
        if (opcode < SEALBUF_OP_HELLO || opcode > SEALBUF_OP_CANCEL) {
            ck_assert_ptr_null(op);
            continue;
        }
        ck_assert_uint_eq(op->opcode, opcode);
        ck_assert_uint_le(op->least, op->most);
        ck_assert_uint_le(op->most, SEALBUF_MAX_RECORDS);
        ck_assert_uint_le(op->descriptors * op->most, SEALBUF_MAX_RECORDS);
        ck_assert(op->request && op->reply);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("header");
    TCase *messages = harness_tcase(suite, "messages");

    tcase_add_test(messages, several_in_a_row);
    tcase_add_test(messages, golden_bytes);
    tcase_add_test(messages, header_round_trip);
    tcase_add_test(messages, header_lengths);
    tcase_add_test(messages, header_reserved);
    tcase_add_test(messages, operations);
    return harness_run(suite);
}
