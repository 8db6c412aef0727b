#include "sim_trainer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fiber.h"
#include "nero/mem.h"
#include "sim_failing.h"

#define NUMERIC_CLASS "sim-1"
#define MAGIC "nerosim"

enum {
    STALL_MS_MAX = 20, /* of a snapshot */
    EPOCHS_MAX = 64,
    UNIT_MS_MAX = 900,
    LONG_UNIT_MS = 8000,
    LONG_UNIT_PERCENT = 1
};

/* What goes from step to step, and into the blobs as it is. */
struct state {
    char magic[8];
    struct hash link;
    struct hash job;
    uint64_t updates;
    uint32_t epoch_count;
    struct result_epoch curve[EPOCHS_MAX];
};

struct trainer {
    struct trainer_options options;
    struct state state;
    struct progress progress; /* without lists */
    uint32_t histogram[64];
};

static uint64_t units_done;

uint64_t sim_trainer_units(void)
{
    return units_done;
}

void trainer_class_of(struct backend *backend, uint32_t shards, char out[JOB_CLASS_BYTES])
{
    (void)backend;
    (void)shards;
    (void)snprintf(out, JOB_CLASS_BYTES, "%s", NUMERIC_CLASS);
}

const char *trainer_numeric_class(const struct trainer *trainer)
{
    return trainer->progress.numeric_class;
}

/* ---- the chain ---- */

/* The next link names what was done and how far it had come. */
static void link_unit(struct trainer *trainer)
{
    struct {
        struct hash link;
        uint64_t phase;
        uint64_t units;
        uint64_t updates;
    } made = {.link = trainer->state.link,
              .phase = (uint64_t)trainer->progress.phase,
              .units = trainer->progress.units,
              .updates = trainer->state.updates};

    trainer->state.link = hash_of(bytes_view_of(&made, sizeof made));
}

static uint32_t number_of(const struct trainer *trainer, size_t at, uint32_t bound)
{
    return bytes_get_u32le(trainer->state.link.data + at) % bound;
}

static struct bytes_view state_view(const struct state *state)
{
    return bytes_view_of(state, offsetof(struct state, curve) +
                                    state->epoch_count * sizeof(struct result_epoch));
}

static bool read_state(struct bytes_view bytes, struct state *out)
{
    struct state made = {.epoch_count = 0};

    if (bytes.bytes < offsetof(struct state, curve) || bytes.bytes > sizeof made) {
        return false;
    }
    memcpy(&made, bytes.data, bytes.bytes);
    if (memcmp(made.magic, MAGIC, sizeof made.magic) != 0 || made.epoch_count > EPOCHS_MAX ||
        state_view(&made).bytes != bytes.bytes) {
        return false;
    }
    *out = made;
    return true;
}

/* ---- life ---- */

enum nero_status trainer_create(const struct trainer_options *options, struct trainer **out,
                                struct nero_err *err)
{
    const struct job_spec *spec = options->spec;
    struct trainer *trainer = mem_calloc(1, sizeof *trainer);
    struct state from = {.epoch_count = 0};
    struct hash start[2];

    assert(trainer != NULL && (spec->kind == JOB_SCORE || spec->budget.kind == JOB_STEPS));
    trainer->options = *options;
    if (spec->has_continue_from && !read_state(options->continue_from, &from)) {
        free(trainer);
        return err_set(err, NERO_CORRUPT, 0, "continue_from is no state");
    }
    start[0] = from.link;
    start[1] = options->job;
    trainer->state = from;
    memcpy(trainer->state.magic, MAGIC, sizeof trainer->state.magic);
    trainer->state.link = hash_of(bytes_view_of(start, sizeof start));
    trainer->state.job = options->job;
    trainer->progress.phase = PROGRESS_TRAIN;
    trainer->progress.updates = from.updates;
    trainer->progress.epoch = from.epoch_count;
    if (spec->kind == JOB_SCORE) {
        trainer->state.updates = 0;
        trainer->state.epoch_count = 0;
        trainer->progress.phase = PROGRESS_CLEAN;
        trainer->progress.updates = 0;
        trainer->progress.epoch = 0;
        trainer->progress.stopped = true;
        trainer->progress.stop = RESULT_STOP_SCORED;
    }
    (void)snprintf(trainer->progress.numeric_class, JOB_CLASS_BYTES, "%s", NUMERIC_CLASS);
    *out = trainer;
    return NERO_OK;
}

void trainer_destroy(struct trainer *trainer)
{
    free(trainer);
}

void trainer_expected(const struct trainer *trainer, uint64_t *steps, uint32_t *epochs)
{
    *steps = trainer->options.spec->budget.amount;
    *epochs = 0;
}

/* ---- units ---- */

static uint32_t steps_an_epoch(const struct job_spec *spec)
{
    uint32_t steps = spec->protocol.train_count / spec->phenotype.learning.batch;

    return steps > 0 ? steps : 1;
}

static void train_step(struct trainer *trainer)
{
    const struct job_spec *spec = trainer->options.spec;
    struct progress *progress = &trainer->progress;

    trainer->state.updates++;
    progress->updates = trainer->state.updates;
    progress->cursor++;
    if (progress->cursor == steps_an_epoch(spec) || progress->updates == spec->budget.amount) {
        progress->phase = PROGRESS_CONTROL;
    }
}

static void control(struct trainer *trainer)
{
    const struct job_spec *spec = trainer->options.spec;
    struct progress *progress = &trainer->progress;

    assert(trainer->state.epoch_count < EPOCHS_MAX);
    trainer->state.curve[trainer->state.epoch_count++] = (struct result_epoch){
        .loss = 0.5 + number_of(trainer, 0, 1000) * 1e-3,
        .control_loss = 0.5 + number_of(trainer, 4, 1000) * 1e-3,
        .control_correct = number_of(trainer, 8, spec->protocol.control_count + 1),
        .steps = progress->cursor};
    progress->cursor = 0;
    progress->epoch++;
    progress->has_best = true;
    progress->best_epoch = 1;
    progress->phase = PROGRESS_TRAIN;
    if (progress->updates >= spec->budget.amount) {
        progress->stopped = true;
        progress->stop = RESULT_STOP_BUDGET;
        progress->phase = PROGRESS_CLEAN;
    }
}

static void score_clean(struct trainer *trainer)
{
    const struct job_spec *spec = trainer->options.spec;
    struct progress *progress = &trainer->progress;
    uint32_t classes = spec->phenotype.classes;

    progress->count += spec->protocol.eval_batch;
    if (progress->count >= spec->protocol.fitness_count) {
        progress->count = spec->protocol.fitness_count;
        progress->correct = 1 + number_of(trainer, 12, progress->count);
        progress->phase =
            spec->protocol.attack.kind == JOB_ATTACK_NONE ? PROGRESS_DONE : PROGRESS_ATTACK;
    }
    assert(classes <= sizeof trainer->histogram / sizeof trainer->histogram[0]);
    for (uint32_t i = 0; i < classes; i++) {
        trainer->histogram[i] = progress->count / classes + (i < progress->count % classes);
    }
}

static void attack(struct trainer *trainer)
{
    trainer->progress.kept = number_of(trainer, 16, trainer->progress.correct + 1);
    trainer->progress.phase = PROGRESS_DONE;
}

enum nero_status trainer_advance(struct trainer *trainer, struct trainer_event *event,
                                 struct nero_err *err)
{
    struct progress *progress = &trainer->progress;

    *event = (struct trainer_event){.phase = progress->phase,
                                    .epoch = progress->epoch,
                                    .step = progress->cursor,
                                    .steps = steps_an_epoch(trainer->options.spec)};
    if (fiber_self() != NULL) { /* computing */
        fiber_sleep_ns((int64_t)(1 + fiber_draw(fiber_chance(LONG_UNIT_PERCENT) ? LONG_UNIT_MS
                                                                                : UNIT_MS_MAX)) *
                       1000000);
        if (sim_failing_unit(&trainer->options.job)) {
            return err_set(err, NERO_INVALID, 0, "a unit that fails");
        }
        units_done++;
    }
    link_unit(trainer);
    progress->units++;
    switch (progress->phase) {
    case PROGRESS_TRAIN:
        train_step(trainer);
        break;
    case PROGRESS_CONTROL:
        control(trainer);
        event->epoch_ended = true;
        break;
    case PROGRESS_CLEAN:
        score_clean(trainer);
        break;
    case PROGRESS_ATTACK:
        attack(trainer);
        break;
    case PROGRESS_DONE:
        break;
    }
    event->done = progress->phase == PROGRESS_DONE;
    return NERO_OK;
}

/* ---- in and out ---- */

enum nero_status trainer_reserve(const struct trainer *trainer, struct bytes *state,
                                 struct nero_err *err)
{
    (void)trainer;
    (void)state;
    (void)err;
    return NERO_OK;
}

enum nero_status trainer_snapshot(const struct trainer *trainer, struct progress *progress,
                                  struct bytes *state, struct nero_err *err)
{
    struct bytes_view view = state_view(&trainer->state);
    struct progress made = trainer->progress;
    struct progress copy;

    if (fiber_self() != NULL) { /* copying */
        fiber_sleep_ns((int64_t)fiber_draw(STALL_MS_MAX * 1000000));
    }
    made.class_count = trainer->options.spec->phenotype.classes;
    made.histogram = mem_dup(trainer->histogram, made.class_count * sizeof *made.histogram);
    if (progress_copy(&made, &copy, err) != NERO_OK) {
        return err->status;
    }
    free(made.histogram);
    progress_fini(progress);
    *progress = copy;
    bytes_clear(state);
    return bytes_append(state, view.data, view.bytes, err);
}

enum nero_status trainer_restore(struct trainer *trainer, const struct progress *progress,
                                 struct bytes_view state, struct nero_err *err)
{
    struct state made;

    if (!read_state(state, &made) || !hash_equal(&made.job, &trainer->options.job) ||
        made.updates != progress->updates) {
        return err_set(err, NERO_CORRUPT, 0, "the state is not this progress record's");
    }
    trainer->state = made;
    memcpy(trainer->histogram, progress->histogram,
           progress->class_count * sizeof *trainer->histogram);
    trainer->progress = *progress;
    trainer->progress.histogram = NULL;
    trainer->progress.class_count = 0;
    trainer->progress.correct_mask = NULL;
    trainer->progress.correct_mask_bytes = 0;
    trainer->progress.curve = NULL;
    trainer->progress.epoch_count = 0;
    return NERO_OK;
}

enum nero_status trainer_outcome(const struct trainer *trainer, struct result_outcome *outcome,
                                 struct bytes *state, struct bytes *weights, struct nero_err *err)
{
    const struct job_spec *spec = trainer->options.spec;
    const struct progress *progress = &trainer->progress;
    struct bytes_view view = state_view(&trainer->state);
    struct result_outcome made = {.job = trainer->options.job,
                                  .stop = progress->stop,
                                  .steps = trainer->state.updates,
                                  .epochs = trainer->state.epoch_count,
                                  .best_epoch = progress->has_best ? progress->best_epoch : 0,
                                  .control_count =
                                      spec->kind != JOB_SCORE ? spec->protocol.control_count : 0,
                                  .count = progress->count,
                                  .correct = progress->correct,
                                  .kept = progress->kept,
                                  .attacked = spec->protocol.attack.kind != JOB_ATTACK_NONE,
                                  .class_count = spec->phenotype.classes,
                                  .epoch_count = trainer->state.epoch_count,
                                  .has_state = spec->kind != JOB_SCORE};

    assert(progress->phase == PROGRESS_DONE);
    (void)snprintf(made.numeric_class, sizeof made.numeric_class, "%s", NUMERIC_CLASS);
    made.histogram = mem_dup(trainer->histogram, made.class_count * sizeof *made.histogram);
    made.curve = made.epoch_count > 0
                     ? mem_dup(trainer->state.curve, made.epoch_count * sizeof *made.curve)
                     : NULL;
    bytes_clear(state);
    bytes_clear(weights);
    if ((made.has_state && bytes_append(state, view.data, view.bytes, err) != NERO_OK) ||
        bytes_append(weights, view.data, view.bytes, err) != NERO_OK) {
        return err->status;
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

void sim_trainer_undisturbed(const struct job_spec *spec, const struct hash *job,
                             struct bytes_view continue_from, struct result_outcome *out,
                             uint64_t *units)
{
    struct trainer_options options = {.spec = spec, .job = *job, .continue_from = continue_from};
    struct trainer_event event = {.done = false};
    struct trainer *trainer;
    struct nero_err err;
    struct bytes state;
    struct bytes weights;

    bytes_init(&state, SIZE_MAX);
    bytes_init(&weights, SIZE_MAX);
    if (trainer_create(&options, &trainer, &err) != NERO_OK) {
        abort();
    }
    while (!event.done) {
        (void)trainer_advance(trainer, &event, &err);
    }
    *units = trainer->progress.units;
    if (trainer_outcome(trainer, out, &state, &weights, &err) != NERO_OK) {
        abort();
    }
    trainer_destroy(trainer);
    bytes_fini(&state);
    bytes_fini(&weights);
}
