/*
 * The queue: leases of jobs in Redis. Every operation is one Lua script (queue/lua/), atomic, on
 * Redis's clock. Redis holds no authority: the chain of slots in the bucket (chain.h) decides, and
 * all that is here can be rebuilt from the bucket.
 *
 * States, transitions, every reply and every refusal: queue/DESIGN.md. Numbers leave Lua as "%.0f"
 * text; tokens and nonces travel as strings.
 *
 * Claim, renew, complete, release and fail carry token and nonce; those that the leader alone may
 * do (submit, cancel, reap, retry, pause) carry its epoch, and a lower one than Redis has seen is
 * refused with NERO_STALE.
 *
 * Thread: one thread uses a queue; open one a thread. A lost connection is opened anew by the next
 * call (unavailable until then). SIGPIPE is ignored from queue_open on.
 * Source: specs/batch.md section 3; DESIGN 7.
 */
#ifndef NERO_QUEUE_H
#define NERO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/bytes.h"
#include "nero/err.h"
#include "nero/hash.h"
#include "nero/job.h"
#include "nero/slot.h"

enum {
    QUEUE_PRIORITIES = 512, /* 0 first */
    QUEUE_RUNNER_BYTES = 64,
    QUEUE_LEADER_BYTES = 128,
    QUEUE_REASON_BYTES = 200,
    QUEUE_LEASE_MS_DEFAULT = 30000,
    QUEUE_FAILURES_MAX = 3,     /* failed for cause: then dead */
    QUEUE_LOST_LEASES_MAX = 10, /* without progress: then parked */
    QUEUE_PASSED_MAX = 64       /* jobs that a claim passes over */
};

struct queue;

/* redis://[:password@]host:port[/db] or unix:///absolute/or/relative/path. rediss:// where TLS is
 * built in. Checks that Redis answers a write and that maxmemory-policy is noeviction (invalid,
 * says how to set it). Owns: *out (queue_close). */
enum nero_status queue_open(const char *url, struct queue **out, struct nero_err *err);
void queue_close(struct queue *queue);

/* Identity of the server process: changes with every restart ("run_id" of INFO server). */
enum { QUEUE_SERVER_ID_BYTES = 48 };
enum nero_status queue_server_id(struct queue *queue, char out[QUEUE_SERVER_ID_BYTES],
                                 struct nero_err *err);

/* What the server says of itself. */
enum { QUEUE_REDIS_MAJOR_MIN = 5, QUEUE_VERSION_BYTES = 32 };
struct queue_server {
    char version[QUEUE_VERSION_BYTES];
    uint32_t version_major; /* below QUEUE_REDIS_MAJOR_MIN it has no streams */
    bool append_only;       /* whether a restart keeps the queue; else it is submitted anew */
    int64_t clock_ahead_ms; /* its clock against ours */
};
enum nero_status queue_server(struct queue *queue, struct queue_server *out, struct nero_err *err);

/* Runs that have a queue here. `each` may not call the queue. */
typedef enum nero_status queue_each_run_fn(void *context, const char *run, struct nero_err *err);
enum nero_status queue_runs(struct queue *queue, queue_each_run_fn *each, void *context,
                            struct nero_err *err);

/* What a runner is told at a beat. */
enum queue_control {
    QUEUE_CONTINUE = 0,
    QUEUE_CHECKPOINT_NOW = 1,
    QUEUE_DRAIN = 2, /* checkpoint, release, take no more */
    QUEUE_CANCEL = 3
};

/* ---- the leader ---- */

/*
 * Make `epoch` the run's epoch (made by whoever created epoch/<n> in the bucket). The next tokens
 * are epoch << 32 | counter. 0 < epoch < 2^32. Errors: stale when Redis knows a higher one.
 */
enum nero_status queue_lead(struct queue *queue, const char *run, uint64_t epoch, uint32_t lease_ms,
                            struct nero_err *err);

/* A run that no runner finds: to rebuild a queue beside the live one and compare. */
enum nero_status queue_lead_hidden(struct queue *queue, const char *run, uint64_t epoch,
                                   uint32_t lease_ms, struct nero_err *err);

/*
 * A sign of life of the leader, for those that stand by: liveness and no more, the bucket decides
 * who leads. queue_counts tells the name until `alive_ms` have passed without another sign, or
 * until the leader resigns.
 */
struct queue_leader {
    const char *name; /* borrowed */
    uint32_t alive_ms;
    uint64_t window_bytes; /* told to readers */
};
enum nero_status queue_stay(struct queue *queue, const char *run, uint64_t epoch,
                            const struct queue_leader *leader, struct nero_err *err);
enum nero_status queue_resign(struct queue *queue, const char *run, uint64_t epoch,
                              struct nero_err *err);

struct queue_item {
    struct hash job;
    struct bytes_view envelope; /* the signed job, as stored in the bucket */
    const char *numeric_class;  /* lane; "" = any */
    uint32_t priority;
    int64_t not_before_ms; /* Redis clock; 0: now */
    uint64_t order;        /* position in the run's submissions: order within a priority */
    uint32_t lost;         /* attempts that ended without progress, by the chain */
};

/* Queue what is not there yet; jobs already known are left as they are. `added` may be NULL.
 * Errors: not_found when Redis does not know the run (flushed: raise the epoch, lead, submit
 * again). */
enum nero_status queue_submit(struct queue *queue, const char *run, uint64_t epoch,
                              const struct queue_item *items, uint32_t count, uint32_t *added,
                              struct nero_err *err);

/* The bucket holds a terminal slot for it: forget the job, whatever its state. ok when unknown. */
enum nero_status queue_finish(struct queue *queue, const char *run, uint64_t epoch,
                              const struct hash *job, struct nero_err *err);

/* Ready or delayed: gone at once (*was_leased false). Leased: its runner is told to stop. */
enum nero_status queue_cancel(struct queue *queue, const char *run, uint64_t epoch,
                              const struct hash *job, bool *was_leased, struct nero_err *err);

/* Expired leases back to ready (or parked), due delayed jobs to ready, orphans repaired. */
struct queue_reaped {
    uint32_t expired, parked, promoted, repaired;
};
enum nero_status queue_reap(struct queue *queue, const char *run, uint64_t epoch,
                            struct queue_reaped *out, struct nero_err *err);

/* Dead and parked jobs back to ready, their counters cleared. NULL job: all. */
enum nero_status queue_retry(struct queue *queue, const char *run, uint64_t epoch,
                             const struct hash *job, uint32_t *count, struct nero_err *err);
enum nero_status queue_pause(struct queue *queue, const char *run, uint64_t epoch, bool paused,
                             struct nero_err *err);

/* At most `most` jobs are leased at once; claims find nothing above it. 0: any number. */
enum nero_status queue_limit(struct queue *queue, const char *run, uint64_t epoch, uint32_t most,
                             struct nero_err *err);

/* Leased jobs' runners hear `what` (QUEUE_CHECKPOINT_NOW, once; QUEUE_DRAIN) at their next beat; a
 * cancelled one stays cancelled. NULL job: all. `count`: how many will hear it; may be NULL. */
enum nero_status queue_tell(struct queue *queue, const char *run, uint64_t epoch,
                            const struct hash *job, enum queue_control what, uint32_t *count,
                            struct nero_err *err);

/* A runner finishes or checkpoints what it works on, gives it back and takes no more. `told`: its
 * jobs that will hear it. Errors: not_found when nobody of that name is announced. */
enum nero_status queue_drain(struct queue *queue, const char *run, uint64_t epoch,
                             const char *runner, uint32_t *told, struct nero_err *err);

/* Remove everything of a run from Redis. */
enum nero_status queue_drop(struct queue *queue, const char *run, uint64_t epoch,
                            struct nero_err *err);

/* ---- the runner ---- */

struct queue_claim {
    char run[SLOT_RUN_BYTES];
    struct hash job;
    struct bytes envelope; /* owned: queue_claim_fini */
    uint64_t token;
    uint64_t nonce;
    uint64_t slot_hint; /* last slot that Redis heard of; a hint only */
    uint32_t lease_ms;
    int64_t redis_ms; /* Redis's clock at the claim */
    char runner[QUEUE_RUNNER_BYTES];
    uint32_t failures, preemptions, lost_leases;
};
void queue_claim_init(struct queue_claim *claim);
void queue_claim_fini(struct queue_claim *claim);

/* Errors: not_found when nothing is ready for this class (or the run is paused or unknown). */
enum nero_status queue_claim(struct queue *queue, const char *run, const char *runner,
                             const char *numeric_class, struct queue_claim *out,
                             struct nero_err *err);

/* The same, but these jobs are passed over (at most QUEUE_PASSED_MAX; borrowed until return): the
 * next of the order is claimed. */
enum nero_status queue_claim_other(struct queue *queue, const char *run, const char *runner,
                                   const char *numeric_class, const struct hash *passed,
                                   uint32_t passed_count, struct queue_claim *out,
                                   struct nero_err *err);

/* Sleep until a job may be ready, at most wait_ms. Waking for nothing is normal. */
enum nero_status queue_wait(struct queue *queue, const char *run, uint32_t wait_ms,
                            struct nero_err *err);

struct queue_beat {
    uint64_t units;   /* progress.units: the lease is extended only if the runner says alive */
    uint64_t slot;    /* newest committed */
    uint64_t step;    /* of the newest checkpoint; larger than before resets lost_leases */
    const char *note; /* progress line for `watch`, at most 200 bytes; may be NULL */
};

/*
 * Extend the lease; one that ran out or that Redis forgot is taken up again (adopted) unless
 * another has claimed the job since. Errors: stale when it is another's now; not_found when Redis
 * does not know the job: finished, or forgotten by Redis and not resubmitted yet. In neither case,
 * nor on an outage, has the runner lost the job for sure: it goes on until an append to the chain
 * says so.
 */
enum nero_status queue_renew(struct queue *queue, const struct queue_claim *claim,
                             const struct queue_beat *beat, enum queue_control *control,
                             struct nero_err *err);

/* The job has a checkpoint of this class: from its next claim on only such runners get it; "" =
 * any. A claimant that finds a checkpoint of a class it may not go on from pins and releases.
 * Errors: as queue_release; stale also when the lease has run out. */
enum nero_status queue_pin(struct queue *queue, const struct queue_claim *claim,
                           const char *numeric_class, struct nero_err *err);

/* The terminal slot is in the bucket. Done already: ok. Errors: stale when another has claimed the
 * job since: it will find the slot. */
enum nero_status queue_complete(struct queue *queue, const struct queue_claim *claim,
                                const struct hash *final_slot, struct nero_err *err);

/* Failed for a cause in the job: retried with delay, dead at QUEUE_FAILURES_MAX or if permanent.
 * Said twice counts once. Errors: stale, not_found as queue_renew. */
enum nero_status queue_fail(struct queue *queue, const struct queue_claim *claim, bool permanent,
                            const char *reason, bool *dead, struct nero_err *err);

/* Words before the reason of a release by a runner that cannot do the job: 'status' tells those. */
#define QUEUE_UNABLE "unable: "

/* Back to its old place in its priority, never as a failure. `preempted`: the runner is taken away,
 * which is counted; a runner that is drained, or cannot do the job, is not. Said twice counts once.
 * Errors: stale, not_found as queue_renew. */
enum nero_status queue_release(struct queue *queue, const struct queue_claim *claim, bool preempted,
                               const char *reason, struct nero_err *err);

/* Announce a runner (expires after three lease times): for status. *drained: it is to take no more
 * jobs; may be NULL. */
enum nero_status queue_announce(struct queue *queue, const char *run, const char *runner,
                                const char *host, const char *numeric_class, bool *drained,
                                struct nero_err *err);

/* ---- readers ---- */

struct queue_counts {
    uint64_t epoch;
    uint64_t ready, delayed, leased, dead, parked;
    uint64_t runners;
    uint64_t envelope_bytes; /* of all jobs known: what the leader's window limits */
    bool paused;
    int64_t redis_ms;
    char leader[QUEUE_LEADER_BYTES]; /* "": nobody gives signs of life */
    uint64_t window_bytes;           /* the leader's; 0: not told yet */
    uint32_t limit;                  /* of leased jobs; 0: none */
    /* Since Redis knows the run, over all jobs: failed for a cause, preempted, leases lost. */
    uint64_t failed, preempted, lost;
};
/* Errors (these readers too): not_found when Redis does not know the run. */
enum nero_status queue_counts(struct queue *queue, const char *run, struct queue_counts *out,
                              struct nero_err *err);

struct queue_job_info {
    char state[16];                      /* ready, delayed, leased, dead, parked */
    char numeric_class[JOB_CLASS_BYTES]; /* lane; "" = any */
    char runner[QUEUE_RUNNER_BYTES];
    char note[256];
    char reason[QUEUE_REASON_BYTES]; /* why it is dead, parked, delayed, or was released */
    uint64_t token, step, slot;
    uint32_t failures, preemptions, lost_leases;
    int64_t lease_left_ms;
};
/* Errors: not_found. */
enum nero_status queue_job_info(struct queue *queue, const char *run, const struct hash *job,
                                struct queue_job_info *out, struct nero_err *err);

/* Ids of the jobs in a state, in the order in which they would be taken, at most `count_max`.
 * `each` may not call the queue. */
typedef enum nero_status queue_each_job_fn(void *context, const struct hash *job,
                                           struct nero_err *err);
enum nero_status queue_list(struct queue *queue, const char *run, const char *state,
                            uint32_t count_max, queue_each_job_fn *each, void *context,
                            struct nero_err *err);

/* Every job that Redis knows, in no order; one may come twice. */
struct queue_job {
    struct hash job;
    char state[16];
    char numeric_class[JOB_CLASS_BYTES];
    uint32_t priority;
    uint64_t order;
    struct bytes_view envelope; /* empty unless asked for */
};
typedef enum nero_status queue_each_entry_fn(void *context, const struct queue_job *job,
                                             struct nero_err *err);
enum nero_status queue_jobs(struct queue *queue, const char *run, bool envelopes,
                            queue_each_entry_fn *each, void *context, struct nero_err *err);

/* Runners that announced themselves and are not overdue; lanes that hold ready jobs ("" = any). */
struct queue_runner {
    char name[QUEUE_RUNNER_BYTES];
    char host[128];
    char numeric_class[JOB_CLASS_BYTES];
    bool drained; /* it takes no more jobs */
};
typedef enum nero_status queue_each_runner_fn(void *context, const struct queue_runner *runner,
                                              struct nero_err *err);
enum nero_status queue_runners(struct queue *queue, const char *run, queue_each_runner_fn *each,
                               void *context, struct nero_err *err);
typedef enum nero_status queue_each_lane_fn(void *context, const char *numeric_class,
                                            uint64_t ready, struct nero_err *err);
enum nero_status queue_lanes(struct queue *queue, const char *run, queue_each_lane_fn *each,
                             void *context, struct nero_err *err);

/* Events after `last_id` ("0" from the start, "$" from now), oldest first. */
struct queue_event {
    char id[40];
    char kind[24]; /* submitted claimed progress completed failed released expired cancelled ... */
    char job[HASH_HEX_BYTES];
    char runner[QUEUE_RUNNER_BYTES];
    char text[256];
};
typedef enum nero_status queue_each_event_fn(void *context, const struct queue_event *event,
                                             struct nero_err *err);
enum nero_status queue_events(struct queue *queue, const char *run, char last_id[40],
                              uint32_t wait_ms, queue_each_event_fn *each, void *context,
                              struct nero_err *err);

/* ---- enrolment: certificates for remote runners ---- */

/* A runner leaves its signed ENVELOPE_ENROL here; the scheduler takes them and answers in the
 * bucket (layout_certificate). take: not_found when there is none.
 * Errors of push: too_big (over 4 KB), unavailable (1000 wait already). */
enum nero_status queue_enrol_push(struct queue *queue, const char *run, struct bytes_view envelope,
                                  struct nero_err *err);
enum nero_status queue_enrol_take(struct queue *queue, const char *run, struct bytes *out,
                                  struct nero_err *err);

#endif
