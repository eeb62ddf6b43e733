/* SPDX-License-Identifier: MIT */
/* Structs that carry their size: an old program's are shorter than ours, a newer program's are longer. */
#include <errno.h>
#include <string.h>

#include "buffer.h"

/* Whoever gives more has not set the size. */
#define SIZE_AT_MOST 4096

static size_t size_of(const void *options)
{
    size_t size;
    memcpy(&size, options, sizeof(size));
    return size;
}

int options_copy(void *ours, size_t size, const void *theirs)
{
    memset(ours, 0, size);
    if (!theirs)
        return 0;
    size_t their_size = size_of(theirs);
    if (their_size < sizeof(size_t) || their_size > SIZE_AT_MOST)
        return -EINVAL;
    const unsigned char *bytes = theirs;
    for (size_t i = size; i < their_size; i++)
        if (bytes[i])
            return -EINVAL;
    memcpy(ours, theirs, their_size < size ? their_size : size);
    return 0;
}

int options_return(void *theirs, const void *ours, size_t size)
{
    size_t their_size = size_of(theirs);

    if (their_size < sizeof(size_t) || their_size > SIZE_AT_MOST)
        return -EINVAL;
    size_t both = their_size < size ? their_size : size;
    memcpy((char *)theirs + sizeof(size_t), (const char *)ours + sizeof(size_t), both - sizeof(size_t));
    memset((char *)theirs + both, 0, their_size - both);
    return 0;
}

const void *options_at(const void *array, size_t i)
{
    return array ? (const char *)array + i * size_of(array) : NULL;
}
