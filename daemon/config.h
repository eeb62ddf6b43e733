/* SPDX-License-Identifier: MIT */
/* What the operator has decided: where to listen, how much to allow, when to leave. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Every limit: member, the key that sets it, what it limits. 0 in a config means "not said": the default is computed.
 */
#define LIMITS(L)                                                                                                      \
    L(buffer_size, "buffer-size", "bytes in one buffer")                                                               \
    L(bytes, "bytes", "bytes in all buffers")                                                                          \
    L(buffers, "buffers", "buffers")                                                                                   \
    L(names, "names", "names")                                                                                         \
    L(connections, "connections", "connections")                                                                       \
    L(uid_bytes, "uid-bytes", "bytes in the buffers of one uid")                                                       \
    L(uid_buffers, "uid-buffers", "buffers of one uid")                                                                \
    L(uid_names, "uid-names", "names of one uid")                                                                      \
    L(uid_connections, "uid-connections", "connections of one uid")

struct limits {
#define LIMIT_MEMBER(member, key, meaning) uint64_t member;
    LIMITS(LIMIT_MEMBER)
#undef LIMIT_MEMBER
    uint64_t queued_descriptors; /* duplicates in replies that wait for their readers, of all peers */
    uint64_t in_flight;          /* descriptors that were sent and not yet received, of all peers */
};

struct config {
    const char *socket_path; /* NULL: sockets passed by the service manager, or the default address */
    mode_t socket_mode;
    bool socket_mode_set;
    int ready_fd;          /* -1: none */
    uint64_t idle_exit_ms; /* 0: never */
    int log_level;         /* of syslog(3): the least urgent that is logged */
    struct limits limits;
};

enum config_outcome { CONFIG_RUN, CONFIG_DONE, CONFIG_WRONG };

/* Reads the command line; prints --help, --version and what is wrong. */
enum config_outcome config_parse(struct config *config, int argc, char **argv);

/*
 * Raises RLIMIT_NOFILE to its hard limit and fills in the limits that nobody has set, so that buffers, connections and
 * queued replies together leave descriptors for the broker's own work. -ERANGE where what was set does not fit; it has
 * been logged, with the numbers.
 */
int config_settle_limits(struct config *config);

#endif
