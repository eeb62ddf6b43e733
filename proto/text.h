/* SPDX-License-Identifier: MIT */
/*
 * What may stand in a name and in a label. Both are shown on terminals and in logs, and names look like
 * paths, so neither may carry control characters, and a name has no part that a file system would take for
 * "here" or "above".
 */
#ifndef PROTO_TEXT_H
#define PROTO_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 without control characters, of any length. */
bool text_printable(const char *text, size_t length);

/*
 * 1 to 255 bytes of well-formed UTF-8 without control characters; parts separated by single slashes, none of
 * them empty, `.` or `..`; no slash at either end.
 */
bool name_valid(const char *name, size_t length);

/* The start of names, as LIST takes it: like a name, but it may be empty and may end anywhere. */
bool prefix_valid(const char *prefix, size_t length);

/* Up to 249 bytes of well-formed UTF-8 without control characters. Anybody can read it in /proc: no secrets.
 */
bool label_valid(const char *label, size_t length);

/*
 * Up to 4096 bytes of KEY=VALUE pairs, each ended by a NUL byte. A key is 1 or more printable characters
 * without `=`; a value is any bytes but NUL. Keys may repeat; readers take the first.
 */
bool metadata_valid(const char *metadata, size_t length);

/* The greatest length, up to `room`, at which well-formed text can be cut without cutting a character in two. */
size_t text_cut(const char *text, size_t length, size_t room);

#endif
