/* The audit of what surrounds the search: run record, data set, epochs, certificates, batches. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/keys.h"

#include "audit_state.h"
#include "dataset_store.h"

enum { AUDIT_CONTROL_BYTES_MAX = ENVELOPE_BYTES_MAX };

/* ---- run record and data set ---- */

static enum nero_status check_dataset(struct audit *audit, struct nero_err *err)
{
    const struct hash *id = &trust_run(audit->trust)->protocol.dataset;
    struct run_dataset *dataset = &audit->dataset;
    char key[LAYOUT_KEY_BYTES];
    char blob[LAYOUT_KEY_BYTES];
    uint64_t each;
    enum nero_status status = dataset_store_get(audit->store, id, dataset, err);

    layout_dataset(key, id);
    if (audit_is_verdict(status)) {
        audit_say(audit, key, "%s: %s", status == NERO_NOT_FOUND ? "is missing" : "is damaged",
                  err->message);
        return NERO_OK;
    }
    if (status != NERO_OK) {
        return status;
    }
    audit->has_dataset = true;
    if (audit->options->job != NULL) {
        return NERO_OK; /* its images are the run's */
    }
    audit->report->objects += 3;
    each = 1 + (uint64_t)dataset->channels * dataset->height * dataset->width;
    layout_data_blob(blob, &dataset->train);
    status = audit_blob(audit, blob, &dataset->train, each * dataset->train_count, key, err);
    if (status == NERO_OK) {
        layout_data_blob(blob, &dataset->test);
        status = audit_blob(audit, blob, &dataset->test, each * dataset->test_count, key, err);
    }
    return status;
}

static enum nero_status check_grammar(struct audit *audit, const char *key, struct nero_err *err)
{
    const struct run_record *record = trust_run(audit->trust);
    struct nero_err reason;

    if (record->strategy == RUN_SINGLE && record->grammar.bytes == 0) {
        return NERO_OK;
    }
    if (grammar_parse("grammar", record->grammar, &audit->grammar, &reason) != NERO_OK) {
        return audit_judge(audit, key, "holds no usable grammar", &reason, err);
    }
    audit->has_grammar = true;
    audit->evolve = (struct evolve_run){.record = record,
                                        .record_hash = trust_run_hash(audit->trust),
                                        .grammar = &audit->grammar,
                                        .channels = audit->dataset.channels,
                                        .height = audit->dataset.height,
                                        .width = audit->dataset.width,
                                        .classes = audit->dataset.classes,
                                        .test_count = audit->dataset.test_count};
    if (record->strategy != RUN_SINGLE && evolve_check(&audit->evolve, &reason) != NERO_OK) {
        grammar_fini(&audit->grammar);
        audit->has_grammar = false;
        return audit_judge(audit, key, "its search does not fit its grammar", &reason, err);
    }
    return NERO_OK;
}

enum nero_status audit_record(struct audit *audit, bool *trusted, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct audit_object *object;
    enum nero_status status =
        trust_open(audit->store, audit->run, &audit->options->root, &audit->trust, err);

    *trusted = status == NERO_OK;
    layout_run(key, audit->run);
    object = audit_object(audit, key);
    if (object != NULL) {
        object->seen = true;
    }
    if (status == NERO_NOT_FOUND) {
        audit_say(audit, key, "is missing: without it nothing of this run can be verified");
        return NERO_OK;
    }
    if (audit_is_verdict(status)) {
        audit_say(audit, key, "cannot be believed, nor anything below it: %s", err->message);
        return NERO_OK;
    }
    if (status != NERO_OK) {
        return status;
    }
    trust_judge_refusals(audit->trust);
    audit->report->signatures++;
    status = check_dataset(audit, err);
    return status == NERO_OK ? check_grammar(audit, key, err) : status;
}

/* ---- epochs and batches: dense, signed, in their place ---- */

/* One past the highest number among the objects of a kind. */
static uint64_t count_of(const struct audit *audit, enum place_kind kind)
{
    uint64_t count = 0;

    for (size_t i = 0; i < audit->object_count; i++) {
        const struct audit_object *object = &audit->objects[i];

        if (object->placed && object->place.kind == kind && object->place.number >= count) {
            count = object->place.number + 1;
        }
    }
    return count;
}

static uint64_t objects_of(const struct audit *audit, enum place_kind kind)
{
    uint64_t count = 0;

    for (size_t i = 0; i < audit->object_count; i++) {
        count += audit->objects[i].placed && audit->objects[i].place.kind == kind;
    }
    return count;
}

static enum nero_status check_epoch(struct audit *audit, uint64_t number, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err reason;
    struct run_epoch epoch;
    struct bytes stored;
    struct bytes_view payload;
    bool good;
    enum nero_status status;

    layout_epoch(key, audit->run, number);
    bytes_init(&stored, AUDIT_CONTROL_BYTES_MAX);
    status = audit_read_signed(audit, key, "a later epoch exists", ENVELOPE_EPOCH, &stored,
                               &payload, &good, err);
    if (status == NERO_OK && good) {
        if (run_epoch_decode(payload, &epoch, &reason) != NERO_OK) {
            status = audit_judge(audit, key, "is no epoch", &reason, err);
        } else if (strcmp(epoch.run, audit->run) != 0 || epoch.number != number) {
            audit_say(audit, key, "is epoch %" PRIu64 " of run %s", epoch.number, epoch.run);
        } else {
            audit->report->epochs++;
        }
    }
    bytes_fini(&stored);
    return status;
}

static void note_batch(struct audit *audit, const char *key, const struct run_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct hash *id = &batch->jobs[i].job;
        struct audit_job *job = audit_job(audit, id);
        char hex[HASH_HEX_BYTES];
        char spec[LAYOUT_KEY_BYTES];

        if (audit->options->job != NULL && !hash_equal(audit->options->job, id)) {
            continue; /* not what is asked for */
        }
        if (job == NULL) {
            layout_spec(spec, audit->run, id);
            audit_say(audit, spec, "is missing: %s submitted this job", key);
        } else if (job->in_batch) {
            hash_to_hex(hex, id);
            audit_say(audit, key, "submits job %s, which an earlier batch submitted", hex);
        } else {
            job->in_batch = true;
        }
    }
}

static enum nero_status check_batch(struct audit *audit, uint64_t number, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err reason;
    struct run_batch batch;
    struct bytes stored;
    struct bytes_view payload;
    bool good;
    enum nero_status status;

    layout_batch(key, audit->run, number);
    bytes_init(&stored, AUDIT_CONTROL_BYTES_MAX);
    status = audit_read_signed(audit, key, "a later batch exists", ENVELOPE_BATCH, &stored,
                               &payload, &good, err);
    if (status == NERO_OK && good) {
        if (run_batch_decode(payload, &batch, &reason) != NERO_OK) {
            status = audit_judge(audit, key, "is no batch", &reason, err);
        } else {
            if (strcmp(batch.run, audit->run) != 0 || batch.number != number) {
                audit_say(audit, key, "is batch %" PRIu64 " of run %s", batch.number, batch.run);
            } else {
                audit->report->batches++;
                note_batch(audit, key, &batch);
            }
            run_batch_fini(&batch);
        }
    }
    bytes_fini(&stored);
    return status;
}

/* A forged number far away must not make the audit look at everything below it. */
static uint64_t sane_count(struct audit *audit, enum place_kind kind, const char *what)
{
    uint64_t count = count_of(audit, kind);
    uint64_t most = 2 * objects_of(audit, kind) + 16;
    char prefix[LAYOUT_KEY_BYTES];

    if (count <= most) {
        return count;
    }
    layout_run_prefix(prefix, audit->run);
    audit_say(audit, prefix, "%s go up to %" PRIu64 " with gaps: most of them are missing", what,
              count - 1);
    return most;
}

/* ---- collected blobs ---- */

/* One that is missing or bad excuses nothing, nor does any after it. */
enum nero_status audit_collections(struct audit *audit, uint64_t count, struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    bool whole = true;

    for (uint64_t i = 0; i < count && status == NERO_OK; i++) {
        char key[LAYOUT_KEY_BYTES];
        struct nero_err reason;
        struct bytes stored;
        bool good;

        layout_collection(key, audit->run, i);
        bytes_init(&stored, AUDIT_CONTROL_BYTES_MAX);
        status = audit_read(audit, key, "a later record of its kind", &stored, &good, err);
        if (status == NERO_OK && good && whole) {
            if (collections_add(&audit->collections, audit->trust, bytes_as_view(&stored),
                                &reason) == NERO_OK) {
                audit->report->signatures++;
            } else {
                good = false;
                status = audit_judge(audit, key, "is no record of collected blobs", &reason, err);
            }
        }
        whole = whole && good;
        bytes_fini(&stored);
    }
    collections_sort(&audit->collections);
    return status;
}

/* ---- certificates ---- */

static enum nero_status check_certificate(struct audit *audit, struct audit_object *object,
                                          struct nero_err *err)
{
    struct keys_certificate certificate;
    struct nero_err reason;
    struct bytes stored;
    struct key_id id;
    bool good;
    enum nero_status status;

    bytes_init(&stored, AUDIT_CONTROL_BYTES_MAX);
    status = audit_read(audit, object->key, "it was listed", &stored, &good, err);
    if (status == NERO_OK && good) {
        if (keys_certificate_verify(bytes_as_view(&stored), trust_run_key(audit->trust), audit->run,
                                    &certificate, &reason) != NERO_OK) {
            status = audit_judge(audit, object->key, "is no certificate of this run", &reason, err);
        } else {
            audit->report->signatures++;
            audit->report->certificates++;
            id = key_id_of(&certificate.key);
            if (memcmp(&id, &object->place.key, sizeof id) != 0) {
                audit_say(audit, object->key, "is the certificate of another key");
            }
            if (certificate.not_after_ms < certificate.not_before_ms) {
                audit_say(audit, object->key, "ends before it begins");
            }
            if (certificate.epoch > audit->epochs || certificate.epoch == 0) {
                char epoch[LAYOUT_KEY_BYTES];

                layout_epoch(epoch, audit->run, certificate.epoch);
                audit_say(audit, epoch, "is missing: %s was issued in it", object->key);
            }
        }
    }
    bytes_fini(&stored);
    return status;
}

/* ---- all ---- */

/* Those who signed the slots of a job are verified with them: asked for that, no others are. */
static enum nero_status check_certificates(struct audit *audit, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    if (audit->options->job != NULL) {
        return NERO_OK;
    }
    for (size_t i = 0; i < audit->object_count && status == NERO_OK; i++) {
        struct audit_object *object = &audit->objects[i];

        if (object->placed && object->place.kind == PLACE_CERTIFICATE) {
            status = check_certificate(audit, object, err);
        }
    }
    return status;
}

enum nero_status audit_control(struct audit *audit, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    audit->batches = sane_count(audit, PLACE_BATCH, "batches");
    audit->epochs = sane_count(audit, PLACE_EPOCH, "epochs");
    audit->epochs -= audit->epochs > 0; /* they count from 1 */
    for (uint64_t i = 1; i <= audit->epochs && status == NERO_OK; i++) {
        status = check_epoch(audit, i, err);
    }
    if (status == NERO_OK) {
        status = check_certificates(audit, err);
    }
    if (status == NERO_OK && audit->options->job == NULL &&
        trust_run(audit->trust)->strategy != RUN_SINGLE) {
        status = audit_amendments(audit, sane_count(audit, PLACE_AMENDMENT, "amendments"), err);
    }
    if (status == NERO_OK) {
        status = audit_collections(
            audit, sane_count(audit, PLACE_COLLECTION, "records of collected blobs"), err);
    }
    for (uint64_t i = 0; i < audit->batches && status == NERO_OK; i++) {
        status = check_batch(audit, i, err);
    }
    return status;
}
