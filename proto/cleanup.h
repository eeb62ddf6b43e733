/* SPDX-License-Identifier: MIT */
/* Resources that release themselves when their scope ends, and the hand-over that stops them from doing so.
 */
#ifndef PROTO_CLEANUP_H
#define PROTO_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Closes without touching errno, so that it can stand between a failed call and the report of why it failed.
 */
static inline void close_quietly(int fd)
{
    if (fd >= 0) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
}

static inline void cleanup_close(int *fd)
{
    close_quietly(*fd);
}

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

/* Hands a descriptor over: the variable forgets it, and its cleanup does nothing. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define take_pointer(p)                                                                                                \
    __extension__({                                                                                                    \
        __typeof__(p) taken_ = (p);                                                                                    \
        (p) = NULL;                                                                                                    \
        taken_;                                                                                                        \
    })

#endif
