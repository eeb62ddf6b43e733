/* SPDX-License-Identifier: MIT */
#include "config_print.h"

#include <config-build.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "settings.h"

static void print_head(const struct draft *draft)
{
    struct rlimit table = {0};

    getrlimit(RLIMIT_NOFILE, &table);
    printf("# sealbufd %s, with RLIMIT_NOFILE %llu\n", PACKAGE_VERSION, (unsigned long long)table.rlim_cur);
    for (size_t i = 0; i < draft->places.count; i++)
        printf("# read: %s\n", draft->places.files[i].path);
    if (draft->places.count == 0)
        printf("# read: no file; sealbufd --help shows where they are looked for\n");
}

static void print_origin(const struct origin *origin)
{
    if (origin->line)
        printf("# %s:%u\n", origin->file, origin->line);
    else
        printf("# %s\n", origin->file);
}

static void print_setting(const struct draft *draft, unsigned number)
{
    struct setting setting = settings_get(number);
    const struct origin *origin = &draft->origins[number];
    char value[SETTING_ROOM];

    settings_print(&draft->config, number, value);
    if (origin->file)
        print_origin(origin);
    else
        printf("# default: %s\n", setting.by_default);
    printf("%s =%s%s\n", setting.key, value[0] ? " " : "", value);
}

static void print_user(const struct user_section *user)
{
    printf("\n[user %u]\n", (unsigned)user->limits.uid);
    for (unsigned i = 0; i < COUNTED_RESOURCES; i++) {
        if (user->limits.uid_limit[i] == 0)
            continue;
        print_origin(&user->origins[i]);
        printf("uid-%s = %llu\n", limits_key((enum resource)i), (unsigned long long)user->limits.uid_limit[i]);
    }
}

int config_print(const struct draft *draft)
{
    const char *section = "";

    print_head(draft);
    for (unsigned i = 0; i < settings_count(); i++) {
        struct setting setting = settings_get(i);
        if (strcmp(section, setting.section) != 0)
            printf("\n[%s]\n", setting.section);
        section = setting.section;
        print_setting(draft, i);
    }
    for (size_t i = 0; i < draft->user_count; i++)
        print_user(draft->users[i]);
    return fflush(stdout) == 0 ? 0 : -errno;
}
