/* SPDX-License-Identifier: MIT */
/* Names whose content changes: generations, history, comparison, leases, and who waits for them; with the broker. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "reconnecting.h"

#define PUT(...)  OPTIONS(sealbuf_put_options, __VA_ARGS__)
#define IMMUTABLE SEALBUF_SEALS_IMMUTABLE

static sealbuf_client *client, *other;

static void connect_both(void)
{
    client = new_client();
    other = connect_and_listen(NULL, 10000);
}

static int remember_name(const struct sealbuf_info *info, void *userdata)
{
    snprintf(userdata, SEALBUF_MAX_NAME + 1, "%s", info->name);
    return 1;
}

static void disconnect_both(void)
{
    char name[SEALBUF_MAX_NAME + 1];

    other = sealbuf_disconnect(other);
    while (sealbuf_list(client, NULL, remember_name, name) == 1)
        ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = name)), 0);
    client = sealbuf_disconnect(client);
}

/* Its content is its generation, as a digit. */
static void put(const char *name, uint32_t keep, uint64_t generation)
{
    char digit = (char)('0' + generation % 10);
    uint64_t got = 0;
    int r = sealbuf_put(client, PUT(.name = name, .flags = SEALBUF_PUBLISH_REPLACE, .keep = keep), &digit, 1, &got);

    ck_assert_msg(r == 0, "put: %s", sealbuf_error(client));
    ck_assert_uint_eq(got, generation);
}

/* What is got is this generation. */
static void check_and_free(sealbuf_buffer *buffer, uint64_t generation)
{
    char digit = (char)('0' + generation % 10);

    ck_assert_uint_eq(sealbuf_buffer_info(buffer)->generation, generation);
    ck_assert(content_is(buffer, &digit, 1));
    sealbuf_buffer_free(buffer);
}

static int get(const struct sealbuf_get_options *options, uint64_t generation)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_get(client, &buffer, options);

    if (r == 0)
        check_and_free(buffer, generation);
    return r;
}

/* ---- Generations ------------------------------------------------------------------------------------------------- */

START_TEST(history)
{
    const struct sealbuf_info *info;

    for (uint64_t generation = 1; generation <= 6; generation++)
        put("a", 3, generation);
    ck_assert_int_eq(get(GET(.name = "a"), 6), 0);
    for (uint64_t generation = 3; generation <= 6; generation++)
        ck_assert_int_eq(get(GET(.name = "a", .generation = generation), generation), 0);
    ck_assert_int_eq(get(GET(.name = "a", .generation = 2), 2), -SEALBUF_ERR_GENERATION);
    ck_assert_int_eq(get(GET(.name = "a", .generation = 7), 7), -SEALBUF_ERR_GENERATION);
    ck_assert_int_eq(get(GET(.name = "a", .newer_than = 5), 6), 0);
    ck_assert_int_eq(get(GET(.name = "a", .newer_than = 6), 7), -SEALBUF_ERR_GENERATION);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), 0);
    ck_assert_uint_eq(info->generation, 6);
    ck_assert_uint_eq(info->oldest, 3);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a", .generation = 4), &info), 0);
    ck_assert_uint_eq(info->generation, 4);
    ck_assert_int_eq(sealbuf_put(client, PUT(.name = "b", .keep = SEALBUF_MAX_KEEP + 1), "x", 1, NULL),
                     -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_put(client, PUT(.name = "b", .reserved = 1), "x", 1, NULL), -EINVAL);
}
END_TEST

START_TEST(comparison)
{
    uint64_t generation = 99;

    ck_assert_int_eq(
        sealbuf_put(client, PUT(.name = "a", .flags = SEALBUF_PUBLISH_COMPARE, .expected = 1), "x", 1, &generation),
        -SEALBUF_ERR_GENERATION);
    ck_assert_uint_eq(generation, 0);
    ck_assert_int_eq(sealbuf_put(client, PUT(.name = "a", .flags = SEALBUF_PUBLISH_COMPARE), "1", 1, &generation), 0);
    ck_assert_uint_eq(generation, 1);
    ck_assert_int_eq(
        sealbuf_put(client, PUT(.name = "a", .flags = SEALBUF_PUBLISH_COMPARE, .expected = 1), "2", 1, &generation), 0);
    ck_assert_uint_eq(generation, 2);
    ck_assert_int_eq(
        sealbuf_put(client, PUT(.name = "a", .flags = SEALBUF_PUBLISH_COMPARE, .expected = 1), "3", 1, &generation),
        -SEALBUF_ERR_GENERATION);
    ck_assert_uint_eq(generation, 2);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "2"));
    generation = 99;
    ck_assert_int_eq(
        sealbuf_put(client, PUT(.name = "a", .flags = SEALBUF_PUBLISH_COMPARE | SEALBUF_PUBLISH_ATOMIC, .expected = 1),
                    "3", 1, &generation),
        -SEALBUF_ERR_GENERATION);
    ck_assert_uint_eq(generation, 2);
    ck_assert_int_eq(
        sealbuf_put(client,
                    PUT(.name = "none", .flags = SEALBUF_PUBLISH_COMPARE | SEALBUF_PUBLISH_ATOMIC, .expected = 1), "3",
                    1, &generation),
        -SEALBUF_ERR_GENERATION);
    ck_assert_uint_eq(generation, 0);
    ck_assert_int_eq(get(GET(.name = "a"), 2), 0);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = "a", .generation = 1)), -SEALBUF_ERR_GENERATION);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = "a", .generation = 2)), 0);
}
END_TEST

/* Two who count up one number, each by comparing: none of their steps is lost. */
START_TEST(producers_race)
{
    sealbuf_client *each[] = {client, other};
    uint64_t at[2] = {0, 0}, won[2] = {0, 0};

    for (unsigned i = 0; i < 200; i++) {
        unsigned who = i % 3 == 0;
        int r = sealbuf_put(each[who], PUT(.name = "a", .flags = SEALBUF_PUBLISH_COMPARE, .expected = at[who]), "x", 1,
                            &at[who]);
        ck_assert(r == 0 || r == -SEALBUF_ERR_GENERATION);
        won[who] += r == 0;
    }
    const struct sealbuf_info *info;
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), 0);
    ck_assert_uint_eq(info->generation, won[0] + won[1]);
}
END_TEST

START_TEST(metadata_with_the_publication)
{
    static const char *const first[] = {"shape=3x4", "type=float", NULL}, *const second[] = {"shape=4x3", NULL};
    sealbuf_buffer *buffer = NULL;
    const struct sealbuf_info *info;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 4)), 0);
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "a", .metadata = first), NULL), 0);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), 0);
    ck_assert_str_eq(sealbuf_info_metadata(info, "shape"), "3x4");
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "b", .metadata = second), NULL),
                     -SEALBUF_ERR_METADATA);
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "b"), NULL), 0);
    sealbuf_buffer_free(buffer);
}
END_TEST

static int find_shape(const struct sealbuf_info *info, void *userdata)
{
    const char *shape = sealbuf_info_metadata(info, "shape");

    *(unsigned *)userdata += shape && strcmp(shape, "3x4") == 0;
    return 0;
}

START_TEST(lists_with_metadata)
{
    static const char *const metadata[] = {"shape=3x4", NULL};
    unsigned found = 0;

    ck_assert_int_eq(sealbuf_put(client, PUT(.name = "a", .metadata = metadata), "x", 1, NULL), 0);
    ck_assert_int_eq(sealbuf_list(client, NULL, find_shape, &found), 0);
    ck_assert_uint_eq(found, 0);
    ck_assert_int_eq(
        sealbuf_list(client, OPTIONS(sealbuf_list_options, .flags = SEALBUF_LIST_DETAILS), find_shape, &found), 0);
    ck_assert_uint_eq(found, 1);
}
END_TEST

/* ---- Leases ------------------------------------------------------------------------------------------------------ */

START_TEST(leases)
{
    const struct sealbuf_info *info;

    ck_assert_int_eq(sealbuf_put(client, PUT(.name = "a", .expire_ms = 60000), "1", 1, NULL), 0);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), 0);
    ck_assert_uint_gt(info->expire_ms, 0);
    ck_assert_uint_le(info->expire_ms, 60000);
    ck_assert_int_eq(sealbuf_touch(client, TARGET(.name = "a"), 0), 0);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), 0);
    ck_assert_uint_eq(info->expire_ms, 0);
    ck_assert_int_eq(sealbuf_touch(client, TARGET(.name = "a"), 1), 0);
    usleep(50000);
    ck_assert_int_eq(get(GET(.name = "a"), 1), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_touch(client, TARGET(.name = "a"), 1000), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_touch(client, TARGET(.id = 1), 1000), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_touch(client, TARGET(.name = "a", .generation = 1), 1000), -SEALBUF_ERR_FLAGS);
    ck_assert_msg(strstr(sealbuf_error(client), "leave the generation 0") != NULL, "%s", sealbuf_error(client));
    ck_assert_int_eq(sealbuf_touch(client, TARGET(.name = "a", .flags = SEALBUF_REMOVE_ATOMIC), 1000),
                     -SEALBUF_ERR_FLAGS);
    ck_assert_msg(strstr(sealbuf_error(client), "generation") == NULL, "%s", sealbuf_error(client));
}
END_TEST

START_TEST(touches_many)
{
    put("a", 0, 1);
    put("b", 0, 1);
    struct sealbuf_target targets[] = {*TARGET(.name = "a"), *TARGET(.name = "x"), *TARGET(.name = "b")};
    ck_assert_int_gt(sealbuf_start_touch(other, targets, 3, 60000, note_reply, numbered(1)), 0);
    wait_until_answered(other);
    ck_assert_int_eq(replies.status[0], -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_start_touch(other, targets, 0, 60000, note_reply, numbered(1)), -EINVAL);
}
END_TEST

START_TEST(until_the_connection_ends)
{
    ck_assert_int_eq(sealbuf_put(other, PUT(.name = "a", .flags = SEALBUF_PUBLISH_UNTIL_CLOSE), "1", 1, NULL), 0);
    ck_assert_int_eq(get(GET(.name = "a"), 1), 0);
    other = sealbuf_disconnect(other);
    for (int i = 0; i < 500 && get(GET(.name = "a"), 1) == 0; i++)
        usleep(10000);
    ck_assert_int_eq(get(GET(.name = "a"), 1), -SEALBUF_ERR_NOT_FOUND);
}
END_TEST

/* ---- Many -------------------------------------------------------------------------------------------------------- */

START_TEST(removes_many)
{
    int status[3] = {77, 77, 77};

    put("a", 0, 1);
    put("b", 0, 1);
    struct sealbuf_target targets[] = {*TARGET(.name = "a"), *TARGET(.name = "x"), *TARGET(.name = "b")};
    for (unsigned i = 0; i < 3; i++)
        targets[i].flags = SEALBUF_REMOVE_ATOMIC;
    ck_assert_int_eq(sealbuf_remove_many(client, status, targets, 3), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(get(GET(.name = "a"), 1), 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(status[i], -SEALBUF_ERR_NOT_FOUND);
    for (unsigned i = 0; i < 3; i++)
        targets[i].flags = 0;
    ck_assert_int_eq(sealbuf_remove_many(client, status, targets, 3), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(status[0], 0);
    ck_assert_int_eq(status[1], -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(status[2], 0);
    ck_assert_int_eq(get(GET(.name = "b"), 1), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_remove_many(client, NULL, targets, 0), -EINVAL);
}
END_TEST

START_TEST(publishes_all_or_none)
{
    sealbuf_buffer *buffers[2] = {NULL, NULL};
    struct sealbuf_publish_options options[2];
    int status[2];

    put("b", 0, 1);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(sealbuf_create(client, &buffers[i], CREATE(.size = 1)), 0);
        options[i] = *PUBLISH(.name = i ? "b" : "a", .flags = SEALBUF_PUBLISH_ATOMIC);
    }
    ck_assert_int_eq(sealbuf_publish_many(client, buffers, status, options, 2), -SEALBUF_ERR_EXISTS);
    ck_assert_msg(strstr(sealbuf_error(client), "record 1:") != NULL, "%s", sealbuf_error(client));
    ck_assert_int_eq(get(GET(.name = "a"), 1), -SEALBUF_ERR_NOT_FOUND);
    options[1].flags |= SEALBUF_PUBLISH_REPLACE;
    ck_assert_int_eq(sealbuf_publish_many(client, buffers, status, options, 2), 0);
    for (unsigned i = 0; i < 2; i++)
        sealbuf_buffer_free(buffers[i]);
}
END_TEST

START_TEST(gets_all_or_none)
{
    struct sealbuf_get_options options[] = {*GET(.name = "a", .flags = SEALBUF_GET_ATOMIC),
                                            *GET(.name = "b", .flags = SEALBUF_GET_ATOMIC)};
    sealbuf_buffer *buffers[2] = {NULL, NULL};
    int status[2] = {77, 77};

    put("a", 0, 1);
    ck_assert_int_eq(sealbuf_get_many(client, buffers, status, options, 2), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_msg(strncmp(sealbuf_error(client), "record 1: ", 10) == 0, "%s", sealbuf_error(client));
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(status[i], -SEALBUF_ERR_NOT_FOUND);
        ck_assert_ptr_null(buffers[i]);
    }
    put("b", 0, 1);
    ck_assert_int_eq(sealbuf_get_many(client, buffers, status, options, 2), 0);
    for (unsigned i = 0; i < 2; i++)
        check_and_free(buffers[i], 1);
}
END_TEST

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

/* What a callback has got. */
static struct {
    unsigned count;
    int status;
    char name[64];
    sealbuf_buffer *buffer;
} got;

static void keep_buffer(sealbuf_client *which, sealbuf_reply *reply, void *userdata)
{
    (void)which;
    (void)userdata;
    got.count++;
    got.status = sealbuf_reply_status(reply);
    got.buffer = sealbuf_reply_take_buffer(reply, 0);
    if (got.buffer)
        snprintf(got.name, sizeof(got.name), "%s", sealbuf_buffer_info(got.buffer)->name);
}

static int start_wait(const struct sealbuf_get_options *options)
{
    memset(&got, 0, sizeof(got));
    int serial = sealbuf_start_get(other, options, 1, keep_buffer, NULL);
    ck_assert_int_gt(serial, 0);
    ck_assert_int_eq(sealbuf_ping(other), 0); /* the broker has it, and answers others meanwhile */
    return serial;
}

START_TEST(waits_for_a_name)
{
    start_wait(GET(.name = "a", .seals = IMMUTABLE, .flags = SEALBUF_GET_WAIT));
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(sealbuf_pending(other), 1);
    put("a", 0, 1);
    wait_until_answered(other);
    ck_assert_int_eq(got.status, 0);
    check_and_free(got.buffer, 1);
    start_wait(GET(.name = "a", .flags = SEALBUF_GET_WAIT));
    wait_until_answered(other); /* it is there already */
    check_and_free(got.buffer, 1);
}
END_TEST

START_TEST(waits_for_a_newer_one)
{
    put("a", 0, 1);
    start_wait(GET(.name = "a", .flags = SEALBUF_GET_WAIT, .newer_than = 2));
    put("a", 0, 2);
    ck_assert_int_eq(sealbuf_ping(other), 0);
    ck_assert_uint_eq(got.count, 0);
    put("a", 0, 3);
    wait_until_answered(other);
    check_and_free(got.buffer, 3);
}
END_TEST

START_TEST(waits_so_long)
{
    sealbuf_buffer *buffer = NULL;
    double began = seconds_now();

    ck_assert_int_eq(sealbuf_get(other, &buffer, GET(.name = "a", .flags = SEALBUF_GET_WAIT, .wait_ms = 200)),
                     -SEALBUF_ERR_TIMED_OUT);
    ck_assert_double_ge(seconds_now() - began, 0.19);
    ck_assert_double_le(seconds_now() - began, 9);
    ck_assert_msg(strstr(sealbuf_error(other), "'a' within") != NULL, "%s", sealbuf_error(other));
    put("a", 0, 1);
    ck_assert_int_eq(
        sealbuf_get(other, &buffer, GET(.name = "a", .flags = SEALBUF_GET_WAIT, .newer_than = 1, .wait_ms = 20)),
        -SEALBUF_ERR_TIMED_OUT);
    ck_assert_msg(strstr(sealbuf_error(other), "at generation 1") != NULL, "%s", sealbuf_error(other));
    ck_assert_int_eq(sealbuf_get(other, &buffer, GET(.name = "a", .wait_ms = 20)), -SEALBUF_ERR_FLAGS);
}
END_TEST

START_TEST(waits_until_cancelled)
{
    int serial = start_wait(GET(.name = "a", .flags = SEALBUF_GET_WAIT));

    ck_assert_int_eq(sealbuf_cancel(other, serial), 0);
    wait_until_answered(other);
    put("a", 0, 1);
    ck_assert_int_eq(sealbuf_ping(other), 0);
    ck_assert_uint_eq(got.count, 0);
}
END_TEST

START_TEST(takes_the_first)
{
    start_wait(GET(.name = "jobs/", .flags = SEALBUF_GET_WAIT | SEALBUF_GET_FIRST | SEALBUF_GET_DETAILS));
    ck_assert_int_eq(sealbuf_put(client, PUT(.name = "jobs/2", .flags = SEALBUF_PUBLISH_TAKE), "1", 1, NULL), 0);
    wait_until_answered(other);
    ck_assert_int_eq(got.status, 0);
    ck_assert_str_eq(got.name, "jobs/2");
    sealbuf_buffer_free(got.buffer);
    ck_assert_int_eq(get(GET(.name = "jobs/", .flags = SEALBUF_GET_FIRST), 1), -SEALBUF_ERR_NOT_FOUND);
}
END_TEST

START_TEST(only_one_may_wait_at_once)
{
    sealbuf_buffer *buffers[2] = {NULL, NULL};
    struct sealbuf_get_options options[] = {*GET(.name = "a", .flags = SEALBUF_GET_WAIT), *GET(.name = "b")};

    ck_assert_int_eq(sealbuf_get_many(client, buffers, NULL, options, 2), -SEALBUF_ERR_FLAGS);
    ck_assert_msg(strstr(sealbuf_error(client), "only record") != NULL, "%s", sealbuf_error(client));
    ck_assert_ptr_null(buffers[0]);
}
END_TEST

#define WAITERS 1000

static void count_one(sealbuf_client *which, sealbuf_reply *reply, void *userdata)
{
    (void)which;
    ck_assert_int_eq(sealbuf_reply_status(reply), 0);
    ++*(unsigned *)userdata;
}

START_TEST(many_wait)
{
    unsigned count = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        ck_assert_int_gt(sealbuf_start_get(other, GET(.name = "a", .flags = SEALBUF_GET_WAIT), 1, count_one, &count),
                         0);
    ck_assert_int_eq(sealbuf_ping(other), 0);
    put("a", 0, 1);
    wait_until_answered(other);
    ck_assert_uint_eq(count, WAITERS);
}
END_TEST

/* A program that was compiled when the structs were shorter. */
START_TEST(shorter_structs_still_do)
{
    struct sealbuf_publish_options publish = {
        .struct_size = offsetof(struct sealbuf_publish_options, expected), .name = "a", .expire_ms = 1, .reserved = 7};
    struct sealbuf_put_options put_it = {
        .struct_size = offsetof(struct sealbuf_put_options, expected), .name = "b", .keep = 999};
    struct sealbuf_get_options get_it = {
        .struct_size = offsetof(struct sealbuf_get_options, generation), .name = "b", .generation = 999};
    struct sealbuf_target target = {
        .struct_size = offsetof(struct sealbuf_target, generation), .name = "b", .generation = 999};
    const struct sealbuf_info *info;
    sealbuf_buffer *buffer = NULL;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_publish(client, buffer, &publish, NULL), 0);
    sealbuf_buffer_free(buffer);
    usleep(20000);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.name = "a"), &info), 0);
    ck_assert_int_eq(sealbuf_put(client, &put_it, "1", 1, NULL), 0);
    ck_assert_int_eq(get(&get_it, 1), 0);
    ck_assert_int_eq(sealbuf_stat(client, &target, &info), 0);
    ck_assert_int_eq(sealbuf_remove(client, &target), 0);
}
END_TEST

/* ---- Over the end of the broker ---------------------------------------------------------------------------------- */

static struct broker mortal;

START_TEST(a_wait_outlasts_the_broker)
{
    broker_start(&mortal, NULL);
    sealbuf_client *waiter = connect_and_listen(mortal.path, 10000);
    memset(&got, 0, sizeof(got));
    ck_assert_int_gt(
        sealbuf_start_get(waiter, GET(.name = "a", .flags = SEALBUF_GET_WAIT, .newer_than = 100), 1, keep_buffer, NULL),
        0);
    ck_assert_int_eq(sealbuf_ping(waiter), 0);
    broker_kill(&mortal);
    broker_start_again(&mortal, NULL);
    ck_assert_int_eq(sealbuf_ping(waiter), 0);
    ck_assert_uint_eq(got.count, 0);
    client = new_client();
    put("a", 0, 1); /* a new broker: its generations say nothing about those of the one before */
    wait_until_answered(waiter);
    ck_assert_int_eq(got.status, 0);
    check_and_free(got.buffer, 1);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_UNKNOWN], 0);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = "a")), 0);
    client = sealbuf_disconnect(client);
    sealbuf_disconnect(waiter);
    broker_stop(&mortal);
}
END_TEST

/* The name is at generation 1 with the new broker, too: but that is another one. */
START_TEST(a_comparison_ends_with_the_broker)
{
    const struct sealbuf_publish_options *compare =
        PUBLISH(.name = "a", .flags = SEALBUF_PUBLISH_COMPARE, .expected = 1);
    sealbuf_buffer *buffer = NULL;

    broker_start(&mortal, NULL);
    sealbuf_client *publisher = connect_and_listen(mortal.path, 10000);
    ck_assert_int_eq(sealbuf_create(publisher, &buffer, CREATE(.size = 1)), 0);
    broker_kill(&mortal);
    while (connection_of(publisher).state == SEALBUF_CONNECTION_UP)
        sealbuf_wait(publisher, 100);
    ck_assert_int_gt(sealbuf_start_publish(publisher, &buffer, compare, 1, note_reply, numbered(1)), 0);
    broker_start_again(&mortal, NULL);
    client = new_client();
    put("a", 0, 1);
    wait_until_answered(publisher);
    ck_assert_int_eq(replies.status[0], -SEALBUF_ERR_GENERATION);
    ck_assert_int_eq(get(GET(.name = "a"), 1), 0);
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(publisher);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = "a")), 0);
    client = sealbuf_disconnect(client);
    broker_stop(&mortal);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_live");

    TCase *generations = harness_tcase_with_broker(suite, "generations");
    tcase_add_checked_fixture(generations, connect_both, disconnect_both);
    tcase_add_test(generations, history);
    tcase_add_test(generations, comparison);
    tcase_add_test(generations, producers_race);
    tcase_add_test(generations, metadata_with_the_publication);
    tcase_add_test(generations, lists_with_metadata);
    tcase_add_test(generations, shorter_structs_still_do);
    TCase *leased = harness_tcase_with_broker(suite, "leases");
    tcase_add_checked_fixture(leased, connect_both, disconnect_both);
    tcase_add_test(leased, leases);
    tcase_add_test(leased, touches_many);
    tcase_add_test(leased, until_the_connection_ends);
    TCase *many = harness_tcase_with_broker(suite, "many");
    tcase_add_checked_fixture(many, connect_both, disconnect_both);
    tcase_add_test(many, removes_many);
    tcase_add_test(many, publishes_all_or_none);
    tcase_add_test(many, gets_all_or_none);
    TCase *waiting = harness_tcase_with_broker(suite, "waiting");
    tcase_add_checked_fixture(waiting, connect_both, disconnect_both);
    tcase_add_test(waiting, waits_for_a_name);
    tcase_add_test(waiting, waits_for_a_newer_one);
    tcase_add_test(waiting, waits_so_long);
    tcase_add_test(waiting, waits_until_cancelled);
    tcase_add_test(waiting, takes_the_first);
    tcase_add_test(waiting, only_one_may_wait_at_once);
    tcase_add_test(waiting, many_wait);
    TCase *back = harness_tcase(suite, "coming back");
    tcase_add_test(back, a_wait_outlasts_the_broker);
    tcase_add_test(back, a_comparison_ends_with_the_broker);
    return harness_run(suite);
}
