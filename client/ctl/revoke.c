/* SPDX-License-Identifier: MIT */
/* sealbufctl revoke: a token, or all tokens of buffers, become worthless. */
#include <stdbool.h>
#include <stdio.h>

#include "broker.h"
#include "command.h"
#include "each.h"
#include "options.h"
#include "output.h"
#include "report.h"

static int revoke_token(const struct options *options)
{
    struct sealbuf_revoke_options revoke = {.struct_size = sizeof(revoke), .token = options->token};
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    int r = broker_connect(options, &client);
    if (r)
        return r;
    r = sealbuf_revoke(client, &revoke);
    json_t *object = r < 0 ? output_error(NULL, r) : json_pack("{s:b}", "revoked", true);
    if (r < 0)
        r = report_broker(client, r, "cannot revoke the token");
    CLEANUP(json_decrefp)
    json_t *array = json_pack("[o]", object);
    int printed = options->json ? output_json(stdout, json_incref(array)) : 0;
    return r ? r : printed;
}

static int revoke_name(sealbuf_client *client, const struct options *options, const char *name, json_t **object)
{
    struct sealbuf_revoke_options revoke = {
        .struct_size = sizeof(revoke),
        .name = name,
        .owner = options->owner,
        .flags = options->has_owner ? SEALBUF_GET_OF_OWNER : 0,
    };
    int r = sealbuf_revoke(client, &revoke);

    if (r == 0)
        *object = json_pack("{s:o, s:b}", "name", output_text(name), "revoked", true);
    return r;
}

int command_revoke(const struct options *options)
{
    return options->has_token ? revoke_token(options) : each_name(options, "revoke the tokens of", revoke_name);
}
