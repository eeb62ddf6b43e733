/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <config-build.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

#define LINE_SIZE      2048
#define FIELDS         12
#define FIELD_SIZE     320 /* of the greatest field but MESSAGE: a name with its 249 bytes, a security label */
#define JOURNAL_PREFIX "MESSAGE="
#define BURST          50 /* lines about clients at once */
#define LINES_SECOND   5  /* and then, on average */

static struct {
    int level;
    bool journal;
    double credit; /* lines that may still be written about clients */
    uint64_t refilled_ns;
    uint64_t suppressed;
} state = {.level = LOG_INFO, .credit = BURST};

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

void log_start(int level)
{
    state.level = level;
    state.journal = stderr_is_the_journal();
}

#if HAVE_SYSTEMD

/* The fields of one entry: FIELD=value each. */
struct entry {
    struct iovec fields[FIELDS];
    int count;
    char text[FIELDS * FIELD_SIZE];
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) add_field(struct entry *entry, const char *format, ...)
{
    char *field = entry->text + entry->used;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(field, FIELD_SIZE, format, arguments);
    va_end(arguments);
    size_t written = length < FIELD_SIZE ? (size_t)length : FIELD_SIZE - 1;
    entry->fields[entry->count++] = (struct iovec){field, written};
    entry->used += written;
}

static void add_client(struct entry *entry, const struct credentials *client, const char *security)
{
    add_field(entry, "SEALBUF_UID=%u", (unsigned)client->uid);
    add_field(entry, "SEALBUF_PID=%d", (int)client->pid);
    if (security[0])
        add_field(entry, "SEALBUF_SECURITY=%s", security);
    if (client->door[0])
        add_field(entry, "SEALBUF_SOCKET=%s", client->door);
}

static void write_to_journal(int level, const struct log_subject *subject, const char *security, char *text)
{
    struct entry entry;
    struct iovec *message = &entry.fields[0];

    entry.count = 1;
    entry.used = 0;
    *message = (struct iovec){text, strlen(text)};
    add_field(&entry, "PRIORITY=%d", level);
    if (subject->message_id)
        add_field(&entry, "MESSAGE_ID=%s", subject->message_id);
    if (subject->client)
        add_client(&entry, subject->client, security);
    if (subject->id)
        add_field(&entry, "SEALBUF_ID=%llu", (unsigned long long)subject->id);
    if (subject->name.length) {
        add_field(&entry, "SEALBUF_NAME=%.*s", (int)subject->name.length, subject->name.data);
        add_field(&entry, "SEALBUF_OWNER=%u", (unsigned)subject->owner);
    }
    sd_journal_sendv(entry.fields, entry.count);
}

#endif

/* `text` is all of it, and begins with JOURNAL_PREFIX. */
static void write_line(int level, const struct log_subject *subject, char *text)
{
    const struct credentials *client = subject->client;
    char security[SECURITY_SIZE] = "";

    if (client)
        credentials_ask_security(client, security);
#if HAVE_SYSTEMD
    if (state.journal) {
        write_to_journal(level, subject, security, text);
        return;
    }
#endif
    (void)level;
    text += strlen(JOURNAL_PREFIX);
    char line[LINE_SIZE + SECURITY_SIZE + 128];
    int n;
    if (client)
        n = snprintf(line, sizeof(line), "sealbufd: peer pid %d uid %u%s%s%s%s: %s\n", (int)client->pid,
                     (unsigned)client->uid, client->door[0] ? " socket " : "", client->door,
                     security[0] ? " security " : "", security, text);
    else
        n = snprintf(line, sizeof(line), "sealbufd: %s\n", text);
    /* One write, so that lines of several processes do not mix. Where nobody reads stderr, there is nobody to tell. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    (void)written;
}

static void __attribute__((format(printf, 3, 0)))
write_formatted(int level, const struct log_subject *subject, const char *format, va_list arguments)
{
    char text[LINE_SIZE] = JOURNAL_PREFIX;
    size_t prefix = strlen(text);

    vsnprintf(text + prefix, sizeof(text) - prefix, format, arguments);
    write_line(level, subject, text);
}

void log_line(int level, const char *format, ...)
{
    va_list arguments;

    if (level > state.level)
        return;
    va_start(arguments, format);
    write_formatted(level, &(struct log_subject){.client = NULL}, format, arguments);
    va_end(arguments);
}

static bool spend_credit(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    state.credit += (double)(now_ns - state.refilled_ns) / 1e9 * LINES_SECOND;
    if (state.credit > BURST)
        state.credit = BURST;
    state.refilled_ns = now_ns;
    if (state.credit < 1) {
        state.suppressed++;
        return false;
    }
    state.credit--;
    return true;
}

/* Whether a line about a client may be written now. */
static bool is_allowed(void)
{
    if (!spend_credit())
        return false;
    if (state.suppressed) {
        log_line(LOG_WARNING, "%llu lines about clients were not logged: more than %d in a row",
                 (unsigned long long)state.suppressed, BURST);
        state.suppressed = 0;
    }
    return true;
}

void log_client(int level, const struct credentials *client, const char *format, ...)
{
    va_list arguments;

    if (level > state.level || !is_allowed())
        return;
    va_start(arguments, format);
    write_formatted(level, &(struct log_subject){.client = client}, format, arguments);
    va_end(arguments);
}

void log_about(int level, const struct log_subject *subject, const char *format, ...)
{
    va_list arguments;

    if (level > state.level || (subject->client && !is_allowed()))
        return;
    va_start(arguments, format);
    write_formatted(level, subject, format, arguments);
    va_end(arguments);
}
