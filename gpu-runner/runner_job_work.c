/*
 * The units of a job, what is looked at between two of them, and the final slot.
 *
 * Between two units, in this order: a stop or drain (checkpoint, release), an order to cancel, a
 * lost lease (probe the chain), a checkpoint that is due. Nothing here changes the trainer, so when
 * and how often it happens does not reach the outcome.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runner_finish.h"
#include "runner_job_impl.h"

enum {
    NOTICE_COMMIT_MS = 6000, /* how long a stop tries the store: Docker kills after 10 s */
    CHECKPOINT_RETRY_MS = 2000
};

#define RATE_WEIGHT 0.1 /* of the newest unit in the smoothed images a second */

static double seconds_between(int64_t from_ns, int64_t to_ns)
{
    return (double)(to_ns - from_ns) * 1e-9;
}

/* ---- checkpoints ---- */

/* Errors as runner_ckpt_commit; ok without a slot when nothing was done since the last one. */
static enum nero_status checkpoint(struct runner_job *job, enum slot_reason reason,
                                   struct nero_err *err)
{
    const struct clock_source *clock = job->env->clock;
    int64_t start_ns = clock_mono_ns(clock);
    uint64_t number;

    if (job->units == job->units_committed) {
        job->committed_ns = start_ns;
        return NERO_OK;
    }
    if (trainer_snapshot(job->trainer, &job->progress, &job->state, err) != NERO_OK ||
        runner_ckpt_commit(job->chain, &job->owner, reason, &job->progress,
                           bytes_as_view(&job->state), &number, err) != NERO_OK) {
        return err->status;
    }
    job->units_committed = job->units;
    job->committed_ns = clock_mono_ns(clock);
    job->report.slot = number;
    job->report.committed = job->progress.units;
    runner_beat_tell(job->beat, &job->report);
    log_line(LOG_INFO, "checkpoint.committed", &job->where,
             "slot=%" PRIu64 " units=%" PRIu64 " bytes=%zu seconds=%.3f reason=%d", number,
             job->units, job->state.bytes, seconds_between(start_ns, job->committed_ns),
             (int)reason);
    return NERO_OK;
}

static bool is_due(const struct runner_job *job, int64_t now_ns)
{
    if (now_ns < job->retry_ns) {
        return false;
    }
    return (job->env->checkpoint_units != 0 &&
            job->units - job->units_committed >= job->env->checkpoint_units) ||
           seconds_between(job->committed_ns, now_ns) >= job->env->checkpoint_seconds;
}

/* False: the chain has another owner. A store that is away only postpones. */
static bool commit_now(struct runner_job *job, enum slot_reason reason, int64_t now_ns)
{
    struct nero_err err;
    enum nero_status status = checkpoint(job, reason, &err);

    if (status == NERO_OK) {
        return true;
    }
    if (status == NERO_STALE || status == NERO_CONFLICT) {
        return runner_job_overtaken(job);
    }
    log_line(LOG_WARN, "checkpoint.postponed", &job->where, "status=%s reason=\"%s\"",
             err_status_name(status), err.message);
    job->retry_ns = now_ns + (int64_t)CHECKPOINT_RETRY_MS * 1000000;
    return true;
}

/* A kill is near: commit within the time that is left, give the job back. Always false. */
static bool stop(struct runner_job *job)
{
    const struct clock_source *clock = job->env->clock;
    int64_t start_ns = clock_mono_ns(clock);
    const char *why = job->env->notice->why;
    struct nero_err err;
    enum nero_status status;

    runner_backoff_reset(&job->backoff);
    while ((status = checkpoint(job, SLOT_NOTICE, &err)) != NERO_OK) {
        int64_t used_ms = (clock_mono_ns(clock) - start_ns) / 1000000;

        if (status == NERO_STALE || status == NERO_CONFLICT) {
            return runner_job_overtaken(job);
        }
        if (!err_is_retryable(status) || used_ms >= NOTICE_COMMIT_MS) {
            log_line(LOG_WARN, "checkpoint.given_up", &job->where,
                     "work since slot %" PRIu64 " is lost: %s", job->report.slot, err.message);
            break;
        }
        runner_beat_touch(job->beat);
        clock_sleep_ms(clock, runner_backoff_next_ms(&job->backoff));
    }
    return runner_job_finish_as(job, RUNNER_JOB_STOPPED, "stopped: %s", why);
}

/* ---- between two units ---- */

/* Whether the newest takeover is still this attempt's. */
static bool is_owner(const struct runner_job *job)
{
    for (uint64_t number = chain_count(job->chain); number-- > 0;) {
        const struct chain_entry *entry = chain_at(job->chain, number);

        if (entry->valid && entry->slot.kind == SLOT_TAKEOVER) {
            return entry->slot.token == job->claim->token && entry->slot.nonce == job->claim->nonce;
        }
    }
    return false;
}

/* Redis says the lease is gone, which proves nothing: ask the bucket, twice a lease time. */
static bool probe(struct runner_job *job, int64_t now_ns)
{
    struct nero_err err;

    if (job->probed_ns != 0 &&
        now_ns - job->probed_ns < (int64_t)job->claim->lease_ms * 1000000 / 2) {
        return true;
    }
    job->probed_ns = now_ns;
    if (chain_refresh(job->chain, &err) != NERO_OK) {
        return true; /* the append will tell */
    }
    if (chain_terminal(job->chain) != NULL || !is_owner(job)) {
        return runner_job_overtaken(job);
    }
    return true;
}

static bool look_around(struct runner_job *job)
{
    int64_t now_ns = clock_mono_ns(job->env->clock);
    struct runner_beat_view view;

    runner_beat_look(job->beat, &view);
    if (view.drain) {
        runner_notice_ask(job->env->notice, "drain");
    }
    if (runner_notice_stopping(job->env->notice)) {
        return stop(job);
    }
    if (view.cancel) {
        return runner_job_finish_as(job, RUNNER_JOB_CANCELLED, "cancelled by the scheduler");
    }
    if (view.lost && !probe(job, now_ns)) {
        return false;
    }
    if (view.checkpoint_now) {
        return commit_now(job, SLOT_MANUAL, now_ns);
    }
    return is_due(job, now_ns) ? commit_now(job, SLOT_INTERVAL, now_ns) : true;
}

/* ---- progress lines ---- */

/* Seconds that training will still take; below 0 when nobody can tell. */
static double seconds_left(const struct runner_job *job, const struct trainer_event *event)
{
    uint64_t expected;
    uint32_t epochs;
    double pace;
    double done;

    if (event->phase != PROGRESS_TRAIN || job->train_steps == 0) {
        return -1;
    }
    if (job->spec.budget.kind == JOB_SECONDS) {
        return fmax(0, (double)job->spec.budget.amount - job->progress.seconds_used -
                           seconds_between(job->start_ns, job->unit_ns));
    }
    trainer_expected(job->trainer, &expected, &epochs);
    pace = job->train_seconds / (double)job->train_steps;
    done = (double)event->epoch * event->steps + event->step;
    return expected == 0 ? -1 : fmax(0, ((double)expected - done) * pace);
}

static void report_unit(struct runner_job *job, const struct trainer_event *event)
{
    bool training = event->phase == PROGRESS_TRAIN;
    int64_t now_ns = clock_mono_ns(job->env->clock);
    double seconds = seconds_between(job->unit_ns, now_ns);
    double images = training ? job->spec.phenotype.learning.batch : job->spec.protocol.eval_batch;
    struct runner_beat_report *report = &job->report;

    job->unit_ns = now_ns;
    job->units++;
    if (training) {
        job->train_steps++;
        job->train_seconds += seconds;
    }
    if (seconds > 0) {
        double rate = images / seconds;

        report->images_per_second =
            report->phase != event->phase || report->units == 0
                ? rate
                : (1 - RATE_WEIGHT) * report->images_per_second + RATE_WEIGHT * rate;
    }
    report->units = job->units;
    report->phase = event->phase;
    report->epoch = event->epoch + 1;
    report->step = event->step;
    report->steps = event->steps;
    report->loss = event->loss;
    report->accuracy = event->control_accuracy;
    report->seconds_left = seconds_left(job, event);
    runner_beat_tell(job->beat, report);
    if (event->epoch_ended) {
        log_line(LOG_INFO, "epoch.ended", &job->where,
                 "epoch=%u control_loss=%.5g control_accuracy=%.4f images_per_second=%.1f",
                 event->epoch + 1, event->loss, event->control_accuracy,
                 job->train_seconds > 0
                     ? (double)job->train_steps * job->spec.phenotype.learning.batch /
                           job->train_seconds
                     : 0);
    }
}

/* ---- the end ---- */

static enum nero_status commit_final(struct runner_job *job, struct bytes_view state,
                                     struct bytes_view weights, struct bytes_view body,
                                     struct nero_err *err)
{
    struct slot slot = runner_ckpt_slot(&job->owner, SLOT_FINAL, SLOT_END);
    const struct chain_entry *entry;

    if (state.bytes > 0 &&
        runner_ckpt_add_blob(job->chain, &slot, RUNNER_CKPT_STATE, state, err) != NERO_OK) {
        return err->status;
    }
    if (runner_ckpt_add_blob(job->chain, &slot, RUNNER_CKPT_WEIGHTS, weights, err) != NERO_OK) {
        return err->status;
    }
    slot.body = body;
    if (chain_append(job->chain, &slot, job->owner.key, &entry, err) != NERO_OK) {
        return err_wrap(err, "final slot");
    }
    job->report.slot = entry->number;
    return NERO_OK;
}

/* Statuses of the final commit that only patience or an operator can mend. */
static bool may_pass(enum nero_status status)
{
    return status == NERO_NO_SPACE || status == NERO_DENIED;
}

/* The work is done and paid for: wait for the store as long as nobody asks to stop. */
static bool commit_final_patiently(struct runner_job *job, struct bytes_view state,
                                   struct bytes_view weights, struct bytes_view body)
{
    struct nero_err err;

    runner_backoff_reset(&job->backoff);
    while (commit_final(job, state, weights, body, &err) != NERO_OK) {
        if (may_pass(err.status)) {
            err.status = NERO_UNAVAILABLE;
        }
        if (!runner_job_again(job, "commit the result", &err)) {
            return runner_job_give_up(job, "commit the result", &err);
        }
    }
    return runner_job_finish_as(job, RUNNER_JOB_DONE, "final slot %" PRIu64, job->report.slot);
}

static enum nero_status make_result(struct runner_job *job, struct result_outcome *outcome,
                                    struct bytes *weights, struct bytes *body, struct nero_err *err)
{
    struct result_provenance provenance;
    double images = (double)job->train_steps * job->spec.phenotype.learning.batch;

    /* For the seconds used; the outcome's own state blob replaces the bytes. */
    if (trainer_snapshot(job->trainer, &job->progress, &job->state, err) != NERO_OK ||
        trainer_outcome(job->trainer, outcome, &job->state, weights, err) != NERO_OK) {
        return err->status;
    }
    runner_finish_provenance(job->chain, &job->owner, &job->progress,
                             job->train_seconds > 0 ? images / job->train_seconds : 0,
                             clock_wall_ms(job->env->clock), &provenance);
    return runner_finish_encode(outcome, &provenance, body, err);
}

static bool finish(struct runner_job *job)
{
    struct result result;
    struct bytes weights;
    struct bytes body;
    struct nero_err err;

    result_init(&result);
    bytes_init(&weights, RUNNER_CKPT_STATE_BYTES_MAX);
    bytes_init(&body, RESULT_BYTES_MAX);
    if (make_result(job, &result.outcome, &weights, &body, &err) == NERO_OK) {
        struct bytes_view state =
            result.outcome.has_state ? bytes_as_view(&job->state) : bytes_view_of(NULL, 0);

        (void)commit_final_patiently(job, state, bytes_as_view(&weights), bytes_as_view(&body));
    } else if (err.status == NERO_NO_MEMORY || err.status == NERO_GPU) {
        (void)runner_job_give_up(job, "take the outcome", &err);
    } else {
        (void)runner_job_fail(job, "outcome: %.200s", err.message);
    }
    bytes_fini(&body);
    bytes_fini(&weights);
    result_fini(&result);
    return false;
}

/* An error while training: the device's, or the job's; the third time it is the job's. */
static bool unit_failed(struct runner_job *job, const struct nero_err *err)
{
    if (err->status == NERO_NO_MEMORY || err->status == NERO_GPU) {
        return runner_job_give_up(job, "train", err);
    }
    log_failure("job.failed", &job->where, err);
    if (job->claim->failures + 1 >= QUEUE_FAILURES_MAX) {
        return runner_job_fail(job, "%.250s", err->message);
    }
    return runner_job_finish_as(job, RUNNER_JOB_FAILED, "%.190s", err->message);
}

bool runner_job_work(struct runner_job *job)
{
    struct trainer_event event = {0};
    uint64_t steps;
    struct nero_err err;

    trainer_expected(job->trainer, &steps, &job->report.epochs);
    if (job->report.epochs == 0 || job->report.epochs > job->spec.phenotype.learning.epochs_max) {
        job->report.epochs = job->spec.phenotype.learning.epochs_max;
    }
    job->report.phase = PROGRESS_TRAIN;
    job->report.accuracy = (double)NAN;
    job->report.seconds_left = -1;
    job->report.units = job->units;
    job->report.committed = job->units_committed;
    job->start_ns = clock_mono_ns(job->env->clock);
    job->unit_ns = job->start_ns;
    job->committed_ns = job->start_ns;
    runner_beat_tell(job->beat, &job->report);
    while (!event.done) {
        if (!look_around(job)) {
            return false;
        }
        job->unit_ns = clock_mono_ns(job->env->clock); /* commits are no part of a unit */
        if (trainer_advance(job->trainer, &event, &err) != NERO_OK) {
            return unit_failed(job, &err);
        }
        report_unit(job, &event);
    }
    return finish(job);
}
