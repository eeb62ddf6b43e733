/* SPDX-License-Identifier: MIT */
/* What options mean for each other, and for how many NAMEs there may be. */
#ifndef CTL_COMBINATION_H
#define CTL_COMBINATION_H

#include <stddef.h>

struct options;

/* How many operands the command takes, with these options. */
size_t combination_most(const struct options *options);

/* Options that contradict each other, or miss one: 0, or STATUS_USAGE, reported. */
int combination_check(const struct options *options);

#endif
