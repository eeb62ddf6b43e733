/* SPDX-License-Identifier: MIT */
#include "combination.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "command.h"
#include "options.h"
#include "report.h"

size_t combination_most(const struct options *options)
{
    if (options->command->bit == FOR_PUT && !options->atomic)
        return 2;
    if (options->command->bit == FOR_GET && !options->output_dir)
        return 1;
    return options->command->most;
}

static bool is_standard_input(const char *file)
{
    return strcmp(file, "-") == 0 || strcmp(file, "/dev/stdin") == 0;
}

/* What is read to its end is at its end: a second one would get nothing, and be published as that. */
static int check_files(const struct options *options)
{
    const char *reader = NULL;

    for (size_t i = 0; i < options->operand_count; i++) {
        const char *operand = options->operands[i], *equals = strchr(operand, '=');
        if (!equals || equals == operand || equals[1] == '\0')
            return report_usage("--atomic: '%s' is not NAME=FILE; use: sealbufctl put --atomic NAME=FILE...", operand);
        if (!is_standard_input(equals + 1))
            continue;
        if (reader)
            return report_usage("--atomic: standard input can be read only once; give '%s' or '%s' another FILE",
                                reader, operand);
        reader = operand;
    }
    return 0;
}

static int check_put(const struct options *options)
{
    if (options->is_volatile && options->or_volatile)
        return report_usage("--volatile and --or-volatile exclude each other; give one of them");
    if (options->has_group && !(options->mode & 060))
        return report_usage("--group: mode %04o gives a group nothing; give --mode 0640, for example", options->mode);
    if (options->take && options->keep > 0)
        return report_usage("--take and --keep exclude each other: what is handed over has no former generations");
    return options->atomic ? check_files(options) : 0;
}

/* One message has so many records. */
static int check_batch(const struct options *options)
{
    if (!options->atomic)
        return 0;
    if (options->operand_count > SEALBUF_MAX_RECORDS)
        return report_usage("--atomic: these are %zu NAMEs; %u is the most that can be dealt with in one step",
                            options->operand_count, SEALBUF_MAX_RECORDS);
    if (options->command->bit == FOR_GET && !options->output_dir)
        return report_usage("--atomic: give --output-dir, for the files");
    if (options->wait || options->has_newer_than || options->first)
        return report_usage("--atomic is for names as they are now: leave out --wait, --newer-than and --first");
    return 0;
}

/* Generations count the bindings of one name. */
static int check_generations(const struct options *options)
{
    bool several = options->operand_count > 1;

    if (options->generation && (options->has_newer_than || options->wait))
        return report_usage("--generation is one that there is: leave out --newer-than and --wait");
    if (options->first && (options->has_newer_than || options->generation))
        return report_usage("--first is of a prefix, and only a name has generations: leave out --newer-than and "
                            "--generation, or --first");
    if (options->wait && options->no_wait)
        return report_usage("--wait and --no-wait contradict each other; leave one of them out");
    if (several && (options->has_newer_than || options->generation || options->first))
        return report_usage("with --generation, --newer-than or --first, give one NAME: leave out '%s'",
                            options->operands[1]);
    if (options->command->bit != FOR_REMOVE || !options->compare)
        return 0;
    if (options->if_generation == 0)
        return report_usage("--if-generation: a name that is bound has a generation from 1 on, as stat shows it");
    return several ? report_usage("with --if-generation, give one NAME: leave out '%s'", options->operands[1]) : 0;
}

static int check_get(const struct options *options)
{
    if (options->output && options->output_dir)
        return report_usage("--output and --output-dir contradict each other; leave one of them out");
    if (!options->has_token)
        return 0;
    if (options->wait || options->has_newer_than || options->generation || options->first || options->atomic ||
        options->output_dir)
        return report_usage("a token has no name: leave out --wait, --newer-than, --generation, --first, --atomic and "
                            "--output-dir");
    return 0;
}

static int check_touch(const struct options *options)
{
    if (options->no_expire && options->expire_ms)
        return report_usage("--expire and --no-expire contradict each other; leave one of them out");
    if (!options->no_expire && !options->expire_ms)
        return report_usage("touch needs --expire DURATION, such as 30s, or --no-expire");
    return 0;
}

static int check_watch(const struct options *options)
{
    if (options->keep_going && !options->each_event)
        return report_usage("--keep-going is for --exec; leave it out");
    if (options->each_event && !*options->program)
        return report_usage("--exec needs a command behind it; use: sealbufctl watch PREFIX --exec COMMAND {}");
    if (options->exact && (options->operand_count == 0 || *options->operands[0] == '\0'))
        return report_usage("--exact needs a NAME; use: sealbufctl watch --exact NAME");
    return 0;
}

int combination_check(const struct options *options)
{
    if (options->all && options->has_owner)
        return report_usage("--all and --owner contradict each other; leave one of them out");
    int r = options->command->bit == FOR_PUT     ? check_put(options)
            : options->command->bit == FOR_TOUCH ? check_touch(options)
            : options->command->bit == FOR_WATCH ? check_watch(options)
                                                 : check_get(options);
    if (!r)
        r = check_batch(options);
    return r ? r : check_generations(options);
}
