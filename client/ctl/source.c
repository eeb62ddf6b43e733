/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "transfer.h"

static int classify(struct source *source)
{
    if (fstat(source->fd, &source->before) < 0)
        return report_system(errno, "give a file that can be read", "cannot examine '%s'", source->name);
    if (S_ISDIR(source->before.st_mode))
        return report_system(EISDIR, "give a file, or pipe an archive of the directory", "cannot read '%s'",
                             source->name);
    source->pipe = S_ISFIFO(source->before.st_mode);
    source->offset = -1;
    source->size = TRANSFER_TO_END;
    if (!S_ISREG(source->before.st_mode))
        return 0;
    /* Standard input may stand anywhere in its file; what is before that belongs to somebody else. */
    off_t offset = lseek(source->fd, 0, SEEK_CUR);
    if (offset < 0 || offset >= source->before.st_size)
        return 0;
    source->offset = offset;
    source->size = (uint64_t)(source->before.st_size - offset);
    return 0;
}

int source_open(struct source *source, const char *path)
{
    *source = (struct source){.name = "standard input", .fd = STDIN_FILENO};

    if (path && strcmp(path, "-") != 0) {
        source->name = path;
        source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (source->fd < 0)
            return report_system(errno, "give a file that exists and that you may read", "cannot open '%s'", path);
        source->opened = true;
    }
    int r = classify(source);
    if (r)
        source_close(source);
    return r;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

int source_verify(const struct source *source, uint64_t moved)
{
    struct stat after;

    if (source->size == TRANSFER_TO_END)
        return 0;
    if (fstat(source->fd, &after) < 0)
        return report_system(errno, "give a file that can be read", "cannot examine '%s'", source->name);
    if (moved < source->size || after.st_size < source->before.st_size)
        return report_failure("cannot put '%s': it shrank while it was copied, and ended after %" PRIu64 " of %" PRIu64
                              " bytes; nothing was published; try again when nobody writes to it, or pipe it",
                              source->name, moved, source->size);
    if (after.st_size > source->before.st_size)
        return report_failure("cannot put '%s': it grew while it was copied; nothing was published; try again when "
                              "nobody writes to it, or pipe it",
                              source->name);
    if (!same_time(&after.st_mtim, &source->before.st_mtim))
        return report_failure("cannot put '%s': it was written to while it was copied; nothing was published; try "
                              "again when nobody writes to it, or pipe it",
                              source->name);
    return 0;
}

void source_close(struct source *source)
{
    if (source->opened)
        close(source->fd);
    source->opened = false;
}
