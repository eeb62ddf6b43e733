/* SPDX-License-Identifier: MIT */
#include "storing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "evict.h"
#include "sealing.h"
#include "seals.h"
#include "serve.h"

struct store_task {
    struct store_wait wait;
    struct store_job *job;
    unsigned record; /* of the request */
    int error;       /* 0, or a code for which it was not even tried: STORE_FULL, LIMIT, with `met`, or MEMORY */
    int result;      /* of the store: 0 or a negative errno */
    struct limit_met met;
};

struct store_job {
    struct broker *broker;
    struct peer *peer; /* that waits for it; NULL while the request is looked through */
    struct seal_job *sealed;
    uint8_t *message; /* behind the tasks */
    size_t length;
    unsigned pending; /* tasks */
    unsigned count;
    struct store_task tasks[];
};

static void task_done(struct store_wait *wait, int result)
{
    struct store_task *task = (struct store_task *)(void *)wait;
    struct store_job *job = task->job;

    task->result = result;
    job->pending--;
    if (job->peer && job->pending == 0)
        turn_wait(job->peer);
}

bool storing_is_done(const struct store_job *job)
{
    return job->pending == 0;
}

const uint8_t *storing_message(const struct store_job *job, size_t *length)
{
    *length = job->length;
    return job->message;
}

struct seal_job *storing_take_sealed(struct store_job *job)
{
    return take_pointer(job->sealed);
}

void storing_free(struct store_job *job)
{
    if (!job)
        return;
    for (unsigned i = 0; i < job->count; i++)
        store_forget(&job->broker->store, &job->tasks[i].wait);
    sealing_free(job->sealed);
    free(job);
}

/* The buffer that the record in hand wants stored, and that is not. What will be refused anyway is not stored first. */
static bool is_to_be_stored(struct request *request, const union request_record *in, struct buffer **buffer)
{
    uint32_t now;

    if (in->publish.flags & (SEALBUF_PUBLISH_VOLATILE | SEALBUF_PUBLISH_UNTIL_CLOSE) ||
        check_publish(request, &in->publish, buffer))
        return false;
    if ((*buffer)->is_stored)
        return false;
    return buffer_seals(*buffer, in->publish.seals, &now) == 0 && seals_contain(now, in->publish.seals);
}

static struct store_job *new_job(const struct request *request)
{
    size_t tasks = request->header.count * sizeof(struct store_task);
    struct store_job *job = malloc(sizeof(*job) + tasks + request->length);

    if (!job)
        return NULL;
    *job = (struct store_job){.broker = request->broker, .length = request->length};
    job->message = (uint8_t *)job->tasks + tasks;
    memcpy(job->message, request->message, request->length);
    return job;
}

static int add_task(struct request *request, struct buffer *buffer)
{
    if (!request->to_store && !(request->to_store = new_job(request)))
        return -ENOMEM;
    struct store_job *job = request->to_store;
    struct store_task *task = &job->tasks[job->count++];
    *task = (struct store_task){.wait = {.done = task_done}, .job = job, .record = request->index};
    task->error = store_keep(&request->broker->store, buffer, &task->wait, &task->met);
    job->pending += !!task->wait.keep;
    return 0;
}

/* Whether that was of use, store_keep will tell. */
static int make_room(struct request *request, const union request_record *in, struct buffer *buffer)
{
    const struct need need = {RESOURCE_STORED, 1};

    if (buffer->keep)
        return 0;
    return evict_for_publish(request, &in->publish, buffer->owner, &need, 1);
}

static int look(struct request *request, const union request_record *in)
{
    struct buffer *buffer = NULL;

    if (!is_to_be_stored(request, in, &buffer))
        return 0;
    if (make_room(request, in, buffer) == REQUEST_AGAIN)
        return REQUEST_AGAIN;
    return add_task(request, buffer);
}

static enum preparing start(struct request *request, struct limit_met *met, int *error)
{
    struct store_job *job = take_pointer(request->to_store);

    if (storing_is_done(job)) {
        request->stored = job;
        return PREPARING_NOT_NEEDED;
    }
    if (!peer_charge_request(request->peer, met)) {
        storing_free(job);
        *error = -EDQUOT;
        return PREPARING_FAILED;
    }
    job->sealed = take_pointer(request->sealed);
    job->peer = request->peer;
    request->peer->storing = job;
    return PREPARING_STARTED;
}

enum preparing storing_start(struct request *request, struct limit_met *met, int *error)
{
    *error = request->broker->store.is_there ? request_look_through(request, look) : 0;
    if (*error > 0)
        return PREPARING_PAUSED;
    request->looked_for_store = true;
    if (*error < 0) {
        storing_free(take_pointer(request->to_store));
        return PREPARING_FAILED;
    }
    return request->to_store ? start(request, met, error) : PREPARING_NOT_NEEDED;
}

static int refuse_result(struct request *request, int result)
{
    switch (result) {
    case -ENOSPC:
        return refuse(request, SEALBUF_ERR_STORE_FULL, "%s", "");
    case -EMFILE:
    case -ENFILE:
    case -ETOOMANYREFS:
        return refuse(request, SEALBUF_ERR_TABLE_FULL, "the buffer cannot be sent to the service manager: %s",
                      strerror(-result));
    default:
        return refuse(request, SEALBUF_ERR_INTERNAL,
                      "the service manager does not confirm that it keeps the buffer (%s), so it would not survive the "
                      "broker; say that it need not, or try again",
                      strerror(-result));
    }
}

/* Where the limit is met there is another way out, as where the store is full. */
static int refuse_keep(struct request *request, const struct store_task *task)
{
    refuse_limit(request, task->error, &task->met);
    size_t length = strlen(request->sentence);
    if (task->error == SEALBUF_ERR_LIMIT)
        snprintf(request->sentence + length, sizeof(request->sentence) - length,
                 ", or say that it need not survive the broker");
    return task->error;
}

int storing_check(struct request *request, const struct buffer *buffer, uint32_t flags)
{
    const struct store_job *job = request->stored;

    if (buffer->is_stored || !request->broker->store.is_there ||
        flags & (SEALBUF_PUBLISH_VOLATILE | SEALBUF_PUBLISH_OR_VOLATILE | SEALBUF_PUBLISH_UNTIL_CLOSE))
        return 0;
    for (unsigned i = 0; job && i < job->count; i++) {
        const struct store_task *task = &job->tasks[i];
        if (task->record == request->index && task->error)
            return refuse_keep(request, task);
        if (task->record == request->index && task->result < 0)
            return refuse_result(request, task->result);
    }
    /* It could not be published when the request was looked through. */
    return refuse_with_remedy(request, SEALBUF_ERR_BUSY,
                              "names or seals have changed while the broker made this publish; try again");
}
