/* SPDX-License-Identifier: MIT */
/* Seals without any broker: adding and asking, what the kernel then allows, and all of it as text. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define UNSEALED (SEALBUF_CREATE_GROWABLE | SEALBUF_CREATE_SHRINKABLE)

/* ---- Adding ------------------------------------------------------------------------------------------------------ */

START_TEST(adds_one_seal)
{
    uint32_t seal = 1u << _i;
    sealbuf_buffer *buffer = new_buffer(4096, UNSEALED);

    ck_assert_int_eq(sealbuf_buffer_seal(buffer, seal),
                     seal == SEALBUF_SEAL_EXEC && !exec_seal() ? -SEALBUF_ERR_SEALS : 0);
    ck_assert_uint_eq(seals_of(buffer) | exec_seal(), seal | exec_seal());
    ck_assert_int_eq(sealbuf_buffer_has_seals(buffer, seal), 1);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(adds_a_set_and_again)
{
    sealbuf_buffer *buffer = new_buffer(4096, UNSEALED);

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEALS_IMMUTABLE), 0);
        ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEALS_IMMUTABLE | exec_seal());
    }
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, 0), 0);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_GROW), 0);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEALS_IMMUTABLE | exec_seal());
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(adds_all_or_nothing)
{
    sealbuf_buffer *buffer = new_buffer(4096, UNSEALED), *other;
    void *address;
    size_t size;

    ck_assert_int_eq(sealbuf_buffer_clone(buffer, &other), 0);
    ck_assert_int_eq(sealbuf_buffer_map(other, SEALBUF_MAP_WRITE | SEALBUF_MAP_UNSEALED, &address, &size), 0);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEALS_IMMUTABLE), -EBUSY);
    ck_assert_uint_eq(seals_of(buffer), exec_seal());
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_SHRINK | 0x40), -SEALBUF_ERR_SEALS);
    ck_assert_uint_eq(seals_of(buffer), exec_seal());
    ck_assert(mapped_at(address));
    sealbuf_buffer_unmap(other);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEALS_IMMUTABLE), 0);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(other);
}
END_TEST

START_TEST(nothing_after_the_last_seal)
{
    sealbuf_buffer *buffer = new_buffer(4096, UNSEALED);

    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_GROW | SEALBUF_SEAL_SEAL), 0);
    for (uint32_t seal = 1; seal <= SEALBUF_SEAL_EXEC; seal <<= 1)
        ck_assert_int_eq(sealbuf_buffer_seal(buffer, seal), -EPERM);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_GROW | SEALBUF_SEAL_SEAL | exec_seal());
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(refuses_unknown_seals)
{
    sealbuf_buffer *buffer = new_buffer(4096, UNSEALED);

    for (unsigned bit = 6; bit < 32; bit++)
        ck_assert_int_eq(sealbuf_buffer_seal(buffer, 1u << bit), -SEALBUF_ERR_SEALS);
    ck_assert_uint_eq(seals_of(buffer), exec_seal());
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(exec_seals_an_executable_altogether)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_buffer_create(
        &buffer, OPTIONS(sealbuf_create_options, .size = 10, .flags = UNSEALED | SEALBUF_CREATE_EXECUTABLE));

    if (r == -EACCES || !exec_seal()) {
        sealbuf_buffer_free(r == 0 ? buffer : NULL);
        test_skip("no EXEC seal, or no executable memfds here");
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_EXEC), 0);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_EXEC | SEALBUF_SEALS_IMMUTABLE | SEALBUF_SEAL_FUTURE_WRITE);
    ck_assert_int_eq(fchmod(sealbuf_buffer_fd(buffer), 0600), -1);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* Pages on their way through a pipe are pinned: the kernel waits 0.16 s for them, and then gives up. */
START_TEST(busy_while_pages_are_in_a_pipe)
{
    sealbuf_buffer *buffer = new_buffer(4096, 0);
    off_t from = 0;
    char bytes[4096];
    int ends[2];

    ck_assert_int_eq(sealbuf_buffer_write(buffer, "x", 1, 0), 1);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(splice(sealbuf_buffer_fd(buffer), &from, ends[1], NULL, 4096, 0), 4096);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), -EBUSY);
    ck_assert_int_eq(read(ends[0], bytes, sizeof(bytes)), 4096);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), 0);
    close(ends[0]);
    close(ends[1]);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

/* Some memfd wrappers compare sets of seals with ==. */
START_TEST(says_what_the_kernel_says)
{
    for (uint32_t seals = 0; seals < 0x20; seals++) {
        sealbuf_buffer *buffer = new_text("x", seals);
        uint32_t got = 0x55555555;
        ck_assert_int_eq(sealbuf_buffer_seals(buffer, &got), 0);
        ck_assert_uint_eq(got, seals_of(buffer));
        for (uint32_t wanted = 0; wanted <= SEALBUF_SEALS_ALL; wanted++)
            ck_assert_int_eq(sealbuf_buffer_has_seals(buffer, wanted), (wanted & ~got) == 0);
        ck_assert_int_eq(sealbuf_buffer_has_seals(buffer, got | 0x40), 0);
        sealbuf_buffer_free(buffer);
    }
}
END_TEST

/* Ray #16460: a number that is another file's by now. */
START_TEST(fails_where_there_is_nothing_to_ask)
{
    sealbuf_buffer *buffer = new_buffer(1, 0);
    uint32_t seals = 0x55555555;
    uint64_t size = 77;
    int file = open("/dev/null", O_RDWR | O_CLOEXEC);

    /* Another file under the buffer's number: what somebody does who closes a descriptor twice. */
    ck_assert_int_ge(dup3(file, sealbuf_buffer_fd(buffer), O_CLOEXEC), 0);
    ck_assert_int_eq(sealbuf_buffer_seals(buffer, &seals), -EINVAL);
    ck_assert_int_lt(sealbuf_buffer_has_seals(buffer, 0), 0);
    close(sealbuf_buffer_fd(buffer));
    ck_assert_int_eq(sealbuf_buffer_seals(buffer, &seals), -EBADF);
    ck_assert_int_eq(sealbuf_buffer_has_seals(buffer, 0), -EBADF);
    ck_assert_int_eq(sealbuf_buffer_size(buffer, &size), -EBADF);
    ck_assert_uint_eq(seals, 0x55555555);
    ck_assert_uint_eq(size, 77);
    close(file);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ---- What the seals are worth: the kernel's table ---------------------------------------------------------------- */

#define SIZE_BEFORE 8192

static int punch(sealbuf_buffer *buffer)
{
    return fallocate(sealbuf_buffer_fd(buffer), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0 ? -errno : 0;
}

static int allocate_inside(sealbuf_buffer *buffer)
{
    return fallocate(sealbuf_buffer_fd(buffer), 0, 0, SIZE_BEFORE) < 0 ? -errno : 0;
}

static int allocate_beyond(sealbuf_buffer *buffer)
{
    return fallocate(sealbuf_buffer_fd(buffer), 0, SIZE_BEFORE, 4096) < 0 ? -errno : 0;
}

static int write_inside(sealbuf_buffer *buffer)
{
    ssize_t n = sealbuf_buffer_write(buffer, "w", 1, 1);
    return n < 0 ? (int)n : 0;
}

static int write_beyond(sealbuf_buffer *buffer)
{
    ssize_t n = sealbuf_buffer_write(buffer, "w", 1, SIZE_BEFORE);
    return n < 0 ? (int)n : 0;
}

static int grow(sealbuf_buffer *buffer)
{
    return sealbuf_buffer_resize(buffer, SIZE_BEFORE + 4096);
}

static int shrink(sealbuf_buffer *buffer)
{
    return sealbuf_buffer_resize(buffer, 4096);
}

#define ANY_WRITE (SEALBUF_SEAL_WRITE | SEALBUF_SEAL_FUTURE_WRITE)

static const struct {
    const char *name;
    int (*act)(sealbuf_buffer *buffer);
    uint32_t forbidden_by; /* each of these forbids it */
    uint64_t size;         /* afterwards, where it is allowed */
    bool changes_content;
} operations[] = {
    {"punch a hole", punch, ANY_WRITE, SIZE_BEFORE, true},
    {"allocate inside", allocate_inside, 0, SIZE_BEFORE, false},
    {"allocate beyond", allocate_beyond, SEALBUF_SEAL_GROW, SIZE_BEFORE + 4096, false},
    {"pwrite", write_inside, ANY_WRITE, SIZE_BEFORE, true},
    {"extending pwrite", write_beyond, ANY_WRITE | SEALBUF_SEAL_GROW, SIZE_BEFORE + 1, false},
    {"grow", grow, SEALBUF_SEAL_GROW, SIZE_BEFORE + 4096, false},
    {"shrink", shrink, SEALBUF_SEAL_SHRINK, 4096, false},
};

static void check_operation(int which, uint32_t seals)
{
    unsigned char before[SIZE_BEFORE], after[SIZE_BEFORE];
    sealbuf_buffer *buffer;
    char text[SEALBUF_SEALS_TEXT];
    bool forbidden = operations[which].forbidden_by & seals;

    fill_pattern(before, sizeof(before), seals + 1);
    ck_assert_int_eq(sealbuf_buffer_from_bytes(&buffer, before, sizeof(before), seals), 0);
    int r = operations[which].act(buffer);
    ck_assert_msg(r == (forbidden ? -EPERM : 0), "%s with %s: %s", operations[which].name,
                  sealbuf_seals_format(seals, text), sealbuf_error_name(r));
    ck_assert_uint_eq(size_of(buffer), forbidden ? SIZE_BEFORE : operations[which].size);
    ssize_t n = sealbuf_buffer_read(buffer, after, sizeof(after), 0);
    bool same = n > 0 && memcmp(before, after, (size_t)n) == 0;
    ck_assert_msg(same == (forbidden || !operations[which].changes_content), "%s with %s: the content %s",
                  operations[which].name, sealbuf_seals_format(seals, text), same ? "is as before" : "is another one");
    sealbuf_buffer_free(buffer);
}

/* Every set of the four, every operation. */
START_TEST(kernel_enforces_what_it_should)
{
    for (uint32_t set = 0; set < 16; set++)
        check_operation(_i, set << 1);
    check_operation(_i, SEALBUF_SEALS_IMMUTABLE | SEALBUF_SEAL_SEAL);
}
END_TEST

/* ---- As text ----------------------------------------------------------------------------------------------------- */

START_TEST(seals_as_text)
{
    char text[SEALBUF_SEALS_TEXT];
    sealbuf_buffer *buffer = new_text("x", SEALBUF_SEALS_IMMUTABLE);

    ck_assert_str_eq(sealbuf_seals_format(seals_of(buffer) & ~exec_seal(), text), "shrink|grow|write");
    ck_assert_str_eq(sealbuf_seals_format(0, text), "none");
    ck_assert_str_eq(sealbuf_seals_format(0x40 | SEALBUF_SEAL_WRITE, text), "write|0x40");
    ck_assert_str_eq(sealbuf_seals_format(UINT32_MAX, text), "shrink|grow|write|future_write|seal|exec|0xffffffc0");
    sealbuf_buffer_free(buffer);
    for (uint32_t seals = 0; seals < 0x100; seals++) {
        uint32_t read = ~seals;
        ck_assert_int_eq(sealbuf_seals_parse(sealbuf_seals_format(seals, text), &read), 0);
        ck_assert_uint_eq(read, seals);
    }
}
END_TEST

START_TEST(seals_from_text)
{
    static const char *const bad[] = {"", "shrink|", "|", "shrnk", "shrink;grow", "0x", "14", "-1", "none none"};
    uint32_t seals = 0x55555555;

    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(sealbuf_seals_parse(bad[i], &seals) == -EINVAL, "'%s' is read", bad[i]);
    ck_assert_uint_eq(seals, 0x55555555);
    ck_assert_int_eq(sealbuf_seals_parse("immutable", &seals), 0);
    ck_assert_uint_eq(seals, SEALBUF_SEALS_IMMUTABLE);
    ck_assert_int_eq(sealbuf_seals_parse("none", &seals), 0);
    ck_assert_uint_eq(seals, 0);
    ck_assert_int_eq(sealbuf_seals_parse("SHRINK,Grow|future_write , exec", &seals), 0);
    ck_assert_uint_eq(seals, 0x36);
}
END_TEST

static const char *const names[] = {
    "MALFORMED",   "VERSION",    "OPCODE",      "RESERVED",   "HELLO",      "DESCRIPTORS", "TOO_BIG",      "FLAGS",
    "SIZE",        "NAME",       "LABEL",       "METADATA",   "SEALS",      "MODE",        "TARGET",       "NOT_MEMFD",
    "ACCESS_MODE", "NOT_SEALED", "SEALED",      "BUSY",       "NOT_FOUND",  "EXISTS",      "DENIED",       "LIMIT",
    "MEMORY",      "TABLE_FULL", "UNSUPPORTED", "STOPPING",   "INTERNAL",   "UNREACHABLE", "DISCONNECTED", "TIMED_OUT",
    "BAD_REPLY",   "MAPPED",     "TOKEN",       "STORE_FULL", "GENERATION", "CANCELLED",
};

START_TEST(every_error_has_cause_and_remedy)
{
    ck_assert_int_eq(COUNT(names), SEALBUF_ERR_LAST - SEALBUF_ERR_FIRST + 1);
    for (int code = SEALBUF_ERR_FIRST; code <= SEALBUF_ERR_LAST; code++) {
        ck_assert_str_eq(sealbuf_error_name(code), names[code - SEALBUF_ERR_FIRST]);
        ck_assert_ptr_eq(sealbuf_error_name(-code), sealbuf_error_name(code));
        ck_assert_uint_gt(strlen(sealbuf_strerror(code)), 10);
        ck_assert_ptr_eq(sealbuf_strerror(-code), sealbuf_strerror(code));
        ck_assert_uint_gt(strlen(sealbuf_error_remedy(code)), 5);
        ck_assert_ptr_eq(sealbuf_error_remedy(-code), sealbuf_error_remedy(code));
        for (int other = SEALBUF_ERR_FIRST; other < code; other++)
            ck_assert_str_ne(sealbuf_strerror(code), sealbuf_strerror(other));
    }
}
END_TEST

START_TEST(errno_values_are_known_too)
{
    ck_assert_str_eq(sealbuf_strerror(-ENOENT), strerror(ENOENT));
    ck_assert_str_eq(sealbuf_strerror(EMFILE), strerror(EMFILE));
    ck_assert_str_eq(sealbuf_error_remedy(-ENOENT), "");
#ifdef __GLIBC__
    ck_assert_str_eq(sealbuf_error_name(-ENOENT), "ENOENT");
#endif
    ck_assert_ptr_nonnull(sealbuf_strerror(0));
    ck_assert_str_eq(sealbuf_error_remedy(0), "");
}
END_TEST

START_TEST(unknown_numbers_are_no_trouble)
{
    static const int unknown[] = {4095, 4096, 5000, SEALBUF_ERR_LAST + 1, 100000, INT_MAX, INT_MIN, INT_MIN + 1};

    for (int i = 0; i < COUNT(unknown); i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            int code = unknown[i] == INT_MIN ? INT_MIN : sign * unknown[i];
            ck_assert_str_eq(sealbuf_error_name(code), "UNKNOWN");
            ck_assert_uint_gt(strlen(sealbuf_strerror(code)), 0);
            ck_assert_str_eq(sealbuf_error_remedy(code), "");
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_sealing");
    TCase *add = harness_tcase(suite, "add"), *ask = harness_tcase(suite, "ask");
    TCase *text = harness_tcase(suite, "text");

    tcase_add_loop_test(add, adds_one_seal, 0, 6);
    tcase_add_test(add, adds_a_set_and_again);
    tcase_add_test(add, adds_all_or_nothing);
    tcase_add_test(add, nothing_after_the_last_seal);
    tcase_add_test(add, refuses_unknown_seals);
    tcase_add_test(add, exec_seals_an_executable_altogether);
    tcase_add_test(add, busy_while_pages_are_in_a_pipe);
    tcase_add_test(ask, says_what_the_kernel_says);
    tcase_add_test(ask, fails_where_there_is_nothing_to_ask);
    tcase_add_loop_test(harness_tcase(suite, "kernel"), kernel_enforces_what_it_should, 0, COUNT(operations));
    tcase_add_test(text, seals_as_text);
    tcase_add_test(text, seals_from_text);
    tcase_add_test(text, every_error_has_cause_and_remedy);
    tcase_add_test(text, errno_values_are_known_too);
    tcase_add_test(text, unknown_numbers_are_no_trouble);
    return harness_run(suite);
}
