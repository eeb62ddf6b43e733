/* SPDX-License-Identifier: MIT */
/* The asynchronous core: many requests in flight, callbacks in their order, and what happens when it ends too early. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

#define CREATE(...) OPTIONS(sealbuf_create_options, __VA_ARGS__)
#define GET(...)    OPTIONS(sealbuf_get_options, __VA_ARGS__)
#define TARGET(...) OPTIONS(sealbuf_target, __VA_ARGS__)
#define MANY        2000

static sealbuf_client *client;

static void connect_client(void)
{
    client = new_client();
}

static void disconnect_client(void)
{
    client = sealbuf_disconnect(client);
}

/* What the callbacks have seen, in order. */
static struct {
    unsigned count;
    int status[MANY];
    unsigned number[MANY];
} seen;

static unsigned number_of[MANY]; /* userdata: points to its own number */

static void note(sealbuf_client *of, sealbuf_reply *reply, void *userdata)
{
    ck_assert_ptr_eq(of, client);
    ck_assert_uint_lt(seen.count, MANY);
    seen.number[seen.count] = *(unsigned *)userdata;
    seen.status[seen.count++] = sealbuf_reply_status(reply);
}

static void *number(unsigned i)
{
    number_of[i] = i;
    return &number_of[i];
}

static void wait_for_all(void)
{
    for (int i = 0; i < 10000 && sealbuf_pending(client); i++)
        ck_assert_int_ge(sealbuf_wait(client, 1000), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
}

static void assert_all_seen_in_order(unsigned count, int status)
{
    ck_assert_uint_eq(seen.count, count);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_eq(seen.number[i], i);
        ck_assert_msg(seen.status[i] == status, "request %u: %s", i, sealbuf_error_name(seen.status[i]));
    }
}

/* ---- In flight --------------------------------------------------------------------------------------------------- */

/* More than the socket holds: what does not fit waits in the client, nothing is lost, nothing is overtaken. */
START_TEST(many_pings_in_order)
{
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_gt(sealbuf_start_ping(client, note, number(i)), 0);
    ck_assert_uint_eq(sealbuf_pending(client), MANY);
    wait_for_all();
    assert_all_seen_in_order(MANY, 0);
    ck_assert_int_eq(sealbuf_events(client), POLLIN);
}
END_TEST

static sealbuf_buffer *taken[2];

static void take(sealbuf_client *of, sealbuf_reply *reply, void *userdata)
{
    note(of, reply, userdata);
    ck_assert_uint_eq(sealbuf_reply_count(reply), 3);
    ck_assert_int_eq(sealbuf_reply_record_status(reply, 0), 0);
    ck_assert_int_eq(sealbuf_reply_record_status(reply, 1), -SEALBUF_ERR_SIZE);
    ck_assert_int_eq(sealbuf_reply_record_status(reply, 2), 0);
    ck_assert_str_eq(sealbuf_reply_record_error(reply, 0), "");
    ck_assert_str_ne(sealbuf_reply_record_error(reply, 1), "");
    ck_assert_uint_eq(sealbuf_reply_info(reply, 2)->size, 20);
    ck_assert_ptr_null(sealbuf_reply_info(reply, 3));
    ck_assert_ptr_null(sealbuf_reply_take_buffer(reply, 1));
    ck_assert_ptr_null(sealbuf_reply_take_buffer(reply, 99));
    taken[0] = sealbuf_reply_take_buffer(reply, 0);
    ck_assert_ptr_nonnull(taken[0]);
    ck_assert_ptr_null(sealbuf_reply_take_buffer(reply, 0));
    /* The third is not taken: its descriptor must be closed. */
}

START_TEST(replies_hand_over_what_is_taken)
{
    struct sealbuf_create_options options[] = {*CREATE(.size = 10), *CREATE(.size = INT64_MAX), *CREATE(.size = 20)};

    ck_assert_int_gt(sealbuf_start_create(client, options, 3, take, number(0)), 0);
    wait_for_all();
    assert_all_seen_in_order(1, -SEALBUF_ERR_SIZE);
    ck_assert_uint_eq(size_of(taken[0]), 10);
    sealbuf_buffer_free(taken[0]);
}
END_TEST

/* Every kind of request, one behind the other, none waited for. */
START_TEST(all_kinds_in_a_row)
{
    sealbuf_buffer *buffer = NULL, *own = new_text("own", SEALBUF_SEALS_IMMUTABLE);
    const struct sealbuf_info *info;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 10)), 0);
    uint64_t id = sealbuf_buffer_id(buffer);
    int serials[7], n = 0;

    serials[n++] = sealbuf_start_adopt(client, own, NULL, note, number(0));
    serials[n++] = sealbuf_start_seal(client, id, SEALBUF_SEAL_WRITE, note, number(1));
    serials[n++] =
        sealbuf_start_publish(client, &buffer, OPTIONS(sealbuf_publish_options, .name = "a"), 1, note, number(2));
    serials[n++] = sealbuf_start_get(client, GET(.name = "a", .seals = SEALBUF_SEALS_IMMUTABLE), 1, note, number(3));
    serials[n++] = sealbuf_start_stat(client, TARGET(.name = "a"), 1, note, number(4));
    serials[n++] = sealbuf_start_ping(client, note, number(5));
    serials[n++] = sealbuf_start_remove(client, TARGET(.name = "a"), 1, note, number(6));
    for (int i = 0; i < COUNT(serials); i++) {
        ck_assert_int_gt(serials[i], 0);
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(serials[i], serials[j]);
    }
    ck_assert_uint_eq(sealbuf_buffer_id(own), 0);
    wait_for_all();
    assert_all_seen_in_order((unsigned)n, 0);
    ck_assert_uint_ne(sealbuf_buffer_id(own), 0);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), -SEALBUF_ERR_NOT_FOUND);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(own);
}
END_TEST

START_TEST(nothing_is_queued_where_it_fails)
{
    ck_assert_int_lt(sealbuf_start_create(client, CREATE(.flags = 0x10), 1, note, number(0)), 0);
    ck_assert_int_lt(sealbuf_start_create(client, NULL, 0, note, number(0)), 0);
    ck_assert_int_lt(sealbuf_start_create(client, CREATE(.size = 1), SEALBUF_MAX_RECORDS + 1, note, number(0)), 0);
    ck_assert_int_lt(sealbuf_start_get(client, &(struct sealbuf_get_options){.struct_size = 1}, 1, note, number(0)), 0);
    ck_assert_int_lt(sealbuf_start_remove(client, TARGET(.name = "x", .flags = 2), 1, note, number(0)), 0);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(seen.count, 0);
}
END_TEST

START_TEST(a_call_that_waits_runs_the_callbacks)
{
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_gt(sealbuf_start_ping(client, note, number(i)), 0);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_all_seen_in_order(10, 0);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
}
END_TEST

START_TEST(cancelled_is_not_called)
{
    sealbuf_buffer *got;
    int serials[6];

    for (unsigned i = 0; i < 3; i++)
        serials[i] = sealbuf_start_create(client, CREATE(.size = i), 1, note, number(i));
    serials[3] = sealbuf_start_ping(client, NULL, NULL);
    ck_assert_int_eq(sealbuf_cancel(client, serials[1]), 0);
    ck_assert_int_eq(sealbuf_cancel(client, serials[1]), -ENOENT);
    ck_assert_int_eq(sealbuf_cancel(client, 0), -ENOENT);
    ck_assert_int_eq(sealbuf_cancel(client, -1), -ENOENT);
    ck_assert_int_eq(sealbuf_cancel(client, serials[3] + 1), -ENOENT);
    wait_for_all(); /* the descriptors of what nobody took are counted by the harness */
    ck_assert_uint_eq(seen.count, 2);
    ck_assert(seen.number[0] == 0 && seen.number[1] == 2);
    ck_assert_int_eq(sealbuf_cancel(client, serials[0]), -ENOENT);
    /* It is carried out all the same. */
    int put = sealbuf_put(client, OPTIONS(sealbuf_put_options, .name = "gone"), "x", 1, NULL);
    ck_assert_int_eq(put, 0);
    ck_assert_int_eq(sealbuf_cancel(client, sealbuf_start_remove(client, TARGET(.name = "gone"), 1, note, number(4))),
                     0);
    ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = "gone")), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_uint_eq(seen.count, 2);
}
END_TEST

static void start_another(sealbuf_client *of, sealbuf_reply *reply, void *userdata)
{
    unsigned i = *(unsigned *)userdata;

    note(of, reply, userdata);
    if (i < 9)
        ck_assert_int_gt(sealbuf_start_ping(of, start_another, number(i + 1)), 0);
}

START_TEST(callbacks_may_start_requests)
{
    ck_assert_int_gt(sealbuf_start_ping(client, start_another, number(0)), 0);
    wait_for_all();
    assert_all_seen_in_order(10, 0);
}
END_TEST

START_TEST(in_somebodys_loop)
{
    unsigned started = 0, turns = 0;

    while (seen.count < 500 && turns++ < 100000) {
        struct pollfd waited = {.fd = sealbuf_fd(client), .events = (short)sealbuf_events(client)};
        if (started < 500)
            ck_assert_int_gt(sealbuf_start_ping(client, note, number(started++)), 0);
        if (poll(&waited, 1, started < 500 ? 0 : 5000) > 0)
            ck_assert_int_ge(sealbuf_dispatch(client), 0);
    }
    assert_all_seen_in_order(500, 0);
    ck_assert_int_eq(sealbuf_dispatch(client), 0);
    ck_assert_int_eq(sealbuf_wait(client, 0), 0);
}
END_TEST

START_TEST(disconnect_forgets_them)
{
    sealbuf_client *other = new_client(), *before = client;

    client = other;
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_gt(sealbuf_start_create(client, CREATE(.size = i), 1, note, number(i)), 0);
    sealbuf_disconnect(other);
    client = before;
    ck_assert_uint_eq(seen.count, 0);
}
END_TEST

/* ---- The end of the broker, where it is the end of the connection; else: library_reconnect.c --------------------- */

static struct broker mortal;

static void start_mortal(void)
{
    broker_start(&mortal, NULL);
    int r = sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .flags = SEALBUF_CONNECT_NO_RECONNECT));
    ck_assert_msg(r == 0, "connect: %s", sealbuf_strerror(r));
}

/* iceoryx #2179, iceoryx #1840: applications waited for ever after the end of the broker. */
START_TEST(all_are_told_when_the_broker_dies)
{
    sealbuf_buffer *buffer;

    ck_assert_int_eq(kill(mortal.pid, SIGSTOP), 0);
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_gt(i % 2 ? sealbuf_start_ping(client, note, number(i))
                               : sealbuf_start_create(client, CREATE(.size = i), 1, note, number(i)),
                         0);
    ck_assert_int_eq(broker_end(&mortal, SIGKILL), SIGKILL);
    int r = wait_for_failure(client);
    ck_assert_int_eq(r, -SEALBUF_ERR_DISCONNECTED);
    assert_all_seen_in_order(50, -SEALBUF_ERR_DISCONNECTED);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
    ck_assert_int_eq(sealbuf_ping(client), -SEALBUF_ERR_DISCONNECTED);
    ck_assert_str_ne(sealbuf_error(client), "");
    ck_assert_int_eq(sealbuf_create(client, &buffer, NULL), -SEALBUF_ERR_DISCONNECTED);
    ck_assert_int_eq(sealbuf_start_ping(client, note, number(51)), -SEALBUF_ERR_DISCONNECTED);
    ck_assert_int_eq(sealbuf_dispatch(client), -SEALBUF_ERR_DISCONNECTED);
    ck_assert_uint_eq(seen.count, 50);
}
END_TEST

/* iceoryx #2179, iceoryx #1840: applications waited for ever after the end of the broker. */
START_TEST(idle_clients_notice_too)
{
    ck_assert_int_eq(broker_end(&mortal, SIGKILL), SIGKILL);
    ck_assert_int_eq(sealbuf_wait(client, 5000), -SEALBUF_ERR_DISCONNECTED);
    ck_assert_int_eq(sealbuf_ping(client), -SEALBUF_ERR_DISCONNECTED);
}
END_TEST

/* The kernel counts the references: what one has outlives who made it. iceoryx #1840 once more. */
START_TEST(mappings_outlive_the_broker)
{
    sealbuf_buffer *writer, *reader;
    void *written, *read;
    size_t size;

    ck_assert_int_eq(sealbuf_create(client, &writer, CREATE(.size = 8192)), 0);
    ck_assert_int_eq(sealbuf_get(client, &reader, GET(.id = sealbuf_buffer_id(writer))), 0);
    ck_assert_int_eq(sealbuf_buffer_map(writer, SEALBUF_MAP_WRITE, &written, &size), 0);
    ck_assert_int_eq(sealbuf_buffer_map(reader, 0, &read, &size), 0);
    ck_assert_int_eq(broker_end(&mortal, SIGKILL), SIGKILL);
    memcpy((char *)written + 4096, "alive", 5);
    ck_assert_mem_eq((char *)read + 4096, "alive", 5);
    ck_assert_int_eq(sealbuf_buffer_seal(writer, SEALBUF_SEAL_WRITE), 0);
    ck_assert_int_eq(sealbuf_publish(client, writer, OPTIONS(sealbuf_publish_options, .name = "n"), NULL),
                     -SEALBUF_ERR_DISCONNECTED);
    ck_assert_mem_eq((char *)read + 4096, "alive", 5);
    sealbuf_buffer_free(writer);
    sealbuf_buffer_free(reader);
}
END_TEST

START_TEST(a_broker_that_stops_is_no_riddle)
{
    ck_assert_int_gt(sealbuf_start_ping(client, note, number(0)), 0);
    ck_assert_int_eq(broker_end(&mortal, SIGTERM), 0);
    int r = wait_for_failure(client);
    ck_assert(r == -SEALBUF_ERR_DISCONNECTED || r == -SEALBUF_ERR_STOPPING);
    ck_assert_uint_eq(seen.count, 1);
}
END_TEST

/* ---- The end of the table ---------------------------------------------------------------------------------------- */

START_TEST(a_full_table_costs_only_the_buffers)
{
    struct sealbuf_create_options options[20];
    sealbuf_buffer *buffers[20], *buffer = NULL;
    unsigned before = descriptors_open();

    for (unsigned i = 0; i < 20; i++)
        options[i] = *CREATE(.size = i);
    for (int round = 0; round < 20; round++) {
        rlim_t limit = table_close();
        int one = sealbuf_create(client, &buffer, NULL);
        int many = sealbuf_create_many(client, buffers, NULL, options, 20);
        int ping = sealbuf_ping(client);
        table_open(limit);
        ck_assert_int_eq(one, -EMFILE);
        ck_assert_int_eq(many, -EMFILE);
        ck_assert_int_eq(ping, 0);
        ck_assert_ptr_null(buffer);
        for (unsigned i = 0; i < 20; i++)
            ck_assert_ptr_null(buffers[i]);
        ck_assert_uint_eq(descriptors_open(), before);
    }
    ck_assert_int_eq(sealbuf_create_many(client, buffers, NULL, options, 20), 0);
    for (unsigned i = 0; i < 20; i++)
        sealbuf_buffer_free(buffers[i]);
}
END_TEST

/* Room for some of them: those that the kernel has installed must not stay. */
START_TEST(a_table_with_room_for_some)
{
    struct sealbuf_create_options options[20];
    sealbuf_buffer *buffers[20];
    unsigned before = descriptors_open();

    for (unsigned i = 0; i < 20; i++)
        options[i] = *CREATE(.size = i);
    rlim_t limit = table_close(), room = 7;
    struct rlimit low = {.rlim_max = limit};
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &low), 0);
    low.rlim_cur += room;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    int r = sealbuf_create_many(client, buffers, NULL, options, 20);
    unsigned after = descriptors_open();
    table_open(limit);
    ck_assert_int_eq(r, -EMFILE);
    ck_assert_uint_eq(after, before);
    ck_assert_int_eq(sealbuf_ping(client), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_async");
    TCase *flight = harness_tcase_with_broker(suite, "in flight"), *end = harness_tcase(suite, "end");
    TCase *table = harness_tcase_with_broker(suite, "table");

    tcase_add_checked_fixture(flight, connect_client, disconnect_client);
    tcase_add_checked_fixture(end, start_mortal, disconnect_client);
    tcase_add_checked_fixture(table, connect_client, disconnect_client);
    tcase_add_test(flight, many_pings_in_order);
    tcase_add_test(flight, replies_hand_over_what_is_taken);
    tcase_add_test(flight, all_kinds_in_a_row);
    tcase_add_test(flight, nothing_is_queued_where_it_fails);
    tcase_add_test(flight, a_call_that_waits_runs_the_callbacks);
    tcase_add_test(flight, cancelled_is_not_called);
    tcase_add_test(flight, callbacks_may_start_requests);
    tcase_add_test(flight, in_somebodys_loop);
    tcase_add_test(flight, disconnect_forgets_them);
    tcase_add_test(end, all_are_told_when_the_broker_dies);
    tcase_add_test(end, idle_clients_notice_too);
    tcase_add_test(end, mappings_outlive_the_broker);
    tcase_add_test(end, a_broker_that_stops_is_no_riddle);
    tcase_add_test(table, a_full_table_costs_only_the_buffers);
    tcase_add_test(table, a_table_with_room_for_some);
    return harness_run(suite);
}
