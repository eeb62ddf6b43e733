/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <config-build.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"

enum option_id { OPT_READY_FD = 256, OPT_IDLE_EXIT, OPT_SOCKET_MODE, OPT_LOG_LEVEL, OPT_LIMIT, OPT_NO_SANDBOX };

static const struct option options[] = {
    {"socket", required_argument, NULL, 's'},
    {"socket-mode", required_argument, NULL, OPT_SOCKET_MODE},
    {"ready-fd", required_argument, NULL, OPT_READY_FD},
    {"idle-exit", required_argument, NULL, OPT_IDLE_EXIT},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"no-sandbox", no_argument, NULL, OPT_NO_SANDBOX},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char *const level_names[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

static void print_help(void)
{
    printf(
        "Usage: sealbufd [OPTION]...\n"
        "Broker for sealed shared memory: creates memfds, applies their seals, hands them from process to process.\n\n"
        "  -s, --socket PATH         listen on this socket\n"
        "                            default: sockets from the service manager, else $XDG_RUNTIME_DIR/sealbuf/socket,\n"
        "                            as root /run/sealbuf/socket\n"
        "      --socket-mode MODE    permission bits of that socket (default: 0666 as root, else 0600)\n"
        "      --ready-fd N          write a newline to descriptor N, and close it, once clients can connect\n"
        "      --idle-exit DURATION  exit when there was no client and no buffer for so long: 500ms, 30s, 5min, 1h\n"
        "      --limit KEY=VALUE     set a limit (K, M, G, T are powers of 1024); see below\n"
        "      --log-level LEVEL     emerg, alert, crit, err, warning, notice, info (default) or debug\n"
        "      --no-sandbox          keep capabilities, and do without the broker's own filter of system calls\n"
        "  -h, --help                show this and exit\n"
        "  -V, --version             show the version and exit\n\n"
        "Limits:\n");
    for (size_t i = 0; i < limit_key_count; i++)
        printf("  %-22s %s\n", limit_keys[i].key, limit_keys[i].meaning);
    printf("\nSee sealbufd(8).\n");
}

/* A whole number with an optional unit out of a table; false where the text is something else or too large. */
struct unit {
    const char *name;
    uint64_t factor;
};

static bool parse_scaled(const char *text, const struct unit *units, uint64_t *value)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno)
        return false;
    for (; units->name; units++)
        if (strcmp(end, units->name) == 0)
            return !__builtin_mul_overflow((uint64_t)number, units->factor, value);
    return false;
}

static bool parse_size(const char *text, uint64_t *value)
{
    static const struct unit units[] = {{"", 1},           {"K", 1ULL << 10}, {"M", 1ULL << 20},
                                        {"G", 1ULL << 30}, {"T", 1ULL << 40}, {NULL, 0}};
    return parse_scaled(text, units, value);
}

static bool parse_duration_ms(const char *text, uint64_t *value)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
    /* A day beyond which a timer makes no sense, and no sum of times overflows. */
    return parse_scaled(text, units, value) && *value > 0 && *value <= 365ULL * 24 * 3600 * 1000;
}

static bool parse_limit(struct limits *limits, const char *text)
{
    const char *equals = strchr(text, '=');

    if (!equals)
        return false;
    for (size_t i = 0; i < limit_key_count; i++) {
        size_t length = strlen(limit_keys[i].key);
        if (length != (size_t)(equals - text) || memcmp(text, limit_keys[i].key, length) != 0)
            continue;
        uint64_t *value = limit_at(limits, &limit_keys[i]);
        return parse_size(equals + 1, value) && *value > 0 && *value <= INT64_MAX;
    }
    return false;
}

static bool parse_level(const char *text, int *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (strcmp(text, level_names[i]) == 0) {
            *level = (int)i;
            return true;
        }
    return false;
}

static bool parse_number(const char *text, int base, unsigned long greatest, unsigned long *value)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoul(text, &end, base);
    return !errno && *end == '\0' && *value <= greatest;
}

/* NULL, or what was expected of the option's argument. */
static const char *apply_option(struct config *config, int option, const char *argument)
{
    unsigned long number;

    switch (option) {
    case 's':
        config->socket_path = argument;
        return argument[0] ? NULL : "a path";
    case OPT_SOCKET_MODE:
        if (!parse_number(argument, 8, 0777, &number))
            return "an octal mode such as 0660";
        config->socket_mode = (mode_t)number;
        config->socket_mode_set = true;
        return NULL;
    case OPT_READY_FD:
        if (!parse_number(argument, 10, INT32_MAX, &number))
            return "the number of an open descriptor";
        config->ready_fd = (int)number;
        return NULL;
    case OPT_IDLE_EXIT:
        return parse_duration_ms(argument, &config->idle_exit_ms) ? NULL : "a duration such as 30s or 5min";
    case OPT_LIMIT:
        return parse_limit(&config->limits, argument) ? NULL : "KEY=VALUE with a key and a value as --help shows";
    case OPT_NO_SANDBOX:
        config->sandbox = false;
        return NULL;
    default: /* OPT_LOG_LEVEL */
        return parse_level(argument, &config->log_level) ? NULL : "a level as --help shows";
    }
}

static const char *option_name(int option)
{
    for (const struct option *o = options; o->name; o++)
        if (o->val == option)
            return o->name;
    return "";
}

enum config_outcome config_parse(struct config *config, int argc, char **argv)
{
    int option;

    *config = (struct config){.ready_fd = -1, .log_level = LOG_INFO, .sandbox = true};
    while ((option = getopt_long(argc, argv, "s:hV", options, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return CONFIG_DONE;
        }
        if (option == 'V') {
            printf("sealbufd %s\n", PACKAGE_VERSION);
            return CONFIG_DONE;
        }
        if (option == '?') { /* getopt has said what is wrong */
            fprintf(stderr, "Try 'sealbufd --help'.\n");
            return CONFIG_WRONG;
        }
        const char *expected = apply_option(config, option, optarg);
        if (expected) {
            fprintf(stderr, "sealbufd: --%s '%s': expected %s\n", option_name(option), optarg, expected);
            return CONFIG_WRONG;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "sealbufd: unexpected argument '%s'; try 'sealbufd --help'\n", argv[optind]);
        return CONFIG_WRONG;
    }
    return CONFIG_RUN;
}
