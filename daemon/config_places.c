/* SPDX-License-Identifier: MIT */
#include "config_places.h"

#include <config-build.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "cleanup.h"
#include "log.h"

#define MAIN_FILE "sealbufd.conf"
#define SUFFIX    ".conf"

__attribute__((format(printf, 1, 2))) static char *text_of(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    return n < 0 ? NULL : text;
}

/* A user's broker has one folder, and what holds for the system's is none of its business. */
static char *folder_of_user(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && config[0] == '/')
        return text_of("%s/sealbuf", config);
    return home && home[0] == '/' ? text_of("%s/.config/sealbuf", home) : NULL;
}

char *config_places_folder(unsigned n)
{
    static const char *const of_system[] = {SYSCONFDIR "/sealbuf", "/run/sealbuf", PREFIX_LIBDIR "/sealbuf"};

    if (address_runtime_folder())
        return n == 0 ? folder_of_user() : NULL;
    return n < sizeof(of_system) / sizeof(of_system[0]) ? strdup(of_system[n]) : NULL;
}

void config_places_free(struct config_places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->files[i].path);
    free(places->files);
    *places = (struct config_places){0};
}

/* Takes the path over, also where it fails. */
static int add(struct config_places *places, char *path, unsigned folder)
{
    struct config_path *files = path ? realloc(places->files, (places->count + 1) * sizeof(*files)) : NULL;

    if (!files) {
        free(path);
        log_line(LOG_ERR, "no memory for the names of the files of configuration");
        return -ENOMEM;
    }
    places->files = files;
    places->files[places->count++] = (struct config_path){.path = path, .folder = folder};
    return 0;
}

/* ---- Drop-ins ---------------------------------------------------------------------------------------------------- */

static int is_drop_in(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name), suffix = strlen(SUFFIX);
    return entry->d_name[0] != '.' && length > suffix && strcmp(entry->d_name + length - suffix, SUFFIX) == 0;
}

static int add_drop_ins(struct config_places *places, const char *folder, unsigned number)
{
    struct dirent **entries;
    int r = 0, count = scandir(folder, &entries, is_drop_in, NULL);

    if (count < 0 && errno == ENOENT)
        return 0;
    if (count < 0) {
        r = -errno;
        log_line(LOG_ERR, "%s: cannot look for files of configuration there: %s; make it a folder that uid %u can read",
                 folder, strerror(-r), (unsigned)geteuid());
        return r;
    }
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = add(places, text_of("%s/%s", folder, entries[i]->d_name), number);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static const char *name_of(const struct config_path *file)
{
    return strrchr(file->path, '/') + 1;
}

static int compare_drop_ins(const void *a, const void *b)
{
    const struct config_path *x = a, *y = b;
    int order = strcmp(name_of(x), name_of(y));
    return order ? order : (x->folder > y->folder) - (x->folder < y->folder);
}

/* Of those with the same name the first one hides the others. */
static void sort_drop_ins(struct config_places *places, size_t first)
{
    struct config_path *files = places->files;
    size_t kept = first;

    if (places->count == first)
        return;
    qsort(files + first, places->count - first, sizeof(*files), compare_drop_ins);
    for (size_t i = first; i < places->count; i++)
        if (kept > first && strcmp(name_of(&files[kept - 1]), name_of(&files[i])) == 0)
            free(files[i].path);
        else
            files[kept++] = files[i];
    places->count = kept;
}

/* ---- Everything -------------------------------------------------------------------------------------------------- */

/* What cannot be looked at, or is a link to nowhere, is there: reading it will say what is wrong with it. */
static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static int search_named(struct config_places *places, const char *named)
{
    CLEANUP(cleanup_free)
    char *drop_ins = text_of("%s.d", named);

    int r = add(places, strdup(named), 0);
    if (r == 0)
        r = drop_ins ? add_drop_ins(places, drop_ins, 0) : -ENOMEM;
    if (r == 0)
        sort_drop_ins(places, 1);
    return r;
}

static int search_main_file(struct config_places *places)
{
    char *folder;

    for (unsigned n = 0; (folder = config_places_folder(n)); n++) {
        CLEANUP(cleanup_free)
        char *path = text_of("%s/" MAIN_FILE, folder);
        free(folder);
        if (!path || is_there(path))
            return add(places, take_pointer(path), n);
    }
    return 0;
}

static int search_drop_ins(struct config_places *places)
{
    char *folder;
    int r = 0;

    for (unsigned n = 0; r == 0 && (folder = config_places_folder(n)); n++) {
        CLEANUP(cleanup_free)
        char *drop_ins = text_of("%s/" MAIN_FILE ".d", folder);
        free(folder);
        r = drop_ins ? add_drop_ins(places, drop_ins, n) : -ENOMEM;
    }
    return r;
}

/*
 * The home of a user's broker may be another one's, where it was started by sudo or the like: no reason not to start.
 * The folders of the system's broker are its own, and what they say must not be lost.
 */
static bool may_look(void)
{
    CLEANUP(cleanup_free)
    char *folder = address_runtime_folder() ? folder_of_user() : NULL;

    if (!folder || access(folder, X_OK) == 0)
        return true;
    if (errno == ENOENT || errno == ENOTDIR)
        return false;
    log_line(LOG_WARNING, "no configuration is read from '%s': %s; let uid %u in, or set XDG_CONFIG_HOME", folder,
             strerror(errno), (unsigned)geteuid());
    return false;
}

int config_places_search(struct config_places *places, const char *named)
{
    if (named)
        return search_named(places, named);
    if (!may_look())
        return 0;
    int r = search_main_file(places);
    size_t first = places->count;
    if (r == 0)
        r = search_drop_ins(places);
    if (r == 0)
        sort_drop_ins(places, first);
    return r;
}
