/*
 * A trainer's life and its state machine (DESIGN.md): TRAIN and CONTROL alternate, then CLEAN,
 * ATTACK, DONE. All memory is taken in trainer_create.
 */
#include "train/trainer_impl.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

enum { ENGINE_VERSION = 2 }; /* part of the numeric class */

uint32_t trainer_image_floats(const struct trainer *trainer)
{
    const struct dataset *dataset = trainer->dataset;

    return dataset->channels * dataset->height * dataset->width;
}

bool trainer_scores_best(const struct trainer *trainer)
{
    const struct progress *progress = &trainer->progress;

    if (!progress->stopped || !progress->has_best) {
        return false;
    }
    switch (progress->stop) {
    case RESULT_STOP_EARLY:
        return true;
    case RESULT_STOP_BUDGET:
    case RESULT_STOP_EPOCHS:
        return trainer->spec->protocol.on_timeout == JOB_SCORE_BEST;
    case RESULT_STOP_NOT_FINITE:
    case RESULT_STOP_SCORED:
        break;
    }
    return false;
}

void trainer_account_time(struct trainer *trainer)
{
    int64_t now = clock_mono_ns(trainer->clock);

    trainer->progress.seconds_used += (double)(now - trainer->mark_ns) * 1e-9;
    trainer->mark_ns = now;
}

void trainer_class_of(struct backend *backend, uint32_t shards, char out[JOB_CLASS_BYTES])
{
    char name[BACKEND_NAME_BYTES];

    backend->ops->describe(backend, name);
    snprintf(out, JOB_CLASS_BYTES, "nero-engine-%d/%s/S%u", ENGINE_VERSION, name,
             shards > 1 ? shards : 1);
}

const char *trainer_numeric_class(const struct trainer *trainer)
{
    return trainer->progress.numeric_class;
}

/* --- creation --- */

static enum nero_status check_limit(const char *what, uint64_t value, uint64_t max,
                                    struct nero_err *err)
{
    if (max != 0 && value > max) {
        return err_set(err, NERO_INVALID, 0, "network: %llu %s, the limit is %llu",
                       (unsigned long long)value, what, (unsigned long long)max);
    }
    return NERO_OK;
}

static enum nero_status check_limits(const struct trainer *trainer, struct nero_err *err)
{
    const struct job_protocol *protocol = &trainer->spec->protocol;
    const struct graph *graph = &trainer->graph;
    uint64_t plan;
    enum nero_status status;

    if (__builtin_mul_overflow(graph->plan_bytes_per_image,
                               (uint64_t)trainer->spec->phenotype.learning.batch, &plan) ||
        __builtin_add_overflow(plan, graph->plan_bytes_fixed, &plan)) {
        plan = UINT64_MAX;
    }
    status = check_limit("parameters", graph->trained_count, protocol->max_parameters, err);
    if (status == NERO_OK) {
        status = check_limit("multiply-adds", graph->macs, protocol->max_macs, err);
    }
    if (status == NERO_OK) {
        status = check_limit("plan bytes", plan, protocol->max_plan_bytes, err);
    }
    return status;
}

static enum nero_status check_job(const struct trainer *trainer, struct nero_err *err)
{
    const struct job_spec *spec = trainer->spec;
    const struct phenotype *phenotype = &spec->phenotype;
    const struct dataset *dataset = trainer->dataset;

    if (job_spec_check(spec, err) != NERO_OK || dataset_check(dataset, err) != NERO_OK) {
        return err->status;
    }
    if (phenotype->channels != dataset->channels || phenotype->height != dataset->height ||
        phenotype->width != dataset->width || phenotype->classes != dataset->classes) {
        return err_set(err, NERO_INVALID, 0,
                       "network for %u x %u x %u, %u classes; data set of %u x %u x %u, %u classes",
                       phenotype->channels, phenotype->height, phenotype->width, phenotype->classes,
                       dataset->channels, dataset->height, dataset->width, dataset->classes);
    }
    if (spec->numeric_class[0] != '\0' &&
        strcmp(spec->numeric_class, trainer->progress.numeric_class) != 0) {
        return err_set(err, NERO_VERSION, 0, "the job wants numeric class \"%s\", this is \"%s\"",
                       spec->numeric_class, trainer->progress.numeric_class);
    }
    return NERO_OK;
}

static float *device_floats(struct trainer *trainer, uint64_t count)
{
    return trainer->backend->ops->mem_alloc(trainer->backend,
                                            (count > 0 ? count : 1) * sizeof(float));
}

static void device_free(struct trainer *trainer, float *floats)
{
    if (floats != NULL) {
        trainer->backend->ops->mem_free(trainer->backend, floats);
    }
}

/* What only training needs. */
static bool allocate_training(struct trainer *trainer)
{
    const struct graph *graph = &trainer->graph;
    bool two_slots = trainer->optimiser.slots > 1;

    trainer->grads = device_floats(trainer, graph->trained_count);
    trainer->slot[0] = device_floats(trainer, graph->trained_count);
    trainer->slot[1] = two_slots ? device_floats(trainer, graph->trained_count) : NULL;
    trainer->eval_stats = device_floats(trainer, graph->stat_count);
    trainer->best_trained = mem_calloc(graph->trained_count, sizeof(float));
    trainer->best_stats = mem_calloc(graph->stat_count, sizeof(float));
    trainer->order = mem_calloc(trainer->split.train_count, sizeof(*trainer->order));
    return trainer->grads != NULL && trainer->slot[0] != NULL &&
           (!two_slots || trainer->slot[1] != NULL) && trainer->eval_stats != NULL &&
           trainer->best_trained != NULL && trainer->best_stats != NULL && trainer->order != NULL;
}

static enum nero_status allocate(struct trainer *trainer, struct nero_err *err)
{
    const struct job_spec *spec = trainer->spec;
    const struct graph *graph = &trainer->graph;
    uint32_t eval_batch = spec->protocol.eval_batch;
    bool trains = spec->kind != JOB_SCORE;
    uint32_t batch = trains ? spec->phenotype.learning.batch : 0;
    size_t rows = batch > eval_batch ? batch : eval_batch;
    struct progress *progress = &trainer->progress;
    bool complete;

    trainer->trained = device_floats(trainer, graph->trained_count);
    trainer->stats = device_floats(trainer, graph->stat_count);
    trainer->images = mem_alloc_tensor(rows * trainer_image_floats(trainer) * sizeof(float));
    trainer->labels = mem_calloc(rows, 1);
    trainer->logits =
        mem_alloc_tensor((size_t)eval_batch * trainer->dataset->classes * sizeof(float));
    progress->class_count = trainer->dataset->classes;
    progress->histogram = mem_calloc(progress->class_count, sizeof(*progress->histogram));
    progress->correct_mask_bytes = (spec->protocol.fitness_count + 7) / 8;
    progress->correct_mask = mem_calloc(progress->correct_mask_bytes, 1);
    progress->curve = mem_calloc(RESULT_EPOCHS_MAX, sizeof(*progress->curve));
    complete = trainer->trained != NULL && trainer->stats != NULL && trainer->images != NULL &&
               trainer->labels != NULL && trainer->logits != NULL && progress->histogram != NULL &&
               progress->correct_mask != NULL && progress->curve != NULL;
    if (complete && trains) {
        complete = allocate_training(trainer);
    }
    return complete ? NERO_OK : err_set(err, NERO_NO_MEMORY, 0, "trainer: no memory");
}

static enum nero_status make_plans(struct trainer *trainer, const struct trainer_options *options,
                                   struct nero_err *err)
{
    const struct job_spec *spec = trainer->spec;
    const struct job_protocol *protocol = &spec->protocol;
    struct net_options training = {.batch = spec->phenotype.learning.batch,
                                   .training = true,
                                   .bn_momentum = (float)protocol->bn_momentum,
                                   .shards = options->shards,
                                   .threads = options->threads};
    struct net_options inference = {.batch = protocol->eval_batch};
    struct attack_model model;

    if (spec->kind != JOB_SCORE && net_create(&trainer->graph, trainer->backend, &training,
                                              &trainer->train_net, err) != NERO_OK) {
        return err_wrap(err, "training plan");
    }
    if (net_create(&trainer->graph, trainer->backend, &inference, &trainer->eval_net, err) !=
        NERO_OK) {
        return err_wrap(err, "inference plan");
    }
    if (protocol->attack.kind == JOB_ATTACK_NONE) {
        return NERO_OK;
    }
    model = attack_model_of_net(trainer->eval_net, protocol->eval_batch,
                                trainer_image_floats(trainer), trainer->dataset->classes);
    return attack_create(&protocol->attack, &model, &trainer->attack, err);
}

static enum nero_status init_weights(struct trainer *trainer, struct nero_err *err)
{
    const struct graph *graph = &trainer->graph;
    struct backend *backend = trainer->backend;
    enum nero_status status;

    net_init_weights(graph, trainer->spec->seed, trainer->best_trained, trainer->best_stats);
    status = backend->ops->upload(backend, trainer->trained, trainer->best_trained,
                                  graph->trained_count * sizeof(float), err);
    if (status == NERO_OK) {
        status = backend->ops->upload(backend, trainer->stats, trainer->best_stats,
                                      graph->stat_count * sizeof(float), err);
    }
    return status;
}

/* The state before the first unit. */
static enum nero_status begin(struct trainer *trainer, struct bytes_view continue_from,
                              struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    enum nero_status status = NERO_OK;

    progress->phase = PROGRESS_TRAIN;
    progress->patience = trainer->schedule.early_stop;
    switch (trainer->spec->kind) {
    case JOB_TRAIN:
        status = init_weights(trainer, err);
        break;
    case JOB_EXTEND:
        status = train_state_continue(trainer, continue_from, err);
        if (status == NERO_OK && (progress->epoch_count >= trainer->schedule.epochs_max ||
                                  schedule_budget_is_used(&trainer->schedule, progress))) {
            progress->stopped = true;
            progress->stop = progress->epoch_count >= trainer->schedule.epochs_max
                                 ? RESULT_STOP_EPOCHS
                                 : RESULT_STOP_BUDGET;
            trainer_begin_scoring(trainer);
        }
        break;
    case JOB_SCORE:
        status = train_state_load_weights(trainer, continue_from, err);
        progress->stopped = true;
        progress->stop = RESULT_STOP_SCORED;
        trainer_begin_scoring(trainer);
        break;
    }
    return status == NERO_OK
               ? NERO_OK
               : err_wrap(err, "start of a %s job", job_kind_name(trainer->spec->kind));
}

static enum nero_status build(struct trainer *trainer, const struct trainer_options *options,
                              struct nero_err *err)
{
    const struct job_spec *spec = trainer->spec;
    enum nero_status status = check_job(trainer, err);

    if (status != NERO_OK) {
        return status;
    }
    status = graph_build(&spec->phenotype, &trainer->graph, err);
    if (status != NERO_OK) { /* too_big is a network's fault as well: never a result's retry */
        err->status = status == NERO_TOO_BIG ? NERO_INVALID : status;
        return err->status;
    }
    status = check_limits(trainer, err);
    if (status == NERO_OK && spec->kind != JOB_SCORE) {
        status = schedule_init(&trainer->schedule, spec, trainer->graph.macs, err);
    }
    if (status == NERO_OK) {
        status = dataset_split_create(trainer->dataset, &spec->protocol, &trainer->split, err);
    }
    if (status == NERO_OK && spec->kind != JOB_SCORE) {
        status = optimiser_init(&trainer->optimiser, &trainer->graph, &spec->phenotype.learning,
                                spec->protocol.l2, err);
    }
    if (status == NERO_OK) {
        status = allocate(trainer, err);
    }
    if (status == NERO_OK) {
        status = make_plans(trainer, options, err);
    }
    return status;
}

enum nero_status trainer_create(const struct trainer_options *options, struct trainer **out,
                                struct nero_err *err)
{
    struct trainer *trainer = mem_calloc(1, sizeof(*trainer));
    enum nero_status status;

    if (trainer == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "trainer: no memory");
    }
    trainer->spec = options->spec;
    trainer->job = options->job;
    trainer->dataset = options->dataset;
    trainer->backend = options->backend;
    trainer->clock = options->clock;
    trainer->order_epoch = TRAINER_ORDER_NONE;
    trainer->restorable = true;
    progress_init(&trainer->progress);
    trainer_class_of(options->backend, options->shards, trainer->progress.numeric_class);
    status = build(trainer, options, err);
    if (status == NERO_OK) {
        status = begin(trainer, options->continue_from, err);
    }
    if (status != NERO_OK) {
        trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return NERO_OK;
}

void trainer_destroy(struct trainer *trainer)
{
    if (trainer == NULL) {
        return;
    }
    attack_destroy(trainer->attack);
    net_destroy(trainer->eval_net);
    net_destroy(trainer->train_net);
    device_free(trainer, trainer->trained);
    device_free(trainer, trainer->stats);
    device_free(trainer, trainer->grads);
    device_free(trainer, trainer->slot[0]);
    device_free(trainer, trainer->slot[1]);
    device_free(trainer, trainer->eval_stats);
    optimiser_fini(&trainer->optimiser);
    dataset_split_fini(&trainer->split);
    graph_fini(&trainer->graph);
    progress_fini(&trainer->progress);
    free(trainer->best_trained);
    free(trainer->best_stats);
    free(trainer->images);
    free(trainer->labels);
    free(trainer->logits);
    free(trainer->order);
    free(trainer);
}

/* --- the state machine --- */

void trainer_begin_scoring(struct trainer *trainer)
{
    struct progress *progress = &trainer->progress;

    progress->phase = progress->stop == RESULT_STOP_NOT_FINITE ? PROGRESS_DONE : PROGRESS_CLEAN;
    progress->cursor = 0;
}

/* The batch of step `cursor` of the epoch: a function of seed, epoch and cursor alone. */
static void fill_batch(struct trainer *trainer)
{
    const struct job_spec *spec = trainer->spec;
    const struct progress *progress = &trainer->progress;
    uint32_t batch = spec->phenotype.learning.batch;
    uint32_t floats = trainer_image_floats(trainer);

    if (trainer->order_epoch != progress->epoch) {
        dataset_epoch_order(spec->seed, progress->epoch, trainer->split.train_count,
                            trainer->order);
        trainer->order_epoch = progress->epoch;
    }
    for (uint32_t row = 0; row < batch; row++) {
        size_t at = (size_t)progress->cursor * batch + row;
        uint32_t index = trainer->split.train[trainer->order[at]];
        float *image = trainer->images + (size_t)row * floats;

        trainer->labels[row] =
            spec->protocol.augment
                ? dataset_augmented_image(trainer->dataset, spec->seed, progress->epoch, index,
                                          image)
                : dataset_image(trainer->dataset, trainer->dataset->train, index, image);
    }
}

/* The loss of a step was NaN or infinite: the epoch is closed as it stands, without its control. */
static void stop_not_finite(struct trainer *trainer, double loss)
{
    struct progress *progress = &trainer->progress;

    progress->curve[progress->epoch_count] =
        (struct result_epoch){.loss = isnan(loss) ? (double)NAN : loss,
                              .control_loss = (double)NAN,
                              .steps = schedule_steps_of_epoch(progress)};
    progress->epoch_count++;
    progress->epoch++;
    progress->stopped = true;
    progress->stop = RESULT_STOP_NOT_FINITE;
    trainer_begin_scoring(trainer);
}

/* For progress lines; once an epoch, since it reads every weight. */
static enum nero_status refresh_penalty(struct trainer *trainer, struct nero_err *err)
{
    if (trainer->penalty_known && trainer->progress.cursor != 0) {
        return NERO_OK;
    }
    trainer->penalty_known = true;
    return optimiser_penalty(&trainer->optimiser, trainer->backend, trainer->trained,
                             trainer->spec->protocol.l2, &trainer->penalty, err);
}

static enum nero_status train_step(struct trainer *trainer, struct trainer_event *event,
                                   struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    struct optimiser_arrays arrays = {.trained = trainer->trained,
                                      .grads = trainer->grads,
                                      .slot0 = trainer->slot[0],
                                      .slot1 = trainer->slot[1]};
    double loss;

    fill_batch(trainer);
    if (refresh_penalty(trainer, err) != NERO_OK ||
        net_train_step(trainer->train_net, trainer->images, trainer->labels, trainer->trained,
                       trainer->stats, trainer->grads, &loss, err) != NERO_OK) {
        return err_wrap(err, "epoch %u, step %u", progress->epoch, progress->cursor);
    }
    trainer->loaded = TRAINER_LOADED_NONE;
    event->steps = trainer->schedule.steps_per_epoch;
    event->step = progress->cursor + 1;
    event->cross_entropy = loss;
    event->loss = loss + trainer->penalty;
    if (!isfinite(loss)) {
        stop_not_finite(trainer, loss);
        return NERO_OK;
    }
    if (optimiser_step(&trainer->optimiser, trainer->backend, &arrays, progress->updates, err) !=
        NERO_OK) {
        return err->status;
    }
    progress->updates++;
    progress->cursor++;
    progress->loss_sum += loss * (double)trainer->spec->phenotype.learning.batch;
    if (trainer->schedule.every_step) {
        trainer_account_time(trainer);
    }
    if (schedule_epoch_is_over(&trainer->schedule, progress)) {
        progress->phase = PROGRESS_CONTROL;
        progress->cursor = 0;
        progress->control_sum = 0.0;
        progress->control_correct = 0;
    }
    return NERO_OK;
}

static double control_accuracy(const struct trainer *trainer)
{
    const struct progress *progress = &trainer->progress;

    if (progress->epoch_count == 0 || trainer->split.control_count == 0) {
        return (double)NAN;
    }
    return (double)progress->curve[progress->epoch_count - 1].control_correct /
           (double)trainer->split.control_count;
}

enum nero_status trainer_advance(struct trainer *trainer, struct trainer_event *event,
                                 struct nero_err *err)
{
    struct progress *progress = &trainer->progress;
    struct trainer_event made = {.phase = progress->phase, .epoch = progress->epoch};
    enum nero_status status = NERO_OK;
    bool trains = progress->phase == PROGRESS_TRAIN || progress->phase == PROGRESS_CONTROL;

    trainer->restorable = false;
    trainer->mark_ns = clock_mono_ns(trainer->clock);
    switch (made.phase) {
    case PROGRESS_TRAIN:
        status = train_step(trainer, &made, err);
        break;
    case PROGRESS_CONTROL:
        status = train_eval_control(trainer, &made, err);
        break;
    case PROGRESS_CLEAN:
        status = train_eval_clean(trainer, &made, err);
        break;
    case PROGRESS_ATTACK:
        status = train_eval_attack(trainer, &made, err);
        break;
    case PROGRESS_DONE:
        break;
    }
    if (status != NERO_OK) {
        return status;
    }
    if (trains) {
        trainer_account_time(trainer);
    }
    progress->units += made.phase != PROGRESS_DONE;
    made.done = progress->phase == PROGRESS_DONE;
    made.control_accuracy = control_accuracy(trainer);
    *event = made;
    return NERO_OK;
}

void trainer_expected(const struct trainer *trainer, uint64_t *steps, uint32_t *epochs)
{
    *steps = 0;
    *epochs = 0;
    if (trainer->spec->kind != JOB_SCORE) {
        schedule_expected(&trainer->schedule, steps, epochs);
    }
}
