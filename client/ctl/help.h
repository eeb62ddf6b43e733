/* SPDX-License-Identifier: MIT */
/* --help and --version, from the tables of commands and options. */
#ifndef CTL_HELP_H
#define CTL_HELP_H

struct command;

/* Of one command, or of all where it is NULL. */
void help_print(const struct command *command);
void version_print(void);

#endif
