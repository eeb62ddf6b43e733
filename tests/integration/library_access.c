/* SPDX-License-Identifier: MIT */
/* Who may what: other users, groups, readers who would like to write, and programs in memory. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support.h"

#define GET(...)    OPTIONS(sealbuf_get_options, __VA_ARGS__)
#define TARGET(...) OPTIONS(sealbuf_target, __VA_ARGS__)
#define OF_ROOT     .owner = 0, .flags = SEALBUF_GET_OF_OWNER
#define GROUP       12345
#define DENIED      (-SEALBUF_ERR_DENIED)

static sealbuf_client *client;

static void connect_for_all(void)
{
    broker_open_to_all(&broker);
    client = new_client();
}

static void disconnect(void)
{
    client = sealbuf_disconnect(client);
}

static bool is_root(void)
{
    return getuid() == 0;
}
#define NEEDS_ROOT "needs root, to become somebody else"

static void put_with_mode(const char *name, uint32_t mode)
{
    struct sealbuf_put_options *options =
        OPTIONS(sealbuf_put_options, .name = name, .mode = mode, .flags = SEALBUF_PUT_UNSEALED);
    int r = sealbuf_put(client, options, "content", 7, NULL);

    ck_assert_msg(r == 0, "put: %s", sealbuf_error(client));
}

static void remove_name(const char *name)
{
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = name)), 0);
}

/* ---- In a child of another uid ----------------------------------------------------------------------------------- */

static sealbuf_client *connect_in_child(void)
{
    sealbuf_client *other = NULL;

    CHILD_CHECK(sealbuf_connect(&other, NULL) == 0);
    return other;
}

/* What may be done with a name of root's: 0 or the error of reading, and of writing. */
struct attempt {
    const char *name;
    int read, write;
};

static void try_to_read(sealbuf_client *other, const struct attempt *expected)
{
    sealbuf_buffer *buffer = NULL;
    const struct sealbuf_info *info;
    int r = sealbuf_get(other, &buffer, GET(.name = expected->name, OF_ROOT));

    CHILD_CHECK(r == expected->read);
    if (r == 0)
        CHILD_CHECK(content_is(buffer, "content", 7));
    else
        CHILD_CHECK(strstr(sealbuf_error(other), expected->name));
    sealbuf_buffer_free(buffer);
    CHILD_CHECK(sealbuf_stat(other, TARGET(.name = expected->name, OF_ROOT), &info) == expected->read);
}

static void try_to_write(sealbuf_client *other, const struct attempt *expected)
{
    sealbuf_buffer *buffer = NULL;
    uint32_t flags = SEALBUF_GET_OF_OWNER | SEALBUF_GET_WRITABLE;
    int r = sealbuf_get(other, &buffer, GET(.name = expected->name, .owner = 0, .flags = flags));

    CHILD_CHECK(r == expected->write);
    if (r == 0)
        CHILD_CHECK(sealbuf_buffer_write(buffer, "c", 1, 0) == 1);
    sealbuf_buffer_free(buffer);
}

static void attempt(void *argument)
{
    const struct attempt *expected = argument;
    sealbuf_client *other = connect_in_child();

    try_to_read(other, expected);
    try_to_write(other, expected);
    CHILD_CHECK(sealbuf_remove(other, TARGET(.name = expected->name, OF_ROOT)) == DENIED);
    sealbuf_disconnect(other);
}

/* The same with the group in the supplementary list only. */
static void attempt_with_group(void *argument)
{
    gid_t group = GROUP;

    CHILD_CHECK(setgroups(1, &group) == 0);
    CHILD_CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
    CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    attempt(argument);
}

static const struct {
    uint32_t mode;
    int read, write;
} for_others[] = {
    {0600, DENIED, DENIED}, {0660, DENIED, DENIED}, {0640, DENIED, DENIED}, {0644, 0, DENIED},
    {0604, 0, DENIED},      {0666, 0, 0},           {0602, DENIED, DENIED},
};

START_TEST(others)
{
    struct attempt expected = {"of root", for_others[_i].read, for_others[_i].write};

    if (!is_root())
        test_skip(NEEDS_ROOT);
    put_with_mode("of root", for_others[_i].mode);
    in_child_as(NOBODY, NOBODY, attempt, &expected);
    remove_name("of root");
}
END_TEST

static void put_with_group(void *mode)
{
    struct sealbuf_put_options *options =
        OPTIONS(sealbuf_put_options, .name = "of group", .mode = *(uint32_t *)mode, .flags = SEALBUF_PUT_UNSEALED);

    CHILD_CHECK(setresgid(GROUP, GROUP, GROUP) == 0);
    sealbuf_client *other = connect_in_child();
    CHILD_CHECK(sealbuf_put(other, options, "content", 7, NULL) == 0);
    sealbuf_disconnect(other);
}

static const struct {
    uint32_t mode;
    int read, write;
} for_group[] = {
    {0600, DENIED, DENIED}, {0640, 0, DENIED}, {0660, 0, 0}, {0606, DENIED, DENIED}, {0620, DENIED, DENIED},
};

START_TEST(the_group)
{
    uint32_t mode = for_group[_i].mode;
    struct attempt of_group = {"of group", for_group[_i].read, for_group[_i].write};
    struct attempt of_others = {"of group", mode & 04 ? 0 : DENIED, mode & 02 ? 0 : DENIED};

    if (!is_root())
        test_skip(NEEDS_ROOT);
    in_child(put_with_group, &mode);
    in_child_as(NOBODY, GROUP, attempt, &of_group);
    in_child(attempt_with_group, &of_group);
    in_child_as(NOBODY, NOBODY, attempt, &of_others);
    remove_name("of group");
}
END_TEST

struct secret {
    uint64_t ids[2];
};

static void attempt_by_id(void *argument)
{
    const struct secret *secret = argument;
    sealbuf_client *other = connect_in_child();
    sealbuf_buffer *buffer;
    const struct sealbuf_info *info;

    for (int i = 0; i < COUNT(secret->ids); i++) {
        uint64_t id = secret->ids[i];
        CHILD_CHECK(sealbuf_get(other, &buffer, GET(.id = id)) == DENIED);
        CHILD_CHECK(sealbuf_stat(other, TARGET(.id = id), &info) == DENIED);
        CHILD_CHECK(sealbuf_seal(other, id, SEALBUF_SEAL_SEAL) == DENIED);
        CHILD_CHECK(sealbuf_remove(other, TARGET(.id = id)) == DENIED);
    }
    sealbuf_disconnect(other);
}

START_TEST(ids_are_no_keys)
{
    sealbuf_buffer *buffer;
    const struct sealbuf_info *info;

    if (!is_root())
        test_skip(NEEDS_ROOT);
    put_with_mode("secret", 0600);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "secret"), &info), 0);
    struct secret secret = {{info->id, 0}};
    ck_assert_int_eq(sealbuf_create(client, &buffer, OPTIONS(sealbuf_create_options, .size = 1)), 0);
    secret.ids[1] = sealbuf_buffer_id(buffer);
    in_child_as(NOBODY, NOBODY, attempt_by_id, &secret);
    ck_assert_uint_eq(seals_of(buffer) & SEALBUF_SEAL_SEAL, 0);
    sealbuf_buffer_free(buffer);
    remove_name("secret");
}
END_TEST

/* A name belongs to its uid: the same one of another uid is another one. */
static void put_the_same_name(void *unused)
{
    sealbuf_client *other = connect_in_child();
    sealbuf_buffer *mine, *roots;
    uint64_t generation;

    (void)unused;
    CHILD_CHECK(sealbuf_put(other, OPTIONS(sealbuf_put_options, .name = "same"), "theirs", 6, &generation) == 0);
    CHILD_CHECK(generation == 1);
    CHILD_CHECK(sealbuf_get(other, &mine, GET(.name = "same")) == 0);
    CHILD_CHECK(sealbuf_get(other, &roots, GET(.name = "same", OF_ROOT)) == 0);
    CHILD_CHECK(content_is(mine, "theirs", 6) && content_is(roots, "content", 7));
    sealbuf_buffer_free(mine);
    sealbuf_buffer_free(roots);
    sealbuf_disconnect(other);
}

struct seen {
    unsigned roots, others;
};

static int see(const struct sealbuf_info *info, void *userdata)
{
    struct seen *seen = userdata;

    if (info->owner == 0)
        seen->roots++;
    else
        seen->others++;
    return 0;
}

static void list_as_other(void *unused)
{
    struct seen roots = {0}, mine = {0}, all = {0};
    sealbuf_client *other = connect_in_child();

    (void)unused;
    CHILD_CHECK(sealbuf_list(other, OPTIONS(sealbuf_list_options, OF_ROOT), see, &roots) == 0);
    CHILD_CHECK(sealbuf_list(other, NULL, see, &mine) == 0);
    CHILD_CHECK(sealbuf_list(other, OPTIONS(sealbuf_list_options, .flags = SEALBUF_LIST_ALL_OWNERS), see, &all) == 0);
    CHILD_CHECK(roots.roots == 1 && roots.others == 0); /* what it may read, not the secret */
    CHILD_CHECK(mine.roots == 0 && mine.others == 1);
    CHILD_CHECK(all.roots == 1 && all.others == 1);
    sealbuf_disconnect(other);
}

START_TEST(everybody_has_names_of_their_own)
{
    struct seen all = {0}, theirs = {0};
    struct sealbuf_list_options *of_nobody =
        OPTIONS(sealbuf_list_options, .owner = NOBODY, .flags = SEALBUF_GET_OF_OWNER);

    if (!is_root())
        test_skip(NEEDS_ROOT);
    put_with_mode("same", 0644);
    put_with_mode("secret", 0600);
    in_child_as(NOBODY, NOBODY, put_the_same_name, NULL);
    in_child_as(NOBODY, NOBODY, list_as_other, NULL);
    int r = sealbuf_list(client, OPTIONS(sealbuf_list_options, .flags = SEALBUF_LIST_ALL_OWNERS), see, &all);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(sealbuf_list(client, of_nobody, see, &theirs), 0);
    ck_assert(all.roots == 2 && all.others == 1);
    ck_assert(theirs.roots == 0 && theirs.others == 1);
    remove_name("same");
    remove_name("secret");
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = "same", .owner = NOBODY, .flags = SEALBUF_GET_OF_OWNER)), 0);
}
END_TEST

static void tamper(void *unused)
{
    sealbuf_client *other = connect_in_child();
    sealbuf_buffer *buffer;
    char path[32];

    (void)unused;
    CHILD_CHECK(sealbuf_get(other, &buffer, GET(.name = "for all", OF_ROOT)) == 0);
    int fd = sealbuf_buffer_fd(buffer);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHILD_CHECK(open(path, O_RDWR) < 0 && errno == EACCES);
    CHILD_CHECK(open(path, O_WRONLY) < 0 && errno == EACCES);
    CHILD_CHECK(fchmod(fd, 0666) < 0 && errno == EPERM);
    CHILD_CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) < 0 && errno == EPERM);
    CHILD_CHECK(mmap(NULL, 7, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    CHILD_CHECK(write(fd, "x", 1) < 0 && ftruncate(fd, 0) < 0);
    CHILD_CHECK(sealbuf_seal(other, sealbuf_buffer_id(buffer), SEALBUF_SEAL_SEAL) == DENIED);
    CHILD_CHECK(content_is(buffer, "content", 7));
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(other);
}

START_TEST(readers_do_not_become_writers)
{
    sealbuf_buffer *buffer;

    if (!is_root())
        test_skip(NEEDS_ROOT);
    put_with_mode("for all", 0644);
    in_child_as(NOBODY, NOBODY, tamper, NULL);
    ck_assert_int_eq(sealbuf_get(client, &buffer, GET(.name = "for all")), 0);
    ck_assert(content_is(buffer, "content", 7));
    ck_assert_uint_eq(seals_of(buffer), SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | exec_seal());
    sealbuf_buffer_free(buffer);
    remove_name("for all");
}
END_TEST

/* ---- Programs in memory ------------------------------------------------------------------------------------------ */

/* A program's bytes, put into the buffer and executed from a reader's descriptor: its status, 127 where it cannot be.
 */
static int execute(sealbuf_buffer *buffer, const char *bytes, size_t size)
{
    sealbuf_buffer *reader;
    int status;

    ck_assert_int_eq(sealbuf_buffer_write(buffer, bytes, size, 0), (ssize_t)size);
    ck_assert_int_eq(sealbuf_get(client, &reader, GET(.id = sealbuf_buffer_id(buffer))), 0);
    sealbuf_buffer_free(buffer);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        fexecve(sealbuf_buffer_fd(reader), (char *[]){(char *)(uintptr_t) "true", NULL}, (char *[]){NULL});
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    sealbuf_buffer_free(reader);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static size_t read_program(char *bytes, size_t room)
{
    int program = open("/bin/true", O_RDONLY | O_CLOEXEC);
    ssize_t size = program < 0 ? 0 : read(program, bytes, room);

    if (program >= 0)
        close(program);
    return size >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0 ? (size_t)size : 0;
}

START_TEST(only_executables_are_executed)
{
    static char bytes[1u << 20];
    sealbuf_buffer *executable = NULL, *plain;
    size_t size = read_program(bytes, sizeof(bytes));

    if (size == 0)
        test_skip("/bin/true is no ELF file here");
    int r = sealbuf_create(client, &executable,
                           OPTIONS(sealbuf_create_options, .size = size, .flags = SEALBUF_CREATE_EXECUTABLE));
    if (r == -SEALBUF_ERR_UNSUPPORTED)
        test_skip("vm.memfd_noexec forbids executable memfds here");
    ck_assert_int_eq(r, 0);
    ck_assert_uint_eq(sealbuf_buffer_info(executable)->flags & SEALBUF_INFO_EXECUTABLE, SEALBUF_INFO_EXECUTABLE);
    ck_assert_uint_eq(seals_of(executable), SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW);
    ck_assert_int_eq(execute(executable, bytes, size), 0);
    ck_assert_int_eq(sealbuf_create(client, &plain, OPTIONS(sealbuf_create_options, .size = size)), 0);
    ck_assert_int_eq(execute(plain, bytes, size), 127);
}
END_TEST

static void ask_for_an_executable(void)
{
    sealbuf_client *other = connect_in_child();
    sealbuf_buffer *buffer;
    struct sealbuf_create_options *options = OPTIONS(sealbuf_create_options, .flags = SEALBUF_CREATE_EXECUTABLE);

    CHILD_CHECK(sealbuf_create(other, &buffer, options) == DENIED);
    CHILD_CHECK(strstr(sealbuf_error(other), "pid namespace"));
    CHILD_CHECK(sealbuf_create(other, &buffer, NULL) == 0);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(other);
}

static void ask_from_another_namespace(void *unused)
{
    int status;

    (void)unused;
    CHILD_CHECK(unshare(CLONE_NEWPID) == 0);
    pid_t pid = fork();
    CHILD_CHECK(pid >= 0);
    if (pid == 0) {
        ask_for_an_executable();
        _exit(EXIT_SUCCESS);
    }
    CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Whether executable memfds are forbidden is up to a pid namespace: the broker's may allow what the client's does not.
 */
START_TEST(no_executables_for_another_pid_namespace)
{
    if (!is_root())
        test_skip("needs root, for a pid namespace");
    in_child(ask_from_another_namespace, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_access");
    TCase *users = harness_tcase_with_broker(suite, "users"), *programs = harness_tcase_with_broker(suite, "programs");

    tcase_add_checked_fixture(users, connect_for_all, disconnect);
    tcase_add_checked_fixture(programs, connect_for_all, disconnect);
    tcase_add_loop_test(users, others, 0, COUNT(for_others));
    tcase_add_loop_test(users, the_group, 0, COUNT(for_group));
    tcase_add_test(users, ids_are_no_keys);
    tcase_add_test(users, everybody_has_names_of_their_own);
    tcase_add_test(users, readers_do_not_become_writers);
    tcase_add_test(programs, only_executables_are_executed);
    tcase_add_test(programs, no_executables_for_another_pid_namespace);
    return harness_run(suite);
}
