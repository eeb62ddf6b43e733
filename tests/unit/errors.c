/* SPDX-License-Identifier: MIT */
/* The table of error codes has no holes, and says something for each. */
#include "errors.h"

#include <ctype.h>
#include <string.h>

#include "harness.h"

START_TEST(is_contiguous)
{
    for (uint32_t code = SEALBUF_ERR_FIRST; code <= SEALBUF_ERR_LAST; code++) {
        const struct error_entry *entry = error_entry(code);
        ck_assert_ptr_nonnull(entry);
        ck_assert_uint_eq(entry->code, code);
    }
}
END_TEST

START_TEST(knows_no_others)
{
    static const uint32_t others[] = {0, 1, 4095, SEALBUF_ERR_FIRST - 1, SEALBUF_ERR_LAST + 1, 0x7fffffff, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ck_assert_ptr_null(error_entry(others[i]));
}
END_TEST

/* Clauses that are put together into sentences: no capital at the start, no full stop at the end. */
static void check_clause(const char *clause)
{
    ck_assert_ptr_nonnull(clause);
    ck_assert_uint_ge(strlen(clause), 10);
    ck_assert_uint_le(strlen(clause), SEALBUF_MAX_TEXT / 4);
    ck_assert_msg(!isupper((unsigned char)clause[0]) || isupper((unsigned char)clause[1]), "'%s'", clause);
    ck_assert_msg(clause[strlen(clause) - 1] != '.', "'%s'", clause);
    ck_assert_msg(!strpbrk(clause, "|\n"), "'%s' would break the table of the document", clause);
}

START_TEST(has_texts)
{
    for (uint32_t code = SEALBUF_ERR_FIRST; code <= SEALBUF_ERR_LAST; code++) {
        const struct error_entry *entry = error_entry(code);
        ck_assert_uint_eq(strspn(entry->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), strlen(entry->name));
        check_clause(entry->cause);
        check_clause(entry->remedy);
    }
}
END_TEST

START_TEST(names_differ)
{
    for (uint32_t a = SEALBUF_ERR_FIRST; a <= SEALBUF_ERR_LAST; a++)
        for (uint32_t b = a + 1; b <= SEALBUF_ERR_LAST; b++) {
            ck_assert_str_ne(error_entry(a)->name, error_entry(b)->name);
            ck_assert_str_ne(error_entry(a)->cause, error_entry(b)->cause);
        }
}
END_TEST

/* A number that once meant something means it for ever: these are the ends, and one in the middle. */
START_TEST(numbers_stay)
{
    ck_assert_str_eq(error_entry(5001)->name, "MALFORMED");
    ck_assert_str_eq(error_entry(5016)->name, "NOT_MEMFD");
    ck_assert_str_eq(error_entry(5021)->name, "NOT_FOUND");
    ck_assert_str_eq(error_entry(5029)->name, "INTERNAL");
    ck_assert_str_eq(error_entry(5034)->name, "MAPPED");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("errors");
    TCase *table = harness_tcase(suite, "table");

    tcase_add_test(table, is_contiguous);
    tcase_add_test(table, knows_no_others);
    tcase_add_test(table, has_texts);
    tcase_add_test(table, names_differ);
    tcase_add_test(table, numbers_stay);
    return harness_run(suite);
}
