#include "nero/show.h"

#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "nero/genotype.h"
#include "record_impl.h"

/* ---- one function a record: pass over its fields, keep nothing ---- */

static void show_spec(struct record *r)
{
    struct job_spec spec;

    job_spec_init(&spec);
    job_spec_fields(r, &spec);
    job_spec_fini(&spec);
}

static void show_job(struct record *r)
{
    struct job_record job = {.spec = {NULL, 0}, .genotype = {NULL, 0}};

    job_record_fields(r, &job);
}

static void show_outcome(struct record *r)
{
    struct result result;

    result_init(&result);
    result_outcome_fields(r, &result.outcome);
    result_fini(&result);
}

static void show_result(struct record *r)
{
    struct bytes_view outcome = {NULL, 0};
    struct result_provenance provenance;

    memset(&provenance, 0, sizeof provenance);
    result_fields(r, &outcome, &provenance);
}

static void show_progress(struct record *r)
{
    struct progress progress;

    progress_init(&progress);
    progress_fields(r, &progress);
    progress_fini(&progress);
}

static void show_slot(struct record *r)
{
    struct slot slot;

    memset(&slot, 0, sizeof slot);
    slot_fields(r, &slot);
}

static void show_generation(struct record *r)
{
    struct generation generation;

    generation_init(&generation);
    generation_fields(r, &generation);
    generation_fini(&generation);
}

static void show_run(struct record *r)
{
    struct run_record run;

    memset(&run, 0, sizeof run);
    run_record_fields(r, &run);
}

static void show_amendment(struct record *r)
{
    struct run_amendment amendment;

    memset(&amendment, 0, sizeof amendment);
    run_amendment_fields(r, &amendment);
}

static void show_epoch(struct record *r)
{
    struct run_epoch epoch;

    memset(&epoch, 0, sizeof epoch);
    run_epoch_fields(r, &epoch);
}

static void show_batch(struct record *r)
{
    struct run_batch batch;

    memset(&batch, 0, sizeof batch);
    run_batch_fields(r, &batch);
    run_batch_fini(&batch);
}

static void show_collection(struct record *r)
{
    struct run_collection collection;

    memset(&collection, 0, sizeof collection);
    run_collection_fields(r, &collection);
    run_collection_fini(&collection);
}

static void show_dataset(struct record *r)
{
    struct run_dataset dataset;

    memset(&dataset, 0, sizeof dataset);
    run_dataset_fields(r, &dataset);
}

static void show_certificate(struct record *r)
{
    struct keys_certificate certificate;

    memset(&certificate, 0, sizeof certificate);
    keys_certificate_fields(r, &certificate);
}

static void show_enrol(struct record *r)
{
    struct keys_enrol enrol;

    memset(&enrol, 0, sizeof enrol);
    keys_enrol_fields(r, &enrol);
}

/* ---- nested records ---- */

static bool show_nested(struct record *r, const char *field, struct bytes_view bytes);

static enum nero_status show_record(const char *name, void (*fields)(struct record *r),
                                    struct bytes_view bytes, struct bytes *json,
                                    struct nero_err *err)
{
    size_t start = json->bytes;
    struct record r;

    record_read_begin(&r, name, bytes, ENVELOPE_BYTES_MAX, err);
    r.json = json;
    r.expand = show_nested;
    fields(&r);
    if (record_end(&r) != NERO_OK) {
        json->bytes = start;
    }
    return r.status;
}

/* Bytes that are no record of their kind are shown as bytes; a lack of memory is a failure. */
static void show_fails(struct record *r, const struct nero_err *why)
{
    if (why->status == NERO_NO_MEMORY && r->status == NERO_OK) {
        *r->err = *why;
        r->status = why->status;
    }
}

/* A genotype is shown as its text. */
static bool show_genotype(struct record *r, const char *field, struct bytes_view bytes)
{
    struct genotype genotype;
    struct nero_err why;
    struct bytes text;
    bool shown;

    if (genotype_decode(bytes, &genotype, &why) != NERO_OK) {
        show_fails(r, &why);
        return false;
    }
    bytes_init(&text, GENOTYPE_TEXT_BYTES_MAX);
    shown = genotype_print_text(&genotype, &text, &why) == NERO_OK;
    if (shown) {
        record_json_lead(r, field);
        record_json_text(r, bytes_as_view(&text));
    } else {
        show_fails(r, &why);
    }
    bytes_fini(&text);
    genotype_fini(&genotype);
    return shown;
}

/* A body is a result (an array of 3) or a progress record; only one of them fits. */
static bool show_nested(struct record *r, const char *field, struct bytes_view bytes)
{
    void (*fields)(struct record * r) = NULL;
    struct bytes json;
    struct nero_err why;
    bool shown;

    if (field == NULL || bytes.bytes == 0) {
        return false;
    }
    if (strcmp(field, "genotype") == 0 || strcmp(field, "seed_genotype") == 0) {
        return show_genotype(r, field, bytes);
    }
    if (strcmp(field, "body") == 0) {
        fields = bytes.data[0] == 0x93 ? show_result : show_progress;
    } else if (strcmp(field, "outcome") == 0) {
        fields = show_outcome;
    } else if (strcmp(field, "spec") == 0) {
        fields = show_spec;
    } else if (strcmp(field, "single_job") == 0) {
        fields = show_job;
    } else {
        return false;
    }
    bytes_init(&json, r->json->bytes_max);
    shown = show_record(field, fields, bytes, &json, &why) == NERO_OK;
    if (shown) {
        record_json_lead(r, field);
        if (record_ok(r)) {
            r->status = bytes_append(r->json, json.data, json.bytes, r->err);
        }
    } else {
        show_fails(r, &why);
    }
    bytes_fini(&json);
    return shown;
}

/* ---- envelopes ---- */

enum nero_status show_payload(enum envelope_type type, struct bytes_view payload,
                              struct bytes *json, struct nero_err *err)
{
    static void (*const fields[])(struct record * r) = {[ENVELOPE_RUN] = show_run,
                                                        [ENVELOPE_CERTIFICATE] = show_certificate,
                                                        [ENVELOPE_JOB] = show_job,
                                                        [ENVELOPE_SLOT] = show_slot,
                                                        [ENVELOPE_GENERATION] = show_generation,
                                                        [ENVELOPE_EPOCH] = show_epoch,
                                                        [ENVELOPE_BATCH] = show_batch,
                                                        [ENVELOPE_DATASET] = show_dataset,
                                                        [ENVELOPE_REQUEST] = show_run,
                                                        [ENVELOPE_ENROL] = show_enrol,
                                                        [ENVELOPE_COLLECTION] = show_collection};

    /* Amendments are signed as run records are; they are arrays of 5. */
    if (type == ENVELOPE_RUN && payload.bytes > 0 && payload.data[0] == 0x95) {
        return show_record("amendment", show_amendment, payload, json, err);
    }
    return show_record(envelope_type_string(type), fields[type], payload, json, err);
}

enum nero_status show_envelope(struct bytes_view stored, struct bytes *json, struct nero_err *err)
{
    size_t start = json->bytes;
    struct envelope envelope;
    enum nero_status status = NERO_CORRUPT;
    char key[KEY_ID_HEX_BYTES];

    for (enum envelope_type type = ENVELOPE_RUN; type <= ENVELOPE_COLLECTION; type++) {
        status = envelope_parse(stored, type, &envelope, err);
        if (status == NERO_OK) {
            break;
        }
    }
    if (status != NERO_OK) {
        return status;
    }
    key_id_to_hex(key, &envelope.key);
    status = bytes_printf(json, err, "{\"type\":\"%s\",\"key\":\"%s\",\"payload\":",
                          envelope_type_string(envelope.type), key);
    if (status == NERO_OK) {
        status = show_payload(envelope.type, envelope.payload, json, err);
    }
    if (status == NERO_OK) {
        status = bytes_append(json, "}", 1, err);
    }
    if (status != NERO_OK) {
        json->bytes = start;
    }
    return status;
}
