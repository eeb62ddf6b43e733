/* SPDX-License-Identifier: MIT */
#include "turn.h"

#include "clock.h"
#include "peer.h"

/* How busy a uid is fades in such a time: one that has the loop for itself has this much. */
#define FADE_NS 1000000u
/* Below this a uid is served at once, as long as there are not so many that all of them together take half the time. */
#define LITTLE_NS (FADE_NS / 20)

/* A slice, where others are there, and where nobody else was served lately. */
#define SLICE_NS       10000u
#define SLICE_ALONE_NS 50000u
#define ALONE_AFTER_NS 20000000u
/* Whoever is alone, but has more connections than this, waits in the queue all the same: somebody may come. */
#define CONNECTIONS_ALONE 4

/* Of so many uids that wait, the least busy one is next. */
#define LOOK_AT 8

static uint64_t faded(uint64_t busy_ns, uint64_t elapsed_ns)
{
    return elapsed_ns >= FADE_NS ? 0 : busy_ns - busy_ns * elapsed_ns / FADE_NS;
}

static uint64_t busy_now(const struct account *account, uint64_t now)
{
    return faded(account->busy_ns, now - account->busy_at_ns);
}

static bool is_alone(const struct turns *turns, const struct account *account, uint64_t now)
{
    return turns->last_uid == account->uid && now - turns->alone_ns > ALONE_AFTER_NS;
}

static void begin(struct broker *broker, const struct account *account, uint64_t now)
{
    struct turns *turns = &broker->turns;

    if (turns->last_uid != account->uid)
        turns->alone_ns = now;
    turns->last_uid = account->uid;
    turns->begun_ns = now;
    turns->over_ns = now + (is_alone(turns, account, now) ? SLICE_ALONE_NS : SLICE_NS);
}

static bool may_be_served(struct broker *broker, const struct account *account, uint64_t now)
{
    const struct turns *turns = &broker->turns;
    uint64_t little = FADE_NS / 2 / (broker->quota.holders[RESOURCE_CONNECTIONS] + 1);

    if (busy_now(account, now) < (little < LITTLE_NS ? little : LITTLE_NS))
        return true;
    return turns->peers == 0 && account->held[RESOURCE_CONNECTIONS] <= CONNECTIONS_ALONE &&
           is_alone(turns, account, now);
}

bool turn_begin_at_once(struct peer *peer)
{
    uint64_t now = clock_monotonic_ns();

    if (peer->waits || !may_be_served(peer->broker, peer->account, now))
        return false;
    begin(peer->broker, peer->account, now);
    return true;
}

void turn_end(struct broker *broker, uid_t uid)
{
    struct account *account = quota_find(&broker->quota, uid);
    uint64_t now = clock_monotonic_ns();

    if (!account)
        return;
    account->busy_ns = busy_now(account, now) + (now - broker->turns.begun_ns);
    account->busy_at_ns = now;
    if (account->busy_ns > FADE_NS)
        account->busy_ns = FADE_NS;
}

bool turn_is_over(const struct broker *broker)
{
    return clock_monotonic_ns() >= broker->turns.over_ns;
}

void turn_wait(struct peer *peer)
{
    struct account *account = peer->account;
    struct turns *turns = &peer->broker->turns;

    if (peer->waits)
        return;
    peer->waits = true;
    if (TAILQ_EMPTY(&account->waiting))
        TAILQ_INSERT_TAIL(&turns->waiting, account, turn);
    TAILQ_INSERT_TAIL(&account->waiting, peer, turn);
    if (turns->peers++ == 0)
        event_active(&turns->next, 0, 0);
}

void turn_forget(struct peer *peer)
{
    struct account *account = peer->account;
    struct turns *turns = &peer->broker->turns;

    if (!peer->waits)
        return;
    peer->waits = false;
    TAILQ_REMOVE(&account->waiting, peer, turn);
    if (TAILQ_EMPTY(&account->waiting))
        TAILQ_REMOVE(&turns->waiting, account, turn);
    turns->peers--;
}

/* Those that were looked at and were too busy move on, so that all are looked at. */
static struct account *least_busy(struct turns *turns, uint64_t now)
{
    struct account *account = TAILQ_FIRST(&turns->waiting), *found = account;

    for (unsigned i = 0; account && i < LOOK_AT; i++, account = TAILQ_NEXT(account, turn))
        if (busy_now(account, now) < busy_now(found, now))
            found = account;
    if (found) {
        TAILQ_REMOVE(&turns->waiting, found, turn);
        TAILQ_INSERT_TAIL(&turns->waiting, found, turn);
    }
    return found;
}

static void on_next(evutil_socket_t fd, short what, void *argument)
{
    struct broker *broker = argument;
    struct turns *turns = &broker->turns;
    uint64_t now = clock_monotonic_ns();
    struct account *account = least_busy(turns, now);

    (void)fd, (void)what;
    if (!account)
        return;
    uid_t uid = account->uid;
    struct peer *peer = TAILQ_FIRST(&account->waiting);
    turn_forget(peer);
    if (turns->peers)
        event_active(&turns->next, 0, 0);
    begin(broker, account, now);
    peer_take_turn(peer);
    turn_end(broker, uid);
}

int turn_priority(const struct peer *peer)
{
    return peer->account->held[RESOURCE_CONNECTIONS] <= CONNECTIONS_ALONE ? PRIORITY_FEW : PRIORITY_OTHER;
}

void turns_init(struct broker *broker)
{
    TAILQ_INIT(&broker->turns.waiting);
    event_assign(&broker->turns.next, broker->loop, -1, 0, on_next, broker);
    event_priority_set(&broker->turns.next, PRIORITY_OTHER);
}
