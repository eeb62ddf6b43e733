/* SPDX-License-Identifier: MIT */
/* The real broker: a sealbufd of one's own, on a private socket in a directory of its own. */
#ifndef BENCH_BROKER_H
#define BENCH_BROKER_H

#include <sys/types.h>

struct broker {
    char directory[64];
    char socket[80], log[80];
    pid_t pid;
};

#define BROKER_LIMITS 4

/*
 * Starts `program`, with these limits (KEY=VALUE; NULL behind the last one, at most BROKER_LIMITS), and waits until
 * clients can connect. -1 where that failed; it has been said why.
 */
int broker_start(struct broker *broker, const char *program, const char *const *limits);
/* Lets other users get at its socket, too. */
int broker_open_to_all(const struct broker *broker);
/* What the broker itself has said so far, on standard error: for whoever wants to know why something failed. */
void broker_show_log(const struct broker *broker);
void broker_stop(struct broker *broker);

#endif
