/* SPDX-License-Identifier: MIT */
/* What a hostile client can think of to keep the broker busy. */
#ifndef BENCH_HOSTILE_LOADS_H
#define BENCH_HOSTILE_LOADS_H

#include "hostile.h"

/* Each in the file of what it is about: loads_of_buffers.c, loads_of_memory.c, loads_of_names.c, loads_of_sockets.c. */
extern const struct load load_of_pins, load_of_closes;
extern const struct load load_of_creates, load_of_gets, load_of_disconnects, load_of_unread;
extern const struct load load_of_listings, load_of_hidden_names;
extern const struct load load_of_connects, load_of_pings, load_of_descriptors;

#endif
