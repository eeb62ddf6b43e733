/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "complain.h"

/* Nobody matches replies with requests here: any serial will do, as long as it is not 0. */
#define SERIAL 1

void message_begin(struct message *message, uint16_t opcode)
{
    message->opcode = opcode;
    message->count = 0;
    message->writer = (struct writer){.buffer = message->bytes, .used = HEADER_SIZE, .room = sizeof(message->bytes)};
}

int message_add(struct message *message, const struct schema *schema, const void *record)
{
    int r = record_encode(schema, &message->writer, record);

    if (r)
        return complain("record %u of a hostile request: %s", message->count, sealbuf_strerror(r));
    message->count++;
    return 0;
}

void message_end(struct message *message, unsigned descriptors)
{
    const struct header header = {
        .opcode = message->opcode, .count = message->count, .serial = SERIAL, .descriptors = (uint16_t)descriptors};
    message_finish(&message->writer, &header);
}

int wire_connect(const char *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    strncpy(name.sun_path, address, sizeof(name.sun_path) - 1);
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return complain("a socket for a hostile client: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) < 0)
        return complain("connecting a hostile client to %s: %s", address, strerror(errno));
    return take_fd(&fd);
}

int wire_greet(int socket)
{
    struct hello_request hello = {.version_min = SEALBUF_VERSION, .version_max = SEALBUF_VERSION};
    static struct message message;
    static struct answer answer;

    memcpy(&hello.magic, SEALBUF_MAGIC, sizeof(hello.magic));
    hello.magic = le64toh(hello.magic);
    message_begin(&message, SEALBUF_OP_HELLO);
    message_add(&message, &hello_request_schema, &hello);
    message_end(&message, 0);
    int r = wire_send(socket, &message, NULL, 0);
    if (r == 0)
        r = wire_receive(socket, 0, &answer);
    if (r < 0)
        return r;
    answer_release(&answer);
    return answer.header.status ? -ECONNRESET : 0;
}

int wire_open(const char *address)
{
    CLEANUP(cleanup_close)
    int fd = wire_connect(address);

    if (fd < 0)
        return -1;
    int r = wire_greet(fd);
    if (r < 0)
        return complain("the handshake of a hostile client: %s", strerror(-r));
    return take_fd(&fd);
}

int wire_send(int socket, const struct message *message, const int *descriptors, unsigned count)
{
    return packet_send(socket, message->bytes, message->writer.used, descriptors, count);
}

int wire_receive(int socket, int flags, struct answer *answer)
{
    size_t length;
    int r = packet_receive(socket, flags, answer->bytes, sizeof(answer->bytes), &length, &answer->descriptors);

    if (r == PACKET_AGAIN)
        return -EAGAIN;
    if (r < 0 || r == PACKET_END)
        return r < 0 ? r : -ECONNRESET;
    if (r != PACKET_OK || header_decode(answer->bytes, length, &answer->header)) {
        answer_release(answer);
        return -EPROTO;
    }
    answer->records = (struct reader){answer->bytes + HEADER_SIZE, length - HEADER_SIZE};
    return 0;
}

int answer_next(struct answer *answer, const struct schema *schema, void *record)
{
    const char *field;
    int r = record_decode(schema, IGNORE_UNKNOWN, &answer->records, record, &field);

    return r ? complain("a reply to a hostile client: %s", sealbuf_strerror(r)) : 0;
}

void answer_release(struct answer *answer)
{
    descriptors_close(&answer->descriptors);
}

/* Of a request that was refused as a whole, with the broker's own sentence. */
static int complain_refused(struct answer *answer, const char *what)
{
    struct outcome outcome;

    if (answer_next(answer, &outcome_schema, &outcome) < 0)
        return -1;
    return complain("%s: %.*s", what, (int)outcome.text.length, outcome.text.data);
}

int wire_call(int socket, const struct message *message, struct answer *answer, const char *what)
{
    int r = wire_send(socket, message, NULL, 0);

    if (r == 0)
        r = wire_receive(socket, 0, answer);
    if (r < 0)
        return complain("%s: %s", what, strerror(-r));
    if (answer->header.status == 0)
        return 0;
    complain_refused(answer, what);
    answer_release(answer);
    return -1;
}
