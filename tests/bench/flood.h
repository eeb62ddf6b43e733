/* SPDX-License-Identifier: MIT */
/* Requests over several connections, several of them in flight on each: a new one for each reply. */
#ifndef BENCH_FLOOD_H
#define BENCH_FLOOD_H

#include <stdbool.h>
#include <stdint.h>

#include "hostile.h"
#include "wire.h"

#define FLOOD_LINES 128u

struct line {
    int socket; /* -1: the broker has ended the connection */
    unsigned pending;
};

struct flood {
    struct hostile *hostile;
    unsigned lines, depth; /* connections, and requests in flight on each */
    /*
     * Sends the next request, if there is one, and counts it in line->pending. `answer` is the reply to the one
     * before, NULL at the beginning. 0, or -1. May be NULL: then it is `message` each time.
     */
    int (*ask)(struct flood *flood, struct line *line, struct answer *answer);
    const struct message *message;
    const int *fds; /* attached to it */
    unsigned fd_count;
    uint32_t expected;   /* status of the reply as a whole */
    bool may_be_dropped; /* the broker may end connections; they are made again */
    bool resting;
    int epoll;
    struct line line[FLOOD_LINES];
    struct answer answer;
};

/* Opens the connections. All of these: -1 where it failed; it has been said why. */
int flood_open(struct flood *flood, struct hostile *hostile);

/* The parts of a load that is a flood: hostile->flood, which flood_open has set. */
int flood_begin(struct hostile *hostile);
/* Waits for replies, for 10 ms at most, and takes those that are there. */
int flood_step(struct hostile *hostile);
/* Until there is a reply to each request. */
int flood_rest(struct hostile *hostile);

/* For `ask`. */
int flood_send(struct line *line, const struct message *message, const int *fds, unsigned count);

#endif
