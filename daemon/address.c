/* SPDX-License-Identifier: MIT */
#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"
#include "log.h"

#define BACKLOG 4096

struct address {
    struct sockaddr_un name;
    int lock; /* descriptor of the lock file */
    bool bound;
};

const char *address_text(const struct address *address)
{
    return address->name.sun_path;
}

void address_release(struct address *address)
{
    char lock_path[sizeof(address->name.sun_path) + 8];

    if (!address)
        return;
    if (address->bound)
        unlink(address->name.sun_path);
    if (address->lock >= 0) {
        snprintf(lock_path, sizeof(lock_path), "%s.lock", address->name.sun_path);
        unlink(lock_path);
    }
    close_quietly(address->lock);
    free(address);
}

static void cleanup_address(struct address **address)
{
    address_release(*address);
}

static int set_path(struct address *address, const char *path)
{
    size_t length = strlen(path);

    if (path[0] == '@') {
        log_line(LOG_ERR, "'%s' is an abstract address, which has no owner and no mode; name a path with --socket",
                 path);
        return -EINVAL;
    }
    if (length >= sizeof(address->name.sun_path)) {
        log_line(LOG_ERR, "the socket path '%s' has %zu bytes; a socket's path can have %zu", path, length,
                 sizeof(address->name.sun_path) - 1);
        return -ENAMETOOLONG;
    }
    address->name.sun_family = AF_UNIX;
    memcpy(address->name.sun_path, path, length + 1);
    return 0;
}

static int make_folder(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    int r = -errno;
    log_line(LOG_ERR, "cannot make the folder '%s': %s; name a socket with --socket", path, strerror(-r));
    return r;
}

const char *address_runtime_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    return geteuid() != 0 && runtime && runtime[0] == '/' ? runtime : NULL;
}

mode_t address_mode(const struct config *config)
{
    if (config->socket_mode_set)
        return config->socket_mode;
    return geteuid() == 0 ? 0666 : 0600;
}

/* /run/sealbuf for root, $XDG_RUNTIME_DIR/sealbuf for everybody else. */
static int set_default_path(struct address *address)
{
    const char *runtime = address_runtime_folder();
    char folder[sizeof(address->name.sun_path)], path[sizeof(folder) + 8];
    bool root = geteuid() == 0;

    if (!root && !runtime) {
        log_line(
            LOG_ERR,
            "XDG_RUNTIME_DIR is not set, or not an absolute path, so there is no default address; name a socket with "
            "--socket");
        return -ENOENT;
    }
    int n = snprintf(folder, sizeof(folder), "%s/sealbuf", root ? "/run" : runtime);
    if (n < 0 || (size_t)n >= sizeof(folder)) {
        log_line(LOG_ERR, "XDG_RUNTIME_DIR is too long for a socket's path; name a socket with --socket");
        return -ENAMETOOLONG;
    }
    int r = make_folder(folder, root ? 0755 : 0700);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "%s/socket", folder);
    return set_path(address, path);
}

/* Whether the file behind the descriptor is still the one at the path: another broker may have removed it on its way
 * out. */
static bool is_still_there(int fd, const char *path)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_dev == there.st_dev &&
           held.st_ino == there.st_ino;
}

static int take_lock(struct address *address)
{
    char path[sizeof(address->name.sun_path) + 8];

    snprintf(path, sizeof(path), "%s.lock", address->name.sun_path);
    for (;;) {
        CLEANUP(cleanup_close)
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            int r = -errno;
            log_line(LOG_ERR,
                     "cannot make the lock file '%s': %s; name a socket in a folder that is there and writable with "
                     "--socket",
                     path, strerror(-r));
            return r;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            log_line(LOG_ERR, "another broker serves '%s' already; stop it, or name another socket with --socket",
                     address->name.sun_path);
            return -EADDRINUSE;
        }
        if (is_still_there(fd, path)) {
            address->lock = take_fd(&fd);
            return 0;
        }
    }
}

int address_lock(const struct address *address)
{
    return address->lock;
}

struct address *address_restore(struct span path, int lock)
{
    struct address *address = calloc(1, sizeof(*address));

    if (!address || path.length >= sizeof(address->name.sun_path)) {
        free(address);
        return NULL;
    }
    address->name.sun_family = AF_UNIX;
    memcpy(address->name.sun_path, path.data, path.length);
    address->lock = lock;
    address->bound = true;
    return address;
}

/* Removes what a killed broker has left; anything but a socket is not ours to remove. */
static int remove_stale_socket(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    return unlink(path) < 0 ? -errno : 0;
}

static int bind_and_listen(struct address *address, mode_t mode)
{
    const char *path = address->name.sun_path;
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    int r = remove_stale_socket(path);
    if (r < 0)
        return r;
    /* bind(2) makes the file with the mode of the socket's inode, less the umask: no moment with more than was meant.
     */
    mode_t before = umask(0777 & ~mode);
    r = bind(fd, (const struct sockaddr *)&address->name, sizeof(address->name)) < 0 ? -errno : 0;
    umask(before);
    if (r < 0)
        return r;
    address->bound = true;
    return listen(fd, BACKLOG) < 0 ? -errno : take_fd(&fd);
}

int address_listen(const struct config *config, struct address **address)
{
    CLEANUP(cleanup_address)
    struct address *made = calloc(1, sizeof(*made));

    if (!made)
        return -ENOMEM;
    made->lock = -1;
    int r = config->socket_path ? set_path(made, config->socket_path) : set_default_path(made);
    if (r == 0)
        r = take_lock(made);
    if (r < 0)
        return r;
    int fd = bind_and_listen(made, address_mode(config));
    if (fd < 0) {
        log_line(LOG_ERR, "cannot listen on '%s': %s; name a path for a new socket with --socket", made->name.sun_path,
                 fd == -EEXIST ? "a file that is no socket is there" : strerror(-fd));
        return fd;
    }
    *address = take_pointer(made);
    return fd;
}
