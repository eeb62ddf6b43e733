/* SPDX-License-Identifier: MIT */
/*
 * Tokens: whoever holds one may get the buffer that it is for, whoever he is. 24 random bytes: by the first 8 it is
 * found, the other 16 are the secret, and are compared in a time that tells nothing. A token lives as long as its
 * buffer, unless it is used up, expires, or is revoked before. It is never logged.
 */
#ifndef DAEMON_TOKEN_H
#define DAEMON_TOKEN_H

#include <stdint.h>
#include <sys/queue.h>

#include "codec.h"
#include "deadline.h"
#include "quota.h"
#include "tree.h"

#define SECRET_SIZE (SEALBUF_TOKEN_SIZE - sizeof(uint64_t))

struct buffer;
struct ledger;
struct ledger_token;

struct token {
    RB_ENTRY(token) link;
    LIST_ENTRY(token) of_buffer;
    struct tokens *tokens;
    struct buffer *buffer;
    uint64_t handle;
    uint8_t secret[SECRET_SIZE];
    uid_t maker;
    uint32_t flags;       /* SEALBUF_SHARE_... */
    uint32_t uses;        /* that are left; 0: any number */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: never */
    struct deadline expiry;
    uint32_t slot; /* in the ledger, as long as its buffer has one; 0: none */
};
RB_HEAD(token_tree, token);

struct tokens {
    struct token_tree by_handle;
    struct quota *quota;
    struct ledger *ledger; /* set once there is one */
    struct deadlines *deadlines;
};

struct token_spec {
    struct buffer *buffer;
    uid_t maker;
    uint32_t flags, uses;
    uint64_t expire_ms; /* from now, CLOCK_MONOTONIC; 0: never */
};

void tokens_init(struct tokens *tokens, struct quota *quota, struct deadlines *deadlines);

/* Charged to its maker. 0; SEALBUF_ERR_LIMIT with *met; SEALBUF_ERR_MEMORY; SEALBUF_ERR_INTERNAL: no random bytes. */
int token_make(struct tokens *tokens, const struct token_spec *spec, struct token **token, struct limit_met *met);
/* The bytes that are given out. */
void token_write(const struct token *token, uint8_t bytes[SEALBUF_TOKEN_SIZE]);
/* NULL where there is no such token. */
struct token *token_find(struct tokens *tokens, struct span bytes);
/* By its first 8 bytes alone, which are no secret: only for whoever knows the token as a whole. */
struct token *token_find_handle(struct tokens *tokens, struct span bytes);
/* One use less; the last one takes the token away. */
void token_use(struct token *token);
/* Writes it into the ledger as it is now. 0 or SEALBUF_ERR_MEMORY; then the ledger has not changed. */
int token_record(struct token *token);
/* One from an earlier broker, whatever the limits are. 0 or SEALBUF_ERR_MEMORY. */
int token_restore(struct tokens *tokens, const struct ledger_token *record, struct buffer *buffer,
                  struct token **token);
/* The record that tells of it, with its bytes. */
void token_to_ledger(const struct token *token, uint8_t bytes[SEALBUF_TOKEN_SIZE], struct ledger_token *record);
void token_remove(struct token *token);

#endif
