/* SPDX-License-Identifier: MIT */
/*
 * Every record that travels on the wire, field by field, in wire order. This list is the only place where a
 * field is named: the structs, the decoder, the encoder and the tables of docs/protocol.md all follow from
 * it.
 *
 *     F(S, kind, field, bound, error)          S is the name of the record
 *
 * U32 and U64 are little-endian numbers; `bound` has the bits that may be set. The other kinds are byte
 * strings: their length is a U32 in the fixed part, their bytes follow the fixed part in the order of the
 * fields; `bound` is the greatest length. What is out of bounds, or not valid for its kind, is answered with
 * `error`.
 *
 *   NAME, LABEL, METADATA   as text.h says; NAME may be empty where another field can stand in for it
 *   PREFIX                  the start of a name
 *   TEXT                    a sentence for people
 *   TOKEN                   empty, or as long as its bound
 *
 * Fields are only ever added at the end, and zero (or empty) means what it meant before the field was there.
 */
#ifndef PROTO_SCHEMA_H
#define PROTO_SCHEMA_H

#include <stdint.h>

#include "sealbuf-protocol.h"

#define ANY32 UINT32_MAX
#define ANY64 UINT64_MAX
#define SIZE  ((uint64_t)INT64_MAX)

#define HELLO_REQUEST_FIELDS(F, S)                                                                                     \
    F(S, U64, magic, ANY64, SEALBUF_ERR_HELLO)                                                                         \
    F(S, U32, version_min, ANY32, SEALBUF_ERR_VERSION)                                                                 \
    F(S, U32, version_max, ANY32, SEALBUF_ERR_VERSION)                                                                 \
    F(S, U64, features, ANY64, SEALBUF_ERR_RESERVED)

#define HELLO_REPLY_FIELDS(F, S)                                                                                       \
    F(S, U32, status, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, version, ANY32, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, features, ANY64, SEALBUF_ERR_MALFORMED)                                                                  \
    F(S, U64, instance, ANY64, SEALBUF_ERR_MALFORMED)                                                                  \
    F(S, U32, max_message, ANY32, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U32, max_records, ANY32, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, TEXT, text, SEALBUF_MAX_TEXT, SEALBUF_ERR_MALFORMED)

#define CREATE_REQUEST_FIELDS(F, S)                                                                                    \
    F(S, U64, size, SIZE, SEALBUF_ERR_SIZE)                                                                            \
    F(S, U32, seals, SEALBUF_SEALS_ALL, SEALBUF_ERR_SEALS)                                                             \
    F(S, U32, flags, SEALBUF_CREATE_FLAGS, SEALBUF_ERR_FLAGS)                                                          \
    F(S, U32, huge_shift, 0x3f, SEALBUF_ERR_SIZE)                                                                      \
    F(S, LABEL, label, SEALBUF_MAX_LABEL, SEALBUF_ERR_LABEL)                                                           \
    F(S, METADATA, metadata, SEALBUF_MAX_METADATA, SEALBUF_ERR_METADATA)

#define SEAL_REQUEST_FIELDS(F, S)                                                                                      \
    F(S, U64, id, ANY64, SEALBUF_ERR_TARGET)                                                                           \
    F(S, U32, seals, SEALBUF_SEALS_ALL, SEALBUF_ERR_SEALS)

#define ADOPT_REQUEST_FIELDS(F, S)                                                                                     \
    F(S, U32, seals, SEALBUF_SEALS_ALL, SEALBUF_ERR_SEALS)                                                             \
    F(S, U32, flags, 0, SEALBUF_ERR_FLAGS)                                                                             \
    F(S, LABEL, label, SEALBUF_MAX_LABEL, SEALBUF_ERR_LABEL)                                                           \
    F(S, METADATA, metadata, SEALBUF_MAX_METADATA, SEALBUF_ERR_METADATA)

#define PUBLISH_REQUEST_FIELDS(F, S)                                                                                   \
    F(S, U64, id, ANY64, SEALBUF_ERR_TARGET)                                                                           \
    F(S, U32, seals, SEALBUF_SEALS_ALL, SEALBUF_ERR_SEALS)                                                             \
    F(S, U32, mode, 0666, SEALBUF_ERR_MODE)                                                                            \
    F(S, U32, flags, SEALBUF_PUBLISH_FLAGS, SEALBUF_ERR_FLAGS)                                                         \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)                                                               \
    F(S, U32, group, ANY32, SEALBUF_ERR_FLAGS)                                                                         \
    F(S, U64, expected, ANY64, SEALBUF_ERR_FLAGS)                                                                      \
    F(S, U32, keep, SEALBUF_MAX_KEEP, SEALBUF_ERR_FLAGS)                                                               \
    F(S, U64, expire_ms, ANY64, SEALBUF_ERR_FLAGS)                                                                     \
    F(S, METADATA, metadata, SEALBUF_MAX_METADATA, SEALBUF_ERR_METADATA)

#define GET_REQUEST_FIELDS(F, S)                                                                                       \
    F(S, U64, id, ANY64, SEALBUF_ERR_TARGET)                                                                           \
    F(S, U32, owner, ANY32, SEALBUF_ERR_TARGET)                                                                        \
    F(S, U32, seals, SEALBUF_SEALS_ALL, SEALBUF_ERR_SEALS)                                                             \
    F(S, U32, flags, SEALBUF_GET_FLAGS, SEALBUF_ERR_FLAGS)                                                             \
    F(S, PREFIX, name, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)                                                             \
    F(S, TOKEN, token, SEALBUF_TOKEN_SIZE, SEALBUF_ERR_TOKEN)                                                          \
    F(S, U64, generation, ANY64, SEALBUF_ERR_FLAGS)                                                                    \
    F(S, U64, newer_than, ANY64, SEALBUF_ERR_FLAGS)                                                                    \
    F(S, U64, wait_ms, ANY64, SEALBUF_ERR_FLAGS)

/* REMOVE and STAT. */
#define TARGET_REQUEST_FIELDS(F, S)                                                                                    \
    F(S, U64, id, ANY64, SEALBUF_ERR_TARGET)                                                                           \
    F(S, U32, owner, ANY32, SEALBUF_ERR_TARGET)                                                                        \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)                                                               \
    F(S, U32, flags, SEALBUF_TARGET_FLAGS, SEALBUF_ERR_FLAGS)                                                          \
    F(S, U64, generation, ANY64, SEALBUF_ERR_FLAGS)

#define LIST_REQUEST_FIELDS(F, S)                                                                                      \
    F(S, U32, owner, ANY32, SEALBUF_ERR_TARGET)                                                                        \
    F(S, U32, flags, SEALBUF_LIST_FLAGS, SEALBUF_ERR_FLAGS)                                                            \
    F(S, U32, after_owner, ANY32, SEALBUF_ERR_TARGET)                                                                  \
    F(S, U32, limit, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, PREFIX, prefix, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)                                                           \
    F(S, NAME, after, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)

#define SHARE_REQUEST_FIELDS(F, S)                                                                                     \
    F(S, U64, id, ANY64, SEALBUF_ERR_TARGET)                                                                           \
    F(S, U32, owner, ANY32, SEALBUF_ERR_TARGET)                                                                        \
    F(S, U32, flags, SEALBUF_SHARE_FLAGS, SEALBUF_ERR_FLAGS)                                                           \
    F(S, U64, expire_ms, ANY64, SEALBUF_ERR_FLAGS)                                                                     \
    F(S, U32, uses, ANY32, SEALBUF_ERR_FLAGS)                                                                          \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)

#define REVOKE_REQUEST_FIELDS(F, S)                                                                                    \
    F(S, U64, id, ANY64, SEALBUF_ERR_TARGET)                                                                           \
    F(S, U32, owner, ANY32, SEALBUF_ERR_TARGET)                                                                        \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)                                                               \
    F(S, TOKEN, token, SEALBUF_TOKEN_SIZE, SEALBUF_ERR_TOKEN)

#define ACCOUNTS_REQUEST_FIELDS(F, S)                                                                                  \
    F(S, U32, from, ANY32, SEALBUF_ERR_TARGET)                                                                         \
    F(S, U32, flags, SEALBUF_ACCOUNTS_FLAGS, SEALBUF_ERR_FLAGS)

#define TOUCH_REQUEST_FIELDS(F, S)                                                                                     \
    F(S, U32, owner, ANY32, SEALBUF_ERR_TARGET)                                                                        \
    F(S, U32, flags, 0, SEALBUF_ERR_FLAGS)                                                                             \
    F(S, U64, expire_ms, ANY64, SEALBUF_ERR_FLAGS)                                                                     \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)

#define WATCH_REQUEST_FIELDS(F, S)                                                                                     \
    F(S, U32, owner, ANY32, SEALBUF_ERR_TARGET)                                                                        \
    F(S, U32, flags, SEALBUF_WATCH_FLAGS, SEALBUF_ERR_FLAGS)                                                           \
    F(S, PREFIX, name, SEALBUF_MAX_NAME, SEALBUF_ERR_NAME)

/* Of a GET that waits, or of a WATCH. */
#define CANCEL_REQUEST_FIELDS(F, S) F(S, U32, serial, ANY32, SEALBUF_ERR_TARGET)

/* The outcome of SEAL, PUBLISH, REMOVE, REVOKE, TOUCH, CANCEL: and of whatever a request as a whole was refused for. */
#define OUTCOME_FIELDS(F, S)                                                                                           \
    F(S, U32, status, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, seals, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)                                                                        \
    F(S, U64, generation, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, TEXT, text, SEALBUF_MAX_TEXT, SEALBUF_ERR_MALFORMED)

/* A buffer: the reply to CREATE, ADOPT, GET and STAT, and the records of LIST. */
#define BUFFER_FIELDS(F, S)                                                                                            \
    F(S, U32, status, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, descriptors, 1, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)                                                                        \
    F(S, U64, size, ANY64, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U64, generation, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U32, seals, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, flags, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, mode, ANY32, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U32, owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, group, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, creator_pid, ANY32, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, allocated, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U64, created_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U64, published_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                              \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_MALFORMED)                                                          \
    F(S, LABEL, label, SEALBUF_MAX_LABEL, SEALBUF_ERR_MALFORMED)                                                       \
    F(S, METADATA, metadata, SEALBUF_MAX_METADATA, SEALBUF_ERR_MALFORMED)                                              \
    F(S, TEXT, text, SEALBUF_MAX_TEXT, SEALBUF_ERR_MALFORMED)                                                          \
    F(S, U64, creator_pidfd, ANY64, SEALBUF_ERR_MALFORMED)                                                             \
    F(S, TEXT, creator_security, SEALBUF_MAX_TEXT, SEALBUF_ERR_MALFORMED)                                              \
    F(S, U64, expire_ms, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U64, oldest, ANY64, SEALBUF_ERR_MALFORMED)

/* What a watch tells: the records of its replies, of which there are many, all with the serial of the request. */
#define EVENT_FIELDS(F, S)                                                                                             \
    F(S, U32, kind, ANY32, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U32, descriptors, 1, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)                                                                        \
    F(S, U64, size, ANY64, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U64, generation, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U64, published_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                              \
    F(S, U64, expire_ms, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U32, seals, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, flags, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, mode, ANY32, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U32, owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U32, group, ANY32, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, NAME, name, SEALBUF_MAX_NAME, SEALBUF_ERR_MALFORMED)                                                          \
    F(S, METADATA, metadata, SEALBUF_MAX_METADATA, SEALBUF_ERR_MALFORMED)

/* The reply to SHARE. */
#define TOKEN_FIELDS(F, S)                                                                                             \
    F(S, U32, status, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, uses, ANY32, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U64, id, ANY64, SEALBUF_ERR_MALFORMED)                                                                        \
    F(S, U64, expire_ms, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, TOKEN, token, SEALBUF_TOKEN_SIZE, SEALBUF_ERR_MALFORMED)                                                      \
    F(S, TEXT, text, SEALBUF_MAX_TEXT, SEALBUF_ERR_MALFORMED)

/* What a uid, or all of them, hold of each resource, and how much they may: the records of a reply to ACCOUNTS. */
#define ACCOUNT_FIELDS(F, S)                                                                                           \
    F(S, U32, status, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, uid, ANY32, SEALBUF_ERR_MALFORMED)                                                                       \
    F(S, U64, bytes, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, bytes_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, buffers, ANY64, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, buffers_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                             \
    F(S, U64, names, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, names_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, metadata, ANY64, SEALBUF_ERR_MALFORMED)                                                                  \
    F(S, U64, metadata_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                            \
    F(S, U64, tokens, ANY64, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U64, tokens_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                              \
    F(S, U64, connections, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, connections_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                         \
    F(S, U64, requests, ANY64, SEALBUF_ERR_MALFORMED)                                                                  \
    F(S, U64, requests_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                            \
    F(S, U64, replies, ANY64, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, replies_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                             \
    F(S, U64, queued_descriptors, ANY64, SEALBUF_ERR_MALFORMED)                                                        \
    F(S, U64, queued_descriptors_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                  \
    F(S, U64, in_flight, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U64, in_flight_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                           \
    F(S, U64, stored, ANY64, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U64, stored_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                              \
    F(S, U64, waits, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, waits_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, watches, ANY64, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, watches_limit, ANY64, SEALBUF_ERR_MALFORMED)

/* The first record of a reply to LIST: where the next page starts. */
#define PAGE_FIELDS(F, S)                                                                                              \
    F(S, U32, status, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, more, 1, SEALBUF_ERR_MALFORMED)                                                                          \
    F(S, U32, next_owner, ANY32, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, NAME, next, SEALBUF_MAX_NAME, SEALBUF_ERR_MALFORMED)

#define STATS_REPLY_FIELDS(F, S)                                                                                       \
    F(S, U32, status, ANY32, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U32, pid, ANY32, SEALBUF_ERR_MALFORMED)                                                                       \
    F(S, U64, uptime_ns, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U64, requests, ANY64, SEALBUF_ERR_MALFORMED)                                                                  \
    F(S, U64, refused, ANY64, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, disconnects, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, buffers, ANY64, SEALBUF_ERR_MALFORMED)                                                                   \
    F(S, U64, buffers_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                             \
    F(S, U64, bytes, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, bytes_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, names, ANY64, SEALBUF_ERR_MALFORMED)                                                                     \
    F(S, U64, names_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, connections, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, connections_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                         \
    F(S, U64, buffer_size_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                         \
    F(S, U64, jobs, ANY64, SEALBUF_ERR_MALFORMED)                                                                      \
    F(S, U64, queued_descriptors, ANY64, SEALBUF_ERR_MALFORMED)                                                        \
    F(S, U32, uid, ANY32, SEALBUF_ERR_MALFORMED)                                                                       \
    F(S, U64, uid_buffers, ANY64, SEALBUF_ERR_MALFORMED)                                                               \
    F(S, U64, uid_buffers_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                         \
    F(S, U64, uid_bytes, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U64, uid_bytes_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                           \
    F(S, U64, uid_names, ANY64, SEALBUF_ERR_MALFORMED)                                                                 \
    F(S, U64, uid_names_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                           \
    F(S, U64, uid_connections, ANY64, SEALBUF_ERR_MALFORMED)                                                           \
    F(S, U64, uid_connections_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                     \
    F(S, TEXT, version, SEALBUF_MAX_TEXT, SEALBUF_ERR_MALFORMED)                                                       \
    F(S, U64, stored, ANY64, SEALBUF_ERR_MALFORMED)                                                                    \
    F(S, U64, stored_limit, ANY64, SEALBUF_ERR_MALFORMED)                                                              \
    F(S, U64, uid_stored, ANY64, SEALBUF_ERR_MALFORMED)                                                                \
    F(S, U64, uid_stored_limit, ANY64, SEALBUF_ERR_MALFORMED)

#define SCHEMAS(S)                                                                                                     \
    S(hello_request, HELLO_REQUEST_FIELDS)                                                                             \
    S(hello_reply, HELLO_REPLY_FIELDS)                                                                                 \
    S(create_request, CREATE_REQUEST_FIELDS)                                                                           \
    S(seal_request, SEAL_REQUEST_FIELDS)                                                                               \
    S(adopt_request, ADOPT_REQUEST_FIELDS)                                                                             \
    S(publish_request, PUBLISH_REQUEST_FIELDS)                                                                         \
    S(get_request, GET_REQUEST_FIELDS)                                                                                 \
    S(target_request, TARGET_REQUEST_FIELDS)                                                                           \
    S(list_request, LIST_REQUEST_FIELDS)                                                                               \
    S(share_request, SHARE_REQUEST_FIELDS)                                                                             \
    S(revoke_request, REVOKE_REQUEST_FIELDS)                                                                           \
    S(accounts_request, ACCOUNTS_REQUEST_FIELDS)                                                                       \
    S(outcome, OUTCOME_FIELDS)                                                                                         \
    S(buffer_record, BUFFER_FIELDS)                                                                                    \
    S(page, PAGE_FIELDS)                                                                                               \
    S(stats_reply, STATS_REPLY_FIELDS)                                                                                 \
    S(token_record, TOKEN_FIELDS)                                                                                      \
    S(account_record, ACCOUNT_FIELDS)                                                                                  \
    S(touch_request, TOUCH_REQUEST_FIELDS)                                                                             \
    S(watch_request, WATCH_REQUEST_FIELDS)                                                                             \
    S(cancel_request, CANCEL_REQUEST_FIELDS)                                                                           \
    S(event_record, EVENT_FIELDS)

/*
 * Every operation:  O(NAME, request record, least, most, descriptors a record, reply record)
 * PING and REEXEC carry no record; `none` stands for that.
 */
#define OPERATIONS(O)                                                                                                  \
    O(HELLO, hello_request, 1, 1, 0, hello_reply)                                                                      \
    O(PING, none, 0, 0, 0, none)                                                                                       \
    O(CREATE, create_request, 1, SEALBUF_MAX_RECORDS, 0, buffer_record)                                                \
    O(SEAL, seal_request, 1, SEALBUF_MAX_RECORDS, 0, outcome)                                                          \
    O(ADOPT, adopt_request, 1, SEALBUF_MAX_RECORDS, 1, buffer_record)                                                  \
    O(PUBLISH, publish_request, 1, SEALBUF_MAX_RECORDS, 0, outcome)                                                    \
    O(GET, get_request, 1, SEALBUF_MAX_RECORDS, 0, buffer_record)                                                      \
    O(REMOVE, target_request, 1, SEALBUF_MAX_RECORDS, 0, outcome)                                                      \
    O(STAT, target_request, 1, SEALBUF_MAX_RECORDS, 0, buffer_record)                                                  \
    O(LIST, list_request, 1, 1, 0, buffer_record)                                                                      \
    O(STATS, none, 0, 0, 0, stats_reply)                                                                               \
    O(SHARE, share_request, 1, SEALBUF_MAX_RECORDS, 0, token_record)                                                   \
    O(REVOKE, revoke_request, 1, SEALBUF_MAX_RECORDS, 0, outcome)                                                      \
    O(ACCOUNTS, accounts_request, 1, 1, 0, account_record)                                                             \
    O(REEXEC, none, 0, 0, 0, none)                                                                                     \
    O(TOUCH, touch_request, 1, SEALBUF_MAX_RECORDS, 0, outcome)                                                        \
    O(WATCH, watch_request, 1, 1, 0, event_record)                                                                     \
    O(CANCEL, cancel_request, 1, 1, 0, outcome)

#endif
