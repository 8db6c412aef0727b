#include "tests/support/evaluation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/rng.h"

#include "tests/support/tiny_net.h"

enum { CLOCK_STEP_NS = 10 * 1000 * 1000, STATE_BYTES_MAX = 64 << 20 };

static int64_t clock_now;

static int64_t read_clock(void *context)
{
    (void)context;
    clock_now += CLOCK_STEP_NS;
    return clock_now;
}

static void no_sleep(void *context, int64_t ms)
{
    (void)context;
    (void)ms;
}

const struct clock_source *evaluation_clock(void)
{
    static const struct clock_source source = {
        .wall_ms = read_clock, .mono_ns = read_clock, .sleep_ms = no_sleep};

    return &source;
}

void evaluation_spec(struct job_spec *spec, enum job_kind kind)
{
    job_spec_init(spec);
    spec->kind = kind;
    spec->seed = 20240607;
    spec->budget = (struct job_budget){.kind = JOB_EPOCHS, .amount = 2};
    spec->protocol =
        (struct job_protocol){.split_seed = 11,
                              .train_count = 110, /* 3 steps of 32, the rest dropped */
                              .control_count = 21,
                              .fitness_count = 45,
                              .attack = {.kind = JOB_ATTACK_FGSM, .epsilon = 8.0 / 255.0},
                              .eval_batch = 8,
                              .l2 = 5e-4,
                              .bn_momentum = 0.9,
                              .augment = true,
                              .ill_fitted_share = 1.0};
    spec->has_continue_from = kind != JOB_TRAIN;
}

static void must(enum nero_status status, const struct nero_err *err, const char *what)
{
    if (status != NERO_OK) {
        fail_msg("%s: %s (%s:%d)", what, err->message, err->file, err->line);
    }
}

void evaluation_open(const struct evaluation *evaluation, struct evaluation_run *run)
{
    struct trainer_options options = {.spec = &evaluation->spec,
                                      .job = hash_of(bytes_view_str(evaluation->name)),
                                      .dataset = evaluation->dataset,
                                      .shards = evaluation->shards,
                                      .threads = evaluation->threads,
                                      .clock = evaluation_clock(),
                                      .continue_from = evaluation->continue_from};
    struct nero_err err;

    must(backend_create(evaluation->backend, &run->backend, &err), &err, evaluation->name);
    options.backend = run->backend;
    must(trainer_create(&options, &run->trainer, &err), &err, evaluation->name);
}

void evaluation_close(struct evaluation_run *run)
{
    trainer_destroy(run->trainer);
    backend_destroy(run->backend);
}

/* What survives a kill: the bytes of the last snapshot. */
struct committed {
    struct bytes progress;
    struct bytes state;
    bool any;
};

static void commit(const struct evaluation_run *run, struct committed *committed)
{
    struct progress progress;
    struct nero_err err;

    progress_init(&progress);
    must(trainer_snapshot(run->trainer, &progress, &committed->state, &err), &err, "snapshot");
    bytes_clear(&committed->progress);
    must(progress_encode(&progress, &committed->progress, &err), &err, "encode progress");
    committed->any = true;
    progress_fini(&progress);
}

/* A fresh backend and trainer, from the last snapshot where there is one. */
static void restart(const struct evaluation *evaluation, const struct committed *committed,
                    struct evaluation_run *run)
{
    struct progress progress;
    struct nero_err err;

    evaluation_close(run);
    evaluation_open(evaluation, run);
    if (!committed->any) {
        return;
    }
    must(progress_decode(bytes_as_view(&committed->progress), &progress, &err), &err,
         "decode progress");
    must(trainer_restore(run->trainer, &progress, bytes_as_view(&committed->state), &err), &err,
         "restore");
    progress_fini(&progress);
}

static void interrupt(const struct evaluation *evaluation, struct evaluation_kills *kills,
                      struct rng_stream *stream, struct committed *committed,
                      struct evaluation_run *run)
{
    if (kills == NULL) {
        return;
    }
    if (rng_below(stream, 100) < kills->snapshot_percent) {
        commit(run, committed);
    }
    if (rng_below(stream, 100) < kills->kill_percent) {
        restart(evaluation, committed, run);
        kills->kills++;
    }
}

void evaluation_make(const struct evaluation *evaluation, struct evaluation_kills *kills,
                     struct evaluation_result *out)
{
    struct rng_stream stream = rng_stream(kills == NULL ? 0 : kills->seed, RNG_TEST, 0, 0, 9);
    struct committed committed = {.any = false};
    struct evaluation_run run;
    struct trainer_event event = {.done = false};
    struct nero_err err;

    memset(out, 0, sizeof(*out));
    bytes_init(&out->outcome_bytes, RESULT_BYTES_MAX);
    bytes_init(&out->state, STATE_BYTES_MAX);
    bytes_init(&out->weights, STATE_BYTES_MAX);
    bytes_init(&committed.progress, PROGRESS_BYTES_MAX);
    bytes_init(&committed.state, STATE_BYTES_MAX);
    evaluation_open(evaluation, &run);
    while (!event.done) {
        must(trainer_advance(run.trainer, &event, &err), &err, evaluation->name);
        out->units++;
        interrupt(evaluation, kills, &stream, &committed, &run);
        if (out->units > 5000) {
            fail_msg("%s does not end", evaluation->name);
        }
    }
    if (kills != NULL && kills->kills > 0) { /* the last kill may have undone the last unit */
        for (event.done = false; !event.done;) {
            must(trainer_advance(run.trainer, &event, &err), &err, evaluation->name);
        }
    }
    must(trainer_outcome(run.trainer, &out->outcome, &out->state, &out->weights, &err), &err,
         evaluation->name);
    must(result_outcome_encode(&out->outcome, &out->outcome_bytes, &err), &err, evaluation->name);
    evaluation_close(&run);
    bytes_fini(&committed.progress);
    bytes_fini(&committed.state);
}

void evaluation_result_fini(struct evaluation_result *result)
{
    free(result->outcome.histogram);
    free(result->outcome.curve);
    bytes_fini(&result->outcome_bytes);
    bytes_fini(&result->state);
    bytes_fini(&result->weights);
}

void evaluation_assert_equal(const char *name, const struct evaluation_result *a,
                             const struct evaluation_result *b)
{
    if (!bytes_view_equal(bytes_as_view(&a->weights), bytes_as_view(&b->weights))) {
        fail_msg("%s: other weights", name);
    }
    if (!bytes_view_equal(bytes_as_view(&a->state), bytes_as_view(&b->state))) {
        fail_msg("%s: another training state", name);
    }
    if (!bytes_view_equal(bytes_as_view(&a->outcome_bytes), bytes_as_view(&b->outcome_bytes))) {
        fail_msg("%s: another outcome", name);
    }
}
