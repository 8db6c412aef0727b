#include "train/train_schedule.h"

#include <math.h>

/* Saturates: a product past 2^64 is more than any budget. */
static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t flops_as_steps(const struct schedule *schedule, uint64_t flops)
{
    return schedule->flops_per_step == 0 ? UINT64_MAX : flops / schedule->flops_per_step;
}

static void set_end(struct schedule *schedule)
{
    const struct job_budget *budget = &schedule->budget;

    schedule->updates_max = UINT64_MAX;
    schedule->epochs_end = UINT64_MAX;
    schedule->seconds_end = (double)INFINITY;
    switch (budget->kind) {
    case JOB_SECONDS:
        schedule->seconds_end = (double)budget->amount;
        break;
    case JOB_EPOCHS:
        schedule->epochs_end = budget->amount;
        break;
    case JOB_STEPS:
        schedule->updates_max = budget->amount;
        break;
    case JOB_FLOPS:
        schedule->updates_max = flops_as_steps(schedule, budget->amount);
        break;
    }
}

enum nero_status schedule_init(struct schedule *schedule, const struct job_spec *spec,
                               uint64_t macs, struct nero_err *err)
{
    const struct phenotype_learning *learning = &spec->phenotype.learning;
    uint64_t flops = times(times(2, macs), times(3, learning->batch));
    uint32_t train = spec->protocol.train_count;
    uint32_t epochs_max = learning->epochs_max;

    if (learning->batch == 0 || train < learning->batch) {
        return err_set(err, NERO_INVALID, 0, "training: a batch of %u of %u training images",
                       learning->batch, train);
    }
    *schedule = (struct schedule){.budget = spec->budget,
                                  .early_stop = learning->early_stop,
                                  .epochs_max = epochs_max < RESULT_EPOCHS_MAX ? epochs_max
                                                                               : RESULT_EPOCHS_MAX,
                                  .steps_per_epoch = train / learning->batch,
                                  .flops_per_step = flops,
                                  .every_step = spec->budget.kind == JOB_SECONDS &&
                                                spec->protocol.time_check == JOB_CHECK_STEP};
    set_end(schedule);
    if (spec->budget.amount == 0 || schedule->updates_max == 0 || epochs_max == 0) {
        return err_set(err, NERO_INVALID, 0,
                       "training: a budget of %llu %s allows no step (%llu FLOPs each)",
                       (unsigned long long)spec->budget.amount, job_budget_name(spec->budget.kind),
                       (unsigned long long)flops);
    }
    return NERO_OK;
}

enum nero_status schedule_continue(struct schedule *schedule, const struct job_budget *granted,
                                   const struct progress *progress, struct nero_err *err)
{
    const struct job_budget *budget = &schedule->budget;
    uint64_t more = budget->amount > granted->amount ? budget->amount - granted->amount : 0;

    if (granted->kind != budget->kind) {
        return err_set(err, NERO_INVALID, 0, "its budget was in %s, this job's is in %s",
                       job_budget_name(granted->kind), job_budget_name(budget->kind));
    }
    switch (budget->kind) {
    case JOB_SECONDS:
        schedule->seconds_end = progress->seconds_used + (double)more;
        break;
    case JOB_EPOCHS:
        schedule->epochs_end = progress->epoch_count + more;
        break;
    case JOB_STEPS:
        schedule->updates_max = progress->updates + more;
        break;
    case JOB_FLOPS:
        more = more == 0 ? 0
                         : flops_as_steps(schedule, budget->amount) -
                               flops_as_steps(schedule, granted->amount);
        schedule->updates_max = progress->updates + more;
        break;
    }
    return NERO_OK;
}

uint32_t schedule_steps_of_epoch(const struct progress *progress)
{
    uint64_t before = 0;

    for (uint32_t i = 0; i < progress->epoch_count; i++) {
        before += progress->curve[i].steps;
    }
    return (uint32_t)(progress->updates - before);
}

bool schedule_epoch_is_over(const struct schedule *schedule, const struct progress *progress)
{
    return progress->cursor >= schedule->steps_per_epoch ||
           progress->updates >= schedule->updates_max ||
           (schedule->every_step && progress->seconds_used >= schedule->seconds_end);
}

bool schedule_budget_is_used(const struct schedule *schedule, const struct progress *progress)
{
    return progress->seconds_used >= schedule->seconds_end ||
           progress->epoch_count >= schedule->epochs_end ||
           progress->updates >= schedule->updates_max;
}

static bool decide(const struct schedule *schedule, const struct progress *progress,
                   const struct result_epoch *epoch, bool out_of_patience, enum result_stop *stop)
{
    if (!isfinite(epoch->loss) || !isfinite(epoch->control_loss)) {
        *stop = RESULT_STOP_NOT_FINITE;
    } else if (out_of_patience) {
        *stop = RESULT_STOP_EARLY;
    } else if (progress->epoch_count >= schedule->epochs_max) {
        *stop = RESULT_STOP_EPOCHS;
    } else if (schedule_budget_is_used(schedule, progress)) {
        *stop = RESULT_STOP_BUDGET;
    } else {
        return false;
    }
    return true;
}

bool schedule_end_epoch(const struct schedule *schedule, struct progress *progress)
{
    const struct result_epoch *epoch = &progress->curve[progress->epoch_count - 1];
    bool finite = isfinite(epoch->loss) && isfinite(epoch->control_loss);
    bool better = finite && (!progress->has_best || epoch->control_loss < progress->best_loss);

    if (better) {
        progress->has_best = true;
        progress->best_loss = epoch->control_loss;
        progress->best_epoch = progress->epoch_count;
        progress->patience = schedule->early_stop;
    } else if (progress->patience > 0) {
        progress->patience--;
    }
    progress->stopped =
        decide(schedule, progress, epoch, !better && progress->patience == 0, &progress->stop);
    return better;
}

void schedule_expected(const struct schedule *schedule, uint64_t *steps, uint32_t *epochs)
{
    uint32_t spe = schedule->steps_per_epoch;
    uint64_t epochs_most = schedule->epochs_max;

    *steps = 0;
    *epochs = 0;
    if (schedule->budget.kind == JOB_SECONDS) {
        return;
    }
    if (schedule->epochs_end < epochs_most) {
        epochs_most = schedule->epochs_end;
    }
    *steps = epochs_most * spe;
    if (schedule->updates_max < *steps) {
        *steps = schedule->updates_max;
    }
    *epochs = (uint32_t)((*steps + spe - 1) / spe);
}
