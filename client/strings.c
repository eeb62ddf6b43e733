/* SPDX-License-Identifier: MIT */
/* Errors and seals as text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "sealbuf.h"
#include "seals.h"

/* Negative or positive; the least int has no positive twin. */
static unsigned code_of(int error)
{
    return error < 0 ? 0u - (unsigned)error : (unsigned)error;
}

const char *sealbuf_strerror(int error)
{
    unsigned code = code_of(error);
    const struct error_entry *entry = error_entry(code);

    if (code == 0)
        return "success";
    if (entry)
        return entry->cause;
        /* strerrordesc_np(3) is static and thread-safe, as strerror(3) is not everywhere; musl's strerror is. */
#ifdef __GLIBC__
    const char *description = code <= 4095 ? strerrordesc_np((int)code) : NULL;
#else
    const char *description = code <= 4095 ? strerror((int)code) : NULL;
#endif
    return description ? description : "unknown error";
}

const char *sealbuf_error_remedy(int error)
{
    const struct error_entry *entry = error_entry(code_of(error));
    return entry ? entry->remedy : "";
}

const char *sealbuf_error_name(int error)
{
    unsigned code = code_of(error);
    const struct error_entry *entry = error_entry(code);

    if (entry)
        return entry->name;
#ifdef __GLIBC__
    const char *name = code > 0 && code <= 4095 ? strerrorname_np((int)code) : NULL;
    return name ? name : "UNKNOWN";
#else
    return "UNKNOWN";
#endif
}

_Static_assert(SEALBUF_SEALS_TEXT == SEALS_TEXT_SIZE, "the public header and proto differ");

const char *sealbuf_seals_format(uint32_t seals, char text[SEALBUF_SEALS_TEXT])
{
    return seals_format(seals, text);
}

int sealbuf_seals_parse(const char *text, uint32_t *seals)
{
    return seals_parse(text, seals);
}

const char *sealbuf_info_metadata(const struct sealbuf_info *info, const char *key)
{
    size_t length = strlen(key);
    const char *pair = info->metadata, *end = pair + info->metadata_size;

    for (; pair < end; pair += strlen(pair) + 1)
        if (strncmp(pair, key, length) == 0 && pair[length] == '=')
            return pair + length + 1;
    return NULL;
}
