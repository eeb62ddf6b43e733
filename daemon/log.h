/* SPDX-License-Identifier: MIT */
/*
 * Lines for the operator: to the journal with fields where stderr is the journal's, else to stderr.
 *
 * What a client can cause goes through log_client, which lets at most a burst through, and then counts: a hostile
 * client must not fill a disk.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <sys/types.h>
#include <syslog.h>

#include "credentials.h"

/* Levels are those of syslog(3). Less urgent lines than `level` are dropped from now on. */
void log_start(int level);
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_client(int level, const struct credentials *client, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
