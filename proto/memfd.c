/* SPDX-License-Identifier: MIT */
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

static unsigned creation_flags(const struct memfd_spec *spec)
{
    unsigned flags = spec->inherit ? 0 : MFD_CLOEXEC;

    if (!spec->no_seal)
        flags |= MFD_ALLOW_SEALING;
    if (spec->huge)
        flags |= MFD_HUGETLB | spec->huge_shift << MFD_HUGE_SHIFT;
    return flags;
}

/* Kernels before 6.3 answer EINVAL to the exec flags; there the mode does what it can. */
static int create_descriptor(const struct memfd_spec *spec)
{
    const char *label = spec->label ? spec->label : "";
    unsigned flags = creation_flags(spec), exec_flag = 0;

    if (spec->exec)
        exec_flag = MFD_EXEC;
    else if (!spec->no_seal) /* MFD_NOEXEC_SEAL would allow sealing */
        exec_flag = MFD_NOEXEC_SEAL;
    int fd = memfd_create(label, flags | exec_flag);
    if (fd < 0 && errno == EINVAL && exec_flag)
        fd = memfd_create(label, flags);
    return fd < 0 ? -errno : fd;
}

/* What the exec flags of newer kernels leave to do: no x bit where none was asked for. */
static int set_mode(int fd, const struct memfd_spec *spec)
{
    mode_t mode = spec->mode;
    struct stat st;

    if (!mode && spec->exec)
        return 0;
    if (!mode) {
        if (fstat(fd, &st) < 0)
            return -errno;
        mode = st.st_mode & 0666;
        if (mode == (st.st_mode & 0777))
            return 0;
    }
    return fchmod(fd, mode) < 0 ? -errno : 0;
}

int descriptor_above_stdio(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int flags = fcntl(fd, F_GETFD);
    int moved = fcntl(fd, flags & FD_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, STDERR_FILENO + 1);
    int result = moved < 0 ? -errno : moved;
    close_quietly(fd);
    return result;
}

/* Without MFD_ALLOW_SEALING the kernel seals it against seals by itself, but for vm.memfd_noexec=1: that allows them.
 */
static int forbid_seals(int fd)
{
    uint32_t seals = 0;
    int r = memfd_get_seals(fd, &seals);

    return r < 0 || seals & F_SEAL_SEAL ? r : memfd_add_seals(fd, F_SEAL_SEAL);
}

int memfd_create_spec(const struct memfd_spec *spec)
{
    CLEANUP(cleanup_close)
    int fd = descriptor_above_stdio(create_descriptor(spec));

    if (fd < 0)
        return take_fd(&fd);
    int r = set_mode(fd, spec);
    if (r < 0)
        return r;
    /* ftruncate(2) takes a signed size; without this, one beyond it would be EINVAL all the same, but by
     * luck. */
    if (spec->size > INT64_MAX)
        return -EINVAL;
    if (spec->size > 0 && ftruncate(fd, (off_t)spec->size) < 0)
        return -errno;
    if (spec->no_seal)
        r = forbid_seals(fd);
    if (r == 0 && spec->seals)
        r = memfd_add_seals(fd, spec->seals);
    return r < 0 ? r : take_fd(&fd);
}

/* snprintf("%d") takes as long as a system call. */
static const char *decimal(unsigned number, char text[16])
{
    char *p = text + 15;

    *p = '\0';
    do
        *--p = (char)('0' + number % 10);
    while (number /= 10);
    return p;
}

int memfd_reopen_at(int directory, int fd, int access_mode)
{
    char text[16];

    if (fd < 0)
        return -EBADF;
    /* O_NONBLOCK: an open that meets a lease would wait for lease-break-time, 45 s. Reads do not know the flag. */
    int opened = openat(directory, decimal((unsigned)fd, text), access_mode | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return opened < 0 ? -errno : descriptor_above_stdio(opened);
}

int memfd_reopen(int fd, int access_mode)
{
    CLEANUP(cleanup_close)
    int directory = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return directory < 0 ? -errno : memfd_reopen_at(directory, fd, access_mode);
}

int memfd_add_seals(int fd, uint32_t seals)
{
    return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

int memfd_get_seals(int fd, uint32_t *seals)
{
    int got = fcntl(fd, F_GET_SEALS);
    if (got < 0)
        return -errno;
    *seals = (uint32_t)got;
    return 0;
}

/* A kind that the kernel does not have is none to remember. */
static int remember_device(struct memfd_devices *devices, const struct memfd_spec *spec)
{
    CLEANUP(cleanup_close)
    int fd = memfd_create_spec(spec);
    struct stat st;

    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
        return fd;
    if (fd < 0 || fstat(fd, &st) < 0 || memfd_devices_contain(devices, st.st_dev))
        return 0;
    if (devices->count < sizeof(devices->device) / sizeof(devices->device[0]))
        devices->device[devices->count++] = st.st_dev;
    return 0;
}

int memfd_devices_probe(struct memfd_devices *devices)
{
    static const unsigned char huge_shifts[] = {16, 19, 20, 21, 23, 24, 25, 28, 29, 30, 31, 34};

    devices->count = 0;
    int r = remember_device(devices, &(struct memfd_spec){.label = "sealbuf-probe"});
    if (r == 0 && devices->count == 0)
        return -ENOSYS;
    for (unsigned i = 0; i < sizeof(huge_shifts) && r == 0; i++)
        r = remember_device(devices,
                            &(struct memfd_spec){.label = "sealbuf-probe", .huge = 1, .huge_shift = huge_shifts[i]});
    return r;
}

bool memfd_devices_contain(const struct memfd_devices *devices, dev_t device)
{
    for (unsigned i = 0; i < devices->count; i++)
        if (devices->device[i] == device)
            return true;
    return false;
}

int memfd_is(int fd)
{
    struct memfd_devices devices;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return 0;
    int r = memfd_devices_probe(&devices);
    return r < 0 ? r : memfd_devices_contain(&devices, st.st_dev);
}
