/* SPDX-License-Identifier: MIT */
#include "buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "claim.h"
#include "cleanup.h"
#include "clock.h"
#include "entry.h"
#include "evictable.h"
#include "ledger.h"
#include "seals.h"
#include "store.h"
#include "token.h"

static int compare_ids(const struct buffer *a, const struct buffer *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

TREE_GENERATE(buffer_tree, buffer, by_id, compare_ids)

void buffers_init(struct buffers *buffers, struct quota *quota, struct reaper *reaper, struct store *store)
{
    *buffers = (struct buffers){.quota = quota, .reaper = reaper, .store = store};
    RB_INIT(&buffers->by_id);
}

static size_t strings_size(const struct buffer_spec *spec)
{
    return (size_t)spec->label.length + spec->metadata.length + spec->creator_security.length;
}

static int charge_one(struct buffers *buffers, const struct buffer_spec *spec, enum resource resource, uint64_t amount,
                      struct limit_met *met)
{
    if (spec->id)
        return quota_restore(buffers->quota, spec->owner, resource, amount);
    return quota_charge(buffers->quota, spec->owner, resource, amount, met);
}

static int charge(struct buffers *buffers, const struct buffer_spec *spec, struct limit_met *met)
{
    int r = charge_one(buffers, spec, RESOURCE_BUFFERS, 1, met);
    if (r)
        return r;
    r = charge_one(buffers, spec, RESOURCE_METADATA, strings_size(spec), met);
    if (r)
        goto no_metadata;
    r = charge_one(buffers, spec, RESOURCE_BYTES, spec->size, met);
    if (r == 0)
        return 0;
    quota_release(buffers->quota, spec->owner, RESOURCE_METADATA, strings_size(spec));
no_metadata:
    quota_release(buffers->quota, spec->owner, RESOURCE_BUFFERS, 1);
    return r;
}

static void release(struct buffers *buffers, uid_t owner, uint64_t size, uint64_t metadata)
{
    quota_release(buffers->quota, owner, RESOURCE_BYTES, size);
    quota_release(buffers->quota, owner, RESOURCE_METADATA, metadata);
    quota_release(buffers->quota, owner, RESOURCE_BUFFERS, 1);
}

/* Of seals that were there before the size was taken. */
static bool fix_size(uint32_t seals)
{
    return seals_contain(seals, SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW);
}

static char *append(char *to, struct span text)
{
    if (text.length)
        memcpy(to, text.data, text.length);
    return to + text.length;
}

int buffer_enter(struct buffers *buffers, const struct buffer_spec *spec, int *fd, struct held_buffers *holder,
                 struct buffer **buffer, struct limit_met *met)
{
    int r = charge(buffers, spec, met);
    if (r)
        return r;
    struct buffer *b = malloc(sizeof(*b) + strings_size(spec));
    if (!b) {
        release(buffers, spec->owner, spec->size, strings_size(spec));
        return SEALBUF_ERR_MEMORY;
    }
    *b = (struct buffer){
        .id = spec->id ? spec->id : ledger_next_id(buffers->ledger),
        .charged = spec->size,
        .created_ns = spec->created_ns ? spec->created_ns : clock_realtime_ns(),
        .creator_pidfd = spec->creator_pidfd,
        .fd = take_fd(fd),
        .owner = spec->owner,
        .creator = spec->creator,
        .seals = spec->seals,
        .is_final = fix_size(spec->seals),
        .flags = spec->flags,
        .label_length = (uint8_t)spec->label.length,
        .metadata_length = (uint16_t)spec->metadata.length,
        .security_length = (uint8_t)spec->creator_security.length,
        .is_held = true,
    };
    LIST_INIT(&b->names);
    LIST_INIT(&b->tokens);
    char *end = append(b->strings, spec->label);
    end = append(end, spec->creator_security);
    append(end, spec->metadata);
    RB_INSERT(buffer_tree, &buffers->by_id, b);
    LIST_INSERT_HEAD(holder, b, held);
    *buffer = b;
    return 0;
}

struct buffer *buffer_find(struct buffers *buffers, uint64_t id)
{
    struct buffer key = {.id = id};
    return RB_FIND(buffer_tree, &buffers->by_id, &key);
}

struct buffer *buffers_first(struct buffers *buffers)
{
    return RB_MIN(buffer_tree, &buffers->by_id);
}

struct buffer *buffers_next(struct buffer *buffer)
{
    return buffer_tree_RB_NEXT(buffer);
}

static void bury(struct buffers *buffers, struct buffer *buffer)
{
    reaper_close(buffers->reaper, buffer->fd);
    free(buffer->metadata);
    free(buffer);
}

void buffer_drop_if_unheld(struct buffers *buffers, struct buffer *buffer)
{
    struct token *token;

    if (buffer->is_held || !LIST_EMPTY(&buffer->names))
        return;
    while ((token = LIST_FIRST(&buffer->tokens)))
        token_remove(token);
    claim_forget_buffer(buffer);
    ledger_clear(buffers->ledger, &buffer->slot);
    RB_REMOVE(buffer_tree, &buffers->by_id, buffer);
    release(buffers, buffer->owner, buffer->charged,
            (uint64_t)buffer->label_length + buffer->metadata_length + buffer->security_length);
    if (buffer->is_stored)
        store_remove(buffers->store, buffer);
    buffer->is_gone = true;
    if (buffer->pins)
        buffers->reaper->pending++;
    else
        bury(buffers, buffer);
}

void buffer_pin(struct buffer *buffer)
{
    buffer->pins++;
}

void buffer_unpin(struct buffers *buffers, struct buffer *buffer)
{
    if (--buffer->pins || !buffer->is_gone)
        return;
    buffers->reaper->pending--;
    bury(buffers, buffer);
}

void buffer_hold(struct buffers *buffers, struct buffer *buffer, struct held_buffers *holder)
{
    if (buffer->is_held)
        return;
    LIST_INSERT_HEAD(holder, buffer, held);
    buffer->is_held = true;
    evictable_recount(buffers->quota, buffer);
}

void buffer_unhold(struct buffers *buffers, struct buffer *buffer)
{
    if (buffer->is_held) {
        LIST_REMOVE(buffer, held);
        buffer->is_held = false;
        evictable_recount(buffers->quota, buffer);
    }
    buffer_drop_if_unheld(buffers, buffer);
}

int buffer_seals(struct buffer *buffer, uint32_t of_interest, uint32_t *seals)
{
    if (!seals_contain(buffer->seals, SEALBUF_SEALS_IMMUTABLE | of_interest)) {
        int r = memfd_get_seals(buffer->fd, &buffer->seals);
        if (r < 0)
            return r;
    }
    *seals = buffer->seals;
    return 0;
}

/* Bytes more or less than were charged. What cannot be charged stays as it was. */
static int recharge(struct buffers *buffers, struct buffer *buffer, uint64_t size, struct limit_met *met)
{
    if (size < buffer->charged) {
        quota_release(buffers->quota, buffer->owner, RESOURCE_BYTES, buffer->charged - size);
    } else if (size > buffer->charged) {
        int r = quota_charge(buffers->quota, buffer->owner, RESOURCE_BYTES, size - buffer->charged, met);
        if (r)
            return r;
    }
    buffer->charged = size;
    evictable_recount(buffers->quota, buffer);
    return 0;
}

int buffer_measure(struct buffers *buffers, struct buffer *buffer, uint64_t *size, uint64_t *allocated,
                   struct limit_met *met)
{
    uint32_t seals;
    struct stat st;

    if (buffer_seals(buffer, 0, &seals) < 0 || fstat(buffer->fd, &st) < 0)
        return SEALBUF_ERR_INTERNAL;
    *size = (uint64_t)st.st_size;
    *allocated = (uint64_t)st.st_blocks * 512;
    int r = recharge(buffers, buffer, *size, met);
    buffer->is_final = r == 0 && fix_size(seals);
    return r;
}

uint64_t buffer_growth(const struct buffer *buffer)
{
    struct stat st;

    if (buffer->is_final || fstat(buffer->fd, &st) < 0 || (uint64_t)st.st_size < buffer->charged)
        return 0;
    return (uint64_t)st.st_size - buffer->charged;
}

int buffer_to_ledger(const struct buffer *buffer, struct ledger_buffer *record)
{
    struct stat st;
    uint32_t seals;

    int r = memfd_get_seals(buffer->fd, &seals); /* before the size, which these may have fixed */
    if (r < 0)
        return r;
    if (fstat(buffer->fd, &st) < 0)
        return -errno;
    *record = (struct ledger_buffer){
        .id = buffer->id,
        .size = (uint64_t)st.st_size,
        .device = st.st_dev,
        .inode = st.st_ino,
        .created_ns = buffer->created_ns,
        .creator_pidfd = buffer->creator_pidfd,
        .seals = seals,
        .flags = buffer->flags,
        .owner = buffer->owner,
        .creator = (uint32_t)buffer->creator,
        .stored = buffer->is_stored,
        .entry = buffer->is_stored && buffer->entry->id != buffer->id ? buffer->entry->id : 0,
        .label = buffer_label(buffer),
        .metadata = buffer_metadata(buffer),
        .security = buffer_creator_security(buffer),
    };
    return 0;
}

int buffer_record(struct buffers *buffers, struct buffer *buffer)
{
    struct ledger_buffer record;
    struct token *token;

    if (buffer->slot)
        return 0;
    if (buffer_to_ledger(buffer, &record) < 0)
        return SEALBUF_ERR_INTERNAL;
    int r = ledger_put(buffers->ledger, LEDGER_BUFFER, &record, &buffer->slot);
    for (token = LIST_FIRST(&buffer->tokens); token && r == 0; token = LIST_NEXT(token, of_buffer))
        r = token_record(token);
    if (r)
        buffer_unrecord(buffers, buffer);
    return r;
}

void buffer_unrecord(struct buffers *buffers, struct buffer *buffer)
{
    struct token *token;

    LIST_FOREACH(token, &buffer->tokens, of_buffer)
        ledger_clear(buffers->ledger, &token->slot);
    ledger_clear(buffers->ledger, &buffer->slot);
}

int buffer_set_metadata(struct buffers *buffers, struct buffer *buffer, struct span metadata,
                        struct buffer_metadata *before, struct limit_met *met)
{
    uint64_t now = metadata.length, was = buffer->metadata_length;
    int r = now > was ? quota_charge(buffers->quota, buffer->owner, RESOURCE_METADATA, now - was, met) : 0;
    if (r)
        return r;
    char *text = malloc(now + 1);
    if (!text) {
        quota_release(buffers->quota, buffer->owner, RESOURCE_METADATA, now > was ? now - was : 0);
        return SEALBUF_ERR_MEMORY;
    }
    append(text, metadata);
    quota_release(buffers->quota, buffer->owner, RESOURCE_METADATA, was > now ? was - now : 0);
    *before = (struct buffer_metadata){true, buffer->metadata, buffer->metadata_length};
    buffer->metadata = text;
    buffer->metadata_length = (uint16_t)now;
    return 0;
}

void buffer_undo_metadata(struct buffers *buffers, struct buffer *buffer, struct buffer_metadata *before)
{
    uint64_t now = buffer->metadata_length, was = before->length;

    if (!before->was_set)
        return;
    quota_release(buffers->quota, buffer->owner, RESOURCE_METADATA, now > was ? now - was : 0);
    quota_add(buffers->quota, buffer->owner, RESOURCE_METADATA, was > now ? was - now : 0);
    free(buffer->metadata);
    buffer->metadata = take_pointer(before->text);
    buffer->metadata_length = before->length;
    before->was_set = false;
}

void buffer_forget_metadata(struct buffer_metadata *before)
{
    free(take_pointer(before->text));
    before->was_set = false;
}

struct span buffer_label(const struct buffer *buffer)
{
    return (struct span){buffer->strings, buffer->label_length};
}

struct span buffer_metadata(const struct buffer *buffer)
{
    const char *first = buffer->strings + buffer->label_length + buffer->security_length;
    return (struct span){buffer->metadata ? buffer->metadata : first, buffer->metadata_length};
}

struct span buffer_creator_security(const struct buffer *buffer)
{
    return (struct span){buffer->strings + buffer->label_length, buffer->security_length};
}
