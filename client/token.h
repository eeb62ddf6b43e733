/* SPDX-License-Identifier: MIT */
/* Tokens: bytes on the wire, text for programs and people. */
#ifndef CLIENT_TOKEN_H
#define CLIENT_TOKEN_H

#include "sealbuf.h"

/* 0, or -SEALBUF_ERR_TOKEN where the text is none: 48 lower-case hexadecimal digits, and no more. */
int token_parse(const char *text, char token[SEALBUF_TOKEN_SIZE]);
void token_format(const char token[SEALBUF_TOKEN_SIZE], char text[SEALBUF_TOKEN_TEXT]);

#endif
