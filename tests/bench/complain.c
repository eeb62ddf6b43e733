/* SPDX-License-Identifier: MIT */
#include "complain.h"

#include <stdarg.h>
#include <stdio.h>

#include "child.h"

int complain(const char *format, ...)
{
    va_list arguments;

    if (interrupted()) /* what fails now fails for that reason */
        return -1;
    fputs("bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return -1;
}

int complain_client(const char *what, const sealbuf_client *client, int error)
{
    const char *sentence = client ? sealbuf_error(client) : "";
    const char *remedy = sealbuf_error_remedy(error);

    if (sentence[0])
        return complain("%s: %s", what, sentence);
    return complain("%s: %s%s%s", what, sealbuf_strerror(error), remedy[0] ? "; " : "", remedy);
}
