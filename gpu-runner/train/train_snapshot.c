/*
 * Snapshots, restoring them with every check that needs no trust in where they come from, and the
 * outcome.
 */
#include "train/train_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

enum nero_status trainer_snapshot(const struct trainer *trainer, struct progress *progress,
                                  struct bytes *state, struct nero_err *err)
{
    struct progress copy;
    enum nero_status status = progress_copy(&trainer->progress, &copy, err);

    if (status != NERO_OK) {
        return status;
    }
    bytes_clear(state);
    status = train_state_write(trainer, state, err);
    if (status != NERO_OK) {
        progress_fini(&copy);
        return err_wrap(err, "snapshot");
    }
    progress_fini(progress);
    *progress = copy;
    return NERO_OK;
}

/* --- restoring --- */

static bool curve_equal(const struct result_epoch *a, const struct result_epoch *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        /* By bits: a curve may hold NaN. */
        if (memcmp(&a[i].loss, &b[i].loss, sizeof(double)) != 0 ||
            memcmp(&a[i].control_loss, &b[i].control_loss, sizeof(double)) != 0 ||
            a[i].control_correct != b[i].control_correct || a[i].steps != b[i].steps) {
            return false;
        }
    }
    return true;
}

/* State and progress were taken by one snapshot of this job. */
static enum nero_status check_pair(const struct trainer *trainer,
                                   const struct train_state_file *state,
                                   const struct progress *progress, struct nero_err *err)
{
    const struct train_meta *meta = &state->meta;

    if (!hash_equal(&meta->job, &trainer->job)) {
        return err_set(err, NERO_INVALID, 0, "training state: of another job");
    }
    if (meta->updates != progress->updates || meta->epoch_count != progress->epoch_count ||
        meta->has_best != progress->has_best ||
        (meta->has_best &&
         (meta->best_epoch != progress->best_epoch || meta->best_loss != progress->best_loss)) ||
        !curve_equal(state->curve, progress->curve, meta->epoch_count)) {
        return err_set(err, NERO_CORRUPT, 0,
                       "training state: of update %llu, the progress is of update %llu",
                       (unsigned long long)meta->updates, (unsigned long long)progress->updates);
    }
    return NERO_OK;
}

static bool position_is_possible(const struct trainer *trainer, const struct progress *progress)
{
    const struct schedule *schedule = &trainer->schedule;
    uint32_t batch = trainer->spec->protocol.eval_batch;
    uint32_t fitness = trainer->split.fitness_count;
    uint64_t steps = 0;
    uint64_t open; /* updates since the last finished epoch */

    for (uint32_t i = 0; i < progress->epoch_count; i++) {
        steps += progress->curve[i].steps;
    }
    if (steps > progress->updates || progress->epoch != progress->epoch_count) {
        return false;
    }
    open = progress->updates - steps;
    switch (progress->phase) {
    case PROGRESS_TRAIN:
        return !progress->stopped && progress->cursor == open &&
               progress->cursor < schedule->steps_per_epoch &&
               progress->epoch_count < schedule->epochs_max;
    case PROGRESS_CONTROL:
        return !progress->stopped && open > 0 && open <= schedule->steps_per_epoch &&
               progress->cursor < trainer->split.control_count && progress->cursor % batch == 0 &&
               progress->epoch_count < schedule->epochs_max;
    case PROGRESS_CLEAN:
        return progress->stopped && open == 0 && progress->cursor < fitness &&
               progress->cursor % batch == 0 && progress->count == progress->cursor;
    case PROGRESS_ATTACK:
        return progress->stopped && open == 0 && trainer->attack != NULL &&
               progress->count == fitness && progress->cursor < progress->correct &&
               progress->cursor % batch == 0 && progress->kept <= progress->cursor;
    case PROGRESS_DONE:
        return progress->stopped && open == 0 && progress->cursor == 0;
    }
    return false;
}

static bool counts_are_possible(const struct trainer *trainer, const struct progress *progress)
{
    uint64_t classified = 0;
    uint32_t marked = 0;

    for (uint32_t k = 0; k < progress->class_count; k++) {
        classified += progress->histogram[k];
    }
    for (uint32_t i = 0; i < progress->correct_mask_bytes * 8; i++) {
        uint32_t bit = progress->correct_mask[i / 8] >> i % 8 & 1;

        if (bit != 0 && i >= trainer->split.fitness_count) {
            return false;
        }
        marked += bit;
    }
    return classified <= progress->count && progress->count <= trainer->split.fitness_count &&
           marked == progress->correct && progress->correct <= classified &&
           progress->kept <= progress->correct && progress->zero_gradient <= progress->correct;
}

static enum nero_status check_progress(const struct trainer *trainer,
                                       const struct progress *progress, struct nero_err *err)
{
    bool scores = trainer->spec->kind == JOB_SCORE;

    if (strcmp(progress->numeric_class, trainer->progress.numeric_class) != 0) {
        return err_set(err, NERO_VERSION, 0,
                       "progress of numeric class \"%s\" cannot go on bit for bit as \"%s\"",
                       progress->numeric_class, trainer->progress.numeric_class);
    }
    if (progress->class_count != trainer->progress.class_count ||
        progress->correct_mask_bytes != trainer->progress.correct_mask_bytes ||
        (scores && !(progress->stopped && progress->stop == RESULT_STOP_SCORED)) ||
        (!scores && progress->stopped && progress->stop == RESULT_STOP_SCORED)) {
        return err_set(err, NERO_INVALID, 0, "progress of another job");
    }
    if (progress->epoch_count > RESULT_EPOCHS_MAX || !position_is_possible(trainer, progress) ||
        !counts_are_possible(trainer, progress)) {
        return err_set(err, NERO_CORRUPT, 0,
                       "progress: phase %d, epoch %u, cursor %u, update %llu cannot be",
                       (int)progress->phase, progress->epoch, progress->cursor,
                       (unsigned long long)progress->updates);
    }
    return NERO_OK;
}

/* Copy the values; the trainer's arrays stay its own. */
static void adopt_progress(struct trainer *trainer, const struct progress *from)
{
    struct progress *to = &trainer->progress;
    uint32_t *histogram = to->histogram;
    uint8_t *mask = to->correct_mask;
    struct result_epoch *curve = to->curve;

    memcpy(histogram, from->histogram, from->class_count * sizeof(*histogram));
    memcpy(mask, from->correct_mask, from->correct_mask_bytes);
    if (from->epoch_count > 0) {
        memcpy(curve, from->curve, from->epoch_count * sizeof(*curve));
    }
    *to = *from;
    to->histogram = histogram;
    to->correct_mask = mask;
    to->curve = curve;
}

enum nero_status trainer_restore(struct trainer *trainer, const struct progress *progress,
                                 struct bytes_view state, struct nero_err *err)
{
    struct train_state_file file;
    enum nero_status status;

    assert(trainer->restorable); /* a restored trainer goes on; it is not restored once more */
    status = check_progress(trainer, progress, err);
    if (status == NERO_OK) {
        status = train_state_read(trainer, state, &file, err);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "restore");
    }
    status = check_pair(trainer, &file, progress, err);
    if (status == NERO_OK) {
        status = train_state_adopt(trainer, &file.image, err);
    }
    train_state_file_fini(&file);
    if (status != NERO_OK) {
        return err_wrap(err, "restore");
    }
    adopt_progress(trainer, progress);
    trainer->loaded = TRAINER_LOADED_NONE;
    trainer->order_epoch = TRAINER_ORDER_NONE;
    trainer->penalty_known = false;
    trainer->restorable = false;
    return NERO_OK;
}

/* --- the outcome --- */

static enum nero_status copy_lists(const struct trainer *trainer, struct result_outcome *outcome,
                                   struct nero_err *err)
{
    const struct progress *progress = &trainer->progress;

    outcome->class_count = progress->class_count;
    outcome->epoch_count = progress->epoch_count;
    outcome->histogram =
        mem_dup(progress->histogram, progress->class_count * sizeof(*outcome->histogram));
    outcome->curve = mem_dup(progress->curve, progress->epoch_count * sizeof(*outcome->curve));
    if (outcome->histogram == NULL || outcome->curve == NULL) {
        free(outcome->histogram);
        free(outcome->curve);
        return err_set(err, NERO_NO_MEMORY, 0, "outcome: no memory");
    }
    return NERO_OK;
}

enum nero_status trainer_outcome(const struct trainer *trainer, struct result_outcome *outcome,
                                 struct bytes *state, struct bytes *weights, struct nero_err *err)
{
    const struct progress *progress = &trainer->progress;
    bool trains = trainer->spec->kind != JOB_SCORE;
    struct result_outcome made = {.job = trainer->job,
                                  .stop = progress->stop,
                                  .ill = train_eval_ill(trainer),
                                  .scored_best = trainer_scores_best(trainer),
                                  .steps = progress->updates,
                                  .epochs = progress->epoch_count,
                                  .best_epoch = progress->has_best ? progress->best_epoch : 0,
                                  .control_count = trains ? trainer->split.control_count : 0,
                                  .count = progress->count,
                                  .correct = progress->correct,
                                  .kept = progress->kept,
                                  .zero_gradient = progress->zero_gradient};

    assert(progress->phase == PROGRESS_DONE);
    made.attacked = trainer->attack != NULL && made.ill == RESULT_WELL;
    made.has_state = trains && progress->stop != RESULT_STOP_NOT_FINITE;
    memcpy(made.numeric_class, progress->numeric_class, sizeof(made.numeric_class));
    bytes_clear(state);
    bytes_clear(weights);
    if ((made.has_state && train_state_write(trainer, state, err) != NERO_OK) ||
        train_state_write_weights(trainer, weights, err) != NERO_OK ||
        copy_lists(trainer, &made, err) != NERO_OK) {
        return err_wrap(err, "outcome");
    }
    if (made.has_state) {
        made.state = hash_of(bytes_as_view(state));
    }
    made.weights = hash_of(bytes_as_view(weights));
    free(outcome->histogram);
    free(outcome->curve);
    *outcome = made;
    return NERO_OK;
}
