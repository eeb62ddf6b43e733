/* SPDX-License-Identifier: MIT */
/*
 * Keeps docs/protocol.md equal to the code. The tables of that page stand between marker comments,
 *
 *     <!-- table: NAME -->
 *     <!-- end -->
 *
 * and their rows begin with what this program makes of the schema, the operations and the error codes; the last
 * column, the meaning, is written by people and not looked at. Besides, every number that sealbuf-protocol.h
 * defines must stand in the page as "`SEALBUF_NAME` | value |".
 *
 *     protocol_doc [TOP-OF-THE-SOURCES]           checks, and says in TAP what is wrong
 *     protocol_doc --print                        prints all tables with empty meanings, to paste from
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "errors.h"

#define PAGE_SIZE_MAX (1 << 20)

/* The rows of one table, as they must begin. */
struct table {
    const char *name, *head;
    char rows[128][320];
    unsigned count;
};

__attribute__((format(printf, 2, 3))) static void table_row(struct table *table, const char *format, ...)
{
    va_list arguments;

    if (table->count == sizeof(table->rows) / sizeof(table->rows[0]))
        abort();
    va_start(arguments, format);
    vsnprintf(table->rows[table->count++], sizeof(table->rows[0]), format, arguments);
    va_end(arguments);
}

static const char *type_name(enum field_kind kind)
{
    switch (kind) {
    case FIELD_U32:
        return "u32";
    case FIELD_U64:
        return "u64";
    case FIELD_NAME:
        return "name";
    case FIELD_PREFIX:
        return "prefix";
    case FIELD_LABEL:
        return "label";
    case FIELD_METADATA:
        return "metadata";
    case FIELD_TEXT:
        return "text";
    case FIELD_TOKEN:
        return "token";
    }
    return "?";
}

static const char *bound_text(const struct field *field, char text[64])
{
    if (field->kind != FIELD_U32 && field->kind != FIELD_U64)
        snprintf(text, 64, "0 to %" PRIu64 " bytes", field->bound);
    else if (field->bound == (field->kind == FIELD_U32 ? ANY32 : ANY64))
        snprintf(text, 64, "any");
    else if (field->bound == SIZE)
        snprintf(text, 64, "0 to 2^63-1");
    else if (field->bound == 0)
        snprintf(text, 64, "0");
    else if (field->error == SEALBUF_ERR_MODE)
        snprintf(text, 64, "bits of 0%" PRIo64 " (octal)", field->bound);
    else
        snprintf(text, 64, "bits of 0x%" PRIx64, field->bound);
    return text;
}

/* Of a reply, a client can only say that it is malformed: then there is no column for it. */
static bool always_malformed(const struct schema *schema)
{
    for (unsigned i = 0; i < schema->count; i++)
        if (schema->fields[i].error != SEALBUF_ERR_MALFORMED)
            return false;
    return true;
}

static void table_of_schema(struct table *table, const struct schema *schema)
{
    bool reply = always_malformed(schema);
    char bound[64];

    table->head = reply ? "| offset | type | field | allowed | meaning |"
                        : "| offset | type | field | allowed | or else | meaning |";
    table->name = schema->name;
    for (const struct field *f = schema->fields; f < schema->fields + schema->count; f++)
        table_row(table, "| %u | %s | `%s` | %s |%s%s%s", f->offset, type_name(f->kind), f->name, bound_text(f, bound),
                  reply ? "" : " ", reply ? "" : error_entry(f->error)->name, reply ? "" : " |");
}

static void table_of_operations(struct table *table)
{
    table->head =
        "| opcode | operation | records | record of the request | record of the reply | descriptors | what it does |";
    table->name = "operations";
    for (uint16_t opcode = 0; opcode < 0x7fff; opcode++) {
        const struct operation *op = operation_find(opcode);
        if (op)
            table_row(table, "| %u | %s | %u to %u | `%s` | `%s` | %u |", op->opcode, op->name, op->least, op->most,
                      op->request->name, op->reply->name, op->descriptors);
    }
}

static void table_of_errors(struct table *table)
{
    table->head = "| code | name | cause | remedy |";
    table->name = "errors";
    for (uint32_t code = SEALBUF_ERR_FIRST; code <= SEALBUF_ERR_LAST; code++) {
        const struct error_entry *e = error_entry(code);
        table_row(table, "| %u | %s | %s | %s |", e->code, e->name, e->cause, e->remedy);
    }
}

static const struct schema *const schemas[] = {
#define SCHEMA_ADDRESS(name, FIELDS) &name##_schema,
    SCHEMAS(SCHEMA_ADDRESS)};
#define SCHEMA_COUNT (sizeof(schemas) / sizeof(schemas[0]))
#define TABLE_COUNT  (SCHEMA_COUNT + 2)

/* Table i of all there are. */
static void table_make(struct table *table, unsigned i)
{
    table->count = 0;
    if (i == 0)
        table_of_operations(table);
    else if (i == 1)
        table_of_errors(table);
    else
        table_of_schema(table, schemas[i - 2]);
}

static void table_print(const struct table *table)
{
    printf("<!-- table: %s -->\n%s\n", table->name, table->head);
    for (const char *p = table->head; *p; p++)
        if (*p == '|')
            fputs(p[1] ? "|---" : "|\n", stdout);
    for (unsigned i = 0; i < table->count; i++)
        puts(table->rows[i]);
    printf("<!-- end -->\n\n");
}

/* The whole file, NUL-terminated; the caller's to free. */
static char *file_read(const char *top, const char *name)
{
    char path[4096];
    char *text = calloc(1, PAGE_SIZE_MAX);

    snprintf(path, sizeof(path), "%s/%s", top, name);
    FILE *file = fopen(path, "r");
    if (!file || !text || fread(text, 1, PAGE_SIZE_MAX - 1, file) == 0) {
        printf("Bail out! cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return text;
}

/* The line at *at, without its end; *at goes to the next one. NULL at the end of the text. */
static const char *next_line(const char **at, size_t *length)
{
    const char *line = *at;

    if (!*line)
        return NULL;
    *length = strcspn(line, "\n");
    *at = line + *length + (line[*length] == '\n');
    return line;
}

static bool line_starts(const char *line, size_t length, const char *start)
{
    return length >= strlen(start) && memcmp(line, start, strlen(start)) == 0;
}

/* Compares the page's table with what the code says: the number of differences, each told as a TAP comment. */
static unsigned table_check(const struct table *table, const char *page)
{
    char marker[96];
    size_t length;
    unsigned wrong = 0, row = 0, line_number = 0;

    snprintf(marker, sizeof(marker), "<!-- table: %s -->\n", table->name);
    const char *at = strstr(page, marker);
    if (!at) {
        printf("# there is no %s", marker);
        return 1;
    }
    at += strlen(marker);
    for (const char *line; (line = next_line(&at, &length)) && !line_starts(line, length, "<!-- end -->");) {
        if (line_number++ < 2) /* the head and its rule */
            continue;
        if (row >= table->count) {
            printf("# too many: %.*s\n", (int)length, line);
            wrong++;
        } else if (!line_starts(line, length, table->rows[row])) {
            printf("# page: %.*s\n# code: %s\n", (int)length, line, table->rows[row]);
            wrong++;
        }
        row++;
    }
    if (row < table->count) {
        printf("# %u rows are missing\n", table->count - row);
        wrong++;
    }
    return wrong;
}

/* The name and the value of a "#define SEALBUF_NAME number" line. */
static bool definition_parse(const char *line, char name[64], unsigned long *value)
{
    char number[32], *end;

    if (sscanf(line, "#define %63[A-Z_0-9] %31s", name, number) != 2 || strncmp(name, "SEALBUF_", 8) != 0)
        return false;
    *value = strtoul(number, &end, 0);
    return end != number && (*end == '\0' || strcmp(end, "u") == 0);
}

/* Every number of the header is in the page, and with the same value. */
static unsigned constants_check(const char *header, const char *page, unsigned *seen)
{
    unsigned wrong = 0;
    size_t length;

    for (const char *line; (line = next_line(&header, &length));) {
        char name[64], entry[96];
        unsigned long value;

        if (!definition_parse(line, name, &value))
            continue;
        (*seen)++;
        snprintf(entry, sizeof(entry), "`%s` | ", name);
        const char *found = strstr(page, entry);
        if (!found || strtoul(found + strlen(entry), NULL, 0) != value) {
            printf("# %s is 0x%lx (%lu) in the header, in the page it is %.12s\n", name, value, value,
                   found ? found + strlen(entry) : "missing");
            wrong++;
        }
    }
    return wrong;
}

static unsigned report(unsigned number, unsigned wrong, const char *what)
{
    printf("%sok %u - %s\n", wrong ? "not " : "", number, what);
    return wrong != 0;
}

int main(int argc, char **argv)
{
    static struct table table;
    unsigned failed = 0, constants = 0;

    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        for (unsigned i = 0; i < TABLE_COUNT; i++) {
            table_make(&table, i);
            table_print(&table);
        }
        return 0;
    }
    const char *top = argc > 1 ? argv[1] : getenv("srcdir");
    char *page = file_read(top ? top : ".", "docs/protocol.md");
    char *header = file_read(top ? top : ".", "proto/sealbuf-protocol.h");
    printf("1..%zu\n", TABLE_COUNT + 1);
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        table_make(&table, i);
        failed += report(i + 1, table_check(&table, page), table.name);
    }
    unsigned wrong = constants_check(header, page, &constants);
    if (constants < 30) {
        printf("# only %u definitions were found in the header: this test no longer understands it\n", constants);
        wrong++;
    }
    failed += report(TABLE_COUNT + 1, wrong, "constants");
    free(page);
    free(header);
    return failed != 0;
}
