/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "address.h"
#include "values.h"

static bool set_socket(struct config *config, const struct setting *setting, const char *value)
{
    char *path = value[0] ? strdup(value) : NULL;

    (void)setting;
    if (value[0] && !path)
        return false;
    free(config->socket_path);
    config->socket_path = path;
    return true;
}

static void print_socket(const struct config *config, const struct setting *setting, char *text, size_t room)
{
    (void)setting;
    snprintf(text, room, "%s", config->socket_path ? config->socket_path : "");
}

static bool set_socket_mode(struct config *config, const struct setting *setting, const char *value)
{
    unsigned long mode = 0;

    (void)setting;
    if (value[0] && !value_number(value, 8, 0777, &mode))
        return false;
    config->socket_mode = (mode_t)mode;
    config->socket_mode_set = value[0] != '\0';
    return true;
}

static void print_socket_mode(const struct config *config, const struct setting *setting, char *text, size_t room)
{
    (void)setting;
    snprintf(text, room, "%04o", (unsigned)address_mode(config));
}

static bool set_idle_exit(struct config *config, const struct setting *setting, const char *value)
{
    if (value[0] && strcmp(value, setting->by_default) != 0)
        return value_duration_ms(value, &config->idle_exit_ms);
    config->idle_exit_ms = 0;
    return true;
}

static void print_idle_exit(const struct config *config, const struct setting *setting, char *text, size_t room)
{
    if (config->idle_exit_ms)
        snprintf(text, room, "%llums", (unsigned long long)config->idle_exit_ms);
    else
        snprintf(text, room, "%s", setting->by_default);
}

static bool set_log_level(struct config *config, const struct setting *setting, const char *value)
{
    return value_level(value[0] ? value : setting->by_default, &config->log_level);
}

static void print_log_level(const struct config *config, const struct setting *setting, char *text, size_t room)
{
    (void)setting;
    snprintf(text, room, "%s", value_level_name(config->log_level));
}

static bool set_admin_group(struct config *config, const struct setting *setting, const char *value)
{
    (void)setting;
    if (value[0] && !value_group(value, &config->admin_group))
        return false;
    config->admin_group_set = value[0] != '\0';
    return true;
}

static void print_admin_group(const struct config *config, const struct setting *setting, char *text, size_t room)
{
    (void)setting;
    text[0] = '\0';
    if (config->admin_group_set)
        snprintf(text, room, "%u", (unsigned)config->admin_group);
}

static bool set_sandbox(struct config *config, const struct setting *setting, const char *value)
{
    return value_yes_or_no(value[0] ? value : setting->by_default, &config->sandbox);
}

static void print_sandbox(const struct config *config, const struct setting *setting, char *text, size_t room)
{
    (void)setting;
    snprintf(text, room, "%s", config->sandbox ? "yes" : "no");
}

static bool set_limit(struct config *config, const struct setting *setting, const char *value)
{
    uint64_t *limit = limit_at(&config->limits, setting->limit);

    if (value[0])
        return value_size(value, limit);
    *limit = 0;
    return true;
}

static void print_limit(const struct config *config, const struct setting *setting, char *text, size_t room)
{
    struct limits limits = config->limits;
    snprintf(text, room, "%llu", (unsigned long long)*limit_at(&limits, setting->limit));
}

static const struct setting broker_settings[] = {
    {.key = "socket",
     .by_default = "sockets of the service manager, else a socket in the usual place",
     .at_start = true,
     .expected = "a path",
     .set = set_socket,
     .print = print_socket},
    {.key = "socket-mode",
     .by_default = "0666 as root, else 0600",
     .at_start = true,
     .expected = "an octal mode such as 0660",
     .set = set_socket_mode,
     .print = print_socket_mode},
    {.key = "idle-exit",
     .by_default = "never",
     .expected = "a duration such as 30s or 5min, or never",
     .set = set_idle_exit,
     .print = print_idle_exit},
    {.key = "log-level",
     .by_default = "info",
     .expected = "emerg, alert, crit, err, warning, notice, info or debug",
     .set = set_log_level,
     .print = print_log_level},
    {.key = "admin-group",
     .by_default = "none",
     .expected = "a group that this system knows, by its name or its number",
     .set = set_admin_group,
     .print = print_admin_group},
    {.key = "sandbox",
     .by_default = "yes",
     .at_start = true,
     .expected = "yes or no",
     .set = set_sandbox,
     .print = print_sandbox},
};
#define BROKER_SETTINGS (sizeof(broker_settings) / sizeof(broker_settings[0]))

unsigned settings_count(void)
{
    return (unsigned)(BROKER_SETTINGS + limit_key_count);
}

struct setting settings_get(unsigned number)
{
    if (number < BROKER_SETTINGS) {
        struct setting setting = broker_settings[number];
        setting.section = "broker";
        return setting;
    }
    const struct limit_key *limit = &limit_keys[number - BROKER_SETTINGS];
    return (struct setting){.section = "limits",
                            .key = limit->key,
                            .by_default = limit->by_default,
                            .expected = EXPECTED_SIZE,
                            .set = set_limit,
                            .print = print_limit,
                            .limit = limit};
}

int settings_find(const char *section, const char *key)
{
    for (unsigned i = 0; i < settings_count(); i++) {
        struct setting setting = settings_get(i);
        if (strcmp(setting.section, section) == 0 && strcmp(setting.key, key) == 0)
            return (int)i;
    }
    return -1;
}

const char *settings_set(struct config *config, unsigned number, const char *value)
{
    struct setting setting = settings_get(number);
    return setting.set(config, &setting, value) ? NULL : setting.expected;
}

void settings_print(const struct config *config, unsigned number, char text[SETTING_ROOM])
{
    struct setting setting = settings_get(number);
    setting.print(config, &setting, text, SETTING_ROOM);
}
