/* SPDX-License-Identifier: MIT */
/* Finding a broker, connecting to it, and the handshake. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "client.h"
#include "memfd.h"

#define DEFAULT_TIMEOUT_MS 30000
#define CONNECT_FLAGS      (SEALBUF_CONNECT_NO_WAIT | SEALBUF_CONNECT_NO_RECONNECT)
#define SYSTEM_ADDRESS     "/run/sealbuf/socket"

/* A path, or @NAME in the abstract namespace (unix(7)). */
static int fill_name(const char *address, struct sockaddr_un *name, socklen_t *length)
{
    size_t n = strlen(address);

    if (n == 0 || n >= sizeof(name->sun_path))
        return -ENAMETOOLONG;
    memset(name, 0, sizeof(*name));
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, address, n);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    if (address[0] == '@') {
        name->sun_path[0] = '\0';
        (*length)--;
    }
    return 0;
}

/* Of connect, where the backlog is full, and of the recvmsg that waits for a reply (socket(7)). -1: for ever. */
static void set_timeout(int fd, int option, int timeout_ms)
{
    struct timeval time = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000L};

    if (timeout_ms > 0)
        setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time));
}

/* Where the backlog is full this says so, and there is nothing that tells when it is not any more. */
static int connect_at_once(int fd, const struct sockaddr_un *name, socklen_t length)
{
    int flags = fcntl(fd, F_GETFL), r;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    do
        r = connect(fd, (const struct sockaddr *)name, length);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

/* 0 or a negative errno; -EAGAIN: the time is up. After a signal only what is left of it counts. */
static int connect_within(int fd, const struct sockaddr_un *name, socklen_t length, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    int left = timeout_ms;

    while (left) {
        set_timeout(fd, SO_SNDTIMEO, left);
        if (connect(fd, (const struct sockaddr *)name, length) == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
        left = deadline_left(deadline);
    }
    return -EAGAIN;
}

int connect_to(const char *address, int timeout_ms, int receive_timeout_ms)
{
    struct sockaddr_un name;
    socklen_t length;
    int r = fill_name(address, &name, &length);

    if (r < 0)
        return r;
    CLEANUP(cleanup_close)
    int fd = descriptor_above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return -errno;
    set_timeout(fd, SO_RCVTIMEO, receive_timeout_ms);
    r = timeout_ms ? connect_within(fd, &name, length, timeout_ms) : connect_at_once(fd, &name, length);
    if (r == 0)
        return take_fd(&fd);
    if (r == -ENOENT || r == -ECONNREFUSED || r == -EPROTOTYPE || r == -ENOTDIR)
        return -SEALBUF_ERR_UNREACHABLE;
    return r == -EAGAIN ? -SEALBUF_ERR_TIMED_OUT : r;
}

/* Tries the address, and remembers it where it answers. */
static int try_address(sealbuf_client *client, const char *address)
{
    client->socket = connect_to(address, client->timeout_ms, client->timeout_ms);
    if (client->socket < 0)
        return client->socket;
    client->address = strdup(address);
    return client->address ? 0 : -ENOMEM;
}

/* $SEALBUF_SOCKET alone where it is set: else the user's broker, else the system's. */
static int try_usual_addresses(sealbuf_client *client)
{
    const char *set = secure_getenv("SEALBUF_SOCKET"), *runtime = secure_getenv("XDG_RUNTIME_DIR");
    char user[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

    if (set && set[0])
        return try_address(client, set);
    if (runtime && runtime[0] == '/') {
        int n = snprintf(user, sizeof(user), "%s/sealbuf/socket", runtime);
        int r = n > 0 && (size_t)n < sizeof(user) ? try_address(client, user) : -SEALBUF_ERR_UNREACHABLE;
        if (r != -SEALBUF_ERR_UNREACHABLE)
            return r;
    }
    return try_address(client, SYSTEM_ADDRESS);
}

struct call *connect_greeting(sealbuf_client *client, sealbuf_reply_fn *fn, void *userdata)
{
    struct hello_request hello = {
        .magic = magic_number(), .version_min = SEALBUF_VERSION, .version_max = SEALBUF_VERSION};
    struct call *call = call_begin(client, SEALBUF_OP_HELLO, 1, fn, userdata);

    return call && call_add(client, call, &hello) == 0 ? call : NULL;
}

static int start_handshake(sealbuf_client *client, sealbuf_reply_fn *fn, void *userdata)
{
    struct call *call = connect_greeting(client, fn, userdata);

    return call ? call_submit(client, call) : -ENOMEM;
}

static int shake_hands(sealbuf_client *client)
{
    struct waiting waiting = {0};
    int r = wait_for(client, start_handshake(client, waiting_done, &waiting), &waiting);

    if (r < 0)
        return r;
    r = waiting.reply->status;
    reply_free(waiting.reply);
    return r;
}

/* Without waiting: a broker that refuses breaks the connection off, and all requests that are waiting with it. */
static int open_connection(sealbuf_client *client, const struct sealbuf_connect_options *options)
{
    int r = options->address ? try_address(client, options->address) : try_usual_addresses(client);

    if (r < 0)
        return r;
    if (!(options->flags & SEALBUF_CONNECT_NO_WAIT))
        return shake_hands(client);
    r = start_handshake(client, NULL, NULL);
    return r < 0 ? r : 0;
}

int sealbuf_connect(sealbuf_client **client, const struct sealbuf_connect_options *given)
{
    struct sealbuf_connect_options options;
    int r = OPTIONS_COPY(&options, given);

    if (r < 0)
        return r;
    if (options.flags & ~CONNECT_FLAGS || options.timeout_ms < -1)
        return -SEALBUF_ERR_FLAGS;
    if (!options.sentence != !options.sentence_size)
        return -EINVAL;
    sealbuf_client *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->socket = -1;
    link_init(&made->link, !(options.flags & SEALBUF_CONNECT_NO_RECONNECT));
    made->holdings = made->link.reconnects ? holdings_new() : NULL;
    made->timeout_ms = options.timeout_ms ? options.timeout_ms : DEFAULT_TIMEOUT_MS;
    TAILQ_INIT(&made->calls);
    standing_init(&made->standing);
    STAILQ_INIT(&made->outbox);
    r = made->link.reconnects && !made->holdings ? -ENOMEM : open_connection(made, &options);
    if (r < 0) {
        client_fail(made, r, made->refusal);
        if (options.sentence)
            snprintf(options.sentence, options.sentence_size, "%s", made->sentence);
        sealbuf_disconnect(made);
        return r;
    }
    *client = made;
    return 0;
}

sealbuf_client *sealbuf_disconnect(sealbuf_client *client)
{
    struct call *call;

    if (!client)
        return NULL;
    for (struct walk walk = walk_begin(client); (call = walk_next(&walk));)
        call_free(call);
    standing_end(&client->standing);
    while (outbox_first(&client->outbox))
        outbox_drop_first(&client->outbox);
    link_end(client);
    holdings_end(client->holdings);
    close_quietly(client->socket);
    reply_free(client->kept);
    free(client->address);
    free(client);
    return NULL;
}

const char *sealbuf_error(const sealbuf_client *client)
{
    return client->sentence;
}

const char *sealbuf_address(const sealbuf_client *client)
{
    return client->address;
}
