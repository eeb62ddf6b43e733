/* SPDX-License-Identifier: MIT */
/* sealbufctl touch: the leases of names begin anew, or end. */
#include "broker.h"
#include "command.h"
#include "each.h"
#include "options.h"
#include "output.h"

static int touch_name(sealbuf_client *client, const struct options *options, const char *name, json_t **object)
{
    struct sealbuf_target target = broker_target(options, name);
    int r = sealbuf_touch(client, &target, options->expire_ms);

    if (r == 0)
        *object = json_pack("{s:o, s:o}", "name", output_text(name), "expire_ms",
                            options->expire_ms ? output_number(options->expire_ms) : json_null());
    return r;
}

int command_touch(const struct options *options)
{
    return each_name(options, "touch", touch_name);
}
