#include "submission.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/chain.h"
#include "nero/job.h"
#include "nero/layout.h"
#include "nero/mem.h"
#include "nero/run.h"

static enum nero_status remember(struct submission *submission, const struct hash *job,
                                 uint64_t order, uint32_t priority, struct nero_err *err)
{
    if (submission->entry_count == submission->entry_capacity) {
        size_t capacity = submission->entry_capacity == 0 ? 64 : submission->entry_capacity * 2;
        struct submission_entry *entries =
            mem_realloc_array(submission->entries, capacity, sizeof *entries);

        if (entries == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu submitted jobs", capacity);
        }
        submission->entries = entries;
        submission->entry_capacity = capacity;
    }
    submission->entries[submission->entry_count++] =
        (struct submission_entry){.job = *job, .order = order, .priority = priority};
    return NERO_OK;
}

static const struct submission_entry *find_entry(const struct submission *submission,
                                                 const struct hash *job)
{
    for (size_t i = submission->entry_count; i > 0; i--) {
        if (hash_equal(&submission->entries[i - 1].job, job)) {
            return &submission->entries[i - 1];
        }
    }
    return NULL;
}

static enum nero_status remember_batch(struct submission *submission, const struct run_batch *batch,
                                       struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (uint32_t i = 0; i < batch->count && status == NERO_OK; i++) {
        status = remember(submission, &batch->jobs[i].job, batch->number * RUN_BATCH_JOBS_MAX + i,
                          batch->jobs[i].priority, err);
    }
    return status;
}

/* Read batch `number`; not_found at the end of the dense sequence. */
static enum nero_status load_batch(struct submission *submission, uint64_t number,
                                   struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    struct bytes_view payload;
    struct run_batch batch;
    enum nero_status status;

    layout_batch(key, submission->lead->run, number);
    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    status = storage_get(submission->lead->store, key, &stored, NULL, err);
    if (status == NERO_OK) {
        status = trust_open_run_envelope(submission->trust, bytes_as_view(&stored), ENVELOPE_BATCH,
                                         &payload, err);
    }
    if (status == NERO_OK) {
        status = run_batch_decode(payload, &batch, err);
        if (status == NERO_OK) {
            status = remember_batch(submission, &batch, err);
            run_batch_fini(&batch);
        }
    }
    bytes_fini(&stored);
    if (status != NERO_OK) {
        return err_wrap(err, "submission batch %" PRIu64, number);
    }
    return NERO_OK;
}

enum nero_status submission_init(struct submission *submission, struct lead *lead,
                                 struct trust *trust, struct nero_err *err)
{
    enum nero_status status;

    memset(submission, 0, sizeof *submission);
    submission->lead = lead;
    submission->trust = trust;
    do {
        status = load_batch(submission, submission->next_batch, err);
        submission->next_batch += status == NERO_OK;
    } while (status == NERO_OK);
    if (status != NERO_NOT_FOUND) {
        submission_fini(submission);
        return status;
    }
    return NERO_OK;
}

void submission_fini(struct submission *submission)
{
    free(submission->entries);
    submission->entries = NULL;
    submission->entry_count = 0;
    submission->entry_capacity = 0;
}

enum nero_status submission_publish(struct submission *submission, struct bytes_view spec,
                                    struct bytes_view genotype, struct hash *job,
                                    struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    char key[LAYOUT_KEY_BYTES];
    struct bytes record;
    struct bytes stored;
    enum nero_status status;

    *job = job_id(spec);
    bytes_init(&record, JOB_BYTES_MAX);
    bytes_init(&stored, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = job_record_encode(spec, genotype, &record, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_JOB, bytes_as_view(&record), lead->run_key, &stored, err);
    }
    if (status == NERO_OK) {
        layout_spec(key, lead->run, job);
        status = storage_create_once(lead->store, key, bytes_as_view(&stored), err);
        /* Another genotype with the same phenotype was there first: the spec is the same work. */
        if (status == NERO_EXISTS) {
            status = NERO_OK;
        }
    }
    bytes_fini(&record);
    bytes_fini(&stored);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "publish a job");
}

static bool is_in(const struct run_batch_job *jobs, uint32_t count, const struct hash *job)
{
    for (uint32_t i = 0; i < count; i++) {
        if (hash_equal(&jobs[i].job, job)) {
            return true;
        }
    }
    return false;
}

/* Write the next batch with those of `jobs` that are in none. Nothing to record: nothing written.
 */
static enum nero_status record_batch(struct submission *submission, const struct hash *jobs,
                                     uint32_t count, uint32_t priority, struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    struct run_batch_job *fresh = mem_calloc(count, sizeof *fresh);
    struct run_batch batch = {.number = submission->next_batch, .jobs = fresh};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    enum nero_status status = NERO_OK;

    if (fresh == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a batch of %" PRIu32 " jobs", count);
    }
    (void)snprintf(batch.run, sizeof batch.run, "%s", lead->run);
    for (uint32_t i = 0; i < count; i++) {
        if (find_entry(submission, &jobs[i]) == NULL && !is_in(fresh, batch.count, &jobs[i])) {
            fresh[batch.count++] = (struct run_batch_job){.job = jobs[i], .priority = priority};
        }
    }
    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    if (batch.count > 0) {
        layout_batch(key, lead->run, batch.number);
        status = run_batch_encode(&batch, &payload, err);
        if (status == NERO_OK) {
            status =
                envelope_seal(ENVELOPE_BATCH, bytes_as_view(&payload), lead->run_key, &stored, err);
        }
        if (status == NERO_OK) {
            status = storage_create_once(lead->store, key, bytes_as_view(&stored), err);
        }
        if (status == NERO_EXISTS) {
            status =
                err_set(err, NERO_STALE, 0, "another scheduler wrote batch %" PRIu64, batch.number);
        }
        if (status == NERO_OK) {
            status = remember_batch(submission, &batch, err);
            submission->next_batch++;
        }
    }
    bytes_fini(&payload);
    bytes_fini(&stored);
    free(fresh);
    return status;
}

/* Queue one recorded job with the envelope as the bucket has it. */
static enum nero_status queue_one(struct submission *submission, const struct hash *job,
                                  struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    const struct submission_entry *entry = find_entry(submission, job);
    const char *numeric_class = trust_run(submission->trust)->numeric_class;
    char key[LAYOUT_KEY_BYTES];
    struct queue_item item = {.job = *job, .numeric_class = numeric_class};
    struct bytes stored;
    enum nero_status status;

    layout_spec(key, lead->run, job);
    bytes_init(&stored, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = storage_get(lead->store, key, &stored, NULL, err);
    if (status == NERO_OK) {
        item.envelope = bytes_as_view(&stored);
        item.order = entry->order;
        item.priority = entry->priority;
        status = queue_submit(lead->queue, lead->run, lead->epoch, &item, 1, NULL, err);
    }
    bytes_fini(&stored);
    return status;
}

enum nero_status submission_enqueue(struct submission *submission, const struct hash *jobs,
                                    uint32_t count, uint32_t priority, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    if (count > 0) {
        status = record_batch(submission, jobs, count, priority, err);
    }
    for (uint32_t i = 0; i < count && status == NERO_OK; i++) {
        status = queue_one(submission, &jobs[i], err);
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "submit jobs");
}

/* Open the chain of a job from what the bucket holds. */
static enum nero_status open_chain(struct submission *submission, const struct hash *job,
                                   struct bytes *envelope, struct chain **out, struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    char key[LAYOUT_KEY_BYTES];
    enum nero_status status;

    layout_spec(key, lead->run, job);
    status = storage_get(lead->store, key, envelope, NULL, err);
    if (status == NERO_OK) {
        status = chain_open(lead->store, submission->trust, job, bytes_as_view(envelope), out, err);
    }
    return status;
}

static enum nero_status read_terminal(const struct chain *chain, const struct hash *job,
                                      struct submission_look *out, struct nero_err *err)
{
    const struct chain_entry *terminal = chain_terminal(chain);

    out->slots = chain_count(chain);
    out->state = SUBMISSION_OPEN;
    if (terminal == NULL) {
        return NERO_OK;
    }
    out->slot = terminal->hash;
    (void)snprintf(out->text, sizeof out->text, "%s", terminal->slot.text);
    if (terminal->slot.kind != SLOT_FINAL) {
        out->state =
            terminal->slot.kind == SLOT_CANCELLED ? SUBMISSION_CANCELLED : SUBMISSION_FAILED;
        return NERO_OK;
    }
    if (result_decode(terminal->slot.body, &out->result, NULL, err) != NERO_OK) {
        return err->status;
    }
    if (!hash_equal(&out->result.outcome.job, job)) {
        return err_set(err, NERO_CORRUPT, 0, "the final slot holds another job's result");
    }
    out->state = SUBMISSION_FINAL;
    return NERO_OK;
}

/*
 * The copy under result/ is the runner's to write, right after its final slot; one that died
 * between the two leaves it to whoever leads. Readers (no epoch) write nothing.
 */
static enum nero_status index_result(struct submission *submission, const struct hash *job,
                                     const struct chain *chain, struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    const struct chain_entry *terminal = chain_terminal(chain);
    char key[LAYOUT_KEY_BYTES];
    enum nero_status status;

    if (lead->epoch == 0 || terminal == NULL || terminal->slot.kind != SLOT_FINAL) {
        return NERO_OK;
    }
    layout_result(key, lead->run, job);
    status = storage_head(lead->store, key, NULL, err);
    return status == NERO_NOT_FOUND ? storage_create_once(lead->store, key, terminal->stored, err)
                                    : status;
}

enum nero_status submission_look(struct submission *submission, const struct hash *job,
                                 struct submission_look *out, struct nero_err *err)
{
    struct bytes envelope;
    struct chain *chain = NULL;
    char hex[HASH_HEX_BYTES];
    enum nero_status status;

    bytes_init(&envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = open_chain(submission, job, &envelope, &chain, err);
    if (status == NERO_OK) {
        status = read_terminal(chain, job, out, err);
    }
    if (status == NERO_OK) {
        status = index_result(submission, job, chain, err);
    }
    chain_close(chain);
    bytes_fini(&envelope);
    if (status != NERO_OK) {
        hash_to_hex(hex, job);
        return err_wrap(err, "look at job %.12s", hex);
    }
    return NERO_OK;
}

enum nero_status submission_terminate(struct submission *submission, const struct hash *job,
                                      enum slot_kind kind, const char *why, struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    struct slot slot = {.kind = kind, .reason = SLOT_MANUAL};
    struct bytes envelope;
    struct chain *chain = NULL;
    enum nero_status status;

    (void)snprintf(slot.text, sizeof slot.text, "%s", why);
    bytes_init(&envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = open_chain(submission, job, &envelope, &chain, err);
    if (status == NERO_OK) {
        status = chain_append(chain, &slot, lead->run_key, NULL, err);
    }
    chain_close(chain);
    bytes_fini(&envelope);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "end a job as %s", slot_kind_name(kind));
}
