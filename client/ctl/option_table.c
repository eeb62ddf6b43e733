/* SPDX-License-Identifier: MIT */
#include "option_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "options.h"
#include "report.h"
#include "values.h"

static int take_socket(struct options *options, const char *value)
{
    if (*value == '\0')
        return report_usage("--socket: the path is empty; give the path of the broker's socket");
    options->socket = value;
    return 0;
}

static int take_json(struct options *options, const char *value)
{
    (void)value;
    options->json = true;
    return 0;
}

static int take_seals(struct options *options, const char *value)
{
    return value_seals("--seals", value, &options->seals);
}

static int take_mode(struct options *options, const char *value)
{
    return value_mode("--mode", value, &options->mode);
}

static int take_label(struct options *options, const char *value)
{
    options->label = value;
    return 0;
}

static int take_meta(struct options *options, const char *value)
{
    int r = value_metadata("--meta", value);
    if (r)
        return r;
    const char **grown = realloc(options->metadata, (options->metadata_count + 2) * sizeof(*grown));
    if (!grown)
        report_out_of_memory();
    options->metadata = grown;
    options->metadata[options->metadata_count++] = value;
    options->metadata[options->metadata_count] = NULL;
    return 0;
}

static int take_replace(struct options *options, const char *value)
{
    (void)value;
    options->replace = true;
    return 0;
}

static int take_output(struct options *options, const char *value)
{
    if (*value == '\0')
        return report_usage("--output: the name is empty; give the name of a file, or - for standard output");
    options->output = value;
    return 0;
}

static int take_owner(struct options *options, const char *value)
{
    options->has_owner = true;
    return value_owner("--owner", value, &options->owner);
}

static int take_require(struct options *options, const char *value)
{
    return value_seals("--require", value, &options->require);
}

static int take_all(struct options *options, const char *value)
{
    (void)value;
    options->all = true;
    return 0;
}

static int take_count(struct options *options, const char *value)
{
    options->has_count = true;
    return value_count("--count", value, &options->count);
}

static int take_group(struct options *options, const char *value)
{
    options->has_group = true;
    return value_group("--group", value, &options->group);
}

static int take_take(struct options *options, const char *value)
{
    (void)value;
    options->take = true;
    return 0;
}

static int take_volatile(struct options *options, const char *value)
{
    (void)value;
    options->is_volatile = true;
    return 0;
}

static int take_or_volatile(struct options *options, const char *value)
{
    (void)value;
    options->or_volatile = true;
    return 0;
}

static int take_uses(struct options *options, const char *value)
{
    return value_uses("--uses", value, &options->uses);
}

static int take_expire(struct options *options, const char *value)
{
    return value_duration("--expire", value, &options->expire_ms);
}

static int take_writable(struct options *options, const char *value)
{
    (void)value;
    options->writable = true;
    return 0;
}

static int take_token(struct options *options, const char *value)
{
    options->has_token = true;
    return value_token("--token", value, options->token);
}

/* It is read when all else is known to be right. */
static int take_token_file(struct options *options, const char *value)
{
    options->has_token = true;
    options->token_file = value;
    return 0;
}

static int take_keep(struct options *options, const char *value)
{
    return value_keep("--keep", value, &options->keep);
}

static int take_if_generation(struct options *options, const char *value)
{
    options->compare = true;
    return value_generation("--if-generation", value, 0, &options->if_generation);
}

static int take_wait(struct options *options, const char *value)
{
    options->wait = true;
    return value ? value_duration("--wait", value, &options->wait_ms) : 0;
}

static int take_newer_than(struct options *options, const char *value)
{
    options->has_newer_than = true;
    return value_generation("--newer-than", value, 0, &options->newer_than);
}

static int take_generation(struct options *options, const char *value)
{
    return value_generation("--generation", value, 1, &options->generation);
}

static int take_output_dir(struct options *options, const char *value)
{
    if (*value == '\0')
        return report_usage("--output-dir: the name is empty; give the name of a directory");
    options->output_dir = value;
    return 0;
}

static int take_no_expire(struct options *options, const char *value)
{
    (void)value;
    options->no_expire = true;
    return 0;
}

static int take_evictable(struct options *options, const char *value)
{
    (void)value;
    options->evictable = true;
    return 0;
}

static int take_atomic(struct options *options, const char *value)
{
    (void)value;
    options->atomic = true;
    return 0;
}

static int take_no_wait(struct options *options, const char *value)
{
    (void)value;
    options->no_wait = true;
    return 0;
}

static int take_first(struct options *options, const char *value)
{
    (void)value;
    options->first = true;
    return 0;
}

static int take_exact(struct options *options, const char *value)
{
    (void)value;
    options->exact = true;
    return 0;
}

static int take_no_snapshot(struct options *options, const char *value)
{
    (void)value;
    options->no_snapshot = true;
    return 0;
}

static int take_details(struct options *options, const char *value)
{
    (void)value;
    options->details = true;
    return 0;
}

static int take_exec(struct options *options, const char *value)
{
    (void)value;
    options->each_event = true;
    return 0;
}

static int take_keep_going(struct options *options, const char *value)
{
    (void)value;
    options->keep_going = true;
    return 0;
}

static int take_help(struct options *options, const char *value)
{
    (void)value;
    options->help = true;
    return 0;
}

static int take_version(struct options *options, const char *value)
{
    (void)value;
    options->version = true;
    return 0;
}

static const struct option_row rows[OPTION_ROWS] = {
    {"seals", "LIST", FOR_PUT, 0, "the seals that it gets [immutable]", take_seals},
    {"mode", "MODE", FOR_PUT, 0, "who may get it: permission bits in octal [0600]", take_mode},
    {"label", "TEXT", FOR_PUT, 0, "what /proc shows; anybody can read it", take_label},
    {"meta", "KEY=VALUE", FOR_PUT, 0, "metadata; may be repeated", take_meta},
    {"group", "GROUP", FOR_PUT, 0, "whose the middle digit of --mode is: a name or gid [yours]", take_group},
    {"replace", NULL, FOR_PUT, 0, "take the name over from the buffer that has it", take_replace},
    {"take", NULL, FOR_PUT | FOR_SHARE, 0, "who gets it takes it: it is gone from the broker", take_take},
    {"volatile", NULL, FOR_PUT, 0, "it need not survive the broker", take_volatile},
    {"or-volatile", NULL, FOR_PUT, 0, "it is to survive, but where there is no room need not", take_or_volatile},
    {"if-generation", "N", FOR_PUT | FOR_REMOVE, 0, "only if the name is at this generation; put: 0 if it is not bound",
     take_if_generation},
    {"keep", "N", FOR_PUT, 0, "so many former generations can still be got [0]", take_keep},
    {"evictable", NULL, FOR_PUT, 0, "it may go, least recently used first, where a limit is met", take_evictable},
    {"atomic", NULL, FOR_PUT | FOR_GET | FOR_REMOVE, 0, "all of the names in one step, or none", take_atomic},
    {"uses", "N", FOR_SHARE, 0, "how often the token can be redeemed [any number of times]", take_uses},
    {"expire", "DURATION", FOR_SHARE | FOR_PUT | FOR_TOUCH, 0, "for how long it is good, such as 30s, 5min or 2h",
     take_expire},
    {"no-expire", NULL, FOR_TOUCH, 0, "it is there until it is removed", take_no_expire},
    {"writable", NULL, FOR_SHARE, 0, "it is good for writing, too", take_writable},
    {"token", "TOKEN", FOR_GET | FOR_EXEC | FOR_REVOKE, 0, "a token in place of NAME; everybody sees it in ps(1)",
     take_token},
    {"token-file", "FILE", FOR_GET | FOR_EXEC | FOR_REVOKE, 0, "the file that has the token; - is standard input",
     take_token_file},
    {"wait", "[=DURATION]", FOR_GET | FOR_EXEC, 0, "until it is there, for so long at most [for ever]", take_wait},
    {"newer-than", "N", FOR_GET | FOR_EXEC, 0, "a generation above this one; waits for it", take_newer_than},
    {"no-wait", NULL, FOR_GET | FOR_EXEC, 0, "with --newer-than: not if there is none yet", take_no_wait},
    {"generation", "N", FOR_GET | FOR_EXEC | FOR_STAT, 0, "this one, current or kept [the current one]",
     take_generation},
    {"first", NULL, FOR_GET | FOR_EXEC, 0, "NAME is a prefix: the first name that there is under it", take_first},
    {"exact", NULL, FOR_WATCH, 0, "PREFIX is a name: nothing but that", take_exact},
    {"no-snapshot", NULL, FOR_WATCH, 0, "not what is there, only what happens from now on", take_no_snapshot},
    {"exec", NULL, FOR_WATCH, 0, "run a command for each event; all that follows is the command", take_exec},
    {"keep-going", NULL, FOR_WATCH, 0, "with --exec: also when a command has failed", take_keep_going},
    {"output-dir", "DIR", FOR_GET, 0, "write each NAME to a file of this name in DIR", take_output_dir},
    {"output", "FILE", FOR_GET, 'o', "write to this file, all of it or nothing", take_output},
    {"owner", "USER",
     FOR_GET | FOR_EXEC | FOR_LIST | FOR_STAT | FOR_WATCH | FOR_TOUCH | FOR_REMOVE | FOR_SHARE | FOR_REVOKE, 0,
     "whose name it is: a user's name or uid [yourself]", take_owner},
    {"require", "LIST", FOR_GET | FOR_EXEC, 0, "the seals that it must have [immutable]", take_require},
    {"all", NULL, FOR_LIST | FOR_STATS, 0, "the names, or accounts, of all users, as far as you may", take_all},
    {"details", NULL, FOR_LIST, 0, "with the metadata", take_details},
    {"count", "N", FOR_PING | FOR_WATCH, 0, "round trips [1], or events after which it ends [never]", take_count},
    {"socket", "PATH", FOR_ALL, 's', "where the broker listens [$SEALBUF_SOCKET, or its usual places]", take_socket},
    {"json", NULL, FOR_ALL, 0, "print JSON", take_json},
    {"help", NULL, FOR_ALL, 'h', "print this, and exit", take_help},
    {"version", NULL, FOR_ALL, 'V', "print the version, and exit", take_version},
};

const struct option_row *option_row_at(size_t n)
{
    return n < OPTION_ROWS ? &rows[n] : NULL;
}

/* "get, exec: ", or nothing where all commands take it. */
static void print_commands(const struct option_row *row)
{
    const struct command *command;
    const char *separator = "";

    if (row->commands == FOR_ALL)
        return;
    for (size_t i = 0; (command = command_at(i)); i++)
        if (row->commands & command->bit) {
            printf("%s%s", separator, command->name);
            separator = ", ";
        }
    printf(": ");
}

void options_print(const struct command *command)
{
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = &rows[i];
        char text[40], letter[] = "    ";
        if (command && !(row->commands & command->bit))
            continue;
        if (row->letter)
            snprintf(letter, sizeof(letter), "-%c, ", row->letter);
        const char *argument = row->argument ? row->argument : "";
        snprintf(text, sizeof(text), "%s--%s%s%s", letter, row->name, *argument && *argument != '[' ? " " : "",
                 argument);
        printf("  %-21s  ", text);
        if (!command)
            print_commands(row);
        printf("%s\n", row->help);
    }
}
