/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <config-build.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "log.h"
#include "memfd.h"
#include "restore.h"

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

int service_passed(struct passed **passed)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);

    *passed = NULL;
    if (count <= 0)
        return count;
    *passed = calloc((size_t)count, sizeof(**passed));
    for (int i = 0; i < count; i++) {
        if (*passed)
            (*passed)[i] = (struct passed){.fd = SD_LISTEN_FDS_START + i, .name = names[i]};
        else
            free(names[i]);
    }
    free(names);
    return *passed ? count : -ENOMEM;
}

#else

int service_passed(struct passed **passed)
{
    *passed = NULL;
    return 0;
}

#endif

void service_passed_free(struct passed *passed, int count)
{
    for (int i = 0; i < count; i++) {
        close_quietly(passed[i].fd);
        free(passed[i].name);
    }
    free(passed);
}

static int socket_option(int socket, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);

    return getsockopt(socket, SOL_SOCKET, option, &value, &length) < 0 ? -1 : value;
}

/* A connection is no exception: it is what Accept=yes passes. */
bool service_is_socket(const struct passed *passed)
{
    uint32_t seals;

    if (passed->fd < 0)
        return false;
    if (socket_option(passed->fd, SO_TYPE) >= 0)
        return true;
    return memfd_get_seals(passed->fd, &seals) < 0 && !restore_is_kept_name(passed->name) &&
           !restore_is_unnamed(passed->name);
}

/* What is wrong with it, and the setting of the unit to change; NULL where nothing is. */
static const char *fault_of(int socket)
{
    if (socket_option(socket, SO_TYPE) < 0)
        return "is no socket; write ListenSequentialPacket= for what gives it";
    if (socket_option(socket, SO_DOMAIN) != AF_UNIX)
        return "is no Unix socket, and nobody's uid is known over it; give ListenSequentialPacket= a path";
    switch (socket_option(socket, SO_TYPE)) {
    case SOCK_STREAM:
        return "is a stream socket, not SOCK_SEQPACKET; write ListenSequentialPacket= for ListenStream=";
    case SOCK_DGRAM:
        return "is a datagram socket, not SOCK_SEQPACKET; write ListenSequentialPacket= for ListenDatagram=";
    default:
        break;
    }
    if (socket_option(socket, SO_ACCEPTCONN) != 1)
        return "is a connection, or bound to no address, and not listening; remove Accept=yes";
    return NULL;
}

int service_check_socket(const struct passed *passed)
{
    const char *fault = fault_of(passed->fd);

    if (restore_is_kept_name(passed->name)) {
        log_line(LOG_ERR,
                 "socket '%s' from the service manager: the name is reserved for what it keeps; write another "
                 "FileDescriptorName= in its socket unit",
                 passed->name);
        return -EINVAL;
    }
    if (fault) {
        log_line(LOG_ERR, "descriptor %d from the service manager, named '%s', %s in its socket unit", passed->fd,
                 passed->name, fault);
        return -EINVAL;
    }
    int flags = fcntl(passed->fd, F_GETFL);
    if (flags < 0 || fcntl(passed->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}
