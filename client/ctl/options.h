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
    bool help, version;

    const char *socket; /* NULL: where libsealbuf looks */
    bool json;
    bool all;
    bool replace;
    bool take;
    bool is_volatile, or_volatile;
    bool writable;
    bool has_owner;
    uint32_t owner;
    bool has_group;
    uint32_t group;
    uint32_t seals;   /* that put applies */
    uint32_t require; /* that get and exec insist on */
    uint32_t mode;
    bool has_count;
    unsigned count;
    uint32_t uses;      /* 0: any number */
    uint64_t expire_ms; /* 0: never */
    bool no_expire;
    bool evictable;
    uint32_t keep; /* former generations */
    bool atomic;
    bool compare; /* with if_generation */
    uint64_t if_generation;
    bool wait, no_wait;
    uint64_t wait_ms; /* 0: for ever */
    bool has_newer_than;
    uint64_t newer_than;
    uint64_t generation; /* 0: the current one */
    bool first;
    bool exact, no_snapshot;
    bool details;
    bool each_event, keep_going; /* watch --exec */
    bool has_token;
    char token[SEALBUF_TOKEN_TEXT];
    const char *token_file;
    const char *output, *output_dir;
    const char *label;
    const char **metadata; /* KEY=VALUE, NULL at the end */
    size_t metadata_count;

    char **operands; /* behind the command; owned, the strings are argv's */
    size_t operand_count;
    char **program; /* behind `--`, for exec, or --exec, for watch; points into argv, NULL at the end */
};

/* 0, or an exit status, reported. Free the options in both cases. */
int options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif
