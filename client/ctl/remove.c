/* SPDX-License-Identifier: MIT */
/* sealbufctl remove: names are unbound, each for itself or all in one step. */
#include <stdbool.h>
#include <stdlib.h>

#include "broker.h"
#include "command.h"
#include "each.h"
#include "options.h"
#include "output.h"
#include "report.h"

static struct sealbuf_target target_of(const struct options *options, const char *name)
{
    struct sealbuf_target target = broker_target(options, name);

    target.generation = options->if_generation;
    target.flags |= options->atomic ? SEALBUF_REMOVE_ATOMIC : 0;
    return target;
}

static json_t *describe(const char *name, bool removed)
{
    return json_pack("{s:o, s:b}", "name", output_text(name), "removed", removed);
}

static int remove_name(sealbuf_client *client, const struct options *options, const char *name, json_t **object)
{
    struct sealbuf_target target = target_of(options, name);
    int r = sealbuf_remove(client, &target);

    if (r == 0)
        *object = describe(name, true);
    return r;
}

/* Who is to blame has an error; where nobody knows who it is, all have it. */
static json_t *describe_all(const sealbuf_client *client, const struct options *options, int error)
{
    const size_t count = options->operand_count;
    const char *sentence;
    size_t culprit = broker_culprit(client, count, &sentence);
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        const char *name = options->operands[i];
        bool blamed = error < 0 && (culprit == i || culprit == count);
        json_array_append_new(array, blamed ? output_error(name, error) : describe(name, error == 0));
    }
    return array;
}

static int remove_all(sealbuf_client *client, const struct options *options)
{
    const size_t count = options->operand_count;
    CLEANUP(cleanup_free)
    struct sealbuf_target *targets = calloc(count, sizeof(*targets));

    if (!targets)
        report_out_of_memory();
    for (size_t i = 0; i < count; i++)
        targets[i] = target_of(options, options->operands[i]);
    int r = sealbuf_remove_many(client, NULL, targets, count);
    int status = r < 0 ? broker_report_batch(client, r, "remove", options->operands, count) : 0;
    int printed = options->json ? output_json(stdout, describe_all(client, options, r < 0 ? r : 0)) : 0;
    return status ? status : printed;
}

int command_remove(const struct options *options)
{
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    if (!options->atomic)
        return each_name(options, "remove", remove_name);
    int r = broker_connect(options, &client);
    return r ? r : remove_all(client, options);
}
