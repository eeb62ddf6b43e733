/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"

static const struct timeval retry_time = {.tv_usec = 100000};

STAILQ_HEAD(job_queue, job);

struct workers {
    pthread_mutex_t lock; /* guards waiting, queued, finished, idle, stopping and held */
    pthread_cond_t more;
    struct job_queue waiting, finished;
    bool stopping;
    bool held;      /* jobs wait, whatever thread is there */
    unsigned idle;  /* threads that wait for a job */
    size_t queued;  /* jobs that wait for a thread */
    size_t pending; /* the loop's own */
    int wakeup;     /* eventfd: something is in finished */
    struct event readable;
    struct event retry; /* of starting the first thread */
    unsigned count, most;
    pthread_t threads[];
};

/* With the lock held. The loop takes all that is there, so it is woken for the first. */
static void hand_back(struct workers *workers, struct job *job)
{
    if (STAILQ_EMPTY(&workers->finished))
        eventfd_write(workers->wakeup, 1);
    STAILQ_INSERT_TAIL(&workers->finished, job, link);
}

static struct job *next_job(struct workers *workers)
{
    return workers->held ? NULL : STAILQ_FIRST(&workers->waiting);
}

static void *work(void *argument)
{
    struct workers *workers = argument;
    struct job *job;

    pthread_mutex_lock(&workers->lock);
    for (;;) {
        workers->idle++;
        while (!(job = next_job(workers)) && !workers->stopping)
            pthread_cond_wait(&workers->more, &workers->lock);
        workers->idle--;
        if (!job)
            break;
        STAILQ_REMOVE_HEAD(&workers->waiting, link);
        workers->queued--;
        pthread_mutex_unlock(&workers->lock);
        job->run(job);
        pthread_mutex_lock(&workers->lock);
        hand_back(workers, job);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static void finish_jobs(struct workers *workers)
{
    struct job_queue finished = STAILQ_HEAD_INITIALIZER(finished);
    struct job *job;

    pthread_mutex_lock(&workers->lock);
    STAILQ_CONCAT(&finished, &workers->finished);
    pthread_mutex_unlock(&workers->lock);
    while ((job = STAILQ_FIRST(&finished))) {
        STAILQ_REMOVE_HEAD(&finished, link);
        workers->pending--;
        job->done(job);
    }
}

static void on_wakeup(evutil_socket_t fd, short what, void *argument)
{
    eventfd_t count;

    (void)what;
    eventfd_read(fd, &count);
    finish_jobs(argument);
}

/* Signals are the loop's business. */
static int start_thread(struct workers *workers)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&workers->threads[workers->count], NULL, work, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        workers->count++;
    return r;
}

static void on_retry(evutil_socket_t fd, short what, void *argument)
{
    struct workers *workers = argument;

    (void)fd, (void)what;
    if (start_thread(workers))
        event_add(&workers->retry, &retry_time);
}

struct workers *workers_start(struct event_base *loop, unsigned threads)
{
    struct workers *workers = calloc(1, sizeof(*workers) + threads * sizeof(pthread_t));

    if (!workers)
        return NULL;
    STAILQ_INIT(&workers->waiting);
    STAILQ_INIT(&workers->finished);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->more, NULL);
    workers->most = threads;
    workers->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (workers->wakeup < 0) {
        int saved = errno;
        workers_stop(workers);
        errno = saved;
        return NULL;
    }
    event_assign(&workers->readable, loop, workers->wakeup, EV_READ | EV_PERSIST, on_wakeup, workers);
    event_add(&workers->readable, NULL);
    evtimer_assign(&workers->retry, loop, on_retry, workers);
    return workers;
}

/* Jobs wait: they are what must not run on the loop. Without a single thread it is tried again until there is one. */
static void need_thread(struct workers *workers)
{
    if (start_thread(workers) && workers->count == 0 && !event_pending(&workers->retry, EV_TIMEOUT, NULL)) {
        log_line(LOG_WARNING, "cannot start a thread: %s; seals and closes wait for one (see TasksMax=, RLIMIT_NPROC)",
                 strerror(EAGAIN));
        event_add(&workers->retry, &retry_time);
    }
}

void workers_submit(struct workers *workers, struct job *job)
{
    workers->pending++;
    pthread_mutex_lock(&workers->lock);
    bool busy = workers->idle <= workers->queued;
    pthread_mutex_unlock(&workers->lock);
    if (busy && workers->count < workers->most)
        need_thread(workers);
    pthread_mutex_lock(&workers->lock);
    STAILQ_INSERT_TAIL(&workers->waiting, job, link);
    workers->queued++;
    pthread_mutex_unlock(&workers->lock);
    pthread_cond_signal(&workers->more);
}

void workers_hold(struct workers *workers, bool held)
{
    pthread_mutex_lock(&workers->lock);
    workers->held = held;
    pthread_mutex_unlock(&workers->lock);
    if (!held)
        pthread_cond_broadcast(&workers->more);
}

bool workers_are_busy(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool busy = workers->idle < workers->count || !STAILQ_EMPTY(&workers->finished);
    pthread_mutex_unlock(&workers->lock);
    return busy;
}

void workers_each_waiting(struct workers *workers, void (*look)(const struct job *job, void *userdata), void *userdata)
{
    const struct job *job;

    pthread_mutex_lock(&workers->lock);
    STAILQ_FOREACH(job, &workers->waiting, link)
        look(job, userdata);
    pthread_mutex_unlock(&workers->lock);
}

size_t workers_pending(const struct workers *workers)
{
    return workers->pending;
}

void workers_stop(struct workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    workers->held = false;
    pthread_mutex_unlock(&workers->lock);
    pthread_cond_broadcast(&workers->more);
    for (unsigned i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i], NULL);
    if (workers->count == 0) /* there was never a thread to be had: nobody else is left whom this could hold up */
        work(workers);
    finish_jobs(workers);
    if (workers->wakeup >= 0) {
        event_del(&workers->readable);
        event_del(&workers->retry);
        close(workers->wakeup);
    }
    pthread_cond_destroy(&workers->more);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

void workers_abandon(struct workers *workers)
{
    if (!workers)
        return;
    finish_jobs(workers);
    if (workers->pending == 0) {
        workers_stop(workers);
        return;
    }
    event_del(&workers->readable);
    event_del(&workers->retry);
}
