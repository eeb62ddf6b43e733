/* SPDX-License-Identifier: MIT */
/* sealbufctl exec: a command inherits buffers' descriptors, and finds their paths in its arguments. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "program.h"
#include "report.h"

#define NO_NAME SIZE_MAX

/*
 * Which NAME a `{...}` at text stands for, and how long it is; NO_NAME where it is nothing of ours. `{}` is the only
 * NAME, and the first of several: those were refused before.
 */
static size_t placeholder(const struct options *options, const char *text, size_t *length)
{
    *length = 2;
    if (strncmp(text, "{}", 2) == 0)
        return 0;
    for (size_t i = 0; i < options->operand_count; i++) {
        size_t name_length = strlen(options->operands[i]);
        *length = name_length + 2;
        if (text[0] == '{' && strncmp(text + 1, options->operands[i], name_length) == 0 && text[name_length + 1] == '}')
            return i;
    }
    return NO_NAME;
}

/* With several NAMEs, `{}` would be a guess. */
static int check_placeholders(const struct options *options)
{
    if (broker_count(options) == 1)
        return 0;
    for (char **argument = options->program; *argument; argument++)
        if (strstr(*argument, "{}"))
            return report_usage("'%s': with several NAMEs, {} could be any of them; write {%s}, for example", *argument,
                                options->operands[0]);
    return 0;
}

static char *substitute(const struct options *options, const char *argument, const int *fds)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        report_out_of_memory();
    while (*argument) {
        size_t length, name = placeholder(options, argument, &length);
        if (name == NO_NAME) {
            fputc(*argument++, stream);
            continue;
        }
        fprintf(stream, "/proc/self/fd/%d", fds[name]);
        argument += length;
    }
    if (fclose(stream) != 0)
        report_out_of_memory();
    return text;
}

/* Which name, and which of its buffers, it is: not known before where one asks for the first, or the next one. */
static void tell_name(const struct options *options, const struct sealbuf_info *info)
{
    char generation[24];

    if (broker_count(options) > 1 || !info->name[0])
        return;
    snprintf(generation, sizeof(generation), "%" PRIu64, info->generation);
    if (setenv("SEALBUF_NAME", info->name, 1) < 0 || setenv("SEALBUF_GENERATION", generation, 1) < 0)
        report_out_of_memory();
}

static int inherit(sealbuf_client *client, const struct options *options, size_t i, json_t *array, int *fd)
{
    CLEANUP(cleanup_buffer)
    sealbuf_buffer *buffer = NULL;

    int r = broker_get(client, options, broker_name(options, i), &buffer);
    if (r)
        return r;
    json_t *object = output_details(sealbuf_buffer_info(buffer));
    tell_name(options, sealbuf_buffer_info(buffer));
    *fd = sealbuf_buffer_take_fd(take_pointer(buffer));
    if (fcntl(*fd, F_SETFD, 0) < 0)
        return report_system(errno, "", "cannot hand '%s' on", broker_name(options, i));
    json_object_set_new(object, "fd", json_integer(*fd));
    json_array_append_new(array, object);
    return 0;
}

static int inherit_all(const struct options *options, int *fds)
{
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    int r = broker_connect(options, &client);
    for (size_t i = 0; i < broker_count(options) && !r; i++)
        r = inherit(client, options, i, array, &fds[i]);
    /* Standard output is the command's. */
    return r || !options->json ? r : output_json(stderr, json_incref(array));
}

/* Before anything is got: a buffer that one takes by getting it must not be lost because of a misspelt command. */
static int check_program(const struct options *options)
{
    const char *program = options->program[0];
    size_t length;

    for (const char *text = program; *text; text++)
        if (placeholder(options, text, &length) != NO_NAME)
            return 0;
    return program_check(program);
}

int command_exec(const struct options *options)
{
    size_t count = 0;

    int r = check_placeholders(options);
    if (!r)
        r = check_program(options);
    if (r)
        return r;
    while (options->program[count])
        count++;
    assert(count > 0); /* or options_parse would have refused it */
    CLEANUP(cleanup_free)
    int *fds = calloc(broker_count(options), sizeof(*fds));
    CLEANUP(cleanup_free)
    char **arguments = calloc(count + 1, sizeof(*arguments));
    if (!fds || !arguments)
        report_out_of_memory();
    r = inherit_all(options, fds);
    if (r)
        return r;
    for (size_t i = 0; i < count; i++)
        arguments[i] = substitute(options, options->program[i], fds);
    r = program_run(arguments);
    for (size_t i = 0; i < count; i++)
        free(arguments[i]);
    return r;
}
