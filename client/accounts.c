/* SPDX-License-Identifier: MIT */
/* ACCOUNTS: one's own, or page by page those of all uids, until the one that has the sums. */
#include <errno.h>

#include "client.h"

static int start_accounts(sealbuf_client *client, uint32_t flags, uint32_t from, struct waiting *waiting)
{
    struct call *call = call_begin(client, SEALBUF_OP_ACCOUNTS, 1, waiting_done, waiting);
    int r = call ? call_add(client, call, &(struct accounts_request){.from = from, .flags = flags}) : -ENOMEM;

    return r < 0 ? r : call_submit(client, call);
}

/* A page that does not lead on from the last one would be asked for for ever. */
static bool leads_on(const struct sealbuf_reply *page, uint32_t flags, uint32_t from)
{
    uint64_t least = from;

    if (page->count == 0 || (page->count > 1 && !(flags & SEALBUF_ACCOUNTS_ALL)))
        return false;
    for (size_t i = 0; i < page->count; i++) {
        if (page->records[i].account.uid < least)
            return false;
        least = page->records[i].account.uid + 1ull;
    }
    return true;
}

/* Hands out one page, and moves *from behind it: to 0 behind the last one. Positive: the callback wants no more. */
static int accounts_page(sealbuf_client *client, uint32_t flags, uint32_t *from, sealbuf_account_fn *fn, void *userdata)
{
    struct waiting waiting = {0};
    int r = wait_for(client, start_accounts(client, flags, *from, &waiting), &waiting);

    if (r < 0)
        return r;
    struct sealbuf_reply *page = waiting.reply;
    r = page->status;
    if (r < 0)
        client_fail(client, r, page->sentence);
    if (r == 0 && !leads_on(page, flags, *from))
        r = client_fail(client, -SEALBUF_ERR_BAD_REPLY, NULL);
    for (size_t i = 0; i < page->count && r == 0; i++)
        r = fn(&page->records[i].account, userdata);
    /* SEALBUF_ALL_UIDS is the highest number. */
    if (page->count > 0)
        *from = flags & SEALBUF_ACCOUNTS_ALL ? page->records[page->count - 1].account.uid + 1 : 0;
    reply_free(page);
    return r;
}

int sealbuf_accounts(sealbuf_client *client, const struct sealbuf_accounts_options *given, sealbuf_account_fn *fn,
                     void *userdata)
{
    struct sealbuf_accounts_options options;
    uint32_t from = 0;
    int r = OPTIONS_COPY(&options, given);

    client->sentence[0] = '\0';
    if (r == 0 && options.reserved)
        r = -EINVAL;
    if (r < 0)
        return client_fail(client, r, NULL);
    do
        r = accounts_page(client, options.flags, &from, fn, userdata);
    while (r == 0 && from > 0);
    return r;
}
