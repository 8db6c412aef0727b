#include "submission.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/chain.h"
#include "nero/job.h"
#include "nero/layout.h"
#include "nero/log.h"
#include "nero/mem.h"
#include "nero/run.h"

void submission_init(struct submission *submission, struct lead *lead, struct trust *trust)
{
    *submission = (struct submission){.lead = lead, .trust = trust};
}

enum nero_status submission_load(struct submission *submission, struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    enum nero_status status =
        backlog_open(lead->store, submission->trust, &submission->backlog, err);

    return status == NERO_OK ? submission_meet(submission, err) : status;
}

void submission_fini(struct submission *submission)
{
    backlog_close(submission->backlog);
    submission->backlog = NULL;
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

enum nero_status submission_record(struct submission *submission, const struct hash *jobs,
                                   uint32_t count, struct nero_err *err)
{
    uint32_t priority = run_batch_priority(trust_run(submission->trust));
    struct run_batch_job *items = mem_calloc(count, sizeof *items);
    enum nero_status status;

    if (items == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %" PRIu32 " jobs", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        items[i] = (struct run_batch_job){.job = jobs[i], .priority = priority};
    }
    status = backlog_record(submission->backlog, submission->lead->run_key, items, count, err);
    free(items);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "submit jobs");
}

enum nero_status submission_meet(struct submission *submission, struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    uint32_t removed;
    enum nero_status status =
        backlog_meet(submission->backlog, lead->queue, lead->epoch, &removed, err);

    if (status == NERO_OK) {
        log_line(LOG_INFO, "queue.met", &(struct log_context){.run = lead->run},
                 "jobs=%zu missing=%" PRIu64 " removed=%" PRIu32,
                 backlog_count(submission->backlog), backlog_waiting(submission->backlog), removed);
    }
    return status;
}

enum nero_status submission_fill(struct submission *submission, struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    struct backlog_fill fill = {.run = lead->run,
                                .epoch = lead->epoch,
                                .window_bytes = lead->window_bytes,
                                .lease_ms = lead->lease_ms};

    return backlog_fill(submission->backlog, lead->queue, &fill, NULL, err);
}

bool submission_waits(const struct submission *submission, const struct hash *job)
{
    const struct backlog_entry *entry = backlog_find(submission->backlog, job);

    return entry != NULL && entry->state == BACKLOG_WAITING;
}

void submission_lost(struct submission *submission, const struct hash *job)
{
    backlog_note_lost(submission->backlog, job);
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
                                      const struct hash *accepted, struct submission_look *out,
                                      struct nero_err *err)
{
    const struct chain_entry *named = accepted != NULL ? chain_find(chain, accepted) : NULL;
    const struct chain_entry *terminal =
        named != NULL && named->valid && slot_is_terminal(named->slot.kind) ? named
                                                                            : chain_terminal(chain);

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

static void note(struct backlog *backlog, const struct hash *job, const struct chain *chain,
                 const struct submission_look *look)
{
    const struct chain_entry *tail = chain_tail(chain);

    if (look->state == SUBMISSION_OPEN) {
        backlog_note_open(backlog, job, tail != NULL && !tail->by_scheduler,
                          chain_lost_attempts(chain));
    } else {
        backlog_note_done(backlog, job);
    }
}

enum nero_status submission_look(struct submission *submission, const struct hash *job,
                                 const struct hash *accepted, struct submission_look *out,
                                 struct nero_err *err)
{
    struct bytes envelope;
    struct chain *chain = NULL;
    char hex[HASH_HEX_BYTES];
    enum nero_status status;

    result_fini(&out->result);
    bytes_init(&envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = open_chain(submission, job, &envelope, &chain, err);
    if (status == NERO_OK) {
        status = read_terminal(chain, job, accepted, out, err);
    }
    if (status == NERO_OK) {
        status = index_result(submission, job, chain, err);
    }
    if (status == NERO_OK && submission->backlog != NULL) {
        note(submission->backlog, job, chain, out);
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
                                      uint64_t epoch, enum slot_kind kind, const char *why,
                                      struct nero_err *err)
{
    const struct lead *lead = submission->lead;
    struct slot slot = {.kind = kind, .token = CHAIN_EPOCH_TOKEN(epoch), .reason = SLOT_MANUAL};
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
