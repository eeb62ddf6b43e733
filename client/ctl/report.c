/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "display.h"

static enum exit_status status_of(int error)
{
    switch (-error) {
    case SEALBUF_ERR_NOT_FOUND:
        return STATUS_NOT_FOUND;
    case SEALBUF_ERR_DENIED:
    case SEALBUF_ERR_TOKEN:
        return STATUS_DENIED;
    case SEALBUF_ERR_UNREACHABLE:
    case SEALBUF_ERR_DISCONNECTED:
    case SEALBUF_ERR_STOPPING:
    case SEALBUF_ERR_TIMED_OUT:
        return STATUS_UNREACHABLE;
    case SEALBUF_ERR_EXISTS:
        return STATUS_EXISTS;
    case SEALBUF_ERR_NOT_SEALED:
        return STATUS_NOT_SEALED;
    case SEALBUF_ERR_GENERATION:
        return STATUS_GENERATION;
    /* What only the command line can be blamed for. */
    case SEALBUF_ERR_NAME:
    case SEALBUF_ERR_LABEL:
    case SEALBUF_ERR_METADATA:
    case SEALBUF_ERR_MODE:
        return STATUS_USAGE;
    default:
        return STATUS_FAILED;
    }
}

__attribute__((format(printf, 1, 0))) static char *format(const char *text, va_list arguments)
{
    char *sentence;

    if (vasprintf(&sentence, text, arguments) < 0)
        report_out_of_memory();
    return sentence;
}

/* One write, so that the lines of processes that share a terminal do not mix. */
static void say(const char *what, const char *cause, const char *remedy)
{
    CLEANUP(cleanup_free)
    char *line = NULL;

    if (asprintf(&line, "%s%s%s%s%s", what, *cause ? ": " : "", cause, *remedy ? "; " : "", remedy) < 0)
        report_out_of_memory();
    CLEANUP(cleanup_free)
    char *harmless = display_harmless(line);
    fprintf(stderr, "sealbufctl: %s\n", harmless);
}

int report_system(int error, const char *remedy, const char *what, ...)
{
    va_list arguments;

    va_start(arguments, what);
    CLEANUP(cleanup_free)
    char *sentence = format(what, arguments);
    va_end(arguments);
    say(sentence, sealbuf_strerror(error), remedy);
    return STATUS_FAILED;
}

/* libsealbuf has remedies for its own errors; these are for what the kernel refuses us. */
static const char *remedy_of(int error)
{
    switch (-error) {
    case EMFILE:
    case ENFILE:
        return "close what is not needed, or raise the limit of open files (ulimit -n)";
    case ENOMEM:
    case ENOSPC:
        return "free memory, and try again";
    case EFBIG:
        return "raise the limit of file sizes (ulimit -f)";
    case EBUSY:
        return "have every process unmap it, and try again";
    default:
        return sealbuf_error_remedy(error);
    }
}

static void say_why(const char *what, const char *told, int error)
{
    if (*told)
        say(what, told, "");
    else
        say(what, sealbuf_strerror(error), remedy_of(error));
}

int report_broker(const sealbuf_client *client, int error, const char *what, ...)
{
    va_list arguments;

    va_start(arguments, what);
    CLEANUP(cleanup_free)
    char *sentence = format(what, arguments);
    va_end(arguments);
    say_why(sentence, client ? sealbuf_error(client) : "", error);
    return status_of(error);
}

int report_told(const char *told, int error, const char *what, ...)
{
    va_list arguments;

    va_start(arguments, what);
    CLEANUP(cleanup_free)
    char *sentence = format(what, arguments);
    va_end(arguments);
    say_why(sentence, told, error);
    return status_of(error);
}

int report_failure(const char *sentence, ...)
{
    va_list arguments;

    va_start(arguments, sentence);
    CLEANUP(cleanup_free)
    char *text = format(sentence, arguments);
    va_end(arguments);
    say(text, "", "");
    return STATUS_FAILED;
}

int report_usage(const char *sentence, ...)
{
    va_list arguments;

    va_start(arguments, sentence);
    CLEANUP(cleanup_free)
    char *text = format(sentence, arguments);
    va_end(arguments);
    say(text, "", "");
    return STATUS_USAGE;
}

int report_output(int error)
{
    if (error == EPIPE)
        return STATUS_FAILED;
    return report_system(error, "free space, or print to another place", "cannot write to standard output");
}

void report_out_of_memory(void)
{
    fputs("sealbufctl: out of memory; end something that uses much of it, and try again\n", stderr);
    exit(STATUS_FAILED);
}
