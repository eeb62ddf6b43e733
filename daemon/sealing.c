/* SPDX-License-Identifier: MIT */
#include "sealing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatch.h"
#include "seals.h"
#include "serve.h"

struct seal_task {
    unsigned record; /* of the request */
    int fd;          /* a duplicate */
    uint32_t seals;
    int result; /* 0 or a negative errno */
};

struct seal_job {
    struct job job;
    struct peer *peer; /* NULL once it has gone */
    uint8_t *message;  /* behind the tasks */
    size_t length;
    unsigned count;
    struct seal_task tasks[];
};

static void run(struct job *job)
{
    struct seal_job *sealing = (struct seal_job *)(void *)job;

    for (unsigned i = 0; i < sealing->count; i++) {
        struct seal_task *task = &sealing->tasks[i];
        task->result = memfd_add_seals(task->fd, task->seals);
        close(task->fd); /* perhaps the last one of a big buffer */
    }
}

static void done(struct job *job)
{
    struct seal_job *sealing = (struct seal_job *)(void *)job;
    struct peer *peer = sealing->peer;

    if (peer) {
        peer->job = NULL;
        if (dispatch_sealed(peer, sealing->message, sealing->length, sealing) == END)
            peer_end(peer);
        else
            peer_resume(peer);
    }
    free(sealing);
}

void sealing_forget_peer(struct seal_job *job)
{
    job->peer = NULL;
}

/* The buffer that the record in hand wants sealed, and the seals that it lacks. False: there is nothing to add. */
static bool lacks_seals(struct request *request, const union request_record *in, struct buffer **buffer,
                        uint32_t *missing)
{
    uint32_t wanted, now;
    int r;

    if (request->operation->opcode == SEALBUF_OP_SEAL) {
        wanted = in->seal.seals;
        r = check_seal(request, &in->seal, buffer);
    } else {
        if (in->publish.flags & SEALBUF_PUBLISH_VERIFY)
            return false;
        wanted = in->publish.seals;
        r = check_publish(request, &in->publish, buffer);
    }
    if (r || buffer_seals(*buffer, wanted, &now) < 0)
        return false;
    *missing = wanted & ~now;
    return *missing && !(now & SEALBUF_SEAL_SEAL);
}

static void abandon(struct seal_job *sealing)
{
    for (unsigned i = 0; i < sealing->count; i++)
        close(sealing->tasks[i].fd);
    free(sealing);
}

static struct seal_job *new_job(const struct request *request)
{
    size_t tasks = request->header.count * sizeof(struct seal_task);
    struct seal_job *sealing = malloc(sizeof(*sealing) + tasks + request->length);

    if (!sealing)
        return NULL;
    *sealing = (struct seal_job){.job = {.run = run, .done = done}, .peer = request->peer, .length = request->length};
    sealing->message = (uint8_t *)sealing->tasks + tasks;
    memcpy(sealing->message, request->message, request->length);
    return sealing;
}

static int add_task(struct seal_job **sealing, struct request *request, const struct buffer *buffer, uint32_t seals)
{
    if (!*sealing && !(*sealing = new_job(request)))
        return -ENOMEM;
    int fd = fcntl(buffer->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0)
        return -errno;
    (*sealing)->tasks[(*sealing)->count++] =
        (struct seal_task){.record = request->index, .fd = fd, .seals = seals, .result = -EIO};
    return 0;
}

int sealing_start(struct request *request)
{
    struct reader from_the_start = request->records;
    struct seal_job *sealing = NULL;
    union request_record room;
    struct buffer *buffer;
    uint32_t missing;
    int r = 0;

    for (unsigned i = 0; i < request->header.count && r == 0; i++) {
        request->index = i;
        if (lacks_seals(request, next_record(request, &room), &buffer, &missing))
            r = add_task(&sealing, request, buffer, missing);
    }
    request->records = from_the_start;
    request->index = 0;
    if (!sealing || r < 0) {
        if (sealing)
            abandon(sealing);
        return r;
    }
    request->peer->job = sealing;
    workers_submit(request->broker->workers, &sealing->job);
    return 1;
}

static int refuse_result(struct request *request, int result)
{
    switch (result) {
    case -EBUSY:
        return refuse(request, SEALBUF_ERR_BUSY, "%s", "");
    case -EPERM:
        return refuse(request, SEALBUF_ERR_SEALED, "%s", "");
    case -EINVAL:
        return refuse(request, SEALBUF_ERR_UNSUPPORTED, "the broker's kernel does not know one of these seals");
    default:
        return refuse(request, SEALBUF_ERR_INTERNAL, "adding the seals failed: %s", strerror(-result));
    }
}

int sealing_check(struct request *request, struct buffer *buffer, uint32_t seals, bool verify, uint32_t *now)
{
    char text[SEALS_TEXT_SIZE];

    int r = buffer_seals(buffer, seals, now);
    if (r < 0)
        return refuse(request, SEALBUF_ERR_INTERNAL, "the seals cannot be read: %s", strerror(-r));
    uint32_t missing = seals & ~*now;
    if (!missing)
        return 0;
    if (verify)
        return refuse(request, SEALBUF_ERR_NOT_SEALED, "the buffer lacks %s", seals_format(missing, text));
    if (*now & SEALBUF_SEAL_SEAL)
        return refuse(request, SEALBUF_ERR_SEALED, "the buffer is sealed against more seals, and lacks %s",
                      seals_format(missing, text));
    for (unsigned i = 0; request->sealed && i < request->sealed->count; i++)
        if (request->sealed->tasks[i].record == request->index && request->sealed->tasks[i].result < 0)
            return refuse_result(request, request->sealed->tasks[i].result);
    /* It was another buffer, or had other seals, when the request was looked through. */
    return refuse(request, SEALBUF_ERR_NOT_SEALED, "the buffer lacks %s", seals_format(missing, text));
}
