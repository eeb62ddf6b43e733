/* SPDX-License-Identifier: MIT */
/* Reconnecting in a program with a loop of its own, and in surroundings that make it hard. */
#include <config-build.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "mortal.h"

/* ---- In somebody's loop ------------------------------------------------------------------------------------------ */

/* One turn of a loop that has the descriptor, and asks for nothing else. Whether there was something to do. */
static bool turn(int loop, int ms)
{
    struct epoll_event event;

    if (epoll_wait(loop, &event, 1, ms) != 1)
        return false;
    ck_assert_int_ge(sealbuf_dispatch(client), 0);
    return true;
}

static int make_loop(void)
{
    int loop = epoll_create1(EPOLL_CLOEXEC), fd = sealbuf_fd(client);

    ck_assert_int_gt(fd, 2);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}), 0);
    return loop;
}

START_TEST(the_descriptor_stays)
{
    int loop = make_loop(), fd = sealbuf_fd(client), turns = 0;

    for (unsigned round = 0; round < 3; round++) {
        sealbuf_start_ping(client, note_reply, numbered(2 * round));
        while (replies.count < 2 * round + 1 && turns++ < 1000)
            turn(loop, 5000);
        broker_kill(&mortal);
        for (int i = 0; i < 3; i++)
            turn(loop, 50);
        sealbuf_start_ping(client, note_reply, numbered(2 * round + 1));
        broker_start_again(&mortal, NULL);
        while (replies.count < 2 * round + 2 && turns++ < 1000)
            turn(loop, 5000);
        ck_assert_int_eq(sealbuf_fd(client), fd);
    }
    ck_assert_uint_eq(replies.count, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(replies.status[i], 0);
    assert_told(3, 3, 0, 0, 0);
    ck_assert(!turn(loop, 50)); /* nothing to do, nothing that says so */
    ck_assert_int_lt(turns, 200);
    close(loop);
}
END_TEST

/* An idle client comes back, too, and what it holds with it. */
START_TEST(without_a_request)
{
    sealbuf_buffer *buffer;
    int loop = make_loop(), turns = 0;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    restart(NULL);
    while (!told.of_kind[SEALBUF_EVENT_READOPTED] && turns++ < 100)
        turn(loop, 5000);
    assert_told(1, 1, 1, 0, 0);
    ck_assert(!turn(loop, 50));
    sealbuf_buffer_free(buffer);
    close(loop);
}
END_TEST

/* The attempts get rarer; requests fail when their time is up; afterwards everything is as it was. */
START_TEST(a_broker_that_stays_away)
{
    sealbuf_client *before = client;
    client = connect_and_listen(mortal.path, 500);
    int loop = make_loop(), turns = 0;
    double start = seconds_now();

    ck_assert_int_eq(kill(mortal.pid, SIGSTOP), 0);
    sealbuf_start_ping(client, note_reply, numbered(0));
    broker_kill(&mortal);
    while (replies.count < 1 && turns++ < 1000)
        turn(loop, 5000);
    ck_assert_int_eq(replies.status[0], -SEALBUF_ERR_DISCONNECTED);
    ck_assert(seconds_now() - start >= 0.45 && seconds_now() - start < 5);
    while (seconds_now() - start < 1.5 && turns++ < 1000)
        turn(loop, 100);
    ck_assert_int_lt(turns, 60);
    sealbuf_start_ping(client, note_reply, numbered(1));
    ck_assert_uint_eq(connection_of(client).state, SEALBUF_CONNECTION_AWAY);
    broker_start_again(&mortal, NULL);
    while (!told.of_kind[SEALBUF_EVENT_RECONNECTED] && turns++ < 1000)
        turn(loop, 2000);
    sealbuf_start_ping(client, note_reply, numbered(2));
    while (replies.count < 3 && turns++ < 1000)
        turn(loop, 2000);
    ck_assert_int_eq(replies.status[2], 0);
    close(loop);
    sealbuf_disconnect(client);
    client = before;
}
END_TEST

START_TEST(cancelled_while_it_is_away)
{
    sealbuf_buffer *buffer;
    int serial;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    broker_kill(&mortal);
    while (connection_of(client).state != SEALBUF_CONNECTION_AWAY)
        sealbuf_wait(client, 10);
    sealbuf_start_ping(client, note_reply, numbered(0));
    serial = sealbuf_start_publish(client, &buffer, PUBLISH(.name = "n"), 1, note_reply, numbered(1));
    sealbuf_start_ping(client, note_reply, numbered(2));
    ck_assert_int_eq(sealbuf_cancel(client, serial), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 2);
    broker_start_again(&mortal, NULL);
    wait_until_answered(client);
    ck_assert_uint_eq(replies.count, 2);
    ck_assert_int_eq(sealbuf_get(client, &(sealbuf_buffer *){NULL}, GET(.name = "n")), -SEALBUF_ERR_NOT_FOUND);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* Whatever it is in the middle of: the harness counts what is left open. */
START_TEST(disconnecting_at_any_time)
{
    sealbuf_buffer *buffer;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    int loop = make_loop();
    sealbuf_start_adopt(client, buffer, NULL, note_reply, numbered(0));
    broker_kill(&mortal);
    for (int i = 0; i < _i; i++) {
        if (i == 3)
            broker_start_again(&mortal, NULL);
        turn(loop, 20);
    }
    sealbuf_disconnect(client);
    close(loop);
    sealbuf_buffer_free(buffer);
    if (_i <= 3)
        broker_start_again(&mortal, NULL);
    client = connect_and_listen(mortal.path, 1000);
}
END_TEST

/* ---- Surroundings ------------------------------------------------------------------------------------------------ */

START_TEST(no_descriptor_to_connect_with)
{
    sealbuf_client *before = client;
    client = connect_and_listen(mortal.path, 300);

    broker_kill(&mortal);
    while (connection_of(client).state != SEALBUF_CONNECTION_AWAY)
        sealbuf_wait(client, 10);
    broker_start_again(&mortal, NULL);
    rlim_t limit = table_close();
    int r = sealbuf_ping(client);
    table_open(limit);
    ck_assert_int_eq(r, -SEALBUF_ERR_DISCONNECTED);
    ck_assert_msg(strstr(sealbuf_error(client), strerror(EMFILE)), "'%s'", sealbuf_error(client));
    ck_assert_int_eq(sealbuf_ping(client), 0);
    sealbuf_disconnect(client);
    client = before;
}
END_TEST

static void use_the_parents(void *unused)
{
    (void)unused;
    CHILD_CHECK(sealbuf_ping(client) == -SEALBUF_ERR_DISCONNECTED);
    CHILD_CHECK(strstr(sealbuf_error(client), "forked"));
    CHILD_CHECK(connection_of(client).state == SEALBUF_CONNECTION_ENDED);
    CHILD_CHECK(sealbuf_disconnect(client) == NULL);
}

/* A child has the parent's descriptors: it must not reconnect with them, nor spoil the parent's loop. */
START_TEST(a_child_leaves_the_connection_alone)
{
    int loop = make_loop(), turns = 0;
    struct child idle;

    restart(NULL);
    in_child(use_the_parents, NULL);
    child_begin(&idle, use_the_parents, NULL);
    while (!told.of_kind[SEALBUF_EVENT_RECONNECTED] && turns++ < 100)
        turn(loop, 5000);
    sealbuf_start_ping(client, note_reply, numbered(0));
    while (replies.count < 1 && turns++ < 100)
        turn(loop, 5000);
    ck_assert_int_eq(replies.status[0], 0);
    ck_assert(!turn(loop, 50));
    assert_told(1, 1, 0, 0, 0);
    child_end(&idle);
    close(loop);
}
END_TEST

/* As systemd: the socket is there all the while, and the next broker inherits what waits in it. */
static pid_t activate(int listener)
{
    pid_t pid = fork();
    char number[16];

    ck_assert_int_ge(pid, 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(number, sizeof(number), "%d", (int)getpid());
    if (listener == 3)
        fcntl(3, F_SETFD, 0);
    else
        dup2(listener, 3);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    setenv("LISTEN_PID", number, 1);
    setenv("LISTEN_FDS", "1", 1);
    unsetenv("NOTIFY_SOCKET");
    execlp(getenv("SEALBUFD"), "sealbufd", NULL);
    _exit(127);
}

START_TEST(a_socket_that_outlives_the_broker)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int status;
    sealbuf_buffer *buffer;

    if (!getenv("SEALBUFD"))
        test_skip("$SEALBUFD does not say which broker");
    if (!HAVE_SYSTEMD)
        test_skip("the broker is built without systemd");
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof(name.sun_path), "/tmp/sealbuf-test-%d", (int)getpid());
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    ck_assert_int_eq(listen(listener, 16), 0);
    pid_t pid = activate(listener);
    sealbuf_client *before = client;
    client = connect_and_listen(name.sun_path, 10000);
    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    for (unsigned i = 1; i <= 3; i++) {
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status), "the broker had ended with status 0x%x", (unsigned)status);
        sealbuf_start_ping(client, note_reply, numbered(i));
        for (int turns = 0; turns < 3; turns++)
            sealbuf_wait(client, 20); /* it connects, and waits for who will answer */
        pid = activate(listener);
        ck_assert_int_eq(sealbuf_ping(client), 0);
        assert_told(i, i, i, 0, 0);
        ck_assert_uint_eq(replies.count, i);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(client);
    client = before;
    close(listener);
    unlink(name.sun_path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_reconnect_loop");
    TCase *loop = harness_tcase(suite, "loop"), *around = harness_tcase(suite, "surroundings");

    tcase_add_checked_fixture(loop, start_mortal, stop_mortal);
    tcase_add_checked_fixture(around, start_mortal, stop_mortal);
    tcase_add_test(loop, the_descriptor_stays);
    tcase_add_test(loop, without_a_request);
    tcase_add_test(loop, a_broker_that_stays_away);
    tcase_add_test(loop, cancelled_while_it_is_away);
    tcase_add_loop_test(loop, disconnecting_at_any_time, 0, 9);
    tcase_add_test(around, no_descriptor_to_connect_with);
    tcase_add_test(around, a_child_leaves_the_connection_alone);
    tcase_add_test(around, a_socket_that_outlives_the_broker);
    return harness_run(suite);
}
