/* SPDX-License-Identifier: MIT */
/* Buffers without any broker: how they come to be, what they are, and that nothing is lost where they do not. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define CREATE(...) OPTIONS(sealbuf_create_options, __VA_ARGS__)
#define MIB         (1024ull * 1024)
#define GIB         (1024ull * MIB)

/* What a failed call must not touch. */
static sealbuf_buffer *const untouched = (sealbuf_buffer *)0x1000;

static void assert_refused(const struct sealbuf_create_options *options, int error)
{
    sealbuf_buffer *buffer = untouched;

    ck_assert_int_eq(sealbuf_buffer_create(&buffer, options), error);
    ck_assert_ptr_eq(buffer, untouched);
}

static mode_t mode_of(const sealbuf_buffer *buffer)
{
    struct stat st;

    ck_assert_int_eq(fstat(sealbuf_buffer_fd(buffer), &st), 0);
    return st.st_mode;
}

/* ---- Creation ---------------------------------------------------------------------------------------------------- */

START_TEST(is_what_was_asked_for)
{
    sealbuf_buffer *buffer = new_buffer(5000, 0);
    int fd = sealbuf_buffer_fd(buffer);
    uint64_t size;

    ck_assert_int_gt(fd, 2);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | exec_seal());
    ck_assert_int_eq(sealbuf_buffer_size(buffer, &size), 0);
    ck_assert_uint_eq(size, 5000);
    ck_assert_uint_eq(size_of(buffer), 5000);
    ck_assert_uint_eq(mode_of(buffer) & 0111, 0);
    ck_assert_int_eq(sealbuf_buffer_writable(buffer), 1);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 0);
    ck_assert_ptr_null(sealbuf_buffer_info(buffer));
    ck_assert_ptr_null(sealbuf_buffer_free(buffer));
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(without_options_is_empty)
{
    sealbuf_buffer *buffer;

    ck_assert_int_eq(sealbuf_buffer_create(&buffer, NULL), 0);
    ck_assert_uint_eq(size_of(buffer), 0);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | exec_seal());
    sealbuf_buffer_free(buffer);
    ck_assert_ptr_null(sealbuf_buffer_free(NULL));
}
END_TEST

/* Every set of seals with every combination of GROWABLE and SHRINKABLE. */
START_TEST(has_its_seals_from_birth)
{
    static const uint32_t birth[] = {SEALBUF_SEAL_GROW | SEALBUF_SEAL_SHRINK, SEALBUF_SEAL_SHRINK, SEALBUF_SEAL_GROW,
                                     0};

    for (uint32_t flags = 0; flags < 4; flags++)
        for (uint32_t seals = 0; seals <= SEALBUF_SEALS_ALL; seals++) {
            sealbuf_buffer *buffer;
            if (seals & SEALBUF_SEAL_EXEC && !exec_seal())
                continue;
            ck_assert_int_eq(sealbuf_buffer_create(&buffer, CREATE(.size = 4096, .seals = seals, .flags = flags)), 0);
            ck_assert_uint_eq(seals_of(buffer), seals | birth[flags] | exec_seal());
            sealbuf_buffer_free(buffer);
        }
}
END_TEST

START_TEST(unsealable_takes_no_seal)
{
    sealbuf_buffer *buffer = new_buffer(100, SEALBUF_CREATE_UNSEALABLE);

    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_SEAL);
    ck_assert_uint_eq(mode_of(buffer) & 0111, 0);
    for (uint32_t seal = 1; seal < 0x40; seal <<= 1)
        ck_assert_int_eq(sealbuf_buffer_seal(buffer, seal), -EPERM);
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_SEAL);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 200), 0);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, 10), 0);
    sealbuf_buffer_free(buffer);
    assert_refused(CREATE(.flags = SEALBUF_CREATE_UNSEALABLE, .seals = SEALBUF_SEAL_GROW), -SEALBUF_ERR_FLAGS);
}
END_TEST

/* Whether a program that is executed finds the descriptor. */
static bool survives_exec(const sealbuf_buffer *buffer)
{
    char script[64];
    int status;

    snprintf(script, sizeof(script), "[ -e /proc/self/fd/%d ]", sealbuf_buffer_fd(buffer));
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    return WEXITSTATUS(status) == 0;
}

START_TEST(is_inherited_only_where_asked)
{
    sealbuf_buffer *closed = new_buffer(1, 0), *inherited = new_buffer(1, SEALBUF_CREATE_INHERIT);

    ck_assert_int_eq(fcntl(sealbuf_buffer_fd(inherited), F_GETFD), 0);
    ck_assert(!survives_exec(closed));
    ck_assert(survives_exec(inherited));
    sealbuf_buffer_free(closed);
    sealbuf_buffer_free(inherited);
}
END_TEST

START_TEST(is_executable_only_where_asked)
{
    sealbuf_buffer *plain = new_buffer(1, 0), *executable = NULL;
    int r = sealbuf_buffer_create(&executable, CREATE(.size = 1, .flags = SEALBUF_CREATE_EXECUTABLE));

    if (exec_seal()) {
        ck_assert_int_eq(fchmod(sealbuf_buffer_fd(plain), 0777), -1);
        ck_assert_int_eq(errno, EPERM);
    }
    sealbuf_buffer_free(plain);
    if (r == -EACCES)
        test_skip("vm.memfd_noexec forbids executable memfds here");
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(mode_of(executable) & 0111, 0111);
    ck_assert_uint_eq(seals_of(executable), SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW);
    ck_assert_int_eq(fchmod(sealbuf_buffer_fd(executable), 0700), 0);
    sealbuf_buffer_free(executable);
}
END_TEST

START_TEST(label_is_shown_in_proc)
{
    char path[32], target[512], expected[512], label[SEALBUF_MAX_LABEL + 2];
    sealbuf_buffer *buffer;

    memset(label, 'l', sizeof(label));
    label[SEALBUF_MAX_LABEL] = '\0';
    ck_assert_int_eq(sealbuf_buffer_create(&buffer, CREATE(.label = label)), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", sealbuf_buffer_fd(buffer));
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    ck_assert_int_gt(n, 0);
    target[n] = '\0';
    snprintf(expected, sizeof(expected), "/memfd:%s (deleted)", label);
    ck_assert_str_eq(target, expected);
    sealbuf_buffer_free(buffer);
    label[SEALBUF_MAX_LABEL] = 'l';
    label[SEALBUF_MAX_LABEL + 1] = '\0';
    assert_refused(CREATE(.label = label), -SEALBUF_ERR_LABEL);
    assert_refused(CREATE(.label = "a\nb"), -SEALBUF_ERR_LABEL);
    assert_refused(CREATE(.label = "a\xff"), -SEALBUF_ERR_LABEL);
}
END_TEST

START_TEST(refuses_what_is_not_valid)
{
    assert_refused(CREATE(.flags = 0x10), -SEALBUF_ERR_FLAGS);
    assert_refused(CREATE(.flags = 0x80000000u), -SEALBUF_ERR_FLAGS);
    assert_refused(CREATE(.huge_shift = 21), -SEALBUF_ERR_FLAGS);
    assert_refused(CREATE(.seals = 0x40), -SEALBUF_ERR_SEALS);
    assert_refused(CREATE(.seals = 0x80000000u), -SEALBUF_ERR_SEALS);
    assert_refused(CREATE(.size = (uint64_t)INT64_MAX + 1), -SEALBUF_ERR_SIZE);
    assert_refused(CREATE(.size = UINT64_MAX), -SEALBUF_ERR_SIZE);
    assert_refused(CREATE(.flags = SEALBUF_CREATE_HUGE, .huge_shift = 64), -SEALBUF_ERR_SIZE);
    assert_refused(CREATE(.flags = SEALBUF_CREATE_HUGE, .huge_shift = UINT32_MAX), -SEALBUF_ERR_SIZE);
    assert_refused(CREATE(.flags = SEALBUF_CREATE_HUGE, .huge_shift = 13), -ENODEV);
}
END_TEST

START_TEST(may_be_very_big_and_costs_nothing)
{
    sealbuf_buffer *buffer = new_buffer(1ull << 62, 0);
    struct stat st;

    ck_assert_uint_eq(size_of(buffer), 1ull << 62);
    ck_assert_int_eq(fstat(sealbuf_buffer_fd(buffer), &st), 0);
    ck_assert_int_eq(st.st_blocks, 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(beyond_the_file_size_limit)
{
    struct rlimit before, low;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = (struct rlimit){.rlim_cur = MIB, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_refused(CREATE(.size = MIB + 1), -EFBIG);
    sealbuf_buffer *buffer = new_buffer(MIB, SEALBUF_CREATE_GROWABLE);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, MIB + 1), -EFBIG);
    sealbuf_buffer_free(buffer);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
}
END_TEST

START_TEST(with_a_full_table)
{
    sealbuf_buffer *buffer = new_buffer(1, 0), *none = untouched;
    rlim_t before = table_close();

    int created = sealbuf_buffer_create(&none, NULL);
    int from_bytes = sealbuf_buffer_from_bytes(&none, "x", 1, 0);
    int cloned = sealbuf_buffer_clone(buffer, &none), reopened = sealbuf_buffer_reopen(buffer, &none);
    table_open(before);
    ck_assert_int_eq(created, -EMFILE);
    ck_assert_int_eq(from_bytes, -EMFILE);
    ck_assert_int_eq(cloned, -EMFILE);
    ck_assert_int_eq(reopened, -EMFILE);
    ck_assert_ptr_eq(none, untouched);
    sealbuf_buffer_free(buffer);
}
END_TEST

static void create_without_stdio(void *unused)
{
    sealbuf_buffer *made, *clone, *reader;

    (void)unused;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    CHILD_CHECK(sealbuf_buffer_from_bytes(&made, "x", 1, SEALBUF_SEALS_IMMUTABLE) == 0);
    CHILD_CHECK(sealbuf_buffer_clone(made, &clone) == 0);
    CHILD_CHECK(sealbuf_buffer_reopen(made, &reader) == 0);
    CHILD_CHECK(sealbuf_buffer_fd(made) > 2 && sealbuf_buffer_fd(clone) > 2 && sealbuf_buffer_fd(reader) > 2);
    CHILD_CHECK(fcntl(sealbuf_buffer_fd(made), F_GETFD) == FD_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        CHILD_CHECK(fcntl(fd, F_GETFD) < 0);
}

START_TEST(never_stands_in_for_a_standard_stream)
{
    in_child(create_without_stdio, NULL);
}
END_TEST

/* ---- Huge pages -------------------------------------------------------------------------------------------------- */

static const struct {
    uint32_t shift;
    uint64_t page;
} huge[] = {{21, 2 * MIB}, {30, GIB}};

static uint64_t huge_figure(uint64_t page, const char *name)
{
    char path[128];
    unsigned long long value = 0;

    snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/%s", (unsigned long long)page / 1024, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    ck_assert_int_eq(fscanf(file, "%llu", &value), 1);
    fclose(file);
    return value;
}

/* 0 where the system has no such pages at all. */
static uint64_t default_huge_page(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) && sscanf(line, "Hugepagesize: %llu kB", &kib) != 1)
        ;
    fclose(file);
    return kib * 1024;
}

/* Creation needs no page, the mapping does. */
static void check_huge(uint32_t shift, uint64_t page)
{
    sealbuf_buffer *buffer;
    void *address = &buffer;
    size_t size = 1;
    bool none = huge_figure(page, "free_hugepages") == 0 && huge_figure(page, "nr_overcommit_hugepages") == 0;

    ck_assert_int_eq(
        sealbuf_buffer_create(&buffer, CREATE(.size = page, .flags = SEALBUF_CREATE_HUGE, .huge_shift = shift)), 0);
    ck_assert_uint_eq(size_of(buffer), page);
    ck_assert(sealbuf_buffer_has_seals(buffer, SEALBUF_SEAL_GROW | SEALBUF_SEAL_SHRINK) == 1);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, "x", 1, 0), -EINVAL);
    int r = sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &address, &size);
    ck_assert_int_eq(r, none ? -ENOMEM : 0);
    if (r < 0)
        ck_assert(address == (void *)&buffer && size == 1);
    sealbuf_buffer_free(buffer);
    assert_refused(CREATE(.size = page + 4096, .flags = SEALBUF_CREATE_HUGE, .huge_shift = shift), -EINVAL);
    assert_refused(CREATE(.size = 1, .flags = SEALBUF_CREATE_HUGE, .huge_shift = shift), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_create(&buffer, CREATE(.flags = SEALBUF_CREATE_HUGE | SEALBUF_CREATE_GROWABLE,
                                                           .huge_shift = shift, .size = 0)),
                     0);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, page - 4096), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_resize(buffer, page), 0);
    sealbuf_buffer_free(buffer);
}

START_TEST(huge_pages)
{
    uint32_t shift = huge[_i].shift;

    if (huge_figure(huge[_i].page, "free_hugepages") == UINT64_MAX)
        assert_refused(CREATE(.flags = SEALBUF_CREATE_HUGE, .huge_shift = shift), -ENODEV);
    else
        check_huge(shift, huge[_i].page);
}
END_TEST

START_TEST(huge_pages_of_the_default_size)
{
    uint64_t page = default_huge_page();

    if (page == 0)
        test_skip("this kernel has no huge pages");
    check_huge(0, page);
}
END_TEST

/* ---- Adoption ---------------------------------------------------------------------------------------------------- */

START_TEST(adopts_a_memfd)
{
    int fd = memfd_create("mine", MFD_ALLOW_SEALING);
    sealbuf_buffer *buffer;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "abc", 3), 3);
    ck_assert_int_eq(sealbuf_buffer_adopt(&buffer, fd), 0);
    ck_assert_int_eq(sealbuf_buffer_fd(buffer), fd);
    ck_assert_int_eq(sealbuf_buffer_writable(buffer), 1);
    ck_assert(content_is(buffer, "abc", 3));
    ck_assert_int_eq(sealbuf_buffer_take_fd(buffer), fd);
    ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
    close(fd);
}
END_TEST

static int reopened(int memfd, int flags)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
    int fd = open(path, flags | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    close(memfd);
    return fd;
}

START_TEST(adopts_what_only_reads_or_only_writes)
{
    sealbuf_buffer *reader, *writer;

    ck_assert_int_eq(sealbuf_buffer_adopt(&reader, reopened(memfd_create("r", 0), O_RDONLY)), 0);
    ck_assert_int_eq(sealbuf_buffer_writable(reader), 0);
    ck_assert_int_eq(sealbuf_buffer_write(reader, "x", 1, 0), -EBADF);
    ck_assert_int_eq(sealbuf_buffer_adopt(&writer, reopened(memfd_create("w", 0), O_WRONLY)), 0);
    ck_assert_int_eq(sealbuf_buffer_write(writer, "x", 1, 0), 1);
    ck_assert_int_eq(sealbuf_buffer_writable(writer), 1);
    sealbuf_buffer_free(reader);
    sealbuf_buffer_free(writer);
}
END_TEST

START_TEST(adopts_huge_pages)
{
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    sealbuf_buffer *buffer;

    if (fd < 0)
        test_skip("this kernel has no huge pages");
    ck_assert_int_eq(sealbuf_buffer_adopt(&buffer, fd), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

static int open_null(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int open_pipe(void)
{
    int ends[2] = {-1, -1};

    if (pipe2(ends, O_CLOEXEC) == 0)
        close(ends[1]);
    return ends[0];
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int open_directory(void)
{
    return open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_unnamed(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        ck_assert_int_eq(write(fd, "x", 1), 1);
    return fd;
}

static int open_shm(void)
{
    int fd = open_unnamed("/dev/shm");

    ck_assert_msg(fd < 0 || fcntl(fd, F_GET_SEALS) >= 0, "a file in /dev/shm does not answer F_GET_SEALS");
    return fd;
}

static int open_file(void)
{
    return open_unnamed("/tmp");
}

static int open_path(void)
{
    return reopened(memfd_create("path", MFD_CLOEXEC), O_PATH);
}

static const struct {
    const char *what;
    int (*open)(void);
    int error;
} strangers[] = {
    {"/dev/null", open_null, -SEALBUF_ERR_NOT_MEMFD},
    {"a pipe", open_pipe, -SEALBUF_ERR_NOT_MEMFD},
    {"a socket", open_socket, -SEALBUF_ERR_NOT_MEMFD},
    {"a directory", open_directory, -SEALBUF_ERR_NOT_MEMFD},
    {"a file in /dev/shm", open_shm, -SEALBUF_ERR_NOT_MEMFD},
    {"a file in /tmp", open_file, -SEALBUF_ERR_NOT_MEMFD},
    {"a memfd, O_PATH", open_path, -EBADF},
};

START_TEST(returns_what_it_does_not_adopt)
{
    sealbuf_buffer *buffer = untouched;
    struct stat before, after;
    int fd = strangers[_i].open();

    if (fd < 0)
        test_skip("cannot be had here");
    ck_assert_int_eq(fstat(fd, &before), 0);
    int r = sealbuf_buffer_adopt(&buffer, fd);
    ck_assert_msg(r == strangers[_i].error, "%s: %s", strangers[_i].what, sealbuf_error_name(r));
    ck_assert_ptr_eq(buffer, untouched);
    ck_assert_int_eq(fstat(fd, &after), 0);
    ck_assert(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
    close(fd);
}
END_TEST

START_TEST(does_not_adopt_what_is_closed)
{
    sealbuf_buffer *buffer = untouched;
    int fd = open_null();

    close(fd);
    ck_assert_int_eq(sealbuf_buffer_adopt(&buffer, fd), -EBADF);
    ck_assert_int_eq(sealbuf_buffer_adopt(&buffer, -1), -EBADF);
    ck_assert_int_eq(sealbuf_buffer_adopt(&buffer, INT32_MAX), -EBADF);
    ck_assert_ptr_eq(buffer, untouched);
}
END_TEST

/* ---- Options, whose size says how much of them there is ---------------------------------------------------------- */

START_TEST(options_of_an_older_program)
{
    struct sealbuf_create_options options = {.size = 77, .flags = SEALBUF_CREATE_GROWABLE, .label = (const char *)1};
    sealbuf_buffer *buffer;

    /* It has neither flags nor what comes behind: those are not to be looked at. */
    options.struct_size = offsetof(struct sealbuf_create_options, flags);
    ck_assert_int_eq(sealbuf_buffer_create(&buffer, &options), 0);
    ck_assert_uint_eq(size_of(buffer), 77);
    ck_assert_uint_eq(seals_of(buffer) & SEALBUF_SEAL_GROW, SEALBUF_SEAL_GROW);
    sealbuf_buffer_free(buffer);
    options.struct_size = sizeof(size_t);
    ck_assert_int_eq(sealbuf_buffer_create(&buffer, &options), 0);
    ck_assert_uint_eq(size_of(buffer), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(options_too_short_or_too_long)
{
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, 1 << 20, SIZE_MAX};
    struct sealbuf_create_options options = {.size = 1};

    for (int i = 0; i < COUNT(sizes); i++) {
        options.struct_size = sizes[i];
        assert_refused(&options, -EINVAL);
    }
}
END_TEST

START_TEST(options_of_a_newer_program)
{
    struct {
        struct sealbuf_create_options known;
        unsigned char tail[40];
    } options = {.known = {.struct_size = sizeof(options), .size = 99}};
    sealbuf_buffer *buffer;

    ck_assert_int_eq(sealbuf_buffer_create(&buffer, &options.known), 0);
    ck_assert_uint_eq(size_of(buffer), 99);
    sealbuf_buffer_free(buffer);
    for (unsigned i = 0; i < sizeof(options.tail); i += 13) {
        options.tail[i] = 1;
        assert_refused(&options.known, -EINVAL);
        options.tail[i] = 0;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_buffer");
    TCase *create = harness_tcase(suite, "create"), *pages = harness_tcase(suite, "huge pages");
    TCase *adopt = harness_tcase(suite, "adopt"), *options = harness_tcase(suite, "options");

    tcase_add_test(create, is_what_was_asked_for);
    tcase_add_test(create, without_options_is_empty);
    tcase_add_test(create, has_its_seals_from_birth);
    tcase_add_test(create, unsealable_takes_no_seal);
    tcase_add_test(create, is_inherited_only_where_asked);
    tcase_add_test(create, is_executable_only_where_asked);
    tcase_add_test(create, label_is_shown_in_proc);
    tcase_add_test(create, refuses_what_is_not_valid);
    tcase_add_test(create, may_be_very_big_and_costs_nothing);
    tcase_add_test(create, beyond_the_file_size_limit);
    tcase_add_test(create, with_a_full_table);
    tcase_add_test(create, never_stands_in_for_a_standard_stream);
    tcase_add_loop_test(pages, huge_pages, 0, COUNT(huge));
    tcase_add_test(pages, huge_pages_of_the_default_size);
    tcase_add_test(adopt, adopts_a_memfd);
    tcase_add_test(adopt, adopts_what_only_reads_or_only_writes);
    tcase_add_test(adopt, adopts_huge_pages);
    tcase_add_loop_test(adopt, returns_what_it_does_not_adopt, 0, COUNT(strangers));
    tcase_add_test(adopt, does_not_adopt_what_is_closed);
    tcase_add_test(options, options_of_an_older_program);
    tcase_add_test(options, options_too_short_or_too_long);
    tcase_add_test(options, options_of_a_newer_program);
    return harness_run(suite);
}
