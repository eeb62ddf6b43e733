/* SPDX-License-Identifier: MIT */
/* What went wrong, for people, on standard error: the object, the cause, what to do. */
#ifndef BENCH_COMPLAIN_H
#define BENCH_COMPLAIN_H

#include <sealbuf.h>

/* "bench: ..." and a line's end. Always -1, so that it can be returned. */
__attribute__((format(printf, 1, 2))) int complain(const char *format, ...);

/* The same for a call of libsealbuf, with the library's own sentence on the cause and the remedy. */
int complain_client(const char *what, const sealbuf_client *client, int error);

#endif
