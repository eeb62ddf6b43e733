/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "program.h"
#include "report.h"

/* ---- In the child ------------------------------------------------------------------------------------------------ */

static char *substitute(const char *argument, const char *name)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        report_out_of_memory();
    for (const char *place; (place = strstr(argument, "{}")); argument = place + 2)
        fprintf(stream, "%.*s%s", (int)(place - argument), argument, name);
    fputs(argument, stream);
    if (fclose(stream) != 0)
        report_out_of_memory();
    return text;
}

static void tell(const char *variable, const char *value)
{
    if (setenv(variable, value, 1) < 0)
        report_out_of_memory();
}

static void tell_number(const char *variable, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    tell(variable, text);
}

static void tell_all(const char *event, const struct sealbuf_info *info)
{
    char seals[SEALBUF_SEALS_TEXT];

    tell("SEALBUF_EVENT", event);
    tell("SEALBUF_NAME", info->name);
    tell("SEALBUF_SEALS", sealbuf_seals_format(info->seals, seals));
    tell_number("SEALBUF_GENERATION", info->generation);
    tell_number("SEALBUF_ID", info->id);
    tell_number("SEALBUF_SIZE", info->size);
    tell_number("SEALBUF_OWNER", info->owner);
}

/* Never returns: what it comes to is the exit status. */
static void become(char *const *program, const char *event, const struct sealbuf_change *change)
{
    int input = change->buffer ? sealbuf_buffer_fd(change->buffer) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    size_t count = 0;

    while (program[count])
        count++;
    char **arguments = calloc(count + 1, sizeof(*arguments));
    if (!arguments)
        report_out_of_memory();
    for (size_t i = 0; i < count; i++)
        arguments[i] = substitute(program[i], change->info->name);
    tell_all(event, change->info);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0)
        _exit(report_system(errno, "close what is not needed", "cannot hand '%s' on", change->info->name));
    _exit(program_run(arguments));
}

/* ---- In the parent ----------------------------------------------------------------------------------------------- */

static const int deadly[] = {SIGHUP, SIGINT, SIGTERM};

/* What is ignored (nohup) stays ignored. */
static void signals_to_await(sigset_t *set)
{
    struct sigaction action;

    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        if (sigaction(deadly[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(set, deadly[i]);
}

/* Its wait status. *last: the signal that this process is to die of, 0 for none. */
static int await(pid_t child, const sigset_t *signals, int *last)
{
    int status;

    while (waitpid(child, &status, WNOHANG) == 0) {
        int caught = sigwaitinfo(signals, NULL);
        if (caught <= 0 || caught == SIGCHLD)
            continue;
        *last = caught;
        if (caught != SIGINT)
            kill(child, caught);
    }
    return status;
}

int child_run(char *const *program, const char *event, const struct sealbuf_change *change)
{
    sigset_t signals, before;
    int last = 0;

    /* Who started us may ignore it, and children would then leave no status. */
    signal(SIGCHLD, SIG_DFL);
    signals_to_await(&signals);
    sigprocmask(SIG_BLOCK, &signals, &before);
    /* What is not yet written would be written twice. */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        become(program, event, change);
    }
    int status = child < 0 ? 0 : await(child, &signals, &last), error = errno;
    if (last)
        raise(last); /* it strikes now: */
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (child < 0)
        return report_system(error, "end what is not needed", "cannot run '%s'", program[0]);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
