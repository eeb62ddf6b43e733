/* SPDX-License-Identifier: MIT */
/* Buffers as one process has them: what a memfd wrapper offers. */
#include "buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "memfd.h"
#include "seals.h"
#include "text.h"

#define LOCAL_FLAGS (SEALBUF_CREATE_FLAGS | SEALBUF_CREATE_UNSEALABLE | SEALBUF_CREATE_INHERIT)

struct sealbuf_buffer *buffer_wrap(int fd, bool writable)
{
    struct sealbuf_buffer *buffer = malloc(sizeof(*buffer));

    if (buffer)
        *buffer = (struct sealbuf_buffer){.fd = fd, .writable = writable};
    return buffer;
}

static void cleanup_buffer(struct sealbuf_buffer **buffer)
{
    sealbuf_buffer_free(*buffer);
}

int creation_check(const struct sealbuf_create_options *options)
{
    if (options->reserved)
        return -EINVAL;
    if (options->flags & ~LOCAL_FLAGS)
        return -SEALBUF_ERR_FLAGS;
    if (options->huge_shift && !(options->flags & SEALBUF_CREATE_HUGE))
        return -SEALBUF_ERR_FLAGS;
    if (options->flags & SEALBUF_CREATE_UNSEALABLE && options->seals)
        return -SEALBUF_ERR_FLAGS;
    if (options->seals & ~SEALBUF_SEALS_ALL)
        return -SEALBUF_ERR_SEALS;
    if (options->size > INT64_MAX || options->huge_shift > 63)
        return -SEALBUF_ERR_SIZE;
    if (options->label && !label_valid(options->label, strlen(options->label)))
        return -SEALBUF_ERR_LABEL;
    return 0;
}

int sealbuf_buffer_create(sealbuf_buffer **buffer, const struct sealbuf_create_options *given)
{
    struct sealbuf_create_options options;
    int r = OPTIONS_COPY(&options, given);

    if (r == 0)
        r = creation_check(&options);
    if (r < 0)
        return r;
    struct memfd_spec spec = {
        .label = options.label,
        .size = options.size,
        .seals = options.flags & SEALBUF_CREATE_UNSEALABLE ? 0 : seals_at_birth(options.seals, options.flags),
        .huge_shift = options.huge_shift,
        .huge = !!(options.flags & SEALBUF_CREATE_HUGE),
        .exec = !!(options.flags & SEALBUF_CREATE_EXECUTABLE),
        .no_seal = !!(options.flags & SEALBUF_CREATE_UNSEALABLE),
        .inherit = !!(options.flags & SEALBUF_CREATE_INHERIT),
        /* Or else who gets a reader's descriptor could reopen it for writing, whatever its uid. */
        .mode = options.flags & SEALBUF_CREATE_EXECUTABLE ? 0555 : 0444,
    };
    CLEANUP(cleanup_close)
    int fd = memfd_create_spec(&spec);
    if (fd < 0)
        return take_fd(&fd);
    struct sealbuf_buffer *made = buffer_wrap(fd, true);
    if (!made)
        return -ENOMEM;
    take_fd(&fd);
    *buffer = made;
    return 0;
}

int sealbuf_buffer_from_bytes(sealbuf_buffer **buffer, const void *bytes, size_t size, uint32_t seals)
{
    CLEANUP(cleanup_buffer)
    sealbuf_buffer *made = NULL;
    struct sealbuf_create_options options = {
        .struct_size = sizeof(options), .size = size, .flags = SEALBUF_CREATE_GROWABLE | SEALBUF_CREATE_SHRINKABLE};
    int r = sealbuf_buffer_create(&made, &options);

    if (r < 0)
        return r;
    ssize_t written = sealbuf_buffer_write(made, bytes, size, 0);
    if (written < 0)
        return (int)written;
    if ((size_t)written < size)
        return -ENOSPC;
    r = seals ? sealbuf_buffer_seal(made, seals) : 0;
    if (r < 0)
        return r;
    *buffer = take_pointer(made);
    return 0;
}

/* What the descriptor may do, or -EBADF for one that can do nothing, as O_PATH's. */
static int access_mode(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    return flags & O_PATH ? -EBADF : flags & O_ACCMODE;
}

int sealbuf_buffer_adopt(sealbuf_buffer **buffer, int fd)
{
    int mode = access_mode(fd);

    if (mode < 0)
        return mode;
    int is_memfd = memfd_is(fd);
    if (is_memfd <= 0)
        return is_memfd < 0 ? is_memfd : -SEALBUF_ERR_NOT_MEMFD;
    struct sealbuf_buffer *made = buffer_wrap(fd, mode != O_RDONLY);
    if (!made)
        return -ENOMEM;
    *buffer = made;
    return 0;
}

/* Takes fd in every case. */
static int wrap_or_close(int fd_taken, bool writable, const sealbuf_buffer *like, sealbuf_buffer **buffer)
{
    CLEANUP(cleanup_close)
    int fd = fd_taken;
    struct sealbuf_buffer *made = buffer_wrap(fd, writable);

    if (!made)
        return -ENOMEM;
    take_fd(&fd);
    holding_copy(like, made);
    *buffer = made;
    return 0;
}

int sealbuf_buffer_clone(const sealbuf_buffer *buffer, sealbuf_buffer **clone)
{
    int fd = fcntl(buffer->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return fd < 0 ? -errno : wrap_or_close(fd, buffer->writable, buffer, clone);
}

int sealbuf_buffer_reopen(const sealbuf_buffer *buffer, sealbuf_buffer **reader)
{
    int fd = memfd_reopen(buffer->fd, O_RDONLY);
    return fd < 0 ? fd : wrap_or_close(fd, false, buffer, reader);
}

sealbuf_buffer *sealbuf_buffer_free(sealbuf_buffer *buffer)
{
    if (buffer)
        close_quietly(sealbuf_buffer_take_fd(buffer));
    return NULL;
}

int sealbuf_buffer_take_fd(sealbuf_buffer *buffer)
{
    int fd = buffer->fd;

    holding_end(buffer);
    sealbuf_buffer_unmap(buffer);
    free(buffer->info);
    free(buffer);
    return fd;
}

int sealbuf_buffer_fd(const sealbuf_buffer *buffer)
{
    return buffer->fd;
}

uint64_t sealbuf_buffer_id(const sealbuf_buffer *buffer)
{
    return holding_id(buffer);
}

int sealbuf_buffer_writable(const sealbuf_buffer *buffer)
{
    return buffer->writable;
}

const struct sealbuf_info *sealbuf_buffer_info(const sealbuf_buffer *buffer)
{
    return buffer->info;
}

int sealbuf_buffer_size(const sealbuf_buffer *buffer, uint64_t *size)
{
    struct stat st;

    if (fstat(buffer->fd, &st) < 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

int sealbuf_buffer_resize(sealbuf_buffer *buffer, uint64_t size)
{
    if (buffer->mapped)
        return -EBUSY;
    if (size > INT64_MAX)
        return -EINVAL;
    return ftruncate(buffer->fd, (off_t)size) < 0 ? -errno : 0;
}

int sealbuf_buffer_seal(sealbuf_buffer *buffer, uint32_t seals)
{
    if (seals & ~SEALBUF_SEALS_ALL)
        return -SEALBUF_ERR_SEALS;
    if (buffer->mapped && buffer->map_flags & SEALBUF_MAP_WRITE && seals & SEALBUF_SEAL_WRITE)
        sealbuf_buffer_unmap(buffer);
    int r = memfd_add_seals(buffer->fd, seals);
    if (r == 0)
        buffer->known_seals |= seals;
    return r == -EINVAL ? -SEALBUF_ERR_SEALS : r;
}

int sealbuf_buffer_seals(const sealbuf_buffer *buffer, uint32_t *seals)
{
    return memfd_get_seals(buffer->fd, seals);
}

int sealbuf_buffer_has_seals(const sealbuf_buffer *buffer, uint32_t seals)
{
    uint32_t now;
    int r = memfd_get_seals(buffer->fd, &now);

    return r < 0 ? r : seals_contain(now, seals);
}

/* An offset and a size that a signed 64-bit position can reach. */
static bool reachable(size_t size, uint64_t offset)
{
    return offset <= INT64_MAX && size <= SSIZE_MAX && size <= INT64_MAX - offset;
}

ssize_t sealbuf_buffer_read(const sealbuf_buffer *buffer, void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    if (!reachable(size, offset))
        return -EINVAL;
    while (done < size) {
        ssize_t n = pread(buffer->fd, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && done == 0)
            return -errno;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t sealbuf_buffer_write(const sealbuf_buffer *buffer, const void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    if (!reachable(size, offset))
        return -EINVAL;
    while (done < size) {
        ssize_t n = pwrite(buffer->fd, (const char *)bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && done == 0)
            return -errno;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}
