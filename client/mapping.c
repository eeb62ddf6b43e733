/* SPDX-License-Identifier: MIT */
/*
 * Mapping, after verifying. The order is the receiver's: seals first, then the size, which SHRINK keeps from going down
 * afterwards, then the map. Nothing that anybody has said is trusted, only the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "buffer.h"
#include "cleanup.h"
#include "memfd.h"
#include "seals.h"

#define MAP_FLAGS (SEALBUF_MAP_WRITE | SEALBUF_MAP_PRIVATE | SEALBUF_MAP_UNSEALED | SEALBUF_MAP_POPULATE)
#define MAP_KIND  (SEALBUF_MAP_WRITE | SEALBUF_MAP_PRIVATE)

static int map_descriptor(int fd, size_t size, int protection, int flags, void **address)
{
    void *at = mmap(NULL, size, protection, flags, fd, 0);

    if (at == MAP_FAILED)
        return -errno;
    *address = at;
    return 0;
}

/*
 * A shared read-only mapping from a read-write descriptor could be made writable, so the kernel lets it stand in the
 * way of the Write seal, and refuses it afterwards (before Linux 6.7). From a read-only description it is neither.
 * Where there is no /proc to open one, a private mapping, which nobody has written to, shows the same pages.
 */
static int map_to_read(const struct sealbuf_buffer *buffer, size_t size, int more, void **address)
{
    if (!buffer->writable)
        return map_descriptor(buffer->fd, size, PROT_READ, MAP_SHARED | more, address);
    CLEANUP(cleanup_close)
    int reader = memfd_reopen(buffer->fd, O_RDONLY);
    if (reader >= 0)
        return map_descriptor(reader, size, PROT_READ, MAP_SHARED | more, address);
    return map_descriptor(buffer->fd, size, PROT_READ, MAP_PRIVATE | more, address);
}

static int map_in_kind(const struct sealbuf_buffer *buffer, uint32_t flags, size_t size, void **address)
{
    int more = flags & SEALBUF_MAP_POPULATE ? MAP_POPULATE : 0;

    if (flags & SEALBUF_MAP_WRITE)
        return map_descriptor(buffer->fd, size, PROT_READ | PROT_WRITE, MAP_SHARED | more, address);
    if (flags & SEALBUF_MAP_PRIVATE)
        return map_descriptor(buffer->fd, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | more, address);
    return map_to_read(buffer, size, more, address);
}

/*
 * The size, after the seals: with SHRINK it can only be too small afterwards. Where the seals fix it, it must also be
 * the one that the broker has told.
 */
static int verify(const struct sealbuf_buffer *buffer, uint32_t flags, uint64_t *size)
{
    uint32_t fixed = SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW, seals;
    int r = memfd_get_seals(buffer->fd, &seals);

    if (r < 0)
        return r;
    if (!(flags & SEALBUF_MAP_UNSEALED) && !seals_contain(seals, SEALBUF_SEAL_SHRINK))
        return -SEALBUF_ERR_NOT_SEALED;
    r = sealbuf_buffer_size(buffer, size);
    if (r < 0)
        return r;
    if (buffer->info && seals_contain(buffer->info->seals, fixed) && *size != buffer->info->size)
        return -SEALBUF_ERR_BAD_REPLY;
    return *size > SIZE_MAX / 2 ? -ENOMEM : 0;
}

int sealbuf_buffer_map(sealbuf_buffer *buffer, uint32_t flags, void **address, size_t *size)
{
    uint64_t length;
    void *at = NULL;

    if (flags & ~MAP_FLAGS || (flags & MAP_KIND) == MAP_KIND)
        return -SEALBUF_ERR_FLAGS;
    if (buffer->mapped && (buffer->map_flags & MAP_KIND) != (flags & MAP_KIND))
        return -SEALBUF_ERR_MAPPED;
    int r = verify(buffer, flags, &length);
    if (r < 0)
        return r;
    if (!buffer->mapped) {
        r = length ? map_in_kind(buffer, flags, (size_t)length, &at) : 0;
        if (r < 0)
            return r;
        buffer->address = at;
        buffer->map_size = (size_t)length;
        buffer->map_flags = flags;
        buffer->mapped = true;
    }
    *address = buffer->address;
    *size = buffer->map_size;
    return 0;
}

void sealbuf_buffer_unmap(sealbuf_buffer *buffer)
{
    if (buffer->mapped && buffer->map_size)
        munmap(buffer->address, buffer->map_size);
    buffer->mapped = false;
    buffer->address = NULL;
    buffer->map_size = 0;
}
