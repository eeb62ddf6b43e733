/* SPDX-License-Identifier: MIT */
#include "sealing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aside.h"
#include "cleanup.h"
#include "seals.h"
#include "serve.h"

/* Requests of one uid that workers are busy with. */
#define JOBS_OF_A_UID 2

struct seal_task {
    unsigned record; /* of the request */
    uint64_t id;     /* of the buffer */
    int fd;          /* a duplicate, or that of an earlier task for the same buffer */
    bool is_own;     /* to be closed with this task */
    uint32_t seals;
    int result; /* 0 or a negative errno */
};

struct seal_job {
    struct job job;
    struct broker *broker;
    uid_t uid;
    struct peer *peer;        /* NULL once it has gone */
    atomic_bool is_forgotten; /* and nobody wants to know any more */
    bool is_done;
    uint8_t *message; /* behind the tasks */
    size_t length;
    unsigned count;
    struct seal_task tasks[];
};

/*
 * Each wait for a pinned page takes 0.16 s, and a client can pin as many as it has buffers: one that has made a worker
 * wait so many times gets the same answer for the rest of its request.
 */
#define BUSY_AT_MOST 4

static int add_seals(const struct seal_job *sealing, const struct seal_task *task, unsigned *busy)
{
    if (atomic_load(&sealing->is_forgotten))
        return -ECANCELED;
    if (*busy >= BUSY_AT_MOST)
        return -EBUSY;
    for (const struct seal_task *before = sealing->tasks; before < task; before++)
        if (before->id == task->id && before->result == -EBUSY)
            return -EBUSY;
    int r = memfd_add_seals(task->fd, task->seals);
    *busy += r == -EBUSY;
    return r;
}

static void run(struct job *job)
{
    struct seal_job *sealing = (struct seal_job *)(void *)job;
    unsigned busy = 0;

    for (unsigned i = 0; i < sealing->count; i++)
        sealing->tasks[i].result = add_seals(sealing, &sealing->tasks[i], &busy);
    for (unsigned i = 0; i < sealing->count; i++)
        if (sealing->tasks[i].is_own)
            close(sealing->tasks[i].fd); /* perhaps the last one of a big buffer */
}

static unsigned own_descriptors(const struct seal_job *sealing)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sealing->count; i++)
        n += sealing->tasks[i].is_own;
    return n;
}

static void done(struct job *job)
{
    struct seal_job *sealing = (struct seal_job *)(void *)job;
    struct peer *peer = sealing->peer;

    quota_release(&sealing->broker->quota, sealing->uid, RESOURCE_QUEUED, own_descriptors(sealing));
    quota_release(&sealing->broker->quota, sealing->uid, RESOURCE_SEALING, 1);
    if (!peer) {
        free(sealing);
        return;
    }
    sealing->is_done = true;
    turn_wait(peer);
}

void sealing_free(struct seal_job *job)
{
    free(job);
}

bool sealing_is_done(const struct seal_job *job)
{
    return job->is_done;
}

const uint8_t *sealing_message(const struct seal_job *job, size_t *length)
{
    *length = job->length;
    return job->message;
}

void sealing_forget_peer(struct seal_job *job)
{
    if (job->is_done) {
        free(job);
        return;
    }
    job->peer = NULL;
    atomic_store(&job->is_forgotten, true);
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
        if (sealing->tasks[i].is_own)
            close(sealing->tasks[i].fd);
    free(sealing);
}

static struct seal_job *new_job(const struct request *request)
{
    size_t tasks = request->header.count * sizeof(struct seal_task);
    struct seal_job *sealing = malloc(sizeof(*sealing) + tasks + request->length);

    if (!sealing)
        return NULL;
    *sealing = (struct seal_job){.job = {.run = run, .done = done},
                                 .broker = request->broker,
                                 .uid = request->peer->who.uid,
                                 .peer = request->peer,
                                 .length = request->length};
    sealing->message = (uint8_t *)sealing->tasks + tasks;
    memcpy(sealing->message, request->message, request->length);
    return sealing;
}

static int add_task(struct seal_job **sealing, struct request *request, const struct buffer *buffer, uint32_t seals)
{
    if (!*sealing && !(*sealing = new_job(request)))
        return -ENOMEM;
    struct seal_task task = {.record = request->index, .id = buffer->id, .fd = -1, .seals = seals, .result = -EIO};
    for (unsigned i = 0; i < (*sealing)->count; i++)
        if ((*sealing)->tasks[i].id == buffer->id)
            task.fd = (*sealing)->tasks[i].fd;
    if (task.fd < 0) {
        task.fd = fcntl(buffer->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        task.is_own = true;
    }
    if (task.fd < 0)
        return -errno;
    (*sealing)->tasks[(*sealing)->count++] = task;
    return 0;
}

/*
 * A uid may have workers busy with two requests, so that it never has all of them; and their duplicates together take
 * no more descriptors than are kept for what waits, unless nobody else's do.
 */
static bool charge(const struct request *request, const struct seal_job *sealing)
{
    struct quota *quota = &request->broker->quota;
    struct limit_met met;

    if (quota_find(quota, sealing->uid)->held[RESOURCE_SEALING] >= JOBS_OF_A_UID)
        return false;
    if (quota_charge(quota, sealing->uid, RESOURCE_QUEUED, own_descriptors(sealing), &met) == 0)
        return true;
    if (quota->held[RESOURCE_QUEUED])
        return false;
    quota_add(quota, sealing->uid, RESOURCE_QUEUED, own_descriptors(sealing));
    return true;
}

static int look(struct request *request, const union request_record *in)
{
    struct buffer *buffer;
    uint32_t missing;

    return lacks_seals(request, in, &buffer, &missing) ? add_task(&request->to_seal, request, buffer, missing) : 0;
}

static enum preparing start(struct request *request, struct limit_met *met, int *error)
{
    struct seal_job *sealing = take_pointer(request->to_seal);

    if (!charge(request, sealing)) {
        abandon(sealing);
        *error = aside_put(request, met);
        return *error < 0 ? PREPARING_FAILED : PREPARING_STARTED;
    }
    if (!peer_charge_request(request->peer, met)) {
        quota_release(&request->broker->quota, sealing->uid, RESOURCE_QUEUED, own_descriptors(sealing));
        abandon(sealing);
        *error = -EDQUOT;
        return PREPARING_FAILED;
    }
    quota_add(&request->broker->quota, sealing->uid, RESOURCE_SEALING, 1);
    request->peer->job = sealing;
    workers_submit(request->broker->workers, &sealing->job);
    return PREPARING_STARTED;
}

enum preparing sealing_start(struct request *request, struct limit_met *met, int *error)
{
    *error = request_look_through(request, look);
    if (*error > 0)
        return PREPARING_PAUSED;
    request->looked_through = true;
    if (*error < 0) {
        sealing_abandon(request);
        return PREPARING_FAILED;
    }
    return request->to_seal ? start(request, met, error) : PREPARING_NOT_NEEDED;
}

void sealing_abandon(struct request *request)
{
    if (request->to_seal)
        abandon(take_pointer(request->to_seal));
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
