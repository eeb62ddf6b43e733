/* SPDX-License-Identifier: MIT */
#include "lies.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define IMMUTABLE SEALBUF_SEALS_IMMUTABLE

const struct buffer_record honest = {
    .descriptors = 1, .id = 7, .size = BYTES, .generation = 1, .seals = IMMUTABLE, .mode = 0600};

void answer_get(int socket, struct answer *answer, const struct buffer_record *record, int fd)
{
    answer_add(answer, &buffer_record_schema, record);
    if (fd >= 0)
        answer_attach(answer, fd);
    answer_finish(answer);
    answer_send(socket, answer);
}

int good_fd(void)
{
    return fake_memfd(BYTES, IMMUTABLE, O_RDONLY);
}

/* ---- Lies in the descriptor -------------------------------------------------------------------------------------- */

void no_lie(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, good_fd());
}

static void smaller(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, fake_memfd(BYTES - 1, IMMUTABLE, O_RDONLY));
}

static void bigger(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, fake_memfd(BYTES + 1, IMMUTABLE, O_RDONLY));
}

void without_write(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, fake_memfd(BYTES, SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW, O_RDONLY));
}

void without_shrink(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, fake_memfd(BYTES, SEALBUF_SEAL_WRITE | SEALBUF_SEAL_GROW, O_RDONLY));
}

static void read_write(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, fake_memfd(BYTES, IMMUTABLE, O_RDWR));
}

static void path_only(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, fake_memfd(BYTES, IMMUTABLE, O_PATH));
}

static void a_pipe(int socket, struct answer *answer)
{
    int ends[2];

    CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    close(ends[1]);
    answer_get(socket, answer, &honest, ends[0]);
}

static void a_directory(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void a_device(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, open("/dev/zero", O_RDONLY | O_CLOEXEC));
}

static void own_socket(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, dup(socket));
}

static int open_tmpfs(void)
{
    char path[] = "/dev/shm/sealbuf-test-XXXXXX";
    int writer = mkostemp(path, O_CLOEXEC);

    CHILD_CHECK(writer >= 0 && ftruncate(writer, BYTES) == 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    close(writer);
    return fd;
}

void a_tmpfs_file(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, open_tmpfs());
}

static void no_descriptor(int socket, struct answer *answer)
{
    answer_get(socket, answer, &honest, -1);
}

static void one_too_many(int socket, struct answer *answer)
{
    answer_attach(answer, good_fd());
    answer_get(socket, answer, &honest, good_fd());
}

static void one_that_is_not_announced(int socket, struct answer *answer)
{
    answer_attach(answer, good_fd());
    answer->header.descriptors = 0;
    answer_get(socket, answer, &honest, good_fd());
}

static void announced_but_not_there(int socket, struct answer *answer)
{
    answer->header.descriptors = 1;
    answer_get(socket, answer, &honest, -1);
}

static void as_many_as_possible(int socket, struct answer *answer)
{
    for (unsigned i = 1; i < SEALBUF_MAX_RECORDS; i++)
        answer_attach(answer, good_fd());
    answer_get(socket, answer, &honest, good_fd());
}

static void with_a_failure(int socket, struct answer *answer)
{
    struct buffer_record record = honest;

    record.status = SEALBUF_ERR_NOT_FOUND;
    answer_get(socket, answer, &record, good_fd());
}

static void with_a_refusal(int socket, struct answer *answer)
{
    answer->header.status = SEALBUF_ERR_DENIED;
    answer_attach(answer, good_fd());
    answer_add(answer, &outcome_schema, &(struct outcome){.status = SEALBUF_ERR_DENIED});
    answer_finish(answer);
    answer_send(socket, answer);
}

static void record_without(int socket, struct answer *answer)
{
    struct buffer_record record = honest;

    record.descriptors = 0;
    answer_get(socket, answer, &record, good_fd());
}

/* ---- Lies in the message ----------------------------------------------------------------------------------------- */

static void unknown_serial(int socket, struct answer *answer)
{
    answer->header.serial += 1000;
    answer_get(socket, answer, &honest, good_fd());
}

static void serial_zero(int socket, struct answer *answer)
{
    answer->header.serial = 0;
    answer->header.status = SEALBUF_ERR_LIMIT;
    answer_add(answer, &outcome_schema, &(struct outcome){.status = SEALBUF_ERR_LIMIT});
    answer_finish(answer);
    answer_send(socket, answer);
}

static void wrong_opcode(int socket, struct answer *answer)
{
    answer->header.opcode = SEALBUF_OP_STAT | SEALBUF_OP_REPLY;
    answer_get(socket, answer, &honest, good_fd());
}

static void a_request(int socket, struct answer *answer)
{
    answer->header.opcode = SEALBUF_OP_GET;
    answer_get(socket, answer, &honest, good_fd());
}

static void too_many_records(int socket, struct answer *answer)
{
    answer_add(answer, &buffer_record_schema, &honest);
    answer_attach(answer, good_fd());
    answer_get(socket, answer, &honest, good_fd());
}

void no_record(int socket, struct answer *answer)
{
    answer_finish(answer);
    answer_send(socket, answer);
}

/* What the bytes are after the header was written: the last `cut` are missing, and the header knows, or does not. */
static void send_cut(int socket, struct answer *answer, size_t cut, bool header_knows)
{
    answer_add(answer, &buffer_record_schema, &honest);
    answer_attach(answer, good_fd());
    answer_finish(answer);
    answer->writer.used -= cut;
    if (header_knows)
        answer_finish(answer);
    answer_send(socket, answer);
}

static void cut_record(int socket, struct answer *answer)
{
    send_cut(socket, answer, 10, true);
}

static void cut_message(int socket, struct answer *answer)
{
    send_cut(socket, answer, 10, false);
}

static void cut_header(int socket, struct answer *answer)
{
    answer_finish(answer);
    answer->writer.used = HEADER_SIZE - 1;
    answer_send(socket, answer);
}

/* Overwrites four bytes behind the header of a good message. */
static void send_with(int socket, struct answer *answer, size_t offset, uint32_t value)
{
    answer_add(answer, &buffer_record_schema, &honest);
    answer_attach(answer, good_fd());
    answer_finish(answer);
    memcpy(answer->message + offset, &value, sizeof(value));
    answer_send(socket, answer);
}

static void reserved_bits(int socket, struct answer *answer)
{
    send_with(socket, answer, 20, 1);
}

static void record_beyond_the_message(int socket, struct answer *answer)
{
    send_with(socket, answer, HEADER_SIZE, 60000);
}

static void record_of_no_length(int socket, struct answer *answer)
{
    send_with(socket, answer, HEADER_SIZE, 0);
}

static void fixed_part_beyond_the_record(int socket, struct answer *answer)
{
    send_with(socket, answer, HEADER_SIZE + 4, UINT32_MAX);
}

static void string_beyond_the_record(int socket, struct answer *answer)
{
    const struct field *field = buffer_record_schema.fields;

    while (field->member != offsetof(struct buffer_record, creator_security))
        field++;
    send_with(socket, answer, HEADER_SIZE + RECORD_HEADER_SIZE + field->offset, 100); /* the last string's length */
}

static void a_name_with_control_characters(int socket, struct answer *answer)
{
    struct buffer_record record = honest;

    record.name = SPAN("abcdef");
    answer_add(answer, &buffer_record_schema, &record);
    answer_attach(answer, good_fd());
    answer_finish(answer);
    uint8_t *name = memmem(answer->message, answer->writer.used, "abcdef", 6);
    CHILD_CHECK(name);
    memcpy(name, "a\033[2Jf", 6);
    answer_send(socket, answer);
}

void nothing_with_a_descriptor(int socket, struct answer *answer)
{
    answer_attach(answer, good_fd());
    answer->writer.used = 0;
    answer_send(socket, answer);
}

void longer_than_a_message(int socket, struct answer *answer)
{
    answer_attach(answer, good_fd());
    answer_finish(answer);
    answer->writer.used = SEALBUF_MAX_MESSAGE + 1;
    answer_send(socket, answer);
}

void garbage(int socket, struct answer *answer)
{
    answer_attach(answer, good_fd());
    fill_pattern(answer->message, 1000, 99);
    answer->writer.used = 1000;
    answer_send(socket, answer);
}

static void silence_and_the_end(int socket, struct answer *answer)
{
    (void)answer;
    shutdown(socket, SHUT_RDWR);
}

static void an_error_from_the_future(int socket, struct answer *answer)
{
    struct buffer_record record = {.status = 5999};

    answer_get(socket, answer, &record, -1);
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

const struct lie lies[] = {
    {"no_lie", no_lie, 0, 0},
    {"smaller", smaller, 0, BAD_REPLY},
    {"bigger", bigger, 0, BAD_REPLY},
    {"without_write", without_write, BAD_REPLY, 0},
    {"without_shrink", without_shrink, BAD_REPLY, 0},
    {"read_write", read_write, BAD_REPLY, 0},
    {"path_only", path_only, BAD_REPLY, 0},
    {"a_pipe", a_pipe, BAD_REPLY, 0},
    {"a_directory", a_directory, BAD_REPLY, 0},
    {"a_device", a_device, BAD_REPLY, 0},
    {"own_socket", own_socket, BAD_REPLY, 0},
    {"a_tmpfs_file", a_tmpfs_file, BAD_REPLY, 0},
    {"no_descriptor", no_descriptor, BAD_REPLY, 0},
    {"one_too_many", one_too_many, BAD_REPLY, 0},
    {"one_that_is_not_announced", one_that_is_not_announced, BAD_REPLY, 0},
    {"announced_but_not_there", announced_but_not_there, BAD_REPLY, 0},
    {"as_many_as_possible", as_many_as_possible, BAD_REPLY, 0},
    {"with_a_failure", with_a_failure, BAD_REPLY, 0},
    {"with_a_refusal", with_a_refusal, BAD_REPLY, 0},
    {"record_without", record_without, BAD_REPLY, 0},
    {"unknown_serial", unknown_serial, BAD_REPLY, 0},
    {"serial_zero", serial_zero, BAD_REPLY, 0},
    {"wrong_opcode", wrong_opcode, BAD_REPLY, 0},
    {"a_request", a_request, BAD_REPLY, 0},
    {"too_many_records", too_many_records, BAD_REPLY, 0},
    {"no_record", no_record, BAD_REPLY, 0},
    {"cut_record", cut_record, BAD_REPLY, 0},
    {"cut_message", cut_message, BAD_REPLY, 0},
    {"cut_header", cut_header, BAD_REPLY, 0},
    {"reserved_bits", reserved_bits, BAD_REPLY, 0},
    {"record_beyond_the_message", record_beyond_the_message, BAD_REPLY, 0},
    {"record_of_no_length", record_of_no_length, BAD_REPLY, 0},
    {"fixed_part_beyond_the_record", fixed_part_beyond_the_record, BAD_REPLY, 0},
    {"string_beyond_the_record", string_beyond_the_record, BAD_REPLY, 0},
    {"a_name_with_control_characters", a_name_with_control_characters, BAD_REPLY, 0},
    {"nothing_with_a_descriptor", nothing_with_a_descriptor, BAD_REPLY, 0},
    {"longer_than_a_message", longer_than_a_message, BAD_REPLY, 0},
    {"garbage", garbage, BAD_REPLY, 0},
    {"silence_and_the_end", silence_and_the_end, -SEALBUF_ERR_DISCONNECTED, 0},
    {"an_error_from_the_future", an_error_from_the_future, -SEALBUF_ERR_INTERNAL, 0},
};
const int lies_count = COUNT(lies);
