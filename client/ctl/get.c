/* SPDX-License-Identifier: MIT */
/* sealbufctl get: a buffer's content goes to standard output, or to a file. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "sink.h"
#include "transfer.h"

/*
 * A file gets a copy, a pipe or socket gets the buffer's own pages: what is changed in these before the other side has
 * read them, it reads changed. So there, only what cannot change goes without a copy.
 */
static enum transfer_way way_to(int fd, const sealbuf_buffer *buffer)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return TRANSFER_SENDFILE;
    return sealbuf_buffer_has_seals(buffer, SEALBUF_SEALS_IMMUTABLE) == 1 ? TRANSFER_SENDFILE : TRANSFER_COPY;
}

static int empty(const sealbuf_buffer *buffer, const struct sink *sink, const char *name)
{
    struct transfer transfer = {
        .way = way_to(sink->fd, buffer),
        .from = sealbuf_buffer_fd(buffer),
        .to = sink->fd,
    };

    int r = sealbuf_buffer_size(buffer, &transfer.size);
    if (r < 0)
        return report_broker(NULL, r, "cannot examine '%s'", name);
    r = transfer_run(&transfer);
    /* Whoever reads us has seen enough, and knows it; head(1) is no news. */
    if (r == -EPIPE && transfer.failed_writing)
        return STATUS_FAILED;
    if (r < 0 && transfer.failed_writing)
        return report_system(-r, "free space, or write to another place", "cannot write '%s' to %s", name, sink->name);
    if (r < 0)
        return report_system(-r, "ask its producer", "cannot read '%s'", name);
    if (transfer.done < transfer.size)
        return report_failure("cannot get '%s': it shrank while it was copied, after %" PRIu64 " of %" PRIu64
                              " bytes; require the shrink seal, and have its producer add it",
                              name, transfer.done, transfer.size);
    return 0;
}

int command_get(const struct options *options)
{
    const char *name = broker_name(options, 0);
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(cleanup_buffer)
    sealbuf_buffer *buffer = NULL;
    CLEANUP(sink_close)
    struct sink sink = {.fd = -1};

    /* The sink first: a buffer that one takes by getting it must not be lost because there is no place for it. */
    int r = broker_connect(options, &client);
    if (!r)
        r = sink_open(&sink, options->output);
    if (!r)
        r = broker_get(client, options, 0, &buffer);
    if (!r)
        r = empty(buffer, &sink, name);
    if (!r)
        r = sink_commit(&sink);
    if (r || !options->json)
        return r;
    /* Where standard output is the content's, it is nothing else's. */
    bool content_on_stdout = sink.fd == STDOUT_FILENO;
    return output_json(content_on_stdout ? stderr : stdout, output_details(sealbuf_buffer_info(buffer)));
}
