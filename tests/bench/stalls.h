/* SPDX-License-Identifier: MIT */
/*
 * Whether a client can keep another one waiting: an innocent client's pings while all is quiet, and while a hostile
 * client of another user does what it can; in rounds of both, so that what the machine does meanwhile hits both.
 */
#ifndef BENCH_STALLS_H
#define BENCH_STALLS_H

#include "hostile.h"
#include "series.h"

/* The 99th percentile under load may be so many times that in quiet. */
#define STALL_RATIO 2.0
/* Where it is more, but the bare server's is so many times that in quiet, too, then it is the machine's doing; the two
   are the same as long as they differ by no more than this factor. */
#define STALL_LIKE_BARE 1.5

struct stall {
    const struct load *load;
    bool wanted;
    bool skipped; /* it needs users that are not there */
    struct series quiet, loaded;
    struct series bare_quiet, bare_loaded; /* the same of a bare server beside the broker: see pinger.h */
    double rate;                           /* what the load did in a second */
    char note[80];
};

/*
 * Where they run. By default the broker has one CPU, and the clients another one: a client's own CPU is its own. A ping
 * then contains two wake-ups across CPUs, as it does for most clients, and its time does not contain what the broker's
 * CPU does for others behind its back. `together` puts the innocent client on the broker's CPU: then a ping takes a
 * third of that, nearly nothing but the broker's work, and shows how long the turns of its loop are; but twice of so
 * little is less than the kernel needs for one system call with 253 descriptors.
 */
struct stall_plan {
    const char *broker;   /* the program */
    const char *only;     /* one load's key, or NULL for all */
    unsigned rounds, run; /* and pings in each run */
    bool small;           /* loads of less size */
    bool realtime;        /* the broker's loop and the innocent client: see realtime.h */
    bool several_users;   /* see users.h */
    bool together;
    int cpu, broker_cpu;
};

struct stalls {
    struct stall *stall;
    unsigned count;
    unsigned rounds, run;
    unsigned repeated; /* rounds that were spoilt, and taken once more */
    uint64_t took_ns;
};

/* Whether there is a load with this key. */
bool stalls_know(const char *key);
/* -1 where it failed; it has been said why. */
int stalls_take(struct stalls *stalls, const struct stall_plan *plan);
void stalls_free(struct stalls *stalls);

enum stall_verdict { STALL_NONE, STALL_BY_MACHINE, STALL_BY_BROKER };
enum stall_verdict stall_judge(const struct stall *stall);
/* Of the 99th percentiles: under load to in quiet. */
double stall_ratio(const struct series *quiet, const struct series *loaded);

#endif
