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

#define LINE_SIZE    2048
#define BURST        50 /* lines about clients at once */
#define LINES_SECOND 5  /* and then, on average */

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

static void write_line(int level, const struct credentials *client, const char *text)
{
    char security[SECURITY_SIZE] = "";

    if (client)
        credentials_ask_security(client, security);
#if HAVE_SYSTEMD
    if (state.journal) {
        if (client)
            sd_journal_send("PRIORITY=%d", level, "MESSAGE=%s", text, "SEALBUF_UID=%u", (unsigned)client->uid,
                            "SEALBUF_PID=%d", (int)client->pid, security[0] ? "SEALBUF_SECURITY=%s" : NULL, security,
                            NULL);
        else
            sd_journal_send("PRIORITY=%d", level, "MESSAGE=%s", text, NULL);
        return;
    }
#endif
    (void)level;
    char line[LINE_SIZE + SECURITY_SIZE + 128];
    int n;
    if (client)
        n = snprintf(line, sizeof(line), "sealbufd: peer pid %d uid %u%s%s: %s\n", (int)client->pid,
                     (unsigned)client->uid, security[0] ? " security " : "", security, text);
    else
        n = snprintf(line, sizeof(line), "sealbufd: %s\n", text);
    /* One write, so that lines of several processes do not mix. Where nobody reads stderr, there is nobody to tell. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    (void)written;
}

void log_line(int level, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    if (level > state.level)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    write_line(level, NULL, text);
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

void log_client(int level, const struct credentials *client, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    if (level > state.level || !spend_credit())
        return;
    if (state.suppressed) {
        log_line(LOG_WARNING, "%llu lines about clients were not logged: more than %d in a row",
                 (unsigned long long)state.suppressed, BURST);
        state.suppressed = 0;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    write_line(level, client, text);
}
