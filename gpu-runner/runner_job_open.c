/* From a claim to a trainer that stands where the chain says the job stands. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nero/layout.h"

#include "runner_finish.h"
#include "runner_job_impl.h"

/* Verify against the run key and the claim: Redis may hand out anything. */
static enum nero_status read_job(struct runner_job *job, struct bytes_view envelope,
                                 struct nero_err *err)
{
    struct bytes_view payload;
    struct job_record record;
    struct hash id;

    if (trust_open_run_envelope(job->env->trust, envelope, ENVELOPE_JOB, &payload, err) !=
            NERO_OK ||
        job_record_decode(payload, &record, err) != NERO_OK) {
        return err->status;
    }
    id = job_id(record.spec);
    if (!hash_equal(&id, &job->claim->job)) {
        return err_set(err, NERO_CORRUPT, 0, "the envelope is another job's");
    }
    job->envelope = envelope;
    if (job_spec_decode(record.spec, &job->spec, err) != NERO_OK) {
        if (err->status == NERO_NO_MEMORY) {
            return err->status;
        }
        /* Signed, and what it claims to be, but not to be understood: the job's own fault. */
        (void)snprintf(job->spec_fault, sizeof job->spec_fault, "%s", err->message);
    }
    return NERO_OK;
}

static bool verify_job(struct runner_job *job)
{
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err;

    if (read_job(job, bytes_as_view(&job->claim->envelope), &err) == NERO_OK) {
        return true;
    }
    log_line(LOG_WARN, "job.bad_envelope", &job->where,
             "Redis's copy is not used, the bucket's is: %s", err.message);
    layout_spec(object, job->claim->run, &job->claim->job);
    while (storage_get(job->env->store, object, &job->fetched, NULL, &err) != NERO_OK) {
        if (!runner_job_again(job, "get the job", &err)) {
            return runner_job_give_up(job, "get the job", &err);
        }
    }
    if (read_job(job, bytes_as_view(&job->fetched), &err) != NERO_OK) {
        return runner_job_give_up(job, "verify the job", &err);
    }
    return true;
}

/* The class that the job is bound to is not ours: another runner must take it. */
static bool class_fits(struct runner_job *job, const char *required, const char *by)
{
    if (required[0] == 0 || strcmp(required, job->env->numeric_class) == 0) {
        return true;
    }
    (void)snprintf(job->pin_class, sizeof job->pin_class, "%s", required);
    return runner_job_finish_as(job, RUNNER_JOB_UNABLE, QUEUE_UNABLE "%s needs class %.140s", by,
                                required);
}

/* Before the takeover, so that a job of another class gets no slot from every runner that looks. */
static bool check_class(struct runner_job *job)
{
    const struct chain_entry *newest = chain_checkpoint(job->chain, NULL);
    struct progress progress;
    struct nero_err ignored;
    bool fits;

    fits = job->spec_fault[0] != 0 || class_fits(job, job->spec.numeric_class, "the job");
    if (!fits || newest == NULL || trust_run(job->env->trust)->resume_policy == RUN_ANY_CLASS) {
        return fits;
    }
    progress_init(&progress);
    if (progress_decode(newest->slot.body, &progress, &ignored) == NERO_OK) {
        fits = class_fits(job, progress.numeric_class, "its checkpoint");
    }
    progress_fini(&progress);
    return fits;
}

static bool take_over(struct runner_job *job)
{
    struct nero_err err;

    while (chain_takeover(job->chain, job->claim->token, job->claim->nonce, job->claim->redis_ms,
                          job->env->key, &err) != NERO_OK) {
        if (!runner_job_again(job, "take the job over", &err)) {
            return runner_job_give_up(job, "take the job over", &err);
        }
    }
    return true;
}

bool runner_job_open(struct runner_job *job)
{
    const struct chain_entry *terminal;
    struct nero_err err;

    if (!verify_job(job)) {
        return false;
    }
    while (chain_open(job->env->store, job->env->trust, &job->claim->job, job->envelope,
                      &job->chain, &err) != NERO_OK) {
        job->chain = NULL;
        if (!runner_job_again(job, "open the chain", &err)) {
            return runner_job_give_up(job, "open the chain", &err);
        }
    }
    runner_ckpt_log_damage(job->chain, &job->where);
    terminal = chain_terminal(job->chain);
    if (terminal != NULL) {
        return runner_job_finish_as(job, RUNNER_JOB_KNOWN, "slot %" PRIu64 " is %s already",
                                    terminal->number, slot_kind_name(terminal->slot.kind));
    }
    if (!check_class(job) || !take_over(job)) {
        return false;
    }
    runner_finish_lives(job->chain, &job->env->key->id, job->env->lives);
    runner_beat_touch(job->beat);
    if (job->spec_fault[0] != 0) {
        return runner_job_fail(job, "spec: %.200s", job->spec_fault);
    }
    return true;
}

/* ---- trainer ---- */

/* Bytes that come in are life; those that came in a former try of the same input were counted. */
static void note_read(void *context, uint64_t bytes)
{
    struct runner_job *job = context;

    if (bytes > job->furthest) {
        job->furthest = bytes;
        runner_beat_touch(job->beat);
    }
}

static void have_read(struct runner_job *job)
{
    job->furthest = 0;
    runner_beat_touch(job->beat);
}

static bool load_inputs(struct runner_job *job)
{
    const struct storage_progress reading = {.made = note_read, .context = job};
    struct nero_err err;

    while (runner_data_load(job->env->data, &job->spec.protocol.dataset, &reading, &job->dataset,
                            &err) != NERO_OK) {
        if (!runner_job_again(job, "load the data set", &err)) {
            return runner_job_give_up(job, "load the data set", &err);
        }
    }
    have_read(job);
    while (job->spec.has_continue_from &&
           runner_data_state(job->env->data, job->claim->run, &job->spec.continue_from,
                             RUNNER_CKPT_STATE_BYTES_MAX, &reading, &job->continue_from,
                             &err) != NERO_OK) {
        if (!runner_job_again(job, "get what the job continues from", &err)) {
            return runner_job_give_up(job, "get what the job continues from", &err);
        }
    }
    have_read(job);
    return true;
}

static bool make_trainer(struct runner_job *job)
{
    struct trainer_options options = {.spec = &job->spec,
                                      .job = job->claim->job,
                                      .dataset = job->dataset,
                                      .backend = job->env->backend,
                                      .shards = job->env->shards,
                                      .threads = job->env->threads,
                                      .clock = job->env->clock,
                                      .continue_from = bytes_as_view(&job->continue_from)};
    struct nero_err err;

    if (trainer_create(&options, &job->trainer, &err) == NERO_OK) {
        runner_beat_touch(job->beat);
        return class_fits(job, trainer_numeric_class(job->trainer), "the engine");
    }
    job->trainer = NULL;
    switch (err.status) {
    case NERO_INVALID:
    case NERO_TOO_BIG:
    case NERO_CORRUPT: /* its bytes are what the signed spec names, so it is the job's fault */
        return runner_job_fail(job, "%.250s", err.message);
    default: /* no memory, device trouble, another version: never a result */
        return runner_job_give_up(job, "build the network", &err);
    }
}

/* False: the checkpoint just found is of no use; the trainer is gone. */
static bool try_restore(struct runner_job *job, const struct chain_entry *from,
                        struct nero_err *err)
{
    if (trust_run(job->env->trust)->resume_policy == RUN_ANY_CLASS) {
        /* The run allows it; the change stays visible between two signed checkpoints. */
        (void)snprintf(job->progress.numeric_class, sizeof job->progress.numeric_class, "%s",
                       job->env->numeric_class);
    }
    if (trainer_restore(job->trainer, &job->progress, bytes_as_view(&job->state), err) == NERO_OK) {
        job->owner.has_restored_from = true;
        job->owner.restored_from = from->hash;
        job->units = job->progress.units;
        job->units_taken = job->progress.units;
        job->report.committed = job->progress.units;
        job->report.slot = from->number;
        bytes_fini(&job->state); /* as large as one of the buffers that come next */
        return true;
    }
    trainer_destroy(job->trainer); /* may be half restored */
    job->trainer = NULL;
    return false;
}

/* Newest first; one that does not restore is named and passed over. */
static bool restore(struct runner_job *job)
{
    const struct chain_entry *below = NULL;
    const struct chain_entry *found = NULL;
    const struct storage_progress reading = {.made = note_read, .context = job};
    uint32_t passed = 0;
    struct nero_err err;

    for (;;) {
        enum nero_status status =
            runner_ckpt_find(job->chain, job->env->store, job->claim->run, below, &job->where,
                             &reading, &job->progress, &job->state, &found, &passed, &err);

        if (status == NERO_NOT_FOUND) {
            break;
        }
        if (status != NERO_OK) {
            if (!runner_job_again(job, "read a checkpoint", &err)) {
                return runner_job_give_up(job, "read a checkpoint", &err);
            }
            continue;
        }
        have_read(job);
        if (trust_run(job->env->trust)->resume_policy != RUN_ANY_CLASS &&
            !class_fits(job, job->progress.numeric_class, "its checkpoint")) {
            return false;
        }
        if (job->trainer == NULL && !make_trainer(job)) {
            return false;
        }
        if (try_restore(job, found, &err)) {
            log_line(LOG_INFO, "job.restored", &job->where,
                     "restored_from=%" PRIu64 " units=%" PRIu64 " passed_over=%u", found->number,
                     job->units, passed);
            return true;
        }
        if (err.status == NERO_NO_MEMORY || err.status == NERO_GPU) {
            return runner_job_give_up(job, "restore", &err);
        }
        log_line(LOG_WARN, "checkpoint.damaged", &job->where, "slot=%" PRIu64 " reason=\"%s\"",
                 found->number, err.message);
        below = found;
        passed++;
    }
    if (passed > 0) {
        log_line(LOG_WARN, "job.from_start", &job->where, "no checkpoint of %u is whole", passed);
    }
    return job->trainer != NULL || make_trainer(job);
}

bool runner_job_prepare(struct runner_job *job)
{
    return load_inputs(job) && restore(job);
}
