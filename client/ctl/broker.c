/* SPDX-License-Identifier: MIT */
#include "broker.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "report.h"

/* Whatever the reason is: without a connection the broker is not to be reached, and that is what a script acts on. */
static int report_connect(const struct options *options, int error, const char *sentence)
{
    const char *address = options->socket ? options->socket : getenv("SEALBUF_SOCKET");
    const char *quote = address ? "'" : "";

    if (!address)
        address = "$XDG_RUNTIME_DIR/sealbuf/socket or /run/sealbuf/socket";
    if (error == -ENAMETOOLONG)
        report_failure("cannot connect to %s%s%s: it is empty or too long; a socket's path has 1 to 107 bytes", quote,
                       address, quote);
    else if (-error < SEALBUF_ERR_FIRST)
        report_system(error, "give --socket the path of a broker's socket that you may use", "cannot connect to %s%s%s",
                      quote, address, quote);
    else
        report_failure("cannot connect to %s%s%s: %s", quote, address, quote, sentence);
    return STATUS_UNREACHABLE;
}

/* Somebody at a terminal wants to know why nothing happens; a script hears of it if it does not come back. */
static void on_event(sealbuf_client *client, const struct sealbuf_event *event, void *userdata)
{
    (void)userdata;
    if (!isatty(STDERR_FILENO))
        return;
    if (event->kind == SEALBUF_EVENT_DISCONNECTED)
        report_failure("the broker at '%s' has gone; waiting for it to come back", sealbuf_address(client));
    else if (event->kind == SEALBUF_EVENT_RECONNECTED)
        report_failure("it is back; going on");
}

int broker_connect(const struct options *options, sealbuf_client **client)
{
    char sentence[SEALBUF_MAX_TEXT + 1] = "";
    struct sealbuf_connect_options connect = {.struct_size = sizeof(connect),
                                              .address = options->socket,
                                              .sentence = sentence,
                                              .sentence_size = sizeof(sentence)};

    int r = sealbuf_connect(client, &connect);
    if (r < 0)
        return report_connect(options, r, sentence);
    sealbuf_on_event(*client, on_event, NULL);
    return 0;
}

size_t broker_count(const struct options *options)
{
    return options->has_token ? 1 : options->operand_count;
}

const char *broker_name(const struct options *options, size_t i)
{
    return options->has_token ? "the shared buffer" : options->operands[i];
}

/* Who asks for a newer one wants it, not the news that there is none yet. */
static bool waits(const struct options *options)
{
    return options->wait || (options->has_newer_than && !options->no_wait);
}

struct sealbuf_get_options broker_get_options(const struct options *options, const char *name)
{
    return (struct sealbuf_get_options){
        .struct_size = sizeof(struct sealbuf_get_options),
        .name = options->has_token ? NULL : name,
        .token = options->has_token ? options->token : NULL,
        .owner = options->owner,
        .seals = options->require,
        .flags = SEALBUF_GET_DETAILS | (options->has_owner ? SEALBUF_GET_OF_OWNER : 0) |
                 (waits(options) ? SEALBUF_GET_WAIT : 0) | (options->first ? SEALBUF_GET_FIRST : 0) |
                 (options->atomic ? SEALBUF_GET_ATOMIC : 0),
        .generation = options->generation,
        .newer_than = options->newer_than,
        .wait_ms = options->wait_ms,
    };
}

int broker_report_get(const sealbuf_client *client, const struct options *options, int error, const char *name)
{
    int status = report_broker(client, error, "cannot get '%s'", name);

    return error == -SEALBUF_ERR_TIMED_OUT && waits(options) ? STATUS_TIMED_OUT : status;
}

int broker_get(sealbuf_client *client, const struct options *options, const char *name, sealbuf_buffer **buffer)
{
    struct sealbuf_get_options get = broker_get_options(options, name);

    int r = sealbuf_get(client, buffer, &get);
    return r < 0 ? broker_report_get(client, options, r, name) : 0;
}

/* The broker says "record 3: ...", where 3 is the fourth. */
size_t broker_culprit(const sealbuf_client *client, size_t count, const char **sentence)
{
    static const char start[] = "record ";

    *sentence = sealbuf_error(client);
    if (strncmp(*sentence, start, strlen(start)) != 0)
        return count;
    char *end;
    size_t record = strtoul(*sentence + strlen(start), &end, 10);
    if (strncmp(end, ": ", 2) != 0 || record >= count)
        return count;
    *sentence = end + 2;
    return record;
}

int broker_report_batch(const sealbuf_client *client, int error, const char *what, char *const *names, size_t count)
{
    const char *sentence;
    size_t culprit = broker_culprit(client, count, &sentence);

    if (culprit == count)
        return report_told(sentence, error, "cannot %s these, and so none of them", what);
    return report_told(sentence, error, "cannot %s '%s', and so none of them", what, names[culprit]);
}

struct sealbuf_target broker_target(const struct options *options, const char *name)
{
    return (struct sealbuf_target){
        .struct_size = sizeof(struct sealbuf_target),
        .name = name,
        .owner = options->owner,
        .flags = options->has_owner ? SEALBUF_GET_OF_OWNER : 0,
        .generation = options->generation,
    };
}
