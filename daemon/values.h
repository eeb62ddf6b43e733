/* SPDX-License-Identifier: MIT */
/* Values as operators write them, on the command line and in files: false where the text is none, or out of range. */
#ifndef DAEMON_VALUES_H
#define DAEMON_VALUES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A whole number from 1 to 2^63 - 1, with K, M, G or T for powers of 1024. */
bool value_size(const char *text, uint64_t *size);
/* A whole number with ms, s, min or h; above 0, at most 365 days. */
bool value_duration_ms(const char *text, uint64_t *ms);
/* Digits of this base, and nothing else. */
bool value_number(const char *text, int base, unsigned long greatest, unsigned long *number);
bool value_yes_or_no(const char *text, bool *value);

/* Levels are those of syslog(3). */
bool value_level(const char *text, int *level);
const char *value_level_name(int level);

/* A number, or a name that the system knows; looking that up may wait for whoever knows users and groups. */
bool value_user(const char *text, uid_t *uid);
bool value_group(const char *text, gid_t *gid);

#endif
