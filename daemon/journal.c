/* SPDX-License-Identifier: MIT */
#include "journal.h"

#include <config-build.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "memfd.h"

static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
static int journal = -1;

/* $JOURNAL_STREAM names the device and inode of the stream that the service manager gave: systemd.exec(5). */
static bool stderr_is_the_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char expected[64];
    struct stat st;

    if (!HAVE_SYSTEMD || !stream || fstat(STDERR_FILENO, &st) < 0)
        return false;
    snprintf(expected, sizeof(expected), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    return strcmp(stream, expected) == 0;
}

bool journal_open(void)
{
    if (!stderr_is_the_journal())
        return false;
    if (journal < 0) /* opened once: there may be no descriptor left when there is something to say */
        journal = descriptor_above_stdio(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return journal >= 0;
}

void journal_add(struct journal_entry *entry, const char *field, const char *format, ...)
{
    char *start = entry->text + entry->used;
    size_t room = sizeof(entry->text) - entry->used, prefix = strlen(field) + 1;
    va_list arguments;

    if (prefix + 2 > room)
        return;
    snprintf(start, room, "%s=", field);
    va_start(arguments, format);
    int length = vsnprintf(start + prefix, room - prefix, format, arguments);
    va_end(arguments);
    if (length < 0 || prefix + (size_t)length + 1 > room)
        return;
    /* A field ends with its line. None of these has several; nor may one that does begin another field. */
    for (char *c = start + prefix; *c; c++)
        if (*c == '\n')
            *c = ' ';
    start[prefix + (size_t)length] = '\n';
    entry->used += prefix + (size_t)length + 1;
}

bool journal_send(const struct journal_entry *entry)
{
    return sendto(journal, entry->text, entry->used, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address,
                  sizeof(address)) >= 0;
}
