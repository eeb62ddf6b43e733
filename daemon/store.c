/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"
#include "evictable.h"
#include "log.h"
#include "message_id.h"

/* Of one uid in one batch: for each, the manager goes through all that it keeps for us (0.3 us a piece). */
#define KEEPS_OF_A_UID 32
/* Of what others have stored, and is to be removed. */
#define GREATEST_NAME 256
/* At the start, how long a canary may take to die: see store.h on systemd 254. */
#define PROBE_MS 20

#define LOG_NS 10000000000u
/* The manager logs a line for each descriptor that it has no room for, so it is not tried again for every client. */
#define FULL_NS 1000000000u

static const struct timeval retry_time = {.tv_sec = 1};

struct keep {
    TAILQ_ENTRY(keep) link; /* among those of its uid, until it is sent */
    struct buffer *buffer;  /* pinned */
    LIST_HEAD(store_waits, store_wait) waits;
    struct account *account; /* charged, so it stays */
    bool is_sent;
    bool may_be_there; /* though it failed */
    uint64_t id;       /* this, and what is above and below, for the thread */
    int fd;
    int result;
};

struct removal {
    STAILQ_ENTRY(removal) link;
    uint64_t id;
};

const char *stored_name(uint64_t id, char name[STORED_NAME_SIZE])
{
    snprintf(name, STORED_NAME_SIZE, "buffer-%016llx", (unsigned long long)id);
    return name;
}

/* ---- On the thread, and at start and end ------------------------------------------------------------------------- */

static int send_keep(struct store *store, const char *name, bool is_pollable, int fd)
{
    char text[64 + STORED_NAME_SIZE];

    /* The manager drops a descriptor that it polls as soon as the other side has gone: a canary dies with us. */
    snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s%s", name, is_pollable ? "" : "\nFDPOLL=0");
    return manager_send(&store->manager, text, fd);
}

static int send_removal(struct store *store, const char *name)
{
    char text[64 + GREATEST_NAME];

    snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    return manager_send(&store->manager, text, -1);
}

static int send_canary(struct store *store, int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    store->canary_left = true;
    int r = send_keep(store, STORE_NAME_CANARY, true, ends[1]);
    close(ends[1]);
    if (r < 0)
        close(ends[0]);
    return r;
}

/* Whether all that was sent before is kept: 1; 0 where the store is full; or a negative errno. */
static int is_kept(struct store *store, int patience_ms)
{
    struct pollfd canary;
    int ends[2];

    int r = send_canary(store, ends);
    if (r < 0)
        return r;
    r = manager_barrier(&store->manager);
    canary = (struct pollfd){.fd = ends[0]};
    if (r == 0)
        r = poll(&canary, 1, patience_ms) == 0;
    if (r >= 0 && send_removal(store, STORE_NAME_CANARY) == 0)
        store->canary_left = false;
    close(ends[0]);
    return r;
}

static int send_keeps(struct store *store, struct keep *const *keeps, unsigned count)
{
    char name[STORED_NAME_SIZE];
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++) {
        keeps[i]->may_be_there = true;
        r = send_keep(store, stored_name(keeps[i]->id, name), false, keeps[i]->fd);
    }
    return r < 0 ? r : is_kept(store, 0);
}

static void set_results(struct keep *const *keeps, unsigned count, int result)
{
    for (unsigned i = 0; i < count; i++)
        keeps[i]->result = result;
}

/* What may be there of those that are not to be. */
static int take_back(struct store *store, struct keep *const *keeps, unsigned count)
{
    char name[STORED_NAME_SIZE];
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++) {
        r = send_removal(store, stored_name(keeps[i]->id, name));
        keeps[i]->may_be_there = r < 0;
    }
    return r;
}

/* The store is full, or nearly. Who finds no room in it any more, finds none for all who come behind. */
static void keep_one_by_one(struct store *store, struct keep *const *keeps, unsigned count)
{
    int r = take_back(store, keeps, count);

    for (unsigned i = 0; i < count; i++) {
        if (r >= 0)
            r = send_keeps(store, &keeps[i], 1);
        if (r == 0) {
            take_back(store, &keeps[i], 1);
            r = -ENOSPC;
        }
        keeps[i]->result = r < 0 ? r : 0;
    }
}

static void keep_all(struct store *store, struct store_batch *batch)
{
    int r = send_keeps(store, batch->keeps, batch->count);

    if (r != 0)
        set_results(batch->keeps, batch->count, r < 0 ? r : 0);
    else if (batch->count == 1)
        set_results(batch->keeps, 1, take_back(store, batch->keeps, 1) < 0 ? -EAGAIN : -ENOSPC);
    else
        keep_one_by_one(store, batch->keeps, batch->count);
}

static int send_removals(struct store *store, struct removals *removals)
{
    char name[STORED_NAME_SIZE];
    struct removal *removal;
    int r = 0;

    if (store->canary_left)
        r = send_removal(store, STORE_NAME_CANARY);
    store->canary_left = r < 0;
    while (r == 0 && (removal = STAILQ_FIRST(removals))) {
        r = send_removal(store, stored_name(removal->id, name));
        if (r < 0)
            break;
        STAILQ_REMOVE_HEAD(removals, link);
        free(removal);
    }
    return r;
}

static struct store *store_of(struct store_batch *batch)
{
    return (struct store *)(void *)((char *)batch - offsetof(struct store, batch));
}

static void run(struct job *job)
{
    struct store_batch *batch = (struct store_batch *)(void *)job;
    struct store *store = store_of(batch);

    batch->error = send_removals(store, &batch->removals);
    if (batch->error < 0)
        set_results(batch->keeps, batch->count, batch->error);
    else
        keep_all(store, batch);
}

/* ---- On the loop ------------------------------------------------------------------------------------------------- */

static void queue_removal(struct store *store, uint64_t id)
{
    struct removal *removal = malloc(sizeof(*removal));

    if (!removal) {
        log_line(LOG_WARNING,
                 "no memory: what was buffer %llu stays in the service manager's store until the next start",
                 (unsigned long long)id);
        return;
    }
    removal->id = id;
    STAILQ_INSERT_TAIL(&store->removals, removal, link);
    store->removal_count++;
}

/* When the loop has gone through what is to be done now: what comes in one pass goes into one batch. */
static void need_batch(struct store *store)
{
    if (!store->is_busy && !store->is_leaving)
        event_active(&store->next, 0, 0);
}

static void unqueue(struct store *store, struct keep *keep)
{
    struct account *account = keep->account;

    TAILQ_REMOVE(&account->keeps, keep, link);
    if (TAILQ_EMPTY(&account->keeps))
        TAILQ_REMOVE(&store->waiting, account, storing);
}

/* With the last buffer goes the entry. */
static void leave(struct store *store, struct buffer *buffer)
{
    uint64_t id = buffer->entry->id;
    bool is_there = buffer->entry->is_there || buffer->entry->may_be_there;

    if (entry_leave(&store->entries, buffer) && is_there)
        queue_removal(store, id);
}

/* Its buffer is kept, or it is not; who has waited hears of it. */
static void finish_one(struct store *store, struct keep *keep, int result)
{
    struct buffer *buffer = keep->buffer;
    struct store_wait *wait;

    buffer->keep = NULL;
    store->keep_count--;
    if (result == 0 && !buffer->is_gone) {
        buffer->is_stored = true;
        evictable_recount(store->quota, buffer);
    } else {
        leave(store, buffer);
        quota_release(store->quota, keep->account->uid, RESOURCE_STORED, 1);
    }
    while ((wait = LIST_FIRST(&keep->waits))) {
        LIST_REMOVE(wait, link);
        wait->keep = NULL;
        wait->done(wait, result);
    }
    buffer_unpin(store->buffers, buffer);
    free(keep);
}

/* So it is for all buffers of the entry. */
static void finish(struct store *store, struct keep *keep, int result)
{
    struct entry *entry = keep->buffer->entry;
    struct buffer *buffer = LIST_FIRST(&entry->buffers), *next;

    entry->keep = NULL;
    entry->is_there = result == 0;
    entry->may_be_there |= keep->may_be_there;
    for (; buffer; buffer = next) {
        next = LIST_NEXT(buffer, of_entry);
        finish_one(store, buffer->keep, result);
    }
}

static void take_from(struct store *store, struct account *account)
{
    struct store_batch *batch = &store->batch;
    struct keep *keep;

    for (unsigned n = 0; n < KEEPS_OF_A_UID && batch->count < KEEPS_AT_ONCE; n++) {
        keep = TAILQ_FIRST(&account->keeps);
        if (!keep)
            return;
        TAILQ_REMOVE(&account->keeps, keep, link);
        keep->is_sent = true;
        batch->keeps[batch->count++] = keep;
    }
}

/* A few of each uid, so that none waits for all that another one has. False: there is nothing to do. */
static bool gather(struct store *store)
{
    struct store_batch *batch = &store->batch;
    struct account *account, *last = TAILQ_LAST(&store->waiting, storing_accounts);

    batch->count = 0;
    STAILQ_INIT(&batch->removals);
    STAILQ_CONCAT(&batch->removals, &store->removals);
    while ((account = TAILQ_FIRST(&store->waiting)) && batch->count < KEEPS_AT_ONCE) {
        TAILQ_REMOVE(&store->waiting, account, storing);
        take_from(store, account);
        if (!TAILQ_EMPTY(&account->keeps))
            TAILQ_INSERT_TAIL(&store->waiting, account, storing);
        if (account == last)
            break;
    }
    return batch->count || !STAILQ_EMPTY(&batch->removals);
}

static void settle_removals(struct store *store)
{
    struct store_batch *batch = &store->batch;
    struct removal *removal;

    if (store->removal_count && STAILQ_EMPTY(&batch->removals))
        store->full_until_ns = 0;
    store->removal_count = 0;
    STAILQ_CONCAT(&batch->removals, &store->removals);
    STAILQ_CONCAT(&store->removals, &batch->removals);
    STAILQ_FOREACH(removal, &store->removals, link)
        store->removal_count++;
}

/* Of either kind one line in a while: clients could have it tried for ever. */
static bool may_log(uint64_t *logged_ns)
{
    uint64_t now = clock_monotonic_ns();

    if (*logged_ns && now - *logged_ns < LOG_NS)
        return false;
    *logged_ns = now;
    return true;
}

/* What is to be removed makes room: it goes out first. */
static bool is_full(const struct store *store)
{
    return store->full_until_ns && store->removal_count == 0 && clock_monotonic_ns() < store->full_until_ns;
}

static void note_full(struct store *store)
{
    const struct store_batch *batch = &store->batch;

    for (unsigned i = 0; i < batch->count; i++)
        if (batch->keeps[i]->result == -ENOSPC)
            store->full_until_ns = clock_monotonic_ns() + FULL_NS;
}

static void refuse_waiting(struct store *store)
{
    struct account *account;

    while ((account = TAILQ_FIRST(&store->waiting))) {
        struct keep *keep = TAILQ_FIRST(&account->keeps);
        unqueue(store, keep);
        finish(store, keep, -ENOSPC);
    }
}

static void log_failure(struct store *store)
{
    const struct store_batch *batch = &store->batch;
    int error = batch->error;
    unsigned long long stored = store->quota->held[RESOURCE_STORED] - store->keep_count;
    bool was_full = false;

    for (unsigned i = 0; i < batch->count && error == 0; i++) {
        was_full |= batch->keeps[i]->result == -ENOSPC;
        error = batch->keeps[i]->result == -ENOSPC ? 0 : batch->keeps[i]->result;
    }
    if (error < 0 && may_log(&store->failure_logged_ns))
        log_line(LOG_WARNING,
                 "nothing can be put into the service manager's store: %s; publishing fails, but for what need not "
                 "survive the broker; see whether the manager is well, and NotifyAccess= and LimitNOFILE= of the unit",
                 strerror(-error));
    if (was_full && may_log(&store->full_logged_ns))
        log_about(
            LOG_WARNING, &(struct log_subject){.message_id = MESSAGE_ID_STORE_FULL},
            "the service manager's store is full with %llu buffer%s; publishing fails, but for what need not "
            "survive the broker; raise FileDescriptorStoreMax= of the unit, or set stored in sealbufd.conf to %llu or "
            "less",
            stored, plural(stored), stored);
}

static void done(struct job *job)
{
    struct store_batch *batch = (struct store_batch *)(void *)job;
    struct store *store = store_of(batch);

    store->is_busy = false;
    settle_removals(store);
    log_failure(store);
    note_full(store);
    for (unsigned i = 0; i < batch->count; i++)
        finish(store, batch->keeps[i], batch->keeps[i]->result);
    batch->count = 0;
    if (is_full(store))
        refuse_waiting(store);
    if (batch->error < 0 && TAILQ_EMPTY(&store->waiting) && !store->is_leaving)
        event_add(&store->next, &retry_time);
    else if (store->removal_count || !TAILQ_EMPTY(&store->waiting))
        need_batch(store);
}

static void on_next(evutil_socket_t fd, short what, void *argument)
{
    struct store *store = argument;

    (void)fd, (void)what;
    if (store->is_busy || store->is_held || !gather(store))
        return;
    store->is_busy = true;
    workers_submit(store->workers, &store->batch.job);
}

/* Where the entry is on its way already, for another buffer, this one waits for the same. */
static void queue_keep(struct store *store, struct keep *keep)
{
    struct entry *entry = keep->buffer->entry;

    store->keep_count++;
    if (entry->keep)
        return;
    entry->keep = keep;
    if (TAILQ_EMPTY(&keep->account->keeps))
        TAILQ_INSERT_TAIL(&store->waiting, keep->account, storing);
    TAILQ_INSERT_TAIL(&keep->account->keeps, keep, link);
    need_batch(store);
}

/* NULL: no memory. */
static struct keep *new_keep(struct store *store, struct buffer *buffer)
{
    struct keep *keep = calloc(1, sizeof(*keep));

    if (!keep)
        return NULL;
    *keep = (struct keep){.buffer = buffer,
                          .account = quota_find(store->quota, buffer->owner),
                          .id = buffer->entry->id,
                          .fd = buffer->fd,
                          .result = -ECANCELED};
    LIST_INIT(&keep->waits);
    buffer->keep = keep;
    buffer_pin(buffer);
    queue_keep(store, keep);
    return keep;
}

/* It has its entry, and is_stored or on its way. 0 or SEALBUF_ERR_MEMORY or SEALBUF_ERR_STORE_FULL. */
static int begin(struct store *store, struct buffer *buffer)
{
    const struct entry *entry = entry_join(&store->entries, buffer);

    if (!entry)
        return SEALBUF_ERR_MEMORY;
    buffer->is_stored = entry->is_there;
    evictable_recount(store->quota, buffer);
    bool room = buffer->is_stored || !is_full(store);
    if (buffer->is_stored || (room && new_keep(store, buffer)))
        return 0;
    leave(store, buffer);
    return room ? SEALBUF_ERR_MEMORY : SEALBUF_ERR_STORE_FULL;
}

int store_keep(struct store *store, struct buffer *buffer, struct store_wait *wait, struct limit_met *met)
{
    if (!buffer->keep && !buffer->is_stored) {
        int r = quota_charge(store->quota, buffer->owner, RESOURCE_STORED, 1, met);
        if (r)
            return r;
        r = begin(store, buffer);
        if (r) {
            quota_release(store->quota, buffer->owner, RESOURCE_STORED, 1);
            return r;
        }
    }
    wait->keep = buffer->keep;
    if (wait->keep)
        LIST_INSERT_HEAD(&wait->keep->waits, wait, link);
    return 0;
}

void store_forget(struct store *store, struct store_wait *wait)
{
    struct keep *keep = wait->keep;

    if (!keep)
        return;
    LIST_REMOVE(wait, link);
    wait->keep = NULL;
    if (keep->is_sent || !LIST_EMPTY(&keep->waits))
        return;
    struct entry *entry = keep->buffer->entry;
    if (entry->keep != keep) {
        finish_one(store, keep, -ECANCELED);
    } else if (!LIST_NEXT(LIST_FIRST(&entry->buffers), of_entry)) { /* else others wait for it */
        unqueue(store, keep);
        finish(store, keep, -ECANCELED);
    }
}

void store_remove(struct store *store, struct buffer *buffer)
{
    quota_release(store->quota, buffer->owner, RESOURCE_STORED, 1);
    if (store->is_leaving) {
        entry_leave(&store->entries, buffer);
        return;
    }
    leave(store, buffer);
    if (store->removal_count)
        need_batch(store);
}

void store_restore(struct store *store, struct buffer *buffer, const struct ledger_buffer *record)
{
    if (!store->is_there || quota_restore(store->quota, buffer->owner, RESOURCE_STORED, 1))
        return;
    buffer->is_stored = entry_restore(&store->entries, buffer, record);
    if (!buffer->is_stored)
        quota_release(store->quota, buffer->owner, RESOURCE_STORED, 1);
}

void store_hold(struct store *store, bool held)
{
    store->is_held = held;
    if (!held && store->workers)
        need_batch(store);
}

bool store_is_busy(const struct store *store)
{
    return store->is_busy;
}

void store_each_removal(const struct store *store, void (*look)(uint64_t id, void *userdata), void *userdata)
{
    const struct removal *removal;

    STAILQ_FOREACH(removal, &store->removals, link)
        look(removal->id, userdata);
}

void store_remove_again(struct store *store, uint64_t id)
{
    if (!store->workers)
        return;
    queue_removal(store, id);
    need_batch(store);
}

size_t store_pending(const struct store *store)
{
    return store->keep_count + store->removal_count;
}

/* ---- Start and end ----------------------------------------------------------------------------------------------- */

int store_put(struct store *store, const char *name, int fd)
{
    if (!store->is_there)
        return -ENOENT;
    int r = send_removal(store, name);
    if (r == 0)
        r = send_keep(store, name, false, fd);
    if (r == 0)
        r = is_kept(store, 0);
    return r == 0 ? -ENOSPC : r < 0 ? r : 0;
}

int store_drop(struct store *store, const char *name)
{
    return store->is_there ? send_removal(store, name) : -ENOENT;
}

/* What there is to say, once, of a store that is not there. */
static void explain(int r)
{
    if (r == 0)
        log_line(LOG_INFO,
                 "the service manager keeps no descriptors for this service (FileDescriptorStoreMax=): nothing "
                 "that is published survives the broker");
    else if (r < 0 && r != -ENOENT)
        log_line(LOG_WARNING,
                 "the service manager does not answer at its socket ($NOTIFY_SOCKET): %s; nothing that is published "
                 "survives the broker",
                 strerror(-r));
}

static void init(struct store *store, struct event_base *loop, struct buffers *buffers)
{
    *store = (struct store){.quota = buffers->quota, .buffers = buffers};
    RB_INIT(&store->entries);
    STAILQ_INIT(&store->removals);
    TAILQ_INIT(&store->waiting);
    store->batch.job = (struct job){.run = run, .done = done};
    event_assign(&store->next, loop, -1, 0, on_next, store);
}

/* Whether a canary is left in there, who takes over does not know: so it is removed. */
int store_take_over(struct store *store, struct event_base *loop, struct buffers *buffers, bool is_there)
{
    init(store, loop, buffers);
    store->is_there = is_there && manager_open(&store->manager) == 0;
    if (!store->is_there) {
        store->manager.socket = -1;
        return 0;
    }
    store->canary_left = true;
    store->workers = workers_start(loop, 1);
    return store->workers ? 0 : -errno;
}

int store_open(struct store *store, struct event_base *loop, struct buffers *buffers, bool restored)
{
    init(store, loop, buffers);
    int r = manager_open(&store->manager);
    if (r == 0)
        r = is_kept(store, PROBE_MS);
    store->is_there = store->manager.socket >= 0 && (r > 0 || restored); /* what is full gives, too */
    if (!store->is_there) {
        explain(r);
        manager_close(&store->manager);
        return 0;
    }
    store->workers = workers_start(loop, 1);
    return store->workers ? 0 : -errno;
}

void store_leave(struct store *store)
{
    if (!store->workers)
        return;
    atomic_store(&store->manager.in_hurry, true);
    store->is_leaving = true;
    event_del(&store->next);
    workers_stop(store->workers);
    store->workers = NULL;
    if (gather(store)) { /* nobody is left to be served: now the thread's work can be done here */
        run(&store->batch.job);
        done(&store->batch.job);
    }
    struct removal *removal;
    while ((removal = STAILQ_FIRST(&store->removals))) {
        STAILQ_REMOVE_HEAD(&store->removals, link);
        free(removal);
    }
    manager_close(&store->manager);
}
