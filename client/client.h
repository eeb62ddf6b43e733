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
#include "standing.h"

/* What the program that watches wants to hear, and what it knows. */
struct watching {
    sealbuf_change_fn *fn; /* NULL: nothing any more */
    bool descriptors;      /* it has asked for them */
    bool told;             /* something, so that it must hear of what it may have missed */
    bool interrupted;      /* by the end of a connection: it has not heard of that yet */
    bool busy;             /* its function runs, so that the call must not be freed */
    bool over;             /* it was to be freed meanwhile */
};

/* What a descriptor in the reply must be, whatever the broker says of it. */
struct expectation {
    uint32_t seals;
    bool writable;
    bool sized; /* the size was asked for */
    uint64_t size;
};

struct call {
    TAILQ_ENTRY(call) link;
    LIST_ENTRY(call) bucket; /* of those that stand */
    const struct operation *operation;
    uint32_t serial;
    uint64_t number;      /* counts up with every call: what has the lower one was submitted earlier */
    uint16_t count;       /* records asked for */
    sealbuf_reply_fn *fn; /* NULL: nobody wants to know */
    void *userdata;
    bool secret;          /* there is a token in the request */
    int outcome;          /* 0, or why there will be no reply: how it ends when its turn comes */
    const char *sentence; /* about the outcome; NULL: the table's */
    bool unknown;         /* it may have been carried out: the program is told */
    unsigned tries;       /* connections that ended after it had been sent, and before it was answered */
    int64_t give_up_at;   /* while there is no connection; -1: never. Of one that stands: when its time is over */
    int64_t submitted;    /* of one that stands: when */
    uint64_t wait_ms;     /* of a GET that waits; 0: for ever */
    bool stands;          /* a GET that waits, or a watch: it is in the table of those, not in the list */
    bool cancelled;       /* CANCEL is on its way */
    struct watching watching;
    uint8_t *message; /* of a request that may be repeated, else NULL */
    size_t length;
    sealbuf_buffer *adopting;      /* gets its id from the reply */
    struct expectation expected[]; /* of each record's descriptor, where the reply carries some */
};

struct sealbuf_client {
    int socket;     /* -1 while there is no connection */
    int timeout_ms; /* of a synchronous call; -1: for ever */
    int broken;     /* 0, or the error that ended the connection */
    uint32_t last_serial;
    uint64_t last_number;
    size_t pending;     /* calls that have no reply yet, without the watches */
    struct calls calls; /* those that are answered in their order */
    struct standing standing;
    struct outbox outbox;    /* the requests of the last so many calls of both kinds: nothing of them has been sent */
    unsigned watch_messages; /* that were read in this dispatch */
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
    char *token;   /* of SHARE: SEALBUF_TOKEN_SIZE bytes, else NULL */
    uint32_t kind; /* of WATCH: of change */
    union {
        struct sealbuf_info info;
        struct sealbuf_account account; /* of ACCOUNTS */
    };
};

struct sealbuf_reply {
    bool kept; /* its callback has taken it over */
    int status;
    const char *sentence;
    uint64_t generation; /* that the name is at, where the whole request is refused for that */
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
/* The one that was submitted first behind `last` (NULL: of all), whatever its kind. Both may be gone already where the
   next of each kind is known: so one walks with two of them. */
struct walk {
    struct call *ordered, *standing;
};
struct walk walk_begin(const sealbuf_client *client);
/* NULL at the end. What it returns may be removed. */
struct call *walk_next(struct walk *walk);
/* Takes it out of the pending ones. */
void call_remove(sealbuf_client *client, struct call *call);
/* It will get no reply: it ends so when its turn comes. */
void call_end_later(sealbuf_client *client, struct call *call, int outcome, const char *sentence);
static inline bool call_is_watch(const struct call *call)
{
    return call->operation->opcode == SEALBUF_OP_WATCH;
}
/* Forgets what is in it, too. */
void call_free(struct call *call);
/* Ends it for good: everybody who waits is told. Returns the error. */
int client_break_off(sealbuf_client *client, int error);
/* The broker's sentence why there is no connection outlives the reply. */
void client_keep_refusal(sealbuf_client *client, int error, const char *sentence);

/* ---- cancel.c ---- */

/* Takes out of the outbox what has not been sent of the call. */
void take_out_message(sealbuf_client *client, const struct call *call);
/* Tells the broker that nobody wants to know any more. What stands stays until the broker has confirmed that. */
void cancel_standing(sealbuf_client *client, struct call *call);

/* ---- watch.c ---- */

/* Tells the program of a message full of changes; the reply is freed. */
void watch_tell(sealbuf_client *client, struct call *call, struct sealbuf_reply *reply);
/* The watch, which is pending no more, has ended: tells that, and frees the call. */
void watch_end(sealbuf_client *client, struct call *call, int error, const char *sentence);
/* A message of it could not be taken in: the program hears that it has ended, the broker that it is to end. */
void watch_fail(sealbuf_client *client, struct call *call, int error);

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
/* The same for what may be longer than the clock goes; 0: for ever. */
int64_t deadline_after_wait(uint64_t wait_ms);
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
