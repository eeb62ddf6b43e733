/* SPDX-License-Identifier: MIT */
/*
 * One file of configuration, read with libinih, whose API tells neither the line of a key, nor a section without keys:
 * so it is given the lines one by one, and after each heading a key without a name.
 */
#ifndef DAEMON_CONFIG_FILE_H
#define DAEMON_CONFIG_FILE_H

#include "draft.h"

/* Puts what the file says into the draft. The path must live as long as the draft does. */
void config_file_read(struct draft *draft, const char *path);

#endif
