/* SPDX-License-Identifier: MIT */
/* What the operator has decided: where to listen, how much to allow, when to leave. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "limits.h"

struct config {
    const char *socket_path; /* NULL: sockets passed by the service manager, or the default address */
    mode_t socket_mode;
    bool socket_mode_set;
    int ready_fd;          /* -1: none */
    uint64_t idle_exit_ms; /* 0: never */
    int log_level;         /* of syslog(3): the least urgent that is logged */
    bool sandbox;          /* see sandbox.h */
    gid_t admin_group;     /* whose members may list and remove anything */
    bool admin_group_set;
    struct limits limits;
};

enum config_outcome { CONFIG_RUN, CONFIG_DONE, CONFIG_WRONG };

/* Reads the command line; prints --help, --version and what is wrong. */
enum config_outcome config_parse(struct config *config, int argc, char **argv);

#endif
