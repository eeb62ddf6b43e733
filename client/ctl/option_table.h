/* SPDX-License-Identifier: MIT */
/* The options: one row each, from which the command line is read and --help is printed. */
#ifndef CTL_OPTION_TABLE_H
#define CTL_OPTION_TABLE_H

#include <stddef.h>

struct command;
struct options;

#define OPTION_ROWS 39

struct option_row {
    const char *name;
    const char *argument; /* NULL: none; "[=WHAT]": it may be left out */
    unsigned commands;    /* that take it: enum command_bit */
    char letter;          /* 0: none */
    const char *help;
    /* Keeps the argument, NULL where there is none. 0, or STATUS_USAGE, reported. */
    int (*take)(struct options *options, const char *value);
};

/* The n-th of the table, NULL behind the last. */
const struct option_row *option_row_at(size_t n);

/* The options that a command takes, one a line; NULL: all of them, and which commands take them. */
void options_print(const struct command *command);

#endif
