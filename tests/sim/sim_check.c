#include "sim_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "nero/chain.h"
#include "nero/generation.h"
#include "nero/job.h"
#include "nero/layout.h"
#include "nero/progress.h"
#include "nero/queue.h"
#include "nero/result.h"
#include "nero/trust.h"
#include "sim_failing.h"
#include "sim_redis.h"
#include "sim_store.h"
#include "sim_trace.h"
#include "sim_trainer.h"
#include "sim_world.h"

/* One job as it lies in the store. */
struct job {
    const char *run;
    char name[13]; /* for messages */
    struct hash id;
    struct bytes envelope;
    struct job_spec spec;
    struct chain *chain;
};

enum { OPEN_MAX = 16 };

struct check {
    const char *run;
    struct trust *trust;
    uint64_t units_needed;
    uint32_t jobs;
    uint32_t given_up; /* of them, be it that they were tried again */
    /* Reopened when their failure was recorded already: nobody waits for them. */
    char open[OPEN_MAX][HASH_HEX_BYTES];
    uint32_t open_count;
};

/* ---- decisions ---- */

/* Without the hashes that bind slots and records: slots tell times and attempts. */
static enum nero_status add_decisions(struct bytes_view payload, struct bytes *all,
                                      struct nero_err *err)
{
    struct generation generation;
    enum nero_status status = generation_decode(payload, &generation, err);

    if (status == NERO_OK) {
        memset(&generation.prev, 0, sizeof generation.prev);
        for (uint32_t i = 0; i < generation.member_count; i++) {
            memset(&generation.members[i].slot, 0, sizeof generation.members[i].slot);
        }
        status = generation_encode(&generation, all, err);
        generation_fini(&generation);
    }
    return status;
}

static enum nero_status add_record(void *context, const char *key, uint64_t bytes,
                                   struct nero_err *err)
{
    struct bytes *all = context;
    struct envelope envelope;
    struct bytes stored;
    struct bytes made;
    enum nero_status status;

    (void)bytes;
    bytes_init(&stored, SIZE_MAX);
    bytes_init(&made, GENERATION_BYTES_MAX);
    status = storage_get(sim_store_inner(), key, &stored, NULL, err);
    if (status == NERO_OK) {
        status = envelope_parse(bytes_as_view(&stored), ENVELOPE_GENERATION, &envelope, err);
    }
    if (status == NERO_OK) {
        status = add_decisions(envelope.payload, &made, err);
    }
    if (status == NERO_OK) {
        status = bytes_printf(all, err, "%s\n", key);
    }
    if (status == NERO_OK) {
        status = bytes_append(all, made.data, made.bytes, err);
    }
    bytes_fini(&made);
    bytes_fini(&stored);
    return status;
}

struct hash sim_check_decisions(const char *run)
{
    char prefix[LAYOUT_KEY_BYTES];
    struct nero_err err;
    struct bytes all;
    struct hash hash;

    bytes_init(&all, SIZE_MAX);
    (void)snprintf(prefix, sizeof prefix, "runs/%s/gen/", run);
    if (storage_list_each(sim_store_inner(), prefix, add_record, &all, &err) != NERO_OK) {
        sim_trace_broken("read the generations: %s", err.message);
    }
    hash = hash_of(bytes_as_view(&all));
    bytes_fini(&all);
    return hash;
}

/* ---- a chain ---- */

/* R3: what a slot names was stored before it; nothing is deleted, so it is there. */
static void check_blobs(const struct job *job, const struct chain_entry *entry)
{
    for (uint32_t i = 0; i < entry->slot.blob_count; i++) {
        const struct slot_blob *blob = &entry->slot.blobs[i];
        struct nero_err err;
        struct bytes body;

        bytes_init(&body, SIZE_MAX);
        if (chain_get_blob(sim_store_inner(), job->run, &blob->hash, blob->bytes, NULL, &body,
                           &err) != NERO_OK) {
            sim_trace_broken("job %s: slot %" PRIu64 " names a blob that is not there", job->name,
                             entry->number);
        }
        bytes_fini(&body);
    }
}

static uint64_t units_of(const struct chain_entry *entry)
{
    struct progress progress;
    struct nero_err err;
    uint64_t units = 0;

    progress_init(&progress);
    if (progress_decode(entry->slot.body, &progress, &err) == NERO_OK) {
        units = progress.units;
    }
    progress_fini(&progress);
    return units;
}

/* The attempt that may write: who wrote the newest takeover. */
struct owner {
    const struct chain_entry *takeover;
    const struct chain_entry *from; /* the newest checkpoint below it: where it must have begun */
};

/* C3, and that an attempt began where the newest checkpoint stood: no work is lost but an
 * attempt's since its last commit. */
static void check_owned(const struct job *job, const struct chain_entry *entry,
                        const struct owner *owner)
{
    const struct slot *slot = &entry->slot;

    if (owner->takeover == NULL || owner->takeover->slot.token != slot->token ||
        owner->takeover->slot.nonce != slot->nonce ||
        memcmp(&owner->takeover->signer, &entry->signer, sizeof entry->signer) != 0) {
        sim_trace_broken("job %s: slot %" PRIu64 " is not by the owner", job->name, entry->number);
        return;
    }
    if (slot->has_restored_from != (owner->from != NULL) ||
        (slot->has_restored_from && !hash_equal(&slot->restored_from, &owner->from->hash))) {
        sim_trace_broken("job %s: slot %" PRIu64 " did not begin at the newest checkpoint",
                         job->name, entry->number);
    }
}

/* A checkpoint is beyond the one before it; or is it once more, by the same attempt, whose first
 * try took effect when it was not expected to any more. */
static bool grows(const struct chain_entry *entry, const struct chain_entry *newest,
                  const struct owner *owner)
{
    if (newest == NULL || units_of(entry) > units_of(newest)) {
        return true;
    }
    return units_of(entry) == units_of(newest) && owner->takeover != NULL &&
           newest->number > owner->takeover->number;
}

/* What closes a job or opens it again ends the attempt; the scheduler does it, or a runner whose
 * job has failed. */
static void check_control(const struct job *job, const struct chain_entry *entry,
                          struct owner *owner)
{
    if (!entry->by_scheduler) { /* then it has failed: a chain takes nothing else of a runner's */
        check_owned(job, entry, owner);
    }
    if (entry->slot.kind == SLOT_FAILED && sim_failing_count(&job->id) < QUEUE_FAILURES_MAX) {
        sim_trace_broken("job %s: given up after %u failures", job->name,
                         sim_failing_count(&job->id));
    }
    owner->takeover = NULL;
}

/* Whether the job was given up, and is open again since. */
static void find_failed(const struct chain *chain, bool *failed, bool *reopened)
{
    *failed = *reopened = false;
    for (uint64_t number = 0; number < chain_count(chain); number++) {
        enum slot_kind kind = chain_at(chain, number)->slot.kind;

        *failed = *failed || kind == SLOT_FAILED;
        *reopened = *failed && chain_terminal(chain) == NULL;
    }
}

static void check_slots(const struct job *job)
{
    struct owner owner = {.takeover = NULL};
    const struct chain_entry *newest = NULL;
    int32_t open = 1; /* less each terminal slot, and each opened again */
    uint64_t token = 0;

    for (uint64_t number = 0; number < chain_count(job->chain); number++) {
        const struct chain_entry *entry = chain_at(job->chain, number);

        if (!entry->valid) {
            sim_trace_broken("job %s: slot %" PRIu64 ": %s", job->name, number, entry->fault);
            continue;
        }
        if (entry->slot.token < token) {
            sim_trace_broken("job %s: the token falls at slot %" PRIu64, job->name, number);
        }
        token = entry->slot.token;
        switch (entry->slot.kind) {
        case SLOT_TAKEOVER:
            owner = (struct owner){.takeover = entry, .from = newest};
            break;
        case SLOT_CHECKPOINT:
        case SLOT_FINAL:
            check_owned(job, entry, &owner);
            break;
        default:
            check_control(job, entry, &owner);
        }
        if (entry->slot.kind == SLOT_CHECKPOINT) {
            if (!grows(entry, newest, &owner)) {
                sim_trace_broken("job %s: no progress at slot %" PRIu64, job->name, number);
            }
            newest = entry;
        }
        open += (entry->slot.kind == SLOT_REOPENED) - slot_is_terminal(entry->slot.kind);
        check_blobs(job, entry);
    }
    if (open != (chain_terminal(job->chain) == NULL)) {
        sim_trace_broken("job %s: %d terminal slots too few", job->name, open);
    }
}

/* C1: as many objects as slots read: no hole. */
static enum nero_status count_key(void *context, const char *key, uint64_t bytes,
                                  struct nero_err *err)
{
    uint64_t *count = context;

    (void)key;
    (void)bytes;
    (void)err;
    ++*count;
    return NERO_OK;
}

static void check_dense(const struct job *job)
{
    char key[LAYOUT_KEY_BYTES];
    uint64_t count = 0;
    struct nero_err err;

    layout_slot(key, job->run, &job->id, 0);
    *(strrchr(key, '/') + 1) = '\0';
    if (storage_list_each(sim_store_inner(), key, count_key, &count, &err) != NERO_OK ||
        count != chain_count(job->chain)) {
        sim_trace_broken("job %s: %" PRIu64 " slots stored, %" PRIu64 " in the chain", job->name,
                         count, chain_count(job->chain));
    }
}

/* ---- its result ---- */

static void check_outcome(struct check *check, const struct job *job,
                          const struct chain_entry *terminal)
{
    struct bytes continue_from;
    struct bytes wanted;
    struct bytes_view found;
    struct result made;
    struct result stored;
    struct nero_err err;
    uint64_t units;

    bytes_init(&continue_from, SIZE_MAX);
    bytes_init(&wanted, RESULT_BYTES_MAX);
    result_init(&made);
    result_init(&stored);
    if (job->spec.has_continue_from &&
        chain_get_blob(sim_store_inner(), job->run, &job->spec.continue_from, SIZE_MAX, NULL,
                       &continue_from, &err) != NERO_OK) {
        sim_trace_broken("job %s: what it continues from: %s", job->name, err.message);
    } else {
        sim_trainer_undisturbed(&job->spec, &job->id, bytes_as_view(&continue_from), &made.outcome,
                                &units);
        check->units_needed += units;
        if (result_outcome_encode(&made.outcome, &wanted, &err) != NERO_OK ||
            result_decode(terminal->slot.body, &stored, &found, &err) != NERO_OK ||
            !bytes_view_equal(bytes_as_view(&wanted), found)) {
            sim_trace_broken("job %s: another outcome than without faults", job->name);
        }
    }
    result_fini(&stored);
    result_fini(&made);
    bytes_fini(&wanted);
    bytes_fini(&continue_from);
}

static void check_copy(const struct job *job, const struct chain_entry *terminal)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err err;
    struct bytes copy;

    layout_result(key, job->run, &job->id);
    bytes_init(&copy, SIZE_MAX);
    if (storage_get(sim_store_inner(), key, &copy, NULL, &err) != NERO_OK ||
        !bytes_view_equal(bytes_as_view(&copy), terminal->stored)) {
        sim_trace_broken("job %s: result/ is no copy of the final slot", job->name);
    }
    bytes_fini(&copy);
}

/* ---- jobs ---- */

static bool open_job(struct check *check, const char *key, struct job *job)
{
    struct bytes_view payload;
    struct job_record record;
    struct nero_err err;

    job->run = check->run;
    job->chain = NULL;
    bytes_init(&job->envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    job_spec_init(&job->spec);
    if (hash_from_hex(&job->id, strrchr(key, '/') + 1, &err) != NERO_OK ||
        storage_get(sim_store_inner(), key, &job->envelope, NULL, &err) != NERO_OK ||
        trust_open_run_envelope(check->trust, bytes_as_view(&job->envelope), ENVELOPE_JOB, &payload,
                                &err) != NERO_OK ||
        job_record_decode(payload, &record, &err) != NERO_OK ||
        job_spec_decode(record.spec, &job->spec, &err) != NERO_OK ||
        chain_open(sim_store_inner(), check->trust, &job->id, bytes_as_view(&job->envelope),
                   &job->chain, &err) != NERO_OK) {
        sim_trace_broken("%s: %s", key, err.message);
        return false;
    }
    (void)snprintf(job->name, sizeof job->name, "%s", strrchr(key, '/') + 1);
    return true;
}

static enum nero_status check_job(void *context, const char *key, uint64_t bytes,
                                  struct nero_err *err)
{
    struct check *check = context;
    const struct chain_entry *terminal;
    struct job job;
    bool failed;
    bool reopened;

    (void)bytes;
    (void)err;
    check->jobs++;
    if (open_job(check, key, &job)) {
        terminal = chain_terminal(job.chain);
        check_slots(&job);
        check_dense(&job);
        find_failed(job.chain, &failed, &reopened);
        check->given_up += failed;
        if (reopened || (failed && terminal->slot.kind == SLOT_FAILED)) {
            sim_trace("job %s has failed for good%s", job.name, reopened ? ", and is open" : "");
            if (reopened && check->open_count < OPEN_MAX) {
                hash_to_hex(check->open[check->open_count++], &job.id);
            }
        } else if (terminal == NULL || terminal->slot.kind != SLOT_FINAL) {
            sim_trace_broken("job %s has no final slot", job.name);
        } else {
            check_outcome(check, &job, terminal);
            check_copy(&job, terminal);
        }
    }
    if (job.chain != NULL) {
        chain_close(job.chain);
    }
    job_spec_fini(&job.spec);
    bytes_fini(&job.envelope);
    return NERO_OK;
}

/* ---- the rest ---- */

static bool is_open(const struct check *check, const struct redis_model_text *key, size_t prefix)
{
    for (uint32_t i = 0; i < check->open_count; i++) {
        if (key->bytes == prefix + HASH_HEX_BYTES - 1 &&
            memcmp(key->data + prefix, check->open[i], HASH_HEX_BYTES - 1) == 0) {
            return true;
        }
    }
    return false;
}

static void check_redis(const struct check *check)
{
    const struct redis_model_data *data = redis_model_contents(sim_redis_model());
    char prefix[128];

    (void)snprintf(prefix, sizeof prefix, "n:{%s}:job:", check->run);
    for (size_t i = 0; i < data->count; i++) {
        const struct redis_model_text *key = &data->values[i].key;

        if (key->bytes > strlen(prefix) && memcmp(key->data, prefix, strlen(prefix)) == 0 &&
            !is_open(check, key, strlen(prefix))) {
            sim_trace_broken("Redis still holds %.*s", (int)key->bytes, key->data);
        }
    }
}

static void check_audit(const char *run)
{
    struct audit_options options = {.root = *sim_world_root()};
    struct audit_report report;
    struct nero_err err;

    if (audit_run(sim_store_inner(), run, &options, &report, &err) != NERO_OK) {
        sim_trace_broken("audit: %s", err.message);
        return;
    }
    if (report.finding_count > 0) {
        sim_trace_broken("audit: %s %s", report.findings[0].artifact, report.findings[0].what);
    }
    if (!report.finished) {
        sim_trace_broken("audit: not finished: %s", report.standing);
    }
    audit_report_fini(&report);
}

void sim_check(const char *run, const struct sim_check_wanted *wanted)
{
    struct check check = {.run = run};
    char prefix[LAYOUT_KEY_BYTES];
    struct nero_err err;

    if (trust_open(sim_store_inner(), run, sim_world_root(), &check.trust, &err) != NERO_OK) {
        sim_trace_broken("open the run: %s", err.message);
        return;
    }
    (void)snprintf(prefix, sizeof prefix, "runs/%s/spec/", run);
    if (storage_list_each(sim_store_inner(), prefix, check_job, &check, &err) != NERO_OK) {
        sim_trace_broken("read the jobs: %s", err.message);
    }
    trust_close(check.trust);
    /* The undisturbed run gives no job up; whether what was decided follows, the audit tells. */
    if (wanted->decisions != NULL && check.given_up == 0) {
        struct hash made = sim_check_decisions(run);

        if (!hash_equal(&made, wanted->decisions)) {
            sim_trace_broken("other decisions than without faults");
        }
    }
    if (wanted->exact && sim_trainer_units() != check.units_needed) {
        sim_trace_broken("%" PRIu64 " units done, %" PRIu64 " needed", sim_trainer_units(),
                         check.units_needed);
    }
    check_redis(&check);
    if (wanted->audit || check.given_up > 0) {
        check_audit(run);
    }
    sim_trace("%u jobs, %" PRIu64 " units done, %" PRIu64 " needed", check.jobs,
              sim_trainer_units(), check.units_needed);
}
