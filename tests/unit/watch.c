/* SPDX-License-Identifier: MIT */
/* What watches are made of: the change log, where memory fails; and the walk, where names come and go all the time. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static unsigned allocations_left = UINT32_MAX;
static long allocated; /* and not freed */

static void *malloc_of_test(size_t size)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    allocated++;
    return malloc(size);
}

static void free_of_test(void *memory)
{
    allocated -= memory != NULL;
    free(memory);
}

#define malloc malloc_of_test
#define free   free_of_test
#include "../../daemon/change_log.c" /* NOLINT(bugprone-suspicious-include): so that its allocations may fail */
#undef malloc
#undef free
#include "../../daemon/walk.c" /* NOLINT(bugprone-suspicious-include): with a registry of the test's own */

/* Of the harness nothing is used that has to do with its struct broker. */
#define broker broker_of_harness
#include "harness.h"
#undef broker

/* ---- The log ----------------------------------------------------------------------------------------------------- */

static struct buffer buffer;
static struct name *changing; /* its generation is the number of its change */

static void note(struct change_log *log, uint64_t number)
{
    changing->generation = number;
    change_log_add(log, number, SEALBUF_CHANGE_REPLACED, changing, NULL);
}

/* What somebody finds who has seen all up to this number. */
static void check_log(const struct change_log *log, uint64_t seen, uint64_t first, uint64_t last, uint64_t step)
{
    uint32_t at = change_log_find(log, seen);

    for (uint64_t number = first; number <= last; number += step, at++) {
        ck_assert_uint_ne(at, log->next);
        ck_assert_uint_eq(change_log_at(log, at)->number, number);
        ck_assert_uint_eq(change_log_at(log, at)->generation, number);
    }
    ck_assert_uint_eq(at, log->next);
}

START_TEST(log_keeps_the_last)
{
    struct change_log log = {.ring = NULL};

    check_log(&log, 0, 1, 0, 1);
    for (uint64_t number = 3; number <= 30000; number += 3) {
        note(&log, number);
        uint64_t kept = number / 3 < CHANGES_KEPT ? number / 3 : CHANGES_KEPT;
        ck_assert_uint_eq(log.lost, number - kept * 3);
        if (number % 1000 > 10)
            continue;
        check_log(&log, log.lost, log.lost + 3, number, 3);
        check_log(&log, number, number + 3, number, 3);
        check_log(&log, number - 1, number, number, 3);
        check_log(&log, number - 3, number, number, 3);
    }
    change_log_clear(&log);
    ck_assert_int_eq(allocated, 0);
}
END_TEST

/* Each allocation fails once: whoever has not seen all then finds that something is lost, and the log goes on. */
START_TEST(log_without_memory)
{
    for (unsigned fails = 0; fails < 3 * CHANGES_KEPT; fails += fails < 4 ? 1 : 97) {
        struct change_log log = {.ring = NULL};
        uint64_t number = 0;
        allocations_left = fails;
        while (allocations_left || number == 0)
            note(&log, ++number);
        note(&log, ++number); /* there is no memory for it */
        ck_assert_uint_eq(log.lost, number);
        check_log(&log, number, number + 1, number, 1);
        allocations_left = UINT32_MAX;
        for (unsigned i = 0; i < 5; i++)
            note(&log, ++number);
        check_log(&log, log.lost, log.lost + 1, number, 1);
        ck_assert_uint_eq(log.lost, number - 5);
        change_log_clear(&log);
        ck_assert_int_eq(allocated, 0);
    }
}
END_TEST

/* ---- The walk ---------------------------------------------------------------------------------------------------- */

/* All names of one and two letters out of a few, in order; those that are there, and those that the walker believes in.
 */
#define LETTERS 6
#define NAMES   (LETTERS + LETTERS * LETTERS)

static struct name *names[NAMES];
static bool there[NAMES], believed[NAMES];

static struct name *new_name(const char *text)
{
    struct name *name = calloc(1, sizeof(*name) + strlen(text));

    name->length = (uint8_t)strlen(text);
    memcpy(name->text, text, name->length);
    name->buffer = &buffer;
    return name;
}

struct name *registry_find(struct registry *registry, uid_t owner, struct span text)
{
    (void)registry, (void)owner;
    for (unsigned i = 0; i < NAMES; i++)
        if (there[i] && compare(text, name_text(names[i])) == 0)
            return names[i];
    return NULL;
}

struct name *registry_after(struct registry *registry, uid_t owner, struct span text)
{
    (void)registry, (void)owner;
    for (unsigned i = 0; i < NAMES; i++)
        if (there[i] && compare(name_text(names[i]), text) > 0)
            return names[i];
    return NULL;
}

static unsigned index_of(const struct name *name)
{
    unsigned i = 0;

    while (names[i] != name)
        i++;
    return i;
}

/* A name comes or goes. The walker is told where it has passed. */
static void change(const struct walk *walk, const struct walk_range *range)
{
    unsigned i = (unsigned)random() % NAMES;

    there[i] = !there[i];
    if (range_contains(range, name_text(names[i])) && walk_has_passed(walk, name_text(names[i])))
        believed[i] = there[i];
}

/* Some change, and nobody is told: the walker forgets all. */
static void lose_some(struct walk *walk)
{
    for (unsigned i = 0; i < 5; i++)
        there[random() % NAMES] ^= true;
    memset(believed, 0, sizeof(believed));
    walk_begin_again(walk);
}

static void walk_once(const struct walk_range *range, unsigned losses)
{
    struct walk walk;
    struct name *name;
    unsigned steps = 0;

    memset(believed, 0, sizeof(believed));
    walk_begin(&walk);
    while ((name = walk_next(&walk, range, NULL))) {
        unsigned i = index_of(name);
        ck_assert(there[i] && !believed[i]);
        ck_assert(!walk_has_passed(&walk, name_text(name)));
        believed[i] = true;
        walk_pass(&walk, name);
        ck_assert(walk_has_passed(&walk, name_text(name)));
        for (unsigned changes = (unsigned)random() % 3; changes > 0; changes--)
            change(&walk, range);
        if (losses && random() % 10 == 0) {
            lose_some(&walk);
            losses--;
        }
        ck_assert_uint_lt(++steps, 20 * NAMES);
    }
    for (unsigned i = 0; i < NAMES; i++)
        ck_assert_int_eq(believed[i], there[i] && range_contains(range, name_text(names[i])));
}

START_TEST(walk_is_consistent)
{
    static const char *const prefixes[] = {"", "a", "c", "f", "cc", "x"};

    srandom(1);
    for (unsigned round = 0; round < 20000; round++) {
        for (unsigned i = 0; i < NAMES; i++)
            there[i] = random() % 2;
        const char *prefix = prefixes[round % 6];
        walk_once(&(struct walk_range){0, SPAN(prefix), round % 12 == 4}, round % 5);
    }
}
END_TEST

static void make_names(void)
{
    unsigned count = 0;

    changing = new_name("changing");
    for (char first = 'a'; first < 'a' + LETTERS; first++) {
        names[count++] = new_name((char[]){first, '\0'});
        for (char second = 'a'; second < 'a' + LETTERS; second++)
            names[count++] = new_name((char[]){first, second, '\0'});
    }
}

static void free_names(void)
{
    free(changing);
    for (unsigned i = 0; i < NAMES; i++)
        free(names[i]);
}

int main(void)
{
    Suite *suite = suite_create("watch");
    TCase *parts = harness_tcase(suite, "parts");

    tcase_add_checked_fixture(parts, make_names, free_names);
    tcase_add_test(parts, log_keeps_the_last);
    tcase_add_test(parts, log_without_memory);
    tcase_add_test(parts, walk_is_consistent);
    return harness_run(suite);
}
