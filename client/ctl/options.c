/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <sealbuf.h>

#include "combination.h"
#include "command.h"
#include "option_table.h"
#include "report.h"
#include "values.h"

/* What getopt_long(3) returns for row i: out of the way of letters and of its own 1, '?' and ':'. */
#define ROW_VALUE 1000

/* The row's number, OPTION_ROWS where there is none. */
static size_t row_of(int value)
{
    const struct option_row *row;
    size_t i;

    for (i = 0; (row = option_row_at(i)); i++)
        if (value == ROW_VALUE + (int)i || (row->letter && value == row->letter))
            break;
    return i;
}

/*
 * getopt_long's tables, made from ours. The `-` keeps operands and options in their order, and so tells where the
 * operands ended and exec's command begins; the `:` leaves it to us to say what is wrong.
 */
static void make_tables(struct option long_options[OPTION_ROWS + 1], char letters[2 * OPTION_ROWS + 3])
{
    char *letter = stpcpy(letters, "-:");
    const struct option_row *row;

    memset(long_options, 0, (OPTION_ROWS + 1) * sizeof(long_options[0]));
    for (size_t i = 0; (row = option_row_at(i)); i++) {
        long_options[i].name = row->name;
        long_options[i].has_arg = !row->argument          ? no_argument
                                  : *row->argument == '[' ? optional_argument
                                                          : required_argument;
        long_options[i].val = ROW_VALUE + (int)i;
        if (!row->letter)
            continue;
        *letter++ = row->letter;
        if (row->argument)
            *letter++ = ':';
    }
    *letter = '\0';
}

static int refuse_option(int result, const char *argument)
{
    const struct option_row *row = option_row_at(row_of(optopt));

    if (result == ':' && row)
        return report_usage("--%s needs an argument, %s; see 'sealbufctl --help'", row->name, row->argument);
    if (row)
        return report_usage("--%s takes no argument; leave out the '=' and what is behind it", row->name);
    if (optopt)
        return report_usage("there is no option '-%c'; see 'sealbufctl --help'", optopt);
    return report_usage("there is no option '%s', or there are several that begin so; see 'sealbufctl --help'",
                        argument);
}

/*
 * What may be left out must follow a '=': a NAME behind it may be meant as the argument. Where it looks like one, we do
 * not guess; in front of the option, or behind `--`, it is a NAME without doubt.
 */
static int check_operand(const char *operand, size_t previous)
{
    const struct option_row *row = option_row_at(previous);

    if (!row || !row->argument || *row->argument != '[' || !value_is_duration(operand))
        return 0;
    return report_usage("--%s: '%s' behind it is a NAME, not its argument; write --%s=%s, or the NAME before --%s",
                        row->name, operand, row->name, operand, row->name);
}

/* Fills operands, the command's name first; the bits of `given` say which rows were there. */
static int scan(struct options *options, int argc, char **argv, uint64_t *given)
{
    struct option long_options[OPTION_ROWS + 1];
    char letters[2 * OPTION_ROWS + 3];
    size_t bare = OPTION_ROWS; /* the option just before, where it came without its argument */
    int result;

    make_tables(long_options, letters);
    opterr = 0;
    while ((result = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        if (result == 1) {
            int r = check_operand(optarg, bare);
            if (r)
                return r;
            options->operands[options->operand_count++] = optarg;
            bare = OPTION_ROWS;
            continue;
        }
        size_t row = row_of(result);
        if (row == OPTION_ROWS)
            return refuse_option(result, argv[optind - 1]);
        int r = option_row_at(row)->take(options, optarg);
        if (r)
            return r;
        *given |= UINT64_C(1) << row;
        bare = optarg ? OPTION_ROWS : row;
        if (options->each_event)
            break;
    }
    if (options->each_event && optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    if (options->each_event || (optind <= argc && strcmp(argv[optind - 1], "--") == 0))
        options->program = argv + optind;
    return 0;
}

static int find_command(struct options *options)
{
    if (options->operand_count == 0)
        return options->help || options->version
                   ? 0
                   : report_usage("a command is missing: %s; see 'sealbufctl --help'", command_names);
    options->command = command_find(options->operands[0]);
    if (!options->command)
        return report_usage("there is no command '%s'; give one of %s", options->operands[0], command_names);
    options->operand_count--;
    memmove(options->operands, options->operands + 1, options->operand_count * sizeof(char *));
    return 0;
}

/*
 * `--` separates exec's command from its NAMEs. Elsewhere, and where exec has none before it, it only says that no
 * option follows; exec's NAMEs then end at another one.
 */
static void join_operands(struct options *options)
{
    bool exec = options->command->bit == FOR_EXEC;

    if (!options->program || options->each_event || (exec && (options->operand_count > 0 || options->has_token)))
        return;
    while (*options->program && !(exec && strcmp(*options->program, "--") == 0))
        options->operands[options->operand_count++] = *options->program++;
    options->program = *options->program ? options->program + 1 : NULL;
}

/* A token is in place of all NAMEs. */
static int check_token(const struct options *options)
{
    if (options->operand_count > 0)
        return report_usage("a token says which buffer is meant; leave out '%s'", options->operands[0]);
    if (options->token[0] && options->token_file)
        return report_usage("--token and --token-file contradict each other; leave one of them out");
    if (options->has_owner)
        return report_usage("--owner says whose name is meant, and a token has no name; leave one of them out");
    return 0;
}

static int check_operands(const struct options *options)
{
    const struct command *command = options->command;

    int r = options->has_token ? check_token(options) : 0;
    if (r)
        return r;
    if (options->operand_count < command->least && !options->has_token)
        return report_usage("%s needs a NAME; use: sealbufctl %s %s", command->name, command->name, command->synopsis);
    if (options->operand_count > combination_most(options))
        return report_usage("%s does not take '%s'; use: sealbufctl %s%s%s", command->name,
                            options->operands[combination_most(options)], command->name, *command->synopsis ? " " : "",
                            command->synopsis);
    for (size_t i = 0; i < options->operand_count; i++)
        if (*options->operands[i] == '\0' && !(command->bit & (FOR_LIST | FOR_WATCH)))
            return report_usage("the NAME '' is empty; use: sealbufctl %s %s", command->name, command->synopsis);
    if (command->bit == FOR_EXEC && (!options->program || !*options->program))
        return report_usage("exec needs a command behind '--'; use: sealbufctl exec %s", command->synopsis);
    return 0;
}

static int check_options(const struct options *options, uint64_t given)
{
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)); i++)
        if ((given & UINT64_C(1) << i) && !(row->commands & options->command->bit))
            return report_usage("%s takes no --%s; see 'sealbufctl %s --help'", options->command->name, row->name,
                                options->command->name);
    return 0;
}

int options_parse(struct options *options, int argc, char **argv)
{
    uint64_t given = 0;

    *options = (struct options){
        .seals = SEALBUF_SEALS_IMMUTABLE,
        .require = SEALBUF_SEALS_IMMUTABLE,
        .mode = 0600,
        .count = 1,
    };
    options->operands = calloc((size_t)argc + 1, sizeof(char *));
    if (!options->operands)
        report_out_of_memory();
    int r = scan(options, argc, argv, &given);
    if (!r)
        r = find_command(options);
    if (r || options->help || options->version)
        return r;
    join_operands(options);
    r = check_options(options, given);
    if (!r)
        r = check_operands(options);
    if (!r)
        r = combination_check(options);
    if (!r && options->token_file)
        r = value_token_file("--token-file", options->token_file, options->token);
    return r;
}

void options_free(struct options *options)
{
    free(options->operands);
    free(options->metadata);
    explicit_bzero(options->token, sizeof(options->token));
}
