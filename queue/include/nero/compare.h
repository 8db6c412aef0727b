/*
 * What a queue in Redis should hold by the bucket, against what it does hold: before a rebuild, and
 * as a check of a live queue. Pictures are taken one after the other while runners work, so each
 * difference is looked at again before it is told.
 * Thread: one thread. Source: specs/batch.md 3.6.
 */
#ifndef NERO_COMPARE_H
#define NERO_COMPARE_H

#include "nero/backlog.h"

enum compare_kind {
    COMPARE_MISSING = 1, /* unfinished in the bucket, unknown to Redis though it has room */
    COMPARE_ENDED,       /* ended in the bucket, still in Redis */
    COMPARE_STRANGE,     /* in Redis, but in no batch */
    COMPARE_PLACE,       /* another priority or order */
    COMPARE_CLASS,       /* waits for another numeric class than the run's */
    COMPARE_ENVELOPE     /* other bytes than the bucket's */
};
const char *compare_kind_name(enum compare_kind kind);

struct compare_difference {
    enum compare_kind kind;
    struct hash job;
    bool begun; /* missing: a runner has begun it, so it will be held back for a lease */
    char text[128];
};
typedef enum nero_status compare_each_fn(void *context, const struct compare_difference *difference,
                                         struct nero_err *err);

struct compare_result {
    uint64_t submitted;   /* jobs in batches */
    uint64_t unfinished;  /* of them, by the bucket */
    uint64_t known;       /* jobs in Redis */
    uint64_t differences; /* told */
};

/*
 * Compare run `run` in Redis, which need not be there, with the backlog: freshly opened, nothing
 * queued. `beside`: NULL, or the name of another run in Redis that was filled from this backlog;
 * then what was really written there is compared, as far as its window went.
 */
enum nero_status compare_queue(struct backlog *backlog, struct queue *queue, const char *run,
                               const char *beside, compare_each_fn *each, void *context,
                               struct compare_result *out, struct nero_err *err);

#endif
