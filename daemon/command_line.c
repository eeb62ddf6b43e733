/* SPDX-License-Identifier: MIT */
#include "command_line.h"

#include <config-build.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_places.h"
#include "settings.h"
#include "values.h"

enum option_id {
    OPT_READY_FD = 256,
    OPT_CONFIG,
    OPT_CHECK_CONFIG,
    OPT_LIMIT,
    OPT_NO_SANDBOX,
    OPT_SETTING, /* those that are called as their key in [broker] is */
};

static const struct option options[] = {
    {"socket", required_argument, NULL, 's'},
    {"socket-mode", required_argument, NULL, OPT_SETTING},
    {"ready-fd", required_argument, NULL, OPT_READY_FD},
    {"idle-exit", required_argument, NULL, OPT_SETTING},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"log-level", required_argument, NULL, OPT_SETTING},
    {"no-sandbox", no_argument, NULL, OPT_NO_SANDBOX},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"check-config", no_argument, NULL, OPT_CHECK_CONFIG},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void print_places(void)
{
    char *folder;

    printf("\nConfiguration: the first sealbufd.conf, and all sealbufd.conf.d/*.conf, of\n");
    for (unsigned n = 0; (folder = config_places_folder(n)); n++) {
        printf("  %s\n", folder);
        free(folder);
    }
}

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
        "      --no-sandbox          run without the sandbox that the broker puts itself into\n"
        "      --config FILE         read this configuration, and FILE.d/*.conf, instead of those below\n"
        "      --check-config        print the configuration as the broker would use it, or what is wrong, and exit\n"
        "  -h, --help                show this and exit\n"
        "  -V, --version             show the version and exit\n\n"
        "Limits:\n");
    for (size_t i = 0; i < limit_key_count; i++)
        printf("  %-22s %s\n", limit_keys[i].key, limit_keys[i].meaning);
    print_places();
    printf("\nWhat is set here overrides what is set there. See sealbufd(8) and sealbufd.conf(5).\n");
}

static void override(struct command_line *line, int setting, const char *value)
{
    line->overrides[line->override_count++] = (struct override){.setting = (unsigned)setting, .value = value};
}

/* NULL, or what was expected: of a value that is set, and not taken back, as an empty one in a file is. */
static const char *set(struct command_line *line, struct config *scratch, int setting, const char *value)
{
    if (!value[0])
        return settings_get((unsigned)setting).expected;
    override(line, setting, value);
    return settings_set(scratch, (unsigned)setting, value);
}

static const char *set_limit(struct command_line *line, struct config *scratch, const char *text)
{
    const char *equals = strchr(text, '=');
    char key[64];

    if (!equals || (size_t)(equals - text) >= sizeof(key))
        return "KEY=VALUE with a key as --help shows";
    memcpy(key, text, (size_t)(equals - text));
    key[equals - text] = '\0';
    int setting = settings_find("limits", key);
    return setting < 0 ? "KEY=VALUE with a key as --help shows" : set(line, scratch, setting, equals + 1);
}

static const char *apply(struct command_line *line, struct config *scratch, int option, const char *name,
                         const char *argument)
{
    unsigned long number;

    switch (option) {
    case OPT_READY_FD:
        if (!value_number(argument, 10, INT32_MAX, &number))
            return "the number of an open descriptor";
        line->ready_fd = (int)number;
        return NULL;
    case OPT_CONFIG:
        line->config_file = argument;
        return argument[0] ? NULL : "a file";
    case OPT_CHECK_CONFIG:
        line->check_config = true;
        return NULL;
    case OPT_NO_SANDBOX:
        override(line, settings_find("broker", "sandbox"), "no");
        return NULL;
    case OPT_LIMIT:
        return set_limit(line, scratch, argument);
    default:
        return set(line, scratch, settings_find("broker", name), argument);
    }
}

static enum command_line_outcome parse(struct command_line *line, struct config *scratch, int argc, char **argv)
{
    int option, which = 0;

    while ((option = getopt_long(argc, argv, "s:hV", options, &which)) != -1) {
        if (option == 'h') {
            print_help();
            return COMMAND_DONE;
        }
        if (option == 'V') {
            printf("sealbufd %s\n", PACKAGE_VERSION);
            return COMMAND_DONE;
        }
        if (option == '?') { /* getopt has said what is wrong */
            fprintf(stderr, "Try 'sealbufd --help'.\n");
            return COMMAND_WRONG;
        }
        const char *name = option == 's' ? "socket" : options[which].name; /* a short option sets no index */
        const char *expected = apply(line, scratch, option, name, optarg);
        if (expected) {
            fprintf(stderr, "sealbufd: --%s '%s': expected %s\n", name, optarg, expected);
            return COMMAND_WRONG;
        }
    }
    if (optind == argc)
        return COMMAND_RUN;
    fprintf(stderr, "sealbufd: unexpected argument '%s'; try 'sealbufd --help'\n", argv[optind]);
    return COMMAND_WRONG;
}

enum command_line_outcome command_line_parse(struct command_line *line, int argc, char **argv)
{
    struct config scratch;

    *line = (struct command_line){.argv = argv, .ready_fd = -1};
    line->overrides = calloc((size_t)argc + 1, sizeof(*line->overrides));
    if (!line->overrides) {
        perror("sealbufd");
        return COMMAND_WRONG;
    }
    config_init(&scratch);
    enum command_line_outcome outcome = parse(line, &scratch, argc, argv);
    config_release(&scratch);
    return outcome;
}

void command_line_free(struct command_line *line)
{
    free(line->overrides);
    *line = (struct command_line){0};
}
