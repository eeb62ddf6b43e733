/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"

#define LINE_SIZE    2048
#define SUBJECT_SIZE (SECURITY_SIZE + 128)
#define BURST        50 /* lines about clients at once */
#define LINES_SECOND 5  /* and then, on average */

static struct {
    int level;
    bool journal;
    double credit; /* lines that may still be written about clients */
    uint64_t refilled_ns;
    uint64_t suppressed;
    uint64_t lost; /* lines that nobody took */
} state = {.level = LOG_INFO, .credit = BURST};

void log_start(int level)
{
    state.level = level;
    state.journal = journal_open();
}

static void add_client(struct journal_entry *entry, const struct credentials *client, const char *security)
{
    journal_add(entry, "SEALBUF_UID", "%u", (unsigned)client->uid);
    journal_add(entry, "SEALBUF_PID", "%d", (int)client->pid);
    if (security[0])
        journal_add(entry, "SEALBUF_SECURITY", "%s", security);
    if (client->door[0])
        journal_add(entry, "SEALBUF_SOCKET", "%s", client->door);
}

static bool write_to_journal(int level, const struct log_subject *subject, const char *security, const char *who,
                             const char *text)
{
    struct journal_entry entry;

    entry.used = 0;
    journal_add(&entry, "MESSAGE", "%s%s", who, text);
    journal_add(&entry, "PRIORITY", "%d", level);
    journal_add(&entry, "SYSLOG_IDENTIFIER", "sealbufd");
    if (subject->message_id)
        journal_add(&entry, "MESSAGE_ID", "%s", subject->message_id);
    if (subject->client)
        add_client(&entry, subject->client, security);
    if (subject->id)
        journal_add(&entry, "SEALBUF_ID", "%llu", (unsigned long long)subject->id);
    if (subject->name.length) {
        journal_add(&entry, "SEALBUF_NAME", "%.*s", (int)subject->name.length, subject->name.data);
        journal_add(&entry, "SEALBUF_OWNER", "%u", (unsigned)subject->owner);
    }
    return journal_send(&entry);
}

/* A pipe that somebody stopped to read would stop the broker. What has room for something has room for a line. */
static bool has_room(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLOUT};

    return poll(&look, 1, 0) != 0;
}

static bool write_to_stderr(const char *who, const char *text)
{
    char line[SUBJECT_SIZE + LINE_SIZE + 16];

    if (!has_room(STDERR_FILENO))
        return false;
    int n = snprintf(line, sizeof(line), "sealbufd: %s%s\n", who, text);
    /* One write, so that lines of several processes do not mix. Where nobody reads stderr, there is nobody to tell. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    (void)written;
    return true;
}

/* A line begins with whom it is about, also in the journal: few look at its fields. */
static void print_client(char who[SUBJECT_SIZE], const struct credentials *client, const char *security)
{
    snprintf(who, SUBJECT_SIZE, "peer pid %d uid %u%s%s%s%s: ", (int)client->pid, (unsigned)client->uid,
             client->door[0] ? " socket " : "", client->door, security[0] ? " security " : "", security);
}

static bool write_line(int level, const struct log_subject *subject, const char *text)
{
    char security[SECURITY_SIZE] = "", who[SUBJECT_SIZE] = "";

    if (subject->client) {
        credentials_ask_security(subject->client, security);
        print_client(who, subject->client, security);
    }
    if (state.journal)
        return write_to_journal(level, subject, security, who, text);
    return write_to_stderr(who, text);
}

/* What nobody took, one is told of when somebody takes lines again. */
static void tell_lost(void)
{
    char text[LINE_SIZE];

    if (state.lost == 0)
        return;
    snprintf(text, sizeof(text), "%llu lines are lost: the log was not read", (unsigned long long)state.lost);
    if (write_line(LOG_WARNING, &(struct log_subject){.client = NULL}, text))
        state.lost = 0;
}

static void __attribute__((format(printf, 3, 0)))
write_formatted(int level, const struct log_subject *subject, const char *format, va_list arguments)
{
    char text[LINE_SIZE];

    vsnprintf(text, sizeof(text), format, arguments);
    tell_lost();
    if (state.lost || !write_line(level, subject, text))
        state.lost++;
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
