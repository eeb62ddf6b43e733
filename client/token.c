/* SPDX-License-Identifier: MIT */
/* Tokens as text: two lower-case hexadecimal digits a byte, nothing else. */
#include "token.h"

#include <string.h>

#include "sealbuf.h"

static const char digits[] = "0123456789abcdef";

_Static_assert(SEALBUF_TOKEN_TEXT == 2 * SEALBUF_TOKEN_SIZE + 1, "the public header and proto differ");

static unsigned value_of(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

int token_parse(const char *text, char token[SEALBUF_TOKEN_SIZE])
{
    size_t length = strspn(text, digits);

    if (length != SEALBUF_TOKEN_TEXT - 1 || text[length] != '\0')
        return -SEALBUF_ERR_TOKEN;
    for (size_t i = 0; i < SEALBUF_TOKEN_SIZE; i++)
        token[i] = (char)(value_of(text[2 * i]) << 4 | value_of(text[2 * i + 1]));
    return 0;
}

void token_format(const char token[SEALBUF_TOKEN_SIZE], char text[SEALBUF_TOKEN_TEXT])
{
    for (size_t i = 0; i < SEALBUF_TOKEN_SIZE; i++) {
        unsigned byte = (unsigned char)token[i];
        *text++ = digits[byte >> 4];
        *text++ = digits[byte & 0xf];
    }
    *text = '\0';
}
