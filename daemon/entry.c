/* SPDX-License-Identifier: MIT */
#include "entry.h"

#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buffer.h"
#include "ledger_schema.h"

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* By inode; of one inode there are several, where it has several descriptions. */
static int compare(const struct entry *a, const struct entry *b)
{
    int r = compare_numbers(a->inode, b->inode);

    if (r == 0)
        r = compare_numbers(a->device, b->device);
    return r ? r : compare_numbers(a->id, b->id);
}

TREE_GENERATE(entry_tree, entry, by_inode, compare)

/* As the manager does: where the kernel does not tell, those of one inode count as the same. */
static bool is_same(const struct buffer *one, const struct buffer *other)
{
    long r = syscall(SYS_kcmp, (long)getpid(), (long)getpid(), (long)KCMP_FILE, (long)one->fd, (long)other->fd);

    return r <= 0;
}

static bool has_inode(const struct entry *entry, const struct entry *key)
{
    return entry && entry->inode == key->inode && entry->device == key->device;
}

static struct entry *belong(struct entry_tree *entries, struct entry *entry, const struct entry *key,
                            struct buffer *buffer)
{
    if (!entry) {
        entry = malloc(sizeof(*entry));
        if (!entry)
            return NULL;
        *entry = *key;
        LIST_INIT(&entry->buffers);
        RB_INSERT(entry_tree, entries, entry);
    }
    LIST_INSERT_HEAD(&entry->buffers, buffer, of_entry);
    buffer->entry = entry;
    return entry;
}

struct entry *entry_join(struct entry_tree *entries, struct buffer *buffer)
{
    struct entry *entry, key;
    struct stat st;

    if (fstat(buffer->fd, &st) < 0)
        return NULL;
    key = (struct entry){.device = st.st_dev, .inode = st.st_ino};
    entry = RB_NFIND(entry_tree, entries, &key);
    while (has_inode(entry, &key) && !is_same(LIST_FIRST(&entry->buffers), buffer))
        entry = entry_tree_RB_NEXT(entry);
    key.id = buffer->id;
    return belong(entries, has_inode(entry, &key) ? entry : NULL, &key, buffer);
}

struct entry *entry_restore(struct entry_tree *entries, struct buffer *buffer, const struct ledger_buffer *record)
{
    struct entry key = {.device = record->device,
                        .inode = record->inode,
                        .id = record->entry ? record->entry : record->id,
                        .is_there = true};

    return belong(entries, RB_FIND(entry_tree, entries, &key), &key, buffer);
}

bool entry_leave(struct entry_tree *entries, struct buffer *buffer)
{
    struct entry *entry = buffer->entry;

    LIST_REMOVE(buffer, of_entry);
    buffer->entry = NULL;
    if (!LIST_EMPTY(&entry->buffers))
        return false;
    RB_REMOVE(entry_tree, entries, entry);
    free(entry);
    return true;
}
