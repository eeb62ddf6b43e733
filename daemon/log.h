/* SPDX-License-Identifier: MIT */
/*
 * Lines for the operator: to the journal with fields where stderr is the journal's, else to stderr.
 *
 * Nothing here waits for who reads the log: lines that are not taken are lost, and counted.
 *
 * What a client can cause goes through log_client, which lets at most a burst through, and then counts: a hostile
 * client must not fill a disk.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

#include "codec.h"
#include "credentials.h"

/* Levels are those of syslog(3). Less urgent lines than `level` are dropped from now on. */
void log_start(int level);
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_client(int level, const struct credentials *client, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What a line is about, for the journal's fields; the text has it as well, where a reader needs it. */
struct log_subject {
    const char *message_id;           /* of message_id.h, or NULL */
    const struct credentials *client; /* who caused it: then it is limited as log_client's lines are */
    uint64_t id;                      /* of a buffer, or 0 */
    struct span name;                 /* or empty */
    uid_t owner;                      /* of the name */
};
void log_about(int level, const struct log_subject *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Behind a noun. */
static inline const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

#endif
