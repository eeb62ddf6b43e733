/* SPDX-License-Identifier: MIT */
/*
 * Watches, with the broker: a snapshot, then whatever happens, without a gap; for one who sleeps, an overflow; over the
 * end of the broker; in an event loop.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "reconnecting.h"

#define PUT(...)   OPTIONS(sealbuf_put_options, __VA_ARGS__)
#define WATCH(...) OPTIONS(sealbuf_watch_options, __VA_ARGS__)
#define IMMUTABLE  SEALBUF_SEALS_IMMUTABLE

static struct broker mortal;
static sealbuf_client *producer, *watcher;
static sealbuf_buffer *taken;

/* ---- What the watcher hears -------------------------------------------------------------------------------------- */

#define KINDS    10
#define MOST     4096
#define NAMES    64
#define NAME_LEN 32

/* What it believes that there is, as the events say, and all events in their order. */
static struct {
    unsigned count, of_kind[KINDS];
    uint32_t kind[MOST];
    uint64_t generation[MOST];
    char name[MOST][NAME_LEN];
    int error;
    bool synchronized;
    bool check_buffers;
    unsigned buffers;
    char present[NAMES][NAME_LEN];
    uint64_t at[NAMES];
} seen;

static int place_of(const char *name)
{
    for (int i = 0; i < NAMES; i++)
        if (seen.at[i] && strcmp(seen.present[i], name) == 0)
            return i;
    return -1;
}

static uint64_t generation_of(const char *name)
{
    int place = place_of(name);
    return place < 0 ? 0 : seen.at[place];
}

static void book(const char *name, uint64_t generation)
{
    int place = place_of(name);

    for (int i = 0; i < NAMES && place < 0; i++)
        if (!seen.at[i])
            place = i;
    ck_assert_int_ge(place, 0);
    snprintf(seen.present[place], NAME_LEN, "%s", name);
    seen.at[place] = generation;
}

/* Each buffer says in its first bytes which generation it is. */
static void check_buffer(const struct sealbuf_change *change)
{
    char text[32] = "", expected[32];

    if (!change->buffer)
        return;
    seen.buffers++;
    ck_assert_int_eq(sealbuf_buffer_writable(change->buffer), 0);
    ck_assert_int_eq(sealbuf_buffer_has_seals(change->buffer, IMMUTABLE), 1);
    ck_assert_int_gt(sealbuf_buffer_read(change->buffer, text, sizeof(text) - 1, 0), 0);
    snprintf(expected, sizeof(expected), "%llu", (unsigned long long)change->info->generation);
    ck_assert_str_eq(text, expected);
}

static void note_change(sealbuf_client *client, const struct sealbuf_change *change, void *userdata)
{
    ck_assert_ptr_nonnull(client);
    ck_assert_ptr_eq(userdata, &seen);
    ck_assert_uint_lt(seen.count, MOST);
    ck_assert_uint_lt(change->kind, KINDS);
    seen.kind[seen.count] = change->kind;
    seen.generation[seen.count] = change->info->generation;
    snprintf(seen.name[seen.count], NAME_LEN, "%s", change->info->name);
    seen.of_kind[change->kind]++;
    seen.count++;
    switch ((enum sealbuf_change_kind)change->kind) {
    case SEALBUF_CHANGE_PRESENT:
    case SEALBUF_CHANGE_PUBLISHED:
    case SEALBUF_CHANGE_REPLACED:
        book(change->info->name, change->info->generation);
        break;
    case SEALBUF_CHANGE_REMOVED:
    case SEALBUF_CHANGE_EXPIRED:
    case SEALBUF_CHANGE_EVICTED:
    case SEALBUF_CHANGE_TAKEN:
        ck_assert_int_ge(place_of(change->info->name), 0);
        seen.at[place_of(change->info->name)] = 0;
        break;
    case SEALBUF_CHANGE_OVERFLOW:
        memset(seen.at, 0, sizeof(seen.at));
        seen.synchronized = false;
        break;
    case SEALBUF_CHANGE_SYNC:
        seen.synchronized = true;
        break;
    }
    if (change->kind == 0)
        seen.error = change->error;
    if (seen.check_buffers)
        check_buffer(change);
}

static int start_watch(const struct sealbuf_watch_options *options)
{
    memset(&seen, 0, sizeof(seen));
    int serial = sealbuf_watch(watcher, options, note_change, &seen);
    ck_assert_int_gt(serial, 0);
    return serial;
}

static void put(const char *name, uint64_t generation)
{
    uint64_t got = 0;
    char text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)generation);
    int r = sealbuf_put(producer, PUT(.name = name, .flags = SEALBUF_PUBLISH_REPLACE), text, strlen(text), &got);
    ck_assert_msg(r == 0, "put: %s", sealbuf_error(producer));
    ck_assert_uint_eq(got, generation);
}

static void drop(const char *name)
{
    ck_assert_int_eq(sealbuf_remove(producer, TARGET(.name = name)), 0);
}

/* ---- Waiting until it has heard something ------------------------------------------------------------------------ */

typedef bool heard_fn(const char *name, uint64_t number);

static bool all_synchronized(const char *name, uint64_t number)
{
    (void)name;
    (void)number;
    return seen.synchronized;
}

static bool so_many(const char *name, uint64_t number)
{
    (void)name;
    return seen.count >= number;
}

static bool such_a_change(const char *name, uint64_t kind)
{
    (void)name;
    return seen.of_kind[kind] > 0;
}

static bool that_generation(const char *name, uint64_t generation)
{
    return seen.synchronized && generation_of(name) == generation;
}

static bool a_taken_buffer(const char *name, uint64_t number)
{
    (void)name;
    (void)number;
    return taken;
}

static void wait_until(heard_fn *heard, const char *name, uint64_t number)
{
    for (int i = 0; i < 300 && !heard(name, number); i++)
        ck_assert_int_ge(sealbuf_wait(watcher, 100), 0);
    ck_assert(heard(name, number));
}

static void wait_for_sync(void)
{
    wait_until(all_synchronized, NULL, 0);
}

static void wait_for(const char *name, uint64_t generation)
{
    wait_until(that_generation, name, generation);
}

static void assert_heard(unsigned i, uint32_t kind, const char *name, uint64_t generation)
{
    ck_assert_uint_lt(i, seen.count);
    ck_assert_uint_eq(seen.kind[i], kind);
    ck_assert_str_eq(seen.name[i], name);
    if (generation)
        ck_assert_uint_eq(seen.generation[i], generation);
}

static void start_both(void)
{
    broker_start(&mortal, NULL);
    producer = new_client();
    watcher = connect_and_listen(mortal.path, 10000);
}

static int remember_name(const struct sealbuf_info *info, void *userdata)
{
    snprintf(userdata, SEALBUF_MAX_NAME + 1, "%s", info->name);
    return 1;
}

static void stop_both(void)
{
    char name[SEALBUF_MAX_NAME + 1];

    watcher = sealbuf_disconnect(watcher);
    while (sealbuf_list(producer, NULL, remember_name, name) == 1)
        drop(name);
    producer = sealbuf_disconnect(producer);
    broker_stop(&mortal);
}

/* ---- What is told ------------------------------------------------------------------------------------------------ */

START_TEST(a_snapshot_then_changes)
{
    put("a/1", 1);
    put("a/2", 1);
    put("b/1", 1);
    start_watch(WATCH(.prefix = "a/"));
    wait_for_sync();
    assert_heard(0, SEALBUF_CHANGE_PRESENT, "a/1", 1);
    assert_heard(1, SEALBUF_CHANGE_PRESENT, "a/2", 1);
    assert_heard(2, SEALBUF_CHANGE_SYNC, "", 0);
    put("a/1", 2);
    put("b/1", 2);
    put("a/3", 1);
    drop("a/2");
    wait_until(so_many, NULL, 6);
    assert_heard(3, SEALBUF_CHANGE_REPLACED, "a/1", 2);
    assert_heard(4, SEALBUF_CHANGE_PUBLISHED, "a/3", 1);
    assert_heard(5, SEALBUF_CHANGE_REMOVED, "a/2", 0);
    ck_assert_uint_eq(seen.count, 6);
}
END_TEST

START_TEST(one_name_and_no_snapshot)
{
    put("a", 1);
    start_watch(WATCH(.prefix = "a", .flags = SEALBUF_WATCH_EXACT | SEALBUF_WATCH_NO_SNAPSHOT));
    wait_for_sync();
    put("a/b", 1);
    put("a", 2);
    wait_until(so_many, NULL, 2);
    assert_heard(0, SEALBUF_CHANGE_SYNC, "", 0);
    assert_heard(1, SEALBUF_CHANGE_REPLACED, "a", 2);
    ck_assert_uint_eq(seen.count, 2);
}
END_TEST

START_TEST(leases_run_out)
{
    start_watch(NULL);
    wait_for_sync();
    ck_assert_int_eq(sealbuf_put(producer, PUT(.name = "short", .expire_ms = 50), "x", 1, NULL), 0);
    wait_until(such_a_change, NULL, SEALBUF_CHANGE_EXPIRED);
    ck_assert_uint_eq(seen.of_kind[SEALBUF_CHANGE_PUBLISHED], 1);
    ck_assert_int_eq(sealbuf_stat(producer, TARGET(.name = "short"), &(const struct sealbuf_info *){NULL}),
                     -SEALBUF_ERR_NOT_FOUND);
}
END_TEST

START_TEST(with_buffers)
{
    put("a", 1);
    start_watch(WATCH(.flags = SEALBUF_WATCH_DESCRIPTORS));
    seen.check_buffers = true;
    wait_for_sync();
    ck_assert_uint_eq(seen.buffers, 1);
    for (uint64_t generation = 2; generation <= 100; generation++)
        put("a", generation);
    wait_for("a", 100);
    ck_assert_uint_ge(seen.buffers, 2); /* the last one at least is there */
    ck_assert_uint_eq(seen.of_kind[SEALBUF_CHANGE_REPLACED], 99);
}
END_TEST

static void take_it(sealbuf_client *client, const struct sealbuf_change *change, void *userdata)
{
    (void)client;
    (void)userdata;
    if (change->buffer)
        taken = sealbuf_change_take_buffer(change);
}

START_TEST(a_buffer_is_taken)
{
    char text[8] = "";

    put("a", 1);
    ck_assert_int_gt(
        sealbuf_watch(watcher, WATCH(.flags = SEALBUF_WATCH_DESCRIPTORS | SEALBUF_WATCH_DETAILS), take_it, NULL), 0);
    wait_until(a_taken_buffer, NULL, 0);
    drop("a");
    ck_assert_int_eq(sealbuf_buffer_read(taken, text, sizeof(text), 0), 1);
    ck_assert_str_eq(text, "1");
    ck_assert_str_eq(sealbuf_buffer_info(taken)->name, "a");
    ck_assert_uint_ne(sealbuf_buffer_id(taken), 0);
    taken = sealbuf_buffer_free(taken);
}
END_TEST

/* More than the broker remembers, and the socket holds. */
#define SLEPT_THROUGH 4000u

/* Whoever does not read is told that something was lost, and then what there is. */
START_TEST(a_sleeper_gets_an_overflow)
{
    start_watch(WATCH(.prefix = "n"));
    wait_for_sync();
    put("n/gone", 1);
    wait_for("n/gone", 1);
    drop("n/gone");
    for (uint64_t generation = 1; generation <= SLEPT_THROUGH; generation++)
        put("n/there", generation);
    wait_for("n/there", SLEPT_THROUGH);
    ck_assert_uint_ge(seen.of_kind[SEALBUF_CHANGE_OVERFLOW], 1);
    ck_assert_uint_lt(seen.count, SLEPT_THROUGH);
    ck_assert_uint_eq(generation_of("n/gone"), 0);
    put("n/there", SLEPT_THROUGH + 1);
    wait_for("n/there", SLEPT_THROUGH + 1);
}
END_TEST

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

START_TEST(a_cancelled_watch_is_silent)
{
    int serial = start_watch(NULL);

    wait_for_sync();
    ck_assert_int_eq(sealbuf_cancel(watcher, serial), 0);
    put("a", 1);
    wait_until_answered(watcher);
    ck_assert_int_eq(sealbuf_ping(watcher), 0);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_int_eq(sealbuf_cancel(watcher, serial), -ENOENT);
}
END_TEST

START_TEST(a_watch_is_refused)
{
    start_watch(WATCH(.prefix = "a//b", .flags = SEALBUF_WATCH_EXACT));
    wait_until(so_many, NULL, 1);
    ck_assert_uint_eq(seen.kind[0], 0);
    ck_assert_int_eq(seen.error, -SEALBUF_ERR_NAME);
    start_watch(WATCH(.flags = 0x8000));
    wait_until(so_many, NULL, 1);
    ck_assert_int_eq(seen.error, -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_ping(watcher), 0);
}
END_TEST

/* Calls that wait, and other watches, go on beside it. */
START_TEST(calls_beside_a_watch)
{
    sealbuf_buffer *buffer = NULL;

    start_watch(NULL);
    wait_for_sync();
    for (uint64_t generation = 1; generation <= 200; generation++) {
        put("a", generation);
        ck_assert_int_eq(sealbuf_get(watcher, &buffer, GET(.name = "a", .seals = IMMUTABLE)), 0);
        buffer = sealbuf_buffer_free(buffer);
    }
    wait_for("a", 200);
    ck_assert_uint_eq(seen.of_kind[SEALBUF_CHANGE_OVERFLOW], 0);
    ck_assert_uint_eq(seen.count, 201);
}
END_TEST

/* ---- Over the end of the broker ---------------------------------------------------------------------------------- */

START_TEST(a_new_broker_is_watched)
{
    put("old", 1);
    start_watch(NULL);
    wait_for_sync();
    ck_assert_uint_eq(generation_of("old"), 1);
    broker_kill(&mortal);
    broker_start_again(&mortal, NULL);
    put("new", 1);
    wait_for("new", 1);
    ck_assert_uint_eq(seen.of_kind[SEALBUF_CHANGE_OVERFLOW], 1);
    ck_assert_uint_eq(generation_of("old"), 0);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_RECONNECTED], 1);
    put("new", 2);
    wait_for("new", 2);
}
END_TEST

static void turn_until(int loop, const char *name, uint64_t generation)
{
    struct epoll_event event;

    for (int turn = 0; turn < 2000 && !(seen.synchronized && generation_of(name) == generation); turn++) {
        ck_assert_int_eq(epoll_wait(loop, &event, 1, 10000), 1);
        ck_assert_int_ge(sealbuf_dispatch(watcher), 0);
    }
    ck_assert_uint_eq(generation_of(name), generation);
}

/* One epoll descriptor over the ends of two connections; nothing is called while nothing happens. */
START_TEST(in_an_event_loop)
{
    int loop = epoll_create1(EPOLL_CLOEXEC), fd = sealbuf_fd(watcher);
    struct epoll_event event = {.events = EPOLLIN};

    ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), 0);
    put("a", 1);
    start_watch(NULL);
    turn_until(loop, "a", 1);
    put("a", 2);
    turn_until(loop, "a", 2);
    broker_kill(&mortal);
    broker_start_again(&mortal, NULL);
    put("a", 1); /* the new broker counts anew */
    turn_until(loop, "a", 1);
    ck_assert_uint_eq(generation_of("a"), 1);
    ck_assert_uint_eq(seen.of_kind[SEALBUF_CHANGE_OVERFLOW], 1);
    ck_assert_int_eq(epoll_wait(loop, &event, 1, 0), 0);
    ck_assert_int_eq(sealbuf_fd(watcher), fd);
    close(loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_watch");

    TCase *tells = harness_tcase(suite, "tells");
    tcase_add_checked_fixture(tells, start_both, stop_both);
    tcase_add_test(tells, a_snapshot_then_changes);
    tcase_add_test(tells, one_name_and_no_snapshot);
    tcase_add_test(tells, leases_run_out);
    tcase_add_test(tells, with_buffers);
    tcase_add_test(tells, a_buffer_is_taken);
    tcase_add_test(tells, a_sleeper_gets_an_overflow);
    tcase_add_test(tells, calls_beside_a_watch);
    TCase *ends = harness_tcase(suite, "ends");
    tcase_add_checked_fixture(ends, start_both, stop_both);
    tcase_add_test(ends, a_cancelled_watch_is_silent);
    tcase_add_test(ends, a_watch_is_refused);
    TCase *back = harness_tcase(suite, "coming back");
    tcase_add_checked_fixture(back, start_both, stop_both);
    tcase_add_test(back, a_new_broker_is_watched);
    tcase_add_test(back, in_an_event_loop);
    return harness_run(suite);
}
