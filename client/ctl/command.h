/* SPDX-License-Identifier: MIT */
/* The commands: what each is called, what it takes, and the function that carries it out. */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <stddef.h>

struct options;

/* Which commands take an option: a set of these. */
enum command_bit {
    FOR_PUT = 1 << 0,
    FOR_GET = 1 << 1,
    FOR_EXEC = 1 << 2,
    FOR_LIST = 1 << 3,
    FOR_STAT = 1 << 4,
    FOR_REMOVE = 1 << 5,
    FOR_STATS = 1 << 6,
    FOR_PING = 1 << 7,
    FOR_SHARE = 1 << 8,
    FOR_REVOKE = 1 << 9,
    FOR_ADMIN = 1 << 10,
    FOR_TOUCH = 1 << 11,
    FOR_WATCH = 1 << 12,
    FOR_ALL = (1 << 13) - 1,
};

struct command {
    const char *name;
    enum command_bit bit;
    const char *synopsis; /* of its operands */
    const char *summary;
    size_t least, most; /* operands */
    int (*run)(const struct options *options);
};

/* All names, for a sentence. */
extern const char command_names[];

/* NULL where there is none of this name. */
const struct command *command_find(const char *name);
/* The n-th of the table, NULL behind the last. */
const struct command *command_at(size_t n);

/* Each carries out one command, reports what fails, and returns the exit status. */
int command_put(const struct options *options);
int command_get(const struct options *options);
int command_exec(const struct options *options);
int command_list(const struct options *options);
int command_stat(const struct options *options);
int command_watch(const struct options *options);
int command_touch(const struct options *options);
int command_remove(const struct options *options);
int command_share(const struct options *options);
int command_revoke(const struct options *options);
int command_stats(const struct options *options);
int command_ping(const struct options *options);
int command_admin(const struct options *options);

#endif
