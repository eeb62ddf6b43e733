/* SPDX-License-Identifier: MIT */
/*
 * Changes: what happens to names, for whoever waits for one or watches some. The registry notes each one here, in one
 * step that costs little however many wait; who is concerned is told later, in turns.
 */
#ifndef DAEMON_CHANGES_H
#define DAEMON_CHANGES_H

#include <sys/types.h>

#include "sealbuf-protocol.h"

struct name;

struct changes {
    int unused;
};

/* Who could see a name before it was replaced. */
struct visibility {
    gid_t group;
    mode_t mode;
};

/* After a name has been bound (PUBLISHED, or REPLACED with what it was before), and before it is unbound. */
void changes_note(struct changes *changes, enum sealbuf_change_kind kind, const struct name *name,
                  const struct visibility *before);

#endif
