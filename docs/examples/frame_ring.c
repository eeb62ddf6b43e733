/* SPDX-License-Identifier: MIT */
/*
 * A ring of frames in one buffer. The producer maps it, has it sealed with FUTURE_WRITE, and goes on writing through
 * its mapping; nobody else can, not even who has the descriptor. Readers map it read-only, and see by a counter in each
 * slot whether a frame was overwritten while they read it. No frame needs a system call.
 *
 *     cc -o frame_ring frame_ring.c $(pkg-config --cflags --libs libsealbuf)
 *     ./frame_ring consume &       # as many as you like; ends with the producer, be it killed
 *     ./frame_ring produce 500     # frames, one in 2 ms
 */
#include <sealbuf.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME     "frames/ring"
#define SLOTS    8
#define BYTES    16384
#define PATIENCE 2000 /* pauses of half a millisecond, once the producer has gone */
#define SEALS    (SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | SEALBUF_SEAL_FUTURE_WRITE)

struct slot {
    _Atomic uint64_t sequence;           /* 2 * (frame + 1) when it is complete, one less while it is written */
    _Atomic uint64_t content[BYTES / 8]; /* relaxed stores and loads: a copy that races is thrown away */
};

struct ring {
    _Atomic uint64_t frames;   /* so many are complete, the newest in slot (frames - 1) % SLOTS */
    _Atomic uint64_t finished; /* no more will come */
    struct slot slots[SLOTS];
};

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static int fail(const sealbuf_client *client, int error)
{
    fprintf(stderr, "frame_ring: %s\n",
            client && *sealbuf_error(client) ? sealbuf_error(client) : sealbuf_strerror(error));
    return 1;
}

/* ---- The producer ------------------------------------------------------------------------------------------------ */

static void write_frame(struct ring *ring, uint64_t frame)
{
    struct slot *slot = &ring->slots[frame % SLOTS];

    atomic_store_explicit(&slot->sequence, 2 * frame + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < BYTES / 8; i++)
        atomic_store_explicit(&slot->content[i], frame * 1000003 + i, memory_order_relaxed);
    atomic_store_explicit(&slot->sequence, 2 * frame + 2, memory_order_release);
    atomic_store_explicit(&ring->frames, frame + 1, memory_order_release);
}

static int produce(sealbuf_client *client, uint64_t count)
{
    struct sealbuf_create_options create = {.struct_size = sizeof(create), .size = sizeof(struct ring)};
    struct sealbuf_publish_options publish = {.struct_size = sizeof(publish),
                                              .name = NAME,
                                              .seals = SEALS,
                                              .mode = 0644,
                                              .flags = SEALBUF_PUBLISH_REPLACE | SEALBUF_PUBLISH_UNTIL_CLOSE};
    sealbuf_buffer *buffer = NULL;
    void *mapping;
    size_t size;

    int r = sealbuf_create(client, &buffer, &create);
    if (r == 0)
        r = sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &mapping, &size); /* before the seal, or never */
    if (r == 0)
        r = sealbuf_publish(client, buffer, &publish, NULL);
    for (uint64_t frame = 0; frame < count && r == 0; frame++) {
        write_frame(mapping, frame);
        sleep_us(2000);
    }
    if (r == 0) {
        atomic_store(&((struct ring *)mapping)->finished, 1);
        printf("produced %llu frames\n", (unsigned long long)count);
    }
    sealbuf_buffer_free(buffer);
    return r < 0 ? fail(client, r) : 0; /* the name goes with the connection; who has the buffer keeps it */
}

/* ---- The readers ------------------------------------------------------------------------------------------------- */

/* 1: it is this frame, all of it. 0: the producer has come round, and it is lost. */
static int read_frame(const struct ring *ring, uint64_t frame, uint64_t *copy)
{
    const struct slot *slot = &ring->slots[frame % SLOTS];

    if (atomic_load_explicit(&slot->sequence, memory_order_acquire) != 2 * frame + 2)
        return 0;
    for (size_t i = 0; i < BYTES / 8; i++)
        copy[i] = atomic_load_explicit(&slot->content[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&slot->sequence, memory_order_relaxed) == 2 * frame + 2;
}

static int is_whole(const uint64_t *copy, uint64_t frame)
{
    for (size_t i = 0; i < BYTES / 8; i++)
        if (copy[i] != frame * 1000003 + i)
            return 0;
    return 1;
}

/* A producer that is killed finishes nothing. But its name goes with its connection, and a watch tells that. */
struct producer {
    uint64_t id;     /* of its buffer */
    int there, gone; /* its name: in what was told so far, and when all was told */
};

static void on_change(sealbuf_client *client, const struct sealbuf_change *change, void *userdata)
{
    struct producer *producer = userdata;

    (void)client;
    if (change->kind == SEALBUF_CHANGE_PRESENT || change->kind == SEALBUF_CHANGE_PUBLISHED ||
        change->kind == SEALBUF_CHANGE_REPLACED)
        producer->there = change->info->id == producer->id;
    else if (change->kind != SEALBUF_CHANGE_SYNC)
        producer->there = 0;
    if (change->kind == SEALBUF_CHANGE_OVERFLOW)
        producer->gone = 0; /* what is there follows, and SYNC */
    else if (change->kind != SEALBUF_CHANGE_PRESENT)
        producer->gone = !producer->there;
}

/* 0: no frame came for so long, and none will. Without the broker, too, what is mapped stays, and frames go on. */
static int wait_for_frame(sealbuf_client *client, const struct producer *producer, int *idle)
{
    int r = sealbuf_dispatch(client);

    sleep_us(500);
    return (r >= 0 && !producer->gone) || ++*idle < PATIENCE;
}

static int read_all(sealbuf_client *client, const struct ring *ring, const struct producer *producer)
{
    static uint64_t copy[BYTES / 8];
    uint64_t frame = 0, seen = 0, lost = 0, broken = 0, finished;
    int idle = 0, goes_on = 1;

    for (;;) {
        finished = atomic_load(&ring->finished);
        uint64_t frames = atomic_load_explicit(&ring->frames, memory_order_acquire);
        if (frame == frames && (finished || !goes_on))
            break;
        if (frame == frames) {
            goes_on = wait_for_frame(client, producer, &idle);
            continue;
        }
        idle = 0;
        if (!read_frame(ring, frame, copy))
            lost++;
        else if (is_whole(copy, frame))
            seen++;
        else
            broken++;
        frame++;
    }
    printf("of %llu frames: %llu seen, %llu lost, %llu broken\n", (unsigned long long)frame, (unsigned long long)seen,
           (unsigned long long)lost, (unsigned long long)broken);
    if (!finished)
        fprintf(stderr, "frame_ring: the producer has gone, and has not finished\n");
    return !finished;
}

static int consume(sealbuf_client *client)
{
    struct sealbuf_get_options get = {.struct_size = sizeof(get),
                                      .name = NAME,
                                      .seals = SEALS, /* so that nobody but the producer writes, and no SIGBUS comes */
                                      .flags = SEALBUF_GET_WAIT,
                                      .wait_ms = 30000};
    sealbuf_buffer *buffer = NULL;
    struct sealbuf_watch_options watch = {.struct_size = sizeof(watch), .prefix = NAME, .flags = SEALBUF_WATCH_EXACT};
    struct producer producer = {0};
    void *mapping = NULL;
    size_t size = 0;
    int status = 1;

    int r = sealbuf_get(client, &buffer, &get);
    if (r == 0)
        r = sealbuf_buffer_map(buffer, 0, &mapping, &size);
    if (r == 0) {
        producer.id = sealbuf_buffer_id(buffer);
        r = sealbuf_watch(client, &watch, on_change, &producer);
    }
    if (r > 0 && size >= sizeof(struct ring))
        status = read_all(client, mapping, &producer);
    else if (r > 0)
        fprintf(stderr, "frame_ring: '%s' is no ring of frames\n", NAME);
    sealbuf_buffer_free(buffer);
    return r < 0 ? fail(client, r) : status;
}

int main(int argc, char **argv)
{
    sealbuf_client *client = NULL;
    int producer = argc == 3 && strcmp(argv[1], "produce") == 0;

    if (!producer && (argc != 2 || strcmp(argv[1], "consume") != 0)) {
        fprintf(stderr, "usage: frame_ring produce FRAMES | frame_ring consume\n");
        return 2;
    }
    int r = sealbuf_connect(&client, NULL);
    if (r < 0)
        return fail(NULL, r);
    r = producer ? produce(client, strtoull(argv[2], NULL, 10)) : consume(client);
    sealbuf_disconnect(client);
    return r;
}
