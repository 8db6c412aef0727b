/* The audit of jobs: spec, chain, result index, blobs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/chain.h"
#include "nero/job.h"
#include "nero/mem.h"
#include "nero/progress.h"

#include "audit_state.h"

enum { AUDIT_BLOB_BYTES_MAX = 1 << 30 };

/* ---- the list of jobs ---- */

static int compare_jobs(const void *a, const void *b)
{
    const struct audit_job *left = a;
    const struct audit_job *right = b;

    return hash_compare(&left->id, &right->id);
}

struct audit_job *audit_job(struct audit *audit, const struct hash *id)
{
    struct audit_job wanted = {.id = *id};

    return audit->job_count == 0
               ? NULL
               : bsearch(&wanted, audit->jobs, audit->job_count, sizeof *audit->jobs, compare_jobs);
}

static bool names_job(enum place_kind kind)
{
    return kind == PLACE_SPEC || kind == PLACE_SLOT || kind == PLACE_RESULT;
}

enum nero_status audit_collect(struct audit *audit, struct nero_err *err)
{
    size_t unique = 0;

    audit->jobs = mem_calloc(audit->object_count, sizeof *audit->jobs);
    if (audit->jobs == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the list of jobs");
    }
    for (size_t i = 0; i < audit->object_count; i++) {
        const struct audit_object *object = &audit->objects[i];
        const struct hash *id = &object->place.hash;

        /* Slots of one job follow each other: one entry of them is enough. */
        if (object->placed && names_job(object->place.kind) &&
            (audit->job_count == 0 || !hash_equal(&audit->jobs[audit->job_count - 1].id, id))) {
            audit->jobs[audit->job_count++].id = *id;
        }
    }
    qsort(audit->jobs, audit->job_count, sizeof *audit->jobs, compare_jobs);
    for (size_t i = 0; i < audit->job_count; i++) {
        if (unique == 0 || !hash_equal(&audit->jobs[unique - 1].id, &audit->jobs[i].id)) {
            audit->jobs[unique++] = audit->jobs[i];
        }
    }
    audit->job_count = unique;
    return NERO_OK;
}

/* What a pass over one chain needs. */
struct walk {
    struct audit *audit;
    struct audit_job *job;
    const struct job_spec *spec;
    const struct chain *chain;
    bool attempts;                       /* attempt mode */
    bool damaged;                        /* some slot does not count */
    char numeric_class[JOB_CLASS_BYTES]; /* of the first checkpoint, of its row with rows */
    bool has_owner;
    struct key_id owner; /* who signed the newest takeover */
};

/* ---- blobs ---- */

static enum nero_status hash_blob(struct audit *audit, const char *key, const struct hash *hash,
                                  const char *owner, struct nero_err *err)
{
    struct bytes content;
    struct hash found;
    bool good;
    enum nero_status status;

    bytes_init(&content, AUDIT_BLOB_BYTES_MAX);
    status = audit_read(audit, key, owner, &content, &good, err);
    if (status == NERO_OK && good) {
        found = hash_of(bytes_as_view(&content));
        audit->report->blob_bytes += content.bytes;
        if (!hash_equal(&found, hash)) {
            audit_say(audit, key, "its content has another hash than its name (named by %s)",
                      owner);
        }
    }
    bytes_fini(&content);
    return status;
}

enum nero_status audit_blob(struct audit *audit, const char *key, const struct hash *hash,
                            uint64_t bytes, const char *owner, struct nero_err *err)
{
    struct audit_object *object = audit_object(audit, key);
    struct storage_info info = {.bytes = object != NULL ? object->bytes : 0};
    enum nero_status status = NERO_OK;

    if (audit->options->level == AUDIT_REPLAY) {
        return NERO_OK;
    }
    if (object == NULL) { /* a data set's, or written after the listing */
        status = storage_head(audit->store, key, &info, err);
        if (status == NERO_NOT_FOUND) {
            audit_say(audit, key, "is missing: %s names it", owner);
            return NERO_OK;
        }
        if (status != NERO_OK) {
            struct nero_err reason = *err;

            return audit_judge(audit, key, "cannot be read", &reason, err);
        }
    } else {
        object->seen = true;
    }
    if (info.bytes != bytes) {
        audit_say(audit, key, "has %" PRIu64 " bytes, %s says %" PRIu64, info.bytes, owner, bytes);
        return NERO_OK;
    }
    if (audit->options->skip_blobs || (object != NULL && object->hashed)) {
        return NERO_OK;
    }
    if (object != NULL) {
        object->hashed = true;
    }
    return hash_blob(audit, key, hash, owner, err);
}

/* Collected, as a signed record says, and nothing that must be kept. */
static bool may_be_gone(const struct walk *walk, const struct chain_entry *entry,
                        const struct slot_blob *blob)
{
    return !chain_keeps_blobs(walk->chain, entry) &&
           collections_find(&walk->audit->collections, &blob->hash) != NULL;
}

static enum nero_status check_blobs(struct walk *walk, const char *key,
                                    const struct chain_entry *entry, struct nero_err *err)
{
    struct audit *audit = walk->audit;
    const struct slot *slot = &entry->slot;
    enum nero_status status = NERO_OK;

    for (uint32_t i = 0; i < slot->blob_count && status == NERO_OK; i++) {
        char blob[LAYOUT_KEY_BYTES];

        layout_blob(blob, audit->run, &slot->blobs[i].hash);
        if (audit_object(audit, blob) == NULL && may_be_gone(walk, entry, &slot->blobs[i])) {
            audit->report->blobs_collected++;
            continue;
        }
        status = audit_blob(audit, blob, &slot->blobs[i].hash, slot->blobs[i].bytes, key, err);
    }
    return status;
}

/* ---- the spec ---- */

/*
 * The genotype that rides along is that of the phenotype. A spec may come without; that of a single
 * evaluation is the run record's, which keeps no structure to decode it by.
 */
static enum nero_status check_genotype(struct audit *audit, const char *key,
                                       const struct job_spec *spec, struct bytes_view encoded,
                                       struct nero_err *err)
{
    struct nero_err reason;
    struct genotype genotype;
    struct phenotype phenotype;
    struct bytes ours;
    struct bytes theirs;
    enum nero_status status;

    if (trust_run(audit->trust)->strategy == RUN_SINGLE) {
        struct job_record record;

        status = job_record_decode(trust_run(audit->trust)->single_job, &record, &reason);
        if (status == NERO_OK && !bytes_view_equal(record.genotype, encoded)) {
            audit_say(audit, key, "its genotype is not that of the run record");
        }
        return NERO_OK;
    }
    if (encoded.bytes == 0 || !audit->has_grammar || !audit->has_dataset) {
        return NERO_OK;
    }
    status = genotype_decode(encoded, &genotype, &reason);
    if (status == NERO_OK) {
        status = evolve_decode(&audit->evolve, &genotype, &phenotype, &reason);
        genotype_fini(&genotype);
    }
    if (status != NERO_OK) {
        return audit_judge(audit, key, "its genotype does not decode", &reason, err);
    }
    bytes_init(&ours, PHENOTYPE_BYTES_MAX);
    bytes_init(&theirs, PHENOTYPE_BYTES_MAX);
    status = phenotype_encode(&phenotype, &ours, err);
    if (status == NERO_OK) {
        status = phenotype_encode(&spec->phenotype, &theirs, err);
    }
    if (status == NERO_OK && !bytes_view_equal(bytes_as_view(&ours), bytes_as_view(&theirs))) {
        audit_say(audit, key, "its phenotype is not what its genotype decodes to");
    }
    bytes_fini(&ours);
    bytes_fini(&theirs);
    phenotype_fini(&phenotype);
    return status;
}

/* *good: the spec is its name's, and *spec is filled. */
static enum nero_status open_spec(struct audit *audit, const char *key, const struct hash *id,
                                  struct bytes_view payload, struct job_spec *spec, bool *good,
                                  struct nero_err *err)
{
    struct nero_err reason;
    struct job_record record;
    struct hash found;

    *good = false;
    if (job_record_decode(payload, &record, &reason) != NERO_OK) {
        return audit_judge(audit, key, "is no job", &reason, err);
    }
    found = job_id(record.spec);
    if (!hash_equal(&found, id)) {
        audit_say(audit, key, "holds another job than its name says");
        return NERO_OK;
    }
    if (job_spec_decode(record.spec, spec, &reason) != NERO_OK) {
        return audit_judge(audit, key, "is no job", &reason, err);
    }
    *good = true;
    audit_job(audit, id)->kind = spec->kind;
    return check_genotype(audit, key, spec, record.genotype, err);
}

/* ---- the chain ---- */

/* A bad slot: say it, and if its signer has no certificate, name that too. */
static void say_fault(struct audit *audit, const char *key, const struct chain_entry *entry)
{
    struct envelope envelope;
    struct nero_err ignored;
    struct key_id run_key = key_id_of(trust_run_key(audit->trust));
    char certificate[LAYOUT_KEY_BYTES];

    audit_say(audit, key, "does not count: %s", entry->fault);
    if (envelope_parse(entry->stored, ENVELOPE_SLOT, &envelope, &ignored) != NERO_OK ||
        memcmp(&envelope.key, &run_key, sizeof run_key) == 0) {
        return;
    }
    layout_certificate(certificate, audit->run, &envelope.key);
    if (audit_object(audit, certificate) == NULL) {
        audit_say(audit, certificate, "is missing: %s is signed by this key", key);
    }
}

static enum nero_status check_progress(struct walk *walk, const char *key, const struct slot *slot,
                                       struct nero_err *err)
{
    const struct run_record *record = trust_run(walk->audit->trust);
    struct nero_err reason;
    struct progress progress;

    progress_init(&progress);
    if (progress_decode(slot->body, &progress, &reason) != NERO_OK) {
        return audit_judge(walk->audit, key, "is a checkpoint without progress", &reason, err);
    }
    if (walk->numeric_class[0] == 0) {
        memcpy(walk->numeric_class, progress.numeric_class, sizeof walk->numeric_class);
    } else if (record->resume_policy == RUN_SAME_CLASS &&
               strcmp(walk->numeric_class, progress.numeric_class) != 0) {
        audit_say(walk->audit, key, "went on in numeric class %.80s, the job began in %.80s",
                  progress.numeric_class, walk->numeric_class);
    }
    progress_fini(&progress);
    return NERO_OK;
}

static void check_restored(const struct walk *walk, const char *key, const struct slot *slot)
{
    const struct chain_entry *from;

    if (!slot->has_restored_from) {
        return;
    }
    from = chain_find(walk->chain, &slot->restored_from);
    /* One that has been damaged since has other bytes, and is named. */
    if (from == NULL ? !walk->damaged : from->valid && from->slot.kind != SLOT_CHECKPOINT) {
        audit_say(walk->audit, key, "was restored from a slot that is no checkpoint of the job");
    }
}

/* Token and nonce of a takeover can be read by all; only the key tells who goes on with it. */
static void check_owner(struct walk *walk, const char *key, const struct chain_entry *entry)
{
    if (entry->slot.kind == SLOT_TAKEOVER) {
        walk->has_owner = true;
        walk->owner = entry->signer;
    } else if (walk->has_owner && memcmp(&walk->owner, &entry->signer, sizeof walk->owner) != 0) {
        audit_say(walk->audit, key, "is signed by another runner than the takeover before it");
    }
}

/* The epoch in which the token was given must be one of the run's. A control slot's token is of its
 * leader's epoch, or that of the slot before; it may have had none. */
static void check_token(const struct walk *walk, const char *key, const struct chain_entry *entry)
{
    uint64_t epoch = entry->slot.token >> 32;
    char missing[LAYOUT_KEY_BYTES];

    if (epoch > walk->audit->epochs || (epoch == 0 && !entry->by_scheduler)) {
        layout_epoch(missing, walk->audit->run, epoch);
        audit_say(walk->audit, missing, "is missing: the token of %s was given in it", key);
    }
}

static enum nero_status check_final(struct walk *walk, const char *key,
                                    const struct chain_entry *entry, struct nero_err *err)
{
    struct audit *audit = walk->audit;
    struct audit_end *end = &walk->job->ends[walk->job->end_count - 1];
    struct bytes_view outcome_bytes;
    struct nero_err reason;
    struct result result;

    result_init(&result);
    if (result_decode(entry->slot.body, &result, &outcome_bytes, &reason) != NERO_OK) {
        return audit_judge(audit, key, "is final without a result", &reason, err);
    }
    if (memcmp(result.provenance.runner, entry->signer.data, sizeof entry->signer.data) != 0) {
        audit_say(audit, key, "says that another runner made the result than signed it");
    }
    audit_outcome(audit, key, walk->spec, &entry->slot, &result.outcome);
    audit->report->results++;
    end->outcome_bytes = hash_of(outcome_bytes);
    end->outcome = result.outcome;
    end->outcome.histogram = NULL; /* what decisions need is in the counts */
    end->outcome.class_count = 0;
    end->outcome.curve = NULL;
    end->outcome.epoch_count = 0;
    result_fini(&result);
    return NERO_OK;
}

static enum nero_status keep_end(struct audit_job *job, const struct chain_entry *entry,
                                 struct nero_err *err)
{
    struct audit_end *ends = mem_realloc_array(job->ends, job->end_count + 1, sizeof *ends);

    if (ends == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a terminal slot");
    }
    job->ends = ends;
    ends[job->end_count] = (struct audit_end){.kind = entry->slot.kind, .slot = entry->hash};
    memcpy(ends[job->end_count].text, entry->slot.text, sizeof ends->text);
    job->end_count++;
    return NERO_OK;
}

static enum nero_status check_slot(struct walk *walk, const struct chain_entry *entry,
                                   struct nero_err *err)
{
    struct audit *audit = walk->audit;
    char key[LAYOUT_KEY_BYTES];
    struct audit_object *object;
    enum nero_status status = NERO_OK;

    chain_key(walk->chain, entry, key);
    object = audit_object(audit, key);
    if (object != NULL) {
        object->seen = true;
    }
    audit->report->slots++;
    if (walk->attempts && entry->number == 0) {
        walk->numeric_class[0] = 0;
        walk->has_owner = false;
    }
    if (!entry->valid) {
        say_fault(audit, key, entry);
        walk->has_owner = false; /* it may have been a takeover */
        return NERO_OK;
    }
    audit->report->signatures++;
    audit_met(audit, &entry->hash);
    walk->job->ran = walk->job->ran || !entry->by_scheduler;
    check_token(walk, key, entry);
    if (!entry->by_scheduler) {
        check_owner(walk, key, entry);
    }
    check_restored(walk, key, &entry->slot);
    if (slot_is_terminal(entry->slot.kind)) {
        status = keep_end(walk->job, entry, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (entry->slot.kind == SLOT_CHECKPOINT) {
        status = check_progress(walk, key, &entry->slot, err);
    } else if (entry->slot.kind == SLOT_FINAL) {
        status = check_final(walk, key, entry, err);
    }
    return status == NERO_OK ? check_blobs(walk, key, entry, err) : status;
}

/* The first number of the row that has no object before that of `place`. */
static void missing_before(struct audit *audit, const struct place *place,
                           char out[LAYOUT_KEY_BYTES])
{
    uint64_t number = place->number;
    char before[LAYOUT_KEY_BYTES];

    do {
        number--;
        place_slot_key(place, number, out);
        place_slot_key(place, number - 1, before);
    } while (number > 0 && audit_object(audit, before) == NULL);
}

/* Slots that the listing has beyond the end of a dense row: one is missing before them. */
static void check_dense(struct audit *audit, const struct audit_job *job)
{
    bool attempts = trust_run(audit->trust)->store_mode == RUN_ATTEMPTS;
    const struct place *told = NULL; /* of the row that was told last */
    char missing[LAYOUT_KEY_BYTES];

    layout_slot(missing, audit->run, &job->id, 0);
    for (size_t i = audit_lower(audit, missing); i < audit->object_count; i++) {
        struct audit_object *object = &audit->objects[i];
        const struct place *place = &object->place;

        if (!object->placed || place->kind != PLACE_SLOT || !hash_equal(&place->hash, &job->id)) {
            break;
        }
        if (object->seen || place->number == 0 || place->in_row != attempts) {
            continue; /* what the run's mode has no place for is not seen by anybody */
        }
        if (told == NULL || told->token != place->token || told->nonce != place->nonce) {
            missing_before(audit, place, missing);
            audit_say(audit, missing, "is missing: slot %" PRIu64 " of the job is there",
                      place->number);
            told = place;
        }
        object->seen = true;
    }
}

void audit_next_slot(const struct audit *audit, const struct audit_job *job,
                     char out[LAYOUT_KEY_BYTES])
{
    if (trust_run(audit->trust)->store_mode == RUN_ATTEMPTS) {
        layout_attempts(out, audit->run, &job->id);
    } else {
        layout_slot(out, audit->run, &job->id, job->slots);
    }
}

static bool has_damage(const struct chain *chain)
{
    uint64_t count = chain_count(chain);

    for (uint64_t i = 0; i < count; i++) {
        if (!chain_at(chain, i)->valid) {
            return true;
        }
    }
    return false;
}

static enum nero_status walk_chain(struct walk *walk, const struct hash *envelope,
                                   struct nero_err *err)
{
    const struct chain_entry *terminal = chain_terminal(walk->chain);
    struct audit_job *job = walk->job;
    enum nero_status status = NERO_OK;

    walk->attempts = trust_run(walk->audit->trust)->store_mode == RUN_ATTEMPTS;
    walk->damaged = has_damage(walk->chain);
    job->slots = chain_count(walk->chain);
    for (uint64_t i = 0; i < job->slots && status == NERO_OK; i++) {
        status = check_slot(walk, chain_at(walk->chain, i), err);
    }
    if (status != NERO_OK) {
        return status;
    }
    job->told = true;
    for (uint32_t i = 0; i < job->end_count && terminal != NULL; i++) {
        job->end = hash_equal(&job->ends[i].slot, &terminal->hash) ? &job->ends[i] : job->end;
    }
    return walk->attempts ? audit_forks(walk->audit, job, walk->chain, envelope, err) : NERO_OK;
}

/* ---- the result index ---- */

/* The copy is of the final slot; in attempt mode of one of them. */
static bool is_copy(const struct audit_job *job, struct bytes_view stored)
{
    struct hash hash = hash_of(stored);
    bool found = false;

    for (uint32_t i = 0; i < job->end_count && !found; i++) {
        found = job->ends[i].kind == SLOT_FINAL && hash_equal(&job->ends[i].slot, &hash);
    }
    return found;
}

/* Attempt mode: what the copy itself says of where it was copied from. */
static void name_original(const struct audit *audit, struct bytes_view stored,
                          char key[LAYOUT_KEY_BYTES])
{
    struct envelope envelope;
    struct nero_err ignored;
    struct slot slot;

    if (trust_run(audit->trust)->store_mode == RUN_ATTEMPTS &&
        envelope_parse(stored, ENVELOPE_SLOT, &envelope, &ignored) == NERO_OK &&
        slot_decode(envelope.payload, &slot, &ignored) == NERO_OK) {
        layout_attempt_slot(key, audit->run, &slot.job, slot.token, slot.nonce, slot.number);
    }
}

static enum nero_status check_index(struct audit *audit, const struct audit_job *job,
                                    const struct chain *chain, struct nero_err *err)
{
    const struct chain_entry *terminal = chain_terminal(chain);
    bool final = terminal != NULL && terminal->slot.kind == SLOT_FINAL;
    char key[LAYOUT_KEY_BYTES];
    char slot[LAYOUT_KEY_BYTES];
    struct audit_object *object;
    struct bytes stored;
    bool good;
    enum nero_status status;

    layout_result(key, audit->run, &job->id);
    object = audit_object(audit, key);
    if (!final && object == NULL) {
        return NERO_OK;
    }
    if (final) {
        chain_key(chain, terminal, slot);
    } else {
        audit_next_slot(audit, job, slot);
    }
    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    status = audit_read(audit, key, slot, &stored, &good, err);
    if (status == NERO_OK && !final) {
        name_original(audit, bytes_as_view(&stored), slot);
        audit_say(audit, slot, "is missing: %s is a result, but the job's chain ends without one",
                  key);
    } else if (status == NERO_OK && good && !is_copy(job, bytes_as_view(&stored))) {
        audit_say(audit, key, "is not the copy of %s", slot);
    }
    bytes_fini(&stored);
    return status;
}

/* ---- one job ---- */

static enum nero_status tell_chain(struct walk *walk, struct bytes_view payload,
                                   struct nero_err *err)
{
    const struct audit_options *options = walk->audit->options;
    struct audit_chain told = {.job = &walk->job->id, .spec = walk->spec, .chain = walk->chain};

    if (options->chain == NULL) {
        return NERO_OK;
    }
    return job_record_decode(payload, &told.record, err) == NERO_OK
               ? options->chain(options->context, &told, err)
               : err->status;
}

/* The spec is gone or damaged, or a slot cannot be read: the chain hangs in the air, and is not
 * judged further. */
static void pass_chain(struct audit *audit, const struct audit_job *job)
{
    char key[LAYOUT_KEY_BYTES];
    struct audit_object *result;

    layout_result(key, audit->run, &job->id);
    result = audit_object(audit, key);
    if (result != NULL) {
        result->seen = true;
    }
    layout_slot(key, audit->run, &job->id, 0);
    for (size_t i = audit_lower(audit, key); i < audit->object_count; i++) {
        struct audit_object *object = &audit->objects[i];

        if (!object->placed || object->place.kind != PLACE_SLOT ||
            !hash_equal(&object->place.hash, &job->id)) {
            break;
        }
        object->seen = true;
    }
}

static enum nero_status cannot_read(struct audit *audit, const struct audit_job *job,
                                    struct nero_err *err)
{
    struct nero_err reason = *err;
    char key[LAYOUT_KEY_BYTES];

    layout_slot(key, audit->run, &job->id, 0);
    strrchr(key, '/')[1] = 0;
    pass_chain(audit, job);
    return audit_judge(audit, key, "cannot be read", &reason, err);
}

/* `envelope` and its payload: the job as stored. */
static enum nero_status check_chain(struct audit *audit, struct audit_job *job,
                                    const struct job_spec *spec, struct bytes_view envelope,
                                    struct bytes_view payload, struct nero_err *err)
{
    struct walk walk = {.audit = audit, .job = job, .spec = spec};
    struct hash envelope_hash = hash_of(envelope);
    struct chain *chain;
    enum nero_status status =
        chain_open(audit->store, audit->trust, &job->id, envelope, &chain, err);

    if (status != NERO_OK) {
        return cannot_read(audit, job, err);
    }
    walk.chain = chain;
    status = walk_chain(&walk, &envelope_hash, err);
    if (status == NERO_OK) {
        status = check_index(audit, job, chain, err);
    }
    if (status == NERO_OK) {
        status = tell_chain(&walk, payload, err);
    }
    chain_close(chain);
    if (status == NERO_OK) {
        check_dense(audit, job);
    }
    return status;
}

static enum nero_status check_job(struct audit *audit, struct audit_job *job, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    struct bytes_view payload;
    struct job_spec spec;
    bool good;
    enum nero_status status;

    layout_spec(key, audit->run, &job->id);
    bytes_init(&stored, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    job_spec_init(&spec);
    status = audit_read_signed(audit, key, "the job has slots or a result", ENVELOPE_JOB, &stored,
                               &payload, &good, err);
    if (status == NERO_OK && good) {
        status = open_spec(audit, key, &job->id, payload, &spec, &job->has_spec, err);
    }
    audit->report->jobs += job->has_spec;
    if (status == NERO_OK && job->has_spec) {
        status = check_chain(audit, job, &spec, bytes_as_view(&stored), payload, err);
    } else if (status == NERO_OK) {
        pass_chain(audit, job);
    }
    job_spec_fini(&spec);
    bytes_fini(&stored);
    return status;
}

/* A runner had the job, so it was queued, so a batch recorded it before. */
static void check_submitted(struct audit *audit)
{
    char key[LAYOUT_KEY_BYTES];
    char spec[LAYOUT_KEY_BYTES];

    if (audit->report->batches != audit->batches) {
        return; /* a batch is missing or damaged and has been named */
    }
    layout_batch(key, audit->run, audit->batches);
    for (size_t i = 0; i < audit->job_count; i++) {
        const struct audit_job *job = &audit->jobs[i];

        if (job->ran && !job->in_batch) {
            layout_spec(spec, audit->run, &job->id);
            audit_say(audit, key, "is missing or does not name %s, which a runner worked on", spec);
        }
    }
}

enum nero_status audit_jobs(struct audit *audit, struct nero_err *err)
{
    for (size_t i = 0; i < audit->job_count; i++) {
        audit_tell(audit, "job", i, audit->job_count);
        if (check_job(audit, &audit->jobs[i], err) != NERO_OK) {
            char hex[HASH_HEX_BYTES];

            hash_to_hex(hex, &audit->jobs[i].id);
            return err_wrap(err, "job %.12s", hex);
        }
    }
    check_submitted(audit);
    return NERO_OK;
}
