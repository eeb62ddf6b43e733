/* SPDX-License-Identifier: MIT */
/* Aligned columns: the same on a terminal and in a pipe, the last one as wide as it likes. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stddef.h>

#include "report.h"

struct table {
    const char *alignment; /* of each column: 'l' or 'r' */
    char **cells;          /* row by row; owned */
    size_t count, room;
};

/* Adds the next cell, control characters made harmless. */
void table_add(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
/* To standard output. 0, or STATUS_FAILED, reported. */
int table_print(const struct table *table);
void table_free(struct table *table);

#endif
