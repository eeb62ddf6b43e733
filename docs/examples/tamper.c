/* SPDX-License-Identifier: MIT */
/*
 * Tries everything that could change an immutable buffer, and shows what the kernel says. Takes the path of an
 * inherited descriptor, as `sealbufctl exec` puts it there. Exit status: 0 if nothing succeeded.
 *
 *     cc -o tamper -D_GNU_SOURCE tamper.c
 *     sealbufctl put frames/left left.raw
 *     sealbufctl exec frames/left -- ./tamper {}
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int successes;

static void report(const char *attempt, int succeeded)
{
    printf("    %-44s %s\n", attempt, succeeded ? "SUCCEEDED" : strerror(errno));
    successes += succeeded;
}

static int map(int fd, int protection)
{
    void *at = mmap(NULL, 1, protection, MAP_SHARED, fd, 0);
    return at != MAP_FAILED && munmap(at, 1) == 0;
}

static int map_then_mprotect(int fd)
{
    void *at = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        return 0;
    int changed = mprotect(at, 1, PROT_READ | PROT_WRITE) == 0, saved = errno;
    munmap(at, 1);
    errno = saved;
    return changed;
}

/* There is no call that removes a seal; the nearest is to set another set. Whoever may not add any gets an error. */
static void try_to_unseal(int fd)
{
    int before = fcntl(fd, F_GET_SEALS), r = fcntl(fd, F_ADD_SEALS, 0);
    int lost = before & ~fcntl(fd, F_GET_SEALS);

    if (r == 0 && !lost)
        printf("    %-44s %s\n", "setting no seals in place of those", "They are all still there");
    else
        report("setting no seals in place of those", lost);
}

static void try_all(int fd)
{
    report("write(2)", pwrite(fd, "x", 1, 0) == 1);
    report("mmap, shared and writable", map(fd, PROT_READ | PROT_WRITE));
    report("mmap read-only, then mprotect", map_then_mprotect(fd));
    report("ftruncate to nothing", ftruncate(fd, 0) == 0);
    report("fallocate, punching a hole", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
    try_to_unseal(fd);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: tamper PATH\n");
        return 2;
    }
    printf("  with the descriptor, as uid %u:\n", (unsigned)getuid());
    try_all(atoi(strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1]));
    int fd = open(argv[1], O_RDWR);
    if (fd < 0) {
        report("opening it anew for writing", 0);
    } else {
        printf("  opening it anew for writing is possible for root, and where modes were changed; with that one:\n");
        try_all(fd);
        close(fd);
    }
    return successes ? 1 : 0;
}
