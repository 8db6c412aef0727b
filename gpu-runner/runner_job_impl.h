/*
 * What the parts of runner_job share: runner_job.c (claim to end), runner_job_open.c (claim to a
 * restored trainer), runner_job_work.c (units, checkpoints, final slot).
 */
#ifndef NERO_RUNNER_JOB_IMPL_H
#define NERO_RUNNER_JOB_IMPL_H

#include <stdbool.h>

#include "nero/job.h"
#include "nero/log.h"

#include "runner_beat.h"
#include "runner_ckpt.h"
#include "runner_job.h"
#include "runner_upload.h"
#include "train/trainer.h"

enum { RUNNER_JOB_SHORT_ID_BYTES = 13 };

/*
 * Stages return true to go on. False: `end` and `reason` are set (runner_job_finish_as) and nothing
 * but settling is left.
 */
struct runner_job {
    const struct runner_env *env;
    struct queue_claim *claim;
    char short_id[RUNNER_JOB_SHORT_ID_BYTES];
    struct log_context where;
    struct runner_backoff backoff;
    struct runner_beat *beat;

    struct bytes fetched;       /* the job envelope when Redis's was no good */
    struct bytes_view envelope; /* verified */
    struct job_spec spec;
    char spec_fault[ERR_MESSAGE_BYTES_MAX]; /* not empty: signed, but not to be understood */
    struct chain *chain;
    struct runner_ckpt_owner owner;
    const struct dataset *dataset;
    struct bytes continue_from;
    struct trainer *trainer;

    struct progress progress; /* of the restored checkpoint; at the end of the outcome */
    struct bytes state;
    uint64_t units;               /* done, those restored included */
    struct runner_upload *upload; /* while training: has the chain, see runner_upload.h */
    struct interval interval;
    uint64_t restored_units;
    int64_t claimed_ns;
    uint64_t units_taken; /* in the newest snapshot */
    int64_t taken_ns;     /* when that was, or training began */
    int64_t retry_ns;     /* no snapshot is tried before this */
    int64_t probed_ns;    /* the chain, while the lease is lost */
    uint64_t furthest;    /* byte that was read of the present input */
    bool warned;          /* the announcement of the machine's end has been heeded */
    bool abandoned; /* an upload hangs before a kill: it keeps the chain, and the program ends */
    struct runner_beat_report report;
    int64_t start_ns;     /* of the first unit */
    int64_t unit_ns;      /* end of the last unit */
    double unit_seconds;  /* that it took; 0: none yet */
    double train_seconds; /* of this attempt */
    uint64_t train_steps;

    enum runner_job_end end;
    bool permanent;                  /* FAILED: no retry */
    char pin_class[JOB_CLASS_BYTES]; /* UNABLE: the class that the job is bound to; "": none */
    char reason[QUEUE_REASON_BYTES];
};

/* Always false. */
bool runner_job_finish_as(struct runner_job *job, enum runner_job_end end, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * After a failed call: true when it may be made again now (the status is retryable; this waited,
 * and showed life if units have been done or restored). False when it may not; with a stop asked
 * for, the job is ended as stopped.
 */
bool runner_job_again(struct runner_job *job, const char *what, const struct nero_err *err);

/* A status that ends the job, after runner_job_again said no. Always false. */
bool runner_job_give_up(struct runner_job *job, const char *what, const struct nero_err *err);

/* Commit the failed slot and end as failed for good. Always false. */
bool runner_job_fail(struct runner_job *job, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* chain_append or takeover said stale or conflict: who has the job, and how does this one end?
 * Always false. */
bool runner_job_overtaken(struct runner_job *job);

bool runner_job_open(struct runner_job *job);    /* claim -> takeover */
bool runner_job_prepare(struct runner_job *job); /* takeover -> trainer, restored */
bool runner_job_work(struct runner_job *job);    /* -> final slot; false otherwise */

#endif
