/* SPDX-License-Identifier: MIT */
/* Buffers without any broker: what is in them, how much, and who else can get at it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define BIG (16u * 1024 * 1024)

static sealbuf_buffer *const untouched = (sealbuf_buffer *)0x1000;

/* ---- Clones and readers ------------------------------------------------------------------------------------------ */

static bool same_file(const sealbuf_buffer *a, const sealbuf_buffer *b)
{
    struct stat of_a, of_b;

    ck_assert_int_eq(fstat(sealbuf_buffer_fd(a), &of_a), 0);
    ck_assert_int_eq(fstat(sealbuf_buffer_fd(b), &of_b), 0);
    return of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

START_TEST(clone_outlives_its_origin)
{
    sealbuf_buffer *origin = new_text("content", SEALBUF_SEAL_SHRINK), *clone;

    ck_assert_int_eq(sealbuf_buffer_clone(origin, &clone), 0);
    ck_assert(same_file(origin, clone));
    ck_assert_int_ne(sealbuf_buffer_fd(origin), sealbuf_buffer_fd(clone));
    ck_assert_int_eq(fcntl(sealbuf_buffer_fd(clone), F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(sealbuf_buffer_writable(clone), 1);
    ck_assert_int_eq(sealbuf_buffer_write(origin, "C", 1, 0), 1);
    sealbuf_buffer_free(origin);
    ck_assert(content_is(clone, "Content", 7));
    ck_assert_int_eq(sealbuf_buffer_seal(clone, SEALBUF_SEAL_WRITE), 0);
    sealbuf_buffer_free(clone);
}
END_TEST

START_TEST(clone_has_no_mapping)
{
    sealbuf_buffer *origin = new_buffer(4096, 0), *clone;
    void *address, *of_clone;
    size_t size;

    ck_assert_int_eq(sealbuf_buffer_map(origin, SEALBUF_MAP_WRITE, &address, &size), 0);
    ck_assert_int_eq(sealbuf_buffer_clone(origin, &clone), 0);
    ck_assert_int_eq(sealbuf_buffer_map(clone, 0, &of_clone, &size), 0);
    ck_assert_ptr_ne(address, of_clone);
    sealbuf_buffer_free(clone);
    ck_assert(mapped_at(address));
    sealbuf_buffer_free(origin);
}
END_TEST

START_TEST(reader_shares_no_offset)
{
    sealbuf_buffer *writer = new_text("0123456789", 0), *reader;
    char byte;

    ck_assert_int_eq(lseek(sealbuf_buffer_fd(writer), 7, SEEK_SET), 7);
    ck_assert_int_eq(sealbuf_buffer_reopen(writer, &reader), 0);
    ck_assert(same_file(writer, reader));
    ck_assert_int_eq(lseek(sealbuf_buffer_fd(reader), 0, SEEK_CUR), 0);
    ck_assert_int_eq(read(sealbuf_buffer_fd(reader), &byte, 1), 1);
    ck_assert_int_eq(byte, '0');
    ck_assert_int_eq(lseek(sealbuf_buffer_fd(writer), 0, SEEK_CUR), 7);
    sealbuf_buffer_free(writer);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(reader_only_reads)
{
    sealbuf_buffer *writer = new_text("0123456789", 0), *reader;

    ck_assert_int_eq(sealbuf_buffer_reopen(writer, &reader), 0);
    ck_assert_int_eq(sealbuf_buffer_writable(reader), 0);
    ck_assert_int_gt(sealbuf_buffer_fd(reader), 2);
    ck_assert_int_eq(fcntl(sealbuf_buffer_fd(reader), F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(sealbuf_buffer_fd(reader), F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(sealbuf_buffer_write(reader, "x", 1, 0), -EBADF);
    ck_assert_int_eq(sealbuf_buffer_seal(reader, SEALBUF_SEAL_WRITE), -EPERM);
    ck_assert_int_eq(sealbuf_buffer_resize(reader, 0), -EINVAL);
    ck_assert(content_is(reader, "0123456789", 10));
    ck_assert_uint_eq(seals_of(writer) & ~exec_seal(), 0);
    sealbuf_buffer_free(writer);
    sealbuf_buffer_free(reader);
}
END_TEST

static void try_to_open_up(void *argument)
{
    const sealbuf_buffer *reader = argument;

    CHILD_CHECK(fchmod(sealbuf_buffer_fd(reader), 0666) < 0 && errno == EPERM);
    CHILD_CHECK(sealbuf_buffer_seal((sealbuf_buffer *)argument, SEALBUF_SEAL_WRITE) == -EPERM);
}

START_TEST(reader_of_another_user_cannot_change_the_mode)
{
    if (getuid() != 0)
        test_skip("needs root, to become somebody else");
    sealbuf_buffer *writer = new_text("mine", 0), *reader;
    ck_assert_int_eq(sealbuf_buffer_reopen(writer, &reader), 0);
    in_child_as(NOBODY, NOBODY, try_to_open_up, reader);
    sealbuf_buffer_free(writer);
    sealbuf_buffer_free(reader);
}
END_TEST

static void reopen_what_has_no_mode(void *unused)
{
    sealbuf_buffer *buffer = NULL, *reader = untouched;

    (void)unused;
    CHILD_CHECK(sealbuf_buffer_create(&buffer, NULL) == 0);
    CHILD_CHECK(fchmod(sealbuf_buffer_fd(buffer), 0) == 0);
    CHILD_CHECK(sealbuf_buffer_reopen(buffer, &reader) == -EACCES);
    CHILD_CHECK(reader == untouched);
}

START_TEST(reopen_obeys_the_mode)
{
    if (getuid() == 0)
        in_child_as(NOBODY, NOBODY, reopen_what_has_no_mode, NULL);
    else
        in_child(reopen_what_has_no_mode, NULL);
}
END_TEST

/* A lease needs an open that the kernel counts, which the one that memfd_create(2) makes is not. */
START_TEST(reopen_does_not_wait_for_a_lease)
{
    sealbuf_buffer *buffer = new_buffer(10, 0), *reader = untouched;
    char path[32];

    signal(SIGIO, SIG_IGN); /* what the holder of a lease gets */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", sealbuf_buffer_fd(buffer));
    int holder = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(holder, 0);
    int leased = fcntl(holder, F_SETLEASE, F_WRLCK);
    int r = leased < 0 ? 0 : sealbuf_buffer_reopen(buffer, &reader);
    close(holder);
    sealbuf_buffer_free(buffer);
    if (leased < 0)
        test_skip("this kernel gives no lease on a memfd");
    ck_assert_int_eq(r, -EAGAIN);
    ck_assert_ptr_eq(reader, untouched);
}
END_TEST

/* ---- Size -------------------------------------------------------------------------------------------------------- */

START_TEST(resizes_as_far_as_the_seals_allow)
{
    static const struct {
        uint32_t flags;
        int grow, shrink;
    } cases[] = {
        {SEALBUF_CREATE_GROWABLE | SEALBUF_CREATE_SHRINKABLE, 0, 0},
        {SEALBUF_CREATE_GROWABLE, 0, -EPERM},
        {SEALBUF_CREATE_SHRINKABLE, -EPERM, 0},
        {0, -EPERM, -EPERM},
        {SEALBUF_CREATE_UNSEALABLE, 0, 0},
    };

    for (int i = 0; i < COUNT(cases); i++) {
        sealbuf_buffer *buffer = new_buffer(1000, cases[i].flags);
        uint64_t size = 1000;
        ck_assert_int_eq(sealbuf_buffer_resize(buffer, size), 0);
        ck_assert_int_eq(sealbuf_buffer_resize(buffer, 5000), cases[i].grow);
        ck_assert_uint_eq(size_of(buffer), cases[i].grow ? 1000 : 5000);
        ck_assert_int_eq(sealbuf_buffer_resize(buffer, 10), cases[i].shrink);
        ck_assert_int_eq(sealbuf_buffer_size(buffer, &size), 0);
        ck_assert_uint_eq(size, size_of(buffer));
        if (cases[i].shrink == 0)
            ck_assert_uint_eq(size, 10);
        sealbuf_buffer_free(buffer);
    }
}
END_TEST

START_TEST(resizes_to_sizes_that_nobody_has)
{
    sealbuf_buffer *buffer = new_buffer(1, SEALBUF_CREATE_GROWABLE | SEALBUF_CREATE_SHRINKABLE);

    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 1ull << 62), 0);
    ck_assert_uint_eq(size_of(buffer), 1ull << 62);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, (uint64_t)INT64_MAX + 1), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, (uint64_t)-1), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, (uint64_t)-4096), -EINVAL);
    ck_assert_uint_eq(size_of(buffer), 1ull << 62);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 0), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(does_not_resize_while_it_is_mapped)
{
    sealbuf_buffer *buffer = new_buffer(4096, SEALBUF_CREATE_GROWABLE);
    void *address;
    size_t size;

    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &address, &size), 0);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 8192), -EBUSY);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 4096), -EBUSY);
    ck_assert_uint_eq(size_of(buffer), 4096);
    sealbuf_buffer_unmap(buffer);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 8192), 0);
    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &address, &size), 0);
    ck_assert_uint_eq(size, 8192);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ---- Reading and writing ----------------------------------------------------------------------------------------- */

START_TEST(reads_up_to_the_end)
{
    sealbuf_buffer *buffer = new_text("0123456789", SEALBUF_SEALS_IMMUTABLE);
    char bytes[32];

    memset(bytes, '-', sizeof(bytes));
    ck_assert_int_eq(sealbuf_buffer_read(buffer, bytes, sizeof(bytes), 4), 6);
    ck_assert_mem_eq(bytes, "456789---", 9);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, bytes, 2, 0), 2);
    ck_assert_mem_eq(bytes, "016789---", 9);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, bytes, 1, 10), 0);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, bytes, 1, 1ull << 40), 0);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, bytes, 0, 0), 0);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, NULL, 0, 5), 0);
    ck_assert_mem_eq(bytes, "016789---", 9);
    ck_assert_int_eq(lseek(sealbuf_buffer_fd(buffer), 0, SEEK_CUR), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(writes_where_it_is_told_to)
{
    sealbuf_buffer *buffer = new_buffer(0, SEALBUF_CREATE_GROWABLE);
    static const char expected[] = "\0\0\0\0\0abc";

    ck_assert_int_eq(sealbuf_buffer_write(buffer, "abc", 3, 5), 3);
    ck_assert(content_is(buffer, expected, 8));
    ck_assert_int_eq(sealbuf_buffer_write(buffer, "", 0, 100), 0);
    ck_assert_uint_eq(size_of(buffer), 8);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, "xyz", 3, (1ull << 40) - 1), 3);
    ck_assert_uint_eq(size_of(buffer), (1ull << 40) + 2);
    ck_assert_int_eq(lseek(sealbuf_buffer_fd(buffer), 0, SEEK_CUR), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(does_not_write_what_is_sealed)
{
    sealbuf_buffer *fixed = new_buffer(100, 0), *sealed = new_text("abc", SEALBUF_SEALS_IMMUTABLE);
    char zeros[100] = {0};

    ck_assert_int_eq(sealbuf_buffer_write(fixed, "0123456789", 10, 95), -EPERM);
    ck_assert_int_eq(sealbuf_buffer_write(fixed, "x", 1, 100), -EPERM);
    ck_assert(content_is(fixed, zeros, 100));
    ck_assert_int_eq(sealbuf_buffer_write(sealed, "x", 1, 0), -EPERM);
    ck_assert(content_is(sealed, "abc", 3));
    sealbuf_buffer_free(fixed);
    sealbuf_buffer_free(sealed);
}
END_TEST

/* The kernel writes part by part; what it has written before it met the seal is told, not hidden behind the error. */
START_TEST(tells_how_much_was_written_before_the_error)
{
    sealbuf_buffer *buffer = new_buffer(4096, 0);
    char bytes[8192], content[4096];

    memset(bytes, 'x', sizeof(bytes));
    memset(content, 0, sizeof(content));
    ssize_t n = sealbuf_buffer_write(buffer, bytes, sizeof(bytes), 4000);
    ck_assert_msg(n == 96 || n == -EPERM, "%zd bytes are said to be written", n);
    if (n > 0)
        memset(content + 4000, 'x', 96);
    ck_assert(content_is(buffer, content, sizeof(content)));
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(positions_that_no_file_has)
{
    sealbuf_buffer *buffer = new_buffer(10, SEALBUF_CREATE_GROWABLE);
    char byte = 0;

    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, 1, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, 1, (uint64_t)INT64_MAX + 1), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, 1, INT64_MAX), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, 1, INT64_MAX - 1), 0);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, 0, INT64_MAX), 0);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, (size_t)SSIZE_MAX + 1, 0), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, SIZE_MAX, 0), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_read(buffer, &byte, SSIZE_MAX, 1), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, &byte, 1, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, &byte, 1, INT64_MAX), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, &byte, (size_t)SSIZE_MAX + 1, 0), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, &byte, SSIZE_MAX, 1), -EINVAL);
    ck_assert_uint_eq(size_of(buffer), 10);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ---- These bytes, sealed ----------------------------------------------------------------------------------------- */

/* ruby memfd: read a fixed length, and stopped at NUL. */
START_TEST(from_no_bytes)
{
    sealbuf_buffer *buffer;

    ck_assert_int_eq(sealbuf_buffer_from_bytes(&buffer, NULL, 0, SEALBUF_SEALS_IMMUTABLE), 0);
    ck_assert_uint_eq(size_of(buffer), 0);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEALS_IMMUTABLE | exec_seal());
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 1), -EPERM);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ruby memfd: read a fixed length, and stopped at NUL. */
START_TEST(from_bytes_with_nul)
{
    static const char bytes[] = "\0one\0\0two\n\0";
    sealbuf_buffer *buffer;

    ck_assert_int_eq(sealbuf_buffer_from_bytes(&buffer, bytes, sizeof(bytes), SEALBUF_SEALS_IMMUTABLE), 0);
    ck_assert(content_is(buffer, bytes, sizeof(bytes)));
    ck_assert_int_eq(sealbuf_buffer_write(buffer, "x", 1, 0), -EPERM);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ruby memfd: read a fixed length, and stopped at NUL. */
START_TEST(from_many_bytes)
{
    unsigned char *bytes = malloc(BIG);
    sealbuf_buffer *buffer;
    void *address;
    size_t size;

    ck_assert_ptr_nonnull(bytes);
    fill_pattern(bytes, BIG, 16);
    ck_assert_int_eq(sealbuf_buffer_from_bytes(&buffer, bytes, BIG, SEALBUF_SEALS_IMMUTABLE), 0);
    ck_assert(content_is(buffer, bytes, BIG));
    ck_assert_int_eq(sealbuf_buffer_map(buffer, 0, &address, &size), 0);
    ck_assert_uint_eq(size, BIG);
    ck_assert_int_eq(memcmp(address, bytes, BIG), 0);
    sealbuf_buffer_free(buffer);
    free(bytes);
}
END_TEST

/* No seal besides those that were asked for, and all of those. */
START_TEST(from_bytes_with_these_seals)
{
    for (uint32_t seals = 0; seals <= SEALBUF_SEALS_ALL; seals++) {
        sealbuf_buffer *buffer;
        if (seals & SEALBUF_SEAL_EXEC && !exec_seal())
            continue;
        ck_assert_int_eq(sealbuf_buffer_from_bytes(&buffer, "abc", 3, seals), 0);
        ck_assert_uint_eq(seals_of(buffer), seals | exec_seal());
        ck_assert(content_is(buffer, "abc", 3));
        sealbuf_buffer_free(buffer);
    }
}
END_TEST

START_TEST(from_bytes_with_unknown_seals)
{
    sealbuf_buffer *buffer = untouched;

    ck_assert_int_eq(sealbuf_buffer_from_bytes(&buffer, "abc", 3, 0x40), -SEALBUF_ERR_SEALS);
    ck_assert_ptr_eq(buffer, untouched);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_content");
    TCase *others = harness_tcase(suite, "clone and reopen"), *size = harness_tcase(suite, "size");
    TCase *access = harness_tcase(suite, "read and write"), *bytes = harness_tcase(suite, "from bytes");

    tcase_add_test(others, clone_outlives_its_origin);
    tcase_add_test(others, clone_has_no_mapping);
    tcase_add_test(others, reader_shares_no_offset);
    tcase_add_test(others, reader_only_reads);
    tcase_add_test(others, reader_of_another_user_cannot_change_the_mode);
    tcase_add_test(others, reopen_obeys_the_mode);
    tcase_add_test(others, reopen_does_not_wait_for_a_lease);
    tcase_add_test(size, resizes_as_far_as_the_seals_allow);
    tcase_add_test(size, resizes_to_sizes_that_nobody_has);
    tcase_add_test(size, does_not_resize_while_it_is_mapped);
    tcase_add_test(access, reads_up_to_the_end);
    tcase_add_test(access, writes_where_it_is_told_to);
    tcase_add_test(access, does_not_write_what_is_sealed);
    tcase_add_test(access, tells_how_much_was_written_before_the_error);
    tcase_add_test(access, positions_that_no_file_has);
    tcase_add_test(bytes, from_no_bytes);
    tcase_add_test(bytes, from_bytes_with_nul);
    tcase_add_test(bytes, from_many_bytes);
    tcase_add_test(bytes, from_bytes_with_these_seals);
    tcase_add_test(bytes, from_bytes_with_unknown_seals);
    return harness_run(suite);
}
