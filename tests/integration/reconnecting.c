/* SPDX-License-Identifier: MIT */
#include "reconnecting.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct told told;
struct replies replies;

void note_event(sealbuf_client *client, const struct sealbuf_event *event, void *userdata)
{
    ck_assert_ptr_nonnull(client);
    ck_assert_ptr_eq(userdata, &told);
    ck_assert_uint_eq(event->struct_size, sizeof(*event));
    ck_assert_uint_lt(event->kind, COUNT(told.of_kind));
    ck_assert_ptr_nonnull(event->sentence);
    told.of_kind[event->kind]++;
    if (told.count < EVENTS_KEPT) {
        told.event[told.count] = *event;
        snprintf(told.sentence[told.count], sizeof(told.sentence[0]), "%s", event->sentence);
        told.event[told.count].sentence = told.sentence[told.count];
    }
    told.count++;
}

void note_reply(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client;
    ck_assert_uint_lt(replies.count, REPLIES_AT_MOST);
    replies.number[replies.count] = *(unsigned *)userdata;
    replies.status[replies.count++] = sealbuf_reply_status(reply);
}

void *numbered(unsigned number)
{
    static unsigned number_of[REPLIES_AT_MOST];

    number_of[number] = number;
    return &number_of[number];
}

sealbuf_client *connect_and_listen(const char *address, int timeout_ms)
{
    sealbuf_client *client = NULL;
    int r = sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = address, .timeout_ms = timeout_ms));

    ck_assert_msg(r == 0, "connect: %s", sealbuf_strerror(r));
    memset(&told, 0, sizeof(told));
    replies.count = 0;
    sealbuf_on_event(client, note_event, &told);
    return client;
}

struct sealbuf_connection connection_of(const sealbuf_client *client)
{
    struct sealbuf_connection connection = {.struct_size = sizeof(connection)};

    ck_assert_int_eq(sealbuf_connection(client, &connection), 0);
    return connection;
}

const struct sealbuf_event *event_of(uint32_t kind)
{
    for (unsigned i = 0; i < told.count && i < EVENTS_KEPT; i++)
        if (told.event[i].kind == kind)
            return &told.event[i];
    ck_abort_msg("no event of kind %u was told, of %u", kind, told.count);
    return NULL;
}

void wait_until_answered(sealbuf_client *client)
{
    for (int i = 0; i < 10000 && sealbuf_pending(client); i++)
        if (sealbuf_wait(client, 1000) < 0)
            break;
    ck_assert_uint_eq(sealbuf_pending(client), 0);
}

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
