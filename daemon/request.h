/* SPDX-License-Identifier: MIT */
/* A request while it is served: its records, who sent it, and the reply that grows. */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include "broker.h"
#include "codec.h"
#include "outbox.h"
#include "packet.h"
#include "peer.h"

struct aside;
struct atomic;
struct paused;

/* Where a LIST goes on. */
struct place {
    bool begun; /* behind this name, else at the first one */
    uid_t owner;
    uint8_t length;
    char text[SEALBUF_MAX_NAME];
    bool shown; /* a name is in the page; this is the last one */
    uid_t shown_owner;
    uint8_t shown_length;
    char shown_text[SEALBUF_MAX_NAME];
    size_t names_at; /* where in the reply they begin */
};

/* Where a search for the first name goes on: of bytes alone. */
struct search {
    bool begun;       /* behind this name, else at the first one */
    bool passed_over; /* there were some that may not be got, at least not now, or not by this peer */
    uint8_t length;
    char text[SEALBUF_MAX_NAME];
};

/* Every record that a request or a reply can have: room for any, and a name for each. */
union request_record {
    struct hello_request hello;
    struct create_request create;
    struct seal_request seal;
    struct adopt_request adopt;
    struct publish_request publish;
    struct get_request get;
    struct target_request target;
    struct list_request list;
    struct share_request share;
    struct revoke_request revoke;
    struct accounts_request accounts;
    struct touch_request touch;
    struct watch_request watch;
    struct cancel_request cancel;
};

union reply_record {
    struct hello_reply hello;
    struct outcome outcome;
    struct buffer_record buffer;
    struct stats_reply stats;
    struct token_record token;
    struct event_record event;
};

struct request {
    struct peer *peer;
    struct broker *broker;
    struct header header;
    const struct operation *operation;
    const uint8_t *message;
    size_t length;
    struct reader records;           /* that are left */
    union request_record *only;      /* the record, decoded, of a request that has but one */
    struct descriptors *descriptors; /* that came with it; what nobody takes is closed */
    struct seal_job *sealed;         /* what the worker reports, if it was asked; owned */
    struct seal_job *to_seal;        /* what is to be asked of a worker, while the request is looked through; owned */
    struct store_job *stored;        /* what came of the wait for the store, if there was one; owned */
    struct store_job *to_store;      /* what is to be waited for, while the request is looked through; owned */
    const struct aside *aside;       /* what it was, if it was put aside */
    bool looked_through, looked_for_store;
    unsigned index; /* of the record in hand */
    struct writer reply;
    unsigned replies; /* records in it */
    struct shipment shipment;
    struct buffer *borrowed[SEALBUF_MAX_RECORDS]; /* whose the descriptors in it are that it does not own */
    unsigned pinned;                              /* so many of them are, since it was paused */
    struct paused *paused;                        /* where this is kept, if it was paused */
    unsigned atomic_records;                      /* all of them, where it is to be served as a whole (atomic.h) */
    unsigned waiting_records;                     /* that say WAIT, of a GET */
    bool is_checked;                              /* and has been judged */
    struct atomic *atomic;                        /* what there is of its reply; owned */
    bool has_evicted;                             /* names have gone, so that it can be served */
    bool is_lost;                                 /* what was sent before its reply could not be */
    bool sent;                                    /* there is but closing left to do */
    bool done;                                    /* not even that */
    struct place place;                           /* of a LIST */
    struct search search;                         /* of the first name, for the record in hand */
    struct claim *claim;                          /* that the record in hand has made */
    struct token *redeemed;                       /* that it has used, if it fits into the reply */
    uint8_t token[SEALBUF_TOKEN_SIZE];            /* that it has made */
    char sentence[SEALBUF_MAX_TEXT];              /* why the record in hand is refused */
    uint64_t at_generation;                       /* with GENERATION: where its name is; 0: it is not bound */
};

/*
 * Writes the sentence: the detail, or the table's cause where there is none to tell, and the table's remedy. Returns
 * code, so that a handler can say `return refuse(request, SEALBUF_ERR_...)`.
 */
int refuse(struct request *request, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with a remedy in the sentence already, where the table's would mislead. */
int refuse_with_remedy(struct request *request, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int refuse_limit(struct request *request, int code, const struct limit_met *met);
/* Logs the sentence; for a uid that meets the same limit, by its key, again and again, once a minute. */
void log_refusal(struct request *request, const char *message_id, const char *limit);

/* What a handler of a whole request returns that has put it aside, to be called again. */
#define REQUEST_ASIDE 2
/* It has no reply for now: somebody else will answer it (wait.h, watch.h). */
#define REQUEST_DETACHED 3
/* What a handler of a record returns that needs another turn: to be called again, as if for the first time. */
#define REQUEST_AGAIN 4

/* The buffer's own descriptor, into the shipment. */
void request_ship(struct request *request, struct buffer *buffer);
/* What has been borrowed until now must be there when it is sent; or need not be any more. */
void request_pin(struct request *request);
void request_unpin(struct request *request);

/* The next record, of a request that was validated; it lives until the next call. */
const union request_record *next_record(struct request *request, union request_record *room);

/*
 * Has `look` see each record, from the one in hand on, until the turn is over. 1 then: to be called again. Else the
 * first record is in hand again, and what it returns is 0 at the end, or the negative errno of a look, which ends it. A
 * look that returns REQUEST_AGAIN has seen nothing yet.
 */
int request_look_through(struct request *request, int (*look)(struct request *, const union request_record *));

/* What comes of preparing a request, before it is served: sealing.h, storing.h. */
enum preparing {
    PREPARING_NOT_NEEDED, /* it can be served */
    PREPARING_STARTED,    /* it waits for somebody; afterwards its peer gets its turn */
    PREPARING_PAUSED,     /* the turn is over: to be called again */
    PREPARING_FAILED,
};

/* A span as printf's "%.*s" wants it. */
#define SPAN_ARGS(span) (int)(span).length, (span).data

#endif
