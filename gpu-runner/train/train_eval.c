/*
 * Units on the inference plan: control batches at the end of an epoch, then clean and attacked
 * fitness images. Each batch is filled from the front, its tail is zero.
 */
#include "train/trainer_impl.h"

#include <math.h>
#include <string.h>

/* Bring the weights to be evaluated into the inference plan, once for many batches. */
static enum nero_status load(struct trainer *trainer, struct nero_err *err)
{
    struct backend *backend = trainer->backend;
    bool best = trainer->progress.phase != PROGRESS_CONTROL && trainer_scores_best(trainer);
    enum trainer_loaded wanted = best ? TRAINER_LOADED_BEST : TRAINER_LOADED_LAST;
    const float *trained = trainer->trained;
    const float *stats = trainer->stats;

    if (trainer->loaded == wanted) {
        return NERO_OK;
    }
    if (best) {
        if (backend->ops->upload(backend, trainer->grads, trainer->best_trained,
                                 trainer->graph.trained_count * sizeof(float), err) != NERO_OK ||
            backend->ops->upload(backend, trainer->eval_stats, trainer->best_stats,
                                 trainer->graph.stat_count * sizeof(float), err) != NERO_OK) {
            return err_wrap(err, "best weights");
        }
        trained = trainer->grads;
        stats = trainer->eval_stats;
    }
    if (net_load(trainer->eval_net, trained, stats, err) != NERO_OK) {
        return err_wrap(err, "weights of the inference plan");
    }
    trainer->loaded = wanted;
    return NERO_OK;
}

static void clear_tail(struct trainer *trainer, uint32_t valid)
{
    uint32_t floats = trainer_image_floats(trainer);
    uint32_t batch = trainer->spec->protocol.eval_batch;

    memset(trainer->images + (size_t)valid * floats, 0,
           (size_t)(batch - valid) * floats * sizeof(float));
}

/* The next images of `indices` from the cursor on, forward to logits; *valid is how many. */
static enum nero_status forward_next(struct trainer *trainer, struct bytes_view records,
                                     const uint32_t *indices, uint32_t count, uint32_t *valid,
                                     struct nero_err *err)
{
    uint32_t batch = trainer->spec->protocol.eval_batch;
    uint32_t cursor = trainer->progress.cursor;
    uint32_t floats = trainer_image_floats(trainer);
    uint32_t rows = count - cursor < batch ? count - cursor : batch;

    if (load(trainer, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t row = 0; row < rows; row++) {
        trainer->labels[row] = dataset_image(trainer->dataset, records, indices[cursor + row],
                                             trainer->images + (size_t)row * floats);
    }
    clear_tail(trainer, rows);
    *valid = rows;
    return net_forward(trainer->eval_net, trainer->images, trainer->logits, err);
}

static struct bytes_view fitness_records(const struct trainer *trainer)
{
    return trainer->spec->protocol.part == JOB_PART_TEST ? trainer->dataset->test
                                                         : trainer->dataset->train;
}

/* NaN has many bit patterns; outcomes have one. */
static double one_nan(double value)
{
    return isnan(value) ? (double)NAN : value;
}

static enum nero_status keep_best(struct trainer *trainer, struct nero_err *err)
{
    struct backend *backend = trainer->backend;
    enum nero_status status =
        backend->ops->download(backend, trainer->best_trained, trainer->trained,
                               trainer->graph.trained_count * sizeof(float), err);

    if (status == NERO_OK) {
        status = backend->ops->download(backend, trainer->best_stats, trainer->stats,
                                        trainer->graph.stat_count * sizeof(float), err);
    }
    return status;
}

/* Early stopping restores the best weights, as Keras does; the optimiser's state stays. */
static enum nero_status restore_best(struct trainer *trainer, struct nero_err *err)
{
    struct backend *backend = trainer->backend;
    enum nero_status status =
        backend->ops->upload(backend, trainer->trained, trainer->best_trained,
                             trainer->graph.trained_count * sizeof(float), err);

    trainer->loaded = TRAINER_LOADED_NONE;
    if (status == NERO_OK) {
        status = backend->ops->upload(backend, trainer->stats, trainer->best_stats,
                                      trainer->graph.stat_count * sizeof(float), err);
    }
    return status;
}

/* All control images are done: close the epoch and decide whether there is another. */
static enum nero_status end_epoch(struct trainer *trainer, struct trainer_event *event,
                                  struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    uint32_t steps = schedule_steps_of_epoch(progress);
    double images = (double)steps * (double)trainer->spec->phenotype.learning.batch;
    double penalty;
    struct result_epoch *epoch = &progress->curve[progress->epoch_count];
    enum nero_status status =
        optimiser_penalty(&trainer->optimiser, trainer->backend, trainer->trained,
                          trainer->spec->protocol.l2, &penalty, err);

    if (status != NERO_OK) {
        return status;
    }
    *epoch = (struct result_epoch){
        .loss = one_nan(progress->loss_sum / images + penalty),
        .control_loss =
            one_nan(progress->control_sum / (double)trainer->split.control_count + penalty),
        .control_correct = progress->control_correct,
        .steps = steps};
    progress->epoch_count++;
    progress->epoch++;
    progress->cursor = 0;
    progress->loss_sum = 0.0;
    progress->phase = PROGRESS_TRAIN;
    event->loss = epoch->control_loss;
    event->epoch_ended = true;
    trainer_account_time(trainer); /* a budget in seconds is decided just now */
    if (schedule_end_epoch(&trainer->schedule, progress)) {
        status = keep_best(trainer, err);
    }
    if (status == NERO_OK && progress->stopped && progress->stop == RESULT_STOP_EARLY) {
        status = restore_best(trainer, err);
    }
    if (progress->stopped) {
        trainer_begin_scoring(trainer);
    }
    return status;
}

enum nero_status train_eval_control(struct trainer *trainer, struct trainer_event *event,
                                    struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    uint32_t count = trainer->split.control_count;
    uint32_t classes = trainer->dataset->classes;
    uint32_t valid;

    if (forward_next(trainer, trainer->dataset->train, trainer->split.control, count, &valid,
                     err) != NERO_OK) {
        return err_wrap(err, "control loss of epoch %u", progress->epoch);
    }
    for (uint32_t row = 0; row < valid; row++) {
        const float *logits = trainer->logits + (size_t)row * classes;
        uint8_t label = trainer->labels[row];

        progress->control_sum += attack_cross_entropy(logits, classes, label);
        progress->control_correct +=
            attack_logits_finite(logits, classes) && attack_argmax(logits, classes) == label;
    }
    progress->cursor += valid;
    event->step = progress->cursor;
    event->steps = count;
    event->loss = progress->control_sum / (double)progress->cursor;
    return progress->cursor < count ? NERO_OK : end_epoch(trainer, event, err);
}

enum result_ill train_eval_ill(const struct trainer *trainer)
{
    const struct progress *progress = &trainer->progress;
    double most = trainer->spec->protocol.ill_fitted_share * (double)progress->count;
    uint64_t classified = 0;
    bool one_class = false;

    if (progress->stopped && progress->stop == RESULT_STOP_NOT_FINITE) {
        return RESULT_ILL_NOT_FINITE;
    }
    for (uint32_t k = 0; k < progress->class_count; k++) {
        classified += progress->histogram[k];
        one_class = one_class || (double)progress->histogram[k] > most;
    }
    if (classified < progress->count) { /* rows without a class: logits that are not finite */
        return RESULT_ILL_NOT_FINITE;
    }
    return one_class ? RESULT_ILL_ONE_CLASS : RESULT_WELL;
}

static void count_clean(struct trainer *trainer, uint32_t valid)
{
    struct progress *progress = &trainer->progress;
    uint32_t classes = trainer->dataset->classes;

    for (uint32_t row = 0; row < valid; row++) {
        const float *logits = trainer->logits + (size_t)row * classes;
        uint32_t image = progress->cursor + row;
        uint32_t class = attack_argmax(logits, classes);

        progress->count++;
        if (!attack_logits_finite(logits, classes)) {
            continue;
        }
        progress->histogram[class]++;
        if (class == trainer->labels[row]) {
            progress->correct++;
            progress->correct_mask[image / 8] |= (uint8_t)(1u << image % 8);
        }
    }
}

enum nero_status train_eval_clean(struct trainer *trainer, struct trainer_event *event,
                                  struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    uint32_t count = trainer->split.fitness_count;
    uint32_t valid;
    bool attacks;

    if (forward_next(trainer, fitness_records(trainer), trainer->split.fitness, count, &valid,
                     err) != NERO_OK) {
        return err_wrap(err, "fitness images from %u", progress->cursor);
    }
    count_clean(trainer, valid);
    progress->cursor += valid;
    event->step = progress->cursor;
    event->steps = count;
    if (progress->cursor == count) {
        attacks = trainer->attack != NULL && progress->correct > 0 &&
                  train_eval_ill(trainer) == RESULT_WELL;
        progress->phase = attacks ? PROGRESS_ATTACK : PROGRESS_DONE;
        progress->cursor = 0;
    }
    return NERO_OK;
}

/* Images of the mask after the first `skip` of them, up to a batch, in ascending order. */
static uint32_t gather_correct(struct trainer *trainer, uint32_t skip)
{
    const struct progress *progress = &trainer->progress;
    uint32_t batch = trainer->spec->protocol.eval_batch;
    uint32_t floats = trainer_image_floats(trainer);
    uint32_t seen = 0;
    uint32_t rows = 0;

    for (uint32_t i = 0; i < trainer->split.fitness_count && rows < batch; i++) {
        if ((progress->correct_mask[i / 8] >> i % 8 & 1) == 0 || seen++ < skip) {
            continue;
        }
        trainer->labels[rows] =
            dataset_image(trainer->dataset, fitness_records(trainer), trainer->split.fitness[i],
                          trainer->images + (size_t)rows * floats);
        rows++;
    }
    return rows;
}

enum nero_status train_eval_attack(struct trainer *trainer, struct trainer_event *event,
                                   struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    struct attack_counts counts;
    uint32_t valid;

    if (load(trainer, err) != NERO_OK) {
        return err->status;
    }
    valid = gather_correct(trainer, progress->cursor);
    if (attack_batch(trainer->attack, trainer->images, trainer->labels, valid, &counts, err) !=
        NERO_OK) {
        return err_wrap(err, "attacked images from %u", progress->cursor);
    }
    progress->kept += counts.kept;
    progress->zero_gradient += counts.zero_gradient;
    progress->cursor += valid;
    event->step = progress->cursor;
    event->steps = progress->correct;
    if (progress->cursor == progress->correct) {
        progress->phase = PROGRESS_DONE;
        progress->cursor = 0;
    }
    return NERO_OK;
}
