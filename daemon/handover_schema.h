/* SPDX-License-Identifier: MIT */
/*
 * What a broker hands over to the program that takes its place, besides the ledger and its records: in the notation of
 * schema.h. `descriptor` is a number in the table that both have. Fields are only ever added at the end, and zero (or
 * empty) means what it meant before; what a program must understand to take over, the header's `needs` tells.
 */
#ifndef DAEMON_HANDOVER_SCHEMA_H
#define DAEMON_HANDOVER_SCHEMA_H

#include "codec.h"

#define HANDOVER_DESCRIPTOR  INT32_MAX
#define HANDOVER_DESCRIPTORS (SEALBUF_MAX_RECORDS * sizeof(uint32_t)) /* bytes: each one as U32 */
#define HANDOVER_PATH        4096u

/* The first record. `needs`: who knows less than this version of the format cannot take over. */
#define HANDOVER_HEADER_FIELDS(F, S)                                                                                   \
    F(S, U64, magic, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, format, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, needs, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, nonce, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, started_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U64, stopped_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U32, filtered, 1, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U32, has_store, 1, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, TEXT, program, HANDOVER_PATH, SEALBUF_ERR_MALFORMED)                                                          \
    F(S, TEXT, version, SEALBUF_MAX_TEXT, SEALBUF_ERR_MALFORMED)

/* `lock` is 0 where the service manager has made the socket, whose name `name` is; else `path` is its path. */
#define HANDOVER_LISTENER_FIELDS(F, S)                                                                                 \
    F(S, U32, descriptor, HANDOVER_DESCRIPTOR, SEALBUF_ERR_MALFORMED)                                                  \
    F(S, U32, lock, HANDOVER_DESCRIPTOR, SEALBUF_ERR_MALFORMED)                                                        \
    F(S, TEXT, path, HANDOVER_PATH, SEALBUF_ERR_MALFORMED)                                                             \
    F(S, TEXT, name, HANDOVER_PATH, SEALBUF_ERR_MALFORMED)

/* A descriptor of no record of its own: the ledger's memfd; a stored buffer's; one that waits for its close. */
#define HANDOVER_DESCRIPTOR_FIELDS(F, S)                                                                               \
    F(S, U32, descriptor, HANDOVER_DESCRIPTOR, SEALBUF_ERR_MALFORMED)                                                  \
    F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)

/* `message` is a request that is yet to be served. The records of what it has follow it. */
#define HANDOVER_PEER_FIELDS(F, S)                                                                                     \
    F(S, U32, descriptor, HANDOVER_DESCRIPTOR, SEALBUF_ERR_MALFORMED)                                                  \
    F(S, U32, flags, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, priority, ANY32, SEALBUF_ERR_MALFORMED)                                                                  \
    F(S, U32, in_flight, ANY32, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U32, unread, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, unread_at_most, ANY32, SEALBUF_ERR_MALFORMED)                                                            \
    F(S, U64, claimed_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U32, pid_namespace, ANY32, SEALBUF_ERR_MALFORMED)                                                             \
    F(S, U64, pidfd, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, TEXT, message, SEALBUF_MAX_MESSAGE, SEALBUF_ERR_MALFORMED)                                                    \
    F(S, TEXT, door, HANDOVER_PATH, SEALBUF_ERR_MALFORMED)

#define HANDOVER_GREETED      0x01u
#define HANDOVER_ENDING       0x02u
#define HANDOVER_FULL         0x04u
#define HANDOVER_RESET        0x08u
#define HANDOVER_CHARGED      0x10u
#define HANDOVER_PIDFD_KNOWN  0x20u
#define HANDOVER_ASKED_REEXEC 0x40u

/* A buffer that the peer holds; or one that waits to be removed from the service manager's store. */
#define HANDOVER_HELD_FIELDS(F, S) F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)

/* A reply in its outbox. */
#define HANDOVER_REPLY_FIELDS(F, S)                                                                                    \
    F(S, TEXT, message, SEALBUF_MAX_MESSAGE, SEALBUF_ERR_MALFORMED)                                                    \
    F(S, TEXT, descriptors, HANDOVER_DESCRIPTORS, SEALBUF_ERR_MALFORMED)

/* A buffer that it is taking. */
#define HANDOVER_CLAIM_FIELDS(F, S)                                                                                    \
    F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)                                                                        \
    F(S, U32, owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, by_name, 1, SEALBUF_ERR_MALFORMED)                                                                       \
    F(S, U32, sent, 1, SEALBUF_ERR_MALFORMED)                                                                          \
    F(S, U32, name_owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_MALFORMED)

/* A GET of its that waits: until when, or what it is to be told instead. */
#define HANDOVER_WAIT_FIELDS(F, S)                                                                                     \
    F(S, U32, flags, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, ended, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, deadline_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, TEXT, message, SEALBUF_MAX_MESSAGE, SEALBUF_ERR_MALFORMED)

#define HANDOVER_TAKES_ANY 0x01u /* what it is to be newer than has gone */

/* A watch of its. `idle`: there is nothing that it has not told. `told`: it has told something. */
#define HANDOVER_WATCH_FIELDS(F, S)                                                                                    \
    F(S, U32, serial, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, flags, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, told, 1, SEALBUF_ERR_MALFORMED)                                                                          \
    F(S, U32, idle, 1, SEALBUF_ERR_MALFORMED)                                                                          \
    F(S, PREFIX, name, SEALBUF_MAX_NAME, SEALBUF_ERR_MALFORMED)

/* The last record: so many came before it. */
#define HANDOVER_END_FIELDS(F, S) F(S, U64, records, ANY64, SEALBUF_ERR_MALFORMED)

/* A name that goes with the peer's connection. */
#define HANDOVER_CONNECTED_FIELDS(F, S)                                                                                \
    F(S, U32, owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_MALFORMED)

#define HANDOVER_SCHEMAS(S)                                                                                            \
    S(handover_header, HANDOVER_HEADER_FIELDS)                                                                         \
    S(handover_listener, HANDOVER_LISTENER_FIELDS)                                                                     \
    S(handover_descriptor, HANDOVER_DESCRIPTOR_FIELDS)                                                                 \
    S(handover_peer, HANDOVER_PEER_FIELDS)                                                                             \
    S(handover_held, HANDOVER_HELD_FIELDS)                                                                             \
    S(handover_reply, HANDOVER_REPLY_FIELDS)                                                                           \
    S(handover_claim, HANDOVER_CLAIM_FIELDS)                                                                           \
    S(handover_end, HANDOVER_END_FIELDS)                                                                               \
    S(handover_wait, HANDOVER_WAIT_FIELDS)                                                                             \
    S(handover_connected, HANDOVER_CONNECTED_FIELDS)                                                                   \
    S(handover_watch, HANDOVER_WATCH_FIELDS)

HANDOVER_SCHEMAS(SCHEMA_STRUCT)

#endif
