/* SPDX-License-Identifier: MIT */
#include "values.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sealbuf.h>

#include "cleanup.h"
#include "report.h"

#define COUNT_MOST 1000000

/* Digits only: strtoul would take blanks, a sign and a prefix, too. */
static bool number(const char *text, int base, unsigned long most, unsigned long *value)
{
    const char *digits = base == 8 ? "01234567" : "0123456789";

    if (*text == '\0' || text[strspn(text, digits)] != '\0')
        return false;
    errno = 0;
    *value = strtoul(text, NULL, base);
    return errno == 0 && *value <= most;
}

/* 0, or an errno value; ENOENT where there is no such user. */
static int look_up_user(const char *name, uint32_t *uid)
{
    struct passwd entry, *found = NULL;
    CLEANUP(cleanup_free)
    char *room = NULL;
    int r = ERANGE;

    for (size_t size = 4096; r == ERANGE && size <= 1u << 24; size *= 4) {
        free(room);
        room = malloc(size);
        if (!room)
            report_out_of_memory();
        r = getpwnam_r(name, &entry, room, size, &found);
    }
    if (!found)
        return ENOENT;
    *uid = entry.pw_uid;
    return 0;
}

int value_owner(const char *option, const char *text, uint32_t *uid)
{
    unsigned long value;

    /* A name comes first, as in chown(1): there are users whose names are digits. */
    if (look_up_user(text, uid) == 0)
        return 0;
    if (!number(text, 10, SEALBUF_OWNER_SELF - 1, &value))
        return report_usage("%s: there is no user '%s'; give a user's name, or a uid as a number", option, text);
    *uid = (uint32_t)value;
    return 0;
}

int value_seals(const char *option, const char *text, uint32_t *seals)
{
    if (sealbuf_seals_parse(text, seals) < 0)
        return report_usage("%s: '%s' is not a list of seals; give 'none', 'immutable', or some of shrink, grow, "
                            "write, future_write, seal, exec with commas between them",
                            option, text);
    return 0;
}

int value_mode(const char *option, const char *text, uint32_t *mode)
{
    unsigned long value;

    if (!number(text, 8, 0666, &value) || (value & ~0666ul) || value == 0)
        return report_usage("%s: '%s' is not a mode; give permission bits of 0666 in octal, such as 600 or 0644",
                            option, text);
    *mode = (uint32_t)value;
    return 0;
}

int value_count(const char *option, const char *text, unsigned *count)
{
    unsigned long value;

    if (!number(text, 10, COUNT_MOST, &value) || value == 0)
        return report_usage("%s: '%s' is not a count; give a number from 1 to %d", option, text, COUNT_MOST);
    *count = (unsigned)value;
    return 0;
}

int value_metadata(const char *option, const char *text)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text)
        return report_usage("%s: '%s' is not metadata; give KEY=VALUE", option, text);
    return 0;
}
