/* SPDX-License-Identifier: MIT */
/*
 * What a client notices of a broker that is killed and started again at the same path: calls that take a little longer,
 * and an error only where nobody can know what became of a request.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "mortal.h"

/* ---- Calls that wait --------------------------------------------------------------------------------------------- */

START_TEST(calls_go_on)
{
    uint64_t before = connection_of(client).instance;

    for (unsigned i = 1; i <= 3; i++) {
        restart(NULL);
        ck_assert_int_eq(sealbuf_ping(client), 0);
        ck_assert_str_eq(sealbuf_error(client), "");
        assert_told(i, i, 0, 0, 0);
    }
    struct sealbuf_connection connection = connection_of(client);
    ck_assert_uint_eq(connection.state, SEALBUF_CONNECTION_UP);
    ck_assert_int_eq(connection.error, 0);
    ck_assert_uint_ne(connection.instance, before);
    ck_assert_uint_eq(event_of(SEALBUF_EVENT_RECONNECTED)->another, 1);
    ck_assert_int_eq(event_of(SEALBUF_EVENT_DISCONNECTED)->error, -SEALBUF_ERR_DISCONNECTED);
}
END_TEST

static int count_name(const struct sealbuf_info *info, void *userdata)
{
    (void)info;
    ++*(int *)userdata;
    return 0;
}

static int count_account(const struct sealbuf_account *account, void *userdata)
{
    (void)account;
    ++*(int *)userdata;
    return 0;
}

/* Each of them is the one that finds the broker gone. */
START_TEST(every_kind_that_can_be_repeated)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};
    sealbuf_buffer *buffer, *own = new_text("own", 0);
    const struct sealbuf_info *info;
    int names = 0, accounts = 0;

    restart(NULL);
    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 10)), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_get(client, &(sealbuf_buffer *){NULL}, GET(.name = "x")), -SEALBUF_ERR_NOT_FOUND);
    restart(NULL);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "x"), &info), -SEALBUF_ERR_NOT_FOUND);
    restart(NULL);
    ck_assert_int_eq(sealbuf_list(client, OPTIONS(sealbuf_list_options, .prefix = ""), count_name, &names), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_stats(client, &stats), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_accounts(client, NULL, count_account, &accounts), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_adopt(client, own, NULL), 0);
    ck_assert_int_eq(names, 0);
    ck_assert_int_eq(accounts, 1);
    ck_assert_uint_ne(sealbuf_buffer_id(own), 0);
    ck_assert_uint_eq(connection_of(client).unknown, 0);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(own);
}
END_TEST

/* Nothing of it has been sent, so it can be. */
START_TEST(what_was_not_sent_is_sent)
{
    sealbuf_buffer *got;
    uint64_t generation = 0;

    restart(NULL);
    ck_assert_int_eq(sealbuf_put(client, OPTIONS(sealbuf_put_options, .name = "n"), "abc", 3, &generation), 0);
    ck_assert_uint_eq(generation, 1);
    ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = "n")), 0);
    ck_assert(content_is(got, "abc", 3));
    sealbuf_buffer_free(got);
    restart(NULL);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = "n")), -SEALBUF_ERR_NOT_FOUND);
    assert_told(2, 2, 0, 0, 0);
}
END_TEST

/* The file is gone for a while, or is there and nobody listens. */
START_TEST(it_waits_for_the_broker)
{
    double before = seconds_now();

    broker_kill(&mortal);
    if (_i)
        ck_assert_int_eq(unlink(mortal.path), 0);
    broker_start_later(&mortal, 300);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    double took = seconds_now() - before;
    ck_assert_msg(took >= 0.3 && took < 5, "it took %.2f s", took);
    assert_told(1, 1, 0, 0, 0);
    sealbuf_disconnect(client);
    broker_end(&mortal, SIGKILL);
}
END_TEST

START_TEST(but_not_longer_than_it_may)
{
    sealbuf_client *hasty = connect_and_listen(mortal.path, 300);
    sealbuf_buffer *buffer;

    ck_assert_int_eq(sealbuf_create(hasty, &buffer, CREATE(.size = 1)), 0);
    broker_kill(&mortal);
    for (int i = 0; i < 2; i++) {
        double before = seconds_now();
        int r = i ? sealbuf_publish(hasty, buffer, PUBLISH(.name = "late"), NULL) : sealbuf_ping(hasty);
        double took = seconds_now() - before;
        ck_assert_int_eq(r, -SEALBUF_ERR_DISCONNECTED);
        ck_assert_msg(took > 0.25 && took < 3, "a time-out of 0.3 s took %.2f s", took);
        ck_assert_ptr_nonnull(strstr(sealbuf_error(hasty), "no broker answers"));
        ck_assert_ptr_null(strstr(sealbuf_error(hasty), "unknown"));
    }
    ck_assert_uint_eq(connection_of(hasty).state, SEALBUF_CONNECTION_AWAY);
    ck_assert_int_eq(connection_of(hasty).error, -SEALBUF_ERR_UNREACHABLE);
    ck_assert_uint_eq(sealbuf_pending(hasty), 0);
    broker_start_again(&mortal, NULL);
    /* It is not carried out afterwards. */
    ck_assert_int_eq(sealbuf_get(hasty, &(sealbuf_buffer *){NULL}, GET(.name = "late")), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_publish(hasty, buffer, PUBLISH(.name = "late"), NULL), 0);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(hasty);
}
END_TEST

/* ---- In flight --------------------------------------------------------------------------------------------------- */

static void start_some(unsigned count, sealbuf_buffer *own)
{
    for (unsigned i = 0; i < count; i++) {
        int serial = i % 3 == 0   ? sealbuf_start_ping(client, note_reply, numbered(i))
                     : i % 3 == 1 ? sealbuf_start_create(client, CREATE(.size = i), 1, note_reply, numbered(i))
                     : i == 2     ? sealbuf_start_adopt(client, own, NULL, note_reply, numbered(i))
                                  : sealbuf_start_stat(client, TARGET(.name = "x"), 1, note_reply, numbered(i));
        ck_assert_int_gt(serial, 0);
    }
}

static void assert_answered_in_order(unsigned count)
{
    ck_assert_uint_eq(replies.count, count);
    for (unsigned i = 0; i < count; i++) {
        int expected = i % 3 == 2 && i != 2 ? -SEALBUF_ERR_NOT_FOUND : 0;
        ck_assert_uint_eq(replies.number[i], i);
        ck_assert_msg(replies.status[i] == expected, "request %u: %s", i, sealbuf_error_name(replies.status[i]));
    }
}

START_TEST(pending_requests_are_repeated)
{
    sealbuf_buffer *own = new_text("own", 0);

    ck_assert_int_eq(kill(mortal.pid, SIGSTOP), 0);
    start_some(60, own);
    sealbuf_start_create(client, CREATE(.size = 1), 1, NULL, NULL); /* nobody wants to know */
    restart(NULL);
    wait_until_answered(client);
    assert_answered_in_order(60);
    ck_assert_uint_ne(sealbuf_buffer_id(own), 0);
    assert_told(1, 1, 0, 0, 0);
    sealbuf_buffer_free(own);
}
END_TEST

/* More than the socket takes: what was sent and what was not come in their order. */
START_TEST(more_than_the_socket_takes)
{
    sealbuf_buffer *own = new_text("own", 0);

    ck_assert_int_eq(kill(mortal.pid, SIGSTOP), 0);
    start_some(REPLIES_AT_MOST, own);
    ck_assert_int_eq(sealbuf_events(client), POLLIN | POLLOUT);
    restart(NULL);
    wait_until_answered(client);
    assert_answered_in_order(REPLIES_AT_MOST);
    sealbuf_buffer_free(own);
}
END_TEST

/* Those that may have been carried out end, in their order; the others are answered. */
START_TEST(what_may_have_been_done_is_told)
{
    sealbuf_buffer *buffer;
    int publish, remove;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(kill(mortal.pid, SIGSTOP), 0);
    sealbuf_start_ping(client, note_reply, numbered(0));
    publish = sealbuf_start_publish(client, &buffer, PUBLISH(.name = "n"), 1, note_reply, numbered(1));
    sealbuf_start_ping(client, note_reply, numbered(2));
    remove = sealbuf_start_remove(client, TARGET(.name = "m"), 1, NULL, NULL);
    restart(NULL);
    wait_until_answered(client);
    ck_assert_uint_eq(replies.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(replies.number[i], i);
        ck_assert_int_eq(replies.status[i], i == 1 ? -SEALBUF_ERR_DISCONNECTED : 0);
    }
    assert_told(1, 1, 1, 0, 2);
    const struct sealbuf_event *event = event_of(SEALBUF_EVENT_UNKNOWN);
    ck_assert_int_eq(event->serial, publish);
    ck_assert_uint_eq(event->opcode, SEALBUF_OP_PUBLISH);
    ck_assert_ptr_nonnull(strstr(event->sentence, "unknown"));
    ck_assert_int_gt(remove, publish);
    sealbuf_buffer_free(buffer);
}
END_TEST

static void publish_to_take(const char *text)
{
    sealbuf_client *other = connect_and_listen(mortal.path, 10000);
    sealbuf_buffer *buffer = new_text(text, 0);

    ck_assert_int_eq(sealbuf_adopt(other, buffer, NULL), 0);
    ck_assert_int_eq(
        sealbuf_publish(other, buffer, PUBLISH(.name = "work", .mode = 0600, .flags = SEALBUF_PUBLISH_TAKE), NULL), 0);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(other);
}

static void note_record(sealbuf_client *of, sealbuf_reply *reply, void *userdata)
{
    (void)of;
    *(int *)userdata = sealbuf_reply_record_status(reply, 0);
}

/* The first one may have been carried out, and its reply lost; what was bound since is for a GET that is made anew. */
START_TEST(a_repeated_get_takes_nothing)
{
    const struct sealbuf_get_options *work = GET(.name = "work");
    sealbuf_buffer *buffer;
    int status = 0;

    publish_to_take("one");
    ck_assert_int_eq(kill(mortal.pid, SIGSTOP), 0);
    ck_assert_int_gt(sealbuf_start_get(client, work, 1, note_record, &status), 0);
    restart(NULL);
    publish_to_take("another");
    wait_until_answered(client);
    ck_assert_int_eq(status, -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_get(client, &buffer, work), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

static void start_more(sealbuf_client *of, sealbuf_reply *reply, void *userdata)
{
    unsigned i = *(unsigned *)userdata;

    note_reply(of, reply, userdata);
    if (i < 9)
        ck_assert_int_gt(sealbuf_start_ping(of, start_more, numbered(i + 1)), 0);
}

static void start_at_events(sealbuf_client *of, const struct sealbuf_event *event, void *userdata)
{
    note_event(of, event, userdata);
    ck_assert_int_gt(sealbuf_start_ping(of, start_more, numbered(9)), 0);
}

START_TEST(callbacks_start_requests)
{
    sealbuf_buffer *buffer;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(kill(mortal.pid, SIGSTOP), 0);
    sealbuf_on_event(client, start_at_events, &told);
    sealbuf_start_ping(client, start_more, numbered(0));
    restart(NULL);
    wait_until_answered(client);
    ck_assert_uint_eq(replies.count, 10 + told.count);
    for (unsigned i = 0; i < replies.count; i++)
        ck_assert_int_eq(replies.status[i], 0);
    assert_told(1, 1, 1, 0, 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_reconnect");
    TCase *calls = harness_tcase(suite, "calls"), *late = harness_tcase(suite, "late"),
          *flight = harness_tcase(suite, "in flight");

    tcase_add_checked_fixture(calls, start_mortal, stop_mortal);
    tcase_add_checked_fixture(late, start_mortal, NULL);
    tcase_add_checked_fixture(flight, start_mortal, stop_mortal);
    tcase_add_test(calls, calls_go_on);
    tcase_add_test(calls, every_kind_that_can_be_repeated);
    tcase_add_test(calls, what_was_not_sent_is_sent);
    tcase_add_loop_test(late, it_waits_for_the_broker, 0, 2);
    tcase_add_test(calls, but_not_longer_than_it_may);
    tcase_add_test(flight, pending_requests_are_repeated);
    tcase_add_test(flight, more_than_the_socket_takes);
    tcase_add_test(flight, a_repeated_get_takes_nothing);
    tcase_add_test(flight, what_may_have_been_done_is_told);
    tcase_add_test(flight, callbacks_start_requests);
    return harness_run(suite);
}
