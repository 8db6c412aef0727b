#include "nero/result.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"

static void outcome_fini(struct result_outcome *outcome)
{
    free(outcome->histogram);
    free(outcome->curve);
    memset(outcome, 0, sizeof *outcome);
}

void result_init(struct result *result)
{
    memset(result, 0, sizeof *result);
}

void result_fini(struct result *result)
{
    outcome_fini(&result->outcome);
    result_init(result);
}

void result_histogram_field(struct record *r, uint32_t *class_count, uint32_t **histogram)
{
    record_list(r, "histogram", class_count, 0, PHENOTYPE_CLASSES_MAX);
    if (record_reading(r)) {
        *histogram = record_alloc(r, *class_count, sizeof **histogram);
    }
    for (uint32_t i = 0; record_ok(r) && i < *class_count; i++) {
        record_item(r, i);
        record_u32(r, NULL, &(*histogram)[i], 0, UINT32_MAX);
    }
    record_leave(r);
}

void result_curve_field(struct record *r, uint32_t *epoch_count, struct result_epoch **curve)
{
    record_list(r, "curve", epoch_count, 0, RESULT_EPOCHS_MAX);
    if (record_reading(r)) {
        *curve = record_alloc(r, *epoch_count, sizeof **curve);
    }
    for (uint32_t i = 0; record_ok(r) && i < *epoch_count; i++) {
        struct result_epoch *epoch = &(*curve)[i];

        record_item(r, i);
        record_group(r, "epoch", 4);
        record_real_any(r, "loss", &epoch->loss);
        record_real_any(r, "control_loss", &epoch->control_loss);
        record_u32(r, "control_correct", &epoch->control_correct, 0, UINT32_MAX);
        record_u32(r, "steps", &epoch->steps, 0, UINT32_MAX);
        record_leave(r);
    }
    record_leave(r);
}

void result_outcome_fields(struct record *r, struct result_outcome *outcome)
{
    record_open(r, 1, 19);
    record_hash(r, "job", &outcome->job);
    job_class_field(r, outcome->numeric_class);
    record_u32(r, "stop", &outcome->stop, RESULT_STOP_BUDGET, RESULT_STOP_SCORED);
    record_u32(r, "ill", &outcome->ill, RESULT_WELL, RESULT_ILL_ONE_CLASS);
    record_bool(r, "scored_best", &outcome->scored_best);
    record_u64(r, "steps", &outcome->steps, 0, UINT64_MAX);
    record_u32(r, "epochs", &outcome->epochs, 0, UINT32_MAX);
    record_u32(r, "best_epoch", &outcome->best_epoch, 0, UINT32_MAX);
    record_u32(r, "control_count", &outcome->control_count, 0, JOB_IMAGES_MAX);
    record_u32(r, "count", &outcome->count, 0, JOB_SCORED_MAX);
    record_u32(r, "correct", &outcome->correct, 0, outcome->count);
    record_u32(r, "kept", &outcome->kept, 0, outcome->correct);
    record_u32(r, "zero_gradient", &outcome->zero_gradient, 0, outcome->count);
    record_bool(r, "attacked", &outcome->attacked);
    result_histogram_field(r, &outcome->class_count, &outcome->histogram);
    result_curve_field(r, &outcome->epoch_count, &outcome->curve);
    if (record_optional(r, "state", &outcome->has_state)) {
        record_hash(r, "state", &outcome->state);
    }
    record_hash(r, "weights", &outcome->weights);
    record_close(r);
}

enum nero_status result_outcome_encode(const struct result_outcome *outcome, struct bytes *out,
                                       struct nero_err *err)
{
    struct result_outcome copy = *outcome;
    struct record r;

    record_write_begin(&r, "outcome", out, RESULT_BYTES_MAX, err);
    result_outcome_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status result_outcome_decode(struct bytes_view bytes, struct result_outcome *out,
                                       struct nero_err *err)
{
    struct result_outcome made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "outcome", bytes, RESULT_BYTES_MAX, err);
    result_outcome_fields(&r, &made);
    if (record_end(&r) != NERO_OK) {
        outcome_fini(&made);
        return r.status;
    }
    *out = made;
    return NERO_OK;
}

static void provenance_fields(struct record *r, struct result_provenance *provenance)
{
    record_group(r, "provenance", 10);
    record_fixed(r, "runner", provenance->runner, sizeof provenance->runner);
    record_i64(r, "started_ms", &provenance->started_ms, INT64_MIN, INT64_MAX);
    record_i64(r, "finished_ms", &provenance->finished_ms, INT64_MIN, INT64_MAX);
    record_u32(r, "attempts", &provenance->attempts, 0, UINT32_MAX);
    record_u32(r, "preemptions", &provenance->preemptions, 0, UINT32_MAX);
    record_list(r, "tokens", &provenance->token_count, 0, RESULT_TOKENS_MAX);
    for (uint32_t i = 0; record_ok(r) && i < provenance->token_count; i++) {
        record_item(r, i);
        record_u64(r, NULL, &provenance->tokens[i], 0, UINT64_MAX);
    }
    record_leave(r);
    record_u64(r, "steps_redone", &provenance->steps_redone, 0, UINT64_MAX);
    record_real(r, "seconds_trained", &provenance->seconds_trained, 0.0, DBL_MAX);
    record_real(r, "seconds_lost", &provenance->seconds_lost, 0.0, DBL_MAX);
    record_real(r, "images_per_second", &provenance->images_per_second, 0.0, DBL_MAX);
    record_leave(r);
}

void result_fields(struct record *r, struct bytes_view *outcome,
                   struct result_provenance *provenance)
{
    record_open(r, 1, 3);
    record_bin(r, "outcome", outcome, 1, RESULT_BYTES_MAX);
    provenance_fields(r, provenance);
    record_close(r);
}

enum nero_status result_encode(struct bytes_view outcome_bytes,
                               const struct result_provenance *provenance, struct bytes *out,
                               struct nero_err *err)
{
    struct result_provenance copy = *provenance;
    struct result_outcome outcome;
    struct record r;

    if (result_outcome_decode(outcome_bytes, &outcome, err) != NERO_OK) {
        return err_wrap(err, "result");
    }
    outcome_fini(&outcome);
    record_write_begin(&r, "result", out, RESULT_BYTES_MAX, err);
    result_fields(&r, &outcome_bytes, &copy);
    return record_end(&r);
}

enum nero_status result_decode(struct bytes_view bytes, struct result *out,
                               struct bytes_view *outcome_bytes, struct nero_err *err)
{
    struct result made;
    struct bytes_view outcome = {NULL, 0};
    struct record r;

    result_init(&made);
    record_read_begin(&r, "result", bytes, RESULT_BYTES_MAX, err);
    result_fields(&r, &outcome, &made.provenance);
    if (record_end(&r) != NERO_OK) {
        return r.status;
    }
    if (result_outcome_decode(outcome, &made.outcome, err) != NERO_OK) {
        return err_wrap(err, "result");
    }
    *out = made;
    if (outcome_bytes != NULL) {
        *outcome_bytes = outcome;
    }
    return NERO_OK;
}

double result_clean_accuracy(const struct result_outcome *outcome)
{
    return outcome->count > 0 ? (double)outcome->correct / (double)outcome->count : 0.0;
}

double result_adversarial_accuracy(const struct result_outcome *outcome)
{
    return outcome->correct > 0 ? (double)outcome->kept / (double)outcome->correct : 0.0;
}

double result_fitness(double clean, double adversarial, double beta)
{
    double below = beta * beta * adversarial + clean;

    return below > 0.0 ? (1.0 + beta * beta) * clean * adversarial / below : 0.0;
}

const char *result_stop_name(enum result_stop stop)
{
    static const char *const names[] = {[RESULT_STOP_BUDGET] = "budget",
                                        [RESULT_STOP_EARLY] = "early",
                                        [RESULT_STOP_EPOCHS] = "epochs",
                                        [RESULT_STOP_NOT_FINITE] = "not_finite",
                                        [RESULT_STOP_SCORED] = "scored"};

    return stop >= RESULT_STOP_BUDGET && stop <= RESULT_STOP_SCORED ? names[stop] : "undefined";
}

const char *result_ill_name(enum result_ill ill)
{
    static const char *const names[] = {[RESULT_WELL] = "well",
                                        [RESULT_ILL_NOT_FINITE] = "not_finite",
                                        [RESULT_ILL_ONE_CLASS] = "one_class"};

    return ill <= RESULT_ILL_ONE_CLASS ? names[ill] : "undefined";
}
