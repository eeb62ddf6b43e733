/* SPDX-License-Identifier: MIT */
/*
 * How much is allowed: of each resource to all uids together, and to each uid; and what is allowed where nobody has
 * said anything. sealbufd.conf(5) has the same list, and a test compares the two.
 */
#ifndef DAEMON_LIMIT_H
#define DAEMON_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What is counted: C(identifier, key, meaning, default, default for each uid). `key` is the limit for all together and
 * `uid-key` that for each. Where a uid may have all, the fair share (quota.h) still leaves something to the others.
 */
#define COUNTED(C)                                                                                                     \
    C(BYTES, "bytes", "bytes in buffers", "twice the memory", "half of bytes")                                         \
    C(BUFFERS, "buffers", "buffers", "what RLIMIT_NOFILE leaves", "buffers")                                           \
    C(NAMES, "names", "names", "4 times buffers", "names")                                                             \
    C(METADATA, "metadata", "bytes of names, labels and metadata", "1/64 of the memory, at most 256M", "metadata")     \
    C(TOKENS, "tokens", "tokens", "buffers", "tokens")                                                                 \
    C(CONNECTIONS, "connections", "connections", "a quarter of the descriptors, at most 16384", "connections")         \
    C(REQUESTS, "requests", "requests that wait to go on", "4096", "requests")                                         \
    C(REPLIES, "replies", "replies that wait for room in a socket", "4096", "replies")                                 \
    C(QUEUED, "queued-descriptors", "descriptors kept for workers and for replies that wait",                          \
      "an eighth of the descriptors, at most 4096", "queued-descriptors")                                              \
    C(IN_FLIGHT, "in-flight", "descriptors that were sent and not yet received", "3/4 of RLIMIT_NOFILE", "in-flight")  \
    C(STORED, "stored", "buffers in the service manager's store",                                                      \
      "what the unit allows ($FDSTORE) less 16, else 4000", "stored")                                                  \
    C(WAITS, "waits", "GETs that wait for a name", "65536", "waits")                                                   \
    C(WATCHES, "watches", "watches", "16384", "watches")

enum resource {
#define COUNTED_RESOURCE(identifier, key, meaning, for_all, for_uid) RESOURCE_##identifier,
    COUNTED(COUNTED_RESOURCE)
#undef COUNTED_RESOURCE
        COUNTED_RESOURCES,
    RESOURCE_SEALING = COUNTED_RESOURCES, /* requests for which a worker adds seals */
    RESOURCE_FOREIGN,                     /* descriptors that are no memfds, and wait for their close: see reaper.h */
    RESOURCES
};

/* Limits of one uid that differ from those of all others; 0 where they do not. */
struct uid_limits {
    uid_t uid;
    uint64_t uid_limit[COUNTED_RESOURCES];
};

struct limits {
    uint64_t buffer_size; /* bytes in one buffer */
    uint64_t all[COUNTED_RESOURCES];
    uint64_t uid[COUNTED_RESOURCES];
    struct uid_limits *exceptions; /* in order of uid; owned */
    size_t exception_count;
};

/* Everything that can be set: a key, and where its value is. */
struct limit_key {
    const char *key;
    size_t offset; /* in struct limits */
    const char *meaning, *by_default;
};
extern const struct limit_key limit_keys[];
extern const size_t limit_key_count;

/* "bytes", "buffers", ... of what is counted. */
const char *limits_key(enum resource resource);

static inline uint64_t *limit_at(struct limits *limits, const struct limit_key *key)
{
    return (uint64_t *)(void *)((char *)limits + key->offset);
}

/* What this uid may have, by configuration. */
uint64_t limits_of_uid(const struct limits *limits, uid_t uid, enum resource resource);

/*
 * Raises RLIMIT_NOFILE to its hard limit and fills in what nobody has set (what is 0), so that buffers, connections
 * and what waits together leave descriptors for the broker's own work. -ERANGE where what was set does not fit; *cause
 * says why, with the numbers.
 */
int limits_settle(struct limits *limits, char *cause, size_t room);

#endif
