/* SPDX-License-Identifier: MIT */
/*
 * Where files of configuration are looked for, and which of them count: the first sealbufd.conf that there is, and all
 * that end with .conf in the folders sealbufd.conf.d, in the order of their names, where one in an earlier folder hides
 * one of the same name in a later one.
 */
#ifndef DAEMON_CONFIG_PLACES_H
#define DAEMON_CONFIG_PLACES_H

#include <stddef.h>

struct config_path {
    char *path;
    unsigned folder; /* the number of the folder that it was found in */
};

struct config_places {
    struct config_path *files; /* to be read in this order */
    size_t count;
};

/*
 * Of the folders for this process, or, unless it is NULL, of the named file and its folder. 0, or a negative errno that
 * has been logged; config_places_free in any case.
 */
int config_places_search(struct config_places *places, const char *named);
void config_places_free(struct config_places *places);

/* The n-th folder of this process, the most important first; NULL after the last one. To be freed. */
char *config_places_folder(unsigned n);

#endif
