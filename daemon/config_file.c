/* SPDX-License-Identifier: MIT */
#include "config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "text.h"

#define MAX_FILE    (1 << 20)
#define MAX_ERRORS  20 /* of a file; what is no configuration at all need not be gone through to its end */
#define MAX_HEADING 49 /* libinih cuts off what is longer, without a word */

#define ANNOUNCEMENT    "=\n"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct reading {
    struct draft *draft;
    struct origin at;
    const char *rest, *end;
    unsigned most_errors;                                                   /* of the draft, when this is enough */
    enum { NOTHING_DUE, ANNOUNCEMENT_DUE, ANNOUNCEMENT_MADE } announcement; /* of a section, to on_key */
    bool unanswered; /* a line that should be KEY = VALUE was handed on, and on_key has not been called for it */
};

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/*
 * The next line without the blanks around it, in room: those before a key would make it a continuation of the value
 * above. False at the end, or where a line is none.
 */
static bool take_line(struct reading *reading, char *room, size_t size)
{
    if (reading->rest == reading->end || reading->draft->errors >= reading->most_errors)
        return false;
    const char *start = reading->rest, *newline = memchr(start, '\n', (size_t)(reading->end - start));
    const char *end = newline ? newline : reading->end;
    reading->rest = newline ? newline + 1 : end;
    reading->at.line++;
    while (start < end && is_blank(*start))
        start++;
    while (start < end && is_blank(end[-1]))
        end--;
    size_t length = (size_t)(end - start);
    if (length + sizeof("\n") > size) {
        draft_complain(reading->draft, reading->at, "the line has %zu bytes, more than the %zu that one can have",
                       length, size - sizeof("\n"));
        length = 0;
    }
    for (size_t i = 0; i < length; i++)
        room[i] = start[i] == '\t' ? ' ' : start[i];
    if (!text_printable(room, length)) {
        draft_complain(reading->draft, reading->at,
                       "this is no text in UTF-8, or has control characters; the file is not read any further");
        return false;
    }
    memcpy(room + length, "\n", sizeof("\n"));
    return true;
}

/* Behind the bracket only a comment may follow, for libinih would take no notice of anything else. */
static bool is_whole_heading(const char *line)
{
    size_t length = strcspn(line, "];\n");

    if (line[length] != ']' || length == 1)
        return false;
    const char *behind = line + length + 1;
    behind += strspn(behind, " ");
    return strchr("\n;#", *behind);
}

static void look_at_heading(struct reading *reading, char *line)
{
    if (is_whole_heading(line) && strcspn(line, "]") <= MAX_HEADING) {
        reading->announcement = ANNOUNCEMENT_DUE;
        return;
    }
    if (is_whole_heading(line))
        draft_complain(reading->draft, reading->at, "the heading is longer than %d bytes; use the user's number",
                       MAX_HEADING);
    else
        draft_complain(reading->draft, reading->at, "this is no heading; write [broker], [limits] or [user NAME]");
    reading->draft->section = SECTION_WRONG;
    memcpy(line, "\n", sizeof("\n"));
}

static void check_answer(struct reading *reading)
{
    if (reading->unanswered)
        draft_complain(reading->draft, reading->at,
                       "this is neither [SECTION] nor KEY = VALUE, nor a comment, which begins with # or ;");
    reading->unanswered = false;
}

/* What fgets(3) is to a FILE. */
static char *next_line(char *room, int size, void *argument)
{
    struct reading *reading = argument;

    if (reading->announcement == ANNOUNCEMENT_DUE) {
        reading->announcement = ANNOUNCEMENT_MADE;
        memcpy(room, ANNOUNCEMENT, sizeof(ANNOUNCEMENT));
        return room;
    }
    check_answer(reading);
    if (!take_line(reading, room, (size_t)size))
        return NULL;
    if (room[0] == '[')
        look_at_heading(reading, room);
    else
        reading->unanswered = !strchr("\n;#", room[0]);
    return room;
}

static int on_key(void *argument, const char *section, const char *key, const char *value)
{
    struct reading *reading = argument;

    if (reading->announcement == ANNOUNCEMENT_MADE) {
        reading->announcement = NOTHING_DUE;
        draft_open_section(reading->draft, reading->at, section);
    } else if (value) { /* a libinih can be built to tell of lines without a value */
        reading->unanswered = false;
        draft_set(reading->draft, reading->at, key, value);
    }
    return 1;
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

/* A link to /dev/null is how files of configuration are switched off; it reads as an empty file. */
static bool is_null_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

#define CANNOT_READ "uid %u cannot read this file: %s; name one that it can read, or remove it"

static int open_file(struct reading *reading)
{
    const char *cause = NULL;
    struct stat st;
    CLEANUP(cleanup_close)
    int fd = open(reading->at.file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) < 0)
        cause = strerror(errno);
    else if (S_ISDIR(st.st_mode))
        cause = "it is a folder";
    else if (!S_ISREG(st.st_mode) && !is_null_device(&st))
        cause = "it is no regular file";
    if (!cause)
        return take_fd(&fd);
    draft_complain(reading->draft, reading->at, CANNOT_READ, (unsigned)geteuid(), cause);
    return -1;
}

/* The length, or -1. */
static ssize_t read_all(int fd, char *bytes, size_t room)
{
    size_t length = 0;

    while (length < room) {
        ssize_t n = read(fd, bytes + length, room - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

/* The content, to be freed, or NULL. */
static char *load(struct reading *reading)
{
    CLEANUP(cleanup_close)
    int fd = open_file(reading);
    CLEANUP(cleanup_free)
    char *bytes = fd >= 0 ? malloc(MAX_FILE + 1) : NULL;

    if (fd < 0)
        return NULL;
    ssize_t length = bytes ? read_all(fd, bytes, MAX_FILE + 1) : -1;
    if (length < 0 || length > MAX_FILE) {
        const char *cause = length < 0 ? strerror(errno) : "it is longer than 1 MiB";
        draft_complain(reading->draft, reading->at, CANNOT_READ, (unsigned)geteuid(), cause);
        return NULL;
    }
    bool marked = (size_t)length >= strlen(BYTE_ORDER_MARK) && memcmp(bytes, BYTE_ORDER_MARK, 3) == 0;
    reading->rest = bytes + (marked ? strlen(BYTE_ORDER_MARK) : 0);
    reading->end = bytes + length;
    return take_pointer(bytes);
}

void config_file_read(struct draft *draft, const char *path)
{
    struct reading reading = {.draft = draft, .at = {.file = path}};
    CLEANUP(cleanup_free)
    char *bytes = load(&reading);

    if (!bytes)
        return;
    reading.most_errors = draft->errors + MAX_ERRORS;
    draft->section = SECTION_NONE;
    if (ini_parse_stream(next_line, &reading, on_key, &reading) == -2)
        draft_complain(draft, (struct origin){.file = path}, "no memory to read it");
    check_answer(&reading);
    if (draft->errors >= reading.most_errors)
        draft_complain(draft, reading.at, "that is enough; the file is not read any further");
}
