/* SPDX-License-Identifier: MIT */
#include "token.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "buffer.h"
#include "ledger.h"

static int compare_handles(const struct token *a, const struct token *b)
{
    return (a->handle > b->handle) - (a->handle < b->handle);
}

TREE_GENERATE(token_tree, token, link, compare_handles)

static void on_expiry(struct deadline *deadline)
{
    struct token *token = (struct token *)(void *)((char *)deadline - offsetof(struct token, expiry));

    token_remove(token);
}

void tokens_init(struct tokens *tokens, struct quota *quota, struct deadlines *deadlines)
{
    *tokens = (struct tokens){.quota = quota, .deadlines = deadlines};
    RB_INIT(&tokens->by_handle);
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

static void insert(struct tokens *tokens, struct token *token)
{
    RB_INSERT(token_tree, &tokens->by_handle, token);
    LIST_INSERT_HEAD(&token->buffer->tokens, token, of_buffer);
    token->buffer->token_count++;
    deadline_set(tokens->deadlines, &token->expiry, token->deadline_ns, on_expiry);
}

static void fill_in(struct token *token, const struct token_spec *spec)
{
    token->buffer = spec->buffer;
    token->maker = spec->maker;
    token->flags = spec->flags;
    token->uses = spec->uses;
    token->deadline_ns = deadline_in(spec->expire_ms);
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
        fill_in(token, spec);
    }
    if (r == 0 && spec->buffer->slot)
        r = token_record(token);
    if (r) {
        free(token);
        quota_release(tokens->quota, spec->maker, RESOURCE_TOKENS, 1);
        return r;
    }
    insert(tokens, token);
    *made = token;
    return 0;
}

int token_restore(struct tokens *tokens, const struct ledger_token *record, struct buffer *buffer,
                  struct token **restored)
{
    struct token *token = calloc(1, sizeof(*token));

    if (!token || quota_restore(tokens->quota, record->maker, RESOURCE_TOKENS, 1)) {
        free(token);
        return SEALBUF_ERR_MEMORY;
    }
    token->tokens = tokens;
    memcpy(&token->handle, record->bytes.data, sizeof(token->handle));
    memcpy(token->secret, record->bytes.data + sizeof(token->handle), sizeof(token->secret));
    token->buffer = buffer;
    token->maker = record->maker;
    token->flags = record->flags;
    token->uses = record->uses;
    token->deadline_ns = record->deadline_ns;
    insert(tokens, token);
    *restored = token;
    return 0;
}

void token_to_ledger(const struct token *token, uint8_t bytes[SEALBUF_TOKEN_SIZE], struct ledger_token *record)
{
    token_write(token, bytes);
    *record = (struct ledger_token){
        .buffer = token->buffer->id,
        .deadline_ns = token->deadline_ns,
        .maker = token->maker,
        .flags = token->flags,
        .uses = token->uses,
        .bytes = {(const char *)bytes, SEALBUF_TOKEN_SIZE},
    };
}

int token_record(struct token *token)
{
    uint8_t bytes[SEALBUF_TOKEN_SIZE];
    struct ledger_token record;

    token_to_ledger(token, bytes, &record);
    int r = ledger_put(token->tokens->ledger, LEDGER_TOKEN, &record, &token->slot);
    explicit_bzero(bytes, sizeof(bytes));
    return r;
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

struct token *token_find_handle(struct tokens *tokens, struct span bytes)
{
    struct token key;

    memcpy(&key.handle, bytes.data, sizeof(key.handle));
    return RB_FIND(token_tree, &tokens->by_handle, &key);
}

struct token *token_find(struct tokens *tokens, struct span bytes)
{
    if (bytes.length != SEALBUF_TOKEN_SIZE)
        return NULL;
    struct token *token = token_find_handle(tokens, bytes);
    if (!token || !same_secret(token->secret, (const uint8_t *)bytes.data + sizeof(token->handle)))
        return NULL;
    return deadline_has_passed(&token->expiry) ? NULL : token;
}

void token_use(struct token *token)
{
    if (token->uses == 0)
        return;
    if (--token->uses == 0) {
        token_remove(token);
    } else if (token->slot && token_record(token)) {
        ledger_clear(token->tokens->ledger, &token->slot); /* which makes room for the new one */
        token_record(token);
    }
}

void token_remove(struct token *token)
{
    deadline_clear(token->tokens->deadlines, &token->expiry);
    ledger_clear(token->tokens->ledger, &token->slot);
    RB_REMOVE(token_tree, &token->tokens->by_handle, token);
    LIST_REMOVE(token, of_buffer);
    token->buffer->token_count--;
    quota_release(token->tokens->quota, token->maker, RESOURCE_TOKENS, 1);
    explicit_bzero(token->secret, sizeof(token->secret));
    free(token);
}
