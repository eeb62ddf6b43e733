/* SPDX-License-Identifier: MIT */
/* sealbufctl admin: what is for administrators of the broker. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "report.h"

static int print(const struct options *options, const struct sealbuf_stats *stats)
{
    if (options->json)
        return output_json(
            stdout, json_pack("{s:o, s:I}", "version", output_text(stats->version), "pid", (json_int_t)stats->pid));
    if (printf("sealbufd %s goes on as process %" PRIu32 "\n", stats->version, stats->pid) < 0)
        return report_output(errno);
    return 0;
}

static int reexec(const struct options *options)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    int r = broker_connect(options, &client);
    if (r)
        return r;
    r = sealbuf_reexec(client);
    if (r == -SEALBUF_ERR_DISCONNECTED)
        return report_broker(client, r, "cannot tell whether the program was executed anew");
    if (r < 0)
        return report_broker(client, r, "the broker's program is not executed anew");
    r = sealbuf_stats(client, &stats);
    if (r < 0)
        return report_broker(client, r, "the program was executed anew, but cannot be asked for its version");
    return print(options, &stats);
}

int command_admin(const struct options *options)
{
    if (strcmp(options->operands[0], "reexec") == 0)
        return reexec(options);
    return report_usage("admin has no '%s'; use: sealbufctl admin reexec", options->operands[0]);
}
