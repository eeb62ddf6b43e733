/* SPDX-License-Identifier: MIT */
/*
 * The bare-kernel server: what a broker's operations cost when there is nothing but the kernel. It makes, for each
 * operation, the system calls that a broker cannot do without (one epoll_wait, one recvmsg, the work itself, one
 * sendmsg), and nothing else: no names, no checks, no accounts, no queues. Its objects are descriptors in a plain
 * array, and the client says which slot. Whoever sends nonsense gets nonsense.
 */
#ifndef BENCH_BARE_SERVER_H
#define BENCH_BARE_SERVER_H

#include <stdint.h>

#define BARE_SLOTS    16384u
#define BARE_GREATEST 253u /* descriptors in a message: SCM_MAX_FD */

enum bare_operation {
    BARE_PING,    /* nothing */
    BARE_CREATE,  /* memfd_create, ftruncate, F_ADD_SEALS SHRINK|GROW, fchmod 0444; ships the read-write descriptors */
    BARE_HELD,    /* ships the descriptors that are held */
    BARE_GET,     /* openat of N in /proc/self/fd, read-only; ships the new descriptors; close */
    BARE_SEAL,    /* F_ADD_SEALS */
    BARE_PUBLISH, /* F_GET_SEALS */
    BARE_DROP,    /* close */
};

/* On slots first .. first + count - 1. */
struct bare_request {
    uint32_t operation;
    uint32_t first, count;
    uint32_t seals;
    uint64_t size;
};

struct bare_reply {
    int32_t error; /* errno, or 0; then the descriptors come along */
    uint32_t seals;
};

/* Serves one client, until it closes its end. The exit status. */
int bare_server_run(int socket);

#endif
