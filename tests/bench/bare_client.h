/* SPDX-License-Identifier: MIT */
/* The other end of the bare-kernel server: one sendmsg and one recvmsg for each call, both of which wait. */
#ifndef BENCH_BARE_CLIENT_H
#define BENCH_BARE_CLIENT_H

#include <sys/types.h>

#include "bare_server.h"

struct bare_client {
    int socket;
    pid_t server;
};

/* What a call brought along, the caller's to close. */
struct bare_catch {
    int fd[BARE_GREATEST];
    unsigned count;
};

/* Starts a server of its own. -1 where that failed; it has been said why. */
int bare_client_start(struct bare_client *bare);
void bare_client_stop(struct bare_client *bare);

/* 0 or a negative errno, the server's or one's own. */
int bare_call(const struct bare_client *bare, const struct bare_request *request, struct bare_catch *caught);

void bare_catch_close(struct bare_catch *caught);

/* As complain, for a call that failed. */
int complain_bare(const char *what, int error);

#endif
