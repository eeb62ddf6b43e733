/* SPDX-License-Identifier: MIT */
/* sealbufctl remove: names are unbound; one that cannot be does not keep the others. */
#include <stdbool.h>

#include "broker.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "report.h"

static int remove_name(sealbuf_client *client, const struct options *options, const char *name, json_t *array)
{
    struct sealbuf_target target = broker_target(options, name);

    int r = sealbuf_remove(client, &target);
    if (r < 0) {
        json_array_append_new(array, output_error(name, r));
        return report_broker(client, r, "cannot remove '%s'", name);
    }
    json_array_append_new(array, json_pack("{s:o, s:b}", "name", output_text(name), "removed", true));
    return 0;
}

int command_remove(const struct options *options)
{
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    int status = broker_connect(options, &client);
    if (status)
        return status;
    for (size_t i = 0; i < options->operand_count; i++) {
        int r = remove_name(client, options, options->operands[i], array);
        status = status ? status : r;
    }
    if (options->json)
        output_json(stdout, json_incref(array));
    return status;
}
