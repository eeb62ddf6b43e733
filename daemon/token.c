/* SPDX-License-Identifier: MIT */
#include "token.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "buffer.h"

static int compare_handles(const struct token *a, const struct token *b)
{
    return (a->handle > b->handle) - (a->handle < b->handle);
}

TREE_GENERATE(token_tree, token, link, compare_handles)

void tokens_init(struct tokens *tokens, struct quota *quota, struct event_base *loop)
{
    *tokens = (struct tokens){.quota = quota, .loop = loop};
    RB_INIT(&tokens->by_handle);
}

static void on_expiry(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    token_remove(argument);
}

/* Longer than a year is as good as never, and no timer overflows. */
static void set_expiry(struct token *token, uint64_t expire_ms)
{
    static const uint64_t longest_ms = 366ULL * 24 * 3600 * 1000;

    evtimer_assign(&token->expiry, token->tokens->loop, on_expiry, token);
    if (expire_ms == 0 || expire_ms > longest_ms)
        return;
    struct timeval time = {.tv_sec = (time_t)(expire_ms / 1000), .tv_usec = (suseconds_t)(expire_ms % 1000 * 1000)};
    evtimer_add(&token->expiry, &time);
}

/* Handles are random as well, so that they tell nothing; one that is taken is as good as never drawn. */
static int draw(struct token *token)
{
    uint8_t bytes[SEALBUF_TOKEN_SIZE];

    do {
        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
            return SEALBUF_ERR_INTERNAL;
        memcpy(&token->handle, bytes, sizeof(token->handle));
    } while (RB_FIND(token_tree, &token->tokens->by_handle, token));
    memcpy(token->secret, bytes + sizeof(token->handle), sizeof(token->secret));
    explicit_bzero(bytes, sizeof(bytes));
    return 0;
}

int token_make(struct tokens *tokens, const struct token_spec *spec, struct token **made, struct limit_met *met)
{
    int r = quota_charge(tokens->quota, spec->maker, RESOURCE_TOKENS, 1, met);
    if (r)
        return r;
    struct token *token = calloc(1, sizeof(*token));
    r = token ? 0 : SEALBUF_ERR_MEMORY;
    if (token) {
        token->tokens = tokens;
        r = draw(token);
    }
    if (r) {
        free(token);
        quota_release(tokens->quota, spec->maker, RESOURCE_TOKENS, 1);
        return r;
    }
    token->buffer = spec->buffer;
    token->maker = spec->maker;
    token->flags = spec->flags;
    token->uses = spec->uses;
    set_expiry(token, spec->expire_ms);
    RB_INSERT(token_tree, &tokens->by_handle, token);
    LIST_INSERT_HEAD(&spec->buffer->tokens, token, of_buffer);
    *made = token;
    return 0;
}

void token_write(const struct token *token, uint8_t bytes[SEALBUF_TOKEN_SIZE])
{
    memcpy(bytes, &token->handle, sizeof(token->handle));
    memcpy(bytes + sizeof(token->handle), token->secret, sizeof(token->secret));
}

/* Looks at every byte, wherever the first difference is. */
static bool same_secret(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t difference = 0;

    for (size_t i = 0; i < SECRET_SIZE; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

struct token *token_find(struct tokens *tokens, struct span bytes)
{
    struct token key, *token;

    if (bytes.length != SEALBUF_TOKEN_SIZE)
        return NULL;
    memcpy(&key.handle, bytes.data, sizeof(key.handle));
    token = RB_FIND(token_tree, &tokens->by_handle, &key);
    if (!token || !same_secret(token->secret, (const uint8_t *)bytes.data + sizeof(key.handle)))
        return NULL;
    return token;
}

void token_use(struct token *token)
{
    if (token->uses && --token->uses == 0)
        token_remove(token);
}

void token_remove(struct token *token)
{
    evtimer_del(&token->expiry);
    RB_REMOVE(token_tree, &token->tokens->by_handle, token);
    LIST_REMOVE(token, of_buffer);
    quota_release(token->tokens->quota, token->maker, RESOURCE_TOKENS, 1);
    explicit_bzero(token->secret, sizeof(token->secret));
    free(token);
}
