/* SPDX-License-Identifier: MIT */
/*
 * A configuration while it is put together out of files and the command line: who has set what, and what is wrong with
 * it. What is wrong is logged when it is met, and counted; draft_finish then says so.
 */
#ifndef DAEMON_DRAFT_H
#define DAEMON_DRAFT_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "config_places.h"

/* Where something was set: a line of a file, or line 0 of something without lines. file NULL: nowhere. */
struct origin {
    const char *file; /* the same pointer for all of a file */
    unsigned line;
};

/* The limits of a single user. */
struct user_section {
    struct uid_limits limits;
    struct origin origins[COUNTED_RESOURCES];
};

enum draft_section { SECTION_NONE, SECTION_WRONG, SECTION_BROKER, SECTION_LIMITS, SECTION_USER };

struct draft {
    struct config config;
    struct config_places places;
    struct origin *origins;      /* of each setting, by its number */
    struct user_section **users; /* in order of uid */
    size_t user_count;
    enum draft_section section;
    struct user_section *user; /* in SECTION_USER */
    unsigned errors;
};

int draft_init(struct draft *draft);
void draft_free(struct draft *draft);

void draft_complain(struct draft *draft, struct origin at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* [name]: what is set from now on belongs to it. */
void draft_open_section(struct draft *draft, struct origin at, const char *name);
void draft_set(struct draft *draft, struct origin at, const char *key, const char *value);
/* From the command line, which has checked the value. */
void draft_override(struct draft *draft, unsigned setting, const char *value);

/* 0 where nothing was wrong: the configuration is complete, but for its limits, which are not settled. */
int draft_finish(struct draft *draft);

#endif
