/* SPDX-License-Identifier: MIT */
/* Messages with descriptors, as well-behaved clients send them, and as others do. */
#include "packet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static int ends[2];
static struct descriptors list;
static char received[256];
static size_t received_length;

static void connect_ends(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    memset(&list, 0x5a, sizeof(list));
    received_length = 0;
}

static void close_ends(void)
{
    close(ends[0]);
    close(ends[1]);
}

static int receive(void)
{
    return packet_receive(ends[1], MSG_DONTWAIT, received, sizeof(received), &received_length, &list);
}

/* Files that can be told apart: the one behind descriptor i has i bytes. */
static void make_files(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fds[i] = memfd_create("packet", MFD_CLOEXEC);
        ck_assert_int_ge(fds[i], 0);
        ck_assert_int_eq(ftruncate(fds[i], i), 0);
    }
}

static void close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* Sends descriptors in a control buffer of a length of our own choosing. */
static void send_raw(const void *message, size_t length, const int *fds, unsigned count, size_t control_length)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * SEALBUF_MAX_RECORDS)];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = length};
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = control_length};
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    ck_assert_int_eq(sendmsg(ends[0], &header, MSG_NOSIGNAL), (ssize_t)length);
}

START_TEST(bytes_alone)
{
    ck_assert_int_eq(packet_send(ends[0], "hello", 5, NULL, 0), 0);
    ck_assert_int_eq(packet_send(ends[0], "again", 6, NULL, 0), 0);
    ck_assert_int_eq(receive(), PACKET_OK);
    ck_assert_uint_eq(received_length, 5);
    ck_assert_mem_eq(received, "hello", 5);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_int_eq(receive(), PACKET_OK);
    ck_assert_uint_eq(received_length, 6);
    ck_assert_int_eq(receive(), PACKET_AGAIN);
}
END_TEST

static const unsigned counts[] = {1, 2, 7, 252, 253};

START_TEST(descriptors_arrive_in_order)
{
    unsigned count = counts[_i];
    int fds[SEALBUF_MAX_RECORDS];

    make_files(fds, count);
    ck_assert_int_eq(packet_send(ends[0], "x", 1, fds, count), 0);
    close_all(fds, count);
    ck_assert_int_eq(receive(), PACKET_OK);
    ck_assert_uint_eq(list.count, count);
    for (unsigned i = 0; i < count; i++) {
        struct stat st;
        ck_assert_int_eq(fstat(list.fd[i], &st), 0);
        ck_assert_int_eq(st.st_size, i);
        ck_assert_int_eq(fcntl(list.fd[i], F_GETFD), FD_CLOEXEC);
    }
    descriptors_close(&list);
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

/* What is taken is ours; the rest goes with the list. */
START_TEST(taken_descriptors_stay)
{
    int fds[3];

    make_files(fds, 3);
    ck_assert_int_eq(packet_send(ends[0], "x", 1, fds, 3), 0);
    close_all(fds, 3);
    ck_assert_int_eq(receive(), PACKET_OK);
    int dropped = list.fd[0], taken = descriptors_take(&list, 1);
    descriptors_close(&list);
    ck_assert_int_ge(fcntl(taken, F_GETFD), 0);
    ck_assert_int_eq(fcntl(dropped, F_GETFD), -1);
    close(taken);
}
END_TEST

static const unsigned excessive[] = {254, 255, 256, 300};

START_TEST(too_many_are_not_sent)
{
    int fds[300];

    for (unsigned i = 0; i < 300; i++)
        fds[i] = ends[0];
    ck_assert_int_eq(packet_send(ends[0], "x", 1, fds, excessive[_i]), -EINVAL);
    ck_assert_int_eq(receive(), PACKET_AGAIN);
}
END_TEST

/* CVE-2014-3635: the padding behind one descriptor has room for a second. Both must be seen, and counted. */
START_TEST(second_in_the_padding)
{
    int fds[2] = {ends[0], ends[1]};

    ck_assert_uint_ge(CMSG_SPACE(sizeof(int)), CMSG_LEN(2 * sizeof(int)));
    send_raw("x", 1, fds, 2, CMSG_SPACE(sizeof(int)));
    ck_assert_int_eq(receive(), PACKET_OK);
    ck_assert_uint_eq(list.count, 2);
    descriptors_close(&list);
}
END_TEST

START_TEST(two_control_messages)
{
    union {
        char bytes[2 * CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);

    for (int i = 0; i < 2; i++, c = CMSG_NXTHDR(&header, c)) {
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &ends[i], sizeof(int));
    }
    ck_assert_int_eq(sendmsg(ends[0], &header, 0), 1);
    ck_assert_int_eq(receive(), PACKET_OK);
    ck_assert_uint_eq(list.count, 2);
    descriptors_close(&list);
}
END_TEST

START_TEST(empty_with_descriptors)
{
    int fds[5];

    make_files(fds, 5);
    for (unsigned count = 1; count <= 5; count += 2)
        ck_assert_int_eq(packet_send(ends[0], "", 0, fds, count), 0);
    close_all(fds, 5);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(receive(), PACKET_EMPTY);
        ck_assert_uint_eq(list.count, 2 * i + 1); /* they are there for the caller to close */
        descriptors_close(&list);
    }
    ck_assert_int_eq(receive(), PACKET_AGAIN);
}
END_TEST

START_TEST(end_of_file)
{
    ck_assert_int_eq(packet_send(ends[0], "last", 4, NULL, 0), 0);
    close(ends[0]);
    ck_assert_int_eq(receive(), PACKET_OK);
    ck_assert_int_eq(receive(), PACKET_END);
    ck_assert_int_eq(receive(), PACKET_END);
    ck_assert_int_eq(packet_send(ends[1], "x", 1, NULL, 0), -EPIPE); /* and no SIGPIPE */
    ends[0] = -1;
}
END_TEST

START_TEST(empty_is_the_end)
{
    ck_assert_int_eq(packet_send(ends[0], "", 0, NULL, 0), 0);
    ck_assert_int_eq(receive(), PACKET_END);
}
END_TEST

START_TEST(longer_than_the_room)
{
    char text[sizeof(received) + 1] = {0};
    int fds[4];

    make_files(fds, 4);
    ck_assert_int_eq(packet_send(ends[0], text, sizeof(received), fds, 4), 0);
    ck_assert_int_eq(packet_send(ends[0], text, sizeof(text), fds, 4), 0);
    ck_assert_int_eq(packet_send(ends[0], text, sizeof(text), NULL, 0), 0);
    close_all(fds, 4);
    ck_assert_int_eq(receive(), PACKET_OK);
    descriptors_close(&list);
    ck_assert_int_eq(receive(), PACKET_CUT);
    ck_assert_uint_eq(list.count, 4);
    descriptors_close(&list);
    ck_assert_int_eq(receive(), PACKET_CUT);
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

/* Without opening anything, as the table is full. */
static unsigned open_below(int end)
{
    unsigned count = 0;

    for (int fd = 0; fd < end; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static rlim_t limit_descriptors(rlim_t soft)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = soft;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

/* The receiver has room for _i of 6: the kernel installs those, and says MSG_CTRUNC. */
START_TEST(table_full)
{
    int fds[6], fillers[256], last = -1;
    unsigned filled = 0;

    make_files(fds, 6);
    ck_assert_int_eq(packet_send(ends[0], "text", 4, fds, 6), 0);
    close_all(fds, 6);
    while (last < 150) { /* so that there are no holes below the limit */
        last = dup(ends[0]);
        ck_assert_int_ge(last, 0);
        fillers[filled++] = last;
    }
    for (int i = 0; i < _i; i++)
        close(fillers[--filled]);
    unsigned before = open_below(256);
    rlim_t limit = limit_descriptors((rlim_t)last + 1);
    int r = receive();
    limit_descriptors(limit);
    ck_assert_uint_eq(open_below(256), before + list.count); /* none is open that the list does not know of */
    ck_assert_uint_eq(list.count, (unsigned)_i);
    descriptors_close(&list);
    ck_assert_uint_eq(open_below(256), before);
    close_all(fillers, filled);
    ck_assert_int_eq(r, PACKET_LOST_FDS);
    ck_assert_uint_eq(received_length, 4);
    ck_assert_mem_eq(received, "text", 4);
}
END_TEST

/* Whoever is told that too many are in flight can try again later. As another user: root's are not counted. */
static int provoke_too_many(void)
{
    struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
    int fds[8] = {0};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || (geteuid() == 0 && setresuid(61234, 61234, 61234) < 0))
        return 1;
    for (int i = 0; i < 40; i++) {
        int r = packet_send(ends[0], "x", 1, fds, 8);
        if (r == -ETOOMANYREFS)
            return i < 7; /* not before 64 are in flight */
        if (r < 0)
            return 2;
    }
    return 3;
}

/* CVE-2014-3532: it is nothing to be disconnected for. */
START_TEST(too_many_in_flight)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(provoke_too_many());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    while (receive() == PACKET_OK)
        descriptors_close(&list);
}
END_TEST

START_TEST(receiver_takes_none)
{
    int no = 0;

    if (setsockopt(ends[1], SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no)) < 0)
        test_skip("no SO_PASSRIGHTS before Linux 6.16");
    ck_assert_int_eq(packet_send(ends[0], "x", 1, ends, 1), -EPERM);
    ck_assert_int_eq(packet_send(ends[0], "x", 1, NULL, 0), 0);
    ck_assert_int_eq(receive(), PACKET_OK);
}
END_TEST

START_TEST(full_socket)
{
    static char text[8192];
    int r = 0, sent = 0;

    while ((r = packet_send(ends[0], text, sizeof(text), NULL, 0)) == 0)
        ck_assert_int_lt(sent++, 100000);
    ck_assert_int_eq(r, -EAGAIN);
}
END_TEST

START_TEST(not_a_socket)
{
    ck_assert_int_eq(packet_receive(-1, MSG_DONTWAIT, received, sizeof(received), &received_length, &list), -EBADF);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_int_eq(packet_send(-1, "x", 1, NULL, 0), -EBADF);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packet");
    TCase *pair = harness_tcase(suite, "pair");

    tcase_add_checked_fixture(pair, connect_ends, close_ends);
    tcase_add_test(pair, bytes_alone);
    tcase_add_loop_test(pair, descriptors_arrive_in_order, 0, 5);
    tcase_add_test(pair, taken_descriptors_stay);
    tcase_add_loop_test(pair, too_many_are_not_sent, 0, 4);
    tcase_add_test(pair, second_in_the_padding);
    tcase_add_test(pair, two_control_messages);
    tcase_add_test(pair, empty_with_descriptors);
    tcase_add_test(pair, end_of_file);
    tcase_add_test(pair, empty_is_the_end);
    tcase_add_test(pair, longer_than_the_room);
    tcase_add_loop_test(pair, table_full, 0, 6);
    tcase_add_test(pair, too_many_in_flight);
    tcase_add_test(pair, receiver_takes_none);
    tcase_add_test(pair, full_socket);
    tcase_add_test(pair, not_a_socket);
    return harness_run(suite);
}
