/* SPDX-License-Identifier: MIT */
#include "draft.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "message_id.h"
#include "settings.h"
#include "values.h"

static const char command_line[] = "the command line";

int draft_init(struct draft *draft)
{
    *draft = (struct draft){.section = SECTION_NONE};
    config_init(&draft->config);
    draft->origins = calloc(settings_count(), sizeof(*draft->origins));
    return draft->origins ? 0 : -ENOMEM;
}

void draft_free(struct draft *draft)
{
    for (size_t i = 0; i < draft->user_count; i++)
        free(draft->users[i]);
    free(draft->users);
    free(draft->origins);
    config_places_free(&draft->places);
    config_release(&draft->config);
    *draft = (struct draft){0};
}

void draft_complain(struct draft *draft, struct origin at, const char *format, ...)
{
    const struct log_subject refused = {.message_id = MESSAGE_ID_CONFIG_REFUSED};
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (at.line)
        log_about(LOG_ERR, &refused, "%s:%u: %s", at.file, at.line, text);
    else
        log_about(LOG_ERR, &refused, "%s: %s", at.file, text);
    draft->errors++;
}

/* ---- Sections ---------------------------------------------------------------------------------------------------- */

/* Where the user's section is, or would be. */
static size_t place_of_user(const struct draft *draft, uid_t uid)
{
    size_t from = 0, to = draft->user_count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (draft->users[middle]->limits.uid < uid)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static struct user_section *find_or_make_user(struct draft *draft, uid_t uid)
{
    size_t place = place_of_user(draft, uid);

    if (place < draft->user_count && draft->users[place]->limits.uid == uid)
        return draft->users[place];
    struct user_section **users = realloc(draft->users, (draft->user_count + 1) * sizeof(struct user_section *));
    if (!users)
        return NULL;
    draft->users = users;
    struct user_section *made = calloc(1, sizeof(*made));
    if (!made)
        return NULL;
    made->limits.uid = uid;
    memmove(users + place + 1, users + place, (draft->user_count - place) * sizeof(struct user_section *));
    users[place] = made;
    draft->user_count++;
    return made;
}

static enum draft_section open_user(struct draft *draft, struct origin at, const char *name)
{
    uid_t uid;

    if (!value_user(name, &uid)) {
        draft_complain(draft, at, "[user %s]: expected a user that this system knows, by name, or a number", name);
        return SECTION_WRONG;
    }
    draft->user = find_or_make_user(draft, uid);
    if (draft->user)
        return SECTION_USER;
    draft_complain(draft, at, "no memory for [user %s]; try again when there is some", name);
    return SECTION_WRONG;
}

void draft_open_section(struct draft *draft, struct origin at, const char *name)
{
    draft->section = SECTION_WRONG;
    if (strcmp(name, "broker") == 0)
        draft->section = SECTION_BROKER;
    else if (strcmp(name, "limits") == 0)
        draft->section = SECTION_LIMITS;
    else if (strncmp(name, "user ", 5) == 0)
        draft->section = open_user(draft, at, name + 5 + strspn(name + 5, " "));
    else
        draft_complain(draft, at, "there is no section [%s]; write [broker], [limits] or [user NAME]", name);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* In one file; a later file may set it again. */
static bool is_set_twice(struct draft *draft, struct origin at, const char *key, const struct origin *before)
{
    if (before->file != at.file)
        return false;
    draft_complain(draft, at, "'%s' was set in line %u already; remove one of the two", key, before->line);
    return true;
}

static void set_of_user(struct draft *draft, struct origin at, const char *key, const char *value)
{
    struct user_section *user = draft->user;
    int found = -1;

    for (unsigned i = 0; i < COUNTED_RESOURCES && found < 0; i++)
        if (strncmp(key, "uid-", 4) == 0 && strcmp(key + 4, limits_key((enum resource)i)) == 0)
            found = (int)i;
    if (found < 0) {
        draft_complain(draft, at,
                       "there is no key '%s' for a single user; there are those of [limits] that begin with uid-", key);
        return;
    }
    if (is_set_twice(draft, at, key, &user->origins[found]))
        return;
    user->origins[found] = at;
    user->limits.uid_limit[found] = 0;
    if (value[0] && !value_size(value, &user->limits.uid_limit[found]))
        draft_complain(draft, at, "%s = '%s': expected " EXPECTED_SIZE, key, value);
}

static void complain_of_key(struct draft *draft, struct origin at, const char *section, const char *key)
{
    const char *other = strcmp(section, "broker") == 0 ? "limits" : "broker";

    if (settings_find(other, key) >= 0)
        draft_complain(draft, at, "the key '%s' belongs into [%s]; move it there", key, other);
    else
        draft_complain(draft, at, "there is no key '%s' in [%s]; sealbufd.conf(5) lists those that there are", key,
                       section);
}

static void set_of_broker(struct draft *draft, struct origin at, const char *section, const char *key,
                          const char *value)
{
    int found = settings_find(section, key);

    if (found < 0) {
        complain_of_key(draft, at, section, key);
        return;
    }
    if (is_set_twice(draft, at, key, &draft->origins[found]))
        return;
    draft->origins[found] = at;
    const char *expected = settings_set(&draft->config, (unsigned)found, value);
    if (expected)
        draft_complain(draft, at, "%s = '%s': expected %s", key, value, expected);
}

void draft_set(struct draft *draft, struct origin at, const char *key, const char *value)
{
    switch (draft->section) {
    case SECTION_NONE:
        draft_complain(draft, at, "'%s' is in no section; write [broker], [limits] or [user NAME] above it", key);
        break;
    case SECTION_WRONG: /* which has been said */
        break;
    case SECTION_BROKER:
        set_of_broker(draft, at, "broker", key, value);
        break;
    case SECTION_LIMITS:
        set_of_broker(draft, at, "limits", key, value);
        break;
    case SECTION_USER:
        set_of_user(draft, at, key, value);
        break;
    }
}

void draft_override(struct draft *draft, unsigned setting, const char *value)
{
    struct origin at = {.file = command_line};
    const char *expected = settings_set(&draft->config, setting, value);

    draft->origins[setting] = at;
    if (expected)
        draft_complain(draft, at, "%s = '%s': expected %s", settings_get(setting).key, value, expected);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

int draft_finish(struct draft *draft)
{
    struct limits *limits = &draft->config.limits;

    if (draft->errors)
        return -EINVAL;
    if (draft->user_count == 0)
        return 0;
    limits->exceptions = calloc(draft->user_count, sizeof(*limits->exceptions));
    if (!limits->exceptions)
        return -ENOMEM;
    for (size_t i = 0; i < draft->user_count; i++)
        limits->exceptions[limits->exception_count++] = draft->users[i]->limits;
    return 0;
}
