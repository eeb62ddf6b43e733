/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <string.h>

/* So many names are looked at between two looks at the clock. */
#define NAMES_AT_ONCE 8u

static bool is_owner(const struct request *request, uid_t owner)
{
    const struct credentials *who = &request->peer->who;

    return !who->is_unknown && (who->uid == 0 || who->uid == owner);
}

static bool name_gives(struct request *request, const struct name *name, enum access access)
{
    struct peer *peer = request->peer;

    if (access == ACCESS_OWNER)
        return is_owner(request, name->owner);
    if (access == ACCESS_OWNER_OR_ADMINISTRATOR)
        return is_owner(request, name->owner) || peer_is_administrator(peer);
    if (access == ACCESS_LOOK)
        return name_allows(name, &peer->who, peer->socket, ACCESS_READ) || peer_is_administrator(peer);
    return name_allows(name, &peer->who, peer->socket, access);
}

struct name *target_name(struct request *request, uid_t owner, struct span text)
{
    struct registry *registry = &request->broker->registry;
    struct name *name = registry_find(registry, owner, text);

    if (name && name_is_claimed(name)) {
        claims_settle(name->buffer->claim->peer);
        name = registry_find(registry, owner, text);
    }
    if (!name || !name_has_expired(name))
        return name;
    registry_unbind(registry, name, SEALBUF_CHANGE_EXPIRED);
    return NULL;
}

/* What is being taken can still be taken away: by its owner, or an administrator. */
static bool is_hidden(struct request *request, const struct name *name, enum access access)
{
    if (!name_is_claimed(name))
        return false;
    if (access == ACCESS_OWNER || access == ACCESS_OWNER_OR_ADMINISTRATOR)
        return false;
    return access != ACCESS_LOOK || !peer_is_administrator(request->peer);
}

struct buffer *target_buffer(struct request *request, uint64_t id)
{
    struct buffers *buffers = &request->broker->buffers;
    struct buffer *buffer = buffer_find(buffers, id);

    if (buffer && buffer->claim) {
        claims_settle(buffer->claim->peer);
        buffer = buffer_find(buffers, id);
    }
    if (buffer && registry_expire(&request->broker->registry, buffer))
        buffer = buffer_find(buffers, id);
    return buffer;
}

/* By which of its names there is access, the last one that it got first; or NULL. */
static struct name *name_that_gives(struct request *request, struct buffer *buffer, enum access access)
{
    struct name *name = LIST_FIRST(&buffer->names);

    while (name && (is_hidden(request, name, access) || !name_gives(request, name, access)))
        name = LIST_NEXT(name, of_buffer);
    return name;
}

/*
 * Published buffers are open to whom one of their names lets in, others to their owner alone. A buffer's owner need not
 * be the owner of all of its names: root may have given it one, which is none of the owner's business.
 */
static int find_by_id(struct request *request, uint64_t id, enum access access, struct target *target)
{
    bool reads = access == ACCESS_READ || access == ACCESS_READ_WRITE, administers = access != ACCESS_OWNER && !reads;
    struct buffer *buffer = target_buffer(request, id);

    *target = (struct target){buffer, buffer ? name_that_gives(request, buffer, access) : NULL, NULL};
    if (!buffer || (buffer->claim && reads && !target->name))
        return refuse(request, SEALBUF_ERR_NOT_FOUND, "there is no buffer with id %llu", (unsigned long long)id);
    bool owned = is_owner(request, buffer->owner) || (administers && peer_is_administrator(request->peer));
    /* Its owner may do everything with it, but for taking away a name that is not its own. */
    if (target->name || (owned && (reads || access == ACCESS_LOOK || LIST_EMPTY(&buffer->names))))
        return 0;
    return refuse(request, SEALBUF_ERR_DENIED, "buffer %llu%s is another user's", (unsigned long long)id,
                  owned ? " has a name that" : "");
}

static bool is_to_read(enum access access)
{
    return access == ACCESS_READ || access == ACCESS_READ_WRITE || access == ACCESS_LOOK;
}

/* A past generation can be got, but not be changed. */
static int find_generation(struct request *request, const struct target_request *in, enum access access,
                           struct name **name)
{
    struct name *current = *name;

    if (in->generation == 0 || in->generation == current->generation)
        return 0;
    struct name *past = is_to_read(access) ? name_generation(current, in->generation) : NULL;
    if (past && !is_hidden(request, past, access)) {
        *name = past;
        return 0;
    }
    unsigned long long wanted = in->generation, now = current->generation, oldest = name_oldest(current);
    request->at_generation = now;
    if (!is_to_read(access) || oldest == now)
        return refuse(request, SEALBUF_ERR_GENERATION, "'%.*s' is at generation %llu, not at %llu", SPAN_ARGS(in->name),
                      now, wanted);
    return refuse(request, SEALBUF_ERR_GENERATION,
                  "'%.*s' is at generation %llu, and keeps some back to %llu, but not %llu", SPAN_ARGS(in->name), now,
                  oldest, wanted);
}

static int find_by_name(struct request *request, const struct target_request *in, enum access access,
                        struct target *target)
{
    uid_t owner = peer_owner(request->peer, in->owner);
    struct name *name = target_name(request, owner, in->name);

    if (!name || is_hidden(request, name, access))
        return refuse(request, SEALBUF_ERR_NOT_FOUND, "uid %u has published nothing as '%.*s'", (unsigned)owner,
                      SPAN_ARGS(in->name));
    if (!name_gives(request, name, access) && !is_to_read(access))
        return refuse(request, SEALBUF_ERR_DENIED, "'%.*s' is of uid %u, and only that one and %s can do this",
                      SPAN_ARGS(in->name), (unsigned)owner, access == ACCESS_OWNER ? "root" : "administrators");
    if (!name_gives(request, name, access))
        return refuse(request, SEALBUF_ERR_DENIED, "'%.*s' of uid %u has mode %04o, which does not let uid %u do this",
                      SPAN_ARGS(in->name), (unsigned)owner, name->mode, (unsigned)request->peer->who.uid);
    int r = find_generation(request, in, access, &name);
    if (r)
        return r;
    *target = (struct target){name->buffer, name, NULL};
    return 0;
}

int target_find(struct request *request, const struct target_request *in, enum access access, struct target *target)
{
    if ((in->id == 0) == (in->name.length == 0))
        return refuse(request, SEALBUF_ERR_TARGET, "%s", "");
    if (in->id && in->generation)
        return refuse(request, SEALBUF_ERR_TARGET, "a generation is of a name, and a buffer's id is given");
    if (in->id)
        return find_by_id(request, in->id, access, target);
    return find_by_name(request, in, access, target);
}

static bool starts_with(const struct name *name, uid_t owner, struct span prefix)
{
    return name->owner == owner && name->length >= prefix.length && memcmp(name->text, prefix.data, prefix.length) == 0;
}

static struct name *first_name(struct registry *registry, uid_t owner, struct span prefix, const struct search *search)
{
    if (search->begun)
        return registry_after(registry, owner, (struct span){search->text, search->length});
    struct name *name = prefix.length ? registry_find(registry, owner, prefix) : NULL;
    return name ? name : registry_after(registry, owner, prefix);
}

static void pass_over(struct search *search, const struct name *name)
{
    search->begun = true;
    search->passed_over |= !name_is_claimed(name) && !name_has_expired(name);
    search->length = name->length;
    memcpy(search->text, name->text, name->length);
}

int target_first(struct request *request, const struct get_request *in, enum access access, struct search *search,
                 struct target *target)
{
    uid_t owner = peer_owner(request->peer, in->owner);
    struct span prefix = in->name;
    struct name *name = first_name(&request->broker->registry, owner, prefix, search);

    for (unsigned i = 0; name && starts_with(name, owner, prefix); i++, name = registry_next(name)) {
        if (i && i % NAMES_AT_ONCE == 0 && turn_is_over(request->broker))
            return REQUEST_AGAIN;
        if (!name_has_expired(name) && !is_hidden(request, name, access) && name_gives(request, name, access)) {
            *target = (struct target){name->buffer, name, NULL};
            return 0;
        }
        pass_over(search, name);
    }
    return refuse(request, SEALBUF_ERR_NOT_FOUND,
                  "uid %u has published nothing that begins with '%.*s' and that you may get", (unsigned)owner,
                  SPAN_ARGS(prefix));
}

/* Of a past generation, who may have it and how long is what the current one says. */
static void describe_name(const struct name *name, enum description description, struct buffer_record *out)
{
    const struct name *current = name->is_past ? name->current : name;

    out->generation = name->generation;
    out->published_ns = name->published_ns;
    out->owner = name->owner;
    out->mode = current->mode;
    out->group = current->group;
    out->expire_ms = deadline_left_ms(current->deadline_ns);
    out->oldest = name_oldest(current);
    if (name->take)
        out->flags |= SEALBUF_INFO_TAKE;
    if (current->is_evictable)
        out->flags |= SEALBUF_INFO_EVICTABLE;
    if (current->publisher)
        out->flags |= SEALBUF_INFO_CONNECTED;
    if (description != DESCRIBE_SHORT)
        out->name = name_text(name);
}

int target_describe(struct request *request, const struct target *target, enum description description, uint32_t seals,
                    struct buffer_record *out)
{
    struct buffer *buffer = target->buffer;
    struct limit_met met;
    int r;

    r = buffer_seals(buffer, seals, &out->seals);
    if (r < 0)
        return refuse(request, SEALBUF_ERR_INTERNAL, "the seals cannot be read: %s", strerror(-r));
    r = 0;
    if (description == DESCRIBE_SHORT && buffer->is_final)
        out->size = buffer->charged;
    else
        r = buffer_measure(&request->broker->buffers, buffer, &out->size, &out->allocated, &met);
    if (r)
        return refuse_limit(request, r, &met);
    out->id = buffer->id;
    out->flags = buffer->flags;
    if (target->name ? target->name->slot : buffer->slot)
        out->flags |= SEALBUF_INFO_SURVIVES;
    out->owner = buffer->owner;
    out->creator_pid = (uint32_t)buffer->creator;
    out->created_ns = buffer->created_ns;
    if (target->name)
        describe_name(target->name, description, out);
    if (description != DESCRIBE_SHORT)
        out->label = buffer_label(buffer);
    if (description == DESCRIBE_ALL) {
        out->metadata = buffer_metadata(buffer);
        out->creator_pidfd = buffer->creator_pidfd;
        out->creator_security = buffer_creator_security(buffer);
    }
    return 0;
}
