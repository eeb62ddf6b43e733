/* SPDX-License-Identifier: MIT */
/* sealbufctl watch: what happens to names, a line each, or a command for each, as it happens. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "child.h"
#include "command.h"
#include "display.h"
#include "options.h"
#include "output.h"
#include "program.h"
#include "report.h"

struct watch {
    const struct options *options;
    const char *quote, *prefix; /* for reports: '' is no name that anybody would know */
    unsigned told;              /* events of names */
    bool done;
    int status; /* exit status: of the first failure */
};

/* NULL for those that we do not know: these are to be passed over. */
static const char *name_of_kind(uint32_t kind)
{
    static const char *const names[] = {
        [SEALBUF_CHANGE_PRESENT] = "present",   [SEALBUF_CHANGE_PUBLISHED] = "published",
        [SEALBUF_CHANGE_REPLACED] = "replaced", [SEALBUF_CHANGE_REMOVED] = "removed",
        [SEALBUF_CHANGE_EXPIRED] = "expired",   [SEALBUF_CHANGE_EVICTED] = "evicted",
        [SEALBUF_CHANGE_TAKEN] = "taken",       [SEALBUF_CHANGE_OVERFLOW] = "overflow",
        [SEALBUF_CHANGE_SYNC] = "sync",
    };
    return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

static bool is_of_name(uint32_t kind)
{
    return kind != SEALBUF_CHANGE_OVERFLOW && kind != SEALBUF_CHANGE_SYNC;
}

/* Columns as wide as nearly all need: what comes next is not known yet. */
static int print_line(const char *event, const struct sealbuf_info *info)
{
    char size[DISPLAY_SIZE];

    if (!info)
        return printf("%s\n", event) < 0 ? report_output(errno) : 0;
    CLEANUP(cleanup_free)
    char *name = display_harmless(info->name);
    int printed =
        printf("%-9s  %8s  %6" PRIu64 "  %s\n", event, display_bytes(info->size, size), info->generation, name);
    return printed < 0 ? report_output(errno) : 0;
}

static int show(const struct options *options, const char *event, const struct sealbuf_change *change)
{
    const struct sealbuf_info *info = is_of_name(change->kind) ? change->info : NULL;

    /* Standard output is the command's, where there is one. */
    if (options->json)
        return output_json_line(options->each_event ? stderr : stdout, output_change(event, info));
    if (!options->each_event)
        return print_line(event, info);
    if (change->kind == SEALBUF_CHANGE_OVERFLOW)
        report_failure("events were lost, as more has happened than the broker keeps, or as it was started again; what "
                       "is there now follows");
    return 0;
}

static int run_command(const struct options *options, const char *event, const struct sealbuf_change *change)
{
    if (!options->each_event || !is_of_name(change->kind))
        return 0;
    return child_run(options->program, event, change);
}

static void end(struct watch *watch, int status)
{
    watch->done = true;
    watch->status = watch->status ? watch->status : status;
}

static void on_change(sealbuf_client *client, const struct sealbuf_change *change, void *userdata)
{
    struct watch *watch = userdata;
    const struct options *options = watch->options;

    (void)client;
    if (watch->done)
        return;
    if (change->kind == 0) {
        end(watch, report_told(change->sentence, change->error, "cannot watch %s%s%s", watch->quote, watch->prefix,
                               watch->quote));
        return;
    }
    const char *event = name_of_kind(change->kind);
    if (!event)
        return;
    int r = show(options, event, change);
    if (r) {
        end(watch, r);
        return;
    }
    r = run_command(options, event, change);
    if (r)
        watch->status = watch->status ? watch->status : r;
    watch->told += is_of_name(change->kind);
    if ((r && !options->keep_going) || (options->has_count && watch->told >= options->count))
        watch->done = true;
}

/* Lines are there as soon as all that has come is dealt with; whoever reads us may be gone, and nothing may ever come.
 */
static int flush(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    if (fflush(stdout) != 0)
        return report_output(errno);
    return poll(&output, 1, 0) > 0 && output.revents & POLLERR ? STATUS_FAILED : 0;
}

static int run(sealbuf_client *client, struct watch *watch)
{
    while (!watch->done) {
        struct pollfd fds[] = {
            {.fd = sealbuf_fd(client), .events = (short)sealbuf_events(client)},
            {.fd = STDOUT_FILENO}, /* for its POLLERR */
        };
        if (fds[0].fd < 0)
            return report_broker(client, fds[0].fd, "cannot watch %s%s%s", watch->quote, watch->prefix, watch->quote);
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return report_system(errno, "", "cannot watch %s%s%s", watch->quote, watch->prefix, watch->quote);
        int r = sealbuf_dispatch(client);
        if (watch->done)
            break;
        if (r < 0)
            return report_broker(client, r, "cannot watch %s%s%s any more", watch->quote, watch->prefix, watch->quote);
        r = flush();
        if (r)
            return r;
    }
    return watch->status;
}

/* `{}` in its place is found out when it is run. */
static int check_program(const struct options *options)
{
    if (!options->each_event || strstr(options->program[0], "{}"))
        return 0;
    return program_check(options->program[0]);
}

int command_watch(const struct options *options)
{
    const char *prefix = options->operand_count > 0 ? options->operands[0] : "";
    struct watch watch = {
        .options = options,
        .quote = *prefix ? "'" : "",
        .prefix = *prefix ? prefix : "all names",
    };
    struct sealbuf_watch_options wanted = {
        .struct_size = sizeof(wanted),
        .prefix = prefix,
        .owner = options->owner,
        .flags = (options->has_owner ? SEALBUF_GET_OF_OWNER : 0) | (options->exact ? SEALBUF_WATCH_EXACT : 0) |
                 (options->no_snapshot ? SEALBUF_WATCH_NO_SNAPSHOT : 0) |
                 (options->each_event ? SEALBUF_WATCH_DESCRIPTORS : 0) | (options->json ? SEALBUF_WATCH_DETAILS : 0),
    };
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    int r = check_program(options);
    if (!r)
        r = broker_connect(options, &client);
    if (r)
        return r;
    r = sealbuf_watch(client, &wanted, on_change, &watch);
    return r < 0 ? report_broker(client, r, "cannot watch %s%s%s", watch.quote, watch.prefix, watch.quote)
                 : run(client, &watch);
}
