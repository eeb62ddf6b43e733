/* SPDX-License-Identifier: MIT */
/* SHARE and REVOKE: tokens, and taking them back. GET redeems them. */
#include <string.h>

#include "serve.h"
#include "target.h"
#include "token.h"

/* Nobody gives away what is not his, root neither: the names of its owner would stay. And it can be taken but once. */
static int check_take(struct request *request, const struct share_request *in, const struct buffer *buffer)
{
    if (in->uses > 1)
        return refuse(request, SEALBUF_ERR_FLAGS, "a token that hands over is good for one use, not for %u", in->uses);
    if (request->peer->who.uid == buffer->owner)
        return 0;
    return refuse(request, SEALBUF_ERR_DENIED, "buffer %llu is of uid %u, and only that one can hand it over",
                  (unsigned long long)buffer->id, (unsigned)buffer->owner);
}

int serve_share(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct share_request *in = &record->share;
    struct limit_met met;
    struct target target;
    struct token *token;
    int r = target_find(request, &(struct target_request){.id = in->id, .owner = in->owner, .name = in->name},
                        ACCESS_OWNER, &target);

    if (r == 0 && in->flags & SEALBUF_SHARE_TAKE)
        r = check_take(request, in, target.buffer);
    if (r)
        return r;
    if (target.buffer->token_count >= TOKENS_OF_BUFFER)
        return refuse_with_remedy(request, SEALBUF_ERR_LIMIT,
                                  "a buffer has 64 tokens at most; revoke some, or make one for several uses");
    struct token_spec spec = {target.buffer, request->peer->who.uid, in->flags, in->uses, in->expire_ms};
    r = token_make(&request->broker->tokens, &spec, &token, &met);
    if (r)
        return refuse_limit(request, r, &met);
    token_write(token, request->token);
    out->token.token = (struct span){(const char *)request->token, sizeof(request->token)};
    out->token.id = target.buffer->id;
    out->token.uses = in->uses;
    out->token.expire_ms = in->expire_ms;
    return 0;
}

static bool may_revoke(struct request *request, const struct token *token)
{
    uid_t uid = request->peer->who.uid;
    return uid == token->maker || uid == token->buffer->owner || peer_is_administrator(request->peer);
}

/* Whoever holds it may use it, but not take it away from others. */
static int revoke_one(struct request *request, struct span bytes, struct outcome *out)
{
    struct token *token = token_find(&request->broker->tokens, bytes);

    if (!token)
        return refuse(request, SEALBUF_ERR_TOKEN, "%s", "");
    if (!may_revoke(request, token))
        return refuse(
            request, SEALBUF_ERR_DENIED,
            "the token is of uid %u, and only that one, the owner of its buffer and administrators can revoke it",
            (unsigned)token->maker);
    out->id = token->buffer->id;
    token_remove(token);
    return 0;
}

int serve_revoke(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct revoke_request *in = &record->revoke;
    struct target target;
    struct token *token;

    if (in->token.length && (in->id || in->name.length))
        return refuse(request, SEALBUF_ERR_TARGET, "a token and a buffer are given");
    if (in->token.length)
        return revoke_one(request, in->token, &out->outcome);
    int r = target_find(request, &(struct target_request){.id = in->id, .owner = in->owner, .name = in->name},
                        ACCESS_OWNER_OR_ADMINISTRATOR, &target);
    if (r)
        return r;
    out->outcome.id = target.buffer->id;
    while ((token = LIST_FIRST(&target.buffer->tokens)))
        token_remove(token);
    return 0;
}
