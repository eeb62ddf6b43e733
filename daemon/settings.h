/* SPDX-License-Identifier: MIT */
/*
 * Everything that can be set in the sections [broker] and [limits] of a file, or on the command line: by which key,
 * what its value looks like, and what holds where nobody sets it. sealbufd.conf(5) has the same list; a test compares.
 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

struct setting {
    const char *section, *key;
    const char *by_default; /* in words */
    bool at_start;          /* a running broker keeps what it has */
    const char *expected;   /* of a value, in words */
    bool (*set)(struct config *config, const struct setting *setting, const char *value);
    void (*print)(const struct config *config, const struct setting *setting, char *text, size_t room);
    const struct limit_key *limit; /* of those in [limits] */
};

/* They have numbers, from 0 on. */
unsigned settings_count(void);
struct setting settings_get(unsigned number);
/* -1: there is none. */
int settings_find(const char *section, const char *key);

/* The number of a value's bytes, with the NUL byte, that settings_print prints at most. */
#define SETTING_ROOM 4096

/* NULL, or what was expected. An empty value takes back what was set, so that the default holds. */
const char *settings_set(struct config *config, unsigned number, const char *value);
/* As settings_set would take it. */
void settings_print(const struct config *config, unsigned number, char text[SETTING_ROOM]);

/* Of a limit: for what else there is of those, the limits of single users. */
#define EXPECTED_SIZE "a whole number above 0, perhaps with K, M, G or T, such as 512M"

#endif
