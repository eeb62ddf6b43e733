/* SPDX-License-Identifier: MIT */
/* Buffers and the broker: made, adopted, sealed, described, listed, counted, removed; and gone with their connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "support.h"

#define CREATE(...) OPTIONS(sealbuf_create_options, __VA_ARGS__)
#define TARGET(...) OPTIONS(sealbuf_target, __VA_ARGS__)
#define MAX         SEALBUF_MAX_RECORDS

static sealbuf_buffer *const untouched = (sealbuf_buffer *)0x1000;

static sealbuf_client *client;

static void connect_client(void)
{
    client = new_client();
}

static void disconnect_client(void)
{
    client = sealbuf_disconnect(client);
}

static sealbuf_buffer *create(uint64_t size, uint32_t flags)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_create(client, &buffer, CREATE(.size = size, .flags = flags));

    ck_assert_msg(r == 0, "create: %s", sealbuf_error(client));
    return buffer;
}

static void assert_refused(const struct sealbuf_create_options *options, int error)
{
    sealbuf_buffer *buffer = untouched;

    ck_assert_int_eq(sealbuf_create(client, &buffer, options), error);
    ck_assert_ptr_eq(buffer, untouched);
    ck_assert_str_ne(sealbuf_error(client), "");
}

static struct sealbuf_stats stats_now(void)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};

    ck_assert_int_eq(sealbuf_stats(client, &stats), 0);
    return stats;
}

/* ---- CREATE ------------------------------------------------------------------------------------------------------ */

START_TEST(ping)
{
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_str_eq(sealbuf_error(client), "");
}
END_TEST

START_TEST(creates_what_was_asked_for)
{
    sealbuf_buffer *buffer = create(5000, 0), *other = create(0, 0);
    int fd = sealbuf_buffer_fd(buffer);
    struct stat st;

    ck_assert_int_gt(fd, 2);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    ck_assert_int_eq(sealbuf_buffer_writable(buffer), 1);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | exec_seal());
    ck_assert_uint_eq(size_of(buffer), 5000);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0444);
    ck_assert_uint_ne(sealbuf_buffer_id(buffer), 0);
    ck_assert_uint_ne(sealbuf_buffer_id(buffer), sealbuf_buffer_id(other));
    const struct sealbuf_info *info = sealbuf_buffer_info(buffer);
    ck_assert_ptr_nonnull(info);
    ck_assert_uint_eq(info->id, sealbuf_buffer_id(buffer));
    ck_assert_uint_eq(info->size, 5000);
    ck_assert_uint_eq(info->owner, getuid());
    ck_assert_uint_eq(info->creator_pid, (uint32_t)getpid());
    ck_assert_int_eq(sealbuf_buffer_write(buffer, "x", 1, 4999), 1);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(other);
}
END_TEST

START_TEST(creates_with_every_flag_and_seal)
{
    static const uint32_t birth[] = {SEALBUF_SEAL_GROW | SEALBUF_SEAL_SHRINK, SEALBUF_SEAL_SHRINK, SEALBUF_SEAL_GROW,
                                     0};

    for (uint32_t flags = 0; flags < 4; flags++)
        for (uint32_t seals = 0; seals <= SEALBUF_SEALS_ALL; seals++) {
            sealbuf_buffer *buffer;
            if (seals & SEALBUF_SEAL_EXEC && !exec_seal())
                continue;
            ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 100, .seals = seals, .flags = flags)), 0);
            ck_assert_uint_eq(seals_of(buffer), seals | birth[flags] | exec_seal());
            sealbuf_buffer_free(buffer);
        }
}
END_TEST

static const char *const metadata[] = {"kind=frame", "empty=", "equals=a=b", "kind=second", NULL};

START_TEST(creates_with_words)
{
    sealbuf_buffer *buffer;
    const struct sealbuf_info *info;
    char path[32], target[64] = "";

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.label = "my label", .metadata = metadata)), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", sealbuf_buffer_fd(buffer));
    ck_assert_int_gt(readlink(path, target, sizeof(target) - 1), 0);
    ck_assert_str_eq(target, "/memfd:my label (deleted)");
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = sealbuf_buffer_id(buffer)), &info), 0);
    ck_assert_str_eq(info->label, "my label");
    ck_assert_str_eq(info->name, "");
    ck_assert_str_eq(sealbuf_info_metadata(info, "kind"), "frame");
    ck_assert_str_eq(sealbuf_info_metadata(info, "empty"), "");
    ck_assert_str_eq(sealbuf_info_metadata(info, "equals"), "a=b");
    ck_assert_ptr_null(sealbuf_info_metadata(info, "kin"));
    ck_assert_ptr_null(sealbuf_info_metadata(info, "frame"));
    ck_assert_ptr_null(sealbuf_info_metadata(info, "second"));
    sealbuf_buffer_free(buffer);
}
END_TEST

#define PIDFS_MAGIC 0x50494446 /* linux/magic.h of Linux 6.9 */

/* The pid alone may be another process's by now; the pidfd's inode is nobody else's, where the kernel has such. */
START_TEST(tells_who_created)
{
    sealbuf_buffer *buffer = create(1, 0);
    const struct sealbuf_info *info;
    struct statfs fs;
    struct stat st;

    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    ck_assert_int_ge(pidfd, 0);
    ck_assert(fstat(pidfd, &st) == 0 && fstatfs(pidfd, &fs) == 0);
    close(pidfd);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = sealbuf_buffer_id(buffer)), &info), 0);
    ck_assert_uint_eq(info->creator_pid, (uint32_t)getpid());
    ck_assert_uint_eq(info->creator_pidfd, fs.f_type == PIDFS_MAGIC ? st.st_ino : 0);
    ck_assert_ptr_nonnull(info->creator_security);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(creates_on_huge_pages)
{
    sealbuf_buffer *buffer = untouched;
    int r = sealbuf_create(client, &buffer, CREATE(.size = 2u << 20, .flags = SEALBUF_CREATE_HUGE, .huge_shift = 21));

    if (access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) < 0) {
        ck_assert_int_eq(r, -SEALBUF_ERR_UNSUPPORTED);
        return;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(size_of(buffer), 2u << 20);
    ck_assert_uint_eq(sealbuf_buffer_info(buffer)->flags & SEALBUF_INFO_HUGE, SEALBUF_INFO_HUGE);
    sealbuf_buffer_free(buffer);
    assert_refused(CREATE(.size = 4096, .flags = SEALBUF_CREATE_HUGE, .huge_shift = 21), -SEALBUF_ERR_SIZE);
    assert_refused(CREATE(.size = 0, .flags = SEALBUF_CREATE_HUGE, .huge_shift = 13), -SEALBUF_ERR_UNSUPPORTED);
}
END_TEST

START_TEST(refuses_what_is_not_valid)
{
    static const char *const no_key[] = {"=value", NULL}, *const no_value[] = {"key", NULL};
    char *big = malloc(SEALBUF_MAX_METADATA + 2);
    const char *const too_big[] = {big, NULL};

    memset(big, 'm', SEALBUF_MAX_METADATA + 1);
    big[1] = '=';
    big[SEALBUF_MAX_METADATA] = '\0';
    assert_refused(CREATE(.size = UINT64_MAX), -SEALBUF_ERR_SIZE);
    assert_refused(CREATE(.size = INT64_MAX), -SEALBUF_ERR_SIZE);
    assert_refused(CREATE(.seals = 0x40), -SEALBUF_ERR_SEALS);
    assert_refused(CREATE(.flags = 0x10), -SEALBUF_ERR_FLAGS);
    assert_refused(CREATE(.flags = SEALBUF_CREATE_UNSEALABLE), -SEALBUF_ERR_FLAGS);
    assert_refused(CREATE(.flags = SEALBUF_CREATE_INHERIT), -SEALBUF_ERR_FLAGS);
    assert_refused(CREATE(.huge_shift = 21), -SEALBUF_ERR_FLAGS);
    assert_refused(CREATE(.label = "a\033b"), -SEALBUF_ERR_LABEL);
    assert_refused(CREATE(.metadata = no_key), -SEALBUF_ERR_METADATA);
    assert_refused(CREATE(.metadata = no_value), -SEALBUF_ERR_METADATA);
    assert_refused(CREATE(.metadata = too_big), -SEALBUF_ERR_METADATA);
    big[SEALBUF_MAX_METADATA - 1] = '\0'; /* and now exactly as much as there may be */
    sealbuf_buffer *buffer;
    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.metadata = too_big)), 0);
    sealbuf_buffer_free(buffer);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    free(big);
}
END_TEST

START_TEST(creates_many_at_once)
{
    struct sealbuf_create_options options[MAX + 1];
    sealbuf_buffer *buffers[MAX + 1];
    int status[MAX + 1];

    for (unsigned i = 0; i < MAX + 1; i++)
        options[i] = (struct sealbuf_create_options){.struct_size = sizeof(options[i]), .size = i};
    ck_assert_int_eq(sealbuf_create_many(client, buffers, status, options, MAX), 0);
    for (unsigned i = 0; i < MAX; i++) {
        ck_assert_int_eq(status[i], 0);
        ck_assert_uint_eq(size_of(buffers[i]), i);
        for (unsigned j = 0; j < i; j++)
            ck_assert_uint_ne(sealbuf_buffer_id(buffers[i]), sealbuf_buffer_id(buffers[j]));
    }
    for (unsigned i = 0; i < MAX; i++)
        sealbuf_buffer_free(buffers[i]);
    ck_assert_int_lt(sealbuf_create_many(client, buffers, status, options, MAX + 1), 0);
    ck_assert_int_lt(sealbuf_create_many(client, buffers, status, options, 0), 0);
    ck_assert_int_eq(sealbuf_create_many(client, buffers, NULL, options, 1), 0);
    sealbuf_buffer_free(buffers[0]);
}
END_TEST

START_TEST(many_with_more_words_than_a_message_holds)
{
    struct sealbuf_create_options options[20];
    sealbuf_buffer *buffers[COUNT(options)];
    char pair[SEALBUF_MAX_METADATA];
    const char *const words[] = {pair, NULL};

    memset(pair, 'm', sizeof(pair));
    pair[1] = '=';
    pair[sizeof(pair) - 1] = '\0';
    for (int i = 0; i < COUNT(options); i++)
        options[i] = (struct sealbuf_create_options){.struct_size = sizeof(options[i]), .metadata = words};
    ck_assert_int_eq(sealbuf_create_many(client, buffers, NULL, options, COUNT(options)), -SEALBUF_ERR_TOO_BIG);
    for (int i = 0; i < COUNT(options); i++)
        ck_assert_ptr_null(buffers[i]);
    ck_assert_int_eq(sealbuf_ping(client), 0);
}
END_TEST

START_TEST(many_of_which_some_fail)
{
    struct sealbuf_create_options options[5];
    sealbuf_buffer *buffers[COUNT(options)];
    int status[COUNT(options)];

    for (int i = 0; i < COUNT(options); i++)
        options[i] = (struct sealbuf_create_options){.struct_size = sizeof(options[i]), .size = 10};
    options[1].size = options[3].size = INT64_MAX;
    ck_assert_int_eq(sealbuf_create_many(client, buffers, status, options, COUNT(options)), -SEALBUF_ERR_SIZE);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "buffer-size="));
    for (int i = 0; i < COUNT(options); i++) {
        ck_assert_int_eq(status[i], i % 2 ? -SEALBUF_ERR_SIZE : 0);
        if (i % 2)
            ck_assert_ptr_null(buffers[i]);
        else
            ck_assert_uint_eq(size_of(buffers[i]), 10);
        sealbuf_buffer_free(buffers[i]);
    }
}
END_TEST

/* ---- ADOPT and SEAL ---------------------------------------------------------------------------------------------- */

START_TEST(adopts_a_buffer)
{
    sealbuf_buffer *buffer = new_text("mine", SEALBUF_SEALS_IMMUTABLE);
    const struct sealbuf_info *info;
    struct stat st;

    ck_assert_int_eq(sealbuf_adopt(client, buffer,
                                   OPTIONS(sealbuf_adopt_options, .seals = SEALBUF_SEALS_IMMUTABLE, .label = "adopted",
                                           .metadata = metadata)),
                     0);
    ck_assert_uint_ne(sealbuf_buffer_id(buffer), 0);
    ck_assert_int_eq(fstat(sealbuf_buffer_fd(buffer), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0444);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = sealbuf_buffer_id(buffer)), &info), 0);
    ck_assert_uint_eq(info->size, 4);
    ck_assert_uint_eq(info->flags & SEALBUF_INFO_ADOPTED, SEALBUF_INFO_ADOPTED);
    ck_assert_str_eq(info->label, "adopted");
    ck_assert_str_eq(sealbuf_info_metadata(info, "kind"), "frame");
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(does_not_adopt_what_it_should_not)
{
    sealbuf_buffer *buffer = new_text("mine", SEALBUF_SEAL_GROW), *reader;
    struct sealbuf_adopt_options *sealed = OPTIONS(sealbuf_adopt_options, .seals = SEALBUF_SEALS_IMMUTABLE);

    ck_assert_int_eq(sealbuf_adopt(client, buffer, sealed), -SEALBUF_ERR_NOT_SEALED);
    ck_assert_msg(strstr(sealbuf_error(client), "shrink|write"), "the error: %s", sealbuf_error(client));
    ck_assert_int_eq(sealbuf_adopt(client, buffer, OPTIONS(sealbuf_adopt_options, .flags = 1)), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_adopt(client, buffer, OPTIONS(sealbuf_adopt_options, .seals = 0x40)), -SEALBUF_ERR_SEALS);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 0);
    ck_assert_int_eq(sealbuf_buffer_reopen(buffer, &reader), 0);
    ck_assert_int_eq(sealbuf_adopt(client, reader, NULL), -SEALBUF_ERR_ACCESS_MODE);
    /* Another file under the buffer's number. */
    int file = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0) {
        ck_assert_int_ge(dup3(file, sealbuf_buffer_fd(buffer), O_CLOEXEC), 0);
        ck_assert_int_eq(sealbuf_adopt(client, buffer, NULL), -SEALBUF_ERR_NOT_MEMFD);
        close(file);
    }
    ck_assert_uint_eq(stats_now().buffers, 0);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(seals_by_id)
{
    sealbuf_buffer *buffer = create(4096, SEALBUF_CREATE_GROWABLE | SEALBUF_CREATE_SHRINKABLE);
    uint64_t id = sealbuf_buffer_id(buffer);
    void *address;
    size_t size;

    ck_assert_int_eq(sealbuf_seal(client, id, SEALBUF_SEAL_GROW), 0);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_GROW | exec_seal());
    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE | SEALBUF_MAP_UNSEALED, &address, &size), 0);
    ck_assert_int_eq(sealbuf_seal(client, id, SEALBUF_SEALS_IMMUTABLE), -SEALBUF_ERR_BUSY);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_GROW | exec_seal());
    sealbuf_buffer_unmap(buffer);
    ck_assert_int_eq(sealbuf_seal(client, id, SEALBUF_SEALS_IMMUTABLE), 0);
    ck_assert_int_eq(sealbuf_seal(client, id, SEALBUF_SEALS_IMMUTABLE), 0);
    int last = sealbuf_seal(client, id, SEALBUF_SEAL_SEAL);
    ck_assert_msg(last == 0, "adding SEAL: %s: %s", sealbuf_error_name(last), sealbuf_error(client));
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEALS_IMMUTABLE | SEALBUF_SEAL_SEAL | exec_seal());
    ck_assert_int_eq(sealbuf_seal(client, id, SEALBUF_SEAL_FUTURE_WRITE), -SEALBUF_ERR_SEALED);
    ck_assert_int_eq(sealbuf_seal(client, id, 0x40), -SEALBUF_ERR_SEALS);
    ck_assert_int_eq(sealbuf_seal(client, id + 1, SEALBUF_SEAL_GROW), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_seal(client, 0, SEALBUF_SEAL_GROW), -SEALBUF_ERR_TARGET);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* ---- STAT, REMOVE, LIST, STATS ----------------------------------------------------------------------------------- */

static void put_text(const char *name, const char *text)
{
    int r = sealbuf_put(client, OPTIONS(sealbuf_put_options, .name = name, .label = "of put", .metadata = metadata),
                        text, strlen(text), NULL);

    ck_assert_msg(r == 0, "put: %s", sealbuf_error(client));
}

static void remove_name(const char *name)
{
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = name)), 0);
}

START_TEST(stat_says_all)
{
    const struct sealbuf_info *info;

    put_text("a/b", "12345");
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a/b"), &info), 0);
    ck_assert_str_eq(info->name, "a/b");
    ck_assert_str_eq(info->label, "of put");
    ck_assert_str_eq(sealbuf_info_metadata(info, "kind"), "frame");
    ck_assert_uint_eq(info->size, 5);
    ck_assert_uint_eq(info->allocated, 4096);
    ck_assert_uint_eq(info->generation, 1);
    ck_assert_uint_eq(info->seals, SEALBUF_SEALS_IMMUTABLE | exec_seal());
    ck_assert_uint_eq(info->mode, 0600);
    ck_assert_uint_eq(info->owner, getuid());
    ck_assert_uint_eq(info->group, getgid());
    ck_assert_uint_eq(info->creator_pid, (uint32_t)getpid());
    ck_assert_uint_eq(info->flags, SEALBUF_INFO_PUBLISHED);
    ck_assert_uint_ge(info->published_ns, info->created_ns);
    ck_assert_uint_gt(info->created_ns, 1600000000ull * 1000000000);
    uint64_t id = info->id;
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = id), &info), 0);
    ck_assert_str_eq(info->name, "a/b");
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = id, .name = "a/b"), &info), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = 0), &info), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a//b"), &info), -SEALBUF_ERR_NAME);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a/b", .flags = 2), &info), -SEALBUF_ERR_FLAGS);
    remove_name("a/b");
}
END_TEST

START_TEST(remove_lets_holders_keep_it)
{
    sealbuf_buffer *held;

    put_text("name", "content");
    ck_assert_int_eq(sealbuf_get(client, &held, OPTIONS(sealbuf_get_options, .name = "name")), 0);
    remove_name("name");
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = "name")), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.id = sealbuf_buffer_id(held))), -SEALBUF_ERR_NOT_FOUND);
    ck_assert(content_is(held, "content", 7));
    sealbuf_buffer_free(held);
    sealbuf_buffer *unpublished = create(10, 0);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.id = sealbuf_buffer_id(unpublished))), 0);
    ck_assert_int_eq(sealbuf_seal(client, sealbuf_buffer_id(unpublished), SEALBUF_SEAL_WRITE), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_buffer_write(unpublished, "x", 1, 0), 1);
    sealbuf_buffer_free(unpublished);
    ck_assert_uint_eq(stats_now().buffers, 0);
}
END_TEST

struct listing {
    unsigned count, stop_at;
    char last[SEALBUF_MAX_NAME + 1];
};

static int collect(const struct sealbuf_info *info, void *userdata)
{
    char(**next)[SEALBUF_MAX_NAME + 1] = userdata;

    strcpy(**next, info->name);
    ++*next;
    return 0;
}

static int note(const struct sealbuf_info *info, void *userdata)
{
    struct listing *listing = userdata;

    ck_assert_msg(strcmp(info->name, listing->last) > 0, "'%s' comes behind '%s'", info->name, listing->last);
    ck_assert_uint_eq(info->owner, getuid());
    ck_assert_uint_ne(info->id, 0);
    snprintf(listing->last, sizeof(listing->last), "%s", info->name);
    return ++listing->count == listing->stop_at ? 42 : 0;
}

static unsigned count_names(const char *prefix)
{
    struct listing listing = {0};

    ck_assert_int_eq(sealbuf_list(client, OPTIONS(sealbuf_list_options, .prefix = prefix), note, &listing), 0);
    return listing.count;
}

/* Long names, so that one page does not hold them. */
#define NAMES 1500

static void publish_names(void)
{
    static char names[MAX][SEALBUF_MAX_NAME + 1];
    struct sealbuf_create_options options[MAX];
    struct sealbuf_publish_options publish[MAX];
    sealbuf_buffer *buffers[MAX];

    for (unsigned done = 0, n; done < NAMES; done += n) {
        n = NAMES - done < MAX ? NAMES - done : MAX;
        for (unsigned i = 0; i < n; i++) {
            snprintf(names[i], sizeof(names[i]), "%s/%0180u", (done + i) % 3 ? "many" : "more", done + i);
            options[i] = (struct sealbuf_create_options){.struct_size = sizeof(options[i])};
            publish[i] = (struct sealbuf_publish_options){.struct_size = sizeof(publish[i]), .name = names[i]};
        }
        ck_assert_int_eq(sealbuf_create_many(client, buffers, NULL, options, n), 0);
        ck_assert_int_eq(sealbuf_publish_many(client, buffers, NULL, publish, n), 0);
        for (unsigned i = 0; i < n; i++)
            sealbuf_buffer_free(buffers[i]);
    }
}

/* As they were listed. */
static void remove_names(void)
{
    static char names[NAMES][SEALBUF_MAX_NAME + 1];
    char(*next)[SEALBUF_MAX_NAME + 1] = names;

    ck_assert_int_eq(sealbuf_list(client, NULL, collect, &next), 0);
    ck_assert_int_eq(next - names, NAMES);
    while (next-- > names)
        remove_name(*next);
}

START_TEST(lists_page_by_page)
{
    struct listing listing = {.stop_at = 777};

    ck_assert_uint_eq(count_names(NULL), 0);
    publish_names();
    ck_assert_uint_eq(count_names(NULL), NAMES);
    ck_assert_uint_eq(count_names(""), NAMES);
    ck_assert_uint_eq(count_names("m"), NAMES);
    ck_assert_uint_eq(count_names("many/"), NAMES / 3 * 2);
    ck_assert_uint_eq(count_names("more"), NAMES / 3);
    ck_assert_uint_eq(count_names("more/x"), 0);
    ck_assert_uint_eq(count_names("zzz"), 0);
    ck_assert_int_eq(sealbuf_list(client, NULL, note, &listing), 42);
    ck_assert_uint_eq(listing.count, 777);
    ck_assert_int_eq(sealbuf_list(client, OPTIONS(sealbuf_list_options, .prefix = "a\n"), note, &listing),
                     -SEALBUF_ERR_NAME);
    ck_assert_int_eq(sealbuf_list(client, OPTIONS(sealbuf_list_options, .flags = 4), note, &listing),
                     -SEALBUF_ERR_FLAGS);
    ck_assert_uint_eq(stats_now().uid_names, NAMES);
    remove_names();
    ck_assert_uint_eq(count_names(NULL), 0);
}
END_TEST

START_TEST(stats_count)
{
    struct sealbuf_stats before = stats_now();
    sealbuf_buffer *buffer = create(12345, 0);

    put_text("counted", "12345");
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "nothing"), NULL), -SEALBUF_ERR_NOT_FOUND);
    struct sealbuf_stats after = stats_now();
    ck_assert_uint_eq(before.pid, (uint32_t)broker.pid);
    ck_assert_uint_eq(before.uid, getuid());
    ck_assert_uint_gt(after.uptime_ns, before.uptime_ns);
    ck_assert_uint_eq(after.buffers, before.buffers + 2);
    ck_assert_uint_eq(after.uid_buffers, before.uid_buffers + 2);
    ck_assert_uint_eq(after.bytes, before.bytes + 12350);
    ck_assert_uint_eq(after.uid_bytes, before.uid_bytes + 12350);
    ck_assert_uint_eq(after.names, before.names + 1);
    ck_assert_uint_eq(after.connections, 1);
    ck_assert_uint_eq(after.uid_connections, 1);
    ck_assert_uint_gt(after.requests, before.requests + 3);
    ck_assert_uint_eq(after.refused, before.refused + 1);
    ck_assert_uint_gt(after.buffers_limit, 0);
    ck_assert_uint_gt(strlen(after.version), 0);
    remove_name("counted");
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(stats_of_an_older_program)
{
    struct sealbuf_stats stats;

    memset(&stats, 0x5a, sizeof(stats));
    stats.struct_size = offsetof(struct sealbuf_stats, uptime_ns);
    ck_assert_int_eq(sealbuf_stats(client, &stats), 0);
    ck_assert_uint_eq(stats.pid, (uint32_t)broker.pid);
    ck_assert_uint_eq(stats.uptime_ns, 0x5a5a5a5a5a5a5a5aull);
    ck_assert_uint_eq(stats.struct_size, offsetof(struct sealbuf_stats, uptime_ns));
    stats.struct_size = 0;
    ck_assert_int_eq(sealbuf_stats(client, &stats), -EINVAL);
}
END_TEST

/* What it knows and we do not is 0; what is beyond its struct is its own. */
START_TEST(stats_of_a_newer_program)
{
    struct {
        struct sealbuf_stats known;
        uint64_t newer[4], beyond;
    } stats;

    memset(&stats, 0x5a, sizeof(stats));
    stats.known.struct_size = offsetof(__typeof__(stats), beyond);
    ck_assert_int_eq(sealbuf_stats(client, &stats.known), 0);
    ck_assert_uint_eq(stats.known.struct_size, offsetof(__typeof__(stats), beyond));
    ck_assert_uint_eq(stats.known.pid, (uint32_t)broker.pid);
    ck_assert_uint_eq(stats.known.uid_connections, 1);
    for (int i = 0; i < COUNT(stats.newer); i++)
        ck_assert_uint_eq(stats.newer[i], 0);
    ck_assert_uint_eq(stats.beyond, 0x5a5a5a5a5a5a5a5aull);
    stats.known.struct_size = 1000000; /* was not set */
    ck_assert_int_eq(sealbuf_stats(client, &stats.known), -EINVAL);
}
END_TEST

/* ---- Lifetime and limits ----------------------------------------------------------------------------------------- */

START_TEST(unpublished_end_with_their_connection)
{
    sealbuf_client *other = new_client();
    sealbuf_buffer *lost, *kept;
    unsigned before = broker_descriptors(&broker);

    ck_assert_int_eq(sealbuf_create(other, &lost, CREATE(.size = 10)), 0);
    ck_assert_int_eq(sealbuf_put(other, OPTIONS(sealbuf_put_options, .name = "kept"), "kept", 4, NULL), 0);
    ck_assert_uint_eq(broker_descriptors(&broker), before + 2);
    ck_assert_int_eq(sealbuf_seal(client, sealbuf_buffer_id(lost), SEALBUF_SEAL_WRITE), 0);
    sealbuf_disconnect(other);
    WAIT_UNTIL(broker_descriptors(&broker) == before); /* its socket and the lost one went, the kept one stayed */
    ck_assert_int_eq(sealbuf_seal(client, sealbuf_buffer_id(lost), SEALBUF_SEAL_WRITE), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_uint_eq(size_of(lost), 10);
    ck_assert_int_eq(sealbuf_get(client, &kept, OPTIONS(sealbuf_get_options, .name = "kept")), 0);
    ck_assert(content_is(kept, "kept", 4));
    sealbuf_buffer_free(kept);
    sealbuf_buffer_free(lost);
    remove_name("kept");
}
END_TEST

static const struct {
    const char *key, *value, *other;
    uint64_t size;
    unsigned fit; /* so many */
} limits[] = {
    {"limit uid-buffers=3", "uid-buffers=3", "buffers=100", 1, 3},
    {"limit buffers=3", "buffers=3", "uid-buffers=100", 1, 3},
    {"limit uid-bytes=8192", "uid-bytes=8K", "bytes=1M", 2048, 4},
    {"limit bytes=8192", "bytes=8K", "uid-bytes=1M", 2048, 4},
};

START_TEST(limits_are_named)
{
    const char *arguments[] = {"--limit", limits[_i].value, "--limit", limits[_i].other, NULL};
    struct broker small;
    sealbuf_buffer *buffers[5], *none = untouched;

    broker_start(&small, arguments);
    connect_client();
    for (unsigned i = 0; i < limits[_i].fit; i++)
        buffers[i] = create(limits[_i].size, 0);
    int r = sealbuf_create(client, &none, CREATE(.size = limits[_i].size));
    ck_assert_msg(r == -SEALBUF_ERR_LIMIT, "create: %s", sealbuf_error_name(r));
    ck_assert_ptr_eq(none, untouched);
    ck_assert_msg(strstr(sealbuf_error(client), limits[_i].key), "the error: %s", sealbuf_error(client));
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.id = sealbuf_buffer_id(buffers[0]))), 0);
    sealbuf_buffer_free(buffers[0]);
    buffers[0] = create(limits[_i].size, 0);
    for (unsigned i = 0; i < limits[_i].fit; i++)
        sealbuf_buffer_free(buffers[i]);
    disconnect_client();
    broker_stop(&small);
}
END_TEST

START_TEST(names_and_sizes_have_limits)
{
    static const char *const arguments[] = {"--limit", "uid-names=2", "--limit", "buffer-size=1M", NULL};
    struct broker small;

    broker_start(&small, arguments);
    connect_client();
    put_text("one", "1");
    put_text("two", "2");
    int r = sealbuf_put(client, OPTIONS(sealbuf_put_options, .name = "three"), "3", 1, NULL);
    ck_assert_int_eq(r, -SEALBUF_ERR_LIMIT);
    ck_assert_msg(strstr(sealbuf_error(client), "uid-names"), "the error: %s", sealbuf_error(client));
    ck_assert_uint_eq(stats_now().buffers, 2);
    ck_assert_uint_eq(stats_now().buffer_size_limit, 1 << 20);
    remove_name("one");
    remove_name("two");
    sealbuf_buffer_free(create(1 << 20, 0));
    assert_refused(CREATE(.size = (1 << 20) + 1), -SEALBUF_ERR_SIZE);
    disconnect_client();
    broker_stop(&small);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_client");
    TCase *make = harness_tcase_with_broker(suite, "create"), *seal = harness_tcase_with_broker(suite, "adopt, seal");
    TCase *tell = harness_tcase_with_broker(suite, "tell"), *limit = harness_tcase(suite, "limits");

    tcase_add_checked_fixture(make, connect_client, disconnect_client);
    tcase_add_checked_fixture(seal, connect_client, disconnect_client);
    tcase_add_checked_fixture(tell, connect_client, disconnect_client);
    tcase_add_test(make, ping);
    tcase_add_test(make, creates_what_was_asked_for);
    tcase_add_test(make, creates_with_every_flag_and_seal);
    tcase_add_test(make, creates_with_words);
    tcase_add_test(make, tells_who_created);
    tcase_add_test(make, creates_on_huge_pages);
    tcase_add_test(make, refuses_what_is_not_valid);
    tcase_add_test(make, creates_many_at_once);
    tcase_add_test(make, many_with_more_words_than_a_message_holds);
    tcase_add_test(make, many_of_which_some_fail);
    tcase_add_test(seal, adopts_a_buffer);
    tcase_add_test(seal, does_not_adopt_what_it_should_not);
    tcase_add_test(seal, seals_by_id);
    tcase_add_test(tell, stat_says_all);
    tcase_add_test(tell, remove_lets_holders_keep_it);
    tcase_add_test(tell, lists_page_by_page);
    tcase_add_test(tell, stats_count);
    tcase_add_test(tell, stats_of_an_older_program);
    tcase_add_test(tell, stats_of_a_newer_program);
    tcase_add_test(tell, unpublished_end_with_their_connection);
    tcase_add_loop_test(limit, limits_are_named, 0, COUNT(limits));
    tcase_add_test(limit, names_and_sizes_have_limits);
    return harness_run(suite);
}
