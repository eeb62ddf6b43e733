/* SPDX-License-Identifier: MIT */
/*
 * memfds as both sides make and examine them: the broker for its clients, the library without any broker.
 *
 * Everything returns a negative errno on failure. Every descriptor is close-on-exec unless said otherwise,
 * and above 2, so that it never stands in for a standard stream that somebody has closed.
 */
#ifndef PROTO_MEMFD_H
#define PROTO_MEMFD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* linux/memfd.h and linux/fcntl.h of Debian 12 are older than these. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

struct memfd_spec {
    const char *label;     /* NULL for none; what /proc shows after `memfd:` */
    uint64_t size;         /* bytes */
    uint32_t seals;        /* to be there at birth */
    uint32_t huge_shift;   /* log2 of the huge page's size; 0 the system's default size; only with huge */
    mode_t mode;           /* of the inode; 0: what the kernel gives, less the executable bits without exec */
    unsigned char huge;    /* on huge pages */
    unsigned char exec;    /* executable */
    unsigned char no_seal; /* no seal can ever be added: not MFD_ALLOW_SEALING */
    unsigned char inherit; /* not close-on-exec */
};

/*
 * Creates a memfd with its size, its mode and all of the seals asked for: all of it or nothing. Without exec, the
 * executable bits are gone, and sealed away where the kernel can (Linux 6.3). With mode 0444 nobody but the file's
 * owner can reopen it for writing from a descriptor that only reads. -EFBIG: beyond RLIMIT_FSIZE. -EINVAL: size not a
 * multiple of the huge page, or above 2^63-1, or an unknown seal. -ENODEV, -ENOSYS: no such huge pages. -EACCES:
 * executable, and vm.memfd_noexec forbids it.
 */
int memfd_create_spec(const struct memfd_spec *spec);

/*
 * A description of one's own for the same file, by way of /proc. Never blocks: a lease that somebody holds
 * (which needs the file's own uid) gives -EAGAIN. -EACCES: the mode forbids it.
 */
int memfd_reopen(int fd, int access_mode);
/* The same, where `directory` is an open descriptor of one's own /proc/self/fd: a third of the time for the path. */
int memfd_reopen_at(int directory, int fd, int access_mode);

/* F_ADD_SEALS. May wait for pinned pages (0.16 s) and for the inode's lock. See fcntl(2). */
int memfd_add_seals(int fd, uint32_t seals);

/* F_GET_SEALS; does not wait. -EINVAL where seals are unknown to the file. Plain tmpfs files answer, too. */
int memfd_get_seals(int fd, uint32_t *seals);

/* Moves a descriptor above 2. Takes fd in every case; negative ones pass through. */
int descriptor_above_stdio(int fd);

/*
 * The devices of the kernel's internal mounts on which memfds live, and nothing else that a process can send.
 * That is what tells a memfd from a file in /dev/shm, which answers F_GET_SEALS just as well.
 */
struct memfd_devices {
    dev_t device[16];
    unsigned count;
};

/* 1 where the descriptor is a memfd, 0 where not, or a negative errno where that cannot be found out: it makes some of
   its own to compare with, so it is not for hot paths. */
int memfd_is(int fd);

/* Finds them by making one memfd of each kind that this kernel has. */
int memfd_devices_probe(struct memfd_devices *devices);
bool memfd_devices_contain(const struct memfd_devices *devices, dev_t device);

#endif
