#include "ahead.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/thread.h"

/* The ring: item i lies at i % AHEAD_ROOM from the moment a worker takes number i until the
 * consumer is done with it. */
struct ring {
    const struct ahead *ahead;
    struct ahead_item *items;
    struct thread_monitor monitor; /* guards the next four */
    uint64_t started;              /* numbers below are being read or have been */
    uint64_t taken;                /* numbers below are done */
    bool ready[AHEAD_ROOM];
    bool stop;
};

struct worker {
    struct ring *ring;
    unsigned number;
    struct thread thread;
};

static void read_one(const struct ahead *ahead, unsigned worker, uint64_t index,
                     struct ahead_item *item)
{
    bytes_clear(&item->body);
    item->tag = 0;
    item->status = ahead->read(ahead->context, worker, index, item, &item->err);
}

static void work(void *context)
{
    struct worker *worker = context;
    struct ring *ring = worker->ring;

    thread_monitor_enter(&ring->monitor);
    while (!ring->stop && ring->started < ring->ahead->count) {
        uint64_t index = ring->started;

        if (index >= ring->taken + AHEAD_ROOM) {
            thread_monitor_wait(&ring->monitor);
            continue;
        }
        ring->started++;
        thread_monitor_leave(&ring->monitor);
        read_one(ring->ahead, worker->number, index, &ring->items[index % AHEAD_ROOM]);
        thread_monitor_enter(&ring->monitor);
        ring->ready[index % AHEAD_ROOM] = true;
        if (index == ring->taken) {
            thread_monitor_wake_all(&ring->monitor);
        }
    }
    thread_monitor_leave(&ring->monitor);
}

static enum nero_status consume(struct ring *ring, struct nero_err *err)
{
    const struct ahead *ahead = ring->ahead;
    enum nero_status status = NERO_OK;
    bool stop = false;

    for (uint64_t index = 0; index < ahead->count && status == NERO_OK && !stop; index++) {
        thread_monitor_enter(&ring->monitor);
        while (!ring->ready[index % AHEAD_ROOM]) {
            thread_monitor_wait(&ring->monitor);
        }
        thread_monitor_leave(&ring->monitor);
        status = ahead->take(ahead->context, index, &ring->items[index % AHEAD_ROOM], &stop, err);
        thread_monitor_enter(&ring->monitor);
        ring->ready[index % AHEAD_ROOM] = false;
        ring->taken++;
        /* Workers sleep only when the ring is full: wake them where half of it is free again. */
        if (ring->taken % (AHEAD_ROOM / 2) == 0) {
            thread_monitor_wake_all(&ring->monitor);
        }
        thread_monitor_leave(&ring->monitor);
    }
    return status;
}

static enum nero_status run_threads(struct ring *ring, struct nero_err *err)
{
    struct worker workers[AHEAD_THREADS];
    unsigned started = 0;
    enum nero_status status = thread_monitor_init(&ring->monitor, err);

    if (status != NERO_OK) {
        return status;
    }
    memset(workers, 0, sizeof workers);
    for (; started < AHEAD_THREADS; started++) {
        workers[started].ring = ring;
        workers[started].number = started;
        if (thread_start(&workers[started].thread, "nero-ahead", work, &workers[started], err) !=
            NERO_OK) {
            break;
        }
    }
    status = started > 0 ? consume(ring, err) : err->status; /* fewer threads do it too */
    thread_monitor_enter(&ring->monitor);
    ring->stop = true;
    thread_monitor_wake_all(&ring->monitor);
    thread_monitor_leave(&ring->monitor);
    for (unsigned i = 0; i < started; i++) {
        thread_join(&workers[i].thread);
    }
    thread_monitor_fini(&ring->monitor);
    return status;
}

static enum nero_status run_alone(struct ring *ring, struct nero_err *err)
{
    const struct ahead *ahead = ring->ahead;
    enum nero_status status = NERO_OK;
    bool stop = false;

    for (uint64_t index = 0; index < ahead->count && status == NERO_OK && !stop; index++) {
        read_one(ahead, 0, index, &ring->items[0]);
        status = ahead->take(ahead->context, index, &ring->items[0], &stop, err);
    }
    return status;
}

enum nero_status ahead_run(const struct ahead *ahead, struct nero_err *err)
{
    struct ring ring = {.ahead = ahead};
    enum nero_status status;

    ring.items = mem_calloc(AHEAD_ROOM, sizeof *ring.items);
    if (ring.items == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to read ahead");
    }
    for (unsigned i = 0; i < AHEAD_ROOM; i++) {
        bytes_init(&ring.items[i].body, ahead->bytes_max);
    }
    status = ahead->count <= AHEAD_ALONE_MAX ? run_alone(&ring, err) : run_threads(&ring, err);
    for (unsigned i = 0; i < AHEAD_ROOM; i++) {
        bytes_fini(&ring.items[i].body);
    }
    free(ring.items);
    return status;
}
