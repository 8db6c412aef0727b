/* The audit of one outcome: do its numbers agree with each other and with the spec? */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "nero/job.h"
#include "nero/slot.h"

#include "audit_state.h"

static bool has_blob(const struct slot *slot, const char *role, const struct hash *hash)
{
    for (uint32_t i = 0; i < slot->blob_count; i++) {
        if (strcmp(slot->blobs[i].role, role) == 0) {
            return hash_equal(&slot->blobs[i].hash, hash);
        }
    }
    return false;
}

static void check_identity(struct audit *audit, const char *key, const struct job_spec *spec,
                           const struct slot *slot, const struct result_outcome *outcome)
{
    bool trains = spec->kind != JOB_SCORE;

    if (!hash_equal(&outcome->job, &slot->job)) {
        audit_say(audit, key, "holds the outcome of another job");
    }
    if (spec->numeric_class[0] != 0 && strcmp(spec->numeric_class, outcome->numeric_class) != 0) {
        audit_say(audit, key, "was computed in numeric class %.80s, the job asks for %.80s",
                  outcome->numeric_class, spec->numeric_class);
    }
    if (!has_blob(slot, "weights", &outcome->weights)) {
        audit_say(audit, key, "does not name the weights of its outcome as a blob");
    }
    if (outcome->has_state && !has_blob(slot, "state", &outcome->state)) {
        audit_say(audit, key, "does not name the training state of its outcome as a blob");
    }
    if (outcome->has_state != (trains && outcome->stop != RESULT_STOP_NOT_FINITE)) {
        audit_say(audit, key,
                  outcome->has_state ? "has a training state that it cannot have"
                                     : "has no training state");
    }
}

/* Predictions by class: their sum, and whether one class has more than the allowed share. */
static void check_histogram(struct audit *audit, const char *key, const struct job_spec *spec,
                            const struct result_outcome *outcome)
{
    double most = spec->protocol.ill_fitted_share * (double)outcome->count;
    uint64_t sum = 0;
    bool one_class = false;

    for (uint32_t i = 0; i < outcome->class_count; i++) {
        sum += outcome->histogram[i];
        one_class = one_class || (double)outcome->histogram[i] > most;
    }
    if (outcome->class_count != spec->phenotype.classes) {
        audit_say(audit, key, "counts predictions of %" PRIu32 " classes, the network has %" PRIu32,
                  outcome->class_count, spec->phenotype.classes);
    }
    if (sum > outcome->count || (sum < outcome->count && outcome->ill != RESULT_ILL_NOT_FINITE)) {
        audit_say(audit, key, "its histogram sums to %" PRIu64 " of %" PRIu32 " images", sum,
                  outcome->count);
    }
    if (outcome->ill != RESULT_ILL_NOT_FINITE &&
        one_class != (outcome->ill == RESULT_ILL_ONE_CLASS)) {
        audit_say(audit, key, "is called %s, which its histogram contradicts",
                  result_ill_name(outcome->ill));
    }
}

static void check_counts(struct audit *audit, const char *key, const struct job_spec *spec,
                         const struct result_outcome *outcome)
{
    uint32_t wanted = spec->protocol.fitness_count;
    bool attacks = spec->protocol.attack.kind != JOB_ATTACK_NONE;
    bool scored = outcome->count > 0 || outcome->stop != RESULT_STOP_NOT_FINITE;

    if (scored && outcome->count != wanted) {
        audit_say(audit, key, "scored %" PRIu32 " images, the job asks for %" PRIu32,
                  outcome->count, wanted);
    }
    if (outcome->correct > outcome->count || outcome->kept > outcome->correct ||
        outcome->zero_gradient > outcome->correct) {
        audit_say(audit, key,
                  "its counts contradict each other: %" PRIu32 " images, %" PRIu32
                  " correct, %" PRIu32 " kept, %" PRIu32 " without gradient",
                  outcome->count, outcome->correct, outcome->kept, outcome->zero_gradient);
    }
    if (outcome->attacked != (attacks && outcome->ill == RESULT_WELL)) {
        audit_say(audit, key,
                  outcome->attacked ? "was attacked, which the job did not ask for"
                                    : "was not attacked, as the job asks");
    }
    if (!outcome->attacked && (outcome->kept > 0 || outcome->zero_gradient > 0)) {
        audit_say(audit, key, "counts attacked images without an attack");
    }
}

static void check_curve(struct audit *audit, const char *key, const struct job_spec *spec,
                        const struct result_outcome *outcome)
{
    uint64_t steps = 0;
    bool finite = true;

    for (uint32_t i = 0; i < outcome->epoch_count; i++) {
        const struct result_epoch *epoch = &outcome->curve[i];

        steps += epoch->steps;
        finite = finite && isfinite(epoch->loss) && isfinite(epoch->control_loss);
        if (epoch->control_correct > outcome->control_count) {
            audit_say(audit, key,
                      "epoch %" PRIu32 ": %" PRIu32 " of %" PRIu32 " control images correct", i + 1,
                      epoch->control_correct, outcome->control_count);
        }
    }
    if (outcome->epoch_count != outcome->epochs || steps != outcome->steps ||
        outcome->best_epoch > outcome->epochs) {
        audit_say(audit, key,
                  "its curve of %" PRIu32 " epochs and %" PRIu64 " steps is not that of %" PRIu32
                  " epochs, %" PRIu64 " steps and best epoch %" PRIu32,
                  outcome->epoch_count, steps, outcome->epochs, outcome->steps,
                  outcome->best_epoch);
    }
    if (finite == (outcome->stop == RESULT_STOP_NOT_FINITE)) {
        audit_say(audit, key, "stopped for %s, which its curve contradicts",
                  result_stop_name(outcome->stop));
    }
    if (outcome->stop == RESULT_STOP_NOT_FINITE && outcome->ill != RESULT_ILL_NOT_FINITE) {
        audit_say(audit, key, "stopped with losses that are not finite, but is not called so");
    }
    if (outcome->control_count != spec->protocol.control_count) {
        audit_say(audit, key, "used %" PRIu32 " control images, the job asks for %" PRIu32,
                  outcome->control_count, spec->protocol.control_count);
    }
}

static void check_budget(struct audit *audit, const char *key, const struct job_spec *spec,
                         const struct result_outcome *outcome)
{
    const struct job_budget *budget = &spec->budget;
    uint64_t used = budget->kind == JOB_EPOCHS ? outcome->epochs : outcome->steps;
    /* What a parent that stopped early left of its budget, its extension has not either. */
    bool all = outcome->stop == RESULT_STOP_BUDGET && spec->kind == JOB_TRAIN;

    if (outcome->epochs > spec->phenotype.learning.epochs_max) {
        audit_say(audit, key, "trained %" PRIu32 " epochs, its learning unit allows %" PRIu32,
                  outcome->epochs, spec->phenotype.learning.epochs_max);
    }
    if ((budget->kind == JOB_EPOCHS || budget->kind == JOB_STEPS) &&
        (used > budget->amount || (all && used != budget->amount))) {
        audit_say(audit, key, "used %" PRIu64 " of %" PRIu64 " %s and stopped for %s", used,
                  budget->amount, job_budget_name(budget->kind), result_stop_name(outcome->stop));
    }
}

void audit_outcome(struct audit *audit, const char *key, const struct job_spec *spec,
                   const struct slot *slot, const struct result_outcome *outcome)
{
    check_identity(audit, key, spec, slot, outcome);
    check_counts(audit, key, spec, outcome);
    check_histogram(audit, key, spec, outcome);
    if (spec->kind != JOB_SCORE) {
        check_curve(audit, key, spec, outcome);
        check_budget(audit, key, spec, outcome);
    }
    if ((spec->kind == JOB_SCORE) != (outcome->stop == RESULT_STOP_SCORED) ||
        (spec->kind == JOB_SCORE && (outcome->steps > 0 || outcome->epoch_count > 0))) {
        audit_say(audit, key, "a %s job that stopped for %s after %" PRIu64 " steps",
                  job_kind_name(spec->kind), result_stop_name(outcome->stop), outcome->steps);
    }
}
