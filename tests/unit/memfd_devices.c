/* SPDX-License-Identifier: MIT */
/* What is a memfd and what is none, by the device it lives on. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "memfd.h"
#include "sealbuf-protocol.h"

/* What a client might send instead of a memfd; -1 where this machine has none. */
static int shm_file(void)
{
    int fd = shm_open("/sealbuf-unit-test", O_RDWR | O_CREAT | O_EXCL, 0600);

    shm_unlink("/sealbuf-unit-test");
    return fd;
}

static int secret_memory(void)
{
#ifdef SYS_memfd_secret
    return (int)syscall(SYS_memfd_secret, O_CLOEXEC);
#else
    return -1;
#endif
}

static int pipe_end(void)
{
    int pipes[2];

    if (pipe(pipes) < 0)
        return -1;
    close(pipes[1]);
    return pipes[0];
}

static int file_on_disk(void)
{
    return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int directory(void)
{
    return open("/dev/shm", O_RDONLY | O_CLOEXEC);
}

static int null_device(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int (*const impostors[])(void) = {shm_file, secret_memory, pipe_end, file_on_disk, directory, null_device};

START_TEST(impostor)
{
    struct memfd_devices devices;
    struct stat st;
    int fd = impostors[_i]();

    if (fd < 0)
        test_skip("this machine has no such file");
    ck_assert_int_eq(memfd_devices_probe(&devices), 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert(!memfd_devices_contain(&devices, st.st_dev) || !S_ISREG(st.st_mode));
    ck_assert(!memfd_is(fd));
    close(fd);
}
END_TEST

/* The reason for all this: it answers, and by its seals it cannot be told from a memfd that nobody may seal. */
START_TEST(shm_files_answer)
{
    int fd = shm_file();
    uint32_t seals;

    if (fd < 0)
        test_skip("no /dev/shm");
    ck_assert_int_eq(memfd_get_seals(fd, &seals), 0);
    ck_assert_uint_eq(seals, F_SEAL_SEAL);
    close(fd);
}
END_TEST

static const struct memfd_spec kinds[] = {
    {.size = 0},
    {.size = 4096, .seals = SEALBUF_SEALS_IMMUTABLE},
    {.exec = 1},
    {.no_seal = 1},
    {.huge = 1},
    {.huge = 1, .huge_shift = 21},
    {.huge = 1, .huge_shift = 30},
};

START_TEST(memfds_are_known)
{
    struct memfd_devices devices;
    struct stat st;

    int fd = memfd_create_spec(&kinds[_i]);
    if (fd < 0)
        test_skip("this machine has no such memfd");
    ck_assert_int_eq(memfd_devices_probe(&devices), 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert(memfd_devices_contain(&devices, st.st_dev));
    ck_assert(memfd_is(fd));
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memfd_devices");
    TCase *devices = harness_tcase(suite, "devices");

    tcase_add_loop_test(devices, impostor, 0, 6);
    tcase_add_test(devices, shm_files_answer);
    tcase_add_loop_test(devices, memfds_are_known, 0, 7);
    return harness_run(suite);
}
