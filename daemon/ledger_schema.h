/* SPDX-License-Identifier: MIT */
/*
 * The records that outlive the broker, field by field: what the ledger keeps, and what a broker that re-executes itself
 * hands over. In the notation of schema.h, by the same codec, and judged as strictly: whoever reads them does not rely
 * on who has written them. Fields are only ever added at the end, and zero (or empty) means what it meant before.
 */
#ifndef DAEMON_LEDGER_SCHEMA_H
#define DAEMON_LEDGER_SCHEMA_H

#include "codec.h"

#define LEDGER_INFO_FLAGS 0xffff /* SEALBUF_INFO_..., as in struct buffer */
#define LEDGER_SECURITY   249u   /* SECURITY_SIZE without its NUL */

/*
 * `device` and `inode` tell one memfd from all others for as long as it exists. `entry` is the id that the descriptor
 * has in the store, where that is another buffer's: see entry.h; 0: its own.
 */
#define LEDGER_BUFFER_FIELDS(F, S)                                                                                     \
    F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)                                                                        \
    F(S, U64, size, SIZE, SEALBUF_ERR_MALFORMED)                                                                       \
    F(S, U64, device, ANY64, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U64, inode, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, created_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U64, creator_pidfd, ANY64, SEALBUF_ERR_MALFORMED)                                                             \
    F(S, U32, seals, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, flags, LEDGER_INFO_FLAGS, SEALBUF_ERR_MALFORMED)                                                         \
    F(S, U32, owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, creator, ANY32, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U32, stored, 1, SEALBUF_ERR_MALFORMED)                                                                        \
    F(S, LABEL, label, SEALBUF_MAX_LABEL, SEALBUF_ERR_MALFORMED)                                                       \
    F(S, METADATA, metadata, SEALBUF_MAX_METADATA, SEALBUF_ERR_MALFORMED)                                              \
    F(S, TEXT, security, LEDGER_SECURITY, SEALBUF_ERR_MALFORMED)                                                       \
    F(S, U64, entry, ANY64, SEALBUF_ERR_MALFORMED)

/*
 * Of several with the same owner and text, that with the highest generation is the name, and the others are those
 * before it that are kept: `keep` of them at most.
 *
 * A record of a batch counts once that is committed (ledger.h); 0: it is of none. `removed`: all records of the name
 * that were written before do not count any more.
 */
#define LEDGER_NAME_FIELDS(F, S)                                                                                       \
    F(S, U64, buffer, ANY64, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U64, generation, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U64, published_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                              \
    F(S, U32, owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, group, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, mode, 0666, SEALBUF_ERR_MALFORMED)                                                                       \
    F(S, U32, take, 1, SEALBUF_ERR_MALFORMED)                                                                          \
    F(S, NAME, text, SEALBUF_MAX_NAME, SEALBUF_ERR_MALFORMED)                                                          \
    F(S, U32, keep, SEALBUF_MAX_KEEP, SEALBUF_ERR_MALFORMED)                                                           \
    F(S, U32, evictable, 1, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, deadline_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, batch, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, removed, 1, SEALBUF_ERR_MALFORMED)

#define LEDGER_TOKEN_FIELDS(F, S)                                                                                      \
    F(S, U64, buffer, ANY64, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U64, deadline_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U32, maker, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, flags, SEALBUF_SHARE_FLAGS, SEALBUF_ERR_MALFORMED)                                                       \
    F(S, U32, uses, ANY32, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, TOKEN, bytes, SEALBUF_TOKEN_SIZE, SEALBUF_ERR_MALFORMED)

#define LEDGER_SCHEMAS(S)                                                                                              \
    S(ledger_buffer, LEDGER_BUFFER_FIELDS)                                                                             \
    S(ledger_name, LEDGER_NAME_FIELDS)                                                                                 \
    S(ledger_token, LEDGER_TOKEN_FIELDS)

LEDGER_SCHEMAS(SCHEMA_STRUCT)

#endif
