/* SPDX-License-Identifier: MIT */
/*
 * Upgrade in place: SIGUSR2, or REEXEC. The broker's program, which may be a new one by now, takes the place of the one
 * that runs, in the same process, with all that is in the broker (handover.h); clients notice nothing but that it takes
 * a moment.
 *
 * First comes a trial: a child with copies of the descriptors has the program restore everything in memory, while the
 * broker goes on serving. Only if it says that this has worked, what workers are busy with comes to its end, the loop
 * stops, and the very same opened file is executed. Until then everything that fails leaves the broker as it was.
 */
#ifndef DAEMON_REEXEC_H
#define DAEMON_REEXEC_H

#include <stdbool.h>
#include <stdint.h>

struct broker;
struct reexec;
struct takeover;

/*
 * To be called before anything is executed. `argv` is that of main. `takeover`: what this program was started with to
 * take over, or NULL. NULL: no memory.
 */
struct reexec *reexec_new(struct broker *broker, char **argv, const struct takeover *takeover);
void reexec_free(struct reexec *reexec);

/* -EALREADY: it is under way; else it begins, and reexec_is_under_way until it has failed: if it has not, it is over.
 */
int reexec_start(struct reexec *reexec);
bool reexec_is_under_way(const struct reexec *reexec);
/* Why the last one failed: a sentence. */
const char *reexec_failure(const struct reexec *reexec);

/* After a takeover: for how long nobody was served; now everybody is again. */
void reexec_done(struct reexec *reexec, const struct takeover *takeover);
uint64_t reexec_waited_ns(const struct reexec *reexec);

#endif
