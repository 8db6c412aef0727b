/*
 * When training stops: budgets, the end of an epoch, early stopping. Pure decisions over progress,
 * so that they are tested without a network.
 */
#ifndef NERO_TRAIN_SCHEDULE_H
#define NERO_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/job.h"
#include "nero/progress.h"

struct schedule {
    struct job_budget budget;
    uint32_t early_stop;
    uint32_t epochs_max;      /* of the learning unit, at most RESULT_EPOCHS_MAX */
    uint32_t steps_per_epoch; /* floor(train images / batch) */
    uint64_t flops_per_step;
    bool every_step; /* seconds are looked at after every step */

    /* Where the budget ends, counted from the first training on; no end where it counts otherwise.
     */
    uint64_t updates_max; /* UINT64_MAX: no end */
    uint64_t epochs_end;  /* UINT64_MAX: no end */
    double seconds_end;   /* INFINITY: no end */
};

/*
 * macs: multiply-adds of one image's forward pass. A step counts 2 * macs * 3 * batch FLOPs: two a
 * MAC, and a backward pass twice a forward pass.
 * Errors: invalid (no step fits into an epoch or into the budget).
 */
enum nero_status schedule_init(struct schedule *schedule, const struct job_spec *spec,
                               uint64_t macs, struct nero_err *err);

/*
 * An extension has what its budget is longer than `granted`, the parent's, from where the parent
 * ended: what a parent that stopped early left of its own is forfeited, and the part of an epoch by
 * which it passed its seconds is forgiven. progress: at the parent's end.
 * Errors: invalid (granted is of another kind).
 */
enum nero_status schedule_continue(struct schedule *schedule, const struct job_budget *granted,
                                   const struct progress *progress, struct nero_err *err);

/* Updates that the epoch in progress has had: all but those of finished epochs. */
uint32_t schedule_steps_of_epoch(const struct progress *progress);

/*
 * True when the epoch in progress ends here: it is full, or the budget has no further step. With
 * every_step the caller has brought seconds_used up to date.
 */
bool schedule_epoch_is_over(const struct schedule *schedule, const struct progress *progress);

/* True when the budget is used up. */
bool schedule_budget_is_used(const struct schedule *schedule, const struct progress *progress);

/*
 * After an epoch's curve entry was added: remember the best control loss, count patience down, and
 * decide. Sets stopped and stop, the first of: not finite, early, epochs, budget. min_delta is 0: a
 * better loss is a smaller one. Returns true where this epoch's weights are the best so far.
 */
bool schedule_end_epoch(const struct schedule *schedule, struct progress *progress);

/* What the budget allows at most; 0: not known. */
void schedule_expected(const struct schedule *schedule, uint64_t *steps, uint32_t *epochs);

#endif
