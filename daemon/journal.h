/* SPDX-License-Identifier: MIT */
/*
 * The system's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). sd_journal_sendv(3) would wait
 * where the journal does not read, and everybody with it; this does not.
 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_ENTRY_SIZE 4096

/* Fields, one after the other. What has no room is left out. */
struct journal_entry {
    char text[JOURNAL_ENTRY_SIZE];
    size_t used;
};

/* Whether standard error is the journal's: then it takes entries, from now on. */
bool journal_open(void);
void journal_add(struct journal_entry *entry, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* False: it is lost. */
bool journal_send(const struct journal_entry *entry);

#endif
