/* SPDX-License-Identifier: MIT */
/*
 * sealbufctl: publish, get and look at sealed memory from the shell.
 *
 * main reads the command line (options), hands it to the command's own file, and sees to it that what was printed has
 * arrived. A command connects (broker), moves content (source, transfer, sink) and prints (table, output); whatever
 * fails is reported where it fails (report), and only the exit status is passed up.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "help.h"
#include "options.h"
#include "report.h"

/*
 * Started with a standard descriptor closed, the next file that we open would take its number, and be written to as
 * standard output. What we put in its place fails, as the closed one would, and is closed again for exec's command.
 */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

/* A reader that has gone, and a file that is too big, are errors to report, not to die of. */
static void ignore_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

/* Text that did not reach the disk is a failure, however well all else went. */
static int finish(int status)
{
    int failed = status ? status : STATUS_FAILED;

    /* An earlier failure was reported when it happened. */
    if (ferror(stdout))
        return failed;
    if (fflush(stdout) == 0 && close(STDOUT_FILENO) == 0)
        return status;
    report_output(errno);
    return failed;
}

static int run(const struct options *options)
{
    if (options->help) {
        help_print(options->command);
        /* It is longer than what stdio keeps: some of it was written already. */
        return ferror(stdout) ? report_output(errno) : 0;
    }
    if (options->version) {
        version_print();
        return 0;
    }
    return options->command->run(options);
}

int main(int argc, char **argv)
{
    CLEANUP(options_free)
    struct options options;

    occupy_standard_descriptors();
    ignore_signals();
    int r = options_parse(&options, argc, argv);
    return finish(r ? r : run(&options));
}
