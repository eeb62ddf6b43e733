/* SPDX-License-Identifier: MIT */
/* PUBLISH, GET and REMOVE: names, and what they give access to. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "claim.h"
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

int check_publish(struct request *request, const struct publish_request *in, struct buffer **buffer)
{
    const struct seal_request as_seal = {.id = in->id};
    int r = check_seal(request, &as_seal, buffer);

    if (r)
        return r;
    if (in->name.length == 0)
        return refuse(request, SEALBUF_ERR_NAME, "the name is empty");
    if (in->flags & SEALBUF_PUBLISH_VOLATILE && in->flags & SEALBUF_PUBLISH_OR_VOLATILE)
        return refuse(request, SEALBUF_ERR_FLAGS, "VOLATILE and OR_VOLATILE contradict each other");
    r = check_group(request, in);
    if (r)
        return r;
    const struct name *name = target_name(request, request->peer->who.uid, in->name);
    if (name && !(in->flags & SEALBUF_PUBLISH_REPLACE))
        return refuse(request, SEALBUF_ERR_EXISTS, "the name '%.*s' is bound already", SPAN_ARGS(in->name));
    if ((*buffer)->name_count >= NAMES_OF_BUFFER && !(name && name->buffer == *buffer))
        return refuse_with_remedy(request, SEALBUF_ERR_LIMIT,
                                  "a buffer has 256 names at most; remove some, or publish another buffer");
    return 0;
}

int serve_publish(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct publish_request *in = &record->publish;
    const struct credentials *who = &request->peer->who;
    struct limit_met met;
    struct buffer *buffer = NULL;
    struct name *name;
    int r = check_publish(request, in, &buffer);

    if (r)
        return r;
    r = sealing_check(request, buffer, in->seals, in->flags & SEALBUF_PUBLISH_VERIFY, &out->outcome.seals);
    if (r)
        return r;
    if (!buffer->is_final) { /* it may have grown since it was charged */
        uint64_t size, allocated;
        r = buffer_measure(&request->broker->buffers, buffer, &size, &allocated, &met);
        if (r)
            return refuse_limit(request, r, &met);
    }
    r = storing_check(request, buffer, in->flags);
    if (r)
        return r;
    struct binding binding = {
        .owner = who->uid,
        .group = in->flags & SEALBUF_PUBLISH_GROUP ? in->group : who->gid,
        .mode = (uint16_t)in->mode,
        .take = !!(in->flags & SEALBUF_PUBLISH_TAKE),
        .name = in->name,
        .buffer = buffer,
    };
    r = registry_bind(&request->broker->registry, &binding, &name, &met);
    if (r)
        return refuse_limit(request, r, &met);
    out->outcome.id = buffer->id;
    out->outcome.generation = name->generation;
    return 0;
}

/* A reader's descriptor: a description of its own, on which nothing can be written or sealed. */
static int ship_reader(struct request *request, const struct buffer *buffer)
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
    if (!token || (token->buffer->claim && !token->buffer->claim->by_name))
        return refuse(request, SEALBUF_ERR_TOKEN, "%s", "");
    if (in->flags & SEALBUF_GET_WRITABLE && !(token->flags & SEALBUF_SHARE_WRITABLE))
        return refuse(request, SEALBUF_ERR_DENIED, "the token is good for reading only");
    *target = (struct target){token->buffer, NULL, token};
    return 0;
}

static int find_to_get(struct request *request, const struct get_request *in, struct target *target)
{
    int r = wait_check(request, in);

    if (r)
        return r;
    if (in->token.length)
        return redeem(request, in, target);
    if (in->flags & SEALBUF_GET_FIRST)
        return target_first(request, in->owner == SEALBUF_OWNER_SELF ? request->peer->who.uid : in->owner, in->name,
                            in->flags & SEALBUF_GET_WRITABLE ? ACCESS_READ_WRITE : ACCESS_READ, &request->search,
                            target);
    return target_find(request, &(struct target_request){.id = in->id, .owner = in->owner, .name = in->name},
                       in->flags & SEALBUF_GET_WRITABLE ? ACCESS_READ_WRITE : ACCESS_READ, target);
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

int serve_get(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct get_request *in = &record->get;
    struct target target = {0};
    char text[SEALS_TEXT_SIZE];
    int r = find_to_get(request, in, &target);

    if (r)
        return r;
    assert(target.buffer);
    r = target_describe(request, &target, in->flags & SEALBUF_GET_DETAILS ? DESCRIBE_ALL : DESCRIBE_SHORT, in->seals,
                        &out->buffer);
    if (r)
        return r;
    if (!seals_contain(out->buffer.seals, in->seals))
        return refuse(request, SEALBUF_ERR_NOT_SEALED, "the buffer lacks %s",
                      seals_format(in->seals & ~out->buffer.seals, text));
    unsigned shipped = request->shipment.count;
    if (in->flags & SEALBUF_GET_WRITABLE)
        request_ship(request, target.buffer);
    else
        r = ship_reader(request, target.buffer);
    if (r == 0)
        r = pay(request, in, &target);
    if (r)
        shipment_cut(&request->shipment, shipped);
    out->buffer.descriptors = r == 0;
    return r;
}

/* Those of the names that are the caller's (an administrator's are all); the last one takes the buffer along. */
static void unbind_all(struct request *request, struct buffer *buffer)
{
    const struct credentials *who = &request->peer->who;
    struct name *name = LIST_FIRST(&buffer->names), *next;

    for (; name; name = next) {
        next = LIST_NEXT(name, of_buffer);
        if (who->uid == name->owner || peer_is_administrator(request->peer))
            registry_unbind(&request->broker->registry, name, SEALBUF_CHANGE_REMOVED);
    }
}

int serve_remove(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct target_request *in = &record->target;
    const struct credentials *who = &request->peer->who;
    struct target target;
    int r = target_find(request, in, ACCESS_OWNER_OR_ADMINISTRATOR, &target);

    if (r)
        return r;
    out->outcome.id = target.buffer->id;
    if (target.name) {
        out->outcome.generation = target.name->generation;
        if (who->uid != target.name->owner)
            log_about(LOG_NOTICE,
                      &(struct log_subject){.message_id = MESSAGE_ID_REMOVED,
                                            .client = who,
                                            .id = target.buffer->id,
                                            .name = name_text(target.name),
                                            .owner = target.name->owner},
                      "removed '%.*s' of uid %u", SPAN_ARGS(name_text(target.name)), (unsigned)target.name->owner);
    }
    if (in->id == 0)
        registry_unbind(&request->broker->registry, target.name, SEALBUF_CHANGE_REMOVED);
    else if (LIST_EMPTY(&target.buffer->names))
        buffer_unhold(&request->broker->buffers, target.buffer);
    else
        unbind_all(request, target.buffer);
    return 0;
}
