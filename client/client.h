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
#include "holdings.h"
#include "link.h"
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
    bool secret;          /* there is a token in the request */
    int outcome;          /* 0, or why there will be no reply: how it ends when its turn comes */
    const char *sentence; /* about the outcome; NULL: the table's */
    bool unknown;         /* it may have been carried out: the program is told */
    unsigned tries;       /* connections that ended after it had been sent, and before it was answered */
    int64_t give_up_at;   /* while there is no connection; -1: never */
    uint8_t *message;     /* of a request that may be repeated, else NULL */
    size_t length;
    sealbuf_buffer *adopting;      /* gets its id from the reply */
    struct expectation expected[]; /* of each record's descriptor, where the reply carries some */
};

STAILQ_HEAD(calls, call);

struct sealbuf_client {
    int socket;     /* -1 while there is no connection */
    int timeout_ms; /* of a synchronous call; -1: for ever */
    int broken;     /* 0, or the error that ended the connection */
    uint32_t last_serial;
    size_t pending;
    struct calls calls;
    struct outbox outbox; /* the requests of the last so many calls: nothing of them has been sent */
    struct link link;
    struct holdings *holdings; /* NULL where it does not reconnect */
    sealbuf_event_fn *on_event;
    void *event_userdata;
    struct writer writer; /* the request that is being made, in `out` */
    struct shipment shipment;
    struct sealbuf_reply *kept; /* the last STAT's, whose strings the caller may still read */
    char *address;
    char sentence[SEALBUF_MAX_TEXT + 1];
    char refusal[SEALBUF_MAX_TEXT + 1]; /* the broker's sentence, where it refused the connection; else "" */
    char reason[SEALBUF_MAX_TEXT + 1];  /* the library's, of the request that it does not even send; else "" */
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
/* A number that no pending call has; also positive as an int, and never 0. */
uint32_t client_serial(sealbuf_client *client);
/* The pending call with this serial, or NULL. */
struct call *call_find(const sealbuf_client *client, uint32_t serial);
/* Forgets what is in it, too. */
void call_free(struct call *call);
/* Ends it for good: everybody who waits is told. Returns the error. */
int client_break_off(sealbuf_client *client, int error);
/* The broker's sentence why there is no connection outlives the reply. */
void client_keep_refusal(sealbuf_client *client, int error, const char *sentence);

/* ---- connect.c ---- */

/* A socket that is connected to the address, or a negative error: -EAGAIN: the time is up; 0 ms: without waiting. */
int connect_to(const char *address, int timeout_ms, int receive_timeout_ms);
/* HELLO, as a call that is not submitted yet; NULL: no memory. */
struct call *connect_greeting(sealbuf_client *client, sealbuf_reply_fn *fn, void *userdata);

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

int64_t now_ms(void);
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
