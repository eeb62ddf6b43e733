/* SPDX-License-Identifier: MIT */
#include "each.h"

#include "broker.h"
#include "options.h"
#include "output.h"
#include "report.h"

int each_name(const struct options *options, const char *what, each_fn *fn)
{
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    int status = broker_connect(options, &client);
    if (status)
        return status;
    for (size_t i = 0; i < options->operand_count; i++) {
        const char *name = options->operands[i];
        json_t *object = NULL;
        int r = fn(client, options, name, &object);
        if (r < 0) {
            object = output_error(name, r);
            r = report_broker(client, r, "cannot %s '%s'", what, name);
        }
        json_array_append_new(array, object);
        status = status ? status : r;
    }
    if (options->json)
        output_json(stdout, json_incref(array));
    return status;
}
