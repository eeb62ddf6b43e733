/* SPDX-License-Identifier: MIT */
/* Turns, with a clock of the test's own: who is served at once, who is next, and for how long. */
#include "clock.h"

#include <stdio.h>
#include <string.h>

static uint64_t now_ns;

static uint64_t clock_of_test_ns(void)
{
    return now_ns;
}

#define clock_monotonic_ns clock_of_test_ns
#include "../../daemon/turn.c" /* NOLINT(bugprone-suspicious-include): so that it asks that clock */
#undef clock_monotonic_ns

/* Of the harness nothing is used that has to do with its struct broker. */
#define broker broker_of_harness
#include "harness.h"
#undef broker

#define USERS     4
#define PEERS     3
#define FIRST_UID 1000
#define US        ((uint64_t)1000)
#define MS        (1000 * US)

static struct broker loop;
static struct account accounts[USERS];
static struct peer peers[USERS][PEERS];

/* What happened in the order in which it happened: 'a' and '1' for the first user's first peer, and so on. */
static char story[64];
static uint64_t turn_takes_ns;
static struct peer *asks_again; /* when its turn is over */
static struct event comes;      /* something at the peers' sockets, during the turn that is about to be taken */
static bool something_comes;

struct account *quota_find(struct quota *quota, uid_t uid)
{
    ck_assert_ptr_eq(quota, &loop.quota);
    return uid >= FIRST_UID && uid < FIRST_UID + USERS ? &accounts[uid - FIRST_UID] : NULL;
}

static void tell(char who, char which)
{
    size_t length = strlen(story);

    ck_assert_uint_lt(length + 3, sizeof(story));
    snprintf(story + length, sizeof(story) - length, "%c%c ", who, which);
}

void peer_take_turn(struct peer *peer)
{
    ck_assert(!peer->waits);
    tell((char)('a' + (peer->who.uid - FIRST_UID)), (char)('1' + (peer - peers[peer->who.uid - FIRST_UID])));
    now_ns += turn_takes_ns;
    if (something_comes)
        event_active(&comes, EV_READ, 0);
    something_comes = false;
    if (asks_again == peer) {
        asks_again = NULL;
        turn_wait(peer);
    }
}

static void on_coming(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what, (void)argument;
    tell('!', '!');
}

/* As main.c makes it. */
static void set_up(void)
{
    struct event_config *config = event_config_new();

    ck_assert_ptr_nonnull(config);
    memset(&loop, 0, sizeof(loop));
    memset(accounts, 0, sizeof(accounts));
    turn_takes_ns = 0;
    something_comes = false;
    asks_again = NULL;
    event_config_set_max_dispatch_interval(config, NULL, OTHERS_AT_ONCE, PRIORITY_OTHER);
    loop.loop = event_base_new_with_config(config);
    event_config_free(config);
    ck_assert_ptr_nonnull(loop.loop);
    event_base_priority_init(loop.loop, PRIORITIES);
    turns_init(&loop);
    event_assign(&comes, loop.loop, -1, 0, on_coming, NULL);
    event_priority_set(&comes, PRIORITY_FEW);
    now_ns = 1000 * MS;
    loop.quota.holders[RESOURCE_CONNECTIONS] = USERS;
    for (unsigned i = 0; i < USERS; i++) {
        accounts[i].uid = FIRST_UID + i;
        accounts[i].held[RESOURCE_CONNECTIONS] = PEERS;
        TAILQ_INIT(&accounts[i].waiting);
        for (unsigned k = 0; k < PEERS; k++)
            peers[i][k] = (struct peer){.broker = &loop, .account = &accounts[i], .who = {.uid = FIRST_UID + i}};
    }
}

static void tear_down(void)
{
    event_base_free(loop.loop);
}

/* What happens until the loop has nothing to do any more. */
static void check_story(const char *expected)
{
    story[0] = '\0';
    event_base_loop(loop.loop, EVLOOP_NONBLOCK);
    ck_assert_str_eq(story, expected);
}

/* A user that has kept the loop busy for so long, until now. */
static void was_busy(unsigned user, uint64_t ns)
{
    accounts[user].busy_ns = ns;
    accounts[user].busy_at_ns = now_ns;
}

static bool is_served(unsigned user)
{
    return turn_begin_at_once(&peers[user][0]);
}

START_TEST(little_is_served_at_once)
{
    ck_assert(is_served(0));
    was_busy(0, 50 * US - 1);
    ck_assert(is_served(0));
    was_busy(0, 50 * US);
    ck_assert(!is_served(0));
    ck_assert(is_served(1));
    /* All of 100 users together may take half of the time. */
    loop.quota.holders[RESOURCE_CONNECTIONS] = 99;
    was_busy(0, 5 * US - 1);
    ck_assert(is_served(0));
    was_busy(0, 5 * US);
    ck_assert(!is_served(0));
}
END_TEST

START_TEST(what_was_used_counts_and_fades)
{
    ck_assert(is_served(0));
    now_ns += 60 * US;
    turn_end(&loop, FIRST_UID);
    ck_assert(!is_served(0));
    ck_assert(is_served(1));
    was_busy(0, 100 * US);
    now_ns += MS / 2;
    ck_assert(!is_served(0));
    now_ns += US;
    ck_assert(is_served(0));
    /* However long it took, within a millisecond it is forgotten. */
    now_ns += 10 * MS;
    turn_end(&loop, FIRST_UID);
    ck_assert_uint_eq(accounts[0].busy_ns, MS);
    now_ns += MS - 60 * US;
    ck_assert(!is_served(0));
    now_ns += 20 * US;
    ck_assert(is_served(0));
    turn_end(&loop, FIRST_UID + USERS); /* one who has gone */
}
END_TEST

/* How long the slice is that starts now. */
static uint64_t slice(unsigned user)
{
    uint64_t began = now_ns, length = 0;

    was_busy(user, 0);
    ck_assert(is_served(user));
    while (!turn_is_over(&loop) && length <= MS)
        now_ns = began + (length += US);
    now_ns = began;
    return length;
}

START_TEST(slices)
{
    ck_assert_uint_eq(slice(0), 10 * US);
    now_ns += 20 * MS;
    ck_assert_uint_eq(slice(0), 10 * US);
    now_ns += 1;
    ck_assert_uint_eq(slice(0), 50 * US);
    ck_assert_uint_eq(slice(1), 10 * US);
    ck_assert_uint_eq(slice(0), 10 * US);
    now_ns += 20 * MS + 1;
    ck_assert_uint_eq(slice(0), 50 * US);
}
END_TEST

START_TEST(who_is_alone)
{
    ck_assert(is_served(0));
    now_ns += 20 * MS;
    was_busy(0, MS);
    ck_assert(!is_served(0));
    now_ns += 1;
    was_busy(0, MS);
    ck_assert(is_served(0));
    accounts[0].held[RESOURCE_CONNECTIONS] = 5;
    ck_assert(!is_served(0));
    accounts[0].held[RESOURCE_CONNECTIONS] = 4;
    ck_assert(is_served(0));
    /* While somebody waits, nobody is. */
    turn_wait(&peers[1][0]);
    ck_assert(!is_served(0));
}
END_TEST

START_TEST(least_busy_first)
{
    was_busy(0, 900 * US);
    was_busy(1, 500 * US);
    was_busy(2, 700 * US);
    was_busy(3, 600 * US);
    for (unsigned user = 0; user < USERS; user++)
        turn_wait(&peers[user][0]);
    check_story("b1 d1 c1 a1 ");
    /* What counts is how much it is now. */
    was_busy(0, 900 * US);
    now_ns += 900 * US;
    was_busy(1, 100 * US);
    turn_wait(&peers[1][0]);
    turn_wait(&peers[0][0]);
    check_story("a1 b1 ");
}
END_TEST

START_TEST(users_take_turns)
{
    turn_takes_ns = 10 * US;
    for (unsigned i = 0; i < PEERS; i++)
        turn_wait(&peers[0][i]);
    turn_wait(&peers[1][0]);
    turn_wait(&peers[1][1]);
    turn_wait(&peers[1][1]); /* it waits already */
    ck_assert(!turn_begin_at_once(&peers[0][1]));
    ck_assert_uint_eq(loop.turns.peers, 5);
    asks_again = &peers[1][0];
    check_story("a1 b1 a2 b2 a3 b1 ");
    ck_assert_uint_eq(loop.turns.peers, 0);
    check_story("");
    /* And when there was nobody left. */
    asks_again = &peers[2][0];
    turn_wait(&peers[2][0]);
    check_story("c1 c1 ");
}
END_TEST

START_TEST(others_are_looked_at_between_turns)
{
    turn_wait(&peers[0][0]);
    turn_wait(&peers[1][0]);
    something_comes = true;
    check_story("a1 !! b1 ");
}
END_TEST

START_TEST(who_is_forgotten_gets_none)
{
    turn_wait(&peers[0][0]);
    turn_wait(&peers[0][1]);
    turn_wait(&peers[1][0]);
    turn_forget(&peers[0][0]);
    turn_forget(&peers[0][0]);
    ck_assert_uint_eq(loop.turns.peers, 2);
    turn_forget(&peers[0][1]);
    ck_assert_ptr_eq(TAILQ_FIRST(&loop.turns.waiting), &accounts[1]);
    check_story("b1 ");
    turn_wait(&peers[2][0]);
    turn_forget(&peers[2][0]);
    ck_assert(TAILQ_EMPTY(&loop.turns.waiting));
    check_story("");
    turn_wait(&peers[0][0]);
    check_story("a1 ");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("turn");
    TCase *turns = harness_tcase(suite, "turns");

    tcase_add_checked_fixture(turns, set_up, tear_down);
    tcase_add_test(turns, little_is_served_at_once);
    tcase_add_test(turns, what_was_used_counts_and_fades);
    tcase_add_test(turns, slices);
    tcase_add_test(turns, who_is_alone);
    tcase_add_test(turns, least_busy_first);
    tcase_add_test(turns, users_take_turns);
    tcase_add_test(turns, others_are_looked_at_between_turns);
    tcase_add_test(turns, who_is_forgotten_gets_none);
    return harness_run(suite);
}
