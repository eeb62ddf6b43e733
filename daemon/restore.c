/* SPDX-License-Identifier: MIT */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "cleanup.h"
#include "clock.h"
#include "evictable.h"
#include "log.h"
#include "message_id.h"
#include "notify.h"
#include "seals.h"
#include "store.h"

/* Of what is dropped, each gets a line; behind these only their sum does. */
#define LINES_AT_MOST 20u
/* After so many buffers the service manager hears that there is still something to do. */
#define BUFFERS_A_NOTICE 1024u
/* So far an id is from all that were seen where nobody knows which was the last one. */
#define FAR ((uint64_t)1 << 40)

/* That is not worth a line. */
static const char token_has_expired[] = "it has expired";

/* A descriptor that is called like a buffer's. */
struct kept {
    uint64_t id;
    int fd;           /* -1: used */
    uint64_t used_by; /* the buffer that has it; others of the same entry (entry.h) have duplicates */
};

struct restoring {
    struct broker *broker;
    struct held_buffers *held; /* all of them, until their names are there */
    int error;                 /* that a program which takes over must not go on with */
    struct kept *kept;         /* in order of id */
    size_t kept_count;
    uint64_t greatest_id;
    size_t lines;
};

/* Exactly as stored_name writes it: what is called otherwise is not ours. */
static bool read_stored_name(const char *name, uint64_t *id)
{
    char again[STORED_NAME_SIZE];
    const char *dash = strchr(name, '-');

    *id = dash ? strtoull(dash + 1, NULL, 16) : 0;
    if (*id == 0)
        return false;
    stored_name(*id, again);
    return strcmp(name, again) == 0;
}

bool restore_is_kept_name(const char *name)
{
    static const char buffer[] = "buffer-";

    return strcmp(name, LEDGER_NAME) == 0 || strcmp(name, STORE_NAME_CANARY) == 0 ||
           strncmp(name, buffer, sizeof(buffer) - 1) == 0;
}

bool restore_is_unnamed(const char *name)
{
    return strcmp(name, "stored") == 0;
}

static const struct log_subject not_restored = {.message_id = MESSAGE_ID_NOT_RESTORED};

static void note_drop(struct restoring *restoring, const char *kind, const char *name, const char *why)
{
    if (restoring->lines++ < LINES_AT_MOST)
        log_about(LOG_WARNING, &not_restored, "%s '%s' of an earlier broker is dropped: %s", kind, name, why);
}

static void note_buffer_drop(struct restoring *restoring, uint64_t id, const char *why)
{
    char name[STORED_NAME_SIZE];

    stored_name(id, name);
    note_drop(restoring, "what was kept as", name, why);
}

/* Not where this process only tries: what there is belongs to another one. */
static void forget_stored(struct broker *broker, const char *name)
{
    if (!broker->is_trial)
        store_drop(&broker->store, name);
}

/* Who takes over has clients that wait: nothing waits for the manager then. */
static void forget_buffer(const struct restoring *restoring, uint64_t id)
{
    struct broker *broker = restoring->broker;
    char name[STORED_NAME_SIZE];

    stored_name(id, name);
    if (!broker->takes_over)
        forget_stored(broker, name);
    else if (!broker->is_trial)
        store_remove_again(&broker->store, id);
}

/* As in ADOPT, the seals are asked for before the size; and what has none is asked nothing else. */
static const char *check_descriptor(const struct broker *broker, const struct ledger_buffer *record, int fd,
                                    uint32_t *seals, uint64_t *size)
{
    int mode = fcntl(fd, F_GETFL);
    struct stat st;

    if (mode < 0 || mode & O_PATH || memfd_get_seals(fd, seals) < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !memfd_devices_contain(&broker->devices, st.st_dev))
        return "it is no memfd";
    if (st.st_dev != record->device || st.st_ino != record->inode)
        return "it is not the memfd that the ledger tells of";
    if ((mode & O_ACCMODE) != O_RDWR)
        return "it is not open for reading and writing";
    if (!seals_contain(*seals, record->seals))
        return "it lacks seals that the ledger tells of";
    *size = (uint64_t)st.st_size;
    if (*size < record->size && record->seals & SEALBUF_SEAL_SHRINK)
        return "it is smaller than the ledger tells";
    if (*size > record->size && record->seals & SEALBUF_SEAL_GROW)
        return "it is bigger than the ledger tells";
    return NULL;
}

static const char *check_record(struct broker *broker, const struct ledger_buffer *record)
{
    if (record->id == 0 || record->owner == (uid_t)-1)
        return "its record has no id or no owner";
    return buffer_find(&broker->buffers, record->id) ? "its record is there twice" : NULL;
}

const char *restore_buffer(struct broker *broker, const struct ledger_buffer *record, uint32_t slot, int *fd,
                           struct held_buffers *holder, struct buffer **restored)
{
    struct buffer_spec spec = {
        .id = record->id,
        .created_ns = record->created_ns,
        .owner = record->owner,
        .creator = (pid_t)record->creator,
        .creator_pidfd = record->creator_pidfd,
        .flags = (uint16_t)record->flags,
        .label = record->label,
        .metadata = record->metadata,
        .creator_security = record->security,
    };
    struct limit_met met;
    struct buffer *buffer = NULL;
    const char *why = check_record(broker, record);

    if (!why)
        why = check_descriptor(broker, record, *fd, &spec.seals, &spec.size);
    if (why)
        return why;
    if (buffer_enter(&broker->buffers, &spec, fd, holder, &buffer, &met))
        return "there is no memory for it";
    if (record->stored)
        store_restore(&broker->store, buffer, record);
    buffer->slot = slot;
    if (restored)
        *restored = buffer;
    return NULL;
}

/* A current generation whose buffer is missing leaves nothing: those before it must not come back. */
const char *restore_name(struct broker *broker, const struct ledger_name *record, uint32_t slot)
{
    struct buffer *buffer = buffer_find(&broker->buffers, record->buffer);

    if (record->text.length == 0 || record->owner == (uid_t)-1)
        return "its record has no text or no owner";
    struct name *name = registry_find(&broker->registry, record->owner, record->text);
    if (!buffer && name && record->generation >= name->generation)
        registry_unbind(&broker->registry, name, SEALBUF_CHANGE_REMOVED);
    if (!buffer)
        return "its buffer is missing";
    /* On trial the broker goes on: what has gone from the ledger, and what has come, may both be there. */
    if (buffer->name_count >= NAMES_OF_BUFFER && !(name && name->buffer == buffer) && !broker->is_trial)
        return "its buffer has too many names";
    if (registry_restore(&broker->registry, record, slot, buffer))
        return "there is no memory for it";
    return NULL;
}

const char *restore_token(struct broker *broker, const struct ledger_token *record, uint32_t slot)
{
    struct buffer *buffer = buffer_find(&broker->buffers, record->buffer);
    struct token *token;

    if (record->bytes.length != SEALBUF_TOKEN_SIZE || record->maker == (uid_t)-1)
        return "its record has no bytes or no maker";
    token = token_find_handle(&broker->tokens, record->bytes);
    if (token)
        token_remove(token);
    if (!buffer)
        return "its buffer is missing";
    if (record->deadline_ns && record->deadline_ns <= clock_monotonic_ns())
        return token_has_expired;
    if (buffer->token_count >= TOKENS_OF_BUFFER && !broker->is_trial)
        return "its buffer has too many tokens";
    if (token_restore(&broker->tokens, record, buffer, &token))
        return "there is no memory for it";
    token->slot = slot;
    return NULL;
}

static int compare_kept(const void *a, const void *b)
{
    const struct kept *one = a, *other = b;
    return (one->id > other->id) - (one->id < other->id);
}

/* The first one with this id, or the end. */
static struct kept *find_kept(struct restoring *restoring, uint64_t id)
{
    size_t low = 0, high = restoring->kept_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (restoring->kept[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return restoring->kept + low;
}

/* From what is kept: itself, or a duplicate where another buffer has it. */
static const char *take_one(struct restoring *restoring, struct kept *kept, const struct ledger_buffer *record,
                            uint32_t slot)
{
    const struct buffer *other = kept->fd < 0 ? buffer_find(&restoring->broker->buffers, kept->used_by) : NULL;
    CLEANUP(cleanup_close)
    int fd = other ? fcntl(other->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : take_fd(&kept->fd);

    if (fd < 0)
        return "its descriptor cannot be had twice";
    const char *why = restore_buffer(restoring->broker, record, slot, &fd, restoring->held, NULL);
    if (!other && why)
        kept->fd = take_fd(&fd);
    else if (!other)
        kept->used_by = record->id;
    return why;
}

/* Of several that are kept by one name, the one that fits. */
static const char *take_back(struct restoring *restoring, const struct ledger_buffer *record, uint32_t slot)
{
    const struct kept *end = restoring->kept + restoring->kept_count;
    struct kept *kept = find_kept(restoring, record->id);
    uint64_t id = kept < end && kept->id == record->id ? record->id : record->entry;
    const char *why = "its descriptor is missing";

    for (kept = find_kept(restoring, id); kept < end && kept->id == id; kept++) {
        why = take_one(restoring, kept, record, slot);
        if (!why)
            return NULL;
    }
    return why;
}

static const char unknown_record[] = "its record is of a newer version of sealbufd";

/* False: it is dropped, as it cannot be understood; or it has gone meanwhile, on trial. */
static bool read_record(struct restoring *restoring, enum ledger_kind kind, uint32_t slot, void *record,
                        const char *what)
{
    struct ledger *ledger = restoring->broker->ledger;
    int r = ledger_read(ledger, kind, slot, record);

    if (r > 0) {
        note_drop(restoring, what, "?", unknown_record);
        if (restoring->broker->is_trial)
            restoring->error = -EPROTO;
    }
    if (r)
        ledger_clear(ledger, &slot);
    return r == 0;
}

/* On trial it is an error: what this program drops, the one that runs still has. */
static void drop_unknown_at(struct restoring *restoring, uint32_t slot)
{
    read_record(restoring, LEDGER_UNKNOWN, slot, NULL, "a record");
}

static void restore_buffer_at(struct restoring *restoring, uint32_t slot)
{
    struct broker *broker = restoring->broker;
    struct ledger_buffer record = {0};

    if (!read_record(restoring, LEDGER_BUFFER, slot, &record, "a buffer"))
        return;
    if (record.id > restoring->greatest_id)
        restoring->greatest_id = record.id;
    const char *why = take_back(restoring, &record, slot);
    if (!why) {
        if (broker->quota.held[RESOURCE_BUFFERS] % BUFFERS_A_NOTICE == 0 && !broker->is_trial)
            notify_still_starting();
        return;
    }
    note_buffer_drop(restoring, record.id, why);
    ledger_clear(broker->ledger, &slot);
}

/* All or nothing: what the broker did not come to commit was never there; and what it removed must not come back. */
static void drop_of_batch(struct broker *broker, const struct ledger_name *record, uint32_t *slot)
{
    struct name *name = registry_find(&broker->registry, record->owner, record->text);

    if (name && ledger_is_committed(broker->ledger, record->batch))
        registry_unbind(&broker->registry, name, SEALBUF_CHANGE_REMOVED);
    ledger_clear(broker->ledger, slot);
}

static void restore_name_at(struct restoring *restoring, uint32_t slot)
{
    struct broker *broker = restoring->broker;
    struct ledger_name record = {0};
    char text[SEALBUF_MAX_NAME + 1];

    if (!read_record(restoring, LEDGER_NAME_RECORD, slot, &record, "a name"))
        return;
    if (!ledger_is_committed(broker->ledger, record.batch) || record.removed) {
        drop_of_batch(broker, &record, &slot);
        return;
    }
    snprintf(text, sizeof(text), "%.*s", (int)record.text.length, record.text.data);
    const char *why = restore_name(broker, &record, slot);
    if (!why)
        return;
    note_drop(restoring, "the name", text, why);
    ledger_clear(broker->ledger, &slot);
}

/* Tokens are never logged, but for what they were for. */
static void restore_token_at(struct restoring *restoring, uint32_t slot)
{
    struct broker *broker = restoring->broker;
    struct ledger_token record = {0};
    char buffer[STORED_NAME_SIZE];

    if (!read_record(restoring, LEDGER_TOKEN, slot, &record, "a token"))
        return;
    stored_name(record.buffer, buffer);
    const char *why = restore_token(broker, &record, slot);
    if (!why)
        return;
    if (why != token_has_expired)
        note_drop(restoring, "a token for", buffer, why);
    ledger_clear(broker->ledger, &slot);
}

static int restore_all(struct restoring *restoring, enum ledger_kind kind,
                       void (*restore_at)(struct restoring *restoring, uint32_t slot))
{
    CLEANUP(cleanup_free)
    uint32_t *slots = NULL;
    size_t count = 0;

    int r = ledger_list(restoring->broker->ledger, kind, &slots, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        restore_at(restoring, slots[i]);
    return r;
}

/* From now on they are held by their names, and what has none goes. */
static void let_go(struct restoring *restoring)
{
    struct buffers *buffers = &restoring->broker->buffers;
    struct buffer *buffer;

    while ((buffer = LIST_FIRST(restoring->held))) {
        if (buffer->slot && LIST_EMPTY(&buffer->names)) {
            note_buffer_drop(restoring, buffer->id, "it has no name");
            if (!buffer->is_stored)
                forget_buffer(restoring, buffer->id);
        }
        buffer_unhold(buffers, buffer);
    }
}

static bool is_used(struct restoring *restoring, uint64_t id)
{
    const struct kept *end = restoring->kept + restoring->kept_count;
    const struct kept *kept = find_kept(restoring, id);

    while (kept < end && kept->id == id && !kept->used_by)
        kept++;
    return kept < end && kept->id == id;
}

/* What no record wants: of a publish that was never answered, or of a buffer that was removed. */
static void close_rest(struct restoring *restoring)
{
    struct broker *broker = restoring->broker;

    for (size_t i = 0; i < restoring->kept_count; i++) {
        struct kept *kept = &restoring->kept[i];
        if (kept->fd < 0)
            continue;
        reaper_close(&broker->reaper, kept->fd);
        if (is_used(restoring, kept->id)) {
            note_buffer_drop(restoring, kept->id, "it is there more than once");
        } else {
            note_buffer_drop(restoring, kept->id, "no whole record tells of it");
            forget_buffer(restoring, kept->id);
        }
    }
}

/* Sorts out what is called like a buffer. The ledger has been taken out. */
static void sort_out(struct restoring *restoring, struct inherited *inherited, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t id;
        if (inherited[i].fd < 0)
            continue;
        if (read_stored_name(inherited[i].name, &id)) {
            restoring->kept[restoring->kept_count++] = (struct kept){.id = id, .fd = take_fd(&inherited[i].fd)};
            if (id > restoring->greatest_id)
                restoring->greatest_id = id;
            continue;
        }
        if (strcmp(inherited[i].name, STORE_NAME_CANARY) != 0)
            note_drop(restoring, "what was kept as", inherited[i].name, "a broker keeps nothing by this name");
        close(take_fd(&inherited[i].fd));
        forget_stored(restoring->broker, inherited[i].name);
    }
    qsort(restoring->kept, restoring->kept_count, sizeof(*restoring->kept), compare_kept);
}

/* Of two the newer one; the other one is closed. */
static void prefer_newer(struct restoring *restoring, struct ledger *found)
{
    struct broker *broker = restoring->broker;
    bool newer = !broker->ledger || ledger_created_ns(found) > ledger_created_ns(broker->ledger);

    if (broker->ledger)
        note_drop(restoring, "the", LEDGER_NAME, "there are two of them, and the other one is newer");
    if (newer) {
        ledger_close(broker->ledger);
        broker->ledger = found;
    } else {
        ledger_close(found);
    }
}

/* NULL, and *cause says why. */
static struct ledger *open_one(const struct broker *broker, int *fd, const char **cause)
{
    struct ledger *ledger = NULL;
    struct stat st;

    *cause = "it is no memfd";
    if (fstat(*fd, &st) < 0 || !memfd_devices_contain(&broker->devices, st.st_dev))
        return NULL;
    ledger_open(fd, broker->is_trial ? LEDGER_ON_TRIAL : LEDGER_FOR_GOOD, &ledger, cause);
    return ledger;
}

static int open_ledgers(struct restoring *restoring, struct inherited *inherited, size_t count)
{
    struct broker *broker = restoring->broker;
    size_t seen = 0;

    for (size_t i = 0; i < count; i++) {
        const char *cause;

        if (strcmp(inherited[i].name, LEDGER_NAME) != 0)
            continue;
        seen++;
        struct ledger *found = open_one(broker, &inherited[i].fd, &cause);
        if (found)
            prefer_newer(restoring, found);
        else if (broker->takes_over)
            log_line(LOG_ERR, "cannot take over: the ledger cannot be opened: %s", cause);
        else
            note_drop(restoring, "the", LEDGER_NAME, cause);
        close_quietly(take_fd(&inherited[i].fd));
    }
    if (broker->takes_over && !seen)
        log_line(LOG_ERR, "cannot take over: the ledger was not handed over");
    broker->ledger_is_stored = seen == 1 && broker->ledger;
    if (broker->takes_over)
        return broker->ledger ? 0 : -EPROTO; /* where it is stored, it stays there for a program that can open it */
    if (seen && !broker->ledger_is_stored)
        forget_stored(broker, LEDGER_NAME);
    return 0;
}

static int start_ledger(struct restoring *restoring)
{
    struct broker *broker = restoring->broker;
    int r = broker->ledger ? 0 : ledger_new(&broker->ledger);

    if (r < 0) {
        log_line(LOG_ERR, "cannot make a ledger (see memory limits and RLIMIT_FSIZE): %s", strerror(-r));
        return r;
    }
    broker->counters = ledger_counters(broker->ledger);
    broker->buffers.ledger = broker->ledger;
    broker->tokens.ledger = broker->ledger;
    return 0;
}

static void skip_ids(struct restoring *restoring)
{
    struct ledger *ledger = restoring->broker->ledger;

    ledger_skip_ids(ledger, restoring->greatest_id);
    if (ledger_ids_are_known(ledger))
        return;
    log_line(LOG_WARNING, "the last id in the ledger is damaged: ids go on far beyond all that are there");
    ledger_skip_ids(ledger, restoring->greatest_id + FAR);
}

static void report(const struct restoring *restoring)
{
    const struct broker *broker = restoring->broker;
    const uint64_t *held = broker->quota.held;
    unsigned long long buffers = held[RESOURCE_BUFFERS], names = held[RESOURCE_NAMES], tokens = held[RESOURCE_TOKENS];

    if (ledger_damaged(broker->ledger))
        log_about(LOG_WARNING, &not_restored, "the ledger had %zu damaged record%s; what was told there is dropped",
                  ledger_damaged(broker->ledger), plural(ledger_damaged(broker->ledger)));
    if (restoring->lines > LINES_AT_MOST)
        log_about(LOG_WARNING, &not_restored, "of an earlier broker, %zu more thing%s could not be restored",
                  restoring->lines - LINES_AT_MOST, plural(restoring->lines - LINES_AT_MOST));
    if (buffers && !broker->takes_over)
        log_about(LOG_INFO, &(struct log_subject){.message_id = MESSAGE_ID_RESTORED},
                  "restored %llu buffer%s, %llu name%s and %llu token%s", buffers, plural(buffers), names,
                  plural(names), tokens, plural(tokens));
}

void restore_let_go(struct broker *broker, struct held_buffers *holder)
{
    let_go(&(struct restoring){.broker = broker, .held = holder});
    if (evictable_enter_all(&broker->registry))
        log_line(LOG_WARNING, "no memory: names of an earlier broker that may be evicted will not be");
}

static int restore_records(struct restoring *restoring)
{
    int r = restore_all(restoring, LEDGER_UNKNOWN, drop_unknown_at);

    if (r == 0)
        r = restore_all(restoring, LEDGER_BUFFER, restore_buffer_at);
    if (r == 0)
        r = restore_all(restoring, LEDGER_NAME_RECORD, restore_name_at);
    if (r == 0)
        r = restore_all(restoring, LEDGER_TOKEN, restore_token_at);
    if (r < 0) {
        log_line(LOG_ERR, "no memory to restore what an earlier broker has left");
        return r;
    }
    if (restoring->error < 0) {
        log_line(LOG_ERR, "cannot take over: the ledger has records that only a newer version of sealbufd knows");
        return restoring->error;
    }
    if (!restoring->broker->takes_over)
        restore_let_go(restoring->broker, restoring->held);
    close_rest(restoring);
    skip_ids(restoring);
    report(restoring);
    return 0;
}

int restore(struct broker *broker, struct inherited *inherited, size_t count, struct held_buffers *holder)
{
    struct restoring restoring = {.broker = broker, .held = holder};

    restoring.kept = calloc(count + 1, sizeof(*restoring.kept));
    if (!restoring.kept)
        return -ENOMEM;
    int r = open_ledgers(&restoring, inherited, count);
    if (r == 0) {
        sort_out(&restoring, inherited, count);
        r = start_ledger(&restoring);
    }
    if (r == 0)
        r = restore_records(&restoring);
    free(restoring.kept);
    return r;
}
