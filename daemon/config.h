/* SPDX-License-Identifier: MIT */
/* What the operator has decided: where to listen, how much to allow, when to leave. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "limit.h"

struct command_line;
struct draft;

struct config {
    char *socket_path; /* owned; NULL: sockets passed by the service manager, or the default address */
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

/* What holds where nobody has said anything; the limits still have to be settled. */
void config_init(struct config *config);
void config_release(struct config *config);

/*
 * Reads the files, and over them the command line, and settles the limits. Where it returns -EINVAL (a file is wrong)
 * or -ERANGE (the limits do not fit), it has logged why, by file and line; else a negative errno. The draft goes to
 * draft_free in any case.
 */
int config_load(struct draft *draft, const struct command_line *line);

#endif
