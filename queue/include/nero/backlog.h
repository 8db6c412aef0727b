/*
 * The jobs of a run on their way from the bucket into Redis.
 *
 * Every job is recorded in a batch q/<n>, in order, before Redis hears of it. The backlog is those
 * records in memory with what is known of each job, and the only way into Redis: new jobs, jobs
 * that Redis forgot and a whole lost Redis all go through backlog_fill. Redis holds a window of the
 * unfinished jobs, by priority and then order; the rest wait here, some 64 bytes each.
 *
 * A job whose chain was begun by a runner is held back for one lease: if that runner lives it
 * takes its lease up again (queue_renew) before anybody else is given the job.
 *
 * Thread: one thread uses a backlog; it reads the bucket with threads of its own.
 * Source: DESIGN 7; specs/batch.md 3.2 ("bounded memory"), 3.6.
 */
#ifndef NERO_BACKLOG_H
#define NERO_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/queue.h"
#include "nero/storage.h"
#include "nero/trust.h"

enum backlog_state {
    BACKLOG_WAITING = 1, /* not in Redis; unfinished, as far as is known */
    BACKLOG_QUEUED = 2,  /* in Redis, as far as is known */
    BACKLOG_DONE = 3     /* ended: a result is listed, or its chain says so */
};

struct backlog_entry {
    struct hash job;
    uint64_t order; /* place among all submissions of the run */
    int64_t not_before_ms;
    uint32_t priority;
    uint8_t state;
    uint8_t lost; /* attempts without progress (chain_lost_attempts), up to QUEUE_LOST_LEASES_MAX */
    bool looked;  /* its chain has been read since it was last heard of; what it tells is known */
    bool begun;   /* a runner has written to it and nobody has ended it */
};

enum {
    BACKLOG_WINDOW_BYTES_DEFAULT = 64 * 1024 * 1024, /* of envelopes */
    BACKLOG_FILL_JOBS_MAX = 4096 /* a call: the leader has to show signs of life in between */
};

struct backlog;

/* Read the run's batches and the list of its results. store and trust are borrowed.
 * Errors: those of the store; denied, corrupt: a batch. */
enum nero_status backlog_open(struct storage *store, struct trust *trust, struct backlog **out,
                              struct nero_err *err);
void backlog_close(struct backlog *backlog); /* NULL does nothing */

size_t backlog_count(const struct backlog *backlog);
uint64_t backlog_waiting(const struct backlog *backlog);
/* In order of submission. Borrowed until the next call that is not const. */
const struct backlog_entry *backlog_at(const struct backlog *backlog, size_t index);
const struct backlog_entry *backlog_find(const struct backlog *backlog, const struct hash *job);

/*
 * Record those of `jobs` that are in no batch yet; they wait then. Batches that another leader has
 * written meanwhile are read in first. Errors: those of the store.
 */
enum nero_status backlog_record(struct backlog *backlog, const struct key_pair *run_key,
                                const struct run_batch_job *jobs, uint32_t count,
                                struct nero_err *err);

/* What a look at the job's chain told; nothing happens to a job that is in no batch. */
void backlog_note_open(struct backlog *backlog, const struct hash *job, bool begun, uint32_t lost);
void backlog_note_done(struct backlog *backlog, const struct hash *job);
/* Redis does not know the job any more: it waits again. */
void backlog_note_lost(struct backlog *backlog, const struct hash *job);

/*
 * Ask Redis which jobs it knows and the bucket which have results: afterwards exactly those that
 * Redis knows are QUEUED. Jobs that Redis has and should not (ended, or in no batch) are finished
 * there; `removed` counts them and may be NULL.
 */
enum nero_status backlog_meet(struct backlog *backlog, struct queue *queue, uint64_t epoch,
                              uint32_t *removed, struct nero_err *err);

/*
 * Queue waiting jobs until Redis holds `window_bytes` of envelopes (at least one job, at most
 * BACKLOG_FILL_JOBS_MAX). Looks at the chains that were not looked at: ended jobs become DONE.
 * `run` is the run's name, or another under which to rebuild it. `added` may be NULL.
 * Errors: not_found when Redis does not know the run; stale; those of the store.
 */
struct backlog_fill {
    const char *run;
    uint64_t epoch;
    uint64_t window_bytes;
    uint32_t lease_ms; /* for how long begun jobs are held back */
};
enum nero_status backlog_fill(struct backlog *backlog, struct queue *queue,
                              const struct backlog_fill *fill, uint32_t *added,
                              struct nero_err *err);

/* One waiting job, whatever the window. ok also when it has ended, or does not wait. */
enum nero_status backlog_fill_one(struct backlog *backlog, struct queue *queue,
                                  const struct backlog_fill *fill, const struct hash *job,
                                  struct nero_err *err);

/* Every waiting job that backlog_fill would queue at this time, had it room for all, in that order
 * and with its envelope; ended ones become DONE and are left out. Nothing is queued. */
typedef enum nero_status backlog_each_fn(void *context, const struct queue_item *item, bool begun,
                                         struct nero_err *err);
enum nero_status backlog_each_waiting(struct backlog *backlog, int64_t redis_ms,
                                      backlog_each_fn *each, void *context, struct nero_err *err);

#endif
