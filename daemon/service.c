/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <config-build.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

int service_passed_sockets(void)
{
    return sd_listen_fds(1);
}

int service_passed_socket(int i)
{
    int fd = SD_LISTEN_FDS_START + i;

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

#else

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

#endif
