/* SPDX-License-Identifier: MIT */
/*
 * The ledger: what must outlive the broker, but for the buffers themselves, in a memfd of its own that is mapped
 * shared. Records are plain stores into that memory: kill -9 loses none of them, and no disk and no system call is
 * involved. Whoever keeps the memfd keeps them: the service manager's descriptor store, or the broker's successor.
 *
 *     header page | block | block | ...
 *
 * A block is 64 KiB of slots of one size. A slot has a header of 32 bytes (state, size, kind, length, sequence,
 * checksum) and one record, complete in itself. A change writes the new record into a free slot, and then frees the old
 * one; after an end between the two, that with the higher sequence counts. So there is no log and nothing to be
 * compacted, and what is damaged costs the record that it is in and no other. See docs/architecture.md.
 */
#ifndef DAEMON_LEDGER_H
#define DAEMON_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger_schema.h"

/* What the service manager knows it by. */
#define LEDGER_NAME "ledger"

enum ledger_kind { LEDGER_UNKNOWN, LEDGER_BUFFER, LEDGER_NAME_RECORD, LEDGER_TOKEN };
#define LEDGER_KIND_FIRST LEDGER_BUFFER
#define LEDGER_KIND_LAST  LEDGER_TOKEN

/* They go on over a restart. In the ledger as they are: a wrong one harms nobody. */
struct counters {
    uint64_t requests;    /* messages that came */
    uint64_t refused;     /* of them or their records, answered with an error */
    uint64_t disconnects; /* clients that were dropped for what they did */
};

struct ledger;

/* An empty one, with an instance of its own. 0 or a negative errno. */
int ledger_new(struct ledger **ledger);

/*
 * One that another broker has left; takes *fd on success. On trial nothing is changed in the memfd: what is written is
 * seen by this process alone. 0, or a negative errno, and *cause says why, for a line to the operator.
 */
enum ledger_use { LEDGER_FOR_GOOD, LEDGER_ON_TRIAL };
int ledger_open(int *fd, enum ledger_use use, struct ledger **ledger, const char **cause);

/* Lets go of it. What is in the memfd stays there. NULL is fine. */
void ledger_close(struct ledger *ledger);

/* The memfd, for whoever is to keep it. It is the ledger's, and open as long as that is. */
int ledger_fd(const struct ledger *ledger);

/* What HELLO tells: random, and the same as long as ids mean the same. */
uint64_t ledger_instance(const struct ledger *ledger);

/* When it was made, CLOCK_REALTIME: of two the newer one counts. */
uint64_t ledger_created_ns(const struct ledger *ledger);

/* In the memory of the ledger, to be counted up there. */
struct counters *ledger_counters(struct ledger *ledger);

/* An id that no buffer has had. */
uint64_t ledger_next_id(struct ledger *ledger);
/* Of what was found: no id up to this one will be given out. */
void ledger_skip_ids(struct ledger *ledger, uint64_t up_to);
/* False where all copies of the last id were damaged: whoever has seen all ids that are left must skip far. */
bool ledger_ids_are_known(const struct ledger *ledger);

/*
 * Writes a record (struct ledger_buffer, ledger_name, ledger_token, by kind) into a free slot, then frees *slot, unless
 * that is 0, and sets it to the new one. 0 or SEALBUF_ERR_MEMORY; then nothing has changed.
 */
int ledger_put(struct ledger *ledger, enum ledger_kind kind, const void *record, uint32_t *slot);

/* Frees *slot, unless it is 0, and sets it to 0. */
void ledger_clear(struct ledger *ledger, uint32_t *slot);

/*
 * A batch: records that are all found if the broker ends, or none of them. Each is put into a slot of its own with this
 * number as its `batch`; once it is committed they count, and what they replace is to be cleared. There is one batch at
 * a time; one that is not committed is given up by clearing its records.
 */
uint64_t ledger_next_batch(const struct ledger *ledger);
void ledger_commit(struct ledger *ledger, uint64_t batch);
/* Whether a record that was found counts. */
bool ledger_is_committed(const struct ledger *ledger, uint64_t batch);

/*
 * A record that must not be found if the broker ends now, but that may still have to stay: until it is resumed or
 * cleared. Needs no memory. Of slot 0 nothing is suspended.
 */
void ledger_suspend(struct ledger *ledger, uint32_t slot);
void ledger_resume(struct ledger *ledger, uint32_t slot);

/* From now on it changes no more, whatever is put or cleared: the broker is stopping, and forgets what it knows. */
void ledger_detach(struct ledger *ledger);

/*
 * The slots with records of a kind, those that were written first coming first; to be freed by the caller. For each
 * kind, and those that are unknown, right after ledger_open. 0 or -ENOMEM.
 */
int ledger_list(struct ledger *ledger, enum ledger_kind kind, uint32_t **slots, size_t *count);

/*
 * Reads a record of that list; its strings are good until the next one is read. 0; or SEALBUF_ERR_MALFORMED where it is
 * whole and not to be understood, then the slot is to be cleared; or -ENOENT where it is not there any more: on trial.
 */
int ledger_read(struct ledger *ledger, enum ledger_kind kind, uint32_t slot, void *record);

/* Slots that ledger_open found damaged, and freed. */
size_t ledger_damaged(const struct ledger *ledger);

/* Bytes of the memfd. */
uint64_t ledger_size(const struct ledger *ledger);

#endif
