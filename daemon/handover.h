/* SPDX-License-Identifier: MIT */
/*
 * The handover: what a broker gives to the program that takes its place in the same process (reexec.h), or that only
 * tries whether it could. A memfd with records (handover_schema.h, ledger_schema.h), and descriptors that both have.
 *
 * What is in the ledger goes on there, and the descriptors of its buffers are listed; all else is in records: buffers
 * that no restart would leave, listeners, and connections with what they hold, take, have asked for and not yet read.
 */
#ifndef DAEMON_HANDOVER_H
#define DAEMON_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handover_schema.h"
#include "ledger_schema.h"

struct broker;

enum handover_kind {
    HANDOVER_NONE,
    HANDOVER_HEADER,
    HANDOVER_LISTENER,
    HANDOVER_LEDGER, /* a handover_descriptor */
    HANDOVER_STORED, /* of a buffer that is in the ledger */
    HANDOVER_MEMFD,  /* of a buffer that is not; it comes before its */
    HANDOVER_BUFFER, /* ledger_buffer */
    HANDOVER_NAME,   /* ledger_name, not in the ledger */
    HANDOVER_TOKEN,  /* ledger_token, not in the ledger */
    HANDOVER_PEER,
    HANDOVER_HELD, /* from here on: of the peer before */
    HANDOVER_REPLY,
    HANDOVER_CLAIM,
    HANDOVER_REMOVAL, /* a handover_held that is to be removed from the store */
    HANDOVER_CLOSING, /* a handover_descriptor that is to be closed on a worker */
    HANDOVER_END,
    HANDOVER_WAIT,      /* of the peer before, too */
    HANDOVER_CONNECTED, /* of the peer before, too */
    HANDOVER_WATCH,     /* of the peer before, too */
    HANDOVER_KINDS
};

/* ---- Handing over ------------------------------------------------------------------------------------------------ */

struct handover {
    int fd;           /* the memfd */
    int *descriptors; /* that the other program is to inherit, besides */
    size_t count, room;
    uint64_t nonce; /* in the header: whoever knows it has read that */
    uint64_t records;
    struct writer writer; /* what is not yet in the memfd */
    int error;            /* the first that there was */
};

/*
 * All that the broker is, as it is now; nothing of it is changed. There must be no foreign descriptor; and, but for a
 * trial, no peer in the middle of something (peer_is_in_the_middle). `program`: where the broker's program was found.
 * 0, or a negative errno. To handover_free in any case, which closes nothing but the memfd.
 */
int handover_save(struct broker *broker, const char *program, uint64_t stopped_ns, struct handover *handover);
void handover_free(struct handover *handover);

/* For handover_save: begins with a header, whose magic, format and nonce are filled in here. */
int handover_begin(struct handover *handover, const struct handover_header *header);
int handover_finish(struct handover *handover);
void handover_add(struct handover *handover, enum handover_kind kind, const void *record);
/* The descriptor is to be inherited; as it is in the record. */
uint32_t handover_descriptor(struct handover *handover, int fd);

/* ---- Taking over ------------------------------------------------------------------------------------------------- */

struct takeover {
    int fd;
    int report; /* where a trial tells that it has worked; -1: it is none */
    const uint8_t *start;
    size_t size;
    struct reader reader;
    uint64_t records;              /* that were read */
    struct handover_header header; /* its strings are in the memfd */
};

/*
 * Looks whether this program was started to take over (SEALBUFD_HANDOVER, which it removes from the environment). 0: it
 * was not. 1: it was, and can read the header. Or a negative errno; why has been logged.
 */
int takeover_begin(struct takeover *takeover);
/* Makes of the broker what it was. 0, or a negative errno; why has been logged. */
int takeover_restore(struct takeover *takeover, struct broker *broker);
/* To who waits for the trial: it has worked. 0 or a negative errno. */
int takeover_report(const struct takeover *takeover);
void takeover_end(struct takeover *takeover);
static inline bool takeover_is_trial(const struct takeover *takeover)
{
    return takeover && takeover->report >= 0;
}

/* For takeover_restore. */
union handover_record {
    struct handover_header header;
    struct handover_listener listener;
    struct handover_descriptor descriptor;
    struct ledger_buffer buffer;
    struct ledger_name name;
    struct ledger_token token;
    struct handover_peer peer;
    struct handover_held held;
    struct handover_reply reply;
    struct handover_claim claim;
    struct handover_end end;
    struct handover_wait wait;
    struct handover_connected connected;
    struct handover_watch watch;
};
/* The next record, whose strings are in the memfd. 0 where there is none that can be read. */
enum handover_kind takeover_next(struct takeover *takeover, union handover_record *record);

/* What a program finds the number of the memfd in; and, on trial, that of one where it is to report. */
#define HANDOVER_VARIABLE "SEALBUFD_HANDOVER"
#define TRIAL_VARIABLE    "SEALBUFD_TRIAL"

#endif
