/* SPDX-License-Identifier: MIT */
/*
 * A client that wants to keep the broker from serving others: a process of its own, of another user where the bench is
 * root. It is prepared once, and then goes and rests as it is told, so that times can be taken with it and without.
 */
#ifndef BENCH_HOSTILE_H
#define BENCH_HOSTILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker.h"

struct flood;

/* What a load knows of where it is, and tells of what it did. */
struct hostile {
    const char *address; /* of the broker */
    bool small;          /* a short measurement, for which less must do */
    bool is_another;     /* of HOSTILE_UID; else of the bench's own user */
    bool yields;         /* to the innocent client, with which it shares a CPU */
    unsigned run_ms;     /* how long it will go at a time */
    uint64_t done;       /* of what load->unit says */
    char note[80];       /* of what size it was, for people; "" where that is plain */
    struct flood *flood; /* of loads that are one */
};

struct load {
    const char *key;                         /* for programs, and --only */
    const char *meaning, *unit;              /* for people: what it does, and what of it is counted */
    bool needs_users;                        /* of its own: see users.h */
    unsigned settling_ms;                    /* until all is quiet after it; 0: the usual time */
    const char *limits[BROKER_LIMITS + 1];   /* of the broker */
    int (*prepare)(struct hostile *hostile); /* all of these: 0, or -1; it has been said why */
    int (*begin)(struct hostile *hostile);   /* to go: what shall not be measured. NULL: nothing */
    int (*step)(struct hostile *hostile);    /* some of it; takes a tenth of a second at most */
    int (*rest)(struct hostile *hostile);    /* until nothing is on its way any more */
};

/* The bench's side of it. */
struct hostile_process {
    const struct load *load;
    pid_t pid;
    int control;
    uint64_t done; /* as it last said */
    char note[80];
};

/* Starts it on this CPU, and waits until it is prepared. -1 where that failed; it has been said why. */
int hostile_start(struct hostile_process *process, const struct load *load, const struct hostile *hostile, int cpu);
int hostile_go(struct hostile_process *process);
int hostile_rest(struct hostile_process *process);
void hostile_stop(struct hostile_process *process);

#endif
