/* SPDX-License-Identifier: MIT */
/* LIST, page by page, and STATS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* Where the next page begins. */
struct cursor {
    uint32_t owner;
    char name[SEALBUF_MAX_NAME + 1];
};

static int start_list(sealbuf_client *client, const struct sealbuf_list_options *options, const struct cursor *cursor,
                      struct waiting *waiting)
{
    struct call *call = call_begin(client, SEALBUF_OP_LIST, 1, waiting_done, waiting);
    const char *prefix = options->prefix ? options->prefix : "";
    struct list_request record = {
        .owner = options->flags & SEALBUF_GET_OF_OWNER ? options->owner : SEALBUF_OWNER_SELF,
        .flags = options->flags & ~SEALBUF_GET_OF_OWNER,
        .after_owner = cursor->owner,
        .prefix = SPAN(prefix),
        .after = SPAN(cursor->name),
    };

    if (!call)
        return -ENOMEM;
    int r = call_add(client, call, &record);
    return r < 0 ? r : call_submit(client, call);
}

/* Names come in order: a page that does not lead on from the last one would be asked for for ever. */
static bool leads_on(const struct sealbuf_reply *page, const struct cursor *cursor, uint32_t flags)
{
    if (flags & SEALBUF_LIST_ALL_OWNERS && page->next_owner != cursor->owner)
        return page->next_owner > cursor->owner;
    return strcmp(page->next, cursor->name) > 0;
}

/* Hands out one page. Positive: the callback wants no more. */
static int list_page(sealbuf_client *client, const struct sealbuf_list_options *options, struct cursor *cursor,
                     bool *more, sealbuf_list_fn *fn, void *userdata)
{
    struct waiting waiting = {0};
    int r = wait_for(client, start_list(client, options, cursor, &waiting), &waiting);

    if (r < 0)
        return r;
    struct sealbuf_reply *page = waiting.reply;
    r = page->status;
    if (r < 0)
        client_fail(client, r, page->sentence);
    if (r == 0 && page->more && !leads_on(page, cursor, options->flags))
        r = client_fail(client, -SEALBUF_ERR_BAD_REPLY, NULL);
    for (size_t i = 0; i < page->count && r == 0; i++)
        r = fn(&page->records[i].info, userdata);
    *more = page->more;
    cursor->owner = page->next_owner;
    snprintf(cursor->name, sizeof(cursor->name), "%s", page->next);
    reply_free(page);
    return r;
}

int sealbuf_list(sealbuf_client *client, const struct sealbuf_list_options *given, sealbuf_list_fn *fn, void *userdata)
{
    struct sealbuf_list_options options;
    struct cursor cursor = {0};
    bool more = true;
    int r = OPTIONS_COPY(&options, given);

    client->sentence[0] = '\0';
    if (r < 0)
        return client_fail(client, r, NULL);
    while (r == 0 && more)
        r = list_page(client, &options, &cursor, &more, fn, userdata);
    return r;
}

static void fill_stats(struct sealbuf_stats *stats, const struct stats_reply *said)
{
#define COPY(field) stats->field = said->field
    COPY(pid), COPY(uid), COPY(uptime_ns), COPY(requests), COPY(refused), COPY(disconnects);
    COPY(buffers), COPY(buffers_limit), COPY(bytes), COPY(bytes_limit), COPY(names), COPY(names_limit);
    COPY(connections), COPY(connections_limit), COPY(buffer_size_limit), COPY(jobs), COPY(queued_descriptors);
    COPY(uid_buffers), COPY(uid_buffers_limit), COPY(uid_bytes), COPY(uid_bytes_limit);
    COPY(uid_names), COPY(uid_names_limit), COPY(uid_connections), COPY(uid_connections_limit);
    COPY(stored), COPY(stored_limit), COPY(uid_stored), COPY(uid_stored_limit);
#undef COPY
    snprintf(stats->version, sizeof(stats->version), "%s", said->version.data);
}

int sealbuf_stats(sealbuf_client *client, struct sealbuf_stats *stats)
{
    struct waiting waiting = {0};
    struct sealbuf_stats ours = {0};

    client->sentence[0] = '\0';
    struct call *call = call_begin(client, SEALBUF_OP_STATS, 0, waiting_done, &waiting);
    int r = wait_for(client, call ? call_submit(client, call) : -ENOMEM, &waiting);
    if (r < 0)
        return r;
    r = waiting.reply->status;
    if (r < 0)
        client_fail(client, r, waiting.reply->sentence);
    else
        fill_stats(&ours, &waiting.reply->stats);
    reply_free(waiting.reply);
    if (r < 0)
        return r;
    r = options_return(stats, &ours, sizeof(ours));
    return r < 0 ? client_fail(client, r, NULL) : 0;
}
