/*
 * A run's queue against the bucket: looked at, checked by rebuilding it beside the live one, or
 * restored. What `rebuild` does; the scheduler that serves a run restores by itself.
 */
#ifndef NERO_REBUILD_H
#define NERO_REBUILD_H

#include "nero/compare.h"

enum { REBUILD_TOLD_MAX = 1000 };

/* Takes the lead for the time of the rebuild. */
struct rebuild_options {
    uint32_t lease_ms;
    uint64_t window_bytes;
};

struct rebuild_report {
    struct compare_result result;
    uint32_t told; /* of result.differences, kept here */
    struct compare_difference differences[REBUILD_TOLD_MAX];
    /* Of a restore. */
    uint64_t epoch;
    uint64_t queued;
    uint32_t removed;
    uint64_t waiting; /* beyond the window */
    double seconds;
};

/* Compare only; no key is needed and nothing is written. */
enum nero_status rebuild_look(struct storage *store, struct queue *queue, const char *run,
                              struct rebuild_report *out, struct nero_err *err);

/* Rebuild into a run of another name that no runner finds, compare the two, and drop it. */
enum nero_status rebuild_verify(struct storage *store, struct queue *queue, const char *run,
                                const struct rebuild_options *options, struct rebuild_report *out,
                                struct nero_err *err);

/* Raise the epoch, remove what ended, queue what is missing. `before` is called with the
 * differences before anything is done. Errors: conflict when another scheduler gives signs of life
 * (it restores by itself). */
typedef void rebuild_before_fn(void *context, const struct rebuild_report *report);
enum nero_status rebuild_restore(struct storage *store, struct queue *queue, const char *run,
                                 const struct rebuild_options *options, rebuild_before_fn *before,
                                 void *context, struct rebuild_report *out, struct nero_err *err);

#endif
