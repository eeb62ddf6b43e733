/* SPDX-License-Identifier: MIT */
#include "sink.h"

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

/* What a signal that ends us removes first: a global, because a handler is told nothing else. */
static const char *volatile doomed;
static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
#define DEADLY (sizeof(deadly) / sizeof(deadly[0]))

static void remove_and_die(int signal_number)
{
    const char *path = doomed;

    if (path)
        unlink(path);
    /* SA_RESETHAND made it deadly again. */
    raise(signal_number);
}

/* A signal that is ignored (nohup) stays ignored. */
static void remove_on_signal(void)
{
    struct sigaction action = {.sa_handler = remove_and_die, .sa_flags = (int)SA_RESETHAND}, old;

    for (size_t i = 0; i < DEADLY; i++)
        if (sigaction(deadly[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(deadly[i], &action, NULL);
}

/* The temporary file's existence and `doomed` change together, as far as signals can see. */
static void block_signals(sigset_t *before)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < DEADLY; i++)
        sigaddset(&set, deadly[i]);
    sigprocmask(SIG_BLOCK, &set, before);
}

/* As open(2) would have made the file, or as the one was that it replaces. */
static mode_t mode_for(const struct stat *replaced)
{
    if (replaced)
        return replaced->st_mode & 0777;
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

/* In the same directory, which is what rename(2) needs. */
static char *temporary_beside(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *temporary;

    if (asprintf(&temporary, "%.*s.sealbufctl-XXXXXX", slash ? (int)(slash + 1 - path) : 0, path) < 0)
        report_out_of_memory();
    return temporary;
}

static int open_temporary(struct sink *sink, const struct stat *replaced)
{
    sigset_t before;

    sink->temporary = temporary_beside(sink->path);
    remove_on_signal();
    block_signals(&before);
    sink->fd = mkostemp(sink->temporary, O_CLOEXEC);
    int error = errno;
    if (sink->fd >= 0)
        doomed = sink->temporary;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (sink->fd < 0) {
        free(take_pointer(sink->temporary));
        return report_system(error, "give -o a file in a directory that you may write to",
                             "cannot create a file beside '%s'", sink->name);
    }
    if (fchmod(sink->fd, mode_for(replaced)) < 0)
        return report_system(errno, "give -o a file in another directory", "cannot set the mode of '%s'", sink->name);
    return 0;
}

static int open_directly(struct sink *sink)
{
    sink->fd = open(sink->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (sink->fd < 0)
        return report_system(errno, "give -o a file that you may write to", "cannot open '%s'", sink->name);
    return 0;
}

/* The descriptor that a path means, or -1: whoever opened it wants the content there, not in a file beside. */
static int named_descriptor(const char *path)
{
    static const char *const directories[] = {"/dev/fd/", "/proc/self/fd/"};

    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        size_t length = strlen(directories[i]), digits = strspn(path + strnlen(path, length), "0123456789");
        if (strncmp(path, directories[i], length) == 0 && digits > 0 && digits < 8 && path[length + digits] == '\0')
            return (int)strtol(path + length, NULL, 10);
    }
    return -1;
}

static int open_descriptor(struct sink *sink, int fd)
{
    int flags = fcntl(fd, F_GETFD);

    /* What is close-on-exec is none that we were given, but one of our own: the connection, for example. */
    if (flags >= 0 && (flags & FD_CLOEXEC) && fd > STDERR_FILENO)
        errno = EBADF;
    else
        sink->fd = fd == STDOUT_FILENO ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (sink->fd < 0)
        return report_system(errno, "give -o a descriptor that is open", "cannot write to '%s'", sink->name);
    return 0;
}

int sink_open(struct sink *sink, const char *path)
{
    int fd = path ? named_descriptor(path) : STDOUT_FILENO;
    struct stat st;

    *sink = (struct sink){.name = fd == STDOUT_FILENO ? "standard output" : path, .fd = -1};
    if (fd >= 0)
        return open_descriptor(sink, fd);
    bool exists = stat(path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode))
        return open_directly(sink);
    /* rename(2) would ask the directory only: a file that is read-only shall be safe. */
    if (exists && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
        return report_system(errno, "give -o a file that you may write to", "cannot replace '%s'", path);
    /* Through symbolic links, as when one writes to a file. */
    sink->path = exists ? realpath(path, NULL) : strdup(path);
    if (!sink->path)
        return report_system(errno, "give -o another file", "cannot find '%s'", path);
    return open_temporary(sink, exists ? &st : NULL);
}

int sink_commit(struct sink *sink)
{
    sigset_t before;

    if (!sink->temporary)
        return 0;
    /* Network file systems tell only now that the disk is full. */
    if (close(take_fd(&sink->fd)) < 0)
        return report_system(errno, "free space, or give -o a file on another disk", "cannot write '%s'", sink->name);
    block_signals(&before);
    int r = rename(sink->temporary, sink->path), error = errno;
    if (r == 0) {
        doomed = NULL;
        free(take_pointer(sink->temporary));
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r < 0 ? report_system(error, "give -o another file", "cannot replace '%s'", sink->name) : 0;
}

void sink_close(struct sink *sink)
{
    if (sink->fd > STDERR_FILENO)
        close(sink->fd);
    if (sink->temporary) {
        unlink(sink->temporary);
        doomed = NULL;
        free(sink->temporary);
    }
    free(sink->path);
}
