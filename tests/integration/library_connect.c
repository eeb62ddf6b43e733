/* SPDX-License-Identifier: MIT */
/* Finding a broker, connecting to it, and all that may be there instead of one. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fake_broker.h"

#define SYSTEM_ADDRESS "/run/sealbuf/socket"

static sealbuf_client *const untouched = (sealbuf_client *)0x1000;

static int try_options(const struct sealbuf_connect_options *options)
{
    sealbuf_client *client = untouched;
    int r = sealbuf_connect(&client, options);

    if (r < 0)
        ck_assert_ptr_eq(client, untouched);
    else
        sealbuf_disconnect(client);
    return r;
}

static int try_address(const char *address)
{
    return try_options(OPTIONS(sealbuf_connect_options, .address = address));
}

static void assert_connects_to(const char *address)
{
    sealbuf_client *client = new_client();

    ck_assert_str_eq(sealbuf_address(client), address);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_str_eq(sealbuf_error(client), "");
    ck_assert_ptr_null(sealbuf_disconnect(client));
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The sentence goes where the caller wants it: all of it, or as much as there is room for. */
static void assert_explained(const struct sealbuf_connect_options *given, int error, const char *expected)
{
    char sentence[SEALBUF_MAX_TEXT + 1] = "", start[8] = "";
    struct sealbuf_connect_options options = *given;

    options.sentence = sentence;
    options.sentence_size = sizeof(sentence);
    ck_assert_int_eq(try_options(&options), error);
    ck_assert_msg(strstr(sentence, expected), "the sentence is '%s', without '%s'", sentence, expected);
    options.sentence = start;
    options.sentence_size = sizeof(start);
    ck_assert_int_eq(try_options(&options), error);
    ck_assert_uint_eq(strnlen(start, sizeof(start)), strnlen(sentence, sizeof(start) - 1));
    ck_assert_int_eq(strncmp(start, sentence, strlen(start)), 0);
}

/* ---- Where it looks ---------------------------------------------------------------------------------------------- */

START_TEST(at_the_address_given)
{
    sealbuf_client *client;

    setenv("SEALBUF_SOCKET", "/nonexistent", 1);
    ck_assert_int_eq(sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = broker.path)), 0);
    ck_assert_str_eq(sealbuf_address(client), broker.path);
    ck_assert_int_gt(sealbuf_fd(client), 2);
    ck_assert_int_eq(fcntl(sealbuf_fd(client), F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    sealbuf_disconnect(client);
    ck_assert_ptr_null(sealbuf_disconnect(NULL));
}
END_TEST

START_TEST(at_the_environments_address)
{
    assert_connects_to(broker.path);
}
END_TEST

/* With $SEALBUF_SOCKET, $XDG_RUNTIME_DIR is not asked, whatever is there. */
START_TEST(at_the_users_address)
{
    char runtime[] = "/tmp/sealbuf-test-XXXXXX", folder[64], path[80];

    ck_assert_ptr_nonnull(mkdtemp(runtime));
    snprintf(folder, sizeof(folder), "%s/sealbuf", runtime);
    snprintf(path, sizeof(path), "%s/socket", folder);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    ck_assert_int_eq(symlink(broker.path, path), 0);
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    setenv("SEALBUF_SOCKET", "/nonexistent/socket", 1);
    ck_assert_int_eq(try_options(NULL), -SEALBUF_ERR_UNREACHABLE);
    setenv("SEALBUF_SOCKET", "", 1);
    assert_connects_to(path);
    unsetenv("SEALBUF_SOCKET");
    assert_connects_to(path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(rmdir(runtime), 0);
}
END_TEST

START_TEST(at_the_systems_address_at_last)
{
    char long_path[300];

    if (access(SYSTEM_ADDRESS, F_OK) == 0)
        test_skip("a broker of the system is there");
    unsetenv("SEALBUF_SOCKET");
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_eq(try_options(NULL), -SEALBUF_ERR_UNREACHABLE);
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    ck_assert_int_eq(try_options(NULL), -SEALBUF_ERR_UNREACHABLE);
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    setenv("XDG_RUNTIME_DIR", long_path, 1);
    ck_assert_int_eq(try_options(NULL), -SEALBUF_ERR_UNREACHABLE);
}
END_TEST

START_TEST(addresses_as_long_as_they_may_be)
{
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];

    memset(path, 'x', sizeof(path));
    memcpy(path, "/tmp/", 5);
    path[sizeof(path) - 2] = '\0';
    ck_assert_int_eq(try_address(path), -SEALBUF_ERR_UNREACHABLE);
    path[sizeof(path) - 2] = 'x';
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(try_address(path), -ENAMETOOLONG);
    ck_assert_int_lt(try_address(""), 0);
    setenv("SEALBUF_SOCKET", path, 1);
    ck_assert_int_eq(try_options(NULL), -ENAMETOOLONG);
}
END_TEST

/* ---- Who is there ------------------------------------------------------------------------------------------------ */

/* Makes a socket file, which must be removed; listening or not. */
static int bind_file(int type, const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    strcpy(name.sun_path, path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static const char *temporary_path(void)
{
    static char path[64];

    snprintf(path, sizeof(path), "/tmp/sealbuf-test-%d", (int)getpid());
    return path;
}

START_TEST(nobody)
{
    const char *path = temporary_path();
    char below[80];

    ck_assert_int_eq(try_address(path), -SEALBUF_ERR_UNREACHABLE);
    ck_assert_int_eq(try_address("@nobody-has-this-name"), -SEALBUF_ERR_UNREACHABLE);
    assert_explained(OPTIONS(sealbuf_connect_options, .address = path), -SEALBUF_ERR_UNREACHABLE, "no broker answers");
    ck_assert_int_eq(try_address("@"), -SEALBUF_ERR_UNREACHABLE);
    close(bind_file(SOCK_SEQPACKET, path)); /* the file stays */
    ck_assert_int_eq(try_address(path), -SEALBUF_ERR_UNREACHABLE);
    snprintf(below, sizeof(below), "%s/socket", path);
    ck_assert_int_eq(try_address(below), -SEALBUF_ERR_UNREACHABLE);
    ck_assert_int_eq(unlink(path), 0);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(try_address(path), -SEALBUF_ERR_UNREACHABLE);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_socket_of_another_type)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    const char *path = temporary_path();
    int fd = bind_file(types[_i], path);

    listen(fd, 1);
    ck_assert_int_eq(try_address(path), -SEALBUF_ERR_UNREACHABLE);
    close(fd);
    unlink(path);
}
END_TEST

static void connect_without_right(void *unused)
{
    sealbuf_client *client = untouched;

    (void)unused;
    CHILD_CHECK(sealbuf_connect(&client, NULL) == -EACCES);
    CHILD_CHECK(client == untouched);
}

START_TEST(a_socket_for_others)
{
    if (getuid() != 0)
        test_skip("needs root, to become somebody else");
    broker_open_to_all(&broker);
    ck_assert_int_eq(chmod(broker.path, 0600), 0);
    in_child_as(NOBODY, NOBODY, connect_without_right, NULL);
}
END_TEST

static void say_nothing(int socket, void *unused)
{
    (void)unused;
    fake_await_end(socket);
}

static void check_time_out(const char *address)
{
    double before = seconds_now();
    int r = try_options(OPTIONS(sealbuf_connect_options, .address = address, .timeout_ms = 300));
    double took = seconds_now() - before;

    ck_assert_msg(r == -SEALBUF_ERR_TIMED_OUT, "connect: %s", sealbuf_error_name(r));
    ck_assert_msg(took > 0.25 && took < 5, "a time-out of 0.3 s took %.2f s", took);
}

START_TEST(somebody_who_does_not_answer)
{
    struct fake fake;

    fake_start(&fake, say_nothing, NULL);
    check_time_out(fake.address);
    fake_stop(&fake);
}
END_TEST

/* The kernel keeps a connection waiting where as many wait already as listen(2) allows. */
START_TEST(somebody_who_does_not_accept)
{
    const char *path = temporary_path();
    int listener = bind_file(SOCK_SEQPACKET, path), first = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    ck_assert_int_eq(listen(listener, 0), 0);
    strcpy(name.sun_path, path);
    ck_assert_int_eq(connect(first, (struct sockaddr *)&name, sizeof(name)), 0);
    check_time_out(path);
    close(first);
    close(listener);
    unlink(path);
}
END_TEST

static void close_at_once(int socket, void *unused)
{
    (void)socket, (void)unused;
}

START_TEST(somebody_who_hangs_up)
{
    struct fake fake;

    fake_start(&fake, close_at_once, NULL);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(try_address(fake.address), -SEALBUF_ERR_DISCONNECTED);
    fake_stop(&fake);
}
END_TEST

static void greet(int socket, void *unused)
{
    (void)unused;
    fake_greet(socket);
    fake_await_end(socket);
}

START_TEST(an_abstract_address)
{
    struct fake fake;
    sealbuf_client *client;

    fake_start(&fake, greet, NULL);
    setenv("SEALBUF_SOCKET", fake.address, 1);
    ck_assert_int_eq(sealbuf_connect(&client, NULL), 0);
    ck_assert_str_eq(sealbuf_address(client), fake.address);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

static void answer_too_late(int socket, void *unused)
{
    static struct answer answer;
    struct header request;

    (void)unused;
    fake_greet(socket);
    for (int i = 0; fake_receive(socket, &request); i++) {
        if (i == 0)
            usleep(400 * 1000);
        answer_begin(&answer, &request);
        answer_finish(&answer);
        answer_send(socket, &answer);
    }
}

/* A reply that comes too late is nobody's, and does no harm. */
START_TEST(somebody_who_answers_late)
{
    struct fake fake;
    sealbuf_client *client;

    fake_start(&fake, answer_too_late, NULL);
    ck_assert_int_eq(
        sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = fake.address, .timeout_ms = 250)), 0);
    ck_assert_int_eq(sealbuf_ping(client), -SEALBUF_ERR_TIMED_OUT);
    ck_assert_str_ne(sealbuf_error(client), "");
    ck_assert_uint_eq(sealbuf_pending(client), 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- Without waiting --------------------------------------------------------------------------------------------- */

static int open_without_waiting(sealbuf_client **client, const char *address)
{
    return sealbuf_connect(client,
                           OPTIONS(sealbuf_connect_options, .address = address, .flags = SEALBUF_CONNECT_NO_WAIT));
}

static void count(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client;
    ck_assert_int_eq(sealbuf_reply_status(reply), 0);
    ++*(int *)userdata;
}

START_TEST(no_wait_and_then_dispatch)
{
    sealbuf_client *client;
    int replies = 0;

    ck_assert_int_eq(open_without_waiting(&client, NULL), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 1);
    ck_assert_int_gt(sealbuf_start_ping(client, count, &replies), 0);
    for (int i = 0; i < 1000 && !replies; i++)
        ck_assert_int_ge(sealbuf_wait(client, 1000), 0);
    ck_assert_int_eq(replies, 1);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
    sealbuf_disconnect(client);
}
END_TEST

START_TEST(no_wait_and_then_a_call_that_waits)
{
    sealbuf_client *client;

    ck_assert_int_eq(open_without_waiting(&client, broker.path), 0);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
    sealbuf_disconnect(client);
}
END_TEST

START_TEST(no_wait_for_somebody_who_does_not_answer)
{
    struct fake fake;
    sealbuf_client *client;
    double before = seconds_now();

    fake_start(&fake, say_nothing, NULL);
    ck_assert_int_eq(open_without_waiting(&client, fake.address), 0);
    ck_assert(seconds_now() - before < 5);
    ck_assert_int_eq(sealbuf_wait(client, 50), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 1);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

static void refuse_version(int socket, void *unused)
{
    static struct answer answer;
    struct header request;

    (void)unused;
    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer, &request);
    answer.header.status = SEALBUF_ERR_VERSION;
    answer_add(&answer, &outcome_schema, &(struct outcome){.status = SEALBUF_ERR_VERSION, .text = SPAN("too new")});
    answer_finish(&answer);
    answer_send(socket, &answer);
}

/* The first word of a broker of another age says why; that it hangs up afterwards does not. */
START_TEST(a_broker_of_another_version)
{
    struct fake fake;
    sealbuf_client *client;
    int r;

    fake_start(&fake, refuse_version, NULL);
    ck_assert_int_eq(try_address(fake.address), -SEALBUF_ERR_VERSION);
    assert_explained(OPTIONS(sealbuf_connect_options, .address = fake.address), -SEALBUF_ERR_VERSION, "too new");
    ck_assert_int_eq(open_without_waiting(&client, fake.address), 0);
    r = wait_for_failure(client);
    ck_assert_msg(r == -SEALBUF_ERR_VERSION, "wait: %s", sealbuf_error_name(r));
    ck_assert_str_eq(sealbuf_error(client), "too new");
    ck_assert_int_eq(sealbuf_ping(client), -SEALBUF_ERR_VERSION);
    ck_assert_str_eq(sealbuf_error(client), "too new");
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- Options and limits ------------------------------------------------------------------------------------------ */

START_TEST(options_that_make_no_sense)
{
    struct {
        struct sealbuf_connect_options known;
        uint64_t tail;
    } newer = {.known = {.struct_size = sizeof(newer)}};
    char start[8];

    ck_assert_int_eq(try_options(OPTIONS(sealbuf_connect_options, .flags = 4)), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(try_options(OPTIONS(sealbuf_connect_options, .timeout_ms = -2)), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(try_options(&(struct sealbuf_connect_options){.struct_size = 3}), -EINVAL);
    ck_assert_int_eq(try_options(&newer.known), 0);
    newer.tail = 1;
    ck_assert_int_eq(try_options(&newer.known), -EINVAL);
    ck_assert_int_eq(try_options(OPTIONS(sealbuf_connect_options, .timeout_ms = -1)), 0);
    ck_assert_int_eq(try_options(OPTIONS(sealbuf_connect_options, .sentence_size = 1)), -EINVAL);
    ck_assert_int_eq(try_options(OPTIONS(sealbuf_connect_options, .sentence = start)), -EINVAL);
}
END_TEST

START_TEST(with_a_full_table)
{
    rlim_t before = table_close();
    sealbuf_client *client = untouched;
    int r = sealbuf_connect(&client, NULL);

    table_open(before);
    ck_assert_int_eq(r, -EMFILE);
    ck_assert_ptr_eq(client, untouched);
}
END_TEST

static void note_refusal(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client;
    ck_assert_int_eq(sealbuf_reply_status(reply), -SEALBUF_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(sealbuf_reply_record_error(reply, 0), "uid-connections=2"));
    ++*(int *)userdata;
}

/* The request that was on its way, the one that finds it out, and the one after. */
static void assert_refused_without_waiting(void)
{
    sealbuf_client *client;
    int replies = 0;

    ck_assert_int_eq(open_without_waiting(&client, NULL), 0);
    ck_assert_int_gt(sealbuf_start_ping(client, note_refusal, &replies), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(sealbuf_ping(client), -SEALBUF_ERR_LIMIT);
        ck_assert_msg(strstr(sealbuf_error(client), "uid-connections=2"), "it says '%s'", sealbuf_error(client));
    }
    ck_assert_int_eq(replies, 1);
    sealbuf_disconnect(client);
}

START_TEST(more_connections_than_a_user_may_have)
{
    static const char *const arguments[] = {"--limit", "uid-connections=2", NULL};
    struct broker small;
    sealbuf_client *first, *second;

    broker_start(&small, arguments);
    first = new_client();
    second = new_client();
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(try_options(NULL), -SEALBUF_ERR_LIMIT);
    assert_explained(OPTIONS(sealbuf_connect_options, .address = NULL), -SEALBUF_ERR_LIMIT, "uid-connections=2");
    assert_refused_without_waiting();
    ck_assert_int_eq(sealbuf_ping(first), 0);
    sealbuf_disconnect(second);
    WAIT_UNTIL(try_options(NULL) == 0);
    sealbuf_disconnect(first);
    broker_stop(&small);
}
END_TEST

static void connect_without_stdio(void *unused)
{
    sealbuf_client *client;
    sealbuf_buffer *buffer;

    (void)unused;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    CHILD_CHECK(sealbuf_connect(&client, NULL) == 0);
    CHILD_CHECK(sealbuf_fd(client) > 2);
    CHILD_CHECK(sealbuf_create(client, &buffer, OPTIONS(sealbuf_create_options, .size = 1)) == 0);
    CHILD_CHECK(sealbuf_buffer_fd(buffer) > 2);
    for (int fd = 0; fd < 3; fd++)
        CHILD_CHECK(fcntl(fd, F_GETFD) < 0);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(client);
}

START_TEST(never_stands_in_for_a_standard_stream)
{
    in_child(connect_without_stdio, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_connect");
    TCase *address = harness_tcase_with_broker(suite, "address"), *other = harness_tcase(suite, "who is there");
    TCase *mode = harness_tcase_with_broker(suite, "mode"), *no_wait = harness_tcase_with_broker(suite, "no wait");
    TCase *options = harness_tcase_with_broker(suite, "options"), *limits = harness_tcase(suite, "limits");

    tcase_add_test(address, at_the_address_given);
    tcase_add_test(address, at_the_environments_address);
    tcase_add_test(address, at_the_users_address);
    tcase_add_test(address, at_the_systems_address_at_last);
    tcase_add_test(address, addresses_as_long_as_they_may_be);
    tcase_add_test(other, nobody);
    tcase_add_loop_test(other, a_socket_of_another_type, 0, 2);
    tcase_add_test(mode, a_socket_for_others);
    tcase_add_test(other, somebody_who_does_not_answer);
    tcase_add_test(other, somebody_who_does_not_accept);
    tcase_add_test(other, somebody_who_hangs_up);
    tcase_add_test(other, somebody_who_answers_late);
    tcase_add_test(other, an_abstract_address);
    tcase_add_test(no_wait, no_wait_and_then_dispatch);
    tcase_add_test(no_wait, no_wait_and_then_a_call_that_waits);
    tcase_add_test(no_wait, no_wait_for_somebody_who_does_not_answer);
    tcase_add_test(no_wait, a_broker_of_another_version);
    tcase_add_test(options, options_that_make_no_sense);
    tcase_add_test(options, with_a_full_table);
    tcase_add_test(options, never_stands_in_for_a_standard_stream);
    tcase_add_test(limits, more_connections_than_a_user_may_have);
    return harness_run(suite);
}
