/* SPDX-License-Identifier: MIT */
#include "deadline.h"

#include "clock.h"

/* The others pass in the loop's next turn; also where those have taken so long. */
#define PASS_AT_ONCE 16
#define PASS_NS      50000

/* Of two at the same nanosecond the one at the lower address comes first. */
static int compare_deadlines(const struct deadline *a, const struct deadline *b)
{
    if (a->ns != b->ns)
        return a->ns < b->ns ? -1 : 1;
    return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

TREE_GENERATE(deadline_tree, deadline, link, compare_deadlines)

static void set_timer(struct deadlines *deadlines, uint64_t now)
{
    const struct deadline *next = RB_MIN(deadline_tree, &deadlines->tree);

    if (!next) {
        evtimer_del(&deadlines->timer);
        return;
    }
    uint64_t us = next->ns > now ? (next->ns - now) / 1000 + 1 : 0;
    struct timeval time = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    evtimer_add(&deadlines->timer, &time);
}

static void on_time(evutil_socket_t fd, short what, void *argument)
{
    struct deadlines *deadlines = argument;
    uint64_t now = clock_monotonic_ns();
    struct deadline *deadline;

    (void)fd, (void)what;
    for (unsigned i = 0; i < PASS_AT_ONCE; i++) {
        deadline = RB_MIN(deadline_tree, &deadlines->tree);
        if (!deadline || deadline->ns > now)
            break;
        RB_REMOVE(deadline_tree, &deadlines->tree, deadline);
        deadline->ns = 0;
        deadline->passed(deadline);
        if (clock_monotonic_ns() - now > PASS_NS)
            break;
    }
    set_timer(deadlines, now);
}

void deadlines_init(struct deadlines *deadlines, struct event_base *loop)
{
    RB_INIT(&deadlines->tree);
    evtimer_assign(&deadlines->timer, loop, on_time, deadlines);
}

/* Where another one is next afterwards, the timer is left to find that out. */
void deadline_clear(struct deadlines *deadlines, struct deadline *deadline)
{
    if (!deadline->ns)
        return;
    RB_REMOVE(deadline_tree, &deadlines->tree, deadline);
    deadline->ns = 0;
    if (RB_EMPTY(&deadlines->tree))
        evtimer_del(&deadlines->timer);
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t ns,
                  void (*passed)(struct deadline *deadline))
{
    deadline_clear(deadlines, deadline);
    if (!ns)
        return;
    deadline->ns = ns;
    deadline->passed = passed;
    RB_INSERT(deadline_tree, &deadlines->tree, deadline);
    if (RB_MIN(deadline_tree, &deadlines->tree) == deadline)
        set_timer(deadlines, clock_monotonic_ns());
}

bool deadline_has_passed(const struct deadline *deadline)
{
    return deadline->ns && deadline->ns <= clock_monotonic_ns();
}

uint64_t deadline_in(uint64_t ms)
{
    static const uint64_t longest_ms = 366ULL * 24 * 3600 * 1000;

    if (ms == 0 || ms > longest_ms)
        return 0;
    return clock_monotonic_ns() + ms * 1000000;
}

uint64_t deadline_left_ms(uint64_t ns)
{
    if (!ns)
        return 0;
    uint64_t now = clock_monotonic_ns();
    return ns > now ? (ns - now) / 1000000 + 1 : 1;
}
