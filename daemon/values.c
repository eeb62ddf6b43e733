/* SPDX-License-Identifier: MIT */
#include "values.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The greatest uid and gid: the one above means "none" to the kernel. */
#define GREATEST_ID (UINT32_MAX - 1)

/* A whole number with an optional unit out of a table; false where the text is something else or too large. */
struct unit {
    const char *name;
    uint64_t factor;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool parse_scaled(const char *text, const struct unit *units, uint64_t *value)
{
    char *end;

    if (!is_digit(text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno)
        return false;
    for (; units->name; units++)
        if (strcmp(end, units->name) == 0)
            return !__builtin_mul_overflow((uint64_t)number, units->factor, value);
    return false;
}

bool value_size(const char *text, uint64_t *size)
{
    static const struct unit units[] = {{"", 1},           {"K", 1ULL << 10}, {"M", 1ULL << 20},
                                        {"G", 1ULL << 30}, {"T", 1ULL << 40}, {NULL, 0}};
    uint64_t value;

    if (!parse_scaled(text, units, &value) || value == 0 || value > INT64_MAX)
        return false;
    *size = value;
    return true;
}

bool value_duration_ms(const char *text, uint64_t *ms)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
    uint64_t value;

    /* A day beyond which a timer makes no sense, and no sum of times overflows. */
    if (!parse_scaled(text, units, &value) || value == 0 || value > 365ULL * 24 * 3600 * 1000)
        return false;
    *ms = value;
    return true;
}

bool value_number(const char *text, int base, unsigned long greatest, unsigned long *number)
{
    char *end;

    if (!is_digit(text[0]))
        return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, base);
    if (errno || *end != '\0' || value > greatest)
        return false;
    *number = value;
    return true;
}

bool value_yes_or_no(const char *text, bool *value)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *value = i % 2;
            return true;
        }
    return false;
}

static const char *const level_names[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

bool value_level(const char *text, int *level)
{
    for (size_t i = 0; i < COUNT(level_names); i++)
        if (strcmp(text, level_names[i]) == 0) {
            *level = (int)i;
            return true;
        }
    return false;
}

const char *value_level_name(int level)
{
    return level_names[level];
}

bool value_user(const char *text, uid_t *uid)
{
    unsigned long number;

    if (value_number(text, 10, GREATEST_ID, &number)) {
        *uid = (uid_t)number;
        return true;
    }
    const struct passwd *user = is_digit(text[0]) ? NULL : getpwnam(text);
    if (!user)
        return false;
    *uid = user->pw_uid;
    return true;
}

bool value_group(const char *text, gid_t *gid)
{
    unsigned long number;

    if (value_number(text, 10, GREATEST_ID, &number)) {
        *gid = (gid_t)number;
        return true;
    }
    const struct group *group = is_digit(text[0]) ? NULL : getgrnam(text);
    if (!group)
        return false;
    *gid = group->gr_gid;
    return true;
}
