/* SPDX-License-Identifier: MIT */
/* sealbufctl get: a buffer's content goes to standard output, or to a file; or that of many, to a directory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "command.h"
#include "display.h"
#include "each.h"
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

/* ---- One --------------------------------------------------------------------------------------------------------- */

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

/* Which one it was, where the prefix does not say it. Standard output may be the content's, and is nothing else's then.
 */
static int print_first(FILE *stream, const struct sealbuf_info *info)
{
    CLEANUP(cleanup_free)
    char *name = display_harmless(info->name);

    return fprintf(stream, "%s\n", name) < 0 ? report_output(errno) : 0;
}

static int get_one(const struct options *options)
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
        r = broker_get(client, options, name, &buffer);
    if (!r)
        r = empty(buffer, &sink, name);
    if (!r)
        r = sink_commit(&sink);
    FILE *stream = sink.fd == STDOUT_FILENO ? stderr : stdout;
    if (!r && options->json)
        return output_json(stream, output_details(sealbuf_buffer_info(buffer)));
    return r || !options->first ? r : print_first(stream, sealbuf_buffer_info(buffer));
}

/* ---- Many, into a directory -------------------------------------------------------------------------------------- */

/* The directories that the name goes through; no part of a name is `..`, so all of them are below ours. */
static int make_parents(char *path, size_t directory)
{
    for (char *slash = path + directory; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        int r = mkdir(path, 0777), error = errno;
        *slash = '/';
        if (r < 0 && error != EEXIST)
            return report_system(error, "give --output-dir a directory that you may write to",
                                 "cannot make the directories for '%s'", path);
    }
    return 0;
}

static int store(const struct options *options, const sealbuf_buffer *buffer)
{
    const char *name = sealbuf_buffer_info(buffer)->name;
    CLEANUP(cleanup_free)
    char *path = NULL;
    CLEANUP(sink_close)
    struct sink sink = {.fd = -1};

    if (asprintf(&path, "%s/%s", options->output_dir, name) < 0)
        report_out_of_memory();
    int r = make_parents(path, strlen(options->output_dir));
    if (!r)
        r = sink_open(&sink, path);
    if (!r)
        r = empty(buffer, &sink, name);
    return r ? r : sink_commit(&sink);
}

static int get_and_store(sealbuf_client *client, const struct options *options, const char *name, json_t **object)
{
    CLEANUP(cleanup_buffer)
    sealbuf_buffer *buffer = NULL;

    struct sealbuf_get_options get = broker_get_options(options, name);
    int r = sealbuf_get(client, &buffer, &get);
    if (r < 0) {
        *object = output_error(name, r);
        return broker_report_get(client, options, r, name);
    }
    r = store(options, buffer);
    if (r) {
        *object = output_error(name, -EIO);
        return r;
    }
    *object = output_details(sealbuf_buffer_info(buffer));
    return options->first && !options->json ? print_first(stdout, sealbuf_buffer_info(buffer)) : 0;
}

static int store_all(const struct options *options, sealbuf_buffer **buffers)
{
    CLEANUP(json_decrefp)
    json_t *array = json_array();

    for (size_t i = 0; i < options->operand_count; i++) {
        int r = store(options, buffers[i]);
        if (r)
            return r;
        json_array_append_new(array, output_details(sealbuf_buffer_info(buffers[i])));
    }
    return options->json ? output_json(stdout, json_incref(array)) : 0;
}

static int get_batch(const struct options *options)
{
    size_t count = options->operand_count;
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;
    CLEANUP(cleanup_free)
    struct sealbuf_get_options *gets = calloc(count, sizeof(*gets));
    CLEANUP(cleanup_free)
    sealbuf_buffer **buffers = calloc(count, sizeof(sealbuf_buffer *));

    if (!gets || !buffers)
        report_out_of_memory();
    for (size_t i = 0; i < count; i++)
        gets[i] = broker_get_options(options, options->operands[i]);
    int status = broker_connect(options, &client);
    if (status)
        return status;
    int r = sealbuf_get_many(client, buffers, NULL, gets, count);
    status = r < 0 ? broker_report_batch(client, r, "get", options->operands, count) : store_all(options, buffers);
    for (size_t i = 0; i < count; i++)
        sealbuf_buffer_free(buffers[i]);
    return status;
}

/* Before anything is got, as with one. It is made where it is missing, but nothing above it: that is more likely a
 * slip. */
static int prepare_directory(const char *path)
{
    struct stat st;

    int r = mkdir(path, 0777);
    if (r < 0 && errno != EEXIST)
        return report_system(errno, "give --output-dir a directory that there is, or a new one in one that there is",
                             "cannot make '%s'", path);
    r = stat(path, &st);
    if (r == 0 && !S_ISDIR(st.st_mode)) {
        r = -1;
        errno = ENOTDIR;
    }
    if (r == 0)
        r = faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS);
    if (r < 0)
        return report_system(errno, "give --output-dir a directory that you may write to", "cannot write to '%s'",
                             path);
    return 0;
}

static int get_many(const struct options *options)
{
    int r = prepare_directory(options->output_dir);

    if (r)
        return r;
    return options->atomic ? get_batch(options) : each_name(options, "get", get_and_store);
}

int command_get(const struct options *options)
{
    return options->output_dir ? get_many(options) : get_one(options);
}
