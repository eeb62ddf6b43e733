/* SPDX-License-Identifier: MIT */
/*
 * Closes descriptors of buffers. The last close of a big one frees its pages, 40 ms a GiB: that is a job for a worker.
 * A descriptor that waits for its close still takes a slot in the table, so it is counted until it is gone.
 */
#ifndef DAEMON_REAPER_H
#define DAEMON_REAPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "packet.h"
#include "quota.h"
#include "worker.h"

/*
 * Foreign descriptors of one uid that may wait: with more it is not read from until some are closed; and it is not
 * listened to any more where none could be closed for a second.
 */
#define FOREIGN_AT_MOST 256u

struct reaper {
    struct workers *workers;
    struct workers *foreign;   /* a thread of its own, which may be stuck for ever */
    uint64_t foreign_moved_ns; /* when the last foreign one was closed, or the first one came */
    struct quota *quota;
    struct close_job *batch; /* gathers descriptors between reaper_begin_batch and reaper_end_batch */
    size_t pending;          /* descriptors that wait */
};

/* Closes fd, here where that takes no time, else on a worker. */
void reaper_close(struct reaper *reaper, int fd);

/* Closes fd, whatever it is, on a worker. */
void reaper_close_on_worker(struct reaper *reaper, int fd);

/* Calls look for each descriptor that waits for its close, where the workers are held. */
typedef void reaper_pending_fn(int fd, void *userdata);
void reaper_each_pending(const struct reaper *reaper, reaper_pending_fn *look, void *userdata);

/*
 * Closes what a client of this uid has sent and nobody has taken. A memfd is closed as above. Anything else is foreign:
 * its close may wait for the server of a file system (FUSE's FLUSH), for ever if that likes; so a thread of its own
 * does it, and it is charged to the uid meanwhile.
 */
void reaper_close_received(struct reaper *reaper, uid_t uid, struct descriptors *list);
/* Closes a peer's socket that is shut down, and in which descriptors may be unread, of whatever kind: the same way. */
void reaper_close_unread(struct reaper *reaper, uid_t uid, int socket);
/* Whether so many of this uid's wait that it should send no more now; or ever. */
enum patience { PATIENCE_LEFT, PATIENCE_SHORT, PATIENCE_GONE };
enum patience reaper_patience(const struct reaper *reaper, uid_t uid);

/* Between these two every descriptor goes to a worker, many in one job: for the end of a client that had many. */
void reaper_begin_batch(struct reaper *reaper);
void reaper_end_batch(struct reaper *reaper);

#endif
