/* SPDX-License-Identifier: MIT */
/* Buffers of a hostile client, by the handful: made, published, gone. */
#ifndef BENCH_HOSTILE_BUFFERS_H
#define BENCH_HOSTILE_BUFFERS_H

#include "wire.h"

struct hostile_buffer {
    uint64_t id;
    int fd; /* read-write */
};

/* Requests for a batch, of SEALBUF_MAX_RECORDS at most. All of these: -1 where it failed; it has been said why. */
int batch_of_creates(struct message *message, unsigned count, uint64_t size, uint32_t seals);
int batch_of_removes(struct message *message, const uint64_t *ids, unsigned count);
/* Reads the ids out of a reply to CREATE: how many there are, fewer than records where a limit was met. */
int batch_ids(struct answer *answer, uint64_t *ids);

/* A batch: how many were made, fewer than `count` where a limit was met. */
int hostile_buffers_create(int socket, struct hostile_buffer *buffers, unsigned count, uint64_t size, uint32_t seals);
/* Any number, and all of them: 0, or -1. */
int hostile_buffers_create_all(int socket, struct hostile_buffer *buffers, unsigned count, uint64_t size,
                               uint32_t seals);
/* Has the broker drop them; whatever descriptors there are stay. */
int hostile_buffers_remove(int socket, const uint64_t *ids, unsigned count);
/* Binds `count` names, this prefix and a number from 0 on, to these buffers in turn. */
int hostile_names_bind(int socket, const uint64_t *ids, unsigned buffers, const char *prefix, unsigned count);

int hostile_stats(int socket, struct stats_reply *stats);

#endif
