/* SPDX-License-Identifier: MIT */
/*
 * The threads that wait, so that the loop does not: for pinned pages and inode locks while seals are added, for the
 * pages of a big buffer while its last descriptor is closed. A job owns all that it needs; it sees no other state.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct workers;

struct job {
    STAILQ_ENTRY(job) link;
    void (*run)(struct job *job);  /* on a thread */
    void (*done)(struct job *job); /* on the loop, afterwards; owns the job */
};

/*
 * Threads are started when jobs first need them, up to this many: as long as a process has but one thread, its system
 * calls are cheaper (glibc makes no cancellation points of them). NULL where memory or descriptors are not to be had;
 * errno says which.
 */
struct workers *workers_start(struct event_base *loop, unsigned threads);

/* Queues a job; takes it. Where the system has no thread for it at all, it waits for one. */
void workers_submit(struct workers *workers, struct job *job);

/* Jobs that are queued, run, or wait for `done`. */
size_t workers_pending(const struct workers *workers);

/* While they are held no thread begins with another job: what a re-exec would interrupt comes to its end first. */
void workers_hold(struct workers *workers, bool held);
/* Whether a thread is at work, or what one has done is yet to be heard of. */
bool workers_are_busy(struct workers *workers);
/* Calls look for each job that no thread has begun with; they are held. */
void workers_each_waiting(struct workers *workers, void (*look)(const struct job *job, void *userdata), void *userdata);

/* As workers_stop where nothing is pending; else leaves the threads to what they are stuck in. */
void workers_abandon(struct workers *workers);

/* Lets every job run, calls its `done`, joins the threads, frees. */
void workers_stop(struct workers *workers);

#endif
