/* SPDX-License-Identifier: MIT */
/* sealbufctl stats: one's own account with the broker; for administrators, everybody's, and the sums. */
#include <inttypes.h>
#include <stddef.h>

#include "broker.h"
#include "command.h"
#include "display.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "table.h"

/* What is counted: its name for people, as in the configuration; its key in JSON; where it is in an account. */
static const struct resource {
    const char *name, *key;
    size_t held, limit;
    bool in_bytes;
} resources[] = {
#define RESOURCE(name, member, in_bytes)                                                                               \
    {                                                                                                                  \
        name, #member, offsetof(struct sealbuf_account, member), offsetof(struct sealbuf_account, member##_limit),     \
            in_bytes                                                                                                   \
    }
    RESOURCE("bytes", bytes, true),
    RESOURCE("buffers", buffers, false),
    RESOURCE("names", names, false),
    RESOURCE("metadata", metadata, true),
    RESOURCE("tokens", tokens, false),
    RESOURCE("connections", connections, false),
    RESOURCE("requests", requests, false),
    RESOURCE("replies", replies, false),
    RESOURCE("queued-descriptors", queued_descriptors, false),
    RESOURCE("in-flight", in_flight, false),
    RESOURCE("stored", stored, false),
    RESOURCE("waits", waits, false),
    RESOURCE("watches", watches, false),
#undef RESOURCE
};
#define RESOURCES (sizeof(resources) / sizeof(resources[0]))

static uint64_t amount_at(const struct sealbuf_account *account, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)account + offset);
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

static void add_amount(struct table *table, uint64_t amount, bool bytes)
{
    char text[DISPLAY_SIZE];

    if (amount == UINT64_MAX)
        table_add(table, "none");
    else if (bytes)
        table_add(table, "%s", display_bytes(amount, text));
    else
        table_add(table, "%" PRIu64, amount);
}

static void add_broker(struct table *table, const struct sealbuf_stats *stats)
{
    char text[DISPLAY_SIZE];

    table_add(table, "Broker:");
    table_add(table, "sealbufd %s, process %u, up %s", stats->version, stats->pid,
              display_duration(stats->uptime_ns, text));
    table_add(table, "Largest buffer:");
    add_amount(table, stats->buffer_size_limit, true);
}

/* A row for each resource. */
static int add_own(const struct sealbuf_account *account, void *userdata)
{
    struct table *table = userdata;

    table_add(table, "%s", "");
    table_add(table, "HELD");
    table_add(table, "LIMIT");
    for (const struct resource *resource = resources; resource < resources + RESOURCES; resource++) {
        table_add(table, "%s", resource->name);
        add_amount(table, amount_at(account, resource->held), resource->in_bytes);
        add_amount(table, amount_at(account, resource->limit), resource->in_bytes);
    }
    return 0;
}

static int print_own(sealbuf_client *client, const struct sealbuf_stats *stats)
{
    CLEANUP(table_free)
    struct table head = {.alignment = "ll"};
    CLEANUP(table_free)
    struct table account = {.alignment = "lrr"};
    char user[DISPLAY_SIZE];

    int r = sealbuf_accounts(client, NULL, add_own, &account);
    if (r < 0)
        return report_broker(client, r, "cannot get your account");
    add_broker(&head, stats);
    table_add(&head, "You:");
    table_add(&head, "%s (%u)", display_user(stats->uid, user), stats->uid);
    r = table_print(&head);
    putchar('\n');
    return r ? r : table_print(&account);
}

static void add_all_of(struct table *table, const char *who, const struct sealbuf_account *account, bool limits)
{
    table_add(table, "%s", who);
    for (const struct resource *resource = resources; resource < resources + RESOURCES; resource++)
        add_amount(table, amount_at(account, limits ? resource->limit : resource->held), resource->in_bytes);
}

/* A row for each user; at the end the sums, and what is allowed in all. No user's name has parentheses. */
static int add_user(const struct sealbuf_account *account, void *userdata)
{
    struct table *table = userdata;
    char user[DISPLAY_SIZE];

    if (account->uid == SEALBUF_ALL_UIDS) {
        add_all_of(table, "(all)", account, false);
        add_all_of(table, "(limit)", account, true);
    } else {
        add_all_of(table, display_user(account->uid, user), account, false);
    }
    return 0;
}

static int print_all(sealbuf_client *client, const struct sealbuf_stats *stats)
{
    static const struct sealbuf_accounts_options all = {.struct_size = sizeof(all), .flags = SEALBUF_ACCOUNTS_ALL};
    CLEANUP(table_free)
    struct table head = {.alignment = "ll"};
    CLEANUP(table_free)
    struct table users = {.alignment = "lrrrrrrrrrrrrr"};

    _Static_assert(RESOURCES == 13, "a column for each resource, and one for the user");
    table_add(&users, "user");
    for (const struct resource *resource = resources; resource < resources + RESOURCES; resource++)
        table_add(&users, "%s", resource->name);
    int r = sealbuf_accounts(client, &all, add_user, &users);
    if (r < 0)
        return report_broker(client, r, "cannot get all accounts");
    add_broker(&head, stats);
    table_add(&head, "Requests:");
    table_add(&head, "%" PRIu64 ", %" PRIu64 " refused, %" PRIu64 " peers disconnected", stats->requests,
              stats->refused, stats->disconnects);
    table_add(&head, "Pending:");
    table_add(&head, "%" PRIu64 " jobs", stats->jobs);
    r = table_print(&head);
    putchar('\n');
    return r ? r : table_print(&users);
}

/* ---- For programs ------------------------------------------------------------------------------------------------ */

static json_t *amounts(uint64_t used, uint64_t limit)
{
    return json_pack("{s:o, s:o}", "used", output_number(used), "limit", output_number(limit));
}

static json_t *describe_account(const struct sealbuf_account *account)
{
    char user[DISPLAY_SIZE];
    json_t *object = json_object();

    if (account->uid != SEALBUF_ALL_UIDS) {
        json_object_set_new(object, "uid", json_integer(account->uid));
        json_object_set_new(object, "user_name", output_text(display_user(account->uid, user)));
    }
    for (const struct resource *resource = resources; resource < resources + RESOURCES; resource++)
        json_object_set_new(object, resource->key,
                            amounts(amount_at(account, resource->held), amount_at(account, resource->limit)));
    return object;
}

static json_t *describe_broker(const struct sealbuf_stats *stats)
{
    json_t *object = json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", output_text(stats->version),
                               "pid", (json_int_t)stats->pid, "uptime_ns", output_number(stats->uptime_ns), "requests",
                               output_number(stats->requests), "refused", output_number(stats->refused), "disconnects",
                               output_number(stats->disconnects), "jobs", output_number(stats->jobs),
                               "queued_descriptors", output_number(stats->queued_descriptors), "buffer_size_limit",
                               output_number(stats->buffer_size_limit));

    json_object_set_new(object, "buffers", amounts(stats->buffers, stats->buffers_limit));
    json_object_set_new(object, "bytes", amounts(stats->bytes, stats->bytes_limit));
    json_object_set_new(object, "names", amounts(stats->names, stats->names_limit));
    json_object_set_new(object, "connections", amounts(stats->connections, stats->connections_limit));
    return object;
}

static int set_own(const struct sealbuf_account *account, void *userdata)
{
    json_object_set_new(userdata, "user", describe_account(account));
    return 0;
}

static int append_user(const struct sealbuf_account *account, void *userdata)
{
    if (account->uid == SEALBUF_ALL_UIDS)
        json_object_set_new(userdata, "all", describe_account(account));
    else
        json_array_append_new(json_object_get(userdata, "users"), describe_account(account));
    return 0;
}

static int print_json(sealbuf_client *client, const struct sealbuf_stats *stats, bool all)
{
    struct sealbuf_accounts_options everybody = {.struct_size = sizeof(everybody), .flags = SEALBUF_ACCOUNTS_ALL};
    CLEANUP(json_decrefp)
    json_t *object = describe_broker(stats);

    int r = sealbuf_accounts(client, NULL, set_own, object);
    if (r == 0 && all) {
        json_object_set_new(object, "users", json_array());
        r = sealbuf_accounts(client, &everybody, append_user, object);
    }
    if (r < 0)
        return report_broker(client, r, all ? "cannot get all accounts" : "cannot get your account");
    return output_json(stdout, json_incref(object));
}

int command_stats(const struct options *options)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};
    CLEANUP(cleanup_client)
    sealbuf_client *client = NULL;

    int r = broker_connect(options, &client);
    if (r)
        return r;
    r = sealbuf_stats(client, &stats);
    if (r < 0)
        return report_broker(client, r, "cannot get the broker's figures");
    if (options->json)
        return print_json(client, &stats, options->all);
    return options->all ? print_all(client, &stats) : print_own(client, &stats);
}
