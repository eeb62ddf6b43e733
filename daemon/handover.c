/* SPDX-License-Identifier: MIT */
/* The memfd of a handover: records into it, and out of it. */
#include "handover.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "codec_table.h"
#include "log.h"
#include "memfd.h"
#include "values.h"

HANDOVER_SCHEMAS(SCHEMA_TABLE)

/* Version of the format; and the least one that must be known to take over what is written here. */
#define FORMAT 2u
#define NEEDS  2u
#define MAGIC  0x7265766f646e6168u /* "handover" */

#define CHUNK  (256u << 10)
#define RECORD (SEALBUF_MAX_MESSAGE + 8192u) /* no record is bigger */

static const struct schema *const schemas[HANDOVER_KINDS] = {
    [HANDOVER_HEADER] = &handover_header_schema,
    [HANDOVER_LISTENER] = &handover_listener_schema,
    [HANDOVER_LEDGER] = &handover_descriptor_schema,
    [HANDOVER_STORED] = &handover_descriptor_schema,
    [HANDOVER_MEMFD] = &handover_descriptor_schema,
    [HANDOVER_BUFFER] = &ledger_buffer_schema,
    [HANDOVER_NAME] = &ledger_name_schema,
    [HANDOVER_TOKEN] = &ledger_token_schema,
    [HANDOVER_PEER] = &handover_peer_schema,
    [HANDOVER_HELD] = &handover_held_schema,
    [HANDOVER_REPLY] = &handover_reply_schema,
    [HANDOVER_CLAIM] = &handover_claim_schema,
    [HANDOVER_REMOVAL] = &handover_held_schema,
    [HANDOVER_CLOSING] = &handover_descriptor_schema,
    [HANDOVER_END] = &handover_end_schema,
    [HANDOVER_WAIT] = &handover_wait_schema,
    [HANDOVER_CONNECTED] = &handover_connected_schema,
    [HANDOVER_WATCH] = &handover_watch_schema,
};

/* ---- Handing over ------------------------------------------------------------------------------------------------ */

static void flush(struct handover *handover)
{
    struct writer *writer = &handover->writer;
    size_t written = 0;

    while (written < writer->used && handover->error == 0) {
        ssize_t n = write(handover->fd, writer->buffer + written, writer->used - written);
        if (n > 0)
            written += (size_t)n;
        else if (errno != EINTR)
            handover->error = -errno;
    }
    writer->used = 0;
}

void handover_add(struct handover *handover, enum handover_kind kind, const void *record)
{
    struct writer *writer = &handover->writer;
    uint32_t number = htole32((uint32_t)kind);

    if (writer->room - writer->used < RECORD)
        flush(handover);
    if (handover->error)
        return;
    memcpy(writer->buffer + writer->used, &number, sizeof(number));
    writer->used += sizeof(number);
    if (record_encode(schemas[kind], writer, record))
        handover->error = -EMSGSIZE;
    handover->records++;
}

uint32_t handover_descriptor(struct handover *handover, int fd)
{
    if (handover->count == handover->room) {
        size_t room = handover->room ? handover->room * 2 : 1024;
        int *grown = reallocarray(handover->descriptors, room, sizeof(*grown));
        if (!grown) {
            handover->error = -ENOMEM;
            return 0;
        }
        handover->descriptors = grown;
        handover->room = room;
    }
    handover->descriptors[handover->count++] = fd;
    return (uint32_t)fd;
}

int handover_begin(struct handover *handover, const struct handover_header *header)
{
    struct handover_header complete = *header;

    *handover = (struct handover){.fd = -1, .writer = {.room = CHUNK}};
    handover->writer.buffer = malloc(CHUNK);
    if (!handover->writer.buffer)
        return -ENOMEM;
    handover->fd = memfd_create_spec(&(struct memfd_spec){.label = "sealbuf-handover", .mode = 0600});
    if (handover->fd < 0)
        return handover->fd;
    if (getrandom(&handover->nonce, sizeof(handover->nonce), 0) != sizeof(handover->nonce))
        return -errno;
    complete.magic = MAGIC;
    complete.format = FORMAT;
    complete.needs = NEEDS;
    complete.nonce = handover->nonce;
    handover_add(handover, HANDOVER_HEADER, &complete);
    return 0;
}

int handover_finish(struct handover *handover)
{
    handover_add(handover, HANDOVER_END, &(struct handover_end){.records = handover->records});
    flush(handover);
    if (handover->error == 0)
        handover->error = memfd_add_seals(handover->fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return handover->error;
}

void handover_free(struct handover *handover)
{
    if (handover->writer.buffer)
        explicit_bzero(handover->writer.buffer, CHUNK); /* tokens were in it */
    free(handover->writer.buffer);
    free(handover->descriptors);
    close_quietly(handover->fd);
    *handover = (struct handover){.fd = -1};
}

/* ---- Taking over ------------------------------------------------------------------------------------------------- */

enum handover_kind takeover_next(struct takeover *takeover, union handover_record *record)
{
    struct reader *reader = &takeover->reader;
    const char *field;
    uint32_t number;

    if (reader->left < sizeof(number))
        return HANDOVER_NONE;
    memcpy(&number, reader->at, sizeof(number));
    reader->at += sizeof(number);
    reader->left -= sizeof(number);
    number = le32toh(number);
    if (number == HANDOVER_NONE || number >= HANDOVER_KINDS)
        return HANDOVER_NONE;
    /* What a newer program says besides need not be understood, by its own word: `needs`. */
    if (record_decode(schemas[number], IGNORE_UNKNOWN, reader, record, &field))
        return HANDOVER_NONE;
    takeover->records++;
    return (enum handover_kind)number;
}

/* The number of a descriptor, or -1. It is for this program alone. */
static int take_variable(const char *variable)
{
    const char *text = getenv(variable);
    unsigned long number;
    int fd = -1;

    if (text && value_number(text, 10, INT32_MAX, &number) && fcntl((int)number, F_GETFD) >= 0)
        fd = (int)number;
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    unsetenv(variable);
    return fd;
}

static int map(struct takeover *takeover)
{
    struct stat st;
    uint32_t seals;

    if (memfd_get_seals(takeover->fd, &seals) < 0 || !(seals & F_SEAL_WRITE) || fstat(takeover->fd, &st) < 0)
        return -EBADF;
    void *start = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, takeover->fd, 0);
    if (start == MAP_FAILED)
        return -errno;
    takeover->start = start;
    takeover->size = (size_t)st.st_size;
    takeover->reader = (struct reader){takeover->start, takeover->size};
    return 0;
}

static int read_header(struct takeover *takeover)
{
    union handover_record record;

    if (takeover_next(takeover, &record) != HANDOVER_HEADER || record.header.magic != MAGIC) {
        log_line(LOG_ERR, "what " HANDOVER_VARIABLE " names is no handover of a broker");
        return -EPROTO;
    }
    takeover->header = record.header;
    if (record.header.needs <= FORMAT)
        return 0;
    log_line(LOG_ERR,
             "cannot take over from sealbufd %.*s: its handover is of format %u, and this one knows %u; use a newer "
             "sealbufd, or restart the broker",
             (int)record.header.version.length, record.header.version.data, record.header.needs, FORMAT);
    return -EPROTO;
}

int takeover_begin(struct takeover *takeover)
{
    bool asked = getenv(HANDOVER_VARIABLE) != NULL;

    *takeover = (struct takeover){.fd = take_variable(HANDOVER_VARIABLE), .report = take_variable(TRIAL_VARIABLE)};
    if (!asked)
        return 0;
    int r = map(takeover);
    if (r < 0)
        log_line(LOG_ERR, "cannot read the handover that " HANDOVER_VARIABLE " names: %s", strerror(-r));
    else
        r = read_header(takeover);
    return r < 0 ? r : 1;
}

int takeover_report(const struct takeover *takeover)
{
    uint64_t nonce = takeover->header.nonce;

    return write(takeover->report, &nonce, sizeof(nonce)) == sizeof(nonce) ? 0 : -EIO;
}

void takeover_end(struct takeover *takeover)
{
    union { /* munmap(2) takes no pointer to const */
        const uint8_t *from;
        void *start;
    } memory = {.from = takeover->start};

    if (takeover->start)
        munmap(memory.start, takeover->size);
    close_quietly(takeover->fd);
    close_quietly(takeover->report);
    *takeover = (struct takeover){.fd = -1, .report = -1};
}
