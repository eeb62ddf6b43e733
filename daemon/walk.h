/* SPDX-License-Identifier: MIT */
/*
 * A walk through the names of one owner that begin in some way, in order, over as many turns as it takes, while names
 * come and go. At every moment it says of each name whether it has been passed: what changes there is told by whoever
 * walks; what changes ahead will be found as it is then.
 *
 * Where changes were lost, all that has been passed must be passed again: then the walk goes on where it is, and begins
 * anew at the other end, until it has been round once. So it comes to an end however often that happens on the way, as
 * long as it does not happen in each round.
 */
#ifndef DAEMON_WALK_H
#define DAEMON_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "codec.h"

struct name;
struct registry;

/* Behind this name; or, where it has none, before the first. */
struct walk_place {
    bool is_behind;
    uint8_t length;
    char text[SEALBUF_MAX_NAME];
};

struct walk {
    struct walk_place at, from; /* where it is, and where this round has begun */
    bool is_round;              /* it has come to the end, and is on its way to where it began */
};

struct walk_range {
    uid_t owner;
    struct span prefix;
    bool is_exact; /* that name alone */
};

bool range_contains(const struct walk_range *range, struct span text);

void walk_begin(struct walk *walk);
/* From where it is, once round. */
void walk_begin_again(struct walk *walk);
/* The name that comes next; NULL: it has come to its end. */
struct name *walk_next(struct walk *walk, const struct walk_range *range, struct registry *registry);
/* This name, which walk_next has found. */
void walk_pass(struct walk *walk, const struct name *name);
bool walk_has_passed(const struct walk *walk, struct span text);

#endif
