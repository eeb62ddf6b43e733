/* SPDX-License-Identifier: MIT */
/*
 * What an earlier broker has left: descriptors with names, of which one is the ledger. Nothing is believed: each
 * descriptor is held against what the ledger says of it, and what does not fit is dropped, with a line for the
 * operator. The same serves the service manager's descriptor store and a broker that re-executes itself.
 */
#ifndef DAEMON_RESTORE_H
#define DAEMON_RESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "ledger_schema.h"

struct broker;

/* Whether a broker may have something stored by this name. */
bool restore_is_kept_name(const char *name);
/* Whether it is what the service manager calls that which was stored without any. */
bool restore_is_unnamed(const char *name);

struct inherited {
    const char *name; /* only for the duration of the call */
    int fd;           /* restore takes it */
};

/*
 * Finds the ledger among what was inherited, or makes a new one: broker->ledger. Takes back the buffers, names and
 * tokens, charged to their accounts whatever the limits are. Takes all descriptors; those that are not used are closed,
 * and the service manager is asked to forget them (unless broker->is_trial). 0, or a negative errno where there can be
 * no ledger at all: it has been logged.
 *
 * For a program that takes over, or tries to (broker->takes_over; handover.h), there must be a ledger that can be
 * opened, and on trial none of its records may be of a kind that this program does not know: or it would lose what the
 * one before still has. All buffers stay held by `holder`, as their names may be elsewhere: to be let go of once all
 * are there. Else `holder` is empty afterwards.
 *
 * What must be there before: quota, buffers, registry, tokens, reaper, devices.
 */
int restore(struct broker *broker, struct inherited *inherited, size_t count, struct held_buffers *holder);
void restore_let_go(struct broker *broker, struct held_buffers *holder);

/*
 * Single records, as restore() takes them; for the handover. NULL where it is restored; else why it is not, for a line.
 *
 * A buffer takes *fd where it is restored. It is held by `holder` until buffer_unhold; what it has then no name for
 * goes. A name or token needs its buffer. A name that is there already is taken over: what comes later counts. `slot`
 * is where the record is in the ledger, or 0.
 */
const char *restore_buffer(struct broker *broker, const struct ledger_buffer *record, uint32_t slot, int *fd,
                           struct held_buffers *holder, struct buffer **buffer);
const char *restore_name(struct broker *broker, const struct ledger_name *record, uint32_t slot);
const char *restore_token(struct broker *broker, const struct ledger_token *record, uint32_t slot);

#endif
