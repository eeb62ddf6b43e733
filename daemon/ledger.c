/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "codec_table.h"
#include "ledger_block.h"
#include "ledger_head.h"
#include "memfd.h"
#include "seals.h"

LEDGER_SCHEMAS(SCHEMA_TABLE)

/* Address space, not memory: reserved once, so that nothing that points into the ledger ever moves. */
#define MOST_RESERVED  ((size_t)1 << (sizeof(void *) > 4 ? 32 : 28))
#define LEAST_RESERVED ((size_t)1 << 24)
/* What is found and bigger than this is no ledger. */
#define MOST_FOUND (MOST_RESERVED - BLOCK_SIZE)
/* Beyond all batches that there can have been, where nobody knows which was the last one. */
#define FAR ((uint64_t)1 << 40)

TAILQ_HEAD(block_list, block);

struct ledger {
    int fd;
    uint8_t *memory;
    size_t reserved; /* bytes from `memory` on */
    struct block **blocks;
    size_t block_count, block_room;
    struct block_list with_room[SLOT_SHAPES];
    struct block_list empty; /* of no shape, whatever they were before */
    uint64_t last_id;
    uint64_t last_sequence;
    uint64_t committed; /* the last batch */
    size_t damaged;
    bool ids_known;
    bool detached;
    bool on_trial;
    uint8_t read[BIGGEST_SLOT] __attribute__((aligned(8))); /* a copy: on trial others write into what is mapped */
};

static const struct schema *const schemas[] = {
    [LEDGER_BUFFER] = &ledger_buffer_schema,
    [LEDGER_NAME_RECORD] = &ledger_name_schema,
    [LEDGER_TOKEN] = &ledger_token_schema,
};

static struct ledger_head *head_of(const struct ledger *ledger)
{
    return (struct ledger_head *)(void *)ledger->memory;
}

static struct block *block_of(const struct ledger *ledger, uint32_t slot)
{
    return ledger->blocks[((size_t)slot * LEAST_SLOT - HEAD_SIZE) / BLOCK_SIZE];
}

static struct block_list *list_of(struct ledger *ledger, unsigned shape)
{
    return shape < SLOT_SHAPES ? &ledger->with_room[shape] : &ledger->empty;
}

/*
 * Puts a block into the list where it belongs, by what is free in it; or into none. The last one of its shape with room
 * keeps the shape when it is empty: or it would be formatted again for every record that comes and goes.
 */
static void list_block(struct ledger *ledger, struct block *block)
{
    if (block->is_listed)
        TAILQ_REMOVE(list_of(ledger, block->shape), block, with_room);
    block->is_listed = block->used == 0 || block->used < slots_of(block);
    if (block->used == 0 && !TAILQ_EMPTY(list_of(ledger, block->shape)))
        block->shape = SLOT_SHAPES;
    if (block->is_listed)
        TAILQ_INSERT_HEAD(list_of(ledger, block->shape), block, with_room);
}

static struct block *add_block(struct ledger *ledger)
{
    if (ledger->block_count == ledger->block_room) {
        size_t room = ledger->block_room ? ledger->block_room * 2 : 16;
        struct block **blocks = reallocarray(ledger->blocks, room, sizeof(struct block *));
        if (!blocks)
            return NULL;
        ledger->blocks = blocks;
        ledger->block_room = room;
    }
    struct block *block = calloc(1, sizeof(*block));
    if (!block)
        return NULL;
    size_t offset = HEAD_SIZE + ledger->block_count * (size_t)BLOCK_SIZE;
    block->memory = ledger->memory + offset;
    block->first = (uint32_t)(offset / LEAST_SLOT);
    block->shape = SLOT_SHAPES;
    ledger->blocks[ledger->block_count++] = block;
    return block;
}

static struct block *grow(struct ledger *ledger)
{
    size_t size = HEAD_SIZE + ledger->block_count * (size_t)BLOCK_SIZE;
    struct block *block = size + BLOCK_SIZE > ledger->reserved ? NULL : add_block(ledger);

    if (block)
        list_block(ledger, block);
    return block;
}

/*
 * Memory is asked for here, where its lack is an error, and not where it is written, where that would be a SIGBUS. What
 * is there already stays as it is.
 */
static bool allocate_block(struct ledger *ledger, const struct block *block)
{
    return !ledger->on_trial && fallocate(ledger->fd, 0, block->memory - ledger->memory, BLOCK_SIZE) == 0;
}

static struct block *block_with_room(struct ledger *ledger, unsigned shape)
{
    struct block *block = TAILQ_FIRST(&ledger->with_room[shape]);

    if (block)
        return block;
    block = TAILQ_FIRST(&ledger->empty);
    if (!block)
        block = grow(ledger);
    if (!block || !allocate_block(ledger, block))
        return NULL;
    TAILQ_REMOVE(&ledger->empty, block, with_room);
    block->is_listed = false;
    block_format(block, shape);
    return block;
}

static uint32_t take_slot(struct ledger *ledger, size_t record)
{
    unsigned shape = shape_for(record);
    struct block *block = shape < SLOT_SHAPES ? block_with_room(ledger, shape) : NULL;

    if (!block)
        return 0;
    uint32_t slot = block_take(block);
    list_block(ledger, block);
    return slot;
}

int ledger_put(struct ledger *ledger, enum ledger_kind kind, const void *record, uint32_t *slot)
{
    uint8_t room[BIGGEST_RECORD];
    struct writer writer = {.buffer = room, .room = sizeof(room)};

    if (ledger->detached)
        return 0;
    uint32_t taken = record_encode(schemas[kind], &writer, record) == 0 ? take_slot(ledger, writer.used) : 0;
    if (taken)
        slot_write(block_slot(block_of(ledger, taken), taken), taken, kind, ++ledger->last_sequence, room,
                   (uint32_t)writer.used);
    explicit_bzero(room, writer.used);
    if (!taken)
        return SEALBUF_ERR_MEMORY;
    ledger_clear(ledger, slot);
    *slot = taken;
    return 0;
}

void ledger_clear(struct ledger *ledger, uint32_t *slot)
{
    if (*slot == 0 || ledger->detached)
        return;
    struct block *block = block_of(ledger, *slot);
    block_free(block, *slot);
    list_block(ledger, block);
    *slot = 0;
}

uint64_t ledger_next_batch(const struct ledger *ledger)
{
    return ledger->committed + 1;
}

void ledger_commit(struct ledger *ledger, uint64_t batch)
{
    if (ledger->detached)
        return;
    ledger->committed = batch;
    head_commit(head_of(ledger), batch);
}

bool ledger_is_committed(const struct ledger *ledger, uint64_t batch)
{
    return batch <= ledger->committed;
}

void ledger_suspend(struct ledger *ledger, uint32_t slot)
{
    if (slot && !ledger->detached)
        slot_set_state(block_slot(block_of(ledger, slot), slot), SLOT_SUSPENDED);
}

void ledger_resume(struct ledger *ledger, uint32_t slot)
{
    if (slot && !ledger->detached)
        slot_set_state(block_slot(block_of(ledger, slot), slot), SLOT_USED);
}

void ledger_detach(struct ledger *ledger)
{
    if (ledger)
        ledger->detached = true;
}

static struct ledger *allocate(int fd)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));

    if (!ledger)
        return NULL;
    ledger->fd = fd;
    ledger->memory = MAP_FAILED;
    TAILQ_INIT(&ledger->empty);
    for (unsigned i = 0; i < SLOT_SHAPES; i++)
        TAILQ_INIT(&ledger->with_room[i]);
    return ledger;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    for (size_t i = 0; i < ledger->block_count; i++)
        free(ledger->blocks[i]);
    free(ledger->blocks);
    if (ledger->memory != MAP_FAILED)
        munmap(ledger->memory, ledger->reserved);
    close_quietly(ledger->fd);
    free(ledger);
}

/* As much as there is address space for, but for `least` bytes. */
static int map_shared(struct ledger *ledger, size_t least)
{
    errno = ENOMEM;
    for (size_t size = MOST_RESERVED; size >= LEAST_RESERVED && size >= least; size /= 2) {
        ledger->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ledger->fd, 0);
        if (ledger->memory != MAP_FAILED) {
            ledger->reserved = size;
            return 0;
        }
    }
    return -errno;
}

static int map_for_trial(struct ledger *ledger, size_t size)
{
    ledger->on_trial = true;
    ledger->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, ledger->fd, 0);
    if (ledger->memory == MAP_FAILED)
        return -errno;
    ledger->reserved = size;
    return 0;
}

int ledger_new(struct ledger **made)
{
    int fd = memfd_create_spec(&(struct memfd_spec){.label = "sealbuf-ledger", .mode = 0600});
    if (fd < 0)
        return fd;
    struct ledger *ledger = allocate(fd);
    if (!ledger) {
        close(fd);
        return -ENOMEM;
    }
    int r = fallocate(fd, 0, 0, HEAD_SIZE) < 0 ? -errno : memfd_add_seals(fd, F_SEAL_SHRINK | F_SEAL_SEAL);
    if (r == 0)
        r = map_shared(ledger, LEAST_RESERVED);
    if (r == 0)
        r = head_make(head_of(ledger));
    ledger->ids_known = true;
    if (r == 0)
        *made = ledger;
    else
        ledger_close(ledger);
    return r;
}

/* A file that could shrink could take the memory away from under the broker. *size: what can be read. */
static int check_file(int fd, enum ledger_use use, uint64_t *size, const char **cause)
{
    struct stat st;
    uint32_t seals;

    *cause = "it is no memfd that is open for reading and writing";
    if ((fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH)) != O_RDWR || memfd_get_seals(fd, &seals) < 0)
        return -EPROTO;
    *cause = "it lacks a seal, or has one too many";
    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW))
        return -EPROTO;
    if (!seals_contain(seals, SEALBUF_SEAL_SHRINK) &&
        (use == LEDGER_ON_TRIAL || memfd_add_seals(fd, F_SEAL_SHRINK) < 0))
        return -EPROTO;
    if (fstat(fd, &st) < 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    *cause = "its size is none that a ledger can have";
    return *size < HEAD_SIZE || *size > MOST_FOUND ? -EPROTO : 0;
}

/* One that was cut off in a block gets what it lacks, empty. */
static int complete_blocks(struct ledger *ledger, uint64_t size)
{
    uint64_t blocks = (size - HEAD_SIZE) / BLOCK_SIZE, rest = (size - HEAD_SIZE) % BLOCK_SIZE;

    if (rest && !ledger->on_trial) {
        if (fallocate(ledger->fd, 0, (off_t)(size - rest), BLOCK_SIZE) < 0)
            return -errno;
        blocks++;
    }
    while (ledger->block_count < blocks)
        if (!add_block(ledger))
            return -ENOMEM;
    return 0;
}

/* Looking into a hole would fill it. */
static bool has_memory(const struct ledger *ledger, const struct block *block)
{
    off_t offset = block->memory - ledger->memory, data = lseek(ledger->fd, offset, SEEK_DATA);
    return data >= 0 && data < offset + (off_t)BLOCK_SIZE;
}

static int scan(struct ledger *ledger, uint64_t size, const char **cause)
{
    if (!head_check(head_of(ledger), cause))
        return -EPROTO;
    *cause = "there is no memory for it";
    int r = complete_blocks(ledger, size);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ledger->block_count; i++) {
        struct block *block = ledger->blocks[i];
        if (has_memory(ledger, block))
            ledger->damaged += block_scan(block, &ledger->last_sequence);
        list_block(ledger, block);
    }
    ledger->ids_known = head_last_id(head_of(ledger), &ledger->last_id);
    if (!head_committed(head_of(ledger), &ledger->committed))
        ledger->committed = FAR; /* of all that were ever begun, hardly one was not committed */
    return 0;
}

int ledger_open(int *fd, enum ledger_use use, struct ledger **opened, const char **cause)
{
    uint64_t size = 0;
    int r = check_file(*fd, use, &size, cause);

    if (r < 0)
        return r;
    *cause = "there is no memory for it";
    struct ledger *ledger = allocate(*fd);
    if (!ledger)
        return -ENOMEM;
    r = use == LEDGER_ON_TRIAL ? map_for_trial(ledger, size) : map_shared(ledger, size + BLOCK_SIZE);
    if (r == 0)
        r = scan(ledger, size, cause);
    if (r == 0) {
        *fd = -1;
        *opened = ledger;
    } else {
        ledger->fd = -1; /* still the caller's */
        ledger_close(ledger);
    }
    return r;
}

int ledger_fd(const struct ledger *ledger)
{
    return ledger->fd;
}

uint64_t ledger_instance(const struct ledger *ledger)
{
    return head_of(ledger)->identity.instance;
}

uint64_t ledger_created_ns(const struct ledger *ledger)
{
    return head_of(ledger)->identity.created_ns;
}

struct counters *ledger_counters(struct ledger *ledger)
{
    return &head_of(ledger)->counters;
}

uint64_t ledger_next_id(struct ledger *ledger)
{
    head_set_last_id(head_of(ledger), ++ledger->last_id);
    return ledger->last_id;
}

void ledger_skip_ids(struct ledger *ledger, uint64_t up_to)
{
    if (up_to > ledger->last_id)
        ledger->last_id = up_to;
    head_set_last_id(head_of(ledger), ledger->last_id);
}

bool ledger_ids_are_known(const struct ledger *ledger)
{
    return ledger->ids_known;
}

struct place {
    uint64_t sequence;
    uint32_t slot;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *one = a, *other = b;
    return (one->sequence > other->sequence) - (one->sequence < other->sequence);
}

static enum ledger_kind kind_of(const struct slot_header *header)
{
    return header->kind > LEDGER_KIND_LAST || header->reserved ? LEDGER_UNKNOWN : (enum ledger_kind)header->kind;
}

static void list_of_block(const struct block *block, enum ledger_kind kind, struct place *places, size_t *count)
{
    for (unsigned i = 0; i < slots_of(block); i++) {
        uint32_t slot = block->first + (i << block->shape);
        if (!(block->taken[i / 64] >> i % 64 & 1) || kind_of(block_slot(block, slot)) != kind)
            continue;
        places[*count] = (struct place){block_slot(block, slot)->sequence, slot};
        ++*count;
    }
}

int ledger_list(struct ledger *ledger, enum ledger_kind kind, uint32_t **slots, size_t *count)
{
    size_t most = 1;

    for (size_t i = 0; i < ledger->block_count; i++)
        most += ledger->blocks[i]->used;
    CLEANUP(cleanup_free)
    struct place *places = calloc(most, sizeof(*places));
    uint32_t *list = calloc(most, sizeof(*list));
    *slots = list;
    *count = 0;
    if (!places || !list)
        return -ENOMEM;
    for (size_t i = 0; i < ledger->block_count; i++)
        list_of_block(ledger->blocks[i], kind, places, count);
    qsort(places, *count, sizeof(*places), compare_places);
    for (size_t i = 0; i < *count; i++)
        list[i] = places[i].slot;
    return 0;
}

int ledger_read(struct ledger *ledger, enum ledger_kind kind, uint32_t slot, void *record)
{
    const struct slot_header *header = (const struct slot_header *)(const void *)ledger->read;
    const char *field;

    if (!block_copy(block_of(ledger, slot), slot, ledger->read))
        return -ENOENT;
    if (kind_of(header) != kind)
        return -ENOENT;
    if (kind == LEDGER_UNKNOWN)
        return SEALBUF_ERR_MALFORMED;
    struct reader reader = {.at = (const uint8_t *)(header + 1), .left = header->length};
    int r = record_decode(schemas[kind], REFUSE_UNKNOWN, &reader, record, &field);
    return r || reader.left ? SEALBUF_ERR_MALFORMED : 0;
}

size_t ledger_damaged(const struct ledger *ledger)
{
    return ledger->damaged;
}

uint64_t ledger_size(const struct ledger *ledger)
{
    return HEAD_SIZE + ledger->block_count * (uint64_t)BLOCK_SIZE;
}
