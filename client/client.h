/* SPDX-License-Identifier: MIT */
/*
 * The inside of a sealbuf_client: a socket, the calls that have no reply yet, and the messages that wait to be sent.
 *
 * There is one core, and it never waits: call_begin, call_add, call_submit put a request on its way, client_dispatch
 * turns what has arrived into callbacks. A synchronous function is a call with a callback that stores the reply, and a
 * wait for it.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "buffer.h"
#include "codec.h"
#include "outbox.h"
#include "packet.h"

/* What a descriptor in the reply must be, whatever the broker says of it. */
struct expectation {
    uint32_t seals;
    bool writable;
    bool sized; /* the size was asked for */
    uint64_t size;
};

struct call {
    STAILQ_ENTRY(call) link;
    const struct operation *operation;
    uint32_t serial;
    uint16_t count;       /* records asked for */
    sealbuf_reply_fn *fn; /* NULL: nobody wants to know */
    void *userdata;
    bool secret;                   /* there is a token in the request */
    int unsent;                    /* 0, or why the kernel did not take it: its outcome when its turn comes */
    sealbuf_buffer *adopting;      /* gets its id from the reply */
    struct expectation expected[]; /* of each record's descriptor, where the reply carries some */
};

STAILQ_HEAD(calls, call);

struct sealbuf_client {
    int socket;
    int timeout_ms; /* of a synchronous call; -1: for ever */
    int broken;     /* 0, or the error that ended the connection */
    uint32_t last_serial;
    size_t pending;
    struct calls calls;
    struct outbox outbox;
    struct writer writer; /* the request that is being made, in `out` */
    struct shipment shipment;
    struct sealbuf_reply *kept; /* the last STAT's, whose strings the caller may still read */
    char *address;
    char sentence[SEALBUF_MAX_TEXT + 1];
    char refusal[SEALBUF_MAX_TEXT + 1]; /* the broker's sentence, where it refused the connection; else "" */
    uint8_t in[SEALBUF_MAX_MESSAGE];
    uint8_t out[SEALBUF_MAX_MESSAGE];
};

struct reply_record {
    int status; /* 0 or a negative error */
    const char *sentence;
    sealbuf_buffer *buffer;
    char *token; /* of SHARE: SEALBUF_TOKEN_SIZE bytes, else NULL */
    union {
        struct sealbuf_info info;
        struct sealbuf_account account; /* of ACCOUNTS */
    };
};

struct sealbuf_reply {
    bool kept; /* its callback has taken it over */
    int status;
    const char *sentence;
    size_t count;
    bool more; /* of LIST: there is another page, after info of the last record or `next` */
    uint32_t next_owner;
    const char *next;
    struct stats_reply stats; /* of STATS; its version points into the strings */
    struct hello_reply hello;
    struct reply_record records[];
};

/* ---- client.c ---- */

/* The call that is being made: NULL where there is no memory. `count` records will be added. */
struct call *call_begin(sealbuf_client *client, uint16_t opcode, size_t count, sealbuf_reply_fn *fn, void *userdata);
/* Adds a record. On failure, a negative error, the call is gone. */
int call_add(sealbuf_client *client, struct call *call, const void *record);
/* Ends a call that was not submitted. Returns the error. */
int call_abandon(sealbuf_client *client, struct call *call, int error);
/* Puts it on its way: its serial, or a negative error; it is the client's in any case. */
int call_submit(sealbuf_client *client, struct call *call);
/* Sends what can be sent and reads what there is; `flags` for the first read. Callbacks made, or a negative error. */
int client_dispatch(sealbuf_client *client, int flags);

/* ---- reply.c ---- */

/*
 * Turns a message into a reply, with verified buffers. Descriptors that find no record stay in the list. 0, -ENOMEM, or
 * -SEALBUF_ERR_BAD_REPLY for what no honest broker sends.
 */
int reply_parse(const struct call *call, const uint8_t *message, size_t length, struct descriptors *descriptors,
                struct sealbuf_reply **reply);
/* A reply that says that there will be none. NULL: no memory. */
struct sealbuf_reply *reply_of_failure(int error);
/* Frees it, with the buffers that nobody took. NULL is allowed. */
void reply_free(struct sealbuf_reply *reply);

/* ---- wait.c ---- */

/* Points in time, -1 for never: so many milliseconds from now, -1 for ever; how many are left, 0 where it has come. */
int64_t deadline_after(int timeout_ms);
int deadline_left(int64_t deadline);

/* A slot for the reply of a synchronous call, and the wait for it. */
struct waiting {
    struct sealbuf_reply *reply; /* of the caller, to be freed */
    bool done;
};

/* The callback that fills a slot. */
void waiting_done(sealbuf_client *client, sealbuf_reply *reply, void *userdata);
/*
 * Waits for the reply to the serial that a sealbuf_start_... returned; a negative one is passed through. 0, and then
 * *reply is the caller's and its status may be a failure still; or a negative error.
 */
int wait_for(sealbuf_client *client, int serial, struct waiting *waiting);
/*
 * Keeps the sentence of a failure for sealbuf_error(), and returns the error. NULL or empty: what the broker said when
 * it refused the connection, or else the table's.
 */
int client_fail(sealbuf_client *client, int error, const char *sentence);

#endif
