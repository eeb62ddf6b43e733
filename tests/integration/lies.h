/* SPDX-License-Identifier: MIT */
/* What a fake broker may answer to GET, and what the library makes of it. */
#ifndef TESTS_INTEGRATION_LIES_H
#define TESTS_INTEGRATION_LIES_H

#include "fake_broker.h"

#define BYTES     4096
#define BAD_REPLY (-SEALBUF_ERR_BAD_REPLY)

/* A good answer to GET, before it is spoilt, and the descriptor that belongs to it. */
extern const struct buffer_record honest;
int good_fd(void);

/* Makes of the answer, which has been begun, something else than it should be, and sends it. */
typedef void spoil_fn(int socket, struct answer *answer);

struct lie {
    const char *name;
    spoil_fn *spoil;
    int expected;        /* of sealbuf_get */
    int expected_of_map; /* where sealbuf_get did not find out */
};
extern const struct lie lies[];
extern const int lies_count;

/* Those that are told on other occasions, too. */
spoil_fn a_tmpfs_file;
spoil_fn garbage;
spoil_fn longer_than_a_message;
spoil_fn no_lie;
spoil_fn no_record;
spoil_fn nothing_with_a_descriptor;
spoil_fn without_shrink;
spoil_fn without_write;

/* Sends an answer with one record, and a descriptor where fd is one, which is closed. */
void answer_get(int socket, struct answer *answer, const struct buffer_record *record, int fd);

#endif
