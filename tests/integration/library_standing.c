/* SPDX-License-Identifier: MIT */
/*
 * Requests that stand, GETs that wait and watches, with a broker that does what a test wants it to do: answers out of
 * order, late, never, for another connection, or with lies.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lies.h"
#include "reconnecting.h"

#define WATCH(...) OPTIONS(sealbuf_watch_options, __VA_ARGS__)
#define IMMUTABLE  SEALBUF_SEALS_IMMUTABLE

/* ---- The broker's side ------------------------------------------------------------------------------------------- */

static struct answer answer;

static void expect(int socket, uint16_t opcode, struct header *request)
{
    CHILD_CHECK(fake_receive(socket, request));
    CHILD_CHECK(request->opcode == opcode);
}

static void send_nothing_else(int socket, const struct header *request)
{
    answer_begin(&answer, request);
    answer_finish(&answer);
    answer_send(socket, &answer);
}

static void send_buffer(int socket, const struct header *request)
{
    answer_begin(&answer, request);
    no_lie(socket, &answer);
}

static void send_outcome(int socket, const struct header *request, uint32_t status)
{
    answer_begin(&answer, request);
    answer_add(&answer, &outcome_schema, &(struct outcome){.status = status});
    answer_finish(&answer);
    answer_send(socket, &answer);
}

static void refuse(int socket, const struct header *request, uint32_t status)
{
    answer_begin(&answer, request);
    answer.header.status = status;
    answer_add(&answer, &outcome_schema, &(struct outcome){.status = status, .text = SPAN("so it is")});
    answer_finish(&answer);
    answer_send(socket, &answer);
}

static void add_event(uint32_t kind, const char *name)
{
    answer_add(&answer, &event_record_schema,
               &(struct event_record){
                   .kind = kind, .id = 7, .size = BYTES, .generation = 3, .seals = IMMUTABLE, .name = SPAN(name)});
}

static void add_event_with(uint32_t kind, const char *name, uint32_t seals, int fd)
{
    answer_add(&answer, &event_record_schema,
               &(struct event_record){.kind = kind,
                                      .descriptors = 1,
                                      .id = 7,
                                      .size = BYTES,
                                      .generation = 3,
                                      .seals = seals,
                                      .name = SPAN(name)});
    answer_attach(&answer, fd);
}

static void send_answer(int socket)
{
    answer_finish(&answer);
    answer_send(socket, &answer);
}

static void send_event(int socket, const struct header *request, uint32_t kind, const char *name)
{
    answer_begin(&answer, request);
    add_event(kind, name);
    send_answer(socket);
}

static uint32_t cancelled_serial(int socket, struct header *request)
{
    struct cancel_request cancel;

    expect(socket, SEALBUF_OP_CANCEL, request);
    fake_record(&cancel_request_schema, &cancel);
    return cancel.serial;
}

/* ---- The program's side ------------------------------------------------------------------------------------------ */

static sealbuf_client *connect_with(const struct fake *fake, int timeout_ms)
{
    return connect_and_listen(fake->address, timeout_ms);
}

static struct {
    unsigned count, buffers;
    uint32_t kind[64];
    int error[64];
    char name[64][32];
    int cancel_at; /* the watch is cancelled in so many-th call; 0: never */
    int serial;
    sealbuf_buffer *kept;
} seen;

static void note_change(sealbuf_client *client, const struct sealbuf_change *change, void *userdata)
{
    ck_assert_ptr_eq(userdata, &seen);
    ck_assert_uint_eq(change->struct_size, sizeof(*change));
    ck_assert_ptr_nonnull(change->info);
    ck_assert_ptr_nonnull(change->sentence);
    ck_assert_uint_lt(seen.count, COUNT(seen.kind));
    seen.kind[seen.count] = change->kind;
    seen.error[seen.count] = change->error;
    strncpy(seen.name[seen.count], change->info->name, sizeof(seen.name[0]) - 1);
    seen.buffers += change->buffer != NULL;
    seen.count++;
    if (change->buffer && !seen.kept) {
        seen.kept = sealbuf_change_take_buffer(change);
        ck_assert_ptr_eq(seen.kept, change->buffer);
        ck_assert_ptr_null(sealbuf_change_take_buffer(change));
    }
    if ((int)seen.count == seen.cancel_at)
        ck_assert_int_eq(sealbuf_cancel(client, seen.serial), 0);
}

static int start_watch(sealbuf_client *client, const struct sealbuf_watch_options *options)
{
    memset(&seen, 0, sizeof(seen));
    seen.serial = sealbuf_watch(client, options, note_change, &seen);
    ck_assert_int_gt(seen.serial, 0);
    return seen.serial;
}

static void wait_for_changes(sealbuf_client *client, unsigned count)
{
    for (int i = 0; i < 1000 && seen.count < count; i++)
        if (sealbuf_wait(client, 100) < 0)
            break;
    ck_assert_uint_ge(seen.count, count);
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

static void answer_later_ones_first(int socket, void *argument)
{
    struct header get[2], ping;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_GET, &get[0]);
    expect(socket, SEALBUF_OP_GET, &get[1]);
    expect(socket, SEALBUF_OP_PING, &ping);
    send_nothing_else(socket, &ping);
    send_buffer(socket, &get[1]);
    send_buffer(socket, &get[0]);
    fake_await_end(socket);
}

START_TEST(replies_come_out_of_order)
{
    struct sealbuf_get_options *wait = GET(.name = "x", .seals = IMMUTABLE, .flags = SEALBUF_GET_WAIT);
    struct fake fake;

    fake_start(&fake, answer_later_ones_first, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    ck_assert_int_gt(sealbuf_start_get(client, wait, 1, note_reply, numbered(1)), 0);
    ck_assert_int_gt(sealbuf_start_get(client, wait, 1, note_reply, numbered(2)), 0);
    ck_assert_int_gt(sealbuf_start_ping(client, note_reply, numbered(3)), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 3);
    wait_until_answered(client);
    ck_assert_uint_eq(replies.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(replies.status[i], 0);
        ck_assert_uint_eq(replies.number[i], 3 - i);
    }
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

static void answer_after_a_while(int socket, void *argument)
{
    struct header get;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_GET, &get);
    usleep(600000);
    send_buffer(socket, &get);
    fake_await_end(socket);
}

START_TEST(a_wait_outlasts_the_time_out)
{
    sealbuf_buffer *buffer = NULL;
    struct fake fake;

    fake_start(&fake, answer_after_a_while, NULL);
    sealbuf_client *client = connect_with(&fake, 200);
    ck_assert_int_eq(
        sealbuf_get(client, &buffer, GET(.name = "x", .flags = SEALBUF_GET_WAIT, .wait_ms = (uint64_t)_i * 20000)), 0);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* Says nothing to the GET, but obeys the CANCEL, which a ping proves. */
static void answer_nothing_but_the_cancel(int socket, void *argument)
{
    struct header get, cancel, ping;
    struct get_request record;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_GET, &get);
    fake_record(&get_request_schema, &record);
    CHILD_CHECK(record.flags == SEALBUF_GET_WAIT && record.wait_ms == 100 && record.newer_than == 4);
    CHILD_CHECK(cancelled_serial(socket, &cancel) == get.serial);
    refuse(socket, &get, SEALBUF_ERR_CANCELLED);
    send_outcome(socket, &cancel, 0);
    expect(socket, SEALBUF_OP_PING, &ping);
    send_nothing_else(socket, &ping);
    fake_await_end(socket);
}

START_TEST(a_wait_that_is_given_up_is_cancelled)
{
    sealbuf_buffer *buffer = NULL;
    struct fake fake;

    fake_start(&fake, answer_nothing_but_the_cancel, NULL);
    sealbuf_client *client = connect_with(&fake, 1000);
    double began = seconds_now();
    ck_assert_int_eq(
        sealbuf_get(client, &buffer, GET(.name = "x", .flags = SEALBUF_GET_WAIT, .wait_ms = 100, .newer_than = 4)),
        -SEALBUF_ERR_TIMED_OUT);
    ck_assert_double_ge(seconds_now() - began, 1.05);
    ck_assert_ptr_null(buffer);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    wait_until_answered(client);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

START_TEST(a_wait_is_cancelled)
{
    struct fake fake;

    fake_start(&fake, answer_nothing_but_the_cancel, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    int serial = sealbuf_start_get(client, GET(.name = "x", .flags = SEALBUF_GET_WAIT, .wait_ms = 100, .newer_than = 4),
                                   1, note_reply, numbered(1));
    ck_assert_int_gt(serial, 0);
    ck_assert_int_eq(sealbuf_cancel(client, serial), 0);
    ck_assert_int_eq(sealbuf_cancel(client, serial), -ENOENT);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    wait_until_answered(client);
    ck_assert_uint_eq(replies.count, 0);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

#define MANY 3000

static void answer_many_backwards(int socket, void *argument)
{
    static struct header get[MANY];

    (void)argument;
    fake_greet(socket);
    for (unsigned i = 0; i < MANY; i++)
        expect(socket, SEALBUF_OP_GET, &get[i]);
    for (unsigned i = MANY; i > 0; i--)
        refuse(socket, &get[i - 1], SEALBUF_ERR_TIMED_OUT);
    fake_await_end(socket);
}

static void count_down(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client;
    ck_assert_int_eq(sealbuf_reply_status(reply), -SEALBUF_ERR_TIMED_OUT);
    --*(unsigned *)userdata;
}

START_TEST(thousands_wait_on_one_connection)
{
    unsigned left = MANY;
    struct fake fake;

    fake_start(&fake, answer_many_backwards, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_gt(sealbuf_start_get(client, GET(.name = "x", .flags = SEALBUF_GET_WAIT), 1, count_down, &left),
                         0);
    ck_assert_uint_eq(sealbuf_pending(client), MANY);
    wait_until_answered(client);
    ck_assert_uint_eq(left, 0);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- Watching ---------------------------------------------------------------------------------------------------- */

static void tell_some(int socket, void *argument)
{
    struct watch_request record;
    struct header watch, ping;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_WATCH, &watch);
    fake_record(&watch_request_schema, &record);
    CHILD_CHECK(record.flags == (SEALBUF_WATCH_DESCRIPTORS | SEALBUF_WATCH_DETAILS) && record.owner == 77);
    CHILD_CHECK(record.name.length == 2 && memcmp(record.name.data, "a/", 2) == 0);
    answer_begin(&answer, &watch);
    add_event_with(SEALBUF_CHANGE_PRESENT, "a/b", IMMUTABLE, good_fd());
    add_event_with(SEALBUF_CHANGE_PRESENT, "a/c", SEALBUF_SEAL_WRITE, good_fd());
    add_event(SEALBUF_CHANGE_SYNC, "");
    send_answer(socket);
    expect(socket, SEALBUF_OP_PING, &ping);
    send_event(socket, &watch, SEALBUF_CHANGE_REMOVED, "a/b");
    send_nothing_else(socket, &ping);
    send_event(socket, &watch, 4711, "a/d");
    refuse(socket, &watch, SEALBUF_ERR_LIMIT);
    fake_await_end(socket);
}

START_TEST(a_watch_tells)
{
    struct fake fake;

    fake_start(&fake, tell_some, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    start_watch(client, WATCH(.prefix = "a/", .owner = 77,
                              .flags = SEALBUF_GET_OF_OWNER | SEALBUF_WATCH_DESCRIPTORS | SEALBUF_WATCH_DETAILS));
    ck_assert_uint_eq(sealbuf_pending(client), 0);
    wait_for_changes(client, 3);
    ck_assert_uint_eq(seen.buffers, 2);
    ck_assert_str_eq(seen.name[0], "a/b");
    ck_assert_uint_eq(seen.kind[2], SEALBUF_CHANGE_SYNC);
    ck_assert_str_eq(sealbuf_buffer_info(seen.kept)->name, "a/b");
    ck_assert_uint_eq(sealbuf_buffer_info(seen.kept)->generation, 3);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    wait_for_changes(client, 6);
    ck_assert_uint_eq(seen.kind[3], SEALBUF_CHANGE_REMOVED);
    ck_assert_uint_eq(seen.kind[4], 4711);
    ck_assert_uint_eq(seen.kind[5], 0);
    ck_assert_int_eq(seen.error[5], -SEALBUF_ERR_LIMIT);
    ck_assert_int_eq(sealbuf_cancel(client, seen.serial), -ENOENT);
    sealbuf_buffer_free(seen.kept);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

static void go_on_until_cancelled(int socket, void *argument)
{
    struct header watch, cancel, ping;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_WATCH, &watch);
    answer_begin(&answer, &watch);
    for (unsigned i = 0; i < 10; i++)
        add_event_with(SEALBUF_CHANGE_PRESENT, "x", IMMUTABLE, good_fd());
    send_answer(socket);
    send_event(socket, &watch, SEALBUF_CHANGE_SYNC, "");
    CHILD_CHECK(cancelled_serial(socket, &cancel) == watch.serial);
    send_event(socket, &watch, SEALBUF_CHANGE_REMOVED, "x");
    refuse(socket, &watch, SEALBUF_ERR_CANCELLED);
    send_outcome(socket, &cancel, 0);
    expect(socket, SEALBUF_OP_PING, &ping);
    send_nothing_else(socket, &ping);
    if (argument)
        send_event(socket, &watch, SEALBUF_CHANGE_PRESENT, "x");
    fake_await_end(socket);
}

START_TEST(a_watch_is_cancelled_in_its_callback)
{
    unsigned before = descriptors_open();
    struct fake fake;

    fake_start(&fake, go_on_until_cancelled, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    start_watch(client, WATCH(.flags = SEALBUF_WATCH_DESCRIPTORS));
    seen.cancel_at = 3;
    wait_for_changes(client, 3);
    ck_assert_int_eq(sealbuf_cancel(client, seen.serial), -ENOENT);
    wait_until_answered(client);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(seen.count, 3);
    sealbuf_buffer_free(seen.kept);
    ck_assert_uint_eq(descriptors_open(), before + 1);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

START_TEST(after_its_end_a_watch_is_unknown)
{
    struct fake fake;

    fake_start(&fake, go_on_until_cancelled, &fake);
    sealbuf_client *client = connect_with(&fake, 10000);
    start_watch(client, WATCH(.flags = SEALBUF_WATCH_DESCRIPTORS));
    seen.cancel_at = 1;
    wait_for_changes(client, 1);
    sealbuf_buffer_free(seen.kept);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_int_eq(wait_for_failure(client), BAD_REPLY);
    ck_assert_uint_eq(seen.count, 1);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* A watch that is told of without end leaves time for other things. */
static void tell_without_end(int socket, void *argument)
{
    struct header watch;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_WATCH, &watch);
    for (int i = 0; i < 20000; i++)
        send_event(socket, &watch, SEALBUF_CHANGE_REPLACED, "x");
    fake_await_end(socket);
}

static void count_changes(sealbuf_client *client, const struct sealbuf_change *change, void *userdata)
{
    (void)client;
    if (change->kind) {
        usleep(1000); /* slower than who tells */
        ++*(unsigned *)userdata;
    }
}

START_TEST(a_dispatch_comes_to_an_end)
{
    unsigned count = 0;
    struct fake fake;

    fake_start(&fake, tell_without_end, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    ck_assert_int_gt(sealbuf_watch(client, NULL, count_changes, &count), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(sealbuf_wait(client, 1000), 0);
    ck_assert_uint_ge(count, 3);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

static void only_greet(int socket, void *argument)
{
    (void)argument;
    fake_greet(socket);
    fake_await_end(socket);
}

START_TEST(a_watch_wants_somebody_to_tell)
{
    struct fake fake;

    fake_start(&fake, only_greet, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    ck_assert_int_eq(sealbuf_watch(client, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(sealbuf_watch(client, &(struct sealbuf_watch_options){.struct_size = 1}, note_change, &seen),
                     -EINVAL);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- Coming back ------------------------------------------------------------------------------------------------- */

static struct watch_request watch_record;
static struct get_request get_record;

static void receive_both(int socket, struct header *watch, struct header *get)
{
    expect(socket, SEALBUF_OP_WATCH, watch);
    fake_record(&watch_request_schema, &watch_record);
    expect(socket, SEALBUF_OP_GET, get);
    fake_record(&get_request_schema, &get_record);
}

/* The first connection ends with both of them standing, the second one goes on. */
static void end_the_first(int socket, void *argument)
{
    static unsigned connections;
    struct header watch, get;

    (void)argument;
    fake_greet(socket);
    receive_both(socket, &watch, &get);
    CHILD_CHECK(get_record.flags == SEALBUF_GET_WAIT && get_record.newer_than == 5);
    if (connections++ == 0) {
        CHILD_CHECK(watch_record.flags == SEALBUF_WATCH_NO_SNAPSHOT && get_record.wait_ms == 60000);
        send_event(socket, &watch, SEALBUF_CHANGE_SYNC, "");
        usleep(200000);
        return;
    }
    CHILD_CHECK(watch_record.flags == 0 && get_record.wait_ms > 0 && get_record.wait_ms < 59900);
    answer_begin(&answer, &watch);
    add_event(SEALBUF_CHANGE_PRESENT, "a");
    add_event(SEALBUF_CHANGE_SYNC, "");
    send_answer(socket);
    send_buffer(socket, &get);
    fake_await_end(socket);
}

START_TEST(both_are_set_up_anew)
{
    struct fake fake;

    fake_start(&fake, end_the_first, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    start_watch(client, WATCH(.flags = SEALBUF_WATCH_NO_SNAPSHOT));
    ck_assert_int_gt(sealbuf_start_get(client,
                                       GET(.name = "x", .flags = SEALBUF_GET_WAIT, .newer_than = 5, .wait_ms = 60000),
                                       1, note_reply, numbered(1)),
                     0);
    wait_until_answered(client);
    wait_for_changes(client, 4);
    ck_assert_uint_eq(seen.kind[0], SEALBUF_CHANGE_SYNC);
    ck_assert_uint_eq(seen.kind[1], SEALBUF_CHANGE_OVERFLOW);
    ck_assert_uint_eq(seen.kind[2], SEALBUF_CHANGE_PRESENT);
    ck_assert_uint_eq(seen.kind[3], SEALBUF_CHANGE_SYNC);
    ck_assert_int_eq(replies.status[0], 0);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_RECONNECTED], 1);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_UNKNOWN], 0);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

START_TEST(without_reconnecting_both_end)
{
    sealbuf_client *client = NULL;
    struct fake fake;

    fake_start(&fake, end_the_first, NULL);
    replies.count = 0;
    ck_assert_int_eq(sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = fake.address,
                                                      .flags = SEALBUF_CONNECT_NO_RECONNECT)),
                     0);
    start_watch(client, WATCH(.flags = SEALBUF_WATCH_NO_SNAPSHOT));
    ck_assert_int_gt(sealbuf_start_get(client,
                                       GET(.name = "x", .flags = SEALBUF_GET_WAIT, .newer_than = 5, .wait_ms = 60000),
                                       1, note_reply, numbered(1)),
                     0);
    ck_assert_int_eq(wait_for_failure(client), -SEALBUF_ERR_DISCONNECTED);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.kind[1], 0);
    ck_assert_int_eq(seen.error[1], -SEALBUF_ERR_DISCONNECTED);
    ck_assert_int_eq(replies.status[0], -SEALBUF_ERR_DISCONNECTED);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* Its time goes on while nobody is there; one that waits for ever does so, whatever the client's time-out. */
START_TEST(a_wait_ends_without_a_broker)
{
    struct fake fake;

    fake_start(&fake, end_the_first, NULL);
    sealbuf_client *client = connect_with(&fake, 100);
    start_watch(client, WATCH(.flags = SEALBUF_WATCH_NO_SNAPSHOT));
    wait_for_changes(client, 0);
    ck_assert_int_gt(sealbuf_start_get(client,
                                       GET(.name = "x", .flags = SEALBUF_GET_WAIT, .newer_than = 5, .wait_ms = 60000),
                                       1, note_reply, numbered(1)),
                     0);
    wait_for_changes(client, 1);
    fake_stop(&fake);
    int serial = sealbuf_start_get(client, GET(.name = "y", .flags = SEALBUF_GET_WAIT, .wait_ms = 700), 1, note_reply,
                                   numbered(2));
    ck_assert_int_gt(serial, 0);
    double began = seconds_now();
    while (replies.count == 0 && seconds_now() - began < 10)
        sealbuf_wait(client, 100);
    ck_assert_double_ge(seconds_now() - began, 0.6);
    ck_assert_uint_eq(replies.count, 1);
    ck_assert_uint_eq(replies.number[0], 2);
    ck_assert_int_eq(replies.status[0], -SEALBUF_ERR_DISCONNECTED);
    ck_assert_uint_eq(sealbuf_pending(client), 1);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_int_eq(sealbuf_cancel(client, seen.serial), 0);
    sealbuf_disconnect(client);
}
END_TEST

/* ---- Lies -------------------------------------------------------------------------------------------------------- */

static void tell_with(int socket, uint32_t seals, int fd)
{
    add_event_with(SEALBUF_CHANGE_PUBLISHED, "x", seals, fd);
    send_answer(socket);
}

static void seals_that_are_not_there(int socket, struct answer *unused)
{
    (void)unused;
    tell_with(socket, IMMUTABLE, fake_memfd(BYTES, SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW, O_RDONLY));
}

static void a_writable_one(int socket, struct answer *unused)
{
    (void)unused;
    tell_with(socket, 0, fake_memfd(BYTES, SEALBUF_SEAL_SHRINK, O_RDWR));
}

static void a_path(int socket, struct answer *unused)
{
    (void)unused;
    tell_with(socket, 0, fake_memfd(BYTES, IMMUTABLE, O_PATH));
}

static void no_memory_at_all(int socket, struct answer *unused)
{
    (void)unused;
    tell_with(socket, 0, open("/dev/zero", O_RDONLY | O_CLOEXEC));
}

static void fewer_than_said(int socket, struct answer *unused)
{
    (void)unused;
    add_event_with(SEALBUF_CHANGE_PUBLISHED, "x", IMMUTABLE, good_fd());
    answer_add(&answer, &event_record_schema,
               &(struct event_record){.kind = SEALBUF_CHANGE_PUBLISHED, .descriptors = 1, .name = SPAN("y")});
    send_answer(socket);
}

static void more_than_said(int socket, struct answer *unused)
{
    (void)unused;
    answer_attach(&answer, good_fd());
    tell_with(socket, IMMUTABLE, good_fd());
}

static void no_events(int socket, struct answer *unused)
{
    (void)unused;
    send_answer(socket);
}

static void the_end_without_a_reason(int socket, struct answer *unused)
{
    (void)unused;
    add_event(0, "");
    send_answer(socket);
}

static void another_serial(int socket, struct answer *unused)
{
    (void)unused;
    answer.header.serial += 1000;
    tell_with(socket, IMMUTABLE, good_fd());
}

static void another_opcode(int socket, struct answer *unused)
{
    (void)unused;
    answer.header.opcode = SEALBUF_OP_GET | SEALBUF_OP_REPLY;
    tell_with(socket, IMMUTABLE, good_fd());
}

static void an_end_with_a_descriptor(int socket, struct answer *unused)
{
    (void)unused;
    answer.header.status = SEALBUF_ERR_CANCELLED;
    answer_attach(&answer, good_fd());
    answer_add(&answer, &outcome_schema, &(struct outcome){.status = SEALBUF_ERR_CANCELLED});
    send_answer(socket);
}

static const struct {
    const char *name;
    spoil_fn *tell;
} event_lies[] = {
    {"seals_that_are_not_there", seals_that_are_not_there},
    {"a_writable_one", a_writable_one},
    {"a_path", a_path},
    {"no_memory_at_all", no_memory_at_all},
    {"fewer_than_said", fewer_than_said},
    {"more_than_said", more_than_said},
    {"no_events", no_events},
    {"the_end_without_a_reason", the_end_without_a_reason},
    {"another_serial", another_serial},
    {"another_opcode", another_opcode},
    {"an_end_with_a_descriptor", an_end_with_a_descriptor},
    {"nothing_with_a_descriptor", nothing_with_a_descriptor},
    {"longer_than_a_message", longer_than_a_message},
    {"garbage", garbage},
};

static void lie_to_a_watch(int socket, void *argument)
{
    struct header watch;

    fake_greet(socket);
    if (!fake_receive(socket, &watch))
        return;
    answer_begin(&answer, &watch);
    event_lies[*(const int *)argument].tell(socket, &answer);
    fake_await_end(socket);
}

START_TEST(lies_to_a_watch)
{
    unsigned before = descriptors_open();
    struct fake fake;

    fake_start(&fake, lie_to_a_watch, &_i);
    sealbuf_client *client = connect_with(&fake, 10000);
    start_watch(client, WATCH(.flags = SEALBUF_WATCH_DESCRIPTORS));
    ck_assert_msg(wait_for_failure(client) == BAD_REPLY, "%s", event_lies[_i].name);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.kind[0], 0);
    ck_assert_int_eq(seen.error[0], BAD_REPLY);
    ck_assert_uint_eq(descriptors_open(), before + 1);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

static void tell_some_to_anybody(int socket, void *argument)
{
    struct header watch;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_WATCH, &watch);
    answer_begin(&answer, &watch);
    tell_with(socket, IMMUTABLE, good_fd());
    fake_await_end(socket);
}

START_TEST(a_descriptor_that_nobody_wanted)
{
    struct fake fake;

    fake_start(&fake, tell_some_to_anybody, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    start_watch(client, NULL);
    ck_assert_int_eq(wait_for_failure(client), BAD_REPLY);
    ck_assert_uint_eq(seen.buffers, 0);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- A full table ------------------------------------------------------------------------------------------------ */

static void tell_and_obey(int socket, void *argument)
{
    struct header watch, cancel, ping;

    (void)argument;
    fake_greet(socket);
    expect(socket, SEALBUF_OP_WATCH, &watch);
    expect(socket, SEALBUF_OP_PING, &ping);
    answer_begin(&answer, &watch);
    tell_with(socket, IMMUTABLE, good_fd());
    send_nothing_else(socket, &ping);
    CHILD_CHECK(cancelled_serial(socket, &cancel) == watch.serial);
    refuse(socket, &watch, SEALBUF_ERR_CANCELLED);
    send_outcome(socket, &cancel, 0);
    fake_await_end(socket);
}

START_TEST(a_full_table_ends_a_watch)
{
    struct fake fake;

    fake_start(&fake, tell_and_obey, NULL);
    sealbuf_client *client = connect_with(&fake, 10000);
    start_watch(client, WATCH(.flags = SEALBUF_WATCH_DESCRIPTORS));
    rlim_t before = table_close();
    ck_assert_int_eq(sealbuf_ping(client), 0);
    table_open(before);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.kind[0], 0);
    ck_assert_int_eq(seen.error[0], -EMFILE);
    wait_until_answered(client);
    ck_assert_uint_eq(seen.count, 1);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_standing");

    TCase *waiting = harness_tcase(suite, "waiting");
    tcase_add_test(waiting, replies_come_out_of_order);
    tcase_add_loop_test(waiting, a_wait_outlasts_the_time_out, 0, 2);
    tcase_add_test(waiting, a_wait_that_is_given_up_is_cancelled);
    tcase_add_test(waiting, a_wait_is_cancelled);
    tcase_add_test(waiting, thousands_wait_on_one_connection);
    TCase *watching = harness_tcase(suite, "watching");
    tcase_add_test(watching, a_watch_tells);
    tcase_add_test(watching, a_watch_is_cancelled_in_its_callback);
    tcase_add_test(watching, after_its_end_a_watch_is_unknown);
    tcase_add_test(watching, a_dispatch_comes_to_an_end);
    tcase_add_test(watching, a_watch_wants_somebody_to_tell);
    tcase_add_test(watching, a_full_table_ends_a_watch);
    TCase *back = harness_tcase(suite, "coming back");
    tcase_add_test(back, both_are_set_up_anew);
    tcase_add_test(back, without_reconnecting_both_end);
    tcase_add_test(back, a_wait_ends_without_a_broker);
    TCase *lying = harness_tcase(suite, "lies");
    tcase_add_loop_test(lying, lies_to_a_watch, 0, COUNT(event_lies));
    tcase_add_test(lying, a_descriptor_that_nobody_wanted);
    return harness_run(suite);
}
