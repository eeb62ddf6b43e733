/* SPDX-License-Identifier: MIT */
/* Red-black trees: libbsd's, whose own RB_GENERATE_STATIC needs a macro that libbsd no longer defines on Linux. */
#ifndef DAEMON_TREE_H
#define DAEMON_TREE_H

#include <bsd/sys/tree.h>

#define TREE_GENERATE(name, type, field, compare)                                                                      \
    RB_GENERATE_INTERNAL(name, type, field, compare, __attribute__((unused)) static)

#endif
