/* SPDX-License-Identifier: MIT */
#include "ledger_head.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <zlib.h>

#include "clock.h"

#define COPIES (sizeof(((struct ledger_head *)NULL)->last_id) / sizeof(struct guarded))

static uint32_t checksum(const struct ledger_identity *identity)
{
    return (uint32_t)crc32_z(0, (const Bytef *)identity, offsetof(struct ledger_identity, checksum));
}

int head_make(struct ledger_head *head)
{
    struct ledger_identity identity = {.magic = LEDGER_MAGIC, .version = LEDGER_VERSION};

    identity.created_ns = clock_realtime_ns();
    if (getrandom(&identity.instance, sizeof(identity.instance), 0) != sizeof(identity.instance))
        return -errno;
    identity.checksum = checksum(&identity);
    head_set_last_id(head, 0);
    head->identity_again = identity;
    head->identity = identity;
    return 0;
}

static bool is_whole(const struct ledger_identity *identity)
{
    return memcmp(identity->magic, LEDGER_MAGIC, sizeof(identity->magic)) == 0 &&
           identity->checksum == checksum(identity);
}

bool head_check(struct ledger_head *head, const char **cause)
{
    const struct ledger_identity *whole = is_whole(&head->identity)         ? &head->identity
                                          : is_whole(&head->identity_again) ? &head->identity_again
                                                                            : NULL;

    if (!whole) {
        *cause = "its header is damaged, or it is no ledger";
        return false;
    }
    if (whole->version > LEDGER_VERSION) {
        *cause = "it is of a newer version of sealbufd";
        return false;
    }
    struct ledger_identity identity = *whole;
    identity.version = LEDGER_VERSION;
    identity.checksum = checksum(&identity);
    if (whole == &head->identity) { /* there is a whole one at every moment */
        head->identity_again = identity;
        head->identity = identity;
    } else {
        head->identity = identity;
        head->identity_again = identity;
    }
    return true;
}

bool head_last_id(const struct ledger_head *head, uint64_t *id)
{
    bool known = false;

    *id = 0;
    for (unsigned i = 0; i < COPIES; i++) {
        const struct guarded *copy = &head->last_id[i];
        if (copy->value != ~copy->complement)
            continue;
        known = true;
        if (copy->value > *id)
            *id = copy->value;
    }
    return known;
}

void head_set_last_id(struct ledger_head *head, uint64_t id)
{
    for (unsigned i = 0; i < COPIES; i++)
        head->last_id[i] = (struct guarded){id, ~id};
}

/* 48 bits, and 16 that tell whether they are whole. No batch, as in the ledgers of the first brokers, is 0. */
#define BATCH_BITS 48
#define BATCH_MASK (((uint64_t)1 << BATCH_BITS) - 1)

static uint64_t with_checksum(uint64_t batch)
{
    static const uint64_t none = 0;
    uLong sum = crc32_z(0, (const Bytef *)&batch, sizeof(batch)) ^ crc32_z(0, (const Bytef *)&none, sizeof(none));

    return batch | (uint64_t)sum << BATCH_BITS;
}

bool head_committed(const struct ledger_head *head, uint64_t *batch)
{
    bool known = false;

    *batch = 0;
    for (unsigned i = 0; i < sizeof(head->committed) / sizeof(head->committed[0]); i++) {
        uint64_t copy = __atomic_load_n(&head->committed[i], __ATOMIC_ACQUIRE), number = copy & BATCH_MASK;
        if (copy != with_checksum(number))
            continue;
        known = true;
        if (number > *batch)
            *batch = number;
    }
    return known;
}

void head_commit(struct ledger_head *head, uint64_t batch)
{
    for (unsigned i = 0; i < sizeof(head->committed) / sizeof(head->committed[0]); i++) {
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        __atomic_store_n(&head->committed[i], with_checksum(batch), __ATOMIC_RELEASE);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
}
