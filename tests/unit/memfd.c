/* SPDX-License-Identifier: MIT */
/*
 * memfds as they are made and examined, on this kernel and on older ones: memfd_create(2) below stands in front of the
 * C library's, and answers as other kernels and other configurations would.
 */
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "sealbuf-protocol.h"

static enum {
    KERNEL_THIS,
    KERNEL_BEFORE_6_3,      /* knows no MFD_EXEC, no MFD_NOEXEC_SEAL, no huge pages of unknown size */
    KERNEL_WITHOUT_HUGETLB, /* built so */
    KERNEL_NOEXEC_1,        /* vm.memfd_noexec=1: what does not say MFD_EXEC gets MFD_NOEXEC_SEAL */
    KERNEL_NOEXEC_2,        /* vm.memfd_noexec=2: and MFD_EXEC is refused */
    KERNEL_OUT_OF_DESCRIPTORS,
} kernel;

int memfd_create(const char *name, unsigned flags)
{
    int refusal = 0;

    if (kernel == KERNEL_BEFORE_6_3 && flags & (MFD_EXEC | MFD_NOEXEC_SEAL))
        refusal = EINVAL;
    else if (kernel == KERNEL_WITHOUT_HUGETLB && flags & MFD_HUGETLB)
        refusal = ENOSYS;
    else if (kernel == KERNEL_NOEXEC_2 && flags & MFD_EXEC)
        refusal = EACCES;
    else if (kernel == KERNEL_OUT_OF_DESCRIPTORS)
        refusal = EMFILE;
    else if (kernel == KERNEL_NOEXEC_1 && !(flags & MFD_EXEC))
        flags |= MFD_NOEXEC_SEAL;
    if (refusal) {
        errno = refusal;
        return -1;
    }
    return (int)syscall(SYS_memfd_create, name, flags);
}

static void real_kernel(void)
{
    kernel = KERNEL_THIS;
}

static bool kernel_has_exec_seal(void)
{
    int fd = (int)syscall(SYS_memfd_create, "probe", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static uint32_t exec_seal(void)
{
    return kernel_has_exec_seal() ? F_SEAL_EXEC : 0;
}

static uint32_t seals_of(int fd)
{
    uint32_t seals;

    ck_assert_int_eq(memfd_get_seals(fd, &seals), 0);
    return seals;
}

static mode_t mode_of(int fd)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_mode & 07777;
}

static int made(struct memfd_spec spec)
{
    int fd = memfd_create_spec(&spec);

    ck_assert_int_ge(fd, 0);
    return fd;
}

START_TEST(plain)
{
    struct stat st;
    int fd = made((struct memfd_spec){.label = "plain", .size = 12345});

    ck_assert_int_gt(fd, 2);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, 12345);
    ck_assert_int_eq(st.st_blocks, 0);
    ck_assert_uint_eq(seals_of(fd), exec_seal());
    ck_assert_uint_eq(mode_of(fd), 0666);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    close(fd);
}
END_TEST

/* Every set of seals at birth, with content and without. */
START_TEST(seals_at_birth)
{
    uint32_t seals = (uint32_t)_i;

    if (seals & F_SEAL_EXEC && !kernel_has_exec_seal())
        test_skip("no F_SEAL_EXEC before Linux 6.3");
    for (unsigned size = 0; size <= 8192; size += 8192) {
        int fd = made((struct memfd_spec){.size = size, .seals = seals, .mode = 0444});
        ck_assert_uint_eq(seals_of(fd), seals | exec_seal());
        ck_assert_uint_eq(mode_of(fd), 0444);
        close(fd);
    }
}
END_TEST

START_TEST(unknown_seal)
{
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.size = 1, .seals = 0x40000000}), -EINVAL);
}
END_TEST

START_TEST(executable)
{
    int fd = made((struct memfd_spec){.exec = 1});

    ck_assert_uint_eq(mode_of(fd), 0777);
    ck_assert_uint_eq(seals_of(fd), 0);
    close(fd);
    fd = made((struct memfd_spec){.exec = 1, .mode = 0555, .seals = SEALBUF_SEALS_IMMUTABLE});
    ck_assert_uint_eq(mode_of(fd), 0555);
    ck_assert_uint_eq(seals_of(fd), SEALBUF_SEALS_IMMUTABLE);
    close(fd);
}
END_TEST

START_TEST(unsealable)
{
    int fd = made((struct memfd_spec){.size = 10, .no_seal = 1});

    ck_assert_uint_eq(seals_of(fd) & F_SEAL_SEAL, F_SEAL_SEAL);
    ck_assert_uint_eq(mode_of(fd) & 0111, 0);
    ck_assert_int_eq(memfd_add_seals(fd, F_SEAL_WRITE), -EPERM);
    close(fd);
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.no_seal = 1, .seals = F_SEAL_GROW}), -EPERM);
}
END_TEST

START_TEST(inherited)
{
    int fd = made((struct memfd_spec){.inherit = 1});

    ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
    close(fd);
}
END_TEST

START_TEST(labels)
{
    char label[251], target[300] = "", expected[300], path[32];

    memset(label, 'x', sizeof(label));
    label[250] = '\0';
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.label = label}), -EINVAL);
    label[249] = '\0';
    int fd = made((struct memfd_spec){.label = label});
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ck_assert_int_gt(readlink(path, target, sizeof(target) - 1), 0);
    snprintf(expected, sizeof(expected), "/memfd:%s (deleted)", label);
    ck_assert_str_eq(target, expected);
    close(fd);
}
END_TEST

START_TEST(sizes)
{
    struct rlimit limit;
    struct stat st;

    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.size = UINT64_C(1) << 63}), -EINVAL);
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.size = UINT64_MAX}), -EINVAL);
    int fd = made((struct memfd_spec){.size = UINT64_C(1) << 40});
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, INT64_C(1) << 40);
    close(fd);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 4096, .rlim_max = limit.rlim_max});
    int r = memfd_create_spec(&(struct memfd_spec){.size = 4097});
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    ck_assert_int_eq(r, -EFBIG);
}
END_TEST

START_TEST(huge_pages)
{
    const struct memfd_spec page = {.size = 2 << 20, .huge = 1, .huge_shift = 21};
    int fd = memfd_create_spec(&page);
    struct stat st;

    if (fd == -ENODEV || fd == -ENOSYS)
        test_skip("no huge pages of 2 MiB");
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_blksize, 2 << 20);
    close(fd);
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.size = 4096, .huge = 1, .huge_shift = 21}), -EINVAL);
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.huge = 1, .huge_shift = 13}), -ENODEV);
}
END_TEST

START_TEST(older_kernel)
{
    kernel = KERNEL_BEFORE_6_3;
    int fd = made((struct memfd_spec){.size = 1, .seals = SEALBUF_SEALS_IMMUTABLE});
    ck_assert_uint_eq(seals_of(fd), SEALBUF_SEALS_IMMUTABLE);
    ck_assert_uint_eq(mode_of(fd), 0666);
    close(fd);
    fd = made((struct memfd_spec){.size = 1, .mode = 0444});
    ck_assert_uint_eq(mode_of(fd), 0444);
    close(fd);
    fd = made((struct memfd_spec){.exec = 1});
    ck_assert_uint_eq(mode_of(fd), 0777);
    close(fd);
}
END_TEST

START_TEST(stricter_kernel)
{
    if (!kernel_has_exec_seal())
        test_skip("no vm.memfd_noexec before Linux 6.3");
    kernel = KERNEL_NOEXEC_2;
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.exec = 1}), -EACCES);
    close(made((struct memfd_spec){.size = 1}));
    /* The kernel makes it sealable against the caller's wish: that wish must be fulfilled all the same. */
    kernel = KERNEL_NOEXEC_1;
    int fd = made((struct memfd_spec){.size = 1, .no_seal = 1});
    ck_assert_int_eq(memfd_add_seals(fd, F_SEAL_WRITE), -EPERM);
    close(fd);
}
END_TEST

START_TEST(no_descriptor)
{
    struct memfd_devices devices;

    kernel = KERNEL_OUT_OF_DESCRIPTORS;
    ck_assert_int_eq(memfd_create_spec(&(struct memfd_spec){.size = 1}), -EMFILE);
    ck_assert_int_lt(memfd_devices_probe(&devices), 0);
}
END_TEST

START_TEST(above_stdio)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 10), flags = fcntl(0, F_GETFD);

    close(0);
    int fd = memfd_create_spec(&(struct memfd_spec){.size = 1});
    int zero = fcntl(0, F_GETFD), reader = memfd_reopen(fd, O_RDONLY), zero_again = fcntl(0, F_GETFD);
    dup2(saved, 0);
    fcntl(0, F_SETFD, flags);
    close(saved);
    ck_assert_int_gt(fd, 2);
    ck_assert_int_gt(reader, 2);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(reader, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(zero, -1);
    ck_assert_int_eq(zero_again, -1);
    close(fd);
    close(reader);
    ck_assert_int_eq(descriptor_above_stdio(-EMFILE), -EMFILE);
    ck_assert_int_eq(descriptor_above_stdio(77), 77);
}
END_TEST

START_TEST(reader_of_its_own)
{
    int fd = made((struct memfd_spec){.size = 100, .mode = 0444});
    int reader = memfd_reopen(fd, O_RDONLY);

    ck_assert_int_ge(reader, 0);
    ck_assert_int_eq(fcntl(reader, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(lseek(fd, 50, SEEK_SET), 50);
    ck_assert_int_eq(lseek(reader, 0, SEEK_CUR), 0);
    ck_assert_int_eq(write(reader, "x", 1), -1);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(memfd_add_seals(reader, F_SEAL_GROW), -EPERM);
    ck_assert_uint_eq(seals_of(reader), exec_seal());
    close(reader);
    close(fd);
    ck_assert_int_lt(memfd_reopen(-1, O_RDONLY), 0);
}
END_TEST

static int reopen_as_another(int fd)
{
    if (setresuid(61234, 61234, 61234) < 0)
        return 1;
    int reader = memfd_reopen(fd, O_RDONLY);
    if (reader < 0)
        return 2;
    return memfd_reopen(reader, O_RDWR) == -EACCES ? 0 : 3;
}

START_TEST(mode_keeps_writers_out)
{
    int status;

    if (geteuid() != 0)
        test_skip("needs root, to be another user");
    int fd = made((struct memfd_spec){.size = 100, .mode = 0444});
    pid_t child = fork();
    if (child == 0)
        _exit(reopen_as_another(fd));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(fd);
}
END_TEST

/* Write leases are to be had on descriptions that were opened by a path, not on the one that memfd_create(2) returns.
 */
START_TEST(lease_does_not_block)
{
    struct timespec before, after;
    int fd = made((struct memfd_spec){.size = 100, .mode = 0444});
    int leased = memfd_reopen(fd, O_RDONLY);

    signal(SIGIO, SIG_IGN);
    ck_assert_int_eq(fcntl(leased, F_SETLEASE, F_WRLCK), 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    ck_assert_int_eq(memfd_reopen(fd, O_RDONLY), -EAGAIN);
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_le(after.tv_sec - before.tv_sec, 2);
    close(leased);
    close(fd);
    signal(SIGIO, SIG_DFL);
}
END_TEST

START_TEST(seals_of_others)
{
    int pipes[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    uint32_t seals = 0x5a;

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ck_assert_int_eq(memfd_get_seals(pipes[0], &seals), -EINVAL);
    ck_assert_int_eq(memfd_get_seals(null, &seals), -EINVAL);
    ck_assert_int_eq(memfd_get_seals(-1, &seals), -EBADF);
    ck_assert_uint_eq(seals, 0x5a);
    close(pipes[0]);
    close(pipes[1]);
    close(null);
}
END_TEST

START_TEST(seals_all_or_none)
{
    int fd = made((struct memfd_spec){.size = 4096});
    void *mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    ck_assert_ptr_ne(mapping, MAP_FAILED);
    ck_assert_int_eq(memfd_add_seals(fd, SEALBUF_SEALS_IMMUTABLE), -EBUSY);
    ck_assert_uint_eq(seals_of(fd), exec_seal());
    munmap(mapping, 4096);
    ck_assert_int_eq(memfd_add_seals(fd, SEALBUF_SEALS_IMMUTABLE), 0);
    ck_assert_int_eq(memfd_add_seals(fd, SEALBUF_SEAL_SEAL), 0);
    ck_assert_int_eq(memfd_add_seals(fd, SEALBUF_SEAL_FUTURE_WRITE), -EPERM);
    close(fd);
}
END_TEST

START_TEST(known_on_other_kernels)
{
    struct memfd_devices devices;
    struct stat st;
    int fd = made((struct memfd_spec){.size = 1});

    ck_assert_int_eq(fstat(fd, &st), 0);
    for (kernel = KERNEL_BEFORE_6_3; kernel < KERNEL_OUT_OF_DESCRIPTORS; kernel++) {
        ck_assert_int_eq(memfd_devices_probe(&devices), 0);
        ck_assert(memfd_devices_contain(&devices, st.st_dev));
    }
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memfd");
    TCase *create = harness_tcase(suite, "create"), *kernels = harness_tcase(suite, "kernels"),
          *examine = harness_tcase(suite, "examine");

    tcase_add_test(create, plain);
    tcase_add_loop_test(create, seals_at_birth, 0, SEALBUF_SEALS_ALL + 1);
    tcase_add_test(create, unknown_seal);
    tcase_add_test(create, executable);
    tcase_add_test(create, unsealable);
    tcase_add_test(create, inherited);
    tcase_add_test(create, labels);
    tcase_add_test(create, sizes);
    tcase_add_test(create, huge_pages);
    tcase_add_checked_fixture(kernels, NULL, real_kernel);
    tcase_add_test(kernels, older_kernel);
    tcase_add_test(kernels, stricter_kernel);
    tcase_add_test(kernels, no_descriptor);
    tcase_add_test(kernels, known_on_other_kernels);
    tcase_add_test(examine, above_stdio);
    tcase_add_test(examine, reader_of_its_own);
    tcase_add_test(examine, mode_keeps_writers_out);
    tcase_add_test(examine, lease_does_not_block);
    tcase_add_test(examine, seals_of_others);
    tcase_add_test(examine, seals_all_or_none);
    return harness_run(suite);
}
