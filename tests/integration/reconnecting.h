/* SPDX-License-Identifier: MIT */
/* What the tests of the library's reconnecting share: a client, the events that it has told, and the replies. */
#ifndef TESTS_INTEGRATION_RECONNECTING_H
#define TESTS_INTEGRATION_RECONNECTING_H

#include "fake_broker.h"

#define CREATE(...)     OPTIONS(sealbuf_create_options, __VA_ARGS__)
#define GET(...)        OPTIONS(sealbuf_get_options, __VA_ARGS__)
#define TARGET(...)     OPTIONS(sealbuf_target, __VA_ARGS__)
#define PUBLISH(...)    OPTIONS(sealbuf_publish_options, __VA_ARGS__)
#define EVENTS_KEPT     64
#define REPLIES_AT_MOST 2000

/* All that was told, and the first of them. */
extern struct told {
    unsigned count, of_kind[8];
    struct sealbuf_event event[EVENTS_KEPT];
    char sentence[EVENTS_KEPT][SEALBUF_MAX_TEXT + 1];
} told;

/* What the callbacks have seen, in order. */
extern struct replies {
    unsigned count;
    int status[REPLIES_AT_MOST];
    unsigned number[REPLIES_AT_MOST];
} replies;

sealbuf_event_fn note_event;
/* A callback; userdata is a number. */
sealbuf_reply_fn note_reply;
void *numbered(unsigned number);

/* Connects there (NULL: $SEALBUF_SOCKET), with events going to `told`. */
sealbuf_client *connect_and_listen(const char *address, int timeout_ms);
struct sealbuf_connection connection_of(const sealbuf_client *client);
/* The first event of this kind, which must be there. */
const struct sealbuf_event *event_of(uint32_t kind);
/* Turns until nothing is pending. */
void wait_until_answered(sealbuf_client *client);
double seconds_now(void);

#endif
