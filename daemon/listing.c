/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <string.h>

#include "target.h"

/* So many names are looked at between two looks at the clock. */
#define NAMES_AT_ONCE 8u

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

/* The first name of the page, or the one to go on with. */
static struct name *first_name(struct request *request, const struct list_request *in, uid_t owner)
{
    struct registry *registry = &request->broker->registry;
    const struct place *place = &request->place;

    if (place->begun)
        return registry_after(registry, place->owner, (struct span){place->text, place->length});
    if (in->after.length)
        return registry_after(registry, in->flags & SEALBUF_LIST_ALL_OWNERS ? in->after_owner : owner, in->after);
    if (in->flags & SEALBUF_LIST_ALL_OWNERS)
        return registry_after(registry, 0, (struct span){"", 0});
    struct name *name = registry_find(registry, owner, in->prefix);
    return name ? name : registry_after(registry, owner, in->prefix);
}

/* Adds a name to the page. False: there is no room. A name that cannot be described is passed over. */
static bool add_name(struct request *request, const struct list_request *in, struct name *name)
{
    enum description description = in->flags & SEALBUF_LIST_DETAILS ? DESCRIBE_ALL : DESCRIBE_NAME;
    struct target target = {name->buffer, name, NULL};
    struct buffer_record out = {0};

    if (target_describe(request, &target, description, 0, &out))
        return true;
    if (record_encode(&buffer_record_schema, &request->reply, &out))
        return false;
    request->replies++;
    return true;
}

static bool may_list(struct request *request, const struct name *name)
{
    struct peer *peer = request->peer;
    if (name_is_claimed(name) || name_has_expired(name))
        return false;
    return name_allows(name, &peer->who, peer->socket, ACCESS_READ) || peer_is_administrator(peer);
}

static void remember(struct place *place, const struct name *name, bool shown)
{
    place->begun = true;
    place->owner = name->owner;
    place->length = name->length;
    memcpy(place->text, name->text, name->length);
    if (!shown)
        return;
    place->shown = true;
    place->shown_owner = name->owner;
    place->shown_length = name->length;
    memcpy(place->shown_text, name->text, name->length);
}

enum filling { FILL_END, FILL_FULL, FILL_PAUSED };

/* Writes names until there are no more, the page is full, or the turn is over; then others may come and go meanwhile.
 */
static enum filling fill_page(struct request *request, const struct list_request *in)
{
    uid_t owner = peer_owner(request->peer, in->owner);
    uint32_t limit = in->limit && in->limit < SEALBUF_MAX_RECORDS ? in->limit : SEALBUF_MAX_RECORDS - 1;
    struct name *name = first_name(request, in, owner);

    for (unsigned looked_at = 1; name && !past_the_end(name, in, owner); name = registry_next(name), looked_at++) {
        if (request->replies > limit)
            return FILL_FULL;
        bool wanted = starts_with(name_text(name), in->prefix) && may_list(request, name);
        if (wanted && !add_name(request, in, name))
            return FILL_FULL;
        if (wanted || looked_at % NAMES_AT_ONCE == 0)
            remember(&request->place, name, wanted);
        if (looked_at % NAMES_AT_ONCE == 0 && turn_is_over(request->broker))
            return FILL_PAUSED;
    }
    return FILL_END;
}

int listing_serve(struct request *request, const union request_record *record)
{
    struct place *place = &request->place;
    struct page page = {0};

    /* The page record comes first, but is known last: its place is kept, at its greatest length. */
    if (!place->names_at) {
        request->reply.used += RECORD_HEADER_SIZE + page_schema.fixed_size + SEALBUF_MAX_NAME;
        place->names_at = request->reply.used;
        request->replies = 1;
    }
    enum filling filling = fill_page(request, &record->list);
    if (filling == FILL_PAUSED)
        return 1;
    if (filling == FILL_FULL) {
        page.more = 1;
        page.next_owner = place->shown_owner;
        page.next = (struct span){place->shown_text, place->shown_length};
    }
    struct writer page_writer = {request->reply.buffer, HEADER_SIZE, request->reply.room};
    record_encode(&page_schema, &page_writer, &page);
    memmove(request->reply.buffer + page_writer.used, request->reply.buffer + place->names_at,
            request->reply.used - place->names_at);
    request->reply.used -= place->names_at - page_writer.used;
    return 0;
}
