/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <config-build.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "ledger.h"
#include "log.h"

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

static int *sockets;
static int socket_count;

/*
 * A connected one is somebody's, and so is what is named like something that a broker keeps; all others are of socket
 * units, and are looked at by service_passed_socket.
 */
static bool is_of_socket_unit(int fd, const char *name)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    int type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){sizeof(type)}) < 0)
        return false;
    if (strcmp(name, LEDGER_NAME) == 0 || strncmp(name, "buffer-", 7) == 0 || strcmp(name, "stored") == 0)
        return false;
    return getpeername(fd, (struct sockaddr *)&address, &size) < 0;
}

int service_take_passed(struct inherited **others, size_t *count)
{
    char **names = NULL;
    int passed = sd_listen_fds_with_names(1, &names);

    *others = NULL;
    *count = 0;
    if (passed <= 0)
        return passed;
    struct inherited *list = calloc((size_t)passed, sizeof(*list));
    sockets = calloc((size_t)passed, sizeof(*sockets));
    for (int i = 0; i < passed; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (list && sockets && is_of_socket_unit(fd, names[i])) {
            sockets[socket_count++] = fd;
            free(names[i]);
        } else if (list && sockets) {
            list[(*count)++] = (struct inherited){names[i], fd};
        } else {
            free(names[i]);
        }
    }
    free(names);
    *others = list;
    return list && sockets ? 0 : -ENOMEM;
}

void service_free_passed(struct inherited *others, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)others[i].name);
    free(others);
}

int service_passed_sockets(void)
{
    return socket_count;
}

int service_passed_socket(int i)
{
    int fd = sockets[i];

    if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
        log_line(LOG_ERR,
                 "descriptor %d from the service manager is not a listening SOCK_SEQPACKET Unix socket; the socket "
                 "unit needs ListenSequentialPacket=",
                 fd);
        return -EINVAL;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return fd;
}

void service_notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void service_notify_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_monotonic_ns() / 1000));
}

void service_notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void service_notify_restoring(void)
{
    sd_notify(0, "EXTEND_TIMEOUT_USEC=30000000");
}

void service_forget(const char *name)
{
    sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

#else

int service_take_passed(struct inherited **others, size_t *count)
{
    *others = NULL;
    *count = 0;
    return 0;
}

void service_free_passed(struct inherited *others, size_t count)
{
    (void)others, (void)count;
}

int service_passed_sockets(void)
{
    return 0;
}

int service_passed_socket(int i)
{
    (void)i;
    return -EINVAL;
}

void service_notify_ready(void)
{
}

void service_notify_reloading(void)
{
}

void service_notify_stopping(void)
{
}

void service_notify_restoring(void)
{
}

void service_forget(const char *name)
{
    (void)name;
}

#endif
