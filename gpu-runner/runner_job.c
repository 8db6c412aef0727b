#include "runner_job.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nero/layout.h"

#include "runner_job_impl.h"

enum {
    TELL_MS = 20000,         /* how long Redis is tried for the last word */
    TELL_STOPPING_MS = 3000, /* the same when a kill is near */
    LOG_TRY_EVERY = 8
};

const char *runner_job_end_name(enum runner_job_end end)
{
    static const char *const names[] = {
        [RUNNER_JOB_DONE] = "done",           [RUNNER_JOB_KNOWN] = "known",
        [RUNNER_JOB_FAILED] = "failed",       [RUNNER_JOB_STOPPED] = "stopped",
        [RUNNER_JOB_UNABLE] = "unable",       [RUNNER_JOB_LOST] = "lost",
        [RUNNER_JOB_CANCELLED] = "cancelled",
    };

    return (unsigned)end < sizeof names / sizeof names[0] && names[end] != NULL ? names[end]
                                                                                : "undefined";
}

bool runner_job_finish_as(struct runner_job *job, enum runner_job_end end, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(job->reason, sizeof job->reason, format, args);
    va_end(args);
    job->end = end;
    return false;
}

bool runner_job_again(struct runner_job *job, const char *what, const struct nero_err *err)
{
    if (!err_is_outage(err->status)) {
        return false;
    }
    if (runner_notice_stopping(job->env->notice)) {
        return runner_job_finish_as(job, RUNNER_JOB_STOPPED, "%s (%s)", job->env->notice->why,
                                    what);
    }
    if (job->backoff.tries % LOG_TRY_EVERY == 0) {
        log_line(LOG_WARN, "job.waiting", &job->where, "for=\"%s\" try=%u reason=\"%s\"", what,
                 job->backoff.tries + 1, err->message);
    }
    if (job->units > 0) { /* work to lose; else let a runner that reaches the store have the job */
        runner_beat_touch(job->beat);
    }
    (void)runner_notice_sleep(job->env->notice, job->env->clock,
                              runner_backoff_next_ms(&job->backoff));
    return true;
}

bool runner_job_give_up(struct runner_job *job, const char *what, const struct nero_err *err)
{
    if (job->end != 0) {
        return false; /* stopped while waiting */
    }
    if (err->status == NERO_STALE || err->status == NERO_CONFLICT) {
        return runner_job_overtaken(job);
    }
    log_failure("job.unable", &job->where, err);
    return runner_job_finish_as(job, RUNNER_JOB_UNABLE, QUEUE_UNABLE "%s: %.120s", what,
                                err->message);
}

static bool terminal_is_ours(const struct runner_job *job, const struct chain_entry *terminal)
{
    return terminal->slot.token == job->claim->token && terminal->slot.nonce == job->claim->nonce;
}

bool runner_job_overtaken(struct runner_job *job)
{
    const struct chain_entry *terminal;
    struct nero_err err;

    if (job->chain == NULL) {
        return runner_job_finish_as(job, RUNNER_JOB_LOST, "no chain");
    }
    while (chain_refresh(job->chain, &err) != NERO_OK) {
        if (!runner_job_again(job, "read the chain", &err)) {
            return runner_job_finish_as(job, RUNNER_JOB_LOST, "chain: %.150s", err.message);
        }
    }
    terminal = chain_terminal(job->chain);
    if (terminal == NULL) {
        return runner_job_finish_as(job, RUNNER_JOB_LOST, "another attempt took the job over");
    }
    if (terminal->slot.kind == SLOT_CANCELLED) {
        return runner_job_finish_as(job, RUNNER_JOB_CANCELLED, "%s", terminal->slot.text);
    }
    /* Ours: an append whose answer was lost, found on the next try. */
    return runner_job_finish_as(
        job, terminal_is_ours(job, terminal) ? RUNNER_JOB_DONE : RUNNER_JOB_KNOWN,
        "slot %" PRIu64 " is %s", terminal->number, slot_kind_name(terminal->slot.kind));
}

bool runner_job_fail(struct runner_job *job, const char *format, ...)
{
    struct slot slot = runner_ckpt_slot(&job->owner, SLOT_FAILED, SLOT_END);
    const struct chain_entry *entry;
    struct nero_err err;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(slot.text, sizeof slot.text, format, args);
    va_end(args);
    runner_backoff_reset(&job->backoff);
    while (chain_append(job->chain, &slot, job->owner.key, &entry, &err) != NERO_OK) {
        if (!runner_job_again(job, "commit the failed slot", &err)) {
            return runner_job_give_up(job, "commit the failed slot", &err);
        }
    }
    job->permanent = true;
    return runner_job_finish_as(job, RUNNER_JOB_FAILED, "%.190s", slot.text);
}

/* ---- the last word ---- */

/* NULL while the upload thread has the chain. */
static const struct chain_entry *terminal_of(const struct runner_job *job)
{
    return job->chain != NULL && !job->abandoned ? chain_terminal(job->chain) : NULL;
}

/* The byte copy of the final slot: an index without authority, so a failure is a warning. */
static void copy_result(struct runner_job *job)
{
    const struct chain_entry *terminal = terminal_of(job);
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err;

    if (terminal == NULL || terminal->slot.kind != SLOT_FINAL) {
        return;
    }
    layout_result(object, job->claim->run, &job->claim->job);
    if (job->end == RUNNER_JOB_KNOWN &&
        storage_head(job->env->store, object, NULL, &err) == NERO_OK) {
        return;
    }
    if (storage_create_once(job->env->store, object, terminal->stored, &err) != NERO_OK) {
        log_line(LOG_WARN, "result.no_copy", &job->where, "reason=\"%s\"", err.message);
    }
}

static enum nero_status tell_once(struct runner_job *job, struct nero_err *err)
{
    const struct chain_entry *terminal = terminal_of(job);
    bool dead;

    switch (job->end) {
    case RUNNER_JOB_DONE:
    case RUNNER_JOB_KNOWN:
    case RUNNER_JOB_CANCELLED:
        if (terminal == NULL) {
            return queue_release(job->env->queue, job->claim, false, job->reason, err);
        }
        return queue_complete(job->env->queue, job->claim, &terminal->hash, err);
    case RUNNER_JOB_FAILED:
        return queue_fail(job->env->queue, job->claim, job->permanent, job->reason, &dead, err);
    case RUNNER_JOB_UNABLE:
        if (job->pin_class[0] != 0 &&
            queue_pin(job->env->queue, job->claim, job->pin_class, err) != NERO_OK) {
            return err->status;
        }
        return queue_release(job->env->queue, job->claim, false, job->reason, err);
    case RUNNER_JOB_STOPPED:
        return queue_release(job->env->queue, job->claim, !job->env->notice->drained, job->reason,
                             err);
    case RUNNER_JOB_LOST:
        break;
    }
    return NERO_OK;
}

/* The bucket has it already; Redis that is away learns it from the next claimant or the leader. */
static void tell_redis(struct runner_job *job)
{
    const struct clock_source *clock = job->env->clock;
    int64_t start_ns = clock_mono_ns(clock);
    struct nero_err err;

    runner_backoff_reset(&job->backoff);
    while (tell_once(job, &err) != NERO_OK) {
        bool stopping = runner_notice_stopping(job->env->notice);
        bool retry = err_is_outage(err.status);
        int64_t left_ms = stopping ? TELL_STOPPING_MS : TELL_MS;

        left_ms -= (clock_mono_ns(clock) - start_ns) / 1000000;
        if (!retry || left_ms <= 0) {
            log_line(retry ? LOG_WARN : LOG_INFO, "job.not_told", &job->where,
                     "end=%s reason=\"%s\"", runner_job_end_name(job->end), err.message);
            return;
        }
        clock_sleep_ms(clock, runner_backoff_next_ms(&job->backoff));
    }
}

static void settle(struct runner_job *job)
{
    bool good = job->end == RUNNER_JOB_DONE || job->end == RUNNER_JOB_KNOWN;

    if (good) {
        copy_result(job);
    }
    if (job->end != RUNNER_JOB_LOST) {
        tell_redis(job);
    }
    log_line(good ? LOG_INFO : LOG_WARN, "job.ended", &job->where,
             "end=%s units=%" PRIu64 " committed=%" PRIu64 " slot=%" PRIu64
             " images_per_second=%.1f reason=\"%s\"",
             runner_job_end_name(job->end), job->units, job->report.committed, job->report.slot,
             job->report.images_per_second, job->reason);
}

/* ---- life ---- */

static void job_init(struct runner_job *job, const struct runner_env *env,
                     struct queue_claim *claim)
{
    char hex[HASH_HEX_BYTES];

    *job = (struct runner_job){.env = env, .claim = claim, .claimed_ns = clock_mono_ns(env->clock)};
    hash_to_hex(hex, &claim->job);
    (void)snprintf(job->short_id, sizeof job->short_id, "%.12s", hex);
    job->where =
        (struct log_context){.run = claim->run, .job = job->short_id, .token = claim->token};
    runner_backoff_init(&job->backoff, claim->nonce);
    job->owner = (struct runner_ckpt_owner){
        .token = claim->token, .nonce = claim->nonce, .redis_ms = claim->redis_ms, .key = env->key};
    bytes_init(&job->fetched, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    bytes_init(&job->continue_from, RUNNER_CKPT_STATE_BYTES_MAX);
    bytes_init(&job->state, RUNNER_CKPT_STATE_BYTES_MAX);
    job_spec_init(&job->spec);
    progress_init(&job->progress);
    env->notice->stop_s = INTERVAL_STOP_UNKNOWN_S; /* what the former job's commits took is past */
}

static void job_fini(struct runner_job *job)
{
    runner_beat_stop(job->beat);
    trainer_destroy(job->trainer);
    if (job->chain != NULL) {
        chain_close(job->chain);
    }
    progress_fini(&job->progress);
    job_spec_fini(&job->spec);
    bytes_fini(&job->state);
    bytes_fini(&job->continue_from);
    bytes_fini(&job->fetched);
}

enum runner_job_end runner_job_run(const struct runner_env *env, struct queue_claim *claim)
{
    struct runner_beat_options options = {.redis_url = env->redis_url,
                                          .runner = env->runner,
                                          .host = env->host,
                                          .numeric_class = env->numeric_class,
                                          .pin =
                                              trust_run(env->trust)->resume_policy != RUN_ANY_CLASS,
                                          .beat_ms = env->beat_ms,
                                          .stall_ms = env->stall_ms,
                                          .clock = env->clock};
    struct runner_job job;
    struct nero_err err;
    enum runner_job_end end;

    job_init(&job, env, claim);
    log_line(LOG_INFO, "job.claimed", &job.where,
             "lease_ms=%u failures=%u preemptions=%u lost_leases=%u", claim->lease_ms,
             claim->failures, claim->preemptions, claim->lost_leases);
    if (runner_beat_start(&options, claim, &job.beat, &err) != NERO_OK) {
        (void)runner_job_give_up(&job, "heartbeat", &err);
    } else if (runner_job_open(&job) && runner_job_prepare(&job)) {
        (void)runner_job_work(&job);
    }
    settle(&job);
    if (job.abandoned) {
        /* The job is given back and the chain is sound at every instant: nothing else is owed. */
        log_line(LOG_WARN, "runner.ended", NULL, "reason=\"%s\", in the midst of an upload",
                 env->notice->why);
        _exit(ERR_EXIT_RESUMABLE);
    }
    env->lives->seconds += clock_seconds_since(env->clock, job.claimed_ns); /* and we still live */
    end = job.end;
    job_fini(&job);
    return end;
}
