/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "complain.h"
#include "sides.h"

#define GIB (1ULL << 30)

static int call_quietly(struct stage *stage, struct bare_request request, const char *what)
{
    struct bare_catch caught;
    int r = bare_call(&stage->bare, &request, &caught);

    bare_catch_close(&caught);
    return r < 0 ? complain_bare(what, r) : 0;
}

static int slots_create(struct stage *stage, unsigned count, uint64_t size)
{
    return call_quietly(stage, (struct bare_request){.operation = BARE_CREATE, .count = count, .size = size},
                        "creating buffers to measure with");
}

static int slots_seal(struct stage *stage, unsigned count)
{
    return call_quietly(stage,
                        (struct bare_request){.operation = BARE_SEAL, .count = count, .seals = SEALBUF_SEAL_WRITE},
                        "sealing buffers to measure with");
}

/* A run that failed has its reason: no second one is given. */
static int slots_drop(struct stage *stage, unsigned count, int result)
{
    if (result < 0)
        return result;
    return call_quietly(stage, (struct bare_request){.operation = BARE_DROP, .count = count},
                        "removing what was measured");
}

/* A run's requests, and the descriptors that came along, which are closed after it. */
struct run {
    struct bare_request request[GREATEST_RUN];
    int fd[GREATEST_RUN];
    unsigned requests, fds;
};

static void run_keep(struct run *run, const struct bare_catch *caught)
{
    for (unsigned i = 0; i < caught->count; i++)
        run->fd[run->fds++] = caught->fd[i];
}

static int run_call(struct stage *stage, struct samples *samples, struct run *run, const char *what)
{
    struct bare_catch caught;
    int r = 0;

    run->fds = 0;
    for (unsigned i = 0; i < run->requests && r == 0; i++) {
        r = TIMED(samples, bare_call(&stage->bare, &run->request[i], &caught));
        run_keep(run, &caught);
    }
    while (run->fds > 0)
        close(run->fd[--run->fds]);
    return r < 0 ? complain_bare(what, r) : 0;
}

/* The request `count` times, on the next slot each time where `step` is 1. */
static int call_each(struct stage *stage, struct samples *samples, struct bare_request request, unsigned step,
                     unsigned count, const char *what)
{
    struct run run;

    for (run.requests = 0; run.requests < count; run.requests++) {
        run.request[run.requests] = request;
        request.first += step;
    }
    return run_call(stage, samples, &run, what);
}

int by_bare_ping(struct stage *stage, struct samples *samples, unsigned count)
{
    return call_each(stage, samples, (struct bare_request){.operation = BARE_PING}, 0, count, "ping");
}

int by_bare_create(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_CREATE, .count = 1, .size = PAGE_BYTES};
    return slots_drop(stage, count, call_each(stage, samples, request, 1, count, "create"));
}

int by_bare_seal(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_SEAL, .count = 1, .seals = SEALBUF_SEAL_WRITE};

    if (slots_create(stage, count, PAGE_BYTES) < 0)
        return -1;
    return slots_drop(stage, count, call_each(stage, samples, request, 1, count, "seal"));
}

int by_bare_seal_local(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_CREATE, .count = count, .size = PAGE_BYTES};
    struct bare_catch caught;
    int error = 0;

    int r = bare_call(&stage->bare, &request, &caught);
    if (r < 0)
        complain_bare("creating buffers to measure with", r);
    for (unsigned i = 0; i < caught.count && r == 0; i++) {
        r = TIMED(samples, fcntl(caught.fd[i], F_ADD_SEALS, SEALBUF_SEAL_WRITE));
        error = errno;
    }
    bare_catch_close(&caught);
    if (r < 0 && error)
        complain_bare("seal by the client", -error);
    return slots_drop(stage, count, r);
}

int by_bare_publish(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_PUBLISH, .count = 1};

    if (slots_create(stage, count, PAGE_BYTES) < 0 || slots_seal(stage, count) < 0)
        return -1;
    return slots_drop(stage, count, call_each(stage, samples, request, 1, count, "publish"));
}

int by_bare_get(struct stage *stage, struct samples *samples, unsigned count)
{
    static uint32_t state;
    struct run run = {.requests = count};

    for (unsigned i = 0; i < count; i++)
        run.request[i] = (struct bare_request){
            .operation = BARE_GET, .first = LIVE_SLOTS + random_below(&state, stage->live), .count = 1};
    return run_call(stage, samples, &run, "get");
}

int by_bare_get_writable(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_HELD, .count = 1};

    if (slots_create(stage, 1, PAGE_BYTES) < 0)
        return -1;
    return slots_drop(stage, 1, call_each(stage, samples, request, 0, count, "get, writable"));
}

int by_bare_get_1gib(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_GET, .count = 1};

    if (slots_create(stage, 1, GIB) < 0 || slots_seal(stage, 1) < 0)
        return -1;
    return slots_drop(stage, 1, call_each(stage, samples, request, 0, count, "get of 1 GiB"));
}

int by_bare_create_set(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_CREATE, .count = SET_SIZE, .size = PAGE_BYTES};
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++)
        r = slots_drop(stage, SET_SIZE, call_each(stage, samples, request, 0, 1, "create of a set"));
    return r;
}

int by_bare_get_set(struct stage *stage, struct samples *samples, unsigned count)
{
    struct bare_request request = {.operation = BARE_GET, .count = SET_SIZE};
    int r = 0;

    if (slots_create(stage, SET_SIZE, PAGE_BYTES) < 0 || slots_seal(stage, SET_SIZE) < 0)
        return -1;
    for (unsigned i = 0; i < count && r == 0; i++)
        r = call_each(stage, samples, request, 0, 1, "get of a set");
    return slots_drop(stage, SET_SIZE, r);
}
