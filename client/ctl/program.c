/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"

/* What execvp(3) takes where $PATH is not set: confstr(3)'s _CS_PATH, in glibc. */
#define DEFAULT_PATH "/bin:/usr/bin"

/* *there: it can be seen. Where only its folder is closed to us, EACCES says nothing of the file. */
static int examine(const char *path, bool *there)
{
    struct stat st;

    *there = stat(path, &st) == 0;
    if (!*there)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* An empty part of $PATH is the current folder. */
static int examine_in(const char *folder, size_t length, const char *name, bool *there)
{
    CLEANUP(cleanup_free)
    char *path = NULL;

    if (asprintf(&path, "%.*s%s%s", (int)length, folder, length ? "/" : "", name) < 0)
        report_out_of_memory();
    return examine(path, there);
}

int program_find(const char *name)
{
    const char *folder = getenv("PATH");
    bool there, somewhere = false;

    if (strchr(name, '/'))
        return examine(name, &there);
    if (name[0] == '\0')
        return -ENOENT;
    if (!folder)
        folder = DEFAULT_PATH;
    for (;; folder++) {
        size_t length = strcspn(folder, ":");
        if (examine_in(folder, length, name, &there) == 0)
            return 0;
        somewhere = somewhere || there;
        folder += length;
        if (*folder == '\0')
            return somewhere ? -EACCES : -ENOENT;
    }
}

static int report_program(const char *program, int error)
{
    report_system(error,
                  error == ENOENT ? "give a command that is in $PATH, or its path" : "give a command that can be run",
                  "cannot run '%s'", program);
    return error == ENOENT ? STATUS_NO_COMMAND : STATUS_NOT_EXECUTABLE;
}

int program_check(const char *name)
{
    int r = program_find(name);

    return r < 0 ? report_program(name, -r) : 0;
}

int program_run(char **arguments)
{
    /* main ignores these for its own sake; the command expects what every command expects. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    execvp(arguments[0], arguments);
    return report_program(arguments[0], errno);
}
