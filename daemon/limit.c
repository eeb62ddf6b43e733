/* SPDX-License-Identifier: MIT */
#include "limit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors for the broker's own work: standard streams, loop, listeners, a batch of 253 on its way in or out. */
#define DESCRIPTOR_RESERVE   384
#define DESCRIPTORS_AT_LEAST 512

#define ALL_KEY(identifier, key, meaning, for_all, for_uid)                                                            \
    {key, offsetof(struct limits, all) + RESOURCE_##identifier * sizeof(uint64_t), meaning " of all uids", for_all},
#define UID_KEY(identifier, key, meaning, for_all, for_uid)                                                            \
    {"uid-" key, offsetof(struct limits, uid) + RESOURCE_##identifier * sizeof(uint64_t), meaning " of one uid",       \
     for_uid},

const struct limit_key limit_keys[] = {
    {"buffer-size", offsetof(struct limits, buffer_size), "bytes in one buffer", "the greatest uid-bytes"},
    COUNTED(ALL_KEY) COUNTED(UID_KEY)};
const size_t limit_key_count = sizeof(limit_keys) / sizeof(limit_keys[0]);

const char *limits_key(enum resource resource)
{
    return limit_keys[1 + resource].key;
}

static int compare_uids(const void *a, const void *b)
{
    const struct uid_limits *x = a, *y = b;
    return (x->uid > y->uid) - (x->uid < y->uid);
}

uint64_t limits_of_uid(const struct limits *limits, uid_t uid, enum resource resource)
{
    if (limits->exception_count) {
        const struct uid_limits key = {.uid = uid}, *found;
        found = bsearch(&key, limits->exceptions, limits->exception_count, sizeof(key), compare_uids);
        if (found && found->uid_limit[resource])
            return found->uid_limit[resource];
    }
    return limits->uid[resource];
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Sets what nobody has set. */
static void settle(uint64_t *limit, uint64_t value)
{
    if (*limit == 0)
        *limit = value ? value : 1;
}

static uint64_t raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return limit.rlim_cur;
}

/* Everything that takes a slot in the table: 0, or -ERANGE with *cause. */
static int settle_descriptors(struct limits *limits, uint64_t table, char *cause, size_t room)
{
    uint64_t usable = table - DESCRIPTOR_RESERVE;

    settle(&limits->all[RESOURCE_QUEUED], least(4096, usable / 8));
    settle(&limits->all[RESOURCE_CONNECTIONS], least(16384, usable / 4));
    settle(&limits->all[RESOURCE_IN_FLIGHT], table / 4 * 3); /* the kernel's is the table, for all processes of a uid */
    uint64_t queued = limits->all[RESOURCE_QUEUED], connections = limits->all[RESOURCE_CONNECTIONS];
    uint64_t left = queued < usable && connections < usable - queued ? usable - queued - connections : 0;
    if (limits->all[RESOURCE_IN_FLIGHT] > table) {
        snprintf(
            cause, room,
            "the limit in-flight=%llu is more than the kernel allows a user, which is RLIMIT_NOFILE %llu; lower it, or "
            "raise that (LimitNOFILE=, ulimit -n)",
            (unsigned long long)limits->all[RESOURCE_IN_FLIGHT], (unsigned long long)table);
        return -ERANGE;
    }
    if (left)
        settle(&limits->all[RESOURCE_BUFFERS], left);
    if (left && limits->all[RESOURCE_BUFFERS] <= left)
        return 0;
    snprintf(cause, room,
             "the limits connections=%llu, buffers=%llu and queued-descriptors=%llu need more descriptors than "
             "RLIMIT_NOFILE %llu leaves them (%llu); lower them, or raise it (LimitNOFILE=, ulimit -n)",
             (unsigned long long)connections, (unsigned long long)limits->all[RESOURCE_BUFFERS],
             (unsigned long long)queued, (unsigned long long)table, (unsigned long long)usable);
    return -ERANGE;
}

/* Of what the service manager keeps for the broker some is for the ledger, for canaries (store.h), and spare. */
#define STORE_RESERVE 16
#define STORE_OWN     2
#define STORE_USUAL   4000

/* Before systemd 254, nobody says how much that is: then what is too much is found out when it is sent. */
static int settle_store(struct limits *limits, char *cause, size_t room)
{
    const char *text = getenv("FDSTORE");
    char *end;
    unsigned long long most = text ? strtoull(text, &end, 10) : 0;

    if (!text || end == text || *end != '\0') {
        settle(&limits->all[RESOURCE_STORED], STORE_USUAL);
        return 0;
    }
    settle(&limits->all[RESOURCE_STORED], most > STORE_RESERVE ? most - STORE_RESERVE : 0);
    if (limits->all[RESOURCE_STORED] <= most - STORE_OWN || most <= STORE_OWN)
        return 0;
    snprintf(cause, room,
             "the limit stored=%llu is more than the service manager keeps for this service, which is %llu with the "
             "broker's own; lower it, or raise FileDescriptorStoreMax=%llu",
             (unsigned long long)limits->all[RESOURCE_STORED], most - STORE_OWN, most);
    return -ERANGE;
}

static uint64_t greatest_uid_bytes(const struct limits *limits)
{
    uint64_t greatest = limits->uid[RESOURCE_BYTES];

    for (size_t i = 0; i < limits->exception_count; i++)
        if (limits->exceptions[i].uid_limit[RESOURCE_BYTES] > greatest)
            greatest = limits->exceptions[i].uid_limit[RESOURCE_BYTES];
    return greatest;
}

/* Memory is no descriptor: sparse buffers cost nothing, and whoever touches a page pays for it. A start, not a law. */
static void settle_memory(struct limits *limits)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    settle(&limits->all[RESOURCE_BYTES], memory * 2);
    settle(&limits->uid[RESOURCE_BYTES], limits->all[RESOURCE_BYTES] / 2);
    settle(&limits->buffer_size, greatest_uid_bytes(limits));
    settle(&limits->all[RESOURCE_METADATA], least(memory / 64, 256u << 20));
}

int limits_settle(struct limits *limits, char *cause, size_t room)
{
    uint64_t table = raise_descriptor_limit();

    if (table < DESCRIPTORS_AT_LEAST) {
        snprintf(cause, room,
                 "RLIMIT_NOFILE is %llu, but sealbufd needs %d at least; raise it (LimitNOFILE=, ulimit -n)",
                 (unsigned long long)table, DESCRIPTORS_AT_LEAST);
        return -ERANGE;
    }
    int r = settle_descriptors(limits, table, cause, room);
    if (r < 0)
        return r;
    r = settle_store(limits, cause, room);
    if (r < 0)
        return r;
    settle_memory(limits);
    settle(&limits->all[RESOURCE_NAMES], limits->all[RESOURCE_BUFFERS] * 4);
    settle(&limits->all[RESOURCE_TOKENS], limits->all[RESOURCE_BUFFERS]);
    settle(&limits->all[RESOURCE_REQUESTS], 4096);
    settle(&limits->all[RESOURCE_REPLIES], 4096);
    settle(&limits->all[RESOURCE_WAITS], 65536);
    settle(&limits->all[RESOURCE_WATCHES], 16384);
    for (unsigned i = 0; i < COUNTED_RESOURCES; i++) {
        assert(limits->all[i]); /* each resource has its default above */
        settle(&limits->uid[i], limits->all[i]);
    }
    return 0;
}
