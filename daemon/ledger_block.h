/* SPDX-License-Identifier: MIT */
/*
 * A block of the ledger: slots of one size, each with a header. Which size, the headers themselves say: a slot starts
 * at every multiple of the greatest size, whatever the block's own is, so that these are asked, and the most of them
 * count.
 */
#ifndef DAEMON_LEDGER_BLOCK_H
#define DAEMON_LEDGER_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define BLOCK_SIZE   65536u
#define LEAST_SLOT   128u
#define SLOT_SHAPES  7u /* 128, 256, ... 8192 bytes */
#define MOST_SLOTS   (BLOCK_SIZE / LEAST_SLOT)
#define BIGGEST_SLOT (LEAST_SLOT << (SLOT_SHAPES - 1))

/* Of more than one bit's difference. */
enum slot_state { SLOT_FREE = 0x5a0ff1ce, SLOT_USED = 0xa55e91b7, SLOT_SUSPENDED = 0x3c69d078 };

struct slot_header {
    uint32_t state;    /* written last */
    uint32_t checksum; /* of all but the state, of the record, and of where it is */
    uint16_t shape;    /* SHAPE_MARK and the size */
    uint16_t kind;
    uint32_t length; /* of the record behind the header */
    uint64_t sequence;
    uint64_t reserved;
};

#define BIGGEST_RECORD (BIGGEST_SLOT - sizeof(struct slot_header))

/* The broker's own view of a block. */
struct block {
    TAILQ_ENTRY(block) with_room; /* among those of its shape, or those that are empty */
    uint8_t *memory;
    uint32_t first; /* number of its first slot, as ledger.h counts them */
    uint16_t used;  /* slots */
    uint16_t shape; /* 0 to 6; SLOT_SHAPES: none yet */
    bool is_listed;
    uint64_t taken[MOST_SLOTS / 64];
};

static inline unsigned shape_for(size_t record)
{
    unsigned shape = 0;

    while (shape < SLOT_SHAPES && (LEAST_SLOT << shape) - sizeof(struct slot_header) < record)
        shape++;
    return shape;
}

static inline unsigned slots_of(const struct block *block)
{
    return block->shape < SLOT_SHAPES ? MOST_SLOTS >> block->shape : 0;
}

/* Makes its memory free slots of this shape. */
void block_format(struct block *block, unsigned shape);

/* Finds out what is in its memory. What is damaged becomes free; returns how many slots that were. */
unsigned block_scan(struct block *block, uint64_t *greatest_sequence);

/* A free slot of a block that has one; its number in the ledger. */
uint32_t block_take(struct block *block);
void block_free(struct block *block, uint32_t slot);

/* Copies a slot's header and record; its room is that of the greatest one. False: what was copied is not whole. */
bool block_copy(const struct block *block, uint32_t slot, void *room);

struct slot_header *block_slot(const struct block *block, uint32_t slot);

/* Fills in a slot that was taken. What was suspended is used again, and the other way round. */
void slot_write(struct slot_header *header, uint32_t slot, unsigned kind, uint64_t sequence, const void *record,
                uint32_t length);
void slot_set_state(struct slot_header *header, enum slot_state state);

#endif
