/* SPDX-License-Identifier: MIT */
/*
 * The command line. Options may stand before and after the command and its operands; `--` ends them. What does not
 * fit is refused here, in words, before any command begins.
 */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sealbuf.h>

struct command;

struct options {
    const struct command *command; /* NULL with help or version only */

    const char *socket; /* NULL: where libsealbuf looks */
    const char *token_file;
    const char *output, *output_dir;
    const char *label;
    const char **metadata; /* KEY=VALUE, NULL at the end */
    size_t metadata_count;

    char **operands; /* behind the command; owned, the strings are argv's */
    size_t operand_count;
    char **program; /* behind `--`, for exec, or --exec, for watch; points into argv, NULL at the end */

    uint64_t expire_ms;     /* 0: never */
    uint64_t if_generation; /* with compare */
    uint64_t newer_than;    /* with has_newer_than */
    uint64_t generation;    /* 0: the current one */
    uint64_t wait_ms;       /* 0: for ever */

    uint32_t owner, group; /* with has_owner, has_group */
    uint32_t seals;        /* that put applies */
    uint32_t require;      /* that get and exec insist on */
    uint32_t mode;
    uint32_t keep; /* former generations */
    uint32_t uses; /* 0: any number */
    unsigned count;

    bool help, version;
    bool json;
    bool all, details;
    bool replace, compare;
    bool take, evictable;
    bool is_volatile, or_volatile;
    bool writable;
    bool has_owner, has_group, has_count, has_newer_than;
    bool no_expire;
    bool atomic;
    bool wait, no_wait;
    bool first;
    bool exact, no_snapshot;
    bool each_event, keep_going; /* watch --exec */

    bool has_token;
    char token[SEALBUF_TOKEN_TEXT];
};

/* 0, or an exit status, reported. Free the options in both cases. */
int options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif
