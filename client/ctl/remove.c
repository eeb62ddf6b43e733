/* SPDX-License-Identifier: MIT */
/* sealbufctl remove: names are unbound. */
#include <stdbool.h>

#include "broker.h"
#include "command.h"
#include "each.h"
#include "options.h"
#include "output.h"

static int remove_name(sealbuf_client *client, const struct options *options, const char *name, json_t **object)
{
    struct sealbuf_target target = broker_target(options, name);
    int r = sealbuf_remove(client, &target);

    if (r == 0)
        *object = json_pack("{s:o, s:b}", "name", output_text(name), "removed", true);
    return r;
}

int command_remove(const struct options *options)
{
    return each_name(options, "remove", remove_name);
}
