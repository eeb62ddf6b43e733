/* SPDX-License-Identifier: MIT */
#include "seals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* In the order in which people name them; the last two are only read, never printed. */
static const struct {
    const char *name;
    uint32_t bits;
} seal_names[] = {
    {"shrink", SEALBUF_SEAL_SHRINK},
    {"grow", SEALBUF_SEAL_GROW},
    {"write", SEALBUF_SEAL_WRITE},
    {"future_write", SEALBUF_SEAL_FUTURE_WRITE},
    {"seal", SEALBUF_SEAL_SEAL},
    {"exec", SEALBUF_SEAL_EXEC},
    {"immutable", SEALBUF_SEALS_IMMUTABLE},
    {"none", 0},
};
#define SEAL_NAMES (sizeof(seal_names) / sizeof(seal_names[0]))
#define SEAL_BITS  (SEAL_NAMES - 2)

const char *seals_format(uint32_t seals, char text[SEALS_TEXT_SIZE])
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < SEAL_BITS; i++) {
        if (!seals_contain(seals, seal_names[i].bits))
            continue;
        used += (size_t)snprintf(text + used, SEALS_TEXT_SIZE - used, "%s%s", used ? "|" : "", seal_names[i].name);
        seals &= ~seal_names[i].bits;
    }
    if (seals)
        snprintf(text + used, SEALS_TEXT_SIZE - used, "%s0x%x", used ? "|" : "", seals);
    else if (!used)
        snprintf(text, SEALS_TEXT_SIZE, "none");
    return text;
}

static bool same_word(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = word[i] == '-' ? '_' : word[i];
        if (strncasecmp(&c, &name[i], 1) != 0)
            return false;
    }
    return true;
}

/* One word of the list, not NUL-terminated. */
static int parse_word(const char *word, size_t length, uint32_t *bits)
{
    char number[12], *end;

    for (size_t i = 0; i < SEAL_NAMES; i++)
        if (same_word(word, length, seal_names[i].name)) {
            *bits = seal_names[i].bits;
            return 0;
        }
    if (length < 3 || length >= sizeof(number) || strncasecmp(word, "0x", 2) != 0)
        return -EINVAL;
    memcpy(number, word, length);
    number[length] = '\0';
    /* strtoull would take a sign or a second prefix after the 0x. */
    if (strspn(number + 2, "0123456789abcdefABCDEF") != length - 2)
        return -EINVAL;
    unsigned long long value = strtoull(number + 2, &end, 16);
    if (*end || value > UINT32_MAX)
        return -EINVAL;
    *bits = (uint32_t)value;
    return 0;
}

int seals_parse(const char *text, uint32_t *seals)
{
    uint32_t set = 0;

    for (;;) {
        uint32_t bits;
        text += strspn(text, " \t\n");
        size_t length = strcspn(text, "|, \t\n");
        if (parse_word(text, length, &bits) < 0)
            return -EINVAL;
        set |= bits;
        text += length;
        text += strspn(text, " \t\n");
        if (*text == '\0')
            break;
        if (*text != '|' && *text != ',')
            return -EINVAL;
        text++;
    }
    *seals = set;
    return 0;
}
