/* SPDX-License-Identifier: MIT */
/* PUBLISH, GET, REMOVE and TOUCH: names, and what they give access to. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "claim.h"
#include "evict.h"
#include "evictable.h"
#include "log.h"
#include "message_id.h"
#include "sealing.h"
#include "seals.h"
#include "serve.h"
#include "storing.h"
#include "target.h"
#include "token.h"
#include "wait.h"

/* As chgrp(1): to a group of one's own. */
static int check_group(struct request *request, const struct publish_request *in)
{
    struct peer *peer = request->peer;

    if (!(in->flags & SEALBUF_PUBLISH_GROUP))
        return in->group ? refuse(request, SEALBUF_ERR_FLAGS, "a group is given, but no flag says that it counts") : 0;
    if (peer->who.uid == 0 || credentials_have_group(&peer->who, peer->socket, in->group))
        return 0;
    return refuse(request, SEALBUF_ERR_DENIED, "uid %u is not in group %u", (unsigned)peer->who.uid, in->group);
}

static int check_publish_flags(struct request *request, const struct publish_request *in)
{
    if (in->flags & SEALBUF_PUBLISH_VOLATILE && in->flags & SEALBUF_PUBLISH_OR_VOLATILE)
        return refuse(request, SEALBUF_ERR_FLAGS, "VOLATILE and OR_VOLATILE contradict each other");
    if (in->expected && !(in->flags & SEALBUF_PUBLISH_COMPARE))
        return refuse(request, SEALBUF_ERR_FLAGS, "a generation is expected, but no flag says that it counts");
    if (in->keep && in->flags & SEALBUF_PUBLISH_TAKE)
        return refuse(request, SEALBUF_ERR_FLAGS, "what is handed over leaves no former generations: keep must be 0");
    return check_group(request, in);
}

/* What it says of the name that is there, if there is one. */
static int check_generation(struct request *request, const struct publish_request *in, const struct name *name)
{
    unsigned long long now = name ? name->generation : 0, expected = in->expected;

    if (!(in->flags & SEALBUF_PUBLISH_COMPARE)) {
        if (name && !(in->flags & SEALBUF_PUBLISH_REPLACE))
            return refuse(request, SEALBUF_ERR_EXISTS, "the name '%.*s' is bound already", SPAN_ARGS(in->name));
        return 0;
    }
    if (now == expected)
        return 0;
    request->at_generation = now;
    if (!name)
        return refuse(request, SEALBUF_ERR_GENERATION, "the name '%.*s' is not bound, and not at generation %llu",
                      SPAN_ARGS(in->name), expected);
    if (!expected)
        return refuse(request, SEALBUF_ERR_GENERATION, "the name '%.*s' is bound already, at generation %llu",
                      SPAN_ARGS(in->name), now);
    return refuse(request, SEALBUF_ERR_GENERATION, "the name '%.*s' is at generation %llu, not at %llu",
                  SPAN_ARGS(in->name), now, expected);
}

int check_publish(struct request *request, const struct publish_request *in, struct buffer **buffer)
{
    const struct seal_request as_seal = {.id = in->id};
    int r = check_seal(request, &as_seal, buffer);

    if (r)
        return r;
    if (in->name.length == 0)
        return refuse(request, SEALBUF_ERR_NAME, "the name is empty");
    r = check_publish_flags(request, in);
    if (r)
        return r;
    const struct name *name = target_name(request, request->peer->who.uid, in->name);
    *buffer = buffer_find(&request->broker->buffers, in->id); /* which may have gone with a name that has expired */
    if (!*buffer)
        return refuse(request, SEALBUF_ERR_NOT_FOUND, "there is no buffer with id %llu", (unsigned long long)in->id);
    r = check_generation(request, in, name);
    if (r)
        return r;
    if (in->metadata.length && (*buffer)->flags & SEALBUF_INFO_PUBLISHED)
        return refuse_with_remedy(request, SEALBUF_ERR_METADATA,
                                  "buffer %llu was published before, and its metadata is immutable once published; "
                                  "publish it without metadata, or another buffer",
                                  (unsigned long long)in->id);
    if (registry_is_beyond_names(name, *buffer, in->keep))
        return refuse_with_remedy(
            request, SEALBUF_ERR_LIMIT,
            "a buffer has 256 names at most, former generations included; remove some, or publish "
            "another buffer");
    return 0;
}

/* It may have grown since it was charged. */
static int measure(struct request *request, const struct publish_request *in, struct buffer *buffer)
{
    struct buffers *buffers = &request->broker->buffers;
    struct limit_met met;
    uint64_t size, allocated;

    if (buffer->is_final)
        return 0;
    int r = buffer_measure(buffers, buffer, &size, &allocated, &met);
    if (r == SEALBUF_ERR_LIMIT) {
        const struct need need = {RESOURCE_BYTES, size - buffer->charged};
        r = evict_for_publish(request, in, buffer->owner, &need, 1);
        if (r)
            return r;
        r = buffer_measure(buffers, buffer, &size, &allocated, &met);
    }
    return r ? refuse_limit(request, r, &met) : 0;
}

int publish_judge(struct request *request, const struct publish_request *in, struct binding *binding,
                  struct outcome *out)
{
    const struct credentials *who = &request->peer->who;
    struct buffer *buffer = NULL;
    int r = check_publish(request, in, &buffer);

    if (r)
        return r;
    r = sealing_check(request, buffer, in->seals, in->flags & SEALBUF_PUBLISH_VERIFY, &out->seals);
    if (r == 0)
        r = storing_check(request, buffer, in->flags);
    if (r)
        return r;
    *binding = (struct binding){
        .owner = who->uid,
        .group = in->flags & SEALBUF_PUBLISH_GROUP ? in->group : who->gid,
        .mode = (uint16_t)in->mode,
        .take = !!(in->flags & SEALBUF_PUBLISH_TAKE),
        .is_evictable = !!(in->flags & SEALBUF_PUBLISH_EVICTABLE),
        .keep = (uint8_t)in->keep,
        .deadline_ns = deadline_in(in->expire_ms),
        .publisher = in->flags & SEALBUF_PUBLISH_UNTIL_CLOSE ? request->peer : NULL,
        .name = in->name,
        .metadata = in->metadata,
        .buffer = buffer,
    };
    out->id = buffer->id;
    return 0;
}

/* A name, or a former generation of one: that one and what it may be called. */
static int make_room(struct request *request, const struct publish_request *in, const struct binding *binding)
{
    const struct name *name = registry_find(&request->broker->registry, binding->owner, binding->name);
    uint64_t metadata = binding->buffer->owner == binding->owner ? binding->metadata.length : 0;
    bool is_one_more = !name || name->past_count < binding->keep;
    const struct need needs[] = {
        {RESOURCE_NAMES, is_one_more},
        {RESOURCE_METADATA, (is_one_more ? binding->name.length : 0u) + metadata},
    };

    return evict_for_publish(request, in, binding->owner, needs, sizeof(needs) / sizeof(needs[0]));
}

int serve_publish(struct request *request, const union request_record *record, union reply_record *out)
{
    struct registry *registry = &request->broker->registry;
    struct binding binding;
    struct limit_met met;
    struct name *name;
    int r = publish_judge(request, &record->publish, &binding, &out->outcome);

    if (r == 0)
        r = measure(request, &record->publish, binding.buffer);
    if (r)
        return r;
    r = registry_bind(registry, &binding, &name, &met);
    if (r == SEALBUF_ERR_LIMIT) {
        r = make_room(request, &record->publish, &binding);
        if (r)
            return r;
        r = registry_bind(registry, &binding, &name, &met);
    }
    if (r)
        return refuse_limit(request, r, &met);
    out->outcome.generation = name->generation;
    return 0;
}

/* A reader's descriptor: a description of its own, on which nothing can be written or sealed. */
int get_ship_reader(struct request *request, const struct buffer *buffer)
{
    if (request->broker->own_descriptors < 0)
        return refuse_with_remedy(
            request, SEALBUF_ERR_UNSUPPORTED,
            "the broker has no /proc to open a read-only descriptor with; ask for a writable one, "
            "or have /proc mounted where the broker runs");
    int fd = memfd_reopen_at(request->broker->own_descriptors, buffer->fd, O_RDONLY);

    switch (fd) {
    case -EMFILE:
    case -ENFILE:
        return refuse(request, SEALBUF_ERR_TABLE_FULL, "%s", "");
    case -EAGAIN:
        return refuse(request, SEALBUF_ERR_BUSY, "somebody holds a lease (F_SETLEASE) on the buffer");
    case -EACCES:
        return refuse(request, SEALBUF_ERR_DENIED, "the mode that its creator gave the memfd keeps the broker out");
    default:
        break;
    }
    if (fd < 0)
        return refuse(request, SEALBUF_ERR_INTERNAL, "the buffer cannot be opened for reading: %s", strerror(-fd));
    shipment_add_owned(&request->shipment, fd);
    return 0;
}

/* What the token is good for; a redeemed one needs no rights, and says nothing of why it is not valid. */
static int redeem(struct request *request, const struct get_request *in, struct target *target)
{
    struct token *token = token_find(&request->broker->tokens, in->token);

    if (in->id || in->name.length)
        return refuse(request, SEALBUF_ERR_TARGET, "a token and a buffer are given");
    if (token && token->buffer->claim) {
        claims_settle(token->buffer->claim->peer);
        token = token_find(&request->broker->tokens, in->token);
    }
    if (token && registry_expire(&request->broker->registry, token->buffer))
        token = token_find(&request->broker->tokens, in->token);
    if (!token || (token->buffer->claim && !token->buffer->claim->by_name))
        return refuse(request, SEALBUF_ERR_TOKEN, "%s", "");
    if (in->flags & SEALBUF_GET_WRITABLE && !(token->flags & SEALBUF_SHARE_WRITABLE))
        return refuse(request, SEALBUF_ERR_DENIED, "the token is good for reading only");
    *target = (struct target){token->buffer, NULL, token};
    return 0;
}

static int find_to_get(struct request *request, const struct get_request *in, struct target *target)
{
    const struct target_request as_target = {
        .id = in->id, .owner = in->owner, .name = in->name, .generation = in->generation};
    const enum access access = in->flags & SEALBUF_GET_WRITABLE ? ACCESS_READ_WRITE : ACCESS_READ;
    int r = wait_check(request, in);

    if (r)
        return r;
    if (in->newer_than && (in->id || in->token.length))
        return refuse(request, SEALBUF_ERR_TARGET, "only a name can be newer than a generation");
    if (in->newer_than && in->generation)
        return refuse(request, SEALBUF_ERR_FLAGS, "a generation and one that it is to be newer than are given");
    if (in->token.length && in->generation)
        return refuse(request, SEALBUF_ERR_TARGET, "a generation is of a name, and a token is given");
    if (in->token.length)
        return redeem(request, in, target);
    if (in->flags & SEALBUF_GET_FIRST)
        return target_first(request, in, access, &request->search, target);
    r = target_find(request, &as_target, access, target);
    if (r || !in->newer_than || target->name->generation > in->newer_than)
        return r;
    request->at_generation = target->name->generation;
    return refuse(request, SEALBUF_ERR_GENERATION, "'%.*s' is at generation %llu, which is not newer than %llu",
                  SPAN_ARGS(in->name), (unsigned long long)target->name->generation,
                  (unsigned long long)in->newer_than);
}

/* What a name or token costs who gets the buffer by it: a use, or all. */
static int pay(struct request *request, const struct get_request *in, const struct target *target)
{
    struct token *token = target->token;
    bool takes = token ? !!(token->flags & SEALBUF_SHARE_TAKE) : target->name && target->name->take;

    if (takes && in->flags & SEALBUF_GET_NO_TAKE)
        return refuse_with_remedy(request, SEALBUF_ERR_FLAGS,
                                  "the buffer would be handed over, and the request says NO_TAKE (the library does "
                                  "where it repeats one that may have been carried out); look what you have got, and "
                                  "ask anew");
    if (takes && target->buffer->claim)
        return refuse_with_remedy(request, SEALBUF_ERR_BUSY,
                                  "somebody is taking this buffer by another name; try again");
    if (takes) {
        uid_t owner = token ? token->maker : target->name->owner;
        request->claim = claim_make(request->peer, target->buffer, target->name, owner);
        return request->claim ? 0 : refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    }
    request->redeemed = token; /* it costs a use once the record is in the reply */
    return 0;
}

int get_judge(struct request *request, const struct get_request *in, struct target *target, struct buffer_record *out)
{
    char text[SEALS_TEXT_SIZE];
    int r = find_to_get(request, in, target);

    if (r)
        return r;
    assert(target->buffer);
    r = target_describe(request, target, in->flags & SEALBUF_GET_DETAILS ? DESCRIBE_ALL : DESCRIBE_SHORT, in->seals,
                        out);
    if (r)
        return r;
    if (!seals_contain(out->seals, in->seals))
        return refuse(request, SEALBUF_ERR_NOT_SEALED, "the buffer lacks %s",
                      seals_format(in->seals & ~out->seals, text));
    if (target->name)
        evictable_use(&request->broker->quota, target->name);
    return 0;
}

int serve_get(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct get_request *in = &record->get;
    struct target target = {0};
    int r = get_judge(request, in, &target, &out->buffer);

    if (r)
        return r;
    unsigned shipped = request->shipment.count;
    if (in->flags & SEALBUF_GET_WRITABLE)
        request_ship(request, target.buffer);
    else
        r = get_ship_reader(request, target.buffer);
    if (r == 0)
        r = pay(request, in, &target);
    if (r)
        shipment_cut(&request->shipment, shipped);
    out->buffer.descriptors = r == 0;
    return r;
}

/* Those of the names that are the caller's; an administrator's are all. */
static bool may_unbind(const struct name *name, void *userdata)
{
    struct peer *peer = userdata;
    return peer->who.uid == name->owner || peer_is_administrator(peer);
}

static bool is_over(void *userdata)
{
    const struct peer *peer = userdata;
    return turn_is_over(peer->broker);
}

int remove_judge(struct request *request, const struct target_request *in, struct target *target, struct outcome *out)
{
    int r = target_find(request, in, ACCESS_OWNER_OR_ADMINISTRATOR, target);

    if (r)
        return r;
    out->id = target->buffer->id;
    if (target->name)
        out->generation = target->name->generation;
    return 0;
}

void remove_log(struct request *request, const struct name *name)
{
    const struct credentials *who = &request->peer->who;

    if (who->uid != name->owner)
        log_about(LOG_NOTICE,
                  &(struct log_subject){.message_id = MESSAGE_ID_REMOVED,
                                        .client = who,
                                        .id = name->buffer->id,
                                        .name = name_text(name),
                                        .owner = name->owner},
                  "removed '%.*s' of uid %u", SPAN_ARGS(name_text(name)), (unsigned)name->owner);
}

int serve_remove(struct request *request, const union request_record *record, union reply_record *out)
{
    struct registry *registry = &request->broker->registry;
    struct target target;
    int r = remove_judge(request, &record->target, &target, &out->outcome);

    if (r)
        return r;
    if (target.name)
        remove_log(request, target.name);
    if (record->target.id == 0)
        registry_unbind(registry, target.name, SEALBUF_CHANGE_REMOVED);
    else if (LIST_EMPTY(&target.buffer->names))
        buffer_unhold(&request->broker->buffers, target.buffer);
    else if (!registry_unbind_all(registry, target.buffer, SEALBUF_CHANGE_REMOVED,
                                  &(struct meant){may_unbind, is_over, request->peer}))
        return REQUEST_AGAIN;
    return 0;
}

int serve_touch(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct touch_request *in = &record->touch;
    struct target target;
    int r = target_find(request, &(struct target_request){.owner = in->owner, .name = in->name},
                        ACCESS_OWNER_OR_ADMINISTRATOR, &target);

    if (r)
        return r;
    r = name_set_lease(target.name, deadline_in(in->expire_ms));
    if (r)
        return refuse(request, r, "%s", "");
    evictable_use(&request->broker->quota, target.name);
    out->outcome.id = target.buffer->id;
    out->outcome.generation = target.name->generation;
    return 0;
}
