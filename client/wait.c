/* SPDX-License-Identifier: MIT */
/* Waiting: for events in somebody's loop, and for the reply of a synchronous call. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "cleanup.h"
#include "client.h"

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

int deadline_left(int64_t deadline)
{
    int64_t left = deadline < 0 ? -1 : deadline - now_ms();

    if (left > INT_MAX)
        return INT_MAX;
    return deadline < 0 || left > 0 ? (int)left : 0;
}

int64_t deadline_after_wait(uint64_t wait_ms)
{
    return wait_ms == 0 || wait_ms > INT64_MAX / 2 ? -1 : now_ms() + (int64_t)wait_ms;
}

/* 0: the time is up. Positive: there is something to dispatch, perhaps. Without a socket only time passes. */
static int wait_for_events(sealbuf_client *client, int timeout_ms)
{
    struct pollfd waited = {.fd = client->socket, .events = (short)sealbuf_events(client)};
    int due = link_up(&client->link) ? -1 : link_due(client);
    bool shorter = due >= 0 && (timeout_ms < 0 || due < timeout_ms);
    int r = poll(&waited, 1, shorter ? due : timeout_ms);

    if (r < 0)
        return errno == EINTR ? 1 : -errno;
    return r == 0 ? shorter : r;
}

int sealbuf_wait(sealbuf_client *client, int timeout_ms)
{
    int r = wait_for_events(client, timeout_ms);
    return r <= 0 ? r : sealbuf_dispatch(client);
}

/* The core would free the reply after this callback; the waiting caller frees it instead. */
void waiting_done(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    struct waiting *waiting = userdata;

    (void)client;
    waiting->done = true;
    waiting->reply = reply;
    reply->kept = true;
}

int client_fail(sealbuf_client *client, int error, const char *sentence)
{
    if ((!sentence || !sentence[0]) && error == client->broken)
        sentence = client->refusal;
    if ((!sentence || !sentence[0]) && client->reason[0])
        sentence = client->reason;
    if (sentence && sentence[0])
        snprintf(client->sentence, sizeof(client->sentence), "%s", sentence);
    else
        snprintf(client->sentence, sizeof(client->sentence), "%s%s%s", sealbuf_strerror(error),
                 sealbuf_error_remedy(error)[0] ? "; " : "", sealbuf_error_remedy(error));
    client->reason[0] = '\0';
    return error;
}

static int wait_in_poll(sealbuf_client *client, int64_t deadline)
{
    int left = deadline_left(deadline);
    int r = left ? wait_for_events(client, left) : 0;

    if (r == 0)
        return deadline_left(deadline) ? 0 : -SEALBUF_ERR_TIMED_OUT; /* poll(2) does not wait for more than 24 days */
    return r < 0 ? r : client_dispatch(client, MSG_DONTWAIT);
}

/* The time is up, or the connection has ended. How it may have gone with the request is more than that. */
static int end_waiting(sealbuf_client *client, int serial, int error)
{
    const struct call *call = serial > 0 ? call_find(client, (uint32_t)serial) : NULL;
    const char *sentence = NULL;

    if (call && call->outcome) {
        error = call->outcome;
        sentence = call->sentence;
    } else if (error == -SEALBUF_ERR_TIMED_OUT && !link_up(&client->link)) {
        error = -SEALBUF_ERR_DISCONNECTED;
        sentence = link_sentence(client);
    }
    if (serial > 0)
        sealbuf_cancel(client, serial);
    return client_fail(client, error, sentence);
}

/* A GET that waits has its own time first, and then the one in which the broker is to say that it is over. */
static int64_t deadline_of(const sealbuf_client *client, int serial)
{
    const struct call *call = serial > 0 ? call_find(client, (uint32_t)serial) : NULL;

    if (!call || !call->stands)
        return deadline_after(client->timeout_ms);
    return call->give_up_at < 0 || client->timeout_ms < 0 ? -1 : call->give_up_at + client->timeout_ms;
}

int wait_for(sealbuf_client *client, int serial, struct waiting *waiting)
{
    bool alone = client->pending == 1 && STAILQ_EMPTY(&client->outbox) && link_up(&client->link);
    int64_t deadline = deadline_of(client, serial);
    int r = serial;

    if (!link_up(&client->link))
        link_hurry(client);

    /*
     * Nothing else to do on this connection but to wait for this reply: then one recvmsg that waits, for as long as
     * SO_RCVTIMEO says, does what poll and recvmsg would do. A signal ends it before its time.
     */
    if (r >= 0 && alone)
        r = client_dispatch(client, 0);
    while (r >= 0 && !waiting->done)
        r = wait_in_poll(client, deadline);
    if (waiting->done)
        return 0;
    return end_waiting(client, serial, r);
}
