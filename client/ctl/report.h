/* SPDX-License-Identifier: MIT */
/*
 * Failures, as a person or a script sees them: one line on standard error that names the object, the cause and the
 * remedy, and an exit status that says of what kind it was.
 */
#ifndef CTL_REPORT_H
#define CTL_REPORT_H

#include <sealbuf.h>

/* sealbufctl(1) documents them; scripts rely on them. */
enum exit_status {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_NOT_FOUND = 3,
    STATUS_DENIED = 4,
    STATUS_UNREACHABLE = 5,
    STATUS_EXISTS = 6,
    STATUS_NOT_SEALED = 7,
    STATUS_GENERATION = 8,
    STATUS_TIMED_OUT = 9,        /* what was waited for has not come */
    STATUS_NOT_EXECUTABLE = 126, /* as env(1) and the shell have it */
    STATUS_NO_COMMAND = 127,
};

#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* "sealbufctl: cannot read 'x': No such file or directory; give the name of a file". Returns STATUS_FAILED. */
int report_system(int error, const char *remedy, const char *what, ...) PRINTF_LIKE(3, 4);

/*
 * The same for an error of libsealbuf, with the broker's own sentence where there is one; client may be NULL.
 * Returns the status that goes with the error.
 */
int report_broker(const sealbuf_client *client, int error, const char *what, ...) PRINTF_LIKE(3, 4);

/* The same, with a sentence that came with the error, "" where there was none. */
int report_told(const char *told, int error, const char *what, ...) PRINTF_LIKE(3, 4);

/* The whole sentence is the caller's. Returns STATUS_FAILED and STATUS_USAGE. */
int report_failure(const char *sentence, ...) PRINTF_LIKE(1, 2);
int report_usage(const char *sentence, ...) PRINTF_LIKE(1, 2);

/*
 * What was printed did not reach standard output. Where that is because nobody reads it any more (head(1) has seen
 * enough), it is not worth a word. Returns STATUS_FAILED.
 */
int report_output(int error);

/* Says so, and ends the process. */
void report_out_of_memory(void) __attribute__((noreturn));

#endif
