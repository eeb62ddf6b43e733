/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "display.h"

#define SECOND 1000000000ull

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

void progress_start(struct progress *progress, uint64_t total)
{
    *progress = (struct progress){
        .shown = isatty(STDERR_FILENO),
        .total = total,
        .started = now(),
    };
}

/* Blanks, not an escape sequence, erase what was there: that works on every terminal. */
static void draw(struct progress *progress, const char *line)
{
    int width = (int)strlen(line), erased = (int)progress->width > width ? (int)progress->width - width : 0;

    fprintf(stderr, "\r%s%*s", line, erased, "");
    progress->width = (size_t)width;
}

void progress_update(struct progress *progress, uint64_t done)
{
    char line[256], bytes[DISPLAY_SIZE], total[DISPLAY_SIZE], rate[DISPLAY_SIZE];

    if (!progress->shown)
        return;
    uint64_t time = now(), elapsed = time - progress->started;
    if (elapsed < SECOND || time - progress->drawn < SECOND / 5)
        return;
    progress->drawn = time;
    display_bytes(done, bytes);
    display_bytes((uint64_t)((double)done * (double)SECOND / (double)elapsed), rate);
    if (progress->total == UINT64_MAX)
        snprintf(line, sizeof(line), "%s, %s/s", bytes, rate);
    else
        snprintf(line, sizeof(line), "%s of %s, %.0f %%, %s/s", bytes, display_bytes(progress->total, total),
                 progress->total ? 100.0 * (double)done / (double)progress->total : 100.0, rate);
    draw(progress, line);
}

void progress_clear(struct progress *progress)
{
    if (progress->drawn == 0)
        return;
    draw(progress, "");
    fputc('\r', stderr);
    progress->drawn = 0;
}
