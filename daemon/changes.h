/* SPDX-License-Identifier: MIT */
/*
 * Changes: what happens to names, for whoever waits for one (wait.h) or watches some. The registry notes each one here,
 * in one step that costs little however many wait: who is concerned is woken later, so many in one turn of the loop.
 *
 * Who waits or watches has a hook, and attaches it to a point: an owner, and a name or the start of names. A change
 * concerns the point of its name, and those of the starts of its name. The hooks of a point that are hung up are woken
 * by the next change that concerns it; each is taken down before, and may be hung up again.
 *
 * Changes are numbered, 1, 2, 3, ..., all owners' together. All numbers here are those, and begin anew in the broker's
 * next program.
 */
#ifndef DAEMON_CHANGES_H
#define DAEMON_CHANGES_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "change_log.h"
#include "codec.h"
#include "sealbuf-protocol.h"
#include "tree.h"

struct name;
struct point;

/* ---- What is woken ----------------------------------------------------------------------------------------------- */

enum hook_kind {
    HOOK_WAIT,  /* woken when a name may be got that could not be; one at a time, where only one can have it */
    HOOK_WATCH, /* woken by every change */
    HOOK_KINDS
};

struct waking {
    uint64_t
        first_seq;   /* the first change that it can be for; none that concerns the point was between it and `since` */
    bool alone;      /* no other one is woken for it: there is only one to be had */
    uint64_t ticket; /* then: what changes_pass_on() wants */
};

struct hook {
    TAILQ_ENTRY(hook) link;
    struct point *point; /* NULL: it is not attached */
    bool hangs;          /* it is to be woken */
    uint64_t since;      /* while it hangs: the last change that it need not be woken for */
    enum hook_kind kind;
    /* It does not hang any more. False: this one has no use for it now; where it was alone, another one is woken. It
     * must neither attach nor detach any hook; it may hang itself up. */
    bool (*wake)(struct hook *hook, const struct waking *waking);
};
TAILQ_HEAD(hooks, hook);

/* ---- Points ------------------------------------------------------------------------------------------------------ */

struct namespace;

/* Those of one kind that hang here, the one that hangs longest first. */
struct rack {
    struct hooks hooks;
    uint64_t ripe_seq;  /* who has hung since before this change is to be woken */
    uint64_t first_seq; /* of the changes that made it so */
    uint64_t last_seq;  /* the last change that concerned them, or would have */
};

struct point {
    RB_ENTRY(point) link;
    TAILQ_ENTRY(point) ripe; /* among those with hooks to be woken, while is_ripe */
    struct namespace *namespace;
    struct rack racks[HOOK_KINDS];
    uint64_t tickets;  /* so many more of the waits are to be woken, one for each */
    uint64_t ticket;   /* of those that have hung since before this change */
    uint64_t gone_seq; /* when its name was unbound last; of a name, not of the start of names */
    unsigned attached; /* hooks */
    bool is_ripe;
    bool is_prefix;
    uint8_t length;
    char text[];
};
RB_HEAD(point_tree, point);

/* The points of one owner. It is there as long as something is attached to one. */
struct namespace
{
    RB_ENTRY(namespace) link;
    uid_t owner;
    struct point_tree points;
    unsigned count;                          /* of them */
    unsigned prefixes[SEALBUF_MAX_NAME + 1]; /* of them, of starts of names that have this length */
    unsigned watches;                        /* attached */
    struct change_log log;                   /* while there are any */
};
RB_HEAD(namespace_tree, namespace);

struct changes {
    uint64_t seq; /* the last change */
    struct namespace_tree namespaces;
    TAILQ_HEAD(ripe_points, point) ripe;
    struct event wake; /* active while some are ripe */
};

void changes_init(struct changes *changes, struct event_base *loop);

/* Attaches a hook, whose kind and wake are set; it does not hang yet. 0 or -ENOMEM. */
int changes_attach(struct changes *changes, struct hook *hook, uid_t owner, struct span text, bool is_prefix);
/* Takes it down, too. */
void changes_detach(struct changes *changes, struct hook *hook);

/*
 * It is woken by the first change after `since` that concerns it: changes->seq, or an earlier one, up to which it has
 * looked. False: there was such a change already, and it does not hang; it has to look again.
 */
bool changes_hang(struct changes *changes, struct hook *hook, uint64_t since);
void changes_take_down(struct hook *hook);
/* It hangs, and is among those that are to be woken. */
bool changes_will_wake(const struct hook *hook);

/* Who was woken alone has not got it, nor seen that it is not there: another wait of the point is woken instead. */
void changes_pass_on(struct changes *changes, struct point *point, uint64_t ticket);

/* ---- Changes ----------------------------------------------------------------------------------------------------- */

/* Who could see a name before it was replaced. */
struct visibility {
    gid_t group;
    mode_t mode;
};

/* After a name has been bound (PUBLISHED, or REPLACED with what it was before), and before it is unbound. */
void changes_note(struct changes *changes, enum sealbuf_change_kind kind, const struct name *name,
                  const struct visibility *before);

/* Somebody was taking the buffer of this name, and has not: it can be got again. Nobody but waits is told. */
void changes_note_back(struct changes *changes, const struct name *name);

#endif
