/* SPDX-License-Identifier: MIT */
#include "broker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "complain.h"

#define START_TIMEOUT_MS 10000

struct launch {
    const struct broker *broker;
    const char *program;
    const char *const *limits;
    int ready;
};

/* In the new process. Descriptor 3 is the end of the pipe that says ready; the bench's own are close-on-exec. */
static int launch(void *argument)
{
    const struct launch *launch = argument;
    const char *words[6 + 2 * BROKER_LIMITS] = {"sealbufd", "--socket", launch->broker->socket, "--ready-fd", "3"};
    union { /* execv(2) changes none of them, but does not say so */
        const char **words;
        char *const *arguments;
    } all = {.words = words};
    unsigned count = 5;
    int log = open(launch->broker->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (log >= 0)
        dup2(log, STDERR_FILENO);
    if (launch->ready == 3)
        fcntl(3, F_SETFD, 0);
    else
        dup2(launch->ready, 3);
    for (unsigned i = 0; i < BROKER_LIMITS && launch->limits[i]; i++) {
        words[count++] = "--limit";
        words[count++] = launch->limits[i];
    }
    execv(launch->program, all.arguments);
    dprintf(STDERR_FILENO, "%s: %s\n", launch->program, strerror(errno));
    return 1;
}

/* A newline means ready, the end of the pipe that it is gone. */
static int wait_until_ready(const char *program, int ready)
{
    struct pollfd pollfd = {.fd = ready, .events = POLLIN};
    char byte;
    int r = poll(&pollfd, 1, START_TIMEOUT_MS);

    if (r > 0 && read(ready, &byte, 1) == 1)
        return 0;
    if (r == 0)
        return complain("%s was not ready after %d s", program, START_TIMEOUT_MS / 1000);
    return complain("%s ended before it was ready", program);
}

static int make_directory(struct broker *broker)
{
    const char *base = getenv("TMPDIR");
    const char *parent = base && strlen(base) < 32 ? base : "/tmp"; /* a socket's address has 107 bytes */

    snprintf(broker->directory, sizeof(broker->directory), "%s/sealbuf-bench-XXXXXX", parent);
    if (!mkdtemp(broker->directory)) {
        broker->directory[0] = '\0';
        return complain("no directory for the broker's socket in %s: %s; set TMPDIR to one that you may write to",
                        parent, strerror(errno));
    }
    snprintf(broker->socket, sizeof(broker->socket), "%s/socket", broker->directory);
    snprintf(broker->log, sizeof(broker->log), "%s/log", broker->directory);
    return 0;
}

/* A broker that was killed leaves behind what it would have removed. */
static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    while (directory && (entry = readdir(directory)))
        unlinkat(dirfd(directory), entry->d_name, 0); /* "." and ".." are not to be had that way */
    if (directory)
        closedir(directory);
    if (rmdir(path) < 0)
        complain("the directory %s stays behind: %s", path, strerror(errno));
}

int broker_start(struct broker *broker, const char *program, const char *const *limits)
{
    int pipe_ends[2];

    if (access(program, X_OK) < 0)
        return complain("the broker %s: %s; name it with --broker PATH or $SEALBUFD", program, strerror(errno));
    if (make_directory(broker) < 0)
        return -1;
    if (pipe2(pipe_ends, O_CLOEXEC) < 0)
        return complain("a pipe for the broker to say that it is ready: %s", strerror(errno));
    CLEANUP(cleanup_close)
    int ready = pipe_ends[0];
    pid_t pid = child_start(launch, &(struct launch){broker, program, limits, pipe_ends[1]});
    close(pipe_ends[1]);
    if (pid < 0)
        return complain("the broker's process: %s; ulimit -u says how many there may be", strerror(-pid));
    broker->pid = pid;
    return wait_until_ready(program, ready);
}

int broker_open_to_all(const struct broker *broker)
{
    if (chmod(broker->directory, 0711) < 0)
        return complain("opening %s to other users: %s", broker->directory, strerror(errno));
    return 0;
}

void broker_show_log(const struct broker *broker)
{
    char text[4096];
    CLEANUP(cleanup_close)
    int log = open(broker->log, O_RDONLY | O_CLOEXEC);
    ssize_t n = log < 0 ? -1 : read(log, text, sizeof(text));

    if (n <= 0 || interrupted())
        return;
    complain("this is what the broker said:");
    fwrite(text, 1, (size_t)n, stderr);
}

void broker_stop(struct broker *broker)
{
    child_stop(broker->pid);
    if (broker->directory[0])
        remove_directory(broker->directory);
    *broker = (struct broker){0};
}
