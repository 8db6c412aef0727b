/*
 * The units of a job, what is looked at between two of them, and the final slot.
 *
 * Between two units, in this order: the verdict of the upload thread, a stop or drain (checkpoint,
 * release), an order to cancel, a lost lease (probe the chain), a snapshot that is due. Nothing
 * here changes the trainer, so when and how often it happens does not reach the outcome.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runner_finish.h"
#include "runner_job_impl.h"

enum { SNAPSHOT_RETRY_MS = 2000, UPLOAD_SLICE_MS = 100 };

#define RATE_WEIGHT 0.1 /* of the newest unit in the smoothed images a second */

static double seconds_between(int64_t from_ns, int64_t to_ns)
{
    return (double)(to_ns - from_ns) * 1e-9;
}

/* ---- checkpoints ---- */

/* What the upload thread has done goes into the next beat. */
static void note_commits(struct runner_job *job, const struct runner_upload_view *view)
{
    if (view->commits > 0) {
        job->report.slot = view->slot;
        job->report.committed = view->units;
    }
}

/* Take the chain back from the upload thread, which drops what is queued. */
static void end_uploads(struct runner_job *job)
{
    struct runner_upload_view view;

    while (!runner_upload_finish(job->upload)) {
        runner_beat_touch(job->beat);
        runner_upload_wait_ms(job->upload, UPLOAD_SLICE_MS);
    }
    runner_upload_look(job->upload, &view);
    note_commits(job, &view);
    runner_upload_end(job->upload);
    job->upload = NULL;
}

static void snapshot(struct runner_job *job, enum slot_reason reason)
{
    int64_t now_ns = clock_mono_ns(job->env->clock);
    struct nero_err err;
    double stall_s;

    if (job->units == job->units_taken) {
        job->taken_ns = now_ns;
        return;
    }
    if (runner_upload_snapshot(job->upload, job->trainer, reason, &stall_s, &err) != NERO_OK) {
        log_line(LOG_WARN, "checkpoint.not_taken", &job->where, "status=%s reason=\"%s\"",
                 err_status_name(err.status), err.message);
        job->retry_ns = now_ns + (int64_t)SNAPSHOT_RETRY_MS * 1000000;
        return;
    }
    job->units_taken = job->units;
    job->taken_ns = now_ns;
    interval_stalled(&job->interval, stall_s);
}

static bool is_due(const struct runner_job *job)
{
    int64_t now_ns = clock_mono_ns(job->env->clock);

    return now_ns >= job->retry_ns && interval_is_due(&job->interval, job->units - job->units_taken,
                                                      seconds_between(job->taken_ns, now_ns));
}

/* Whether what is on its way, or else what comes next, can be there before the kill. */
static bool may_commit(const struct runner_job *job, const struct runner_upload_view *view)
{
    double left_s = runner_notice_left_s(job->env->notice) - INTERVAL_RELEASE_S;

    return left_s > 0 && (view->on_its_way ? view->left_s : view->next_s) <= left_s;
}

/*
 * A kill is near: commit within the time that is left, give the job back. An upload that would take
 * longer is not waited for: it keeps the chain, and the program ends under it. Always false.
 */
static bool stop(struct runner_job *job)
{
    struct runner_upload_view view;

    snapshot(job, SLOT_NOTICE);
    runner_upload_hurry(job->upload);
    for (;;) {
        runner_upload_look(job->upload, &view);
        note_commits(job, &view);
        if (view.verdict != NERO_OK) {
            end_uploads(job);
            return runner_job_overtaken(job);
        }
        if (job->report.committed == job->units || !may_commit(job, &view)) {
            break;
        }
        runner_beat_touch(job->beat);
        runner_upload_wait_ms(job->upload, UPLOAD_SLICE_MS);
    }
    if (job->report.committed != job->units) {
        log_line(LOG_WARN, "checkpoint.given_up", &job->where,
                 "work since slot %" PRIu64 " is lost: %.1f s are left, a commit takes %.1f s",
                 job->report.slot, runner_notice_left_s(job->env->notice),
                 view.on_its_way ? view.left_s : view.next_s);
    }
    job->abandoned = !runner_upload_finish(job->upload);
    if (!job->abandoned) {
        end_uploads(job);
    }
    return runner_job_finish_as(job, RUNNER_JOB_STOPPED, "stopped: %s", job->env->notice->why);
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

/* Redis says the lease is gone, which proves nothing: ask the bucket, twice a lease time. A commit
 * that is on its way asks it anyhow. */
static bool probe(struct runner_job *job)
{
    int64_t now_ns = clock_mono_ns(job->env->clock);
    struct nero_err err;
    bool overtaken;

    if ((job->probed_ns != 0 &&
         now_ns - job->probed_ns < (int64_t)job->claim->lease_ms * 1000000 / 2) ||
        !runner_upload_borrow(job->upload)) {
        return true;
    }
    job->probed_ns = now_ns;
    overtaken = chain_refresh(job->chain, &err) == NERO_OK &&
                (chain_terminal(job->chain) != NULL || !is_owner(job));
    runner_upload_return(job->upload);
    if (overtaken) {
        end_uploads(job);
        return runner_job_overtaken(job);
    }
    return true;
}

static bool look_around(struct runner_job *job)
{
    struct runner_upload_view uploads;
    struct runner_beat_view view;

    runner_upload_look(job->upload, &uploads);
    note_commits(job, &uploads);
    if (uploads.verdict != NERO_OK) {
        end_uploads(job);
        return runner_job_overtaken(job);
    }
    runner_beat_look(job->beat, &view);
    if (view.drain) {
        runner_notice_drain(job->env->notice);
    }
    job->env->notice->stop_s = interval_stop_s(uploads.next_s, job->unit_seconds);
    if (runner_notice_stopping(job->env->notice)) {
        return stop(job);
    }
    if (view.cancel) {
        end_uploads(job);
        return runner_job_finish_as(job, RUNNER_JOB_CANCELLED, "cancelled by the scheduler");
    }
    if (view.lost && !probe(job)) {
        return false;
    }
    if (job->env->notice->announced && !job->warned) {
        job->warned = true; /* training goes on for a while, but the kill may come early */
        snapshot(job, SLOT_INTERVAL);
    }
    job->interval.threatened = job->env->notice->threatened;
    if (view.checkpoint_now) {
        snapshot(job, SLOT_MANUAL);
    } else if (is_due(job)) {
        snapshot(job, SLOT_INTERVAL);
    }
    return true;
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
    job->unit_seconds = seconds;
    job->units++;
    if (training) {
        job->train_steps++;
        job->train_seconds += seconds;
        interval_stepped(&job->interval, seconds);
    }
    if (seconds > 0) {
        double rate = images / seconds;

        report->images_per_second =
            report->phase != event->phase || report->units == 0
                ? rate
                : (1 - RATE_WEIGHT) * report->images_per_second + RATE_WEIGHT * rate;
    }
    if (report->units == job->restored_units) {
        log_line(LOG_INFO, "job.moving", &job->where,
                 "first_unit_after_s=%.2f since_start_s=%.2f first_interval_s=%.1f "
                 "mean_life_s=%.0f",
                 clock_seconds_since(job->env->clock, job->claimed_ns),
                 clock_seconds_since(job->env->clock, job->env->started_ns),
                 interval_seconds(&job->interval), interval_mean_life(&job->interval.lives));
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
    if (state.bytes > 0) { /* whoever trains on with it here need not fetch it */
        runner_data_keep_state(job->env->data, &slot.blobs[0].hash, state);
    }
    return NERO_OK;
}

/* By this clock the certificate is not in force: no signature of ours would be taken. */
static bool cannot_sign(const struct runner_job *job)
{
    int64_t now_ms = clock_wall_ms(job->env->clock);

    return now_ms < job->env->not_before_ms || now_ms > job->env->not_after_ms;
}

/* The work is done and paid for: wait for the store as long as nobody asks to stop, also for an
 * operator who mends a policy. Not with a wrong clock: another goes on from the last checkpoint. */
static bool commit_final_patiently(struct runner_job *job, struct bytes_view state,
                                   struct bytes_view weights, struct bytes_view body)
{
    struct nero_err err;

    runner_backoff_reset(&job->backoff);
    while (commit_final(job, state, weights, body, &err) != NERO_OK) {
        if (err.status == NERO_DENIED && !cannot_sign(job)) {
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

/* From the restored trainer to the first unit. */
static enum nero_status begin(struct runner_job *job, struct nero_err *err)
{
    struct runner_upload_options options = {.chain = job->chain,
                                            .owner = &job->owner,
                                            .clock = job->env->clock,
                                            .where = &job->where,
                                            .seed = job->claim->nonce};
    uint64_t steps;

    if (runner_upload_start(&options, job->trainer, &job->upload, err) != NERO_OK) {
        job->upload = NULL;
        return err->status;
    }
    trainer_expected(job->trainer, &steps, &job->report.epochs);
    if (job->report.epochs == 0 || job->report.epochs > job->spec.phenotype.learning.epochs_max) {
        job->report.epochs = job->spec.phenotype.learning.epochs_max;
    }
    job->report.phase = PROGRESS_TRAIN;
    job->report.accuracy = (double)NAN;
    job->report.seconds_left = -1;
    job->report.units = job->units;
    job->restored_units = job->units;
    interval_init(&job->interval, &job->env->interval);
    job->interval.lives = *job->env->lives;
    job->start_ns = clock_mono_ns(job->env->clock);
    job->unit_ns = job->start_ns;
    job->taken_ns = job->start_ns;
    runner_beat_tell(job->beat, &job->report);
    return NERO_OK;
}

bool runner_job_work(struct runner_job *job)
{
    struct trainer_event event = {0};
    struct nero_err err;

    if (begin(job, &err) != NERO_OK) {
        return runner_job_give_up(job, "prepare for checkpoints", &err);
    }
    while (!event.done) {
        if (!look_around(job)) {
            return false;
        }
        job->unit_ns = clock_mono_ns(job->env->clock); /* snapshots are no part of a unit */
        if (trainer_advance(job->trainer, &event, &err) != NERO_OK) {
            end_uploads(job);
            return unit_failed(job, &err);
        }
        report_unit(job, &event);
    }
    end_uploads(job);
    return finish(job);
}
