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
