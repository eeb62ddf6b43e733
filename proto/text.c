/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdint.h>
#include <string.h>

#include "sealbuf-protocol.h"

/*
 * The length of the UTF-8 sequence that starts at p, or 0 where it is ill-formed or a control character (C0,
 * DEL, C1). The well-formed sequences: The Unicode Standard, table 3-7.
 */
static size_t character_length(const unsigned char *p, size_t left)
{
    size_t length;
    uint32_t code, least;

    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    if ((p[0] & 0xe0) == 0xc0) {
        length = 2, code = p[0] & 0x1f, least = 0xa0; /* U+0080 to U+009F are C1 controls */
    } else if ((p[0] & 0xf0) == 0xe0) {
        length = 3, code = p[0] & 0x0f, least = 0x800;
    } else if ((p[0] & 0xf8) == 0xf0) {
        length = 4, code = p[0] & 0x07, least = 0x10000;
    } else {
        return 0;
    }
    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return length;
}

bool text_printable(const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;

    for (size_t i = 0; i < length;) {
        size_t n = character_length(p + i, length - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static bool part_valid(const char *part, size_t length)
{
    if (length == 0)
        return false;
    if (length == 1 && part[0] == '.')
        return false;
    return !(length == 2 && part[0] == '.' && part[1] == '.');
}

bool name_valid(const char *name, size_t length)
{
    const char *part = name, *end = name + length;

    if (length == 0 || length > SEALBUF_MAX_NAME || !text_printable(name, length))
        return false;
    for (;;) {
        const char *slash = memchr(part, '/', (size_t)(end - part));
        if (!part_valid(part, (size_t)((slash ? slash : end) - part)))
            return false;
        if (!slash)
            return true;
        part = slash + 1;
    }
}

bool prefix_valid(const char *prefix, size_t length)
{
    if (length > SEALBUF_MAX_NAME)
        return false;
    /* It may end inside a character: what matters is that no control character can be looked for or logged.
     */
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)prefix[i] < 0x20 || prefix[i] == 0x7f)
            return false;
    return true;
}

bool label_valid(const char *label, size_t length)
{
    return length <= SEALBUF_MAX_LABEL && text_printable(label, length);
}

bool metadata_valid(const char *metadata, size_t length)
{
    const char *pair = metadata, *end = metadata + length;

    if (length > SEALBUF_MAX_METADATA)
        return false;
    while (pair < end) {
        const char *nul = memchr(pair, '\0', (size_t)(end - pair));
        if (!nul)
            return false;
        const char *equals = memchr(pair, '=', (size_t)(nul - pair));
        if (!equals || equals == pair || !text_printable(pair, (size_t)(equals - pair)))
            return false;
        pair = nul + 1;
    }
    return true;
}

size_t text_cut(const char *text, size_t length, size_t room)
{
    if (length <= room)
        return length;
    while (room > 0 && ((unsigned char)text[room] & 0xc0) == 0x80)
        room--;
    return room;
}
