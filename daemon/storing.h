/* SPDX-License-Identifier: MIT */
/*
 * Waiting until what is published is in the service manager's store: a PUBLISH is answered only when its buffers
 * survive the broker, unless it says that they need not.
 *
 * So a request is looked through first, as for seals (sealing.h). Where all of its buffers are stored already, or need
 * not be, or where there is no store, it is served at once. Else it is put aside until the manager has confirmed each
 * of them, and then it is served as if it had just come.
 */
#ifndef DAEMON_STORING_H
#define DAEMON_STORING_H

#include <stdbool.h>
#include <stdint.h>

#include "request.h"

struct store_job;

/* Looks through a PUBLISH request whose seals are there. FAILED: *error and *met as of sealing_start. */
enum preparing storing_start(struct request *request, struct limit_met *met, int *error);

/* Whether nothing is waited for any more: dispatch_stored can go on. */
bool storing_is_done(const struct store_job *job);
/* The message that it was made for, and what a worker has reported of its seals before, which is the caller's now. */
const uint8_t *storing_message(const struct store_job *job, size_t *length);
struct seal_job *storing_take_sealed(struct store_job *job);

/* The request is done with, or its peer has gone: what nobody waits for any more need not be stored. NULL is allowed.
 */
void storing_free(struct store_job *job);

/* Whether the buffer of the record in hand may be published: 0, or a refusal that says why it was not stored. */
int storing_check(struct request *request, const struct buffer *buffer, uint32_t flags);

#endif
