/*
 * One job from claim to its end. Everything that may happen to it ends in one of the ways below;
 * DESIGN.md says which slot and which word to Redis each of them means. Failures are logged here.
 */
#ifndef NERO_RUNNER_JOB_H
#define NERO_RUNNER_JOB_H

#include "nero/chain.h"
#include "nero/clock.h"
#include "nero/queue.h"
#include "nero/storage.h"
#include "nero/trust.h"

#include "backend/backend.h"
#include "nero/interval.h"
#include "runner_data.h"
#include "runner_notice.h"

enum runner_job_end {
    RUNNER_JOB_DONE = 1, /* this attempt committed the final slot */
    RUNNER_JOB_KNOWN,    /* terminal before this attempt: Redis was told, no work done */
    RUNNER_JOB_FAILED,   /* for a cause in the job */
    RUNNER_JOB_STOPPED,  /* stop or drain: committed and released */
    RUNNER_JOB_UNABLE,   /* released: this runner cannot, another may */
    RUNNER_JOB_LOST,     /* another attempt owns it: nothing was touched */
    RUNNER_JOB_CANCELLED /* by the scheduler */
};

/* What a runner has in one run; all borrowed. */
struct runner_env {
    struct storage *store;
    struct queue *queue; /* the main thread's connection */
    const char *redis_url;
    struct trust *trust;
    const struct key_pair *key;
    int64_t not_before_ms, not_after_ms; /* of its certificate, wall clock */
    const char *runner;                  /* name in the queue */
    const char *host;
    struct backend *backend;
    uint32_t shards;
    uint32_t threads; /* 0: one a shard */
    const char *numeric_class;
    struct runner_data *data;
    struct runner_notice *notice;
    const struct clock_source *clock;
    int64_t started_ns; /* the program, monotonic */
    struct interval_policy interval;
    struct interval_lives *lives; /* of runners, as this one has seen them; grows with each job */
    uint32_t beat_ms;             /* 0: a third of the lease */
    int64_t stall_ms;
};

enum runner_job_end runner_job_run(const struct runner_env *env, struct queue_claim *claim);

const char *runner_job_end_name(enum runner_job_end end);

#endif
