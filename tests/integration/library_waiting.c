/* SPDX-License-Identifier: MIT */
/* What a wait meets: signals, its end before the reply, and a kernel that takes no more descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "fake_broker.h"

#define IMMUTABLE  SEALBUF_SEALS_IMMUTABLE
#define TIMEOUT_MS 300

static double seconds_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static sealbuf_client *connect_to(const char *address, int timeout_ms)
{
    sealbuf_client *client = NULL;
    int r = sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = address, .timeout_ms = timeout_ms));

    ck_assert_msg(r == 0, "connect: %s", sealbuf_strerror(r));
    return client;
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

#define TICK_US 20000
/* 5 s: a wait that begins again with each signal ends then, and too late. */
#define TICKS 250

static volatile sig_atomic_t ticks;

static void tick(int number)
{
    (void)number;
    if (++ticks == TICKS)
        setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

static void start_ticking(void)
{
    const struct itimerval often = {{0, TICK_US}, {0, TICK_US}};

    ck_assert_int_eq(sigaction(SIGALRM, &(struct sigaction){.sa_handler = tick}, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void stop_ticking(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    ck_assert_int_gt(ticks, 2);
}

static void assert_took_its_time(double since)
{
    double took = seconds_of(CLOCK_MONOTONIC) - since;

    ck_assert_msg(took > 0.9 * TIMEOUT_MS / 1000 && took < 3, "it took %.3f s instead of %d ms", took, TIMEOUT_MS);
}

START_TEST(signals_do_not_prolong_a_wait)
{
    sealbuf_client *client = connect_to(NULL, TIMEOUT_MS);

    ck_assert_int_eq(kill(broker.pid, SIGSTOP), 0);
    start_ticking();
    double before = seconds_of(CLOCK_MONOTONIC);
    int r = sealbuf_ping(client);
    stop_ticking();
    ck_assert_int_eq(kill(broker.pid, SIGCONT), 0);
    ck_assert_int_eq(r, -SEALBUF_ERR_TIMED_OUT);
    assert_took_its_time(before);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    sealbuf_disconnect(client);
}
END_TEST

static void answer_after_a_while(int socket, void *unused)
{
    static struct answer answer;
    struct header request;

    (void)unused;
    fake_greet(socket);
    if (!fake_receive(socket, &request))
        return;
    usleep(200 * 1000);
    answer_begin(&answer, &request);
    answer_finish(&answer);
    answer_send(socket, &answer);
    fake_await_end(socket);
}

START_TEST(signals_do_not_end_a_wait)
{
    struct fake fake;

    fake_start(&fake, answer_after_a_while, NULL);
    sealbuf_client *client = connect_to(fake.address, _i ? -1 : 10000);
    start_ticking();
    int r = sealbuf_ping(client);
    stop_ticking();
    ck_assert_msg(r == 0, "ping: %s", sealbuf_error_name(r));
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* A socket that listens, but whose queue is full; *queued is what fills it. */
static int crowded_listener(char address[64], int *queued)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(address, 64, "@sealbuf-crowded-%d", (int)getpid());
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(name.sun_path + 1, address + 1, (size_t)length - 1);
    ck_assert_int_eq(bind(listener, (const struct sockaddr *)&name, size), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    *queued = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(*queued, (const struct sockaddr *)&name, size), 0);
    return listener;
}

START_TEST(signals_do_not_prolong_connecting)
{
    char address[64];
    int queued, listener = crowded_listener(address, &queued);
    sealbuf_client *client = NULL;

    start_ticking();
    double before = seconds_of(CLOCK_MONOTONIC);
    int r = sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = address, .timeout_ms = TIMEOUT_MS));
    stop_ticking();
    ck_assert_msg(r == -SEALBUF_ERR_TIMED_OUT, "connect: %s", sealbuf_error_name(r));
    assert_took_its_time(before);
    close(queued);
    close(listener);
}
END_TEST

/* ---- Given up before the reply ----------------------------------------------------------------------------------- */

/* Buffers that get the memory of one that was freed just before; an id that was meant for that one must not be theirs.
 */
#define HEIRS 8

static void assert_no_heir_gets_its_id(sealbuf_client *client)
{
    sealbuf_buffer *heirs[HEIRS];

    for (int i = 0; i < HEIRS; i++)
        heirs[i] = new_text("heir", IMMUTABLE);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
    for (int i = 0; i < HEIRS; i++) {
        ck_assert_uint_eq(sealbuf_buffer_id(heirs[i]), 0);
        sealbuf_buffer_free(heirs[i]);
    }
}

static void never(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client, (void)reply, (void)userdata;
    ck_abort_msg("this request was cancelled");
}

START_TEST(a_cancelled_adoption_forgets_its_buffer)
{
    sealbuf_client *client = connect_to(NULL, 0);
    sealbuf_buffer *buffer = new_text("mortal", IMMUTABLE);

    int serial = sealbuf_start_adopt(client, buffer, NULL, _i ? never : NULL, NULL);
    ck_assert_int_gt(serial, 0);
    ck_assert_int_eq(sealbuf_cancel(client, serial), 0);
    ck_assert_int_eq(sealbuf_cancel(client, serial), -ENOENT);
    sealbuf_buffer_free(buffer);
    assert_no_heir_gets_its_id(client);
    sealbuf_disconnect(client);
}
END_TEST

START_TEST(an_adoption_that_timed_out_forgets_its_buffer)
{
    sealbuf_client *client = connect_to(NULL, 100);
    sealbuf_buffer *buffer = new_text("mortal", IMMUTABLE);

    ck_assert_int_eq(kill(broker.pid, SIGSTOP), 0);
    int r = _i ? sealbuf_publish(client, buffer, OPTIONS(sealbuf_publish_options, .name = "mortal"), NULL)
               : sealbuf_adopt(client, buffer, NULL);
    ck_assert_int_eq(r, -SEALBUF_ERR_TIMED_OUT);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 0);
    sealbuf_buffer_free(buffer);
    ck_assert_int_eq(kill(broker.pid, SIGCONT), 0);
    /* Another client waits for the broker to be awake: this one has 100 ms for each call. */
    sealbuf_client *other = connect_to(NULL, 0);
    ck_assert_int_eq(sealbuf_ping(other), 0);
    sealbuf_disconnect(other);
    assert_no_heir_gets_its_id(client);
    sealbuf_disconnect(client);
}
END_TEST

/* ---- Too many descriptors in flight ------------------------------------------------------------------------------ */

#define STRANGERS 60000u /* uids from here on */
#define IN_FLIGHT 40

/* A uid of nobody else's, nor of another run of this test: the kernel counts for each. */
static void as_stranger(void (*fn)(void *))
{
    unsigned stranger = STRANGERS + (unsigned)getpid() % 5000;

    if (getuid() == 0)
        in_child_as(stranger, stranger, fn, NULL);
    else
        in_child(fn, NULL);
}

static int crowd[2];

/* Sends descriptors to oneself, and does not read them, until the kernel takes no more. */
static void crowd_the_air(void)
{
    const struct rlimit limit = {.rlim_cur = IN_FLIGHT, .rlim_max = IN_FLIGHT};
    int fds[8] = {0}, r = 0;

    CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHILD_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, crowd) == 0);
    for (int i = 0; i < 100 && r == 0; i++)
        r = packet_send(crowd[0], "x", 1, fds, 8);
    CHILD_CHECK(r == -ETOOMANYREFS);
}

static void clear_the_air(int number)
{
    (void)number;
    close(crowd[1]);
}

static void adopt_in_vain(void *unused)
{
    sealbuf_buffer *buffer = new_text("heavy", IMMUTABLE);
    sealbuf_client *client = connect_to(NULL, TIMEOUT_MS);

    (void)unused;
    crowd_the_air();
    CHILD_CHECK(sealbuf_start_adopt(client, buffer, NULL, never, NULL) == -ETOOMANYREFS);
    CHILD_CHECK(sealbuf_pending(client) == 0);
    CHILD_CHECK(sealbuf_events(client) == POLLIN);
    CHILD_CHECK(sealbuf_ping(client) == 0); /* what has no descriptors is sent */
    double begun = seconds_of(CLOCK_MONOTONIC), busy = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    CHILD_CHECK(sealbuf_adopt(client, buffer, NULL) == -ETOOMANYREFS);
    CHILD_CHECK(seconds_of(CLOCK_MONOTONIC) - begun > 0.9 * TIMEOUT_MS / 1000);
    CHILD_CHECK(seconds_of(CLOCK_PROCESS_CPUTIME_ID) - busy < 0.5 * TIMEOUT_MS / 1000);
    CHILD_CHECK(strstr(sealbuf_error(client), "RLIMIT_NOFILE"));
    CHILD_CHECK(sealbuf_buffer_id(buffer) == 0);
    CHILD_CHECK(sealbuf_ping(client) == 0);
    sealbuf_disconnect(client);
    sealbuf_buffer_free(buffer);
}

START_TEST(adopting_in_crowded_air)
{
    broker_open_to_all(&broker);
    as_stranger(adopt_in_vain);
}
END_TEST

static void adopt_later(void *unused)
{
    const struct itimerval later = {.it_value = {0, 100000}};
    sealbuf_buffer *buffer = new_text("heavy", IMMUTABLE);
    sealbuf_client *client = connect_to(NULL, 10000);

    (void)unused;
    crowd_the_air();
    CHILD_CHECK(sigaction(SIGALRM, &(struct sigaction){.sa_handler = clear_the_air}, NULL) == 0);
    CHILD_CHECK(setitimer(ITIMER_REAL, &later, NULL) == 0);
    CHILD_CHECK(sealbuf_publish(client, buffer, OPTIONS(sealbuf_publish_options, .name = "heavy"), NULL) == 0);
    CHILD_CHECK(sealbuf_remove(client, OPTIONS(sealbuf_target, .name = "heavy")) == 0);
    sealbuf_disconnect(client);
    sealbuf_buffer_free(buffer);
}

START_TEST(adopting_once_the_air_is_clear)
{
    broker_open_to_all(&broker);
    as_stranger(adopt_later);
}
END_TEST

/* Reads nothing until a byte comes from this pipe, and then answers all of it. */
static void answer_late(int socket, void *start)
{
    static struct answer answer;
    struct header request;
    char byte;

    fake_greet(socket);
    CHILD_CHECK(read(*(const int *)start, &byte, 1) == 1);
    while (fake_receive(socket, &request)) {
        answer_begin(&answer, &request);
        answer_finish(&answer);
        answer_send(socket, &answer);
    }
}

static struct {
    int order, before, adoption, after;
} called;

static void note_before(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client, (void)userdata;
    CHILD_CHECK(sealbuf_reply_status(reply) == 0);
    called.before = ++called.order;
}

static void note_adoption(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client, (void)userdata;
    CHILD_CHECK(sealbuf_reply_status(reply) == -ETOOMANYREFS);
    CHILD_CHECK(sealbuf_reply_count(reply) == 0);
    called.adoption = ++called.order;
}

static void note_after(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client, (void)userdata;
    CHILD_CHECK(sealbuf_reply_status(reply) == 0);
    called.after = ++called.order;
}

/* In somebody's loop, as sealbuf_events says; so many turns that one that does nothing but turn is noticed. */
static void dispatch_all(sealbuf_client *client)
{
    for (int turns = 0; turns < 5000 && sealbuf_pending(client); turns++) {
        struct pollfd waited = {.fd = sealbuf_fd(client), .events = (short)sealbuf_events(client)};
        CHILD_CHECK(poll(&waited, 1, 5000) >= 0 || errno == EINTR);
        CHILD_CHECK(sealbuf_dispatch(client) >= 0);
    }
    CHILD_CHECK(sealbuf_pending(client) == 0);
}

/* It waited for room in the socket; when there is some, the kernel does not take its descriptor. */
static void adopt_behind_others(void *unused)
{
    sealbuf_buffer *buffer = new_text("heavy", IMMUTABLE);
    struct fake fake;
    int start[2];

    (void)unused;
    CHILD_CHECK(pipe2(start, O_CLOEXEC) == 0);
    fake_start(&fake, answer_late, &start[0]);
    sealbuf_client *client = connect_to(fake.address, 10000);
    int pings = 0;
    while (!(sealbuf_events(client) & POLLOUT) && ++pings < 10000)
        CHILD_CHECK(sealbuf_start_ping(client, note_before, NULL) > 0);
    CHILD_CHECK(sealbuf_start_adopt(client, buffer, NULL, note_adoption, NULL) > 0);
    CHILD_CHECK(sealbuf_start_ping(client, note_after, NULL) > 0);
    crowd_the_air();
    CHILD_CHECK(write(start[1], "", 1) == 1);
    dispatch_all(client);
    CHILD_CHECK(called.before == pings && called.adoption == pings + 1 && called.after == pings + 2);
    CHILD_CHECK(sealbuf_buffer_id(buffer) == 0);
    CHILD_CHECK(sealbuf_ping(client) == 0);
    sealbuf_disconnect(client);
    fake_stop(&fake);
    sealbuf_buffer_free(buffer);
}

START_TEST(adopting_behind_others_in_crowded_air)
{
    as_stranger(adopt_behind_others);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_waiting");
    TCase *signals = harness_tcase_with_broker(suite, "signals"), *alone = harness_tcase(suite, "alone");
    TCase *given_up = harness_tcase_with_broker(suite, "given up"),
          *air = harness_tcase_with_broker(suite, "crowded air");

    tcase_add_test(signals, signals_do_not_prolong_a_wait);
    tcase_add_loop_test(alone, signals_do_not_end_a_wait, 0, 2);
    tcase_add_test(alone, signals_do_not_prolong_connecting);
    tcase_add_test(alone, adopting_behind_others_in_crowded_air);
    tcase_add_loop_test(given_up, a_cancelled_adoption_forgets_its_buffer, 0, 2);
    tcase_add_loop_test(given_up, an_adoption_that_timed_out_forgets_its_buffer, 0, 2);
    tcase_add_test(air, adopting_in_crowded_air);
    tcase_add_test(air, adopting_once_the_air_is_clear);
    return harness_run(suite);
}
