/* SPDX-License-Identifier: MIT */
/* Requests that nobody wants to hear of any more. */
#include <errno.h>

#include "client.h"

void take_out_message(sealbuf_client *client, const struct call *call)
{
    struct outbox others = STAILQ_HEAD_INITIALIZER(others);
    struct parcel *parcel;

    while ((parcel = outbox_first(&client->outbox))) {
        struct header header = {0};
        header_decode(parcel->message, parcel->length, &header);
        if (header.serial == call->serial) {
            outbox_drop_first(&client->outbox);
            break;
        }
        STAILQ_REMOVE_HEAD(&client->outbox, link);
        STAILQ_INSERT_TAIL(&others, parcel, link);
    }
    STAILQ_CONCAT(&others, &client->outbox);
    STAILQ_CONCAT(&client->outbox, &others);
}

/* Without memory it is tried again with the next message of a watch; a GET waits for as long as it was to. */
void cancel_standing(sealbuf_client *client, struct call *call)
{
    struct call *cancel = call_begin(client, SEALBUF_OP_CANCEL, 1, NULL, NULL);
    int r = cancel ? call_add(client, cancel, &(struct cancel_request){.serial = call->serial}) : -ENOMEM;

    if (r < 0)
        return;
    uint32_t serial = call->serial;
    call->cancelled = true;
    r = call_submit(client, cancel);
    /* Where that has broken the connection off, the call is gone. */
    call = r < 0 ? call_find(client, serial) : NULL;
    if (call)
        call->cancelled = false;
}

/* Without a connection every call has its message in the outbox, unless its outcome is certain already. */
static void forget(sealbuf_client *client, struct call *call)
{
    take_out_message(client, call);
    call_remove(client, call);
    if (call->watching.busy)
        call->watching.over = true;
    else
        call_free(call);
}

int sealbuf_cancel(sealbuf_client *client, int serial)
{
    struct call *call = serial > 0 ? call_find(client, (uint32_t)serial) : NULL;

    if (!call || (!call->fn && !call->adopting && !call->watching.fn))
        return -ENOENT;
    call->fn = NULL;
    call->adopting = NULL;
    call->watching.fn = NULL;
    if (call->outcome)
        return 0;
    if (!link_up(&client->link))
        forget(client, call);
    else if (call->stands)
        cancel_standing(client, call);
    return 0;
}
