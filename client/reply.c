/* SPDX-License-Identifier: MIT */
/* Replies: out of a message, with every descriptor held against what was asked for and what the broker says. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "errors.h"
#include "memfd.h"
#include "seals.h"
#include "token.h"

/* Where the strings of a reply go, NUL-terminated. There is room for all of the message and a NUL for each. */
struct arena {
    char *at;
};

static char *keep(struct arena *arena, struct span span)
{
    char *text = arena->at;

    if (span.length)
        memcpy(text, span.data, span.length);
    text[span.length] = '\0';
    arena->at += span.length + 1;
    return text;
}

/* A status of ours, or INTERNAL for a number that this version does not know. */
static int status_of(uint32_t status)
{
    if (status == 0)
        return 0;
    return error_entry(status) ? -(int)status : -SEALBUF_ERR_INTERNAL;
}

void reply_free(struct sealbuf_reply *reply)
{
    if (!reply)
        return;
    for (size_t i = 0; i < reply->count; i++) {
        sealbuf_buffer_free(reply->records[i].buffer);
        if (reply->records[i].token)
            explicit_bzero(reply->records[i].token, SEALBUF_TOKEN_SIZE);
    }
    free(reply);
}

static void cleanup_reply(struct sealbuf_reply **reply)
{
    reply_free(*reply);
}

/* One block: the reply, its records, its strings. */
static struct sealbuf_reply *new_reply(size_t count, size_t message, struct arena *arena)
{
    /* Five strings a record at most. */
    size_t fixed = sizeof(struct sealbuf_reply) + count * sizeof(struct reply_record);
    struct sealbuf_reply *reply = malloc(fixed + message + (count + 2) * 5);

    if (!reply)
        return NULL;
    memset(reply, 0, fixed); /* glibc's calloc has no fast path for small blocks */
    reply->sentence = "";
    reply->next = "";
    arena->at = (char *)reply + fixed;
    return reply;
}

struct sealbuf_reply *reply_of_failure(int error)
{
    struct arena arena;
    struct sealbuf_reply *reply = new_reply(0, 0, &arena);

    if (reply)
        reply->status = error;
    return reply;
}

/*
 * Whether the kernel confirms what was asked for: F_GET_SEALS answers for files in memory only, and the seals must be
 * there; it must be open as it should be. That the size is what the broker says is verified with the first mapping.
 */
static bool confirmed(int fd, const struct expectation *expected, uint32_t *seals)
{
    int mode = fcntl(fd, F_GETFL);

    if (mode < 0 || (mode & O_ACCMODE) != (expected->writable ? O_RDWR : O_RDONLY))
        return false;
    return memfd_get_seals(fd, seals) == 0 && seals_contain(*seals, expected->seals); /* -EBADF where it is O_PATH */
}

static void fill_info(struct sealbuf_info *info, const struct buffer_record *said, struct arena *arena)
{
    *info = (struct sealbuf_info){
        .struct_size = sizeof(*info),
        .id = said->id,
        .size = said->size,
        .allocated = said->allocated,
        .generation = said->generation,
        .seals = said->seals,
        .flags = said->flags,
        .mode = said->mode,
        .owner = said->owner,
        .group = said->group,
        .creator_pid = said->creator_pid,
        .created_ns = said->created_ns,
        .published_ns = said->published_ns,
        .creator_pidfd = said->creator_pidfd,
        .name = keep(arena, said->name),
        .label = keep(arena, said->label),
        .metadata = keep(arena, said->metadata),
        .metadata_size = said->metadata.length,
        .creator_security = keep(arena, said->creator_security),
        .expire_ms = said->expire_ms,
        .oldest = said->oldest,
    };
}

/* A copy that lives as long as the buffer. */
static struct sealbuf_info *copy_info(const struct sealbuf_info *info)
{
    struct span name = SPAN(info->name), label = SPAN(info->label), security = SPAN(info->creator_security);
    struct span metadata = {info->metadata, (uint32_t)info->metadata_size};
    struct sealbuf_info *copy =
        malloc(sizeof(*copy) + name.length + label.length + security.length + metadata.length + 4);

    if (!copy)
        return NULL;
    struct arena arena = {(char *)(copy + 1)};
    *copy = *info;
    copy->name = keep(&arena, name);
    copy->label = keep(&arena, label);
    copy->metadata = keep(&arena, metadata);
    copy->creator_security = keep(&arena, security);
    return copy;
}

/* Takes fd in every case. */
static int wrap(struct reply_record *record, int fd_taken, bool writable, uint32_t seals)
{
    CLEANUP(cleanup_close)
    int fd = descriptor_above_stdio(fd_taken);

    if (fd < 0)
        return take_fd(&fd);
    struct sealbuf_buffer *buffer = buffer_wrap(fd, writable);
    if (!buffer)
        return -ENOMEM;
    take_fd(&fd);
    record->buffer = buffer;
    buffer->known_seals = seals;
    buffer->id = record->info.id;
    buffer->info = copy_info(&record->info);
    return buffer->info ? 0 : -ENOMEM;
}

/* Takes the next descriptor, where it is what it should be. */
static int take_confirmed(struct descriptors *descriptors, unsigned *used, const struct expectation *expected,
                          struct reply_record *record)
{
    uint32_t seals;

    if (*used >= descriptors->count || !confirmed(descriptors->fd[*used], expected, &seals))
        return -SEALBUF_ERR_BAD_REPLY;
    int fd = descriptors_take(descriptors, *used);
    (*used)++;
    return wrap(record, fd, expected->writable, seals);
}

/* A record of CREATE, ADOPT, GET, STAT or LIST; *used counts the descriptors that belong to the records before. */
static int parse_buffer(const struct call *call, size_t i, struct reader *reader, struct descriptors *descriptors,
                        unsigned *used, struct reply_record *record, struct arena *arena)
{
    bool carries = call->operation->opcode == SEALBUF_OP_CREATE || call->operation->opcode == SEALBUF_OP_GET;
    struct buffer_record said;
    const char *field;

    if (record_decode(&buffer_record_schema, IGNORE_UNKNOWN, reader, &said, &field))
        return -SEALBUF_ERR_BAD_REPLY;
    record->status = status_of(said.status);
    fill_info(&record->info, &said, arena);
    record->sentence = keep(arena, said.text);
    if (said.descriptors != (carries && record->status == 0))
        return -SEALBUF_ERR_BAD_REPLY;
    if (!said.descriptors)
        return 0;
    const struct expectation *expected = &call->expected[i];
    if (expected->sized && said.size != expected->size)
        return -SEALBUF_ERR_BAD_REPLY;
    return take_confirmed(descriptors, used, expected, record);
}

static int parse_outcome(struct reader *reader, struct reply_record *record, struct arena *arena)
{
    struct outcome said;
    const char *field;

    if (record_decode(&outcome_schema, IGNORE_UNKNOWN, reader, &said, &field))
        return -SEALBUF_ERR_BAD_REPLY;
    record->status = status_of(said.status);
    fill_info(&record->info, &(struct buffer_record){.id = said.id, .seals = said.seals, .generation = said.generation},
              arena);
    record->sentence = keep(arena, said.text);
    return 0;
}

/* A success has a token, a failure has none. */
static int parse_token(struct reader *reader, struct reply_record *record, struct arena *arena)
{
    struct token_record said;
    const char *field;

    if (record_decode(&token_record_schema, IGNORE_UNKNOWN, reader, &said, &field))
        return -SEALBUF_ERR_BAD_REPLY;
    record->status = status_of(said.status);
    fill_info(&record->info, &(struct buffer_record){.id = said.id}, arena);
    record->sentence = keep(arena, said.text);
    if ((said.token.length > 0) != (record->status == 0))
        return -SEALBUF_ERR_BAD_REPLY;
    if (record->status == 0)
        record->token = keep(arena, said.token);
    return 0;
}

/*
 * A change that a watch tells. Its descriptor is one that only reads, with the seals that the buffer is said to have:
 * there may be more by now. Kinds that are not known are passed on, but 0 is the library's own.
 */
static int parse_event(const struct call *call, struct reader *reader, struct descriptors *descriptors, unsigned *used,
                       struct reply_record *record, struct arena *arena)
{
    struct event_record said;
    const char *field;

    if (record_decode(&event_record_schema, IGNORE_UNKNOWN, reader, &said, &field) || said.kind == 0)
        return -SEALBUF_ERR_BAD_REPLY;
    record->kind = said.kind;
    fill_info(&record->info,
              &(struct buffer_record){.id = said.id,
                                      .size = said.size,
                                      .generation = said.generation,
                                      .published_ns = said.published_ns,
                                      .expire_ms = said.expire_ms,
                                      .seals = said.seals,
                                      .flags = said.flags,
                                      .mode = said.mode,
                                      .owner = said.owner,
                                      .group = said.group,
                                      .name = said.name,
                                      .metadata = said.metadata},
              arena);
    if (!said.descriptors)
        return 0;
    if (!call->watching.descriptors)
        return -SEALBUF_ERR_BAD_REPLY;
    return take_confirmed(descriptors, used, &(struct expectation){.seals = said.seals}, record);
}

static int parse_account(struct reader *reader, struct reply_record *record)
{
    struct account_record said;
    const char *field;

    if (record_decode(&account_record_schema, IGNORE_UNKNOWN, reader, &said, &field))
        return -SEALBUF_ERR_BAD_REPLY;
    record->status = status_of(said.status);
    record->sentence = "";
#define HELD(what) .what = said.what, .what##_limit = said.what##_limit
    record->account = (struct sealbuf_account){.struct_size = sizeof(record->account),
                                               .uid = said.uid,
                                               HELD(bytes),
                                               HELD(buffers),
                                               HELD(names),
                                               HELD(metadata),
                                               HELD(tokens),
                                               HELD(connections),
                                               HELD(requests),
                                               HELD(replies),
                                               HELD(queued_descriptors),
                                               HELD(in_flight),
                                               HELD(stored),
                                               HELD(waits),
                                               HELD(watches)};
#undef HELD
    return 0;
}

static int parse_hello(struct reader *reader, struct sealbuf_reply *reply)
{
    const char *field;

    if (record_decode(&hello_reply_schema, IGNORE_UNKNOWN, reader, &reply->hello, &field))
        return -SEALBUF_ERR_BAD_REPLY;
    reply->status = status_of(reply->hello.status);
    if (reply->status == 0 && reply->hello.version != SEALBUF_VERSION)
        return -SEALBUF_ERR_BAD_REPLY;
    return 0;
}

static int parse_stats(struct reader *reader, struct sealbuf_reply *reply, struct arena *arena)
{
    const char *field;

    if (record_decode(&stats_reply_schema, IGNORE_UNKNOWN, reader, &reply->stats, &field))
        return -SEALBUF_ERR_BAD_REPLY;
    reply->stats.version.data = keep(arena, reply->stats.version);
    return 0;
}

static int parse_page(struct reader *reader, struct sealbuf_reply *reply, struct arena *arena)
{
    struct page page;
    const char *field;

    if (record_decode(&page_schema, IGNORE_UNKNOWN, reader, &page, &field))
        return -SEALBUF_ERR_BAD_REPLY;
    reply->more = page.more;
    reply->next_owner = page.next_owner;
    reply->next = keep(arena, page.next);
    /* A page that ends where it began would be asked for for ever. */
    return page.more && page.next.length == 0 ? -SEALBUF_ERR_BAD_REPLY : 0;
}

/* The one record of a request that was refused as a whole. */
static int parse_refusal(struct reader *reader, const struct header *header, struct sealbuf_reply *reply,
                         struct arena *arena)
{
    struct reply_record record = {0};
    int r = header->count == 1 ? parse_outcome(reader, &record, arena) : -SEALBUF_ERR_BAD_REPLY;

    reply->status = status_of(header->status);
    reply->sentence = record.sentence;
    reply->generation = record.info.generation;
    return r;
}

static int parse_records(const struct call *call, const struct header *header, struct reader *reader,
                         struct descriptors *descriptors, struct sealbuf_reply *reply, struct arena *arena)
{
    unsigned used = 0;
    int r = 0;

    for (size_t i = 0; i < header->count && r == 0; i++) {
        struct reply_record *record = &reply->records[reply->count++];
        if (call->operation->reply == &outcome_schema)
            r = parse_outcome(reader, record, arena);
        else if (call->operation->reply == &token_record_schema)
            r = parse_token(reader, record, arena);
        else if (call->operation->reply == &account_record_schema)
            r = parse_account(reader, record);
        else if (call->operation->reply == &event_record_schema)
            r = parse_event(call, reader, descriptors, &used, record, arena);
        else
            r = parse_buffer(call, i, reader, descriptors, &used, record, arena);
        if (reply->status == 0 && record->status) {
            reply->status = record->status;
            reply->sentence = record->sentence;
        }
    }
    if (r == 0 && used != descriptors->count)
        r = -SEALBUF_ERR_BAD_REPLY;
    return r;
}

static int parse(const struct call *call, struct header *header, struct reader *reader, struct descriptors *descriptors,
                 struct sealbuf_reply *reply, struct arena *arena)
{
    int r = 0;

    if (header->status)
        return descriptors->count ? -SEALBUF_ERR_BAD_REPLY : parse_refusal(reader, header, reply, arena);
    switch (call->operation->opcode) {
    case SEALBUF_OP_HELLO:
        r = header->count == 1 && descriptors->count == 0 ? parse_hello(reader, reply) : -SEALBUF_ERR_BAD_REPLY;
        break;
    case SEALBUF_OP_STATS:
        r = header->count == 1 && descriptors->count == 0 ? parse_stats(reader, reply, arena) : -SEALBUF_ERR_BAD_REPLY;
        break;
    case SEALBUF_OP_LIST:
        r = header->count >= 1 ? parse_page(reader, reply, arena) : -SEALBUF_ERR_BAD_REPLY;
        header->count--;
        if (r == 0)
            r = parse_records(call, header, reader, descriptors, reply, arena);
        break;
    case SEALBUF_OP_ACCOUNTS:
        r = parse_records(call, header, reader, descriptors, reply, arena);
        break;
    case SEALBUF_OP_WATCH: /* as much as there is to tell */
        r = header->count >= 1 ? parse_records(call, header, reader, descriptors, reply, arena)
                               : -SEALBUF_ERR_BAD_REPLY;
        break;
    default:
        r = header->count == call->count ? parse_records(call, header, reader, descriptors, reply, arena)
                                         : -SEALBUF_ERR_BAD_REPLY;
        break;
    }
    return r;
}

int reply_parse(const struct call *call, const uint8_t *message, size_t length, struct descriptors *descriptors,
                struct sealbuf_reply **reply)
{
    struct reader reader = {message + HEADER_SIZE, length - HEADER_SIZE};
    struct header header;
    struct arena arena;

    if (header_decode(message, length, &header) || header.count > SEALBUF_MAX_RECORDS ||
        header.descriptors != descriptors->count || header.opcode != (call->operation->opcode | SEALBUF_OP_REPLY))
        return -SEALBUF_ERR_BAD_REPLY;
    CLEANUP(cleanup_reply)
    struct sealbuf_reply *made = new_reply(header.count, length, &arena);
    if (!made)
        return -ENOMEM;
    int r = parse(call, &header, &reader, descriptors, made, &arena);
    if (r < 0)
        return r;
    *reply = take_pointer(made);
    return 0;
}

int sealbuf_reply_status(const sealbuf_reply *reply)
{
    return reply->status;
}

size_t sealbuf_reply_count(const sealbuf_reply *reply)
{
    return reply->count;
}

int sealbuf_reply_record_status(const sealbuf_reply *reply, size_t i)
{
    return i < reply->count ? reply->records[i].status : reply->status;
}

const char *sealbuf_reply_record_error(const sealbuf_reply *reply, size_t i)
{
    return i < reply->count ? reply->records[i].sentence : reply->sentence;
}

const struct sealbuf_info *sealbuf_reply_info(const sealbuf_reply *reply, size_t i)
{
    return i < reply->count ? &reply->records[i].info : NULL;
}

int sealbuf_reply_token(const sealbuf_reply *reply, size_t i, char token[SEALBUF_TOKEN_TEXT])
{
    if (i >= reply->count || !reply->records[i].token)
        return -ENOENT;
    token_format(reply->records[i].token, token);
    return 0;
}

sealbuf_buffer *sealbuf_reply_take_buffer(sealbuf_reply *reply, size_t i)
{
    return i < reply->count ? take_pointer(reply->records[i].buffer) : NULL;
}
