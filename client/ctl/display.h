/* SPDX-License-Identifier: MIT */
/*
 * Text for people: nothing that comes from a name, a label, metadata or a broker reaches the terminal as a control
 * character, those of the direction of writing included, and numbers come in the units that one reads.
 */
#ifndef CTL_DISPLAY_H
#define CTL_DISPLAY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A copy in which control characters and bytes that are not UTF-8 are written as \xNN. The caller frees it. */
char *display_harmless(const char *text);

/* Columns of a terminal that UTF-8 takes, as far as counting characters tells. */
size_t display_width(const char *text);

/* Room for any of the texts below. */
#define DISPLAY_SIZE 64

/* "64 MiB". */
const char *display_bytes(uint64_t bytes, char text[DISPLAY_SIZE]);
/* "3.5 us", "1.2 s", "3 min", "2.1 days". */
const char *display_duration(uint64_t nanoseconds, char text[DISPLAY_SIZE]);
const char *display_milliseconds(uint64_t milliseconds, char text[DISPLAY_SIZE]);
/* "2026-01-31T12:00:00+01:00": local time; "never" for 0. */
const char *display_time(uint64_t nanoseconds_since_epoch, char text[DISPLAY_SIZE]);
/* The user's name, or its number where it has none. */
const char *display_user(uid_t uid, char text[DISPLAY_SIZE]);

#endif
