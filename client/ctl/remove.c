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

static json_t *describe(const char *name)
{
    return json_pack("{s:o, s:b}", "name", output_text(name), "removed", true);
}

static int remove_name(sealbuf_client *client, const struct options *options, const char *name, json_t **object)
{
    struct sealbuf_target target = target_of(options, name);
    int r = sealbuf_remove(client, &target);

    if (r == 0)
        *object = describe(name);
    return r;
}

static int remove_all(sealbuf_client *client, const struct options *options)
{
    CLEANUP(cleanup_free)
    struct sealbuf_target *targets = calloc(options->operand_count, sizeof(*targets));
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    if (!targets)
        report_out_of_memory();
    for (size_t i = 0; i < options->operand_count; i++) {
        targets[i] = target_of(options, options->operands[i]);
        json_array_append_new(array, describe(options->operands[i]));
    }
    int r = sealbuf_remove_many(client, NULL, targets, options->operand_count);
    if (r < 0)
        return report_broker(client, r, "cannot remove these, and so none of them");
    return options->json ? output_json(stdout, json_incref(array)) : 0;
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
