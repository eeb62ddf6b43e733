/* SPDX-License-Identifier: MIT */
#include "display.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

/* Characters that have a terminal show what follows in another order than it is in: Bidi_Control of Unicode. */
static bool reorders(uint32_t code)
{
    return code == 0x061c || code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

/*
 * The length of the UTF-8 character at p, or 0 where a terminal must not see it: a control character (C0, DEL, C1, or
 * of the direction of writing), or bytes that are none. The locale is not asked: names are UTF-8 everywhere.
 */
static size_t printable_length(const unsigned char *p)
{
    static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;

    if (length <= 1)
        return p[0] >= 0x20 && p[0] != 0x7f ? length : 0;
    uint32_t code = p[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) /* the NUL at the end stops here, too */
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[length] || code > 0x10ffff || surrogate || reorders(code) ? 0 : length;
}

char *display_harmless(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    char *copy = malloc(4 * strlen(text) + 1), *end = copy;

    if (!copy)
        report_out_of_memory();
    while (*p) {
        size_t length = printable_length(p);
        if (length == 0) {
            end += sprintf(end, "\\x%02x", *p++);
            continue;
        }
        memcpy(end, p, length);
        end += length;
        p += length;
    }
    *end = '\0';
    return copy;
}

size_t display_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

struct unit {
    double factor; /* how many of the unit before make one */
    const char *name;
};

/* Three digits at most, one of them behind the point where there is only one before it. */
static const char *scaled(double value, const struct unit *units, char text[DISPLAY_SIZE])
{
    bool whole = true;

    while (units[1].name && value >= units[1].factor - 0.5) {
        value /= (++units)->factor;
        whole = false;
    }
    snprintf(text, DISPLAY_SIZE, "%.*f %s", !whole && value < 9.95, value, units->name);
    return text;
}

const char *display_bytes(uint64_t bytes, char text[DISPLAY_SIZE])
{
    static const struct unit units[] = {
        {1, "B"}, {1024, "KiB"}, {1024, "MiB"}, {1024, "GiB"}, {1024, "TiB"}, {1024, "PiB"}, {1024, "EiB"}, {0, NULL},
    };
    return scaled((double)bytes, units, text);
}

const char *display_duration(uint64_t nanoseconds, char text[DISPLAY_SIZE])
{
    static const struct unit units[] = {
        {1, "ns"}, {1000, "us"}, {1000, "ms"}, {1000, "s"}, {60, "min"}, {60, "h"}, {24, "days"}, {0, NULL},
    };
    return scaled((double)nanoseconds, units, text);
}

const char *display_milliseconds(uint64_t milliseconds, char text[DISPLAY_SIZE])
{
    const uint64_t factor = 1000000;

    return display_duration(milliseconds < UINT64_MAX / factor ? milliseconds * factor : UINT64_MAX, text);
}

const char *display_time(uint64_t nanoseconds_since_epoch, char text[DISPLAY_SIZE])
{
    time_t seconds = (time_t)(nanoseconds_since_epoch / 1000000000);
    struct tm local;

    if (nanoseconds_since_epoch == 0 || !localtime_r(&seconds, &local))
        return "never";
    size_t length = strftime(text, DISPLAY_SIZE, "%Y-%m-%dT%H:%M:%S%z", &local);
    if (length < 5)
        return "never";
    /* strftime writes +0100; ISO 8601's extended format, which the rest of it is in, wants +01:00. */
    memmove(text + length - 1, text + length - 2, 3);
    text[length - 2] = ':';
    return text;
}

const char *display_user(uid_t uid, char text[DISPLAY_SIZE])
{
    char room[16384];
    struct passwd entry, *found = NULL;

    if (getpwuid_r(uid, &entry, room, sizeof(room), &found) == 0 && found)
        snprintf(text, DISPLAY_SIZE, "%s", found->pw_name);
    else
        snprintf(text, DISPLAY_SIZE, "%u", (unsigned)uid);
    return text;
}
