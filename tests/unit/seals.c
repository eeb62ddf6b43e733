/* SPDX-License-Identifier: MIT */
/* Sets of seals as text: written, read, and read again as they were written. */
#include "seals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const struct {
    uint32_t seals;
    const char *text;
} written[] = {
    {0, "none"},
    {SEALBUF_SEAL_SEAL, "seal"},
    {SEALBUF_SEAL_SHRINK, "shrink"},
    {SEALBUF_SEAL_GROW, "grow"},
    {SEALBUF_SEAL_WRITE, "write"},
    {SEALBUF_SEAL_FUTURE_WRITE, "future_write"},
    {SEALBUF_SEAL_EXEC, "exec"},
    {SEALBUF_SEALS_IMMUTABLE, "shrink|grow|write"},
    {SEALBUF_SEALS_ALL, "shrink|grow|write|future_write|seal|exec"},
    {0x40, "0x40"},
    {0x80000000u, "0x80000000"},
    {SEALBUF_SEAL_WRITE | 0x1000, "write|0x1000"},
    {UINT32_MAX, "shrink|grow|write|future_write|seal|exec|0xffffffc0"},
};

START_TEST(formats)
{
    char text[SEALS_TEXT_SIZE];
    const char *got = seals_format(written[_i].seals, text);

    ck_assert_ptr_eq(got, text);
    ck_assert_str_eq(text, written[_i].text);
}
END_TEST

START_TEST(format_fits_exactly)
{
    struct {
        char text[SEALS_TEXT_SIZE], behind[8];
    } room;

    memset(&room, 0x5a, sizeof(room));
    seals_format(UINT32_MAX, room.text);
    ck_assert_uint_lt(strlen(room.text), SEALS_TEXT_SIZE);
    for (unsigned i = 0; i < sizeof(room.behind); i++)
        ck_assert_int_eq(room.behind[i], 0x5a);
}
END_TEST

/* All sets of known seals, each with and without bits that we do not know. */
START_TEST(round_trip)
{
    static const uint32_t unknown[] = {0, 0x40, 0x80000000u, 0xffffffc0u};
    char text[SEALS_TEXT_SIZE];

    for (uint32_t known = 0; known <= SEALBUF_SEALS_ALL; known++)
        for (unsigned i = 0; i < 4; i++) {
            uint32_t seals = known | unknown[i], got = ~seals;
            ck_assert_int_eq(seals_parse(seals_format(seals, text), &got), 0);
            ck_assert_uint_eq(got, seals);
        }
}
END_TEST

static const struct {
    const char *text;
    uint32_t seals;
} read_well[] = {
    {"shrink", 0x02},
    {"SHRINK", 0x02},
    {"shrink|grow|write", 0x0e},
    {"write,grow,shrink", 0x0e},
    {"shrink , grow | write", 0x0e},
    {"  write\t", 0x08},
    {"write|write", 0x08},
    {"immutable", 0x0e},
    {"Immutable,future-write", 0x1e},
    {"FUTURE_WRITE", 0x10},
    {"future-write", 0x10},
    {"seal|exec", 0x21},
    {"none", 0},
    {"none|grow", 0x04},
    {"0x40", 0x40},
    {"0X40", 0x40},
    {"0xffffffff", 0xffffffffu},
    {"0xDEADbeef", 0xdeadbeefu},
    {"grow|0x8", 0x0c},
    {"0x0", 0},
};

START_TEST(reads)
{
    uint32_t seals = 0x55555555;

    ck_assert_msg(seals_parse(read_well[_i].text, &seals) == 0, "'%s' is not read", read_well[_i].text);
    ck_assert_msg(seals == read_well[_i].seals, "'%s' is read as 0x%x", read_well[_i].text, seals);
}
END_TEST

static const char *const read_badly[] = {
    "",
    " ",
    "|",
    "shrink|",
    "|shrink",
    "shrink||grow",
    "shrink grow",
    "shrinks",
    "shrin",
    "shrink;",
    "8",
    "0x",
    "0xg",
    "0x-1",
    "0x+1",
    "0x 1",
    "0x0x1",
    "0x100000000",
    "0x123456789",
    "-0x1",
    "everything",
    "future write",
    "none,",
    "0x1ffffffffffffffff",
    "\xc3\xbc",
    "shrink\x01",
    "write|\n",
};

START_TEST(refuses)
{
    uint32_t seals = 0x55555555;

    ck_assert_msg(seals_parse(read_badly[_i], &seals) == -EINVAL, "'%s' is read", read_badly[_i]);
    ck_assert_msg(seals == 0x55555555, "'%s' changes the result", read_badly[_i]);
}
END_TEST

/* Some memfd wrappers compare sets of seals with ==. */
START_TEST(contains)
{
    ck_assert(seals_contain(0, 0));
    ck_assert(seals_contain(0x0e, 0x0e));
    ck_assert(seals_contain(0x8000002e, 0x0e));
    ck_assert(!seals_contain(0x0a, 0x0e));
    ck_assert(!seals_contain(0, 0x40));
    ck_assert(seals_contain(0xffffffffu, 0x80000000u));
}
END_TEST

/* The wire's bits are the kernel's. */
START_TEST(are_the_kernels)
{
    ck_assert_uint_eq(SEALBUF_SEAL_SEAL, F_SEAL_SEAL);
    ck_assert_uint_eq(SEALBUF_SEAL_SHRINK, F_SEAL_SHRINK);
    ck_assert_uint_eq(SEALBUF_SEAL_GROW, F_SEAL_GROW);
    ck_assert_uint_eq(SEALBUF_SEAL_WRITE, F_SEAL_WRITE);
    ck_assert_uint_eq(SEALBUF_SEAL_FUTURE_WRITE, F_SEAL_FUTURE_WRITE);
#ifdef F_SEAL_EXEC
    ck_assert_uint_eq(SEALBUF_SEAL_EXEC, F_SEAL_EXEC);
#endif
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

int main(void)
{
    Suite *suite = suite_create("seals");
    TCase *format = harness_tcase(suite, "format"), *parse = harness_tcase(suite, "parse");

    tcase_add_loop_test(format, formats, 0, COUNT(written));
    tcase_add_test(format, format_fits_exactly);
    tcase_add_test(format, round_trip);
    tcase_add_loop_test(parse, reads, 0, COUNT(read_well));
    tcase_add_loop_test(parse, refuses, 0, COUNT(read_badly));
    tcase_add_test(harness_tcase(suite, "sets"), contains);
    tcase_add_test(harness_tcase(suite, "kernel"), are_the_kernels);
    return harness_run(suite);
}
