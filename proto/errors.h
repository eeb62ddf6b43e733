/* SPDX-License-Identifier: MIT */
/* The error codes with their names, causes and remedies: one table, from which the documents are checked. */
#ifndef PROTO_ERRORS_H
#define PROTO_ERRORS_H

#include <stdint.h>

#include "sealbuf-protocol.h"

struct error_entry {
    uint32_t code;
    const char *name;   /* as in the enumeration, without SEALBUF_ERR_ */
    const char *cause;  /* a clause that follows "the request failed: " */
    const char *remedy; /* a sentence's body in the imperative */
};

/* The entry of a code, or NULL for a number that is none of ours. Never fails for a code of enum
 * sealbuf_error. */
const struct error_entry *error_entry(uint32_t code);

#endif
