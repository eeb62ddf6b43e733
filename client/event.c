/* SPDX-License-Identifier: MIT */
/* What happens to the connection, told to who wants to hear it, and counted for who asks later. */
#include <errno.h>
#include <string.h>

#include "client.h"

void event_tell(sealbuf_client *client, const struct sealbuf_event *event)
{
    struct sealbuf_event complete = *event;

    complete.struct_size = sizeof(complete);
    complete.instance = client->link.figures.instance;
    if (!complete.sentence)
        complete.sentence = "";
    if (client->on_event)
        client->on_event(client, &complete, client->event_userdata);
}

void sealbuf_on_event(sealbuf_client *client, sealbuf_event_fn *fn, void *userdata)
{
    client->on_event = fn;
    client->event_userdata = userdata;
}

int sealbuf_connection(const sealbuf_client *client, struct sealbuf_connection *connection)
{
    struct sealbuf_connection ours = client->link.figures;

    if (client->broken) {
        ours.state = SEALBUF_CONNECTION_ENDED;
        ours.error = client->broken;
    } else if (!link_up(&client->link)) {
        ours.state = SEALBUF_CONNECTION_AWAY;
        ours.error = client->link.last_error;
    } else {
        ours.state = SEALBUF_CONNECTION_UP;
        ours.error = 0;
    }
    return options_return(connection, &ours, sizeof(ours));
}
