/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "display.h"

static void make_room(struct table *table)
{
    if (table->count < table->room)
        return;
    size_t room = table->room ? 2 * table->room : 64;
    char **cells = reallocarray(table->cells, room, sizeof(*cells));
    if (!cells)
        report_out_of_memory();
    table->cells = cells;
    table->room = room;
}

void table_add(struct table *table, const char *format, ...)
{
    CLEANUP(cleanup_free)
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        report_out_of_memory();
    make_room(table);
    table->cells[table->count++] = display_harmless(text);
}

static size_t widest(const struct table *table, size_t column, size_t columns)
{
    size_t width = 0;

    for (size_t i = column; i < table->count; i += columns) {
        size_t w = display_width(table->cells[i]);
        if (w > width)
            width = w;
    }
    return width;
}

/* What printf(3) returns. */
static int print_cell(const char *cell, size_t width, char alignment, const char *end)
{
    int blanks = (int)(width - display_width(cell));

    if (alignment == 'r')
        return printf("%*s%s%s", blanks, "", cell, end);
    /* Nothing follows the last column: blanks would only make lines wrap. */
    if (*end == '\n')
        blanks = 0;
    return printf("%s%*s%s", cell, blanks, "", end);
}

int table_print(const struct table *table)
{
    size_t columns = strlen(table->alignment);
    CLEANUP(cleanup_free)
    size_t *widths = calloc(columns, sizeof(*widths));

    if (!widths)
        report_out_of_memory();
    for (size_t i = 0; i < columns; i++)
        widths[i] = widest(table, i, columns);
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % columns;
        const char *end = column == columns - 1 ? "\n" : "  ";
        if (print_cell(table->cells[i], widths[column], table->alignment[column], end) < 0)
            return report_output(errno);
    }
    return 0;
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
}
