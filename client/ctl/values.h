/* SPDX-License-Identifier: MIT */
/* What an option's argument means. Each returns 0, or STATUS_USAGE, reported; `option` is for the report. */
#ifndef CTL_VALUES_H
#define CTL_VALUES_H

#include <stdbool.h>

#include <sealbuf.h>

int value_owner(const char *option, const char *text, uint32_t *uid);
int value_seals(const char *option, const char *text, uint32_t *seals);
int value_mode(const char *option, const char *text, uint32_t *mode);
int value_count(const char *option, const char *text, unsigned *count);
int value_metadata(const char *option, const char *text);
/* A group's name, or a gid. */
int value_group(const char *option, const char *text, uint32_t *gid);
/* "500ms", "30s", "5min", "2h", "1d"; a number alone is seconds. */
int value_duration(const char *option, const char *text, uint64_t *milliseconds);
/* Would it be one? Reports nothing. */
bool value_is_duration(const char *text);
/* A generation, from `least` on. */
int value_generation(const char *option, const char *text, uint64_t least, uint64_t *generation);
/* How many former generations there are to be. */
int value_keep(const char *option, const char *text, uint32_t *keep);
/* A number of times, from 1 on. */
int value_uses(const char *option, const char *text, uint32_t *uses);
/* A token itself. No report shows it. */
int value_token(const char *option, const char *text, char token[SEALBUF_TOKEN_TEXT]);
/* A token that is all that there is in a file, or `-`, standard input; a newline may follow it. */
int value_token_file(const char *option, const char *path, char token[SEALBUF_TOKEN_TEXT]);

#endif
