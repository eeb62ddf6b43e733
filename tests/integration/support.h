/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the library share: option structs in one expression, buffers that must come to be, children that
 * must end well, and a look at what the kernel thinks of a buffer.
 */
#ifndef TESTS_INTEGRATION_SUPPORT_H
#define TESTS_INTEGRATION_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include "../harness.h"
#include "sealbuf.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* A pointer to an option struct with its size: OPTIONS(sealbuf_create_options, .size = 1) */
#define OPTIONS(type, ...) (&(struct type){.struct_size = sizeof(struct type), __VA_ARGS__})

#define NOBODY 65534u

/* A buffer of the library's own, without a broker. */
sealbuf_buffer *new_buffer(uint64_t size, uint32_t flags);
/* The same, with some bytes of text in it, a seal or none, and the size of the text. */
sealbuf_buffer *new_text(const char *text, uint32_t seals);

/* F_GET_SEALS, not by way of the library. */
uint32_t seals_of(const sealbuf_buffer *buffer);
uint64_t size_of(const sealbuf_buffer *buffer);
/* EXEC where this kernel has it (6.3), else 0: what a buffer gets at birth besides SHRINK and GROW. */
uint32_t exec_seal(void);
/* Whether the buffer has exactly this content. */
bool content_is(const sealbuf_buffer *buffer, const void *bytes, size_t size);
/* Whether there is a mapping of this process at the address. */
bool mapped_at(const void *address);
/* Bytes that differ from place to place, and from seed to seed. */
void fill_pattern(unsigned char *bytes, size_t size, uint32_t seed);

/* A connection to $SEALBUF_SOCKET, which harness_tcase_with_broker and broker_start set. */
sealbuf_client *new_client(void);
/* Waits until the connection fails, 10 s at most: how it has failed, or 0. */
int wait_for_failure(sealbuf_client *client);
/*
 * Ends a broker with a signal, whatever it has still open, and removes what it leaves. Its status as waitpid(2) tells
 * it. Instead of broker_stop.
 */
int broker_end(struct broker *running, int signal_number);
/* Lets other users get at the socket of the broker. */
void broker_open_to_all(const struct broker *running);
/* Until the condition is true; 10 s at most. Once it was, it is not asked again: to ask may change something. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        bool met_ = (condition);                                                                                       \
        for (int tries = 0; tries < 5000 && !met_; tries++) {                                                          \
            usleep(2000);                                                                                              \
            met_ = (condition);                                                                                        \
        }                                                                                                              \
        ck_assert_msg(met_, "not within 10 s: " #condition);                                                           \
    } while (0)

/* No descriptor can be opened any more: the soft limit of before, for table_open. */
rlim_t table_close(void);
void table_open(rlim_t before);

/* Runs fn in a child, which must return; within 30 s. Where a CHILD_CHECK fails there, the test fails. */
void in_child(void (*fn)(void *), void *argument);
/* The same, as another user: only where this process is root. */
void in_child_as(uid_t uid, gid_t gid, void (*fn)(void *), void *argument);
/* A child that goes on until child_end, and has got through `fn` when this returns. */
struct child {
    pid_t pid;
    int leave;
};
void child_begin(struct child *child, void (*fn)(void *), void *argument);
void child_end(struct child *child);

void child_failed(const char *file, int line, const char *what) __attribute__((noreturn));
#define CHILD_CHECK(condition)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            child_failed(__FILE__, __LINE__, #condition);                                                              \
    } while (0)

#endif
