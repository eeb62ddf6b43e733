/* SPDX-License-Identifier: MIT */
/* All that a running broker is made of, in one place; main.c makes one. The loop alone uses it. */
#ifndef DAEMON_BROKER_H
#define DAEMON_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "buffer.h"
#include "changes.h"
#include "config.h"
#include "deadline.h"
#include "ledger.h"
#include "memfd.h"
#include "quota.h"
#include "reaper.h"
#include "registry.h"
#include "store.h"
#include "token.h"
#include "turn.h"
#include "watches.h"
#include "worker.h"

struct command_line;
struct event_base;
struct idle;
struct listener;
struct peer;
struct reexec;
struct status;

struct broker {
    struct config *config;                   /* SIGHUP changes what is in it: reload.h */
    const struct command_line *command_line; /* what overrides the files, then too */
    struct event_base *loop;
    struct quota quota;
    struct buffers buffers;
    struct registry registry;
    struct tokens tokens;
    struct deadlines deadlines;
    struct changes changes; /* for who waits and watches */
    struct watches watches;
    struct reaper reaper;
    struct store store;
    struct turns turns;
    struct workers *workers;
    struct memfd_devices devices;
    uint32_t birth_seals; /* that the kernel gives a memfd unasked: EXEC, where it has it */
    int own_descriptors;  /* /proc/self/fd, for memfd_reopen_at; -1 where there is no /proc */
    struct listener *listeners;
    struct idle *idle;     /* NULL: it never leaves by itself */
    struct status *status; /* NULL: nobody wants to know */
    struct reexec *reexec;
    LIST_HEAD(peers, peer) peers;
    TAILQ_HEAD(flying_peers, peer) in_flight; /* those with descriptors in flight, sent to longest ago first */
    struct ledger *ledger;                    /* what outlives this process: instance, ids and counters, too */
    struct counters *counters;
    bool ledger_is_stored; /* the service manager has this ledger, and no other one */
    bool is_resting;       /* for the next program: reexec.c */
    bool takes_over;       /* from a program that has executed this one */
    bool is_trial;         /* it only tries whether it could take over from a running one: nobody else must notice */
    uint64_t started_ns;
    uint64_t looked_ns;               /* when flight.c last looked who has read */
    uint8_t in[SEALBUF_MAX_MESSAGE];  /* the message in hand */
    uint8_t out[SEALBUF_MAX_MESSAGE]; /* and its reply */
};

#endif
