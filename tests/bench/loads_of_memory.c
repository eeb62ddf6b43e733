/* SPDX-License-Identifier: MIT */
/* Loads that are about the pages of buffers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "complain.h"
#include "flood.h"
#include "hostile_buffers.h"
#include "hostile_loads.h"

/* glibc of Debian 12 has it; Linux does since 5.14. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE_BYTES 4096u

/* ---- pins: seals that cannot be had for 0.16 s, since a pipe refers to a page ---- */

#define PINNERS 8u

static struct flood flood;
static struct message seals[PINNERS];

/* The descriptor goes, the page stays where it is: in the pipe. */
static int pin_page(int fd)
{
    int pipe_ends[2]; /* open to the end */

    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED || pipe2(pipe_ends, O_CLOEXEC) < 0)
        return complain("a page to pin: %s", strerror(errno));
    memset(page, 1, PAGE_BYTES);
    struct iovec part = {.iov_base = page, .iov_len = PAGE_BYTES};
    if (vmsplice(pipe_ends[1], &part, 1, 0) != PAGE_BYTES)
        return complain("pinning a page by vmsplice: %s", strerror(errno));
    munmap(page, PAGE_BYTES);
    close(fd);
    return 0;
}

static int prepare_pinner(unsigned i)
{
    struct hostile_buffer buffer;

    if (hostile_buffers_create_all(flood.line[i].socket, &buffer, 1, PAGE_BYTES, 0) < 0 || pin_page(buffer.fd) < 0)
        return -1;
    const struct seal_request seal = {.id = buffer.id, .seals = SEALBUF_SEAL_WRITE};
    message_begin(&seals[i], SEALBUF_OP_SEAL);
    if (message_add(&seals[i], &seal_request_schema, &seal) < 0)
        return -1;
    message_end(&seals[i], 0);
    return 0;
}

static int ask_for_seal(struct flood *f, struct line *line, struct answer *answer)
{
    struct outcome outcome;

    if (answer && answer_next(answer, &outcome_schema, &outcome) < 0)
        return -1;
    if (answer && outcome.status != SEALBUF_ERR_BUSY)
        return complain("sealing a buffer with a pinned page: %s", sealbuf_strerror((int)outcome.status));
    return f->resting ? 0 : flood_send(line, &seals[line - f->line], NULL, 0);
}

static int prepare_pins(struct hostile *hostile)
{
    flood = (struct flood){.lines = PINNERS, .depth = 1, .ask = ask_for_seal};
    if (flood_open(&flood, hostile) < 0)
        return -1;
    for (unsigned i = 0; i < PINNERS; i++)
        if (prepare_pinner(i) < 0)
            return -1;
    return 0;
}

const struct load load_of_pins = {
    .key = "pins",
    .meaning = "pins pages, asks for the WRITE seal",
    .unit = "seals",
    .prepare = prepare_pins,
    .begin = flood_begin,
    .step = flood_step,
    .rest = flood_rest,
};

/* ---- closes: the broker has the last descriptor of much memory, and is made to drop it ---- */

#define MOST_BYTES       (8ULL << 30)
#define MOST_BYTES_SMALL (256ULL << 20)
#define PARTS            8u
#define STEPS            (PARTS / 2 + 1) /* a half one by one, the others at once */
#define LOOKS            2000            /* 5 ms apart */
#define LOOK_NS          5000000

static struct {
    uint64_t bytes; /* of each buffer */
    int remover;    /* its buffers are removed one by one, */
    int leaver;     /* and this one's, when it disconnects */
    uint64_t ids[PARTS];
    unsigned removable;    /* buffers that the remover still has */
    struct timespec pause; /* between two steps, so that all of them fill a run */
} full;

static uint64_t available_memory(void)
{
    static const char key[] = "MemAvailable:";
    uint64_t kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoull(line + strlen(key), NULL, 10);
    if (file)
        fclose(file);
    return kib << 10;
}

static int fill_buffer(int fd, uint64_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int r = 0;

    if (pages == MAP_FAILED)
        return complain("mapping %llu MiB to fill: %s", (unsigned long long)bytes >> 20, strerror(errno));
    if (madvise(pages, bytes, MADV_POPULATE_WRITE) < 0)
        r = complain("filling %llu MiB (MADV_POPULATE_WRITE): %s", (unsigned long long)bytes >> 20, strerror(errno));
    munmap(pages, bytes);
    return r;
}

/* Afterwards the broker has the only descriptor. */
static int make_full_buffers(int socket, unsigned count, uint64_t *ids)
{
    struct hostile_buffer buffer;

    for (unsigned i = 0; i < count; i++) {
        if (hostile_buffers_create_all(socket, &buffer, 1, full.bytes, 0) < 0)
            return -1;
        ids[i] = buffer.id;
        int r = fill_buffer(buffer.fd, full.bytes);
        close(buffer.fd);
        if (r < 0)
            return -1;
    }
    return 0;
}

static int prepare_closes(struct hostile *hostile)
{
    uint64_t bytes = hostile->small ? MOST_BYTES_SMALL : MOST_BYTES, quarter = available_memory() / 4;

    if (bytes > quarter)
        bytes = quarter;
    full.bytes = (bytes / PARTS) & ~((2ULL << 20) - 1);
    if (full.bytes == 0)
        return complain("not enough memory is available to fill any of it");
    full.pause.tv_nsec = (long)hostile->run_ms * 1000000L / STEPS;
    full.remover = full.leaver = -1;
    snprintf(hostile->note, sizeof(hostile->note), "%u buffers of %llu MiB", PARTS,
             (unsigned long long)full.bytes >> 20);
    return 0;
}

static int begin_closes(struct hostile *hostile)
{
    uint64_t unused[PARTS];

    full.removable = PARTS / 2;
    full.remover = wire_open(hostile->address);
    full.leaver = wire_open(hostile->address);
    if (full.remover < 0 || full.leaver < 0 || make_full_buffers(full.remover, full.removable, full.ids) < 0)
        return -1;
    return make_full_buffers(full.leaver, PARTS - full.removable, unused);
}

/* One is removed each time; then all others at once, by a disconnect; then there are none. */
static int step_closes(struct hostile *hostile)
{
    if (full.removable > 0) {
        if (hostile_buffers_remove(full.remover, &full.ids[--full.removable], 1) < 0)
            return -1;
        hostile->done += full.bytes >> 20;
    } else if (full.leaver >= 0) {
        close(full.leaver);
        full.leaver = -1;
        hostile->done += (PARTS - PARTS / 2) * (full.bytes >> 20);
    }
    nanosleep(&full.pause, NULL);
    return 0;
}

/* Until the memory has been given back: it is not to be had twice. */
static int rest_closes(struct hostile *hostile)
{
    const struct timespec a_moment = {.tv_nsec = LOOK_NS};
    struct stats_reply stats = {.jobs = 1};

    if (full.leaver >= 0)
        close(full.leaver);
    full.leaver = -1;
    while (full.removable > 0)
        if (hostile_buffers_remove(full.remover, &full.ids[--full.removable], 1) < 0)
            return -1;
    for (unsigned i = 0; i < LOOKS && (stats.jobs > 0 || stats.uid_buffers > 0); i++) {
        nanosleep(&a_moment, NULL);
        if (hostile_stats(full.remover, &stats) < 0)
            return -1;
    }
    close(full.remover);
    (void)hostile;
    return stats.jobs ? complain("the broker has not closed %u buffers in 10 s", PARTS) : 0;
}

const struct load load_of_closes = {
    .key = "closes",
    .meaning = "has the broker close much memory",
    .unit = "MiB",
    .settling_ms = 1000, /* the kernel goes on with what has been freed, and a hypervisor may take it back */
    .prepare = prepare_closes,
    .begin = begin_closes,
    .step = step_closes,
    .rest = rest_closes,
};
