/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded into a broker by sandbox.py, identity.py and live.py. It tries what the sandbox forbids from inside,
 * which is where somebody who had taken over the broker would be; and it plays kernels and security modules that this
 * machine does not have. What it finds goes to standard error, a line each: "preload: WHAT: ERRNO".
 *
 * Environment: PRELOAD_TRY=1: tries, when the first client comes. PRELOAD_SECURITY=LABEL: SO_PEERSEC says so.
 * PRELOAD_PIDFD=ERRNO: SO_PEERPIDFD fails with it. PRELOAD_CLOCK=1: the time of day jumps by years, to and fro, with
 * each look at it. PRELOAD_FREEING=1: of what is unread on a socket it is told as while the last of it is being freed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static pid_t parent; /* getppid(2) is refused later on */

__attribute__((constructor)) static void find_parent(void)
{
    parent = getppid();
}

static void report(const char *what, long result)
{
    dprintf(STDERR_FILENO, "preload: %s: %d\n", what, result == -1 ? errno : 0);
}

/* Evaluates the call, and closes what it opened. */
#define TRY(what, call) report(what, (long)(call))
#define TRY_OPEN(what, call)                                                                                           \
    do {                                                                                                               \
        int opened = (call);                                                                                           \
        report(what, opened);                                                                                          \
        if (opened >= 0)                                                                                               \
            close(opened);                                                                                             \
    } while (0)

static int child(void *argument)
{
    (void)argument;
    _exit(0);
}

static void try_processes(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    char *arguments[] = {"/nonexistent/program", NULL};

    TRY("fork", clone(child, stack + sizeof(stack), SIGCHLD, NULL));
    TRY("vfork", clone(child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
    TRY("clone3", syscall(SYS_clone3, NULL, 0));
    TRY("execve", execv(arguments[0], arguments));
    TRY("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    TRY("kill its parent", kill(parent, 0));
    TRY("tgkill its parent", syscall(SYS_tgkill, parent, parent, 0));
    TRY("tgkill itself", syscall(SYS_tgkill, getpid(), getpid(), 0));
    TRY("limits of its parent", syscall(SYS_prlimit64, parent, RLIMIT_NOFILE, NULL, NULL));
    TRY("its own limits", syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, NULL));
    TRY("prctl", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    TRY("unshare", unshare(CLONE_NEWUSER));
    TRY("setuid", setuid(getuid()));
}

static void try_files(void)
{
    TRY_OPEN("open to read", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    TRY_OPEN("open to write", open("/dev/null", O_WRONLY | O_CLOEXEC));
    TRY_OPEN("open to read and write", open("/dev/null", O_RDWR | O_CLOEXEC));
    TRY_OPEN("create", open("/nonexistent/file", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
    TRY_OPEN("create without a name", open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    TRY("mkdir", mkdir("/nonexistent/folder", 0700));
    TRY("rename", rename("/nonexistent/file", "/nonexistent/other"));
    TRY("chmod", chmod("/nonexistent/file", 0777));
    TRY("mount", mount("none", "/", "tmpfs", MS_REMOUNT, NULL));
    TRY("lease", fcntl(STDERR_FILENO, F_SETLEASE, F_RDLCK));
    TRY("owner of a descriptor", fcntl(STDERR_FILENO, F_SETOWN, parent));
    TRY("type into a terminal", ioctl(STDERR_FILENO, TIOCSTI, "x"));
}

/* What reading the configuration again takes. */
static void try_configuration(void)
{
    glob_t found = {0};
    struct group *group = getgrnam("root");

    TRY("look up a user", getpwnam("root") ? 0 : -1);
    TRY("look up a group", group ? 0 : -1);
    errno = 0;
    TRY("look up nobody", getpwnam("sealbuf-is-not-there") || errno == EPERM ? -1 : 0);
    TRY("look for files", glob("/etc/pass*", 0, NULL, &found) == 0 && found.gl_pathc ? 0 : -1);
    globfree(&found);
}

static void try_sockets(void)
{
    TRY_OPEN("AF_UNIX", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    TRY_OPEN("AF_INET", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    TRY_OPEN("AF_INET6", socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    TRY_OPEN("AF_NETLINK", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static void try_memory(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int library = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    TRY("memory to write and execute",
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY("execute what was written", mprotect(page, 4096, PROT_READ | PROT_EXEC));
    TRY("write again", mprotect(page, 4096, PROT_READ | PROT_WRITE));
    TRY("code of a library", mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, library, 0));
    close(library);
    munmap(page, 4096);
}

int accept4(int socket, struct sockaddr *restrict address, socklen_t *restrict length, int flags)
{
    static int tried;

    if (getenv("PRELOAD_TRY") && !tried++) {
        try_processes();
        try_files();
        try_configuration();
        try_sockets();
        try_memory();
        dprintf(STDERR_FILENO, "preload: done\n");
    }
    return (int)syscall(SYS_accept4, socket, address, length, flags);
}

int getsockopt(int socket, int level, int option, void *restrict value, socklen_t *restrict size)
{
    const char *security = getenv("PRELOAD_SECURITY"), *pidfd = getenv("PRELOAD_PIDFD");

    if (level == SOL_SOCKET && option == SO_PEERSEC && security) {
        *size = (socklen_t)strlen(security) + 1; /* as SELinux counts it */
        memcpy(value, security, *size);
        return 0;
    }
    if (level == SOL_SOCKET && option == SO_PEERPIDFD && pidfd) {
        errno = atoi(pidfd);
        return -1;
    }
    return (int)syscall(SYS_getsockopt, socket, level, option, value, size);
}

/* How far off the time of day is now. */
static time_t jump(void)
{
    static int jumps;
    static const time_t year = 31556952;

    return getenv("PRELOAD_CLOCK") ? (++jumps % 7 - 3) * 5 * year : 0;
}

int ioctl(int fd, unsigned long what, ...)
{
    va_list arguments;

    va_start(arguments, what);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int r = (int)syscall(SYS_ioctl, fd, what, argument);
    if (r == 0 && what == SIOCOUTQ && *(int *)argument > 0 && getenv("PRELOAD_FREEING"))
        *(int *)argument = 1;
    return r;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int r = (int)syscall(SYS_clock_gettime, clock, now);

    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += jump();
    return r;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int r = (int)syscall(SYS_gettimeofday, now, zone);

    now->tv_sec += jump();
    return r;
}

time_t time(time_t *now)
{
    struct timespec then;

    clock_gettime(CLOCK_REALTIME, &then);
    if (now)
        *now = then.tv_sec;
    return then.tv_sec;
}
