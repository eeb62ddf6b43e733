/* SPDX-License-Identifier: MIT */
/* From one to another: publish, put, get, and what is in the hands of who has got it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

#define CREATE(...)  OPTIONS(sealbuf_create_options, __VA_ARGS__)
#define PUBLISH(...) OPTIONS(sealbuf_publish_options, __VA_ARGS__)
#define PUT(...)     OPTIONS(sealbuf_put_options, __VA_ARGS__)
#define GET(...)     OPTIONS(sealbuf_get_options, __VA_ARGS__)
#define TARGET(...)  OPTIONS(sealbuf_target, __VA_ARGS__)
#define OPEN_SIZE    (SEALBUF_CREATE_GROWABLE | SEALBUF_CREATE_SHRINKABLE)
#define BIG          (64u * 1024 * 1024)

static sealbuf_buffer *const untouched = (sealbuf_buffer *)0x1000;

static sealbuf_client *producer, *consumer;

static void connect_both(void)
{
    producer = new_client();
    consumer = new_client();
}

static int note_name(const struct sealbuf_info *info, void *names)
{
    char(**next)[SEALBUF_MAX_NAME + 1] = names;

    strcpy(*(*next)++, info->name);
    return 0;
}

static void remove_names_and_disconnect(void)
{
    static char names[300][SEALBUF_MAX_NAME + 1];
    char(*next)[SEALBUF_MAX_NAME + 1] = names;

    ck_assert_int_eq(sealbuf_list(producer, NULL, note_name, &next), 0);
    while (next-- > names)
        ck_assert_int_eq(sealbuf_remove(producer, TARGET(.name = *next)), 0);
    producer = sealbuf_disconnect(producer);
    consumer = sealbuf_disconnect(consumer);
}

static sealbuf_buffer *create(uint64_t size, uint32_t flags)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_create(producer, &buffer, CREATE(.size = size, .flags = flags));

    ck_assert_msg(r == 0, "create: %s", sealbuf_error(producer));
    return buffer;
}

static void put_text(const char *name, const char *text, uint32_t flags, uint64_t expected_generation)
{
    uint64_t generation = 0;
    int r = sealbuf_put(producer, PUT(.name = name, .flags = flags), text, strlen(text), &generation);

    ck_assert_msg(r == 0, "put: %s", sealbuf_error(producer));
    ck_assert_uint_eq(generation, expected_generation);
}

static sealbuf_buffer *get(const char *name)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_get(consumer, &buffer, GET(.name = name));

    ck_assert_msg(r == 0, "get: %s", sealbuf_error(consumer));
    return buffer;
}

static void assert_not_there(const char *name)
{
    sealbuf_buffer *buffer = untouched;

    ck_assert_int_eq(sealbuf_get(consumer, &buffer, GET(.name = name)), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_ptr_eq(buffer, untouched);
}

/* ---- PUBLISH ----------------------------------------------------------------------------------------------------- */

START_TEST(exists_or_replaces)
{
    put_text("name", "first", 0, 1);
    sealbuf_buffer *old = get("name"), *second = create(6, 0);
    uint64_t generation = 77;

    ck_assert_int_eq(sealbuf_publish(producer, second, PUBLISH(.name = "name"), &generation), -SEALBUF_ERR_EXISTS);
    ck_assert_uint_eq(generation, 77);
    ck_assert_int_eq(sealbuf_put(producer, PUT(.name = "name"), "xxx", 3, NULL), -SEALBUF_ERR_EXISTS);
    put_text("name", "second", SEALBUF_PUBLISH_REPLACE, 2);
    put_text("name", "third", SEALBUF_PUBLISH_REPLACE, 3);
    sealbuf_buffer *new = get("name");
    ck_assert(content_is(old, "first", 5));
    ck_assert(content_is(new, "third", 5));
    ck_assert_uint_eq(sealbuf_buffer_info(old)->generation, 1);
    ck_assert_uint_eq(sealbuf_buffer_info(new)->generation, 3);
    ck_assert_uint_ne(sealbuf_buffer_id(old), sealbuf_buffer_id(new));
    sealbuf_buffer_free(old);
    sealbuf_buffer_free(new);
    sealbuf_buffer_free(second);
}
END_TEST

START_TEST(verify_applies_nothing)
{
    sealbuf_buffer *buffer = create(10, 0);
    struct sealbuf_publish_options *options =
        PUBLISH(.name = "name", .seals = SEALBUF_SEALS_IMMUTABLE, .flags = SEALBUF_PUBLISH_VERIFY);
    uint64_t generation;

    ck_assert_int_eq(sealbuf_publish(producer, buffer, options, NULL), -SEALBUF_ERR_NOT_SEALED);
    ck_assert_msg(strstr(sealbuf_error(producer), "write"), "the error: %s", sealbuf_error(producer));
    ck_assert_uint_eq(seals_of(buffer) & SEALBUF_SEAL_WRITE, 0);
    assert_not_there("name");
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_WRITE), 0);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, options, &generation), 0);
    ck_assert_uint_eq(generation, 1);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(seals_what_is_missing)
{
    sealbuf_buffer *buffer = create(4096, OPEN_SIZE);
    uint32_t seals = SEALBUF_SEALS_IMMUTABLE | SEALBUF_SEAL_SEAL;
    void *address;
    size_t size;

    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE | SEALBUF_MAP_UNSEALED, &address, &size), 0);
    memcpy(address, "mapped", 6);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = "name", .seals = seals), NULL), 0);
    ck_assert(!mapped_at(address));
    ck_assert_uint_eq(seals_of(buffer), seals | exec_seal());
    sealbuf_buffer_free(buffer);
}
END_TEST

/* By id from another connection: a client that never had the descriptor. */
static int publish_by_id(uint64_t id, const struct sealbuf_publish_options *options)
{
    sealbuf_buffer *reader;

    ck_assert_int_eq(sealbuf_get(consumer, &reader, GET(.id = id)), 0);
    ck_assert_int_eq(sealbuf_buffer_writable(reader), 0);
    int r = sealbuf_publish(consumer, reader, options, NULL);
    sealbuf_buffer_free(reader);
    return r;
}

START_TEST(broker_seals_what_the_publisher_cannot)
{
    sealbuf_buffer *buffer = create(100, OPEN_SIZE);
    uint64_t id = sealbuf_buffer_id(buffer);

    ck_assert_int_eq(publish_by_id(id, PUBLISH(.name = "name", .seals = SEALBUF_SEALS_IMMUTABLE)), 0);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEALS_IMMUTABLE | exec_seal());
    sealbuf_buffer *got = get("name");
    ck_assert_uint_eq(sealbuf_buffer_id(got), id);
    sealbuf_buffer_free(got);
    sealbuf_buffer_free(buffer);
}
END_TEST

static void map_to_write(void *argument)
{
    void *address;
    size_t size;

    CHILD_CHECK(sealbuf_buffer_map(argument, SEALBUF_MAP_WRITE | SEALBUF_MAP_UNSEALED, &address, &size) == 0);
}

/* PipeWire warns where sealing fails, and goes on. */
START_TEST(busy_while_another_process_maps_it)
{
    sealbuf_buffer *buffer = create(4096, OPEN_SIZE);
    struct sealbuf_publish_options *options = PUBLISH(.name = "name", .seals = SEALBUF_SEALS_IMMUTABLE);
    struct child child;

    child_begin(&child, map_to_write, buffer);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, options, NULL), -EBUSY);
    ck_assert_str_ne(sealbuf_error(producer), "");
    ck_assert_int_eq(publish_by_id(sealbuf_buffer_id(buffer), options), -SEALBUF_ERR_BUSY);
    assert_not_there("name");
    ck_assert_uint_eq(seals_of(buffer), exec_seal());
    child_end(&child);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, options, NULL), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(sealed_against_more)
{
    sealbuf_buffer *buffer = create(10, 0);
    struct sealbuf_publish_options *options = PUBLISH(.name = "name", .seals = SEALBUF_SEALS_IMMUTABLE);

    ck_assert_int_eq(sealbuf_buffer_seal(buffer, SEALBUF_SEAL_SEAL), 0);
    ck_assert_int_lt(sealbuf_publish(producer, buffer, options, NULL), 0);
    ck_assert_int_eq(publish_by_id(sealbuf_buffer_id(buffer), options), -SEALBUF_ERR_SEALED);
    assert_not_there("name");
    sealbuf_buffer_free(buffer);
}
END_TEST

/* The broker must see each seal that comes later, whatever it has seen before. */
START_TEST(seals_added_after_immutable_count)
{
    uint32_t all = SEALBUF_SEALS_IMMUTABLE | SEALBUF_SEAL_FUTURE_WRITE | SEALBUF_SEAL_SEAL;
    sealbuf_buffer *buffer = create(10, 0), *got;
    const struct sealbuf_info *info;

    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = "name", .seals = SEALBUF_SEALS_IMMUTABLE), NULL),
                     0);
    ck_assert_int_eq(sealbuf_stat(consumer, TARGET(.name = "name"), &info), 0);
    ck_assert_uint_eq(info->seals, SEALBUF_SEALS_IMMUTABLE | exec_seal());
    ck_assert_int_eq(sealbuf_buffer_seal(buffer, all), 0);
    ck_assert_int_eq(sealbuf_stat(consumer, TARGET(.name = "name"), &info), 0);
    ck_assert_uint_eq(info->seals, all | exec_seal());
    int r = sealbuf_get(consumer, &got, GET(.name = "name", .seals = all));
    ck_assert_msg(r == 0, "get: %s", sealbuf_error(consumer));
    sealbuf_buffer_free(got);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(adopts_what_the_broker_does_not_know)
{
    sealbuf_buffer *buffer = new_text("mine", SEALBUF_SEALS_IMMUTABLE), *got;

    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = "name"), NULL), 0);
    ck_assert_uint_ne(sealbuf_buffer_id(buffer), 0);
    sealbuf_buffer_free(buffer);
    got = get("name");
    ck_assert(content_is(got, "mine", 4));
    ck_assert_uint_eq(sealbuf_buffer_info(got)->flags & SEALBUF_INFO_ADOPTED, SEALBUF_INFO_ADOPTED);
    sealbuf_buffer_free(got);
}
END_TEST

START_TEST(refuses_bad_names_and_modes)
{
    static const char *const names[] = {"",     "/",   "a/",   "/a",    "a//b", ".",    "..",
                                        "a/..", "./a", "a\nb", "a\x7f", "\xff", "a\xc3"};
    char longest[SEALBUF_MAX_NAME + 2];
    sealbuf_buffer *buffer = create(1, 0);

    for (int i = 0; i < COUNT(names); i++) {
        int r = sealbuf_publish(producer, buffer, PUBLISH(.name = names[i]), NULL);
        ck_assert_msg(r == -SEALBUF_ERR_NAME, "'%s': %s", names[i], sealbuf_error_name(r));
    }
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = NULL), NULL), -SEALBUF_ERR_NAME);
    memset(longest, 'n', sizeof(longest));
    longest[SEALBUF_MAX_NAME + 1] = '\0';
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = longest), NULL), -SEALBUF_ERR_NAME);
    longest[SEALBUF_MAX_NAME] = '\0';
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = longest), NULL), 0);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = "m", .mode = 0700), NULL), -SEALBUF_ERR_MODE);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = "m", .mode = 04600), NULL), -SEALBUF_ERR_MODE);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = "m", .flags = 0x400), NULL), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_publish(producer, buffer, PUBLISH(.name = "m", .seals = 0x40), NULL), -SEALBUF_ERR_SEALS);
    sealbuf_buffer_free(buffer);
}
END_TEST

#define MAX SEALBUF_MAX_RECORDS

START_TEST(publishes_many_at_once)
{
    static char names[MAX][16];
    struct sealbuf_create_options create_options[MAX];
    struct sealbuf_publish_options options[MAX];
    struct sealbuf_get_options get_options[MAX];
    sealbuf_buffer *buffers[MAX], *got[MAX];
    int status[MAX];

    for (unsigned i = 0; i < MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "n/%u", i == 100 ? 99 : i); /* one of them twice */
        create_options[i] = (struct sealbuf_create_options){.struct_size = sizeof(create_options[i]), .size = i};
        options[i] = *PUBLISH(.name = names[i], .seals = SEALBUF_SEALS_IMMUTABLE);
        get_options[i] = *GET(.name = names[i]);
    }
    ck_assert_int_eq(sealbuf_create_many(producer, buffers, NULL, create_options, MAX), 0);
    ck_assert_int_eq(sealbuf_publish_many(producer, buffers, status, options, MAX), -SEALBUF_ERR_EXISTS);
    for (unsigned i = 0; i < MAX; i++) {
        ck_assert_int_eq(status[i], i == 100 ? -SEALBUF_ERR_EXISTS : 0);
        ck_assert(i == 100 || sealbuf_buffer_has_seals(buffers[i], SEALBUF_SEALS_IMMUTABLE) == 1);
        sealbuf_buffer_free(buffers[i]);
    }
    ck_assert_int_eq(sealbuf_get_many(consumer, got, NULL, get_options, MAX), 0);
    for (unsigned i = 0; i < MAX; i++) {
        ck_assert_uint_eq(size_of(got[i]), i == 100 ? 99 : i);
        sealbuf_buffer_free(got[i]);
    }
}
END_TEST

/* ---- PUT --------------------------------------------------------------------------------------------------------- */

static const size_t put_sizes[] = {0, 1, 4096, BIG};

START_TEST(puts_bytes)
{
    size_t size = put_sizes[_i], mapped;
    unsigned char *bytes = malloc(size + 1);
    sealbuf_buffer *got = NULL;
    void *address;

    fill_pattern(bytes, size, 64);
    ck_assert_int_eq(sealbuf_put(producer, PUT(.name = "bytes"), size ? bytes : NULL, size, NULL), 0);
    ck_assert_int_eq(sealbuf_get(consumer, &got, GET(.name = "bytes", .seals = SEALBUF_SEALS_IMMUTABLE)), 0);
    ck_assert_uint_eq(seals_of(got), SEALBUF_SEALS_IMMUTABLE | exec_seal());
    ck_assert(content_is(got, bytes, size));
    ck_assert_int_eq(sealbuf_buffer_map(got, 0, &address, &mapped), 0);
    ck_assert_uint_eq(mapped, size);
    ck_assert(size == 0 || memcmp(address, bytes, size) == 0);
    sealbuf_buffer_free(got);
    free(bytes);
}
END_TEST

START_TEST(puts_with_other_seals)
{
    static const struct {
        uint32_t seals, flags, expected;
    } cases[] = {
        {SEALBUF_SEAL_SHRINK, 0, SEALBUF_SEAL_SHRINK},
        {SEALBUF_SEAL_WRITE | SEALBUF_SEAL_SEAL, 0, SEALBUF_SEAL_WRITE | SEALBUF_SEAL_SEAL},
        {0, SEALBUF_PUT_UNSEALED, SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW},
    };

    for (int i = 0; i < COUNT(cases); i++) {
        struct sealbuf_put_options *options =
            PUT(.name = "name", .seals = cases[i].seals, .flags = cases[i].flags | SEALBUF_PUBLISH_REPLACE);
        ck_assert_int_eq(sealbuf_put(producer, options, "x", 1, NULL), 0);
        sealbuf_buffer *got = get("name");
        ck_assert_uint_eq(seals_of(got), cases[i].expected | exec_seal());
        sealbuf_buffer_free(got);
    }
}
END_TEST

/* What could not be published does not stay with the broker, and the error is that of the failure. */
START_TEST(a_put_that_fails_leaves_nothing)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};

    put_text("name", "first", 0, 1);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(sealbuf_put(producer, PUT(.name = "name"), "x", 1, NULL), -SEALBUF_ERR_EXISTS);
        ck_assert_ptr_nonnull(strstr(sealbuf_error(producer), "'name'"));
        ck_assert_int_eq(sealbuf_put(producer, PUT(.name = "/"), "x", 1, NULL), -SEALBUF_ERR_NAME);
    }
    ck_assert_int_eq(sealbuf_put(producer, PUT(.name = "label", .label = "\n"), "x", 1, NULL), -SEALBUF_ERR_LABEL);
    ck_assert_int_eq(sealbuf_stats(producer, &stats), 0);
    ck_assert_uint_eq(stats.buffers, 1);
    ck_assert_uint_eq(stats.names, 1);
    ck_assert_uint_eq(sealbuf_pending(producer), 0);
}
END_TEST

/* ---- GET --------------------------------------------------------------------------------------------------------- */

START_TEST(gets_by_name_id_and_owner)
{
    sealbuf_buffer *by_name, *by_id, *by_owner, *none = untouched;

    put_text("a/b", "content", 0, 1);
    by_name = get("a/b");
    ck_assert_int_eq(sealbuf_get(consumer, &by_id, GET(.id = sealbuf_buffer_id(by_name))), 0);
    ck_assert_int_eq(
        sealbuf_get(consumer, &by_owner, GET(.name = "a/b", .owner = getuid(), .flags = SEALBUF_GET_OF_OWNER)), 0);
    ck_assert(content_is(by_id, "content", 7) && content_is(by_owner, "content", 7));
    ck_assert_uint_eq(sealbuf_buffer_id(by_name), sealbuf_buffer_id(by_owner));
    int r = sealbuf_get(consumer, &none, GET(.name = "a/b", .owner = getuid() + 1, .flags = SEALBUF_GET_OF_OWNER));
    ck_assert_int_eq(r, -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_get(consumer, &none, GET(.name = "a/b", .id = 1)), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_get(consumer, &none, GET(.id = 0)), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_get(consumer, &none, GET(.id = 999)), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_get(consumer, &none, GET(.name = "a/b", .flags = 0x40)), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_get(consumer, &none, GET(.name = "a/b", .seals = 0x40)), -SEALBUF_ERR_SEALS);
    ck_assert_ptr_eq(none, untouched);
    sealbuf_buffer_free(by_name);
    sealbuf_buffer_free(by_id);
    sealbuf_buffer_free(by_owner);
}
END_TEST

/* As it looks from outside, not as the library says. */
START_TEST(a_readers_descriptor)
{
    struct stat st;
    char path[32];

    put_text("name", "0123456789", SEALBUF_PUT_UNSEALED, 1);
    sealbuf_buffer *one = get("name"), *two = get("name");
    int fd = sealbuf_buffer_fd(one);
    ck_assert_int_gt(fd, 2);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDONLY);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0444);
    ck_assert_int_eq(lseek(fd, 5, SEEK_SET), 5);
    ck_assert_int_eq(lseek(sealbuf_buffer_fd(two), 0, SEEK_CUR), 0);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(write(fd, "x", 1), -1);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(again, 0);
    close(again);
    ck_assert_uint_eq(seals_of(two), SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | exec_seal());
    sealbuf_buffer_free(one);
    sealbuf_buffer_free(two);
}
END_TEST

START_TEST(gets_to_write)
{
    put_text("name", "0123456789", SEALBUF_PUT_UNSEALED, 1);
    sealbuf_buffer *reader = get("name"), *writer;

    ck_assert_int_eq(sealbuf_get(consumer, &writer, GET(.name = "name", .flags = SEALBUF_GET_WRITABLE)), 0);
    ck_assert_int_eq(sealbuf_buffer_writable(writer), 1);
    ck_assert_int_eq(fcntl(sealbuf_buffer_fd(writer), F_GETFL) & O_ACCMODE, O_RDWR);
    ck_assert_int_eq(sealbuf_buffer_write(writer, "X", 1, 0), 1);
    ck_assert(content_is(reader, "X123456789", 10));
    sealbuf_buffer_free(writer);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(requires_seals)
{
    sealbuf_buffer *buffer = untouched;

    put_text("open", "x", SEALBUF_PUT_UNSEALED, 1);
    put_text("sealed", "x", 0, 1);
    int r = sealbuf_get(consumer, &buffer, GET(.name = "open", .seals = SEALBUF_SEALS_IMMUTABLE));
    ck_assert_int_eq(r, -SEALBUF_ERR_NOT_SEALED);
    ck_assert_msg(strstr(sealbuf_error(consumer), "lacks write"), "the error: %s", sealbuf_error(consumer));
    ck_assert_ptr_eq(buffer, untouched);
    ck_assert_int_eq(sealbuf_get(consumer, &buffer, GET(.name = "sealed", .seals = SEALBUF_SEAL_SEAL)),
                     -SEALBUF_ERR_NOT_SEALED);
    ck_assert_int_eq(sealbuf_get(consumer, &buffer, GET(.name = "sealed", .seals = SEALBUF_SEALS_IMMUTABLE)), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(details_where_asked)
{
    static const char *const metadata[] = {"width=640", "height=480", NULL};
    sealbuf_buffer *brief, *full;

    ck_assert_int_eq(sealbuf_put(producer, PUT(.name = "d", .label = "frame", .metadata = metadata), "x", 1, NULL), 0);
    brief = get("d");
    ck_assert_int_eq(sealbuf_get(consumer, &full, GET(.name = "d", .flags = SEALBUF_GET_DETAILS)), 0);
    ck_assert_str_eq(sealbuf_buffer_info(brief)->name, "");
    ck_assert_str_eq(sealbuf_buffer_info(brief)->label, "");
    ck_assert_uint_eq(sealbuf_buffer_info(brief)->metadata_size, 0);
    const struct sealbuf_info *info = sealbuf_buffer_info(full);
    ck_assert_int_eq(sealbuf_ping(consumer), 0); /* it lives with the buffer, not with the call */
    ck_assert_str_eq(info->name, "d");
    ck_assert_str_eq(info->label, "frame");
    ck_assert_str_eq(sealbuf_info_metadata(info, "width"), "640");
    ck_assert_str_eq(sealbuf_info_metadata(info, "height"), "480");
    ck_assert_uint_eq(info->mode, 0600);
    ck_assert_uint_eq(info->size, 1);
    sealbuf_buffer_free(brief);
    sealbuf_buffer_free(full);
}
END_TEST

START_TEST(many_with_one_missing)
{
    static const char *const names[] = {"n/0", "n/1", "gone", "n/3", "n/0"};
    struct sealbuf_get_options options[5];
    sealbuf_buffer *buffers[5];
    int status[5];

    put_text("n/0", "zero", 0, 1);
    put_text("n/1", "one", 0, 1);
    put_text("n/3", "three", 0, 1);
    for (int i = 0; i < 5; i++)
        options[i] = *GET(.name = names[i]);
    ck_assert_int_eq(sealbuf_get_many(consumer, buffers, status, options, 5), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(consumer), "'gone'"));
    ck_assert_ptr_null(buffers[2]);
    ck_assert_int_eq(status[2], -SEALBUF_ERR_NOT_FOUND);
    ck_assert(content_is(buffers[0], "zero", 4) && content_is(buffers[1], "one", 3));
    ck_assert(content_is(buffers[3], "three", 5) && content_is(buffers[4], "zero", 4));
    for (int i = 0; i < 5; i++) {
        ck_assert(i == 2 || status[i] == 0);
        sealbuf_buffer_free(buffers[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_handoff");
    TCase *publish = harness_tcase_with_broker(suite, "publish"), *put = harness_tcase_with_broker(suite, "put");
    TCase *fetch = harness_tcase_with_broker(suite, "get");

    tcase_add_checked_fixture(publish, connect_both, remove_names_and_disconnect);
    tcase_add_checked_fixture(put, connect_both, remove_names_and_disconnect);
    tcase_add_checked_fixture(fetch, connect_both, remove_names_and_disconnect);
    tcase_add_test(publish, exists_or_replaces);
    tcase_add_test(publish, verify_applies_nothing);
    tcase_add_test(publish, seals_what_is_missing);
    tcase_add_test(publish, broker_seals_what_the_publisher_cannot);
    tcase_add_test(publish, busy_while_another_process_maps_it);
    tcase_add_test(publish, sealed_against_more);
    tcase_add_test(publish, seals_added_after_immutable_count);
    tcase_add_test(publish, adopts_what_the_broker_does_not_know);
    tcase_add_test(publish, refuses_bad_names_and_modes);
    tcase_add_test(publish, publishes_many_at_once);
    tcase_add_loop_test(put, puts_bytes, 0, COUNT(put_sizes));
    tcase_add_test(put, puts_with_other_seals);
    tcase_add_test(put, a_put_that_fails_leaves_nothing);
    tcase_add_test(fetch, gets_by_name_id_and_owner);
    tcase_add_test(fetch, a_readers_descriptor);
    tcase_add_test(fetch, gets_to_write);
    tcase_add_test(fetch, requires_seals);
    tcase_add_test(fetch, details_where_asked);
    tcase_add_test(fetch, many_with_one_missing);
    return harness_run(suite);
}
