/*
 * Checkpoints without waiting for the store: between two units the training thread only copies its
 * state into one of two buffers; a thread of its own hashes it, uploads the blob and appends the
 * slot.
 *
 *   - At most one snapshot is on its way and one is queued. A newer snapshot replaces the queued
 *     one: what is uploaded next is always the newest, and the training thread never waits.
 *   - The chain belongs to the upload thread while a snapshot is on its way, else to nobody:
 *     runner_upload_borrow takes it for a moment, runner_upload_end for good. Slots are therefore
 *     appended in the order of their snapshots, and a final slot after all of them.
 *   - A commit that fails is tried again with growing delays, with the newest snapshot there is,
 * for as long as it takes. stale and conflict are final: nothing is written after them.
 *   - The thread is low in priority: its hashing takes what training leaves. Before a stop
 *     (runner_upload_hurry) a thread of normal priority takes over.
 * Thread: the main thread calls; the upload thread is inside.
 */
#ifndef NERO_RUNNER_UPLOAD_H
#define NERO_RUNNER_UPLOAD_H

#include "nero/clock.h"

#include "runner_ckpt.h"
#include "train/trainer.h"

struct runner_upload;

struct runner_upload_options {
    struct chain *chain;                   /* lent until end, as said above */
    const struct runner_ckpt_owner *owner; /* borrowed and constant until end */
    const struct clock_source *clock;
    const struct log_context *where;
    uint64_t seed; /* of the jitter of its delays */
};

/* What has come of the snapshots so far. */
struct runner_upload_view {
    enum nero_status verdict; /* ok; stale or conflict: stop training at once */
    uint64_t commits;
    uint64_t slot;  /* newest committed; 0: none yet */
    uint64_t units; /* in it */
    double lag_s;   /* of it: from the copy to the commit */
    bool on_its_way;
    double left_s; /* what the snapshot on its way will still take, judged by the former one */
    double next_s; /* the same of a snapshot like the last one, if begun now; 0: not known */
};

/*
 * Both buffers are made as large as snapshots of `trainer` can get. Errors: no_memory, too_big,
 * unavailable (no thread).
 */
enum nero_status runner_upload_start(const struct runner_upload_options *options,
                                     const struct trainer *trainer, struct runner_upload **out,
                                     struct nero_err *err);

/* Copy the trainer's state and queue it; *stall_s is how long that took. Errors: no_memory, gpu. */
enum nero_status runner_upload_snapshot(struct runner_upload *upload, const struct trainer *trainer,
                                        enum slot_reason reason, double *stall_s,
                                        struct nero_err *err);

void runner_upload_look(struct runner_upload *upload, struct runner_upload_view *out);

/* True when the chain is the caller's until runner_upload_return; false while it is in use. */
bool runner_upload_borrow(struct runner_upload *upload);
void runner_upload_return(struct runner_upload *upload);

/* A stop is near: go on at normal priority, without a delay. */
void runner_upload_hurry(struct runner_upload *upload);

/* Up to `ms` for anything to change: a commit, a failed try. */
void runner_upload_wait_ms(struct runner_upload *upload, int64_t ms);

/* Drop what is queued and begin nothing more. True when nothing is on its way any longer. */
bool runner_upload_finish(struct runner_upload *upload);

/* The chain is the caller's from here on. Waits for what is on its way. NULL does nothing. */
void runner_upload_end(struct runner_upload *upload);

#endif
