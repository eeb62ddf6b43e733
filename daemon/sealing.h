/* SPDX-License-Identifier: MIT */
/*
 * Adding seals to buffers that clients hold. The kernel takes the inode's lock for it, which a client can keep busy for
 * seconds with a big fallocate, and waits for pinned pages before it adds Write: none of that may happen on the loop.
 *
 * So a request that needs seals is looked through first. Where all of them are there, and that is how it should be,
 * since clients can add seals faster themselves, it is served at once. Else it is put aside, a worker adds the seals to
 * duplicates of the descriptors, and then the request is served as if it had just come.
 */
#ifndef DAEMON_SEALING_H
#define DAEMON_SEALING_H

#include <stdbool.h>
#include <stdint.h>

#include "request.h"

struct seal_job;

/*
 * Looks through a SEAL or PUBLISH request, and has a worker add the seals. FAILED: *error is a negative errno: no
 * memory or descriptors to wait with; or -EDQUOT, too many requests of this user wait, *met says how many.
 */
enum preparing sealing_start(struct request *request, struct limit_met *met, int *error);
/* The request goes before that has come to an end. */
void sealing_abandon(struct request *request);

/* What a request had of it, when it is done with. NULL is allowed. */
void sealing_free(struct seal_job *job);

/* Whether the worker has done its part: dispatch_sealed can go on. */
bool sealing_is_done(const struct seal_job *job);
/* The message that it was made for. */
const uint8_t *sealing_message(const struct seal_job *job, size_t *length);

/* Its peer has gone: the job goes on without anybody to tell. */
void sealing_forget_peer(struct seal_job *job);

/*
 * Checks that the buffer has the seals, *now being those that it has: 0, or a refusal that says what the worker met.
 * `verify`: nobody was to add any.
 */
int sealing_check(struct request *request, struct buffer *buffer, uint32_t seals, bool verify, uint32_t *now);

#endif
