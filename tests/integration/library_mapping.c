/* SPDX-License-Identifier: MIT */
/* Mappings without any broker: verified first, of every kind, and gone when they must be. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

#define SIZE 12288

/* What a failed map must not touch. */
struct view {
    void *address;
    size_t size;
};
static const struct view untouched = {(void *)0x1000, 77};

static int map(sealbuf_buffer *buffer, uint32_t flags, struct view *view)
{
    *view = untouched;
    int r = sealbuf_buffer_map(buffer, flags, &view->address, &view->size);
    if (r < 0)
        ck_assert(view->address == untouched.address && view->size == untouched.size);
    return r;
}

static char *must_map(sealbuf_buffer *buffer, uint32_t flags)
{
    struct view view;
    int r = map(buffer, flags, &view);

    ck_assert_msg(r == 0, "map: %s", sealbuf_error_name(r));
    ck_assert_uint_eq(view.size, size_of(buffer));
    return view.address;
}

static sealbuf_buffer *reader_of(const sealbuf_buffer *buffer)
{
    sealbuf_buffer *reader = NULL;

    ck_assert_int_eq(sealbuf_buffer_reopen(buffer, &reader), 0);
    return reader;
}

static sealbuf_buffer *clone_of(const sealbuf_buffer *buffer)
{
    sealbuf_buffer *clone = NULL;

    ck_assert_int_eq(sealbuf_buffer_clone(buffer, &clone), 0);
    return clone;
}

/* ---- Verification ------------------------------------------------------------------------------------------------ */

static const uint32_t kinds[] = {0, SEALBUF_MAP_WRITE, SEALBUF_MAP_PRIVATE};

START_TEST(refuses_what_may_shrink)
{
    sealbuf_buffer *shrinkable = new_buffer(SIZE, SEALBUF_CREATE_SHRINKABLE);
    sealbuf_buffer *unsealable = new_buffer(SIZE, SEALBUF_CREATE_UNSEALABLE);
    struct view view;

    for (uint32_t more = 0; more <= SEALBUF_MAP_POPULATE; more += SEALBUF_MAP_POPULATE) {
        ck_assert_int_eq(map(shrinkable, kinds[_i] | more, &view), -SEALBUF_ERR_NOT_SEALED);
        ck_assert_int_eq(map(unsealable, kinds[_i] | more, &view), -SEALBUF_ERR_NOT_SEALED);
    }
    must_map(shrinkable, kinds[_i] | SEALBUF_MAP_UNSEALED);
    must_map(unsealable, kinds[_i] | SEALBUF_MAP_UNSEALED);
    ck_assert_int_eq(map(shrinkable, kinds[_i], &view), -SEALBUF_ERR_NOT_SEALED);
    sealbuf_buffer_unmap(shrinkable);
    ck_assert_int_eq(sealbuf_buffer_seal(shrinkable, SEALBUF_SEAL_SHRINK), 0);
    must_map(shrinkable, kinds[_i]);
    sealbuf_buffer_free(shrinkable);
    sealbuf_buffer_free(unsealable);
}
END_TEST

/* A file in the place of the buffer that answers F_GET_SEALS, but is not sealed. */
START_TEST(refuses_a_file_that_is_not_sealed)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    struct view view;
    int file = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (file < 0) {
        sealbuf_buffer_free(buffer);
        test_skip("no /dev/shm here");
    }
    ck_assert_int_ge(dup3(file, sealbuf_buffer_fd(buffer), O_CLOEXEC), 0);
    ck_assert_int_eq(map(buffer, 0, &view), -SEALBUF_ERR_NOT_SEALED);
    close(file);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(refuses_flags_that_make_no_sense)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    struct view view;

    ck_assert_int_eq(map(buffer, SEALBUF_MAP_WRITE | SEALBUF_MAP_PRIVATE, &view), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(map(buffer, 0x10, &view), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(map(buffer, 0x80000000u, &view), -SEALBUF_ERR_FLAGS);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(refuses_to_write_what_is_sealed)
{
    sealbuf_buffer *sealed = new_text("abc", SEALBUF_SEALS_IMMUTABLE);
    sealbuf_buffer *future = new_text("abc", SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_FUTURE_WRITE);
    sealbuf_buffer *open = new_buffer(SIZE, 0), *reader = reader_of(open);
    struct view view;

    ck_assert_int_eq(map(sealed, SEALBUF_MAP_WRITE, &view), -EPERM);
    ck_assert_int_eq(map(future, SEALBUF_MAP_WRITE, &view), -EPERM);
    ck_assert_int_eq(map(reader, SEALBUF_MAP_WRITE, &view), -EACCES);
    ck_assert_mem_eq(must_map(sealed, 0), "abc", 3);
    ck_assert_mem_eq(must_map(future, 0), "abc", 3);
    must_map(reader, 0);
    sealbuf_buffer_free(sealed);
    sealbuf_buffer_free(future);
    sealbuf_buffer_free(open);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(more_than_there_are_addresses)
{
    sealbuf_buffer *buffer = new_buffer(1ull << 62, 0), *whole = new_buffer(INT64_MAX, 0);
    struct view view;

    for (int i = 0; i < COUNT(kinds); i++) {
        ck_assert_int_eq(map(buffer, kinds[i], &view), -ENOMEM);
        ck_assert_int_eq(map(whole, kinds[i], &view), -ENOMEM);
    }
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(whole);
}
END_TEST

/* ---- Kinds ------------------------------------------------------------------------------------------------------- */

START_TEST(writable_is_seen_by_all)
{
    sealbuf_buffer *writer = new_buffer(SIZE, 0), *reader = reader_of(writer);
    char *written = must_map(writer, SEALBUF_MAP_WRITE), *read = must_map(reader, 0), byte;

    written[SIZE - 1] = 'w';
    ck_assert_int_eq(read[SIZE - 1], 'w');
    ck_assert_int_eq(sealbuf_buffer_read(reader, &byte, 1, SIZE - 1), 1);
    ck_assert_int_eq(byte, 'w');
    sealbuf_buffer_free(writer);
    ck_assert_int_eq(read[SIZE - 1], 'w');
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(private_is_seen_by_nobody)
{
    sealbuf_buffer *buffer = new_text("shared", SEALBUF_SEALS_IMMUTABLE), *reader = reader_of(buffer);
    char *mine = must_map(buffer, SEALBUF_MAP_PRIVATE), *readers = must_map(reader, SEALBUF_MAP_PRIVATE);

    ck_assert_mem_eq(mine, "shared", 6);
    memcpy(mine, "MINE", 4);
    readers[0] = 'S';
    ck_assert_mem_eq(mine, "MINEed", 6);
    ck_assert_mem_eq(readers, "Shared", 6);
    ck_assert(content_is(buffer, "shared", 6));
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(read_only_cannot_be_made_writable)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0), *reader = reader_of(buffer);
    char *of_writer = must_map(buffer, 0), *of_reader = must_map(reader, 0);

    ck_assert_int_eq(mprotect(of_reader, SIZE, PROT_READ | PROT_WRITE), -1);
    ck_assert_int_eq(errno, EACCES);
    ck_assert_int_eq(mprotect(of_writer, SIZE, PROT_READ | PROT_WRITE), -1);
    ck_assert_int_eq(errno, EACCES);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(populated_is_resident)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    unsigned char resident[SIZE / 4096] = {0};
    char *at = must_map(buffer, SEALBUF_MAP_WRITE | SEALBUF_MAP_POPULATE);

    ck_assert_int_eq(mincore(at, SIZE, resident), 0);
    for (unsigned i = 0; i < sizeof(resident); i++)
        ck_assert_uint_eq(resident[i] & 1, 1);
    sealbuf_buffer_free(buffer);
    buffer = new_buffer(SIZE, 0);
    at = must_map(buffer, SEALBUF_MAP_WRITE);
    ck_assert_int_eq(mincore(at, SIZE, resident), 0);
    ck_assert_uint_eq(resident[0] & 1, 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(again_is_the_same)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    char *first = must_map(buffer, kinds[_i]);
    struct view view;

    ck_assert_ptr_eq(must_map(buffer, kinds[_i]), first);
    ck_assert_ptr_eq(must_map(buffer, kinds[_i] | SEALBUF_MAP_UNSEALED), first);
    ck_assert_ptr_eq(must_map(buffer, kinds[_i] | SEALBUF_MAP_POPULATE), first);
    for (int i = 0; i < COUNT(kinds); i++)
        if (i != _i)
            ck_assert_int_eq(map(buffer, kinds[i], &view), -SEALBUF_ERR_MAPPED);
    sealbuf_buffer_unmap(buffer);
    ck_assert(!mapped_at(first));
    for (int i = 0; i < COUNT(kinds); i++) {
        must_map(buffer, kinds[i]);
        sealbuf_buffer_unmap(buffer);
    }
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(is_as_big_as_it_was)
{
    sealbuf_buffer *buffer = new_buffer(4096, SEALBUF_CREATE_GROWABLE), *other = clone_of(buffer);
    char *first = must_map(buffer, 0);
    struct view view;

    ck_assert_int_eq(sealbuf_buffer_resize(other, 8192), 0);
    ck_assert_int_eq(map(buffer, 0, &view), 0);
    ck_assert_ptr_eq(view.address, first);
    ck_assert_uint_eq(view.size, 4096);
    sealbuf_buffer_unmap(buffer);
    ck_assert_int_eq(map(buffer, 0, &view), 0);
    ck_assert_uint_eq(view.size, 8192);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(other);
}
END_TEST

START_TEST(nothing_maps_to_nothing)
{
    sealbuf_buffer *buffer = new_buffer(0, SEALBUF_CREATE_GROWABLE);
    struct view view;

    for (int i = 0; i < COUNT(kinds); i++) {
        ck_assert_int_eq(map(buffer, kinds[i], &view), 0);
        ck_assert_ptr_null(view.address);
        ck_assert_uint_eq(view.size, 0);
        sealbuf_buffer_unmap(buffer);
    }
    ck_assert_int_eq(map(buffer, SEALBUF_MAP_WRITE, &view), 0);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), 0);
    sealbuf_buffer_unmap(buffer);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 4096), 0);
    must_map(buffer, 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ---- Seals and mappings ------------------------------------------------------------------------------------------ */

START_TEST(reading_does_not_keep_the_seal_away)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0), *reader = reader_of(buffer);

    ck_assert_int_eq(sealbuf_buffer_write(buffer, "here", 4, 0), 4);
    char *mine = must_map(buffer, 0), *readers = must_map(reader, 0);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), 0);
    ck_assert(mapped_at(mine));
    ck_assert_mem_eq(mine, "here", 4);
    ck_assert_mem_eq(readers, "here", 4);
    ck_assert_ptr_eq(must_map(buffer, 0), mine);
    sealbuf_buffer_unmap(buffer);
    ck_assert_mem_eq(must_map(buffer, 0), "here", 4);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(a_private_mapping_survives_the_seal)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    char *mine = must_map(buffer, SEALBUF_MAP_PRIVATE);

    mine[0] = 'p';
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), 0);
    ck_assert(mapped_at(mine));
    mine[1] = 'q';
    ck_assert_mem_eq(mine, "pq", 2);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(write_takes_the_writers_mapping_down)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    char *at = must_map(buffer, SEALBUF_MAP_WRITE);
    struct view view;

    memcpy(at, "last words", 10);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_GROW), 0);
    ck_assert(mapped_at(at));
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEALS_IMMUTABLE), 0);
    ck_assert(!mapped_at(at));
    ck_assert_int_eq(map(buffer, SEALBUF_MAP_WRITE, &view), -EPERM);
    ck_assert_mem_eq(must_map(buffer, 0), "last words", 10);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(future_write_lets_it_live)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0), *reader = reader_of(buffer), *other = clone_of(buffer);
    char *at = must_map(buffer, SEALBUF_MAP_WRITE), *read = must_map(reader, 0);
    struct view view;

    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_FUTURE_WRITE | SEALBUF_SEAL_SEAL), 0);
    ck_assert(mapped_at(at));
    ck_assert_ptr_eq(must_map(buffer, SEALBUF_MAP_WRITE), at);
    memcpy(at + 4096, "live", 4);
    ck_assert_mem_eq(read + 4096, "live", 4);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, "x", 1, 0), -EPERM);
    ck_assert_int_eq(map(other, SEALBUF_MAP_WRITE, &view), -EPERM);
    sealbuf_buffer_unmap(buffer);
    ck_assert_int_eq(map(buffer, SEALBUF_MAP_WRITE, &view), -EPERM);
    ck_assert_mem_eq(must_map(buffer, 0) + 4096, "live", 4);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(reader);
    sealbuf_buffer_free(other);
}
END_TEST

START_TEST(busy_while_another_buffer_maps_it)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, SEALBUF_CREATE_GROWABLE), *other = clone_of(buffer);
    char *mine = must_map(buffer, SEALBUF_MAP_WRITE), *theirs = must_map(other, SEALBUF_MAP_WRITE);

    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEALS_IMMUTABLE), -EBUSY);
    ck_assert_int_eq(sealbuf_buffer_has_seals(buffer, SEALBUF_SEAL_GROW), 0);
    ck_assert_msg(!mapped_at(mine), "the caller's mapping is still there");
    ck_assert(mapped_at(theirs));
    theirs[0] = 'x';
    sealbuf_buffer_free(other);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEALS_IMMUTABLE), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

static void map_to_write(void *argument)
{
    void *address;
    size_t size;

    CHILD_CHECK(sealbuf_buffer_map(argument, SEALBUF_MAP_WRITE, &address, &size) == 0);
}

START_TEST(busy_while_another_process_maps_it)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    struct child child;

    child_begin(&child, map_to_write, buffer);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), -EBUSY);
    child_end(&child);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

START_TEST(unmap_as_often_as_one_likes)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);

    sealbuf_buffer_unmap(buffer);
    char *at = must_map(buffer, SEALBUF_MAP_WRITE);
    sealbuf_buffer_unmap(buffer);
    ck_assert(!mapped_at(at));
    /* What has come to this address since is somebody else's. */
    void *taken = mmap(at, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_ptr_eq(taken, at);
    sealbuf_buffer_unmap(buffer);
    ck_assert(mapped_at(at));
    sealbuf_buffer_free(buffer);
    ck_assert(mapped_at(at));
    munmap(taken, SIZE);
}
END_TEST

START_TEST(free_and_take_fd_end_it)
{
    sealbuf_buffer *freed = new_buffer(SIZE, 0), *taken = new_buffer(SIZE, 0);
    char *of_freed = must_map(freed, 0), *of_taken = must_map(taken, SEALBUF_MAP_WRITE);

    sealbuf_buffer_free(freed);
    ck_assert(!mapped_at(of_freed));
    int fd = sealbuf_buffer_take_fd(taken);
    ck_assert(!mapped_at(of_taken));
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    close(fd);
}
END_TEST

START_TEST(needs_no_descriptor_for_a_reader)
{
    sealbuf_buffer *buffer = new_buffer(SIZE, 0);
    rlim_t before = table_close();
    struct view view = untouched;

    /* A read mapping of a writer wants one for a moment; without it there is a private mapping. */
    int r = sealbuf_buffer_map(buffer, 0, &view.address, &view.size);
    table_open(before);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(*(char *)view.address, 0);
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_mapping");
    TCase *verify = harness_tcase(suite, "verify"), *kind = harness_tcase(suite, "kinds");
    TCase *seals = harness_tcase(suite, "seals"), *end = harness_tcase(suite, "end");

    tcase_add_loop_test(verify, refuses_what_may_shrink, 0, COUNT(kinds));
    tcase_add_test(verify, refuses_a_file_that_is_not_sealed);
    tcase_add_test(verify, refuses_flags_that_make_no_sense);
    tcase_add_test(verify, refuses_to_write_what_is_sealed);
    tcase_add_test(verify, more_than_there_are_addresses);
    tcase_add_test(kind, writable_is_seen_by_all);
    tcase_add_test(kind, private_is_seen_by_nobody);
    tcase_add_test(kind, read_only_cannot_be_made_writable);
    tcase_add_test(kind, populated_is_resident);
    tcase_add_loop_test(kind, again_is_the_same, 0, COUNT(kinds));
    tcase_add_test(kind, is_as_big_as_it_was);
    tcase_add_test(kind, nothing_maps_to_nothing);
    tcase_add_test(seals, reading_does_not_keep_the_seal_away);
    tcase_add_test(seals, a_private_mapping_survives_the_seal);
    tcase_add_test(seals, write_takes_the_writers_mapping_down);
    tcase_add_test(seals, future_write_lets_it_live);
    tcase_add_test(seals, busy_while_another_buffer_maps_it);
    tcase_add_test(seals, busy_while_another_process_maps_it);
    tcase_add_test(end, unmap_as_often_as_one_likes);
    tcase_add_test(end, free_and_take_fd_end_it);
    tcase_add_test(end, needs_no_descriptor_for_a_reader);
    return harness_run(suite);
}
