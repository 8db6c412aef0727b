/*
 * Reading ahead: several threads read numbered things, one consumer takes them in order.
 * Few things are read by the caller's thread alone, so that a small run does the same store calls
 * in the same order every time.
 */
#ifndef NERO_AHEAD_H
#define NERO_AHEAD_H

#include "nero/bytes.h"
#include "nero/err.h"

enum { AHEAD_THREADS = 16, AHEAD_ROOM = 128, AHEAD_ALONE_MAX = 16 };

/* What a reader leaves for the consumer. */
struct ahead_item {
    struct bytes body; /* empty when the reader gets it; kept and reused */
    int64_t tag;       /* the reader's own word */
    enum nero_status status;
    struct nero_err err;
};

struct ahead {
    void *context;
    uint64_t count;
    size_t bytes_max; /* of a body */
    /* Thread: any; calls with one `worker` (below AHEAD_THREADS) never overlap. */
    enum nero_status (*read)(void *context, unsigned worker, uint64_t index,
                             struct ahead_item *item, struct nero_err *err);
    /* Thread: the caller's; index 0, 1, ... *stop ends early, which is ok. Sees what read
     * returned; the body may be swapped for another. */
    enum nero_status (*take)(void *context, uint64_t index, struct ahead_item *item, bool *stop,
                             struct nero_err *err);
};

/* Errors: what `take` returns; no_memory, unavailable (no threads). */
enum nero_status ahead_run(const struct ahead *ahead, struct nero_err *err);

#endif
