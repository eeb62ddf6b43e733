/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

sealbuf_buffer *new_buffer(uint64_t size, uint32_t flags)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_buffer_create(&buffer, OPTIONS(sealbuf_create_options, .size = size, .flags = flags));

    ck_assert_msg(r == 0, "create: %s", sealbuf_strerror(r));
    ck_assert_ptr_nonnull(buffer);
    return buffer;
}

sealbuf_buffer *new_text(const char *text, uint32_t seals)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_buffer_from_bytes(&buffer, text, strlen(text), seals);

    ck_assert_msg(r == 0, "from_bytes: %s", sealbuf_strerror(r));
    return buffer;
}

uint32_t seals_of(const sealbuf_buffer *buffer)
{
    int seals = fcntl(sealbuf_buffer_fd(buffer), F_GET_SEALS);

    ck_assert_int_ge(seals, 0);
    return (uint32_t)seals;
}

uint64_t size_of(const sealbuf_buffer *buffer)
{
    struct stat st;

    ck_assert_int_eq(fstat(sealbuf_buffer_fd(buffer), &st), 0);
    return (uint64_t)st.st_size;
}

uint32_t exec_seal(void)
{
    int fd = memfd_create("probe", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

    if (fd < 0)
        return 0;
    close(fd);
    return SEALBUF_SEAL_EXEC;
}

bool content_is(const sealbuf_buffer *buffer, const void *bytes, size_t size)
{
    unsigned char part[65536];
    size_t done = 0;

    if (size_of(buffer) != size)
        return false;
    while (done < size) {
        ssize_t n = pread(sealbuf_buffer_fd(buffer), part, sizeof(part), (off_t)done);
        if (n <= 0 || memcmp(part, (const char *)bytes + done, (size_t)n) != 0)
            return false;
        done += (size_t)n;
    }
    return done == size;
}

bool mapped_at(const void *address)
{
    unsigned char resident;
    return mincore((void *)(uintptr_t)address, 1, &resident) == 0;
}

void fill_pattern(unsigned char *bytes, size_t size, uint32_t seed)
{
    uint32_t x = seed * 2654435761u | 1;

    for (size_t i = 0; i < size; i++) { /* xorshift32 */
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        bytes[i] = (unsigned char)x;
    }
}

sealbuf_client *new_client(void)
{
    sealbuf_client *client = NULL;
    int r = sealbuf_connect(&client, NULL);

    ck_assert_msg(r == 0, "connect: %s", sealbuf_strerror(r));
    return client;
}

/* That nothing was called back does not say that the time is up: something may have been sent. */
int wait_for_failure(sealbuf_client *client)
{
    int r = 0;

    for (int i = 0; i < 100 && r >= 0; i++)
        r = sealbuf_wait(client, 100);
    return r < 0 ? r : 0;
}

int broker_end(struct broker *running, int signal_number)
{
    static const char *const left[] = {"socket", "socket.lock", "log"};
    char path[128];
    int status;

    ck_assert_int_eq(kill(running->pid, signal_number), 0);
    ck_assert_int_eq(waitpid(running->pid, &status, 0), running->pid);
    for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", running->directory, left[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(running->directory), 0);
    return status;
}

void broker_open_to_all(const struct broker *running)
{
    ck_assert_int_eq(chmod(running->directory, 0711), 0);
}

rlim_t table_close(void)
{
    struct rlimit limit;
    int lowest_free = fcntl(STDIN_FILENO, F_DUPFD, 0);

    ck_assert_int_ge(lowest_free, 0);
    close(lowest_free);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)lowest_free;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

void table_open(rlim_t before)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = before;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

void child_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "# %s:%d: in a child: %s is not so (errno: %s)\n", file, line, what, strerror(errno));
    _exit(EXIT_FAILURE);
}

static pid_t fork_child(void)
{
    fflush(NULL);
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(30);
    }
    return pid;
}

static void become(uid_t uid, gid_t gid)
{
    CHILD_CHECK(setgroups(0, NULL) == 0);
    CHILD_CHECK(setresgid(gid, gid, gid) == 0);
    CHILD_CHECK(setresuid(uid, uid, uid) == 0);
}

static void wait_for_success(pid_t pid)
{
    int status = -1;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "the child ended with status 0x%x", (unsigned)status);
}

void in_child(void (*fn)(void *), void *argument)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        fn(argument);
        _exit(EXIT_SUCCESS);
    }
    wait_for_success(pid);
}

void in_child_as(uid_t uid, gid_t gid, void (*fn)(void *), void *argument)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        become(uid, gid);
        fn(argument);
        _exit(EXIT_SUCCESS);
    }
    wait_for_success(pid);
}

/* Says that it is ready by a byte, and waits until the other end closes. */
static void stay(int socket, void (*fn)(void *), void *argument)
{
    char byte = 0;

    fn(argument);
    CHILD_CHECK(write(socket, &byte, 1) == 1);
    CHILD_CHECK(read(socket, &byte, 1) == 0);
    _exit(EXIT_SUCCESS);
}

void child_begin(struct child *child, void (*fn)(void *), void *argument)
{
    int ends[2];
    char byte;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    child->pid = fork_child();
    if (child->pid == 0) {
        close(ends[0]);
        stay(ends[1], fn, argument);
    }
    close(ends[1]);
    child->leave = ends[0];
    ck_assert_msg(read(child->leave, &byte, 1) == 1, "the child did not get through its part");
}

void child_end(struct child *child)
{
    close(child->leave);
    wait_for_success(child->pid);
}
