/* SPDX-License-Identifier: MIT */
/*
 * What a connection holds: the buffers that die with it, as they have no name yet. After a reconnection they are
 * adopted anew, which gives them other ids.
 *
 * A buffer may be used, and freed, by another thread than the one that has the client, and may outlive the client. So
 * this is an object of its own, with a count of those that refer to it, and a lock.
 */
#ifndef CLIENT_HOLDINGS_H
#define CLIENT_HOLDINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "codec.h"
#include "sealbuf.h"

struct holdings;

/* The part of a buffer that tells what it is to the broker. */
struct holding {
    struct holdings *of;    /* NULL: no connection, or one that does not reconnect, knows the buffer */
    sealbuf_buffer *buffer; /* whose part this is, where it is held */
    TAILQ_ENTRY(holding) link;
    LIST_ENTRY(holding) bucket;
    bool held;        /* in the list: it dies with the connection */
    unsigned round;   /* of adopting anew, in which it was looked at */
    int lost;         /* 0, or why the broker did not take it back */
    uint64_t id;      /* by which it is found in here; an id that the object does not have any more, where it is lost */
    uint64_t renewed; /* the id that it gets once all are adopted */
    uint64_t former;  /* the one that it had before, until that has been told; else 0 */
    uint64_t instance;   /* of the broker that gave out the object's id */
    uint32_t label_size; /* of what is kept to adopt it once more: a label, and then metadata */
    uint32_t metadata_size;
    char *description;
};

/* NULL: no memory. */
struct holdings *holdings_new(void);
/* The connection is gone for good; what was held is not, any more. */
void holdings_end(struct holdings *holdings);

/* The buffer's id is one of this connection's broker. */
void holdings_join(struct holdings *holdings, sealbuf_buffer *buffer);
/* The same, and it has no name: without memory for label or metadata it would come back without them. */
void holdings_add(struct holdings *holdings, sealbuf_buffer *buffer, struct span label, struct span metadata);
/* The buffer of this id has a name now, or is gone. */
void holdings_forget(struct holdings *holdings, uint64_t id);
/* A second object for what the first one is. */
void holding_copy(const sealbuf_buffer *from, sealbuf_buffer *to);
/* The object is about to be freed, and its descriptor closed. */
void holding_end(sealbuf_buffer *buffer);
/* The id of the object, 0 where no broker has it (any more). */
uint64_t holding_id(const sealbuf_buffer *buffer);
/* 0, or why the object lost its id. */
int holding_lost(const sealbuf_buffer *buffer);

/* ---- Adopting anew: readopt.c ---- */

/* A new round begins: all are to be looked at. The instance is the one that the broker has told. */
void holdings_begin_round(struct holdings *holdings, uint64_t instance);
/* The next that is to be adopted, with a descriptor that can write where there is one; NULL: none is left. */
struct adoptee {
    uint64_t id;
    int fd; /* the buffer's; good for as long as the lock is held */
    struct span label, metadata;
};
void holdings_lock(struct holdings *holdings);
void holdings_unlock(struct holdings *holdings);
/* With the lock: up to `most` of them, in their order; they are looked at again unless holdings_taken follows. */
unsigned holdings_next(struct holdings *holdings, struct adoptee *adoptees, unsigned most);
/* With the lock: these have been sent. */
void holdings_taken(struct holdings *holdings, const struct adoptee *adoptees, unsigned count);
/* What became of it: a new id, or an error. False: nobody has it any more. */
bool holdings_settle(struct holdings *holdings, uint64_t id, uint64_t renewed, int lost);
/* What an id of before stands for: 0 and *renewed, or a negative error; -ENOENT: not one of those held. */
int holdings_translate(struct holdings *holdings, uint64_t id, uint64_t *renewed);
/* All have been looked at: objects get their new ids, the lost ones go. */
void holdings_commit(struct holdings *holdings);
/* One whose new id has not been told yet; false: none is left. */
bool holdings_untold(struct holdings *holdings, uint64_t *former, uint64_t *id);

#endif
