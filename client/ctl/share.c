/* SPDX-License-Identifier: MIT */
/* sealbufctl share: a token for a buffer, alone on a line. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "report.h"

/* null where there is no limit, as with the broker's. */
static json_t *limit(uint64_t number)
{
    return number ? output_number(number) : json_null();
}

static int print_json(const struct options *options, const char *token)
{
    return output_json(stdout,
                       json_pack("{s:o, s:s, s:o, s:o, s:b, s:b}", "name", output_text(options->operands[0]), "token",
                                 token, "uses", limit(options->uses), "expire_ms", limit(options->expire_ms),
                                 "writable", options->writable, "take", options->take));
}

int command_share(const struct options *options)
{
    const char *name = options->operands[0];
    struct sealbuf_share_options share = {
        .struct_size = sizeof(share),
        .name = name,
        .owner = options->owner,
        .uses = options->uses,
        .expire_ms = options->expire_ms,
        .flags = (options->has_owner ? SEALBUF_GET_OF_OWNER : 0) | (options->writable ? SEALBUF_SHARE_WRITABLE : 0) |
                 (options->take ? SEALBUF_SHARE_TAKE : 0),
    };
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    char token[SEALBUF_TOKEN_TEXT];

    int r = broker_connect(options, &client);
    if (r)
        return r;
    r = sealbuf_share(client, &share, token);
    if (r < 0)
        return report_broker(client, r, "cannot share '%s'", name);
    if (options->json)
        r = print_json(options, token);
    else
        puts(token); /* main sees to it that it has arrived */
    explicit_bzero(token, sizeof(token));
    return r;
}
