/* SPDX-License-Identifier: MIT */
#include "values.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
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

/* A name comes first, as in chown(1): there are users whose names are digits. */
int value_owner(const char *option, const char *text, uint32_t *uid)
{
    const struct passwd *user = getpwnam(text);
    unsigned long value;

    if (!user && !number(text, 10, SEALBUF_OWNER_SELF - 1, &value))
        return report_usage("%s: there is no user '%s'; give a user's name, or a uid as a number", option, text);
    *uid = user ? user->pw_uid : (uint32_t)value;
    return 0;
}

int value_group(const char *option, const char *text, uint32_t *gid)
{
    const struct group *group = getgrnam(text);
    unsigned long value;

    if (!group && !number(text, 10, UINT32_MAX - 1, &value))
        return report_usage("%s: there is no group '%s'; give a group's name, or a gid as a number", option, text);
    *gid = group ? group->gr_gid : (uint32_t)value;
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

/* 0 where it is none. */
static uint64_t duration(const char *text)
{
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");

    errno = 0;
    uint64_t value = strtoull(text, NULL, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && digits > 0 && errno == 0; i++)
        if (strcmp(text + digits, units[i].name) == 0 && value <= INT64_MAX / units[i].factor)
            return value * units[i].factor;
    return 0;
}

bool value_is_duration(const char *text)
{
    return duration(text) > 0;
}

int value_duration(const char *option, const char *text, uint64_t *milliseconds)
{
    uint64_t value = duration(text);

    if (value == 0)
        return report_usage("%s: '%s' is not a duration; give one such as 500ms, 30s, 5min, 2h or 1d", option, text);
    *milliseconds = value;
    return 0;
}

int value_generation(const char *option, const char *text, uint64_t least, uint64_t *generation)
{
    unsigned long value;

    if (!number(text, 10, LONG_MAX, &value) || value < least)
        return report_usage("%s: '%s' is not a generation; give a number from %d on, as stat shows it", option, text,
                            (int)least);
    *generation = value;
    return 0;
}

int value_keep(const char *option, const char *text, uint32_t *keep)
{
    unsigned long value;

    if (!number(text, 10, SEALBUF_MAX_KEEP, &value))
        return report_usage("%s: '%s' is not a number of generations; give one from 0 to %u", option, text,
                            SEALBUF_MAX_KEEP);
    *keep = (uint32_t)value;
    return 0;
}

int value_uses(const char *option, const char *text, uint32_t *uses)
{
    unsigned long value;

    if (!number(text, 10, UINT32_MAX, &value) || value == 0)
        return report_usage("%s: '%s' is not a number of times; give a number from 1 to %u", option, text, UINT32_MAX);
    *uses = (uint32_t)value;
    return 0;
}

static bool is_token(const char *text)
{
    return strspn(text, "0123456789abcdef") == SEALBUF_TOKEN_TEXT - 1 && text[SEALBUF_TOKEN_TEXT - 1] == '\0';
}

int value_token(const char *option, const char *text, char token[SEALBUF_TOKEN_TEXT])
{
    if (!is_token(text))
        return report_usage("%s: this is not a token; give the %d hexadecimal digits that share has printed", option,
                            SEALBUF_TOKEN_TEXT - 1);
    memcpy(token, text, SEALBUF_TOKEN_TEXT);
    return 0;
}

/* All of the file, or as much as shows that there is too much; a negative errno. */
static ssize_t read_all(int fd, char *text, size_t room)
{
    size_t used = 0;
    ssize_t got = 1;

    while (got > 0 && used < room) {
        got = read(fd, text + used, room - used);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            return -errno;
        else
            used += (size_t)got;
    }
    return (ssize_t)used;
}

int value_token_file(const char *option, const char *path, char token[SEALBUF_TOKEN_TEXT])
{
    bool standard_input = strcmp(path, "-") == 0;
    CLEANUP(cleanup_close)
    int opened = standard_input ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char text[SEALBUF_TOKEN_TEXT + 2] = "";

    if (!standard_input && opened < 0)
        return report_system(errno, "give a file that exists and that you may read", "%s: cannot open '%s'", option,
                             path);
    ssize_t length = read_all(standard_input ? STDIN_FILENO : opened, text, sizeof(text) - 1);
    if (length < 0)
        return report_system((int)-length, "give a file that can be read", "%s: cannot read '%s'", option, path);
    if (length == SEALBUF_TOKEN_TEXT && text[length - 1] == '\n')
        text[length - 1] = '\0';
    bool good = is_token(text);
    if (good)
        memcpy(token, text, SEALBUF_TOKEN_TEXT);
    explicit_bzero(text, sizeof(text));
    return good ? 0
                : report_usage("%s: what '%s' has is not a token; give a file that has what share has printed", option,
                               standard_input ? "standard input" : path);
}
