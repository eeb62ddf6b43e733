/* SPDX-License-Identifier: MIT */
#include "fake_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int listen_at(struct fake *fake)
{
    static unsigned count;
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    snprintf(fake->address, sizeof(fake->address), "@sealbuf-fake-%d-%u", (int)getpid(), ++count);
    size_t size = strlen(fake->address);
    memcpy(name.sun_path, fake->address, size);
    name.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static void serve_all(int listener, fake_fn *serve, void *argument)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket < 0)
            _exit(EXIT_FAILURE);
        serve(socket, argument);
        close(socket);
    }
}

void fake_start(struct fake *fake, fake_fn *serve, void *argument)
{
    int listener = listen_at(fake);

    fflush(NULL);
    fake->pid = fork();
    ck_assert_int_ge(fake->pid, 0);
    if (fake->pid == 0)
        serve_all(listener, serve, argument);
    close(listener);
}

void fake_stop(struct fake *fake)
{
    int status;

    kill(fake->pid, SIGTERM);
    ck_assert_int_eq(waitpid(fake->pid, &status, 0), fake->pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "the fake broker ended with status 0x%x",
                  (unsigned)status);
}

static uint8_t message[SEALBUF_MAX_MESSAGE];
static size_t length;

void fake_record(const struct schema *schema, void *record)
{
    struct reader reader = {message + HEADER_SIZE, length - HEADER_SIZE};
    const char *field;

    CHILD_CHECK(record_decode(schema, REFUSE_UNKNOWN, &reader, record, &field) == 0);
}

bool fake_receive(int socket, struct header *request)
{
    struct descriptors list;
    int r = packet_receive(socket, 0, message, sizeof(message), &length, &list);

    if (r == PACKET_END || r == -ECONNRESET)
        return false;
    CHILD_CHECK(r == PACKET_OK);
    CHILD_CHECK(header_decode(message, length, request) == 0);
    descriptors_close(&list);
    return true;
}

void fake_await_end(int socket)
{
    struct header request;

    while (fake_receive(socket, &request))
        ;
}

void fake_greet(int socket)
{
    static struct answer answer;
    struct header request;

    if (!fake_receive(socket, &request))
        return;
    CHILD_CHECK(request.opcode == SEALBUF_OP_HELLO);
    answer_begin(&answer, &request);
    answer_add(&answer, &hello_reply_schema,
               &(struct hello_reply){.version = SEALBUF_VERSION,
                                     .instance = 1,
                                     .max_message = SEALBUF_MAX_MESSAGE,
                                     .max_records = SEALBUF_MAX_RECORDS});
    answer_finish(&answer);
    answer_send(socket, &answer);
}

void answer_begin(struct answer *answer, const struct header *request)
{
    answer->header = (struct header){.opcode = request->opcode | SEALBUF_OP_REPLY, .serial = request->serial};
    answer->writer = (struct writer){.buffer = answer->message, .used = HEADER_SIZE, .room = SEALBUF_MAX_MESSAGE};
    answer->descriptors = 0;
}

void answer_add(struct answer *answer, const struct schema *schema, const void *record)
{
    CHILD_CHECK(record_encode(schema, &answer->writer, record) == 0);
    answer->header.count++;
}

void answer_attach(struct answer *answer, int fd)
{
    CHILD_CHECK(fd >= 0);
    answer->fd[answer->descriptors++] = fd;
    answer->header.descriptors++;
}

void answer_finish(struct answer *answer)
{
    message_finish(&answer->writer, &answer->header);
}

void answer_send(int socket, struct answer *answer)
{
    struct pollfd room = {.fd = socket, .events = POLLOUT};
    int r;

    while ((r = packet_send(socket, answer->message, answer->writer.used, answer->fd, answer->descriptors)) == -EAGAIN)
        poll(&room, 1, -1);

    CHILD_CHECK(r == 0 || r == -EPIPE || r == -ECONNRESET);
    while (answer->descriptors)
        close(answer->fd[--answer->descriptors]);
}

int fake_memfd(uint64_t size, uint32_t seals, int access_mode)
{
    char path[32];
    int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CHILD_CHECK(fd >= 0);
    CHILD_CHECK(fchmod(fd, 0444) == 0);
    CHILD_CHECK(ftruncate(fd, (off_t)size) == 0);
    CHILD_CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
    if (access_mode == O_RDWR)
        return fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int other = open(path, access_mode | O_CLOEXEC);
    close(fd);
    return other;
}
