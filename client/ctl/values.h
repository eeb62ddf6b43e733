/* SPDX-License-Identifier: MIT */
/* What an option's argument means. Each returns 0, or STATUS_USAGE, reported; `option` is for the report. */
#ifndef CTL_VALUES_H
#define CTL_VALUES_H

#include <stdint.h>

int value_owner(const char *option, const char *text, uint32_t *uid);
int value_seals(const char *option, const char *text, uint32_t *seals);
int value_mode(const char *option, const char *text, uint32_t *mode);
int value_count(const char *option, const char *text, unsigned *count);
int value_metadata(const char *option, const char *text);

#endif
