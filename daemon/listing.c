/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <string.h>

#include "aside.h"
#include "target.h"

/* Names looked at for one page: so many take some hundred microseconds, whoever's they are. */
#define NAMES_PER_PAGE 1024u

static bool starts_with(struct span text, struct span prefix)
{
    return text.length >= prefix.length && memcmp(text.data, prefix.data, prefix.length) == 0;
}

/* Whether no name from here on can be wanted: names are in order of owner and then of text. */
static bool past_the_end(const struct name *name, const struct list_request *in, uid_t owner)
{
    if (in->flags & SEALBUF_LIST_ALL_OWNERS)
        return false;
    if (name->owner != owner)
        return true;
    struct span text = name_text(name);
    uint32_t common = text.length < in->prefix.length ? text.length : in->prefix.length;
    return common && memcmp(text.data, in->prefix.data, common) > 0;
}

/* The first name of the page. */
static struct name *first_name(struct request *request, const struct list_request *in, uid_t owner)
{
    struct registry *registry = &request->broker->registry;
    const struct aside *aside = request->aside;

    if (aside)
        return registry_after(registry, aside->owner, (struct span){aside->text, aside->text_length});
    if (in->after.length)
        return registry_after(registry, in->flags & SEALBUF_LIST_ALL_OWNERS ? in->after_owner : owner, in->after);
    if (in->flags & SEALBUF_LIST_ALL_OWNERS)
        return registry_after(registry, 0, (struct span){"", 0});
    struct name *name = registry_find(registry, owner, in->prefix);
    return name ? name : registry_after(registry, owner, in->prefix);
}

/* Adds a name to the page. False: there is no room. A name that cannot be described is passed over. */
static bool add_name(struct request *request, struct name *name)
{
    struct target target = {name->buffer, name, NULL};
    struct buffer_record out = {0};

    if (target_describe(request, &target, DESCRIBE_NAME, 0, &out))
        return true;
    if (record_encode(&buffer_record_schema, &request->reply, &out))
        return false;
    request->replies++;
    return true;
}

static bool may_list(struct request *request, const struct name *name)
{
    struct peer *peer = request->peer;
    if (name->buffer->claim)
        return false;
    return name_allows(name, &peer->who, peer->socket, ACCESS_READ) || peer_is_administrator(peer);
}

/*
 * Writes names until the page is full; *last is the last one that was looked at, *shown the last one in the page, and
 * the name behind them, or NULL at the end, is returned.
 */
static struct name *fill_page(struct request *request, const struct list_request *in, struct name **last,
                              struct name **shown)
{
    uid_t owner = in->owner == SEALBUF_OWNER_SELF ? request->peer->who.uid : in->owner;
    uint32_t limit = in->limit && in->limit < SEALBUF_MAX_RECORDS ? in->limit : SEALBUF_MAX_RECORDS - 1;
    struct name *name = first_name(request, in, owner);

    *last = *shown = NULL;
    for (unsigned looked_at = 0; name && !past_the_end(name, in, owner); name = registry_next(name)) {
        if (looked_at++ >= NAMES_PER_PAGE || request->replies > limit)
            return name;
        if (starts_with(name_text(name), in->prefix) && may_list(request, name)) {
            if (!add_name(request, name))
                return name;
            *shown = name;
        }
        *last = name;
    }
    return NULL;
}

int listing_serve(struct request *request, const union request_record *record)
{
    const struct list_request *in = &record->list;
    struct writer page_writer = request->reply;
    struct page page = {0};
    struct name *last, *shown;

    /* The page record comes first, but is known last: its place is kept, at its greatest length. */
    request->reply.used += RECORD_HEADER_SIZE + page_schema.fixed_size + SEALBUF_MAX_NAME;
    size_t names_at = request->reply.used;
    request->replies = 1;
    struct name *next = fill_page(request, in, &last, &shown);
    if (next && !shown)
        return aside_put_behind(request, last) ? 1 : refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    if (next) {
        page.more = 1;
        page.next_owner = shown->owner;
        page.next = name_text(shown);
    }
    record_encode(&page_schema, &page_writer, &page);
    memmove(request->reply.buffer + page_writer.used, request->reply.buffer + names_at, request->reply.used - names_at);
    request->reply.used -= names_at - page_writer.used;
    return 0;
}
