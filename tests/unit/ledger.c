/* SPDX-License-Identifier: MIT */
/* The ledger: what is in it after it was opened anew, whole, cut off, and with each of its bits flipped. */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ledger_block.h"
#include "ledger_head.h"
#include "memfd.h"

#include "harness.h"

#define NAMES 24u

static struct ledger *open_copy_of(int fd)
{
    struct ledger *ledger = NULL;
    const char *cause = "";
    int copy = dup(fd);

    if (ledger_open(&copy, LEDGER_FOR_GOOD, &ledger, &cause) < 0) {
        ck_assert_ptr_nonnull(strstr(cause, " "));
        close(copy);
        return NULL;
    }
    return ledger;
}

static struct ledger *new_ledger(void)
{
    struct ledger *ledger = NULL;

    ck_assert_int_eq(ledger_new(&ledger), 0);
    return ledger;
}

/* Names of all lengths: the number says all that is in the record. */
static struct ledger_name name_of(unsigned number, char text[SEALBUF_MAX_NAME])
{
    unsigned length = 1 + number * 37 % SEALBUF_MAX_NAME;

    memset(text, 'a' + (int)(number % 26), length);
    return (struct ledger_name){
        .buffer = number, .generation = number + 1, .owner = 1000 + number, .mode = 0640, .text = {text, length}};
}

static uint32_t put_name(struct ledger *ledger, unsigned number)
{
    char text[SEALBUF_MAX_NAME];
    struct ledger_name name = name_of(number, text);
    uint32_t slot = 0;

    ck_assert_int_eq(ledger_put(ledger, LEDGER_NAME_RECORD, &name, &slot), 0);
    ck_assert_uint_ne(slot, 0);
    return slot;
}

/* The numbers of the names in there, in a set of up to 64; each of them must be whole. */
static uint64_t names_in(struct ledger *ledger)
{
    uint32_t *slots;
    size_t count;
    uint64_t found = 0;

    ck_assert_int_eq(ledger_list(ledger, LEDGER_NAME_RECORD, &slots, &count), 0);
    for (size_t i = 0; i < count; i++) {
        char text[SEALBUF_MAX_NAME];
        struct ledger_name name;
        ck_assert_int_eq(ledger_read(ledger, LEDGER_NAME_RECORD, slots[i], &name), 0);
        const struct ledger_name as_it_was = name_of((unsigned)name.buffer, text);
        ck_assert_uint_lt(name.buffer, 64);
        ck_assert_uint_eq(name.generation, as_it_was.generation);
        ck_assert_uint_eq(name.owner, as_it_was.owner);
        ck_assert_uint_eq(name.text.length, as_it_was.text.length);
        ck_assert_mem_eq(name.text.data, text, name.text.length);
        ck_assert_uint_eq(found >> name.buffer & 1, 0);
        found |= (uint64_t)1 << name.buffer;
    }
    free(slots);
    return found;
}

START_TEST(keeps)
{
    struct ledger *ledger = new_ledger();
    uint32_t slots[NAMES];

    for (unsigned i = 0; i < NAMES; i++)
        slots[i] = put_name(ledger, i);
    for (unsigned i = 0; i < NAMES; i += 2)
        ledger_clear(ledger, &slots[i]);
    ck_assert_uint_eq(slots[0], 0);
    ledger_suspend(ledger, slots[1]);
    ledger_suspend(ledger, slots[3]);
    ledger_resume(ledger, slots[3]);
    ledger_counters(ledger)->requests = 17;
    uint64_t id = ledger_next_id(ledger);
    struct ledger *again = open_copy_of(ledger_fd(ledger));
    ck_assert_uint_eq(names_in(again), 0xaaaaaa & ~2u);
    ck_assert_uint_eq(ledger_damaged(again), 0);
    ck_assert_uint_eq(ledger_instance(again), ledger_instance(ledger));
    ck_assert_uint_eq(ledger_counters(again)->requests, 17);
    ck_assert(ledger_ids_are_known(again));
    ck_assert_uint_eq(ledger_next_id(again), id + 1);
    ledger_close(again);
    ledger_close(ledger);
}
END_TEST

/* What was written later comes later, in whichever slot it is: of two the last one counts. */
START_TEST(in_order)
{
    struct ledger *ledger = new_ledger();
    uint32_t first = put_name(ledger, 1), second = put_name(ledger, 1), *slots;
    size_t count;

    ledger_clear(ledger, &first);
    ck_assert_uint_lt(put_name(ledger, 1), second); /* where the first one was */
    struct ledger *again = open_copy_of(ledger_fd(ledger));
    ck_assert_int_eq(ledger_list(again, LEDGER_NAME_RECORD, &slots, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(slots[0], second);
    free(slots);
    ledger_close(again);
    ledger_close(ledger);
}
END_TEST

/* Records of a batch count from one store on, and for ever. */
START_TEST(batches)
{
    struct ledger *ledger = new_ledger();
    struct ledger_head *head;
    uint64_t batch = ledger_next_batch(ledger);

    ck_assert(ledger_is_committed(ledger, 0));
    ck_assert(!ledger_is_committed(ledger, batch));
    struct ledger *again = open_copy_of(ledger_fd(ledger));
    ck_assert(!ledger_is_committed(again, batch));
    ck_assert_uint_eq(ledger_next_batch(again), batch);
    ledger_close(again);
    for (unsigned i = 0; i < 1000; i++) {
        batch = ledger_next_batch(ledger);
        ledger_commit(ledger, batch);
    }
    head = mmap(NULL, HEAD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ledger_fd(ledger), 0);
    ck_assert_ptr_ne(head, MAP_FAILED);
    for (unsigned damaged = 0; damaged <= 3; damaged++) {
        again = open_copy_of(ledger_fd(ledger));
        ck_assert(ledger_is_committed(again, batch));
        ck_assert(ledger_is_committed(again, batch + 1) == (damaged == 3)); /* nobody knows: none is lost */
        ledger_close(again);
        if (damaged < 3)
            head->committed[damaged] ^= (uint64_t)1 << (7 + 20 * damaged);
    }
    munmap(head, HEAD_SIZE);
    ledger_close(ledger);
}
END_TEST

START_TEST(detached)
{
    struct ledger *ledger = new_ledger();
    uint32_t slot = put_name(ledger, 1), none = 0;
    char text[SEALBUF_MAX_NAME];
    struct ledger_name name = name_of(2, text);

    ledger_detach(ledger);
    ledger_clear(ledger, &slot);
    ck_assert_int_eq(ledger_put(ledger, LEDGER_NAME_RECORD, &name, &none), 0);
    struct ledger *again = open_copy_of(ledger_fd(ledger));
    ck_assert_uint_eq(names_in(again), 2);
    ledger_close(again);
    ledger_close(ledger);
}
END_TEST

START_TEST(on_trial)
{
    struct ledger *ledger = new_ledger(), *trial;
    uint32_t slot = put_name(ledger, 1);
    const char *cause;
    int fd = dup(ledger_fd(ledger));

    ck_assert_int_eq(ledger_open(&fd, LEDGER_ON_TRIAL, &trial, &cause), 0);
    ledger_clear(trial, &slot);
    ledger_next_id(trial);
    ck_assert_uint_eq(names_in(trial), 0);
    ledger_close(trial);
    ck_assert_uint_eq(ledger_next_id(ledger), 1);
    ck_assert_uint_eq(names_in(ledger), 2);
    ledger_close(ledger);
}
END_TEST

/* Records of all sizes come and go; what should be there is there, and the file does not grow without need. */
START_TEST(comes_and_goes)
{
    enum { KEPT = 400 };
    static uint32_t slots[KEPT];
    static char metadata[SEALBUF_MAX_METADATA];
    struct ledger *ledger = new_ledger();
    struct ledger_buffer record = {.owner = 1};
    uint64_t greatest = 0;

    srandom(4);
    for (size_t i = 0; i + 2 < sizeof(metadata); i += 4)
        memcpy(metadata + i, "k=v", 4);
    for (unsigned round = 0; round < 40000; round++) {
        unsigned i = (unsigned)random() % KEPT;
        if (random() % 3 == 0) {
            ledger_clear(ledger, &slots[i]);
        } else {
            record.id = i + 1;
            record.created_ns = round;
            record.metadata = (struct span){metadata, (uint32_t)(random() % 5 * random() % 1000 * 4)};
            ck_assert_int_eq(ledger_put(ledger, LEDGER_BUFFER, &record, &slots[i]), 0);
        }
        if (round == 20000)
            greatest = ledger_size(ledger);
    }
    ck_assert_uint_le(ledger_size(ledger), greatest + greatest / 2);
    struct ledger *again = open_copy_of(ledger_fd(ledger));
    uint32_t *found;
    size_t count, expected = 0;
    ck_assert_int_eq(ledger_list(again, LEDGER_BUFFER, &found, &count), 0);
    for (unsigned i = 0; i < KEPT; i++)
        expected += slots[i] != 0;
    ck_assert_uint_eq(count, expected);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(ledger_read(again, LEDGER_BUFFER, found[i], &record), 0);
        ck_assert_uint_eq(slots[record.id - 1], found[i]);
    }
    free(found);
    ledger_close(again);
    ledger_close(ledger);
}
END_TEST

/* The bytes of a ledger with names, to be damaged. */
static uint8_t *ledger_with_names(size_t *size)
{
    struct ledger *ledger = new_ledger();

    for (unsigned i = 0; i < NAMES; i++)
        put_name(ledger, i);
    ledger_skip_ids(ledger, 1000);
    *size = ledger_size(ledger);
    uint8_t *bytes = malloc(*size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(pread(ledger_fd(ledger), bytes, *size, 0), (ssize_t)*size);
    ledger_close(ledger);
    return bytes;
}

static void write_all(int fd, const uint8_t *bytes, size_t size, size_t offset)
{
    ck_assert_int_eq(pwrite(fd, bytes + offset, size - offset, (off_t)offset), (ssize_t)(size - offset));
}

/* One bit in every byte of the head, and in all others that are not zero: headers, and records. */
START_TEST(every_bit)
{
    size_t size;
    uint8_t *bytes = ledger_with_names(&size);
    int fd = memfd_create_spec(&(struct memfd_spec){.label = "flipped"});

    write_all(fd, bytes, size, 0);
    for (size_t at = 0; at < size; at++) {
        if (at >= HEAD_SIZE && bytes[at] == 0)
            continue;
        bytes[at] ^= (uint8_t)(1u << at % 8);
        write_all(fd, bytes, size, 0);
        bytes[at] ^= (uint8_t)(1u << at % 8);
        struct ledger *ledger = open_copy_of(fd);
        ck_assert_ptr_nonnull(ledger);
        uint64_t missing = (((uint64_t)1 << NAMES) - 1) ^ names_in(ledger);
        ck_assert_uint_eq(missing & (missing - 1), 0); /* one at most */
        ck_assert(missing == 0 || (at >= HEAD_SIZE && ledger_damaged(ledger) == 1));
        ck_assert_uint_eq(ledger_next_id(ledger), 1001);
        put_name(ledger, 60);
        ledger_close(ledger);
    }
    close(fd);
    free(bytes);
}
END_TEST

START_TEST(every_length)
{
    size_t size;
    uint8_t *bytes = ledger_with_names(&size);
    uint64_t before = 0;

    for (size_t length = 0; length <= size; length += length < HEAD_SIZE - 8 ? 97 : 7) {
        int fd = memfd_create_spec(&(struct memfd_spec){.label = "cut"});
        write_all(fd, bytes, length, 0);
        struct ledger *ledger = open_copy_of(fd);
        ck_assert_int_eq(ledger != NULL, length >= HEAD_SIZE);
        if (ledger) {
            uint64_t names = names_in(ledger);
            ck_assert_uint_eq(names & before, before); /* more of it has more in it */
            before = names;
            put_name(ledger, 60);
            ledger_close(ledger);
        }
        close(fd);
    }
    ck_assert_uint_eq(before, ((uint64_t)1 << NAMES) - 1);
    free(bytes);
}
END_TEST

static void *map_of(int fd)
{
    void *memory = mmap(NULL, HEAD_SIZE + BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

/* Whoever is killed while he formats a block leaves no more than zeros: nothing is damaged. */
START_TEST(formatting)
{
    struct ledger *ledger = new_ledger();
    uint8_t *memory = map_of(ledger_fd(ledger)), *block = memory + HEAD_SIZE;

    put_name(ledger, 1);
    for (unsigned step = 0; step < 4; step++) {
        size_t zeros = step == 0 ? BIGGEST_SLOT : BLOCK_SIZE / 4 * step;
        memset(block + BLOCK_SIZE - zeros, 0, zeros);
        ((struct slot_header *)(void *)(block + BLOCK_SIZE / 4 - BIGGEST_SLOT))->state = 0; /* its first bytes */
        ((struct slot_header *)(void *)(block + BLOCK_SIZE - BIGGEST_SLOT))->state = SLOT_FREE;
        struct ledger *again = open_copy_of(ledger_fd(ledger));
        ck_assert_uint_eq(ledger_damaged(again), 0);
        ck_assert_uint_eq(names_in(again), 2);
        ledger_close(again);
    }
    munmap(memory, HEAD_SIZE + BLOCK_SIZE);
    ledger_close(ledger);
}
END_TEST

/* Nothing is left of what was freed, nor of what was on its way into a slot when its writer was killed. */
START_TEST(no_secrets)
{
    static const char secret[] = "aaaaaaaaaaaaaaaa";
    struct ledger *ledger = new_ledger();
    uint32_t slot = put_name(ledger, 26);
    uint8_t *memory = map_of(ledger_fd(ledger)), *there = memory + (size_t)slot * LEAST_SLOT;

    ck_assert_ptr_nonnull(memmem(there, BIGGEST_SLOT, secret, sizeof(secret) - 1));
    ((struct slot_header *)(void *)there)->state = SLOT_FREE;
    ledger_close(open_copy_of(ledger_fd(ledger)));
    ck_assert_ptr_null(memmem(there, BIGGEST_SLOT, secret, sizeof(secret) - 1));
    uint32_t another = put_name(ledger, 26);
    there = memory + (size_t)another * LEAST_SLOT;
    ck_assert_ptr_nonnull(memmem(there, BIGGEST_SLOT, secret, sizeof(secret) - 1));
    ledger_clear(ledger, &another);
    ck_assert_ptr_null(memmem(there, BIGGEST_SLOT, secret, sizeof(secret) - 1));
    munmap(memory, HEAD_SIZE + BLOCK_SIZE);
    ledger_close(ledger);
}
END_TEST

/* What is whole, but not of this version: it is listed as such, and is none of the known ones. */
START_TEST(unknown_records)
{
    for (unsigned round = 0; round < 2; round++) {
        struct ledger *ledger = new_ledger();
        uint32_t slot = put_name(ledger, 1), *slots;
        uint8_t *memory = map_of(ledger_fd(ledger));
        struct slot_header *header = (struct slot_header *)(void *)(memory + (size_t)slot * LEAST_SLOT);
        uint8_t record[BIGGEST_SLOT];
        size_t count;

        put_name(ledger, 2);
        memcpy(record, header + 1, header->length);
        header->reserved = round;
        slot_write(header, slot, round ? LEDGER_NAME_RECORD : LEDGER_KIND_LAST + 1, 1, record, header->length);
        struct ledger *again = open_copy_of(ledger_fd(ledger));
        ck_assert_uint_eq(ledger_damaged(again), 0);
        ck_assert_uint_eq(names_in(again), 4);
        ck_assert_int_eq(ledger_list(again, LEDGER_UNKNOWN, &slots, &count), 0);
        ck_assert_uint_eq(count, 1);
        ck_assert_uint_eq(slots[0], slot);
        ck_assert_int_eq(ledger_read(again, LEDGER_UNKNOWN, slot, NULL), SEALBUF_ERR_MALFORMED);
        free(slots);
        munmap(memory, HEAD_SIZE + BLOCK_SIZE);
        ledger_close(again);
        ledger_close(ledger);
    }
}
END_TEST

/* On trial the other broker writes on: what has gone since the records were listed is told from what cannot be read. */
START_TEST(gone_on_trial)
{
    struct ledger *ledger = new_ledger(), *trial;
    uint32_t slot = put_name(ledger, 1), listed = slot;
    struct ledger_name name;
    const char *cause;
    int fd = dup(ledger_fd(ledger));

    ck_assert_int_eq(ledger_open(&fd, LEDGER_ON_TRIAL, &trial, &cause), 0);
    ck_assert_int_eq(ledger_read(trial, LEDGER_NAME_RECORD, listed, &name), 0);
    ledger_clear(ledger, &slot);
    ck_assert_int_eq(ledger_read(trial, LEDGER_NAME_RECORD, listed, &name), -ENOENT);
    ledger_close(trial);
    ledger_close(ledger);
}
END_TEST

/* Of the two copies of the identity each repairs the other one. */
START_TEST(repaired)
{
    struct ledger *ledger = new_ledger();
    uint8_t *memory = map_of(ledger_fd(ledger));
    struct ledger_head *head = (struct ledger_head *)(void *)memory;

    put_name(ledger, 1);
    for (unsigned round = 0; round < 4; round++) {
        memset(round % 2 ? &head->identity_again : &head->identity, 0x55, sizeof(head->identity));
        struct ledger *again = open_copy_of(ledger_fd(ledger));
        ck_assert_ptr_nonnull(again);
        ck_assert_uint_eq(names_in(again), 2);
        ledger_close(again);
    }
    munmap(memory, HEAD_SIZE + BLOCK_SIZE);
    ledger_close(ledger);
}
END_TEST

START_TEST(no_ledgers)
{
    struct ledger *ledger;
    const char *cause;
    int pipes[2];

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    int fds[] = {-1,
                 pipes[0],
                 pipes[1],
                 open("/", O_RDONLY | O_CLOEXEC),
                 open("/dev/null", O_RDWR | O_CLOEXEC),
                 memfd_create_spec(&(struct memfd_spec){.label = "empty"}),
                 memfd_create_spec(&(struct memfd_spec){.label = "huge", .size = (uint64_t)1 << 40}),
                 memfd_create_spec(&(struct memfd_spec){.label = "zero", .size = 1 << 20}),
                 memfd_create_spec(&(struct memfd_spec){.label = "sealed", .size = 1 << 20, .seals = F_SEAL_WRITE})};
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        int before = fds[i];
        cause = NULL;
        ck_assert_int_lt(ledger_open(&fds[i], LEDGER_FOR_GOOD, &ledger, &cause), 0);
        ck_assert_int_eq(fds[i], before);
        ck_assert_ptr_nonnull(cause);
        if (fds[i] >= 0)
            close(fds[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger");
    TCase *whole = harness_tcase(suite, "whole"), *damaged = harness_tcase(suite, "damaged");

    tcase_set_timeout(damaged, 120);
    tcase_add_test(whole, keeps);
    tcase_add_test(whole, in_order);
    tcase_add_test(whole, batches);
    tcase_add_test(whole, detached);
    tcase_add_test(whole, on_trial);
    tcase_add_test(whole, gone_on_trial);
    tcase_add_test(whole, comes_and_goes);
    tcase_add_test(damaged, every_bit);
    tcase_add_test(damaged, every_length);
    tcase_add_test(damaged, formatting);
    tcase_add_test(damaged, no_secrets);
    tcase_add_test(damaged, unknown_records);
    tcase_add_test(damaged, repaired);
    tcase_add_test(damaged, no_ledgers);
    return harness_run(suite);
}
