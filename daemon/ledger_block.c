/* SPDX-License-Identifier: MIT */
#include "ledger_block.h"

#include <string.h>
#include <zlib.h>

#include "ledger.h"

#define SHAPE_MARK 0x51b0u /* the last digit is the shape */

static struct slot_header *header_at(const struct block *block, size_t offset)
{
    return (struct slot_header *)(void *)(block->memory + offset);
}

static size_t offset_of(const struct block *block, uint32_t slot)
{
    return (size_t)(slot - block->first) * LEAST_SLOT;
}

struct slot_header *block_slot(const struct block *block, uint32_t slot)
{
    return header_at(block, offset_of(block, slot));
}

/* What was stored before is in the memory before the state is: whoever is killed here cannot come between. */
void slot_set_state(struct slot_header *header, enum slot_state state)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&header->state, (uint32_t)state, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static uint32_t checksum(const struct slot_header *header, uint32_t slot)
{
    uLong sum = crc32_z(0, (const Bytef *)&slot, sizeof(slot));

    sum = crc32_z(sum, (const Bytef *)&header->shape, sizeof(*header) - offsetof(struct slot_header, shape));
    return (uint32_t)crc32_z(sum, (const Bytef *)(header + 1), header->length);
}

/* Nothing stays of what was there: it may have been a secret. */
static void make_free(struct slot_header *header, unsigned shape)
{
    slot_set_state(header, SLOT_FREE);
    header->shape = (uint16_t)(SHAPE_MARK | shape);
    header->checksum = 0;
    memset(&header->kind, 0, (LEAST_SLOT << shape) - offsetof(struct slot_header, kind));
}

void block_format(struct block *block, unsigned shape)
{
    block->shape = (uint16_t)shape;
    block->used = 0;
    memset(block->taken, 0, sizeof(block->taken));
    memset(block->memory, 0, BLOCK_SIZE);
    for (size_t offset = 0; offset < BLOCK_SIZE; offset += (size_t)LEAST_SLOT << shape)
        make_free(header_at(block, offset), shape);
}

/* What most of those slots say that are there in every shape. */
static unsigned most_say(const struct block *block)
{
    unsigned votes[SLOT_SHAPES] = {0}, most = SLOT_SHAPES;

    for (size_t offset = 0; offset < BLOCK_SIZE; offset += BIGGEST_SLOT) {
        unsigned shape = header_at(block, offset)->shape ^ SHAPE_MARK;
        if (shape < SLOT_SHAPES)
            votes[shape]++;
    }
    for (unsigned shape = 0; shape < SLOT_SHAPES; shape++)
        if (votes[shape] > (most < SLOT_SHAPES ? votes[most] : 0))
            most = shape;
    return most;
}

static bool is_whole(const struct slot_header *header, unsigned shape, uint32_t slot)
{
    if (header->state != SLOT_USED || header->shape != (SHAPE_MARK | shape))
        return false;
    if (header->length > (LEAST_SLOT << shape) - sizeof(*header))
        return false;
    return header->checksum == checksum(header, slot);
}

static bool is_zero(const void *from, size_t size)
{
    const uint8_t *bytes = from;
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Nothing is in it, and nothing is left of what was. Its header is complete, or its block was being formatted. */
static bool is_blank(const struct slot_header *header, unsigned shape)
{
    return (header->state == SLOT_FREE || header->state == 0) &&
           (header->shape == (SHAPE_MARK | shape) || header->shape == 0) && header->checksum == 0 &&
           is_zero(&header->kind, (LEAST_SLOT << shape) - offsetof(struct slot_header, kind));
}

/* A record may have been on its way into what is free, or out of it. */
static bool is_damaged(const struct slot_header *header, unsigned shape)
{
    return header->shape != (SHAPE_MARK | shape) || (header->state != SLOT_FREE && header->state != SLOT_SUSPENDED);
}

static void set_taken(struct block *block, unsigned index, bool taken)
{
    uint64_t bit = (uint64_t)1 << index % 64;

    if (taken)
        block->taken[index / 64] |= bit;
    else
        block->taken[index / 64] &= ~bit;
    if (taken)
        block->used++;
    else
        block->used--;
}

unsigned block_scan(struct block *block, uint64_t *greatest_sequence)
{
    unsigned damaged = 0;

    block->shape = (uint16_t)most_say(block);
    for (unsigned i = 0; i < slots_of(block); i++) {
        struct slot_header *header = header_at(block, (size_t)i * LEAST_SLOT << block->shape);
        if (is_whole(header, block->shape, block->first + (i << block->shape))) {
            set_taken(block, i, true);
            if (header->sequence > *greatest_sequence)
                *greatest_sequence = header->sequence;
        } else {
            bool blank = is_blank(header, block->shape);
            damaged += !blank && is_damaged(header, block->shape);
            if (!blank || header->state == 0 || header->shape == 0)
                make_free(header, block->shape);
        }
    }
    return damaged;
}

bool block_copy(const struct block *block, uint32_t slot, void *room)
{
    memcpy(room, block_slot(block, slot), LEAST_SLOT << block->shape);
    return is_whole(room, block->shape, slot);
}

uint32_t block_take(struct block *block)
{
    unsigned index = 0;

    while (block->taken[index / 64] == UINT64_MAX)
        index += 64;
    index += (unsigned)__builtin_ctzll(~block->taken[index / 64]);
    set_taken(block, index, true);
    return block->first + (index << block->shape);
}

void block_free(struct block *block, uint32_t slot)
{
    make_free(block_slot(block, slot), block->shape);
    set_taken(block, (slot - block->first) >> block->shape, false);
}

void slot_write(struct slot_header *header, uint32_t slot, unsigned kind, uint64_t sequence, const void *record,
                uint32_t length)
{
    header->kind = (uint16_t)kind;
    header->length = length;
    header->sequence = sequence;
    memcpy(header + 1, record, length);
    header->checksum = checksum(header, slot);
    slot_set_state(header, SLOT_USED);
}
