/* SPDX-License-Identifier: MIT */
/* The command line: what it asks for, and what it sets whatever the files say. */
#ifndef DAEMON_COMMAND_LINE_H
#define DAEMON_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct override {
    unsigned setting; /* its number in settings.h */
    const char *value;
};

struct command_line {
    const char *config_file; /* NULL: those in the usual places */
    bool check_config;
    char **argv;                /* as main was given it */
    int ready_fd;               /* -1: none */
    struct override *overrides; /* in their order: the last one of a setting counts */
    size_t override_count;
};

enum command_line_outcome { COMMAND_RUN, COMMAND_DONE, COMMAND_WRONG };

/* Prints --help, --version and what is wrong. Points into argv. command_line_free in any case. */
enum command_line_outcome command_line_parse(struct command_line *line, int argc, char **argv);
void command_line_free(struct command_line *line);

#endif
