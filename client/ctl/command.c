/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <stdint.h>
#include <string.h>

static const struct command commands[] = {
    {"put", FOR_PUT, "NAME [FILE] | --atomic NAME=FILE...", "publish a file, or standard input, under a name", 1,
     SIZE_MAX, command_put},
    {"get", FOR_GET, "NAME | --output-dir DIR NAME...", "write a buffer's content to standard output or a file", 1,
     SIZE_MAX, command_get},
    {"exec", FOR_EXEC, "NAME... -- COMMAND [ARGUMENT...]", "run a command that inherits buffers' descriptors", 1,
     SIZE_MAX, command_exec},
    {"share", FOR_SHARE, "NAME", "print a token: who has it may get the buffer", 1, 1, command_share},
    {"revoke", FOR_REVOKE, "NAME...", "make all tokens of buffers worthless, or the one of --token-file", 1, SIZE_MAX,
     command_revoke},
    {"list", FOR_LIST, "[PREFIX]", "show the names that are published", 0, 1, command_list},
    {"stat", FOR_STAT, "NAME...", "show all that the broker knows of buffers", 1, SIZE_MAX, command_stat},
    {"watch", FOR_WATCH, "[PREFIX] [--exec COMMAND...]", "tell what happens to names, as it happens", 0, 1,
     command_watch},
    {"touch", FOR_TOUCH, "NAME...", "renew the leases of names", 1, SIZE_MAX, command_touch},
    {"remove", FOR_REMOVE, "NAME...", "unbind names; whoever has the buffer keeps it", 1, SIZE_MAX, command_remove},
    {"stats", FOR_STATS, "", "show what you have of the broker, and how much you may", 0, 0, command_stats},
    {"ping", FOR_PING, "", "measure round trips to the broker", 0, 0, command_ping},
    {"admin", FOR_ADMIN, "reexec", "have the broker take up its new program after an upgrade", 1, 1, command_admin},
};

const char command_names[] = "put, get, exec, share, revoke, list, stat, watch, touch, remove, stats, ping or admin";

const struct command *command_at(size_t n)
{
    return n < sizeof(commands) / sizeof(commands[0]) ? &commands[n] : NULL;
}

const struct command *command_find(const char *name)
{
    const struct command *command;

    for (size_t i = 0; (command = command_at(i)); i++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}
