#include "nero/run.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "nero/generation.h"
#include "nero/genotype.h"

static void module_fields(struct record *r, struct run_module *module)
{
    record_group(r, "module", 7);
    record_name(r, "symbol", module->symbol, sizeof module->symbol);
    record_u32(r, "units_min", &module->units_min, 0, GENOTYPE_UNITS_MAX);
    record_u32(r, "units_max", &module->units_max, module->units_min, GENOTYPE_UNITS_MAX);
    record_u32(r, "initial_min", &module->initial_min, module->units_min, module->units_max);
    record_u32(r, "initial_max", &module->initial_max, module->initial_min, module->units_max);
    record_u32(r, "levels_back", &module->levels_back, 1, GENOTYPE_INPUTS_MAX);
    record_bool(r, "allow_skip", &module->allow_skip);
    record_leave(r);
}

static void rates_fields(struct record *r, struct run_rates *rates)
{
    record_group(r, "rates", 9);
    record_real(r, "add_unit", &rates->add_unit, 0.0, 1.0);
    record_real(r, "replicate_unit", &rates->replicate_unit, 0.0, 1.0);
    record_real(r, "remove_unit", &rates->remove_unit, 0.0, 1.0);
    record_real(r, "add_connection", &rates->add_connection, 0.0, 1.0);
    record_real(r, "remove_connection", &rates->remove_connection, 0.0, 1.0);
    record_real(r, "mutate_unit", &rates->mutate_unit, 0.0, 1.0);
    record_real(r, "mutate_learning", &rates->mutate_learning, 0.0, 1.0);
    record_real(r, "train_longer", &rates->train_longer, 0.0, 1.0);
    record_real(r, "float_sigma", &rates->float_sigma, 0.0, 1e6);
    record_leave(r);
}

static void search_fields(struct record *r, struct run_search *search)
{
    record_group(r, "search", 19);
    record_u32(r, "lineages", &search->lineages, 1, RUN_LINEAGES_MAX);
    record_u32(r, "generations", &search->generations, 1, RUN_GENERATIONS_MAX);
    record_u32(r, "lambda", &search->lambda, 1, RUN_LAMBDA_MAX);
    record_bool(r, "reevaluate_parent", &search->reevaluate_parent);
    rates_fields(r, &search->rates);
    record_list(r, "modules", &search->module_count, 1, RUN_MODULES_MAX);
    for (uint32_t i = 0; record_ok(r) && i < search->module_count; i++) {
        record_item(r, i);
        module_fields(r, &search->modules[i]);
        for (uint32_t j = 0; record_ok(r) && j < i; j++) {
            if (strcmp(search->modules[j].symbol, search->modules[i].symbol) == 0) {
                record_fail(r, "symbol", "'%s' twice", search->modules[i].symbol);
            }
        }
    }
    record_leave(r);
    record_name(r, "learning_symbol", search->learning_symbol, sizeof search->learning_symbol);
    record_real(r, "beta", &search->beta, DBL_MIN, 1e6);
    record_real(r, "warmup_threshold", &search->warmup_threshold, 0.0, 1.0);
    record_bool(r, "warmup_mean_excludes_invalid", &search->warmup_mean_excludes_invalid);
    record_real(r, "penalty", &search->penalty, -1e6, 1.0);
    job_budget_fields(r, "budget", &search->budget);
    record_u64(r, "budget_cap", &search->budget_cap, search->budget.amount, UINT64_MAX);
    record_u32(r, "redraws", &search->redraws, 0, RUN_REDRAWS_MAX);
    record_bool(r, "score_test", &search->score_test);
    record_u32(r, "seed_policy", &search->seed_policy, RUN_SEED_SLOT, RUN_SEED_GENOTYPE);
    record_bin(r, "seed_genotype", &search->seed_genotype, 0, GENOTYPE_BYTES_MAX);
    record_u32(r, "seed_learning", &search->seed_learning, RUN_LEARNING_RANDOM, RUN_LEARNING_SEED);
    record_real(r, "clip", &search->clip, RUN_CLIP_MIN, RUN_CLIP_MAX);
    record_leave(r);
}

void run_record_fields(struct record *r, struct run_record *run)
{
    bool ranked = record_open_either(r, 6, 15, run->priority != 0);
    bool single;

    layout_run_field(r, run->name);
    record_fixed(r, "run_key", run->run_key.data, sizeof run->run_key.data);
    record_i64(r, "created_ms", &run->created_ms, INT64_MIN, INT64_MAX);
    record_u64(r, "seed", &run->seed, 0, UINT64_MAX);
    record_u32(r, "strategy", &run->strategy, RUN_EVOLVE, RUN_SINGLE);
    record_u32(r, "resume_policy", &run->resume_policy, RUN_SAME_CLASS, RUN_ANY_CLASS);
    record_u32(r, "store_mode", &run->store_mode, RUN_EXCLUSIVE, RUN_ATTEMPTS);
    job_class_field(r, run->numeric_class);
    single = run->strategy == RUN_SINGLE;
    job_protocol_fields(r, &run->protocol);
    if (record_when(r, "search", !single)) {
        search_fields(r, &run->search);
    }
    record_document(r, "grammar", &run->grammar, RUN_GRAMMAR_BYTES_MAX);
    record_document(r, "preset", &run->preset, RUN_GRAMMAR_BYTES_MAX);
    record_bin(r, "single_job", &run->single_job, single ? 1 : 0, single ? JOB_BYTES_MAX : 0);
    if (record_ok(r) && !single && run->grammar.bytes == 0) {
        record_fail(r, "grammar", "a search needs one");
    }
    if (ranked) {
        record_i64(r, "priority", &run->priority, RUN_PRIORITY_MIN, RUN_PRIORITY_MAX);
        if (record_ok(r) && run->priority == 0) {
            record_fail(r, "priority", "0 is not written");
        }
    }
    record_close(r);
}

uint32_t run_batch_priority(const struct run_record *record)
{
    return (uint32_t)(1 + RUN_PRIORITY_MAX - record->priority);
}

enum nero_status run_record_check(const struct run_record *record, struct nero_err *err)
{
    struct run_record copy = *record;
    struct record r;

    record_check_begin(&r, "run", err);
    run_record_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status run_record_encode(const struct run_record *record, struct bytes *out,
                                   struct nero_err *err)
{
    struct run_record copy = *record;
    struct record r;

    record_write_begin(&r, "run", out, RUN_BYTES_MAX, err);
    run_record_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status run_record_decode(struct bytes_view bytes, struct run_record *out,
                                   struct nero_err *err)
{
    struct run_record made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "run", bytes, RUN_BYTES_MAX, err);
    run_record_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

/* ---- amendment ---- */

void run_amendment_fields(struct record *r, struct run_amendment *amendment)
{
    record_open(r, 1, 5);
    layout_run_field(r, amendment->run);
    record_u64(r, "number", &amendment->number, 0, 99999999);
    record_hash(r, "prev", &amendment->prev);
    record_u32(r, "generations", &amendment->generations, 1, RUN_GENERATIONS_MAX);
    record_close(r);
}

enum nero_status run_amendment_encode(const struct run_amendment *amendment, struct bytes *out,
                                      struct nero_err *err)
{
    struct run_amendment copy = *amendment;
    struct record r;

    record_write_begin(&r, "amendment", out, RUN_CONTROL_BYTES_MAX, err);
    run_amendment_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status run_amendment_decode(struct bytes_view bytes, struct run_amendment *out,
                                      struct nero_err *err)
{
    struct run_amendment made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "amendment", bytes, RUN_CONTROL_BYTES_MAX, err);
    run_amendment_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

/* ---- epoch ---- */

static void verdict_fields(struct record *r, struct run_verdict *verdict)
{
    record_group(r, "verdict", 14);
    record_bool(r, "trusted", &verdict->trusted);
    record_bool(r, "usable", &verdict->usable);
    record_bool(r, "creates_once", &verdict->creates_once);
    record_bool(r, "race_has_one", &verdict->race_has_one);
    record_bool(r, "reads_writes", &verdict->reads_writes);
    record_bool(r, "lists_writes", &verdict->lists_writes);
    record_bool(r, "keeps_odd_keys", &verdict->keeps_odd_keys);
    record_bool(r, "names_content", &verdict->names_content);
    record_bool(r, "replaces_matched", &verdict->replaces_matched);
    record_bool(r, "misses_matched", &verdict->misses_matched);
    record_bool(r, "creates_parts", &verdict->creates_parts);
    record_u32(r, "match_form", &verdict->match_form, 0, 3);
    record_i64(r, "clock_ahead_ms", &verdict->clock_ahead_ms, INT64_MIN, INT64_MAX);
    record_text(r, "why", verdict->why, sizeof verdict->why);
    record_leave(r);
}

void run_epoch_fields(struct record *r, struct run_epoch *epoch)
{
    record_open(r, 3, 8);
    layout_run_field(r, epoch->run);
    record_u64(r, "number", &epoch->number, 0, FIELDS_NUMBER_MAX);
    record_u64(r, "nonce", &epoch->nonce, 0, UINT64_MAX);
    record_i64(r, "wall_ms", &epoch->wall_ms, INT64_MIN, INT64_MAX);
    record_text(r, "host", epoch->host, sizeof epoch->host);
    record_text(r, "why", epoch->why, sizeof epoch->why);
    if (record_optional(r, "verdict", &epoch->has_verdict)) {
        verdict_fields(r, &epoch->verdict);
    }
    record_close(r);
}

enum nero_status run_epoch_encode(const struct run_epoch *epoch, struct bytes *out,
                                  struct nero_err *err)
{
    struct run_epoch copy = *epoch;
    struct record r;

    record_write_begin(&r, "epoch", out, RUN_CONTROL_BYTES_MAX, err);
    run_epoch_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status run_epoch_decode(struct bytes_view bytes, struct run_epoch *out,
                                  struct nero_err *err)
{
    struct run_epoch made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "epoch", bytes, RUN_CONTROL_BYTES_MAX, err);
    run_epoch_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

/* ---- batch ---- */

void run_batch_fini(struct run_batch *batch)
{
    free(batch->jobs);
    memset(batch, 0, sizeof *batch);
}

void run_batch_fields(struct record *r, struct run_batch *batch)
{
    record_open(r, 1, 4);
    layout_run_field(r, batch->run);
    record_u64(r, "number", &batch->number, 0, FIELDS_NUMBER_MAX);
    record_list(r, "jobs", &batch->count, 1, RUN_BATCH_JOBS_MAX);
    if (record_reading(r)) {
        batch->jobs = record_alloc(r, batch->count, sizeof *batch->jobs);
    }
    for (uint32_t i = 0; record_ok(r) && i < batch->count; i++) {
        struct run_batch_job *job = &batch->jobs[i];

        record_item(r, i);
        record_group(r, "job", 3);
        record_hash(r, "job", &job->job);
        record_u32(r, "priority", &job->priority, 0, 511);
        record_i64(r, "not_before_ms", &job->not_before_ms, 0, INT64_MAX);
        record_leave(r);
    }
    record_leave(r);
    record_close(r);
}

enum nero_status run_batch_encode(const struct run_batch *batch, struct bytes *out,
                                  struct nero_err *err)
{
    struct run_batch copy = *batch;
    struct record r;

    record_write_begin(&r, "batch", out, RUN_BYTES_MAX, err);
    run_batch_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status run_batch_decode(struct bytes_view bytes, struct run_batch *out,
                                  struct nero_err *err)
{
    struct run_batch made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "batch", bytes, RUN_BYTES_MAX, err);
    run_batch_fields(&r, &made);
    if (record_end(&r) != NERO_OK) {
        run_batch_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}

/* ---- collection ---- */

void run_collection_fini(struct run_collection *collection)
{
    free(collection->blobs);
    memset(collection, 0, sizeof *collection);
}

/* Ascending, so that one is found by halving and equal sets are equal bytes. */
static void collected_blobs_field(struct record *r, struct run_collection *collection)
{
    record_list(r, "blobs", &collection->count, 1, RUN_COLLECTION_BLOBS_MAX);
    if (record_reading(r)) {
        collection->blobs = record_alloc(r, collection->count, sizeof *collection->blobs);
    }
    for (uint32_t i = 0; record_ok(r) && i < collection->count; i++) {
        record_item(r, i);
        record_hash(r, NULL, &collection->blobs[i]);
        if (record_ok(r) && i > 0 &&
            hash_compare(&collection->blobs[i - 1], &collection->blobs[i]) >= 0) {
            record_fail(r, NULL, "not above the one before it");
        }
    }
    record_leave(r);
}

void run_collection_fields(struct record *r, struct run_collection *collection)
{
    record_open(r, 1, 5);
    layout_run_field(r, collection->run);
    record_u64(r, "number", &collection->number, 0, 99999999);
    record_i64(r, "wall_ms", &collection->wall_ms, 0, INT64_MAX);
    collected_blobs_field(r, collection);
    record_close(r);
}

enum nero_status run_collection_encode(const struct run_collection *collection, struct bytes *out,
                                       struct nero_err *err)
{
    struct run_collection copy = *collection;
    struct record r;

    record_write_begin(&r, "collection", out, RUN_BYTES_MAX, err);
    run_collection_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status run_collection_decode(struct bytes_view bytes, struct run_collection *out,
                                       struct nero_err *err)
{
    struct run_collection made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "collection", bytes, RUN_BYTES_MAX, err);
    run_collection_fields(&r, &made);
    if (record_end(&r) != NERO_OK) {
        run_collection_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}

/* ---- data set ---- */

void run_dataset_fields(struct record *r, struct run_dataset *dataset)
{
    record_open(r, 1, 10);
    record_name(r, "name", dataset->name, sizeof dataset->name);
    record_u32(r, "channels", &dataset->channels, 1, PHENOTYPE_CHANNELS_MAX);
    record_u32(r, "height", &dataset->height, 1, PHENOTYPE_IMAGE_SIDE_MAX);
    record_u32(r, "width", &dataset->width, 1, PHENOTYPE_IMAGE_SIDE_MAX);
    record_u32(r, "classes", &dataset->classes, 2, PHENOTYPE_CLASSES_MAX);
    record_u32(r, "train_count", &dataset->train_count, 1, JOB_IMAGES_MAX);
    record_u32(r, "test_count", &dataset->test_count, 0, JOB_IMAGES_MAX);
    record_hash(r, "train", &dataset->train);
    record_hash(r, "test", &dataset->test);
    record_close(r);
}

enum nero_status run_dataset_encode(const struct run_dataset *dataset, struct bytes *out,
                                    struct nero_err *err)
{
    struct run_dataset copy = *dataset;
    struct record r;

    record_write_begin(&r, "dataset", out, RUN_CONTROL_BYTES_MAX, err);
    run_dataset_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status run_dataset_decode(struct bytes_view bytes, struct run_dataset *out,
                                    struct nero_err *err)
{
    struct run_dataset made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "dataset", bytes, RUN_CONTROL_BYTES_MAX, err);
    run_dataset_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

struct hash run_dataset_id(struct bytes_view encoded)
{
    return hash_tagged("nero.dataset.v1", encoded);
}
