/* SPDX-License-Identifier: MIT */
/*
 * What a client notices of a broker that is killed and started again at the same path: calls that take a little longer,
 * buffers with other ids, and an error only where nobody can know what became of a request.
 */
#include <config-build.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "reconnecting.h"

static struct broker mortal;
static sealbuf_client *client;

static void start_mortal(void)
{
    broker_start(&mortal, NULL);
    client = connect_and_listen(mortal.path, 10000);
}

static int remember_name(const struct sealbuf_info *info, void *userdata)
{
    snprintf(userdata, SEALBUF_MAX_NAME + 1, "%s", info->name);
    return 1;
}

/* What a test has published would be counted as left behind. */
static void remove_names(void)
{
    char name[SEALBUF_MAX_NAME + 1];

    while (sealbuf_list(client, OPTIONS(sealbuf_list_options, .prefix = ""), remember_name, name) == 1)
        ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = name)), 0);
}

static void stop_mortal(void)
{
    remove_names();
    client = sealbuf_disconnect(client);
    broker_stop(&mortal);
}

static void restart(const char *const *arguments)
{
    broker_kill(&mortal);
    broker_start_again(&mortal, arguments);
}

static void assert_told(unsigned disconnected, unsigned reconnected, unsigned readopted, unsigned lost,
                        unsigned unknown)
{
    struct sealbuf_connection connection = connection_of(client);

    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_DISCONNECTED], disconnected);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_RECONNECTED], reconnected);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_READOPTED], readopted);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_LOST], lost);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_UNKNOWN], unknown);
    ck_assert_uint_eq(connection.disconnections, disconnected);
    ck_assert_uint_eq(connection.reconnections, reconnected);
    ck_assert_uint_eq(connection.readopted, readopted);
    ck_assert_uint_eq(connection.lost, lost);
    ck_assert_uint_eq(connection.unknown, unknown);
}

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

/* ---- What the connection held ------------------------------------------------------------------------------------ */

static const char *const metadata[] = {"kind=frame", "format=", NULL};

/* The program goes on with its buffer as if nothing had been. */
START_TEST(unpublished_buffers_are_adopted)
{
    sealbuf_buffer *filler, *buffer, *got;
    const struct sealbuf_info *info;
    void *address, *again;
    size_t size;

    ck_assert_int_eq(sealbuf_create(client, &filler, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 8192, .label = "l", .metadata = metadata)), 0);
    uint64_t former = sealbuf_buffer_id(buffer);
    ck_assert_ptr_null(sealbuf_buffer_free(filler));
    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &address, &size), 0);
    memcpy(address, "before", 6);
    restart(NULL);
    memcpy((char *)address + 4096, "after", 5);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, 1, 0, 0);
    const struct sealbuf_event *event = event_of(SEALBUF_EVENT_READOPTED);
    ck_assert_uint_eq(event->former_id, former);
    ck_assert_uint_eq(event->id, sealbuf_buffer_id(buffer));
    ck_assert_uint_ne(event->id, former);
    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &again, &size), 0);
    ck_assert_ptr_eq(address, again);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = event->id), &info), 0);
    ck_assert_str_eq(info->label, "l");
    ck_assert_str_eq(sealbuf_info_metadata(info, "kind"), "frame");
    ck_assert_str_eq(sealbuf_info_metadata(info, "format"), "");
    ck_assert_uint_eq(info->seals & exec_seal(), exec_seal());
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "n", .seals = SEALBUF_SEALS_IMMUTABLE), NULL), 0);
    ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = "n", .seals = SEALBUF_SEALS_IMMUTABLE)), 0);
    ck_assert_int_eq(sealbuf_buffer_map(got, 0, &address, &size), 0);
    ck_assert_mem_eq(address, "before", 6);
    ck_assert_mem_eq((char *)address + 4096, "after", 5);
    sealbuf_buffer_free(got);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* The call that finds the broker gone is the one that has the old id in it. */
START_TEST(a_publish_with_the_id_of_before)
{
    sealbuf_buffer *buffers[20], *got;
    struct sealbuf_publish_options options[COUNT(buffers)];
    char names[COUNT(buffers)][8];

    for (int i = 0; i < COUNT(buffers); i++) {
        ck_assert_int_eq(sealbuf_create(client, &buffers[i], CREATE(.size = (uint64_t)i)), 0);
        snprintf(names[i], sizeof(names[i]), "n%d", i);
        options[i] = *PUBLISH(.name = names[i]);
    }
    sealbuf_buffer_free(buffers[0]);
    restart(NULL);
    ck_assert_int_eq(sealbuf_publish_many(client, buffers + 1, NULL, options + 1, COUNT(buffers) - 1), 0);
    assert_told(1, 1, COUNT(buffers) - 1, 0, 0);
    for (int i = 1; i < COUNT(buffers); i++) {
        ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = names[i])), 0);
        ck_assert_uint_eq(size_of(got), (unsigned)i);
        ck_assert_uint_eq(sealbuf_buffer_id(got), sealbuf_buffer_id(buffers[i]));
        sealbuf_buffer_free(got);
        sealbuf_buffer_free(buffers[i]);
    }
}
END_TEST

START_TEST(requests_with_the_id_of_before)
{
    const struct sealbuf_info *info;
    sealbuf_buffer *buffer, *got;
    char token[SEALBUF_TOKEN_TEXT];

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 9)), 0);
    for (int i = 0; i < 5; i++) {
        uint64_t id = sealbuf_buffer_id(buffer);
        restart(NULL);
        if (i == 0) {
            ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = id), &info), 0);
            ck_assert_uint_eq(info->size, 9);
        } else if (i == 1) {
            ck_assert_int_eq(sealbuf_seal(client, id, SEALBUF_SEAL_WRITE), 0);
        } else if (i == 2) {
            ck_assert_int_eq(sealbuf_get(client, &got, GET(.id = id, .seals = SEALBUF_SEAL_WRITE)), 0);
            sealbuf_buffer_free(got);
        } else if (i == 3) {
            ck_assert_int_eq(sealbuf_share(client, OPTIONS(sealbuf_share_options, .id = id), token), 0);
        } else {
            ck_assert_int_eq(sealbuf_remove(client, TARGET(.id = id)), 0);
        }
    }
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(6, 6, 5, 0, 0); /* what was removed does not come back */
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(clones_and_readers_follow)
{
    sealbuf_buffer *buffer, *clone, *reader, *own = new_text("own", SEALBUF_SEALS_IMMUTABLE);

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_adopt(client, own, OPTIONS(sealbuf_adopt_options, .label = "own")), 0);
    ck_assert_int_eq(sealbuf_buffer_reopen(buffer, &reader), 0);
    ck_assert_int_eq(sealbuf_buffer_clone(buffer, &clone), 0);
    sealbuf_buffer_free(buffer);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, 2, 0, 0);
    ck_assert_uint_eq(sealbuf_buffer_id(clone), sealbuf_buffer_id(reader));
    ck_assert_uint_ne(sealbuf_buffer_id(clone), sealbuf_buffer_id(own));
    ck_assert_int_eq(sealbuf_publish(client, reader, PUBLISH(.name = "n"), NULL), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(2, 2, 3, 0, 0);
    sealbuf_buffer_free(clone);
    sealbuf_buffer_free(reader);
    sealbuf_buffer_free(own);
}
END_TEST

/* Its own name has gone with the broker that knew it, and so has the meaning of its id. */
START_TEST(published_buffers_are_not_the_connections)
{
    sealbuf_buffer *buffer, *got;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "n"), NULL), 0);
    ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = "n")), 0);
    uint64_t id = sealbuf_buffer_id(got);
    restart(NULL);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = id), &(const struct sealbuf_info *){NULL}),
                     -SEALBUF_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "another one"));
    assert_told(1, 1, 0, 0, 0);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 0);
    ck_assert_uint_eq(sealbuf_buffer_id(got), 0);
    /* It is adopted as a buffer that the broker does not know. */
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "n"), NULL), 0);
    ck_assert_int_eq(sealbuf_publish(client, got, PUBLISH(.name = "m"), NULL), -SEALBUF_ERR_ACCESS_MODE);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(got);
}
END_TEST

static const char *const no_buffers[] = {"--limit", "uid-buffers=1", NULL};

START_TEST(what_is_not_taken_back_stays_memory)
{
    sealbuf_buffer *first, *second;
    void *address;
    size_t size;

    ck_assert_int_eq(sealbuf_create(client, &first, CREATE(.size = 4096)), 0);
    ck_assert_int_eq(sealbuf_create(client, &second, CREATE(.size = 4096)), 0);
    uint64_t former = sealbuf_buffer_id(second);
    ck_assert_int_eq(sealbuf_buffer_map(second, SEALBUF_MAP_WRITE, &address, &size), 0);
    restart(no_buffers);
    ck_assert_int_eq(sealbuf_seal(client, former, SEALBUF_SEAL_WRITE), -SEALBUF_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "did not take back"));
    assert_told(1, 1, 1, 1, 0);
    const struct sealbuf_event *event = event_of(SEALBUF_EVENT_LOST);
    ck_assert_int_eq(event->error, -SEALBUF_ERR_LIMIT);
    ck_assert_uint_eq(event->former_id, former);
    ck_assert_ptr_nonnull(strstr(event->sentence, "uid-buffers"));
    ck_assert_uint_eq(sealbuf_buffer_id(second), 0);
    ck_assert_int_eq(sealbuf_publish_many(client, &second, NULL, PUBLISH(.name = "n"), 1), -SEALBUF_ERR_LIMIT);
    ck_assert_msg(strstr(sealbuf_error(client), "did not take this buffer back"), "'%s'", sealbuf_error(client));
    ck_assert_int_eq(sealbuf_publish(client, second, PUBLISH(.name = "n"), NULL), -SEALBUF_ERR_LIMIT);
    memcpy(address, "alive", 5);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.id = sealbuf_buffer_id(first))), 0);
    ck_assert_int_eq(sealbuf_publish(client, second, PUBLISH(.name = "n"), NULL), 0);
    ck_assert_uint_ne(sealbuf_buffer_id(second), 0);
    sealbuf_buffer_free(first);
    sealbuf_buffer_free(second);
}
END_TEST

START_TEST(a_reader_alone_is_not_taken_back)
{
    sealbuf_buffer *buffer, *reader;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_buffer_reopen(buffer, &reader), 0);
    sealbuf_buffer_free(buffer);
    restart(NULL);
    ck_assert_int_eq(sealbuf_publish(client, reader, PUBLISH(.name = "n"), NULL), -SEALBUF_ERR_ACCESS_MODE);
    assert_told(1, 1, 0, 1, 0);
    ck_assert_int_eq(event_of(SEALBUF_EVENT_LOST)->error, -SEALBUF_ERR_ACCESS_MODE);
    sealbuf_buffer_free(reader);
}
END_TEST

#define MANY 1000

/* More than a message takes, by their number or by their metadata. */
START_TEST(many_of_them)
{
    static sealbuf_buffer *buffers[MANY];
    static char big[4000];
    const char *const bulky[] = {big, NULL};
    const struct sealbuf_info *info;

    memset(big, 'x', sizeof(big) - 1);
    big[1] = '=';
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(sealbuf_create(client, &buffers[i], CREATE(.size = i, .metadata = i % 10 ? NULL : bulky)), 0);
    for (unsigned i = 0; i < MANY; i += 7)
        buffers[i] = sealbuf_buffer_free(buffers[i]);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, MANY - (MANY + 6) / 7, 0, 0);
    for (unsigned i = 0; i < MANY; i++) {
        if (!buffers[i])
            continue;
        ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = sealbuf_buffer_id(buffers[i])), &info), 0);
        ck_assert_uint_eq(info->size, i);
        ck_assert_uint_eq(info->metadata_size, i % 10 ? 0 : sizeof(big));
        sealbuf_buffer_free(buffers[i]);
    }
}
END_TEST

static void *free_and_make(void *argument)
{
    sealbuf_buffer **buffers = argument, *clone;

    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_int_eq(sealbuf_buffer_clone(buffers[i], &clone), 0);
        sealbuf_buffer_free(buffers[i]);
        sealbuf_buffer_id(clone);
        sealbuf_buffer_free(clone);
    }
    return NULL;
}

/* A buffer may be another thread's than the client is. */
START_TEST(buffers_of_other_threads)
{
    static sealbuf_buffer *buffers[MANY];
    pthread_t thread;

    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(sealbuf_create(client, &buffers[i], CREATE(.size = i)), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, free_and_make, buffers), 0);
    for (int i = 0; i < 3; i++) {
        restart(NULL);
        ck_assert_int_eq(sealbuf_ping(client), 0);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_LOST], 0);
}
END_TEST

START_TEST(buffers_outlive_the_client)
{
    sealbuf_buffer *buffer, *clone;
    sealbuf_client *other = new_client();

    ck_assert_int_eq(sealbuf_create(other, &buffer, CREATE(.size = 1)), 0);
    uint64_t id = sealbuf_buffer_id(buffer);
    sealbuf_disconnect(other);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), id);
    ck_assert_int_eq(sealbuf_buffer_clone(buffer, &clone), 0);
    ck_assert_uint_eq(sealbuf_buffer_id(clone), id);
    ck_assert_int_eq(sealbuf_adopt(client, clone, NULL), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, 1, 0, 0);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(clone);
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
    Suite *suite = suite_create("library_reconnect");
    TCase *calls = harness_tcase(suite, "calls"), *late = harness_tcase(suite, "late");
    TCase *held = harness_tcase(suite, "held"), *flight = harness_tcase(suite, "in flight");
    TCase *loop = harness_tcase(suite, "loop"), *around = harness_tcase(suite, "surroundings");

    tcase_add_checked_fixture(calls, start_mortal, stop_mortal);
    tcase_add_checked_fixture(late, start_mortal, NULL);
    tcase_add_checked_fixture(held, start_mortal, stop_mortal);
    tcase_add_checked_fixture(flight, start_mortal, stop_mortal);
    tcase_add_checked_fixture(loop, start_mortal, stop_mortal);
    tcase_add_checked_fixture(around, start_mortal, stop_mortal);
    tcase_add_test(calls, calls_go_on);
    tcase_add_test(calls, every_kind_that_can_be_repeated);
    tcase_add_test(calls, what_was_not_sent_is_sent);
    tcase_add_loop_test(late, it_waits_for_the_broker, 0, 2);
    tcase_add_test(calls, but_not_longer_than_it_may);
    tcase_add_test(held, unpublished_buffers_are_adopted);
    tcase_add_test(held, a_publish_with_the_id_of_before);
    tcase_add_test(held, requests_with_the_id_of_before);
    tcase_add_test(held, clones_and_readers_follow);
    tcase_add_test(held, published_buffers_are_not_the_connections);
    tcase_add_test(held, what_is_not_taken_back_stays_memory);
    tcase_add_test(held, a_reader_alone_is_not_taken_back);
    tcase_add_test(held, many_of_them);
    tcase_add_test(held, buffers_of_other_threads);
    tcase_add_test(held, buffers_outlive_the_client);
    tcase_add_test(flight, pending_requests_are_repeated);
    tcase_add_test(flight, more_than_the_socket_takes);
    tcase_add_test(flight, a_repeated_get_takes_nothing);
    tcase_add_test(flight, what_may_have_been_done_is_told);
    tcase_add_test(flight, callbacks_start_requests);
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
