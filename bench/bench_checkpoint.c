/*
 * What checkpoints cost: training steps with and without one taken and uploaded beside them, by
 * size of the state. The two take turns, so that a busy machine slows both alike; the excess is the
 * median of the pairs' differences. Then the other way: from an opened chain to the first step of a
 * restored trainer.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "nero/clock.h"
#include "nero/interval.h"
#include "nero/mem.h"
#include "nero/options.h"
#include "nero/storage_retry.h"

#include "runner_upload.h"
#include "tests/support/small_cifar.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_run.h"

enum { ROUNDS_MAX = 99, SIZES_MAX = 16, IMAGE_FLOATS = 3 * 32 * 32, STEPS_MIN = 8, BATCH = 32 };

/* Of the excess: by the state, or of the time that is trained between two checkpoints. */
#define LIMIT_S_PER_BYTE (0.020 / 100e6)
#define LIMIT_SHARE 0.01
#define FLOATS_EACH 4.0 /* of state for a parameter: Adam and the best weights */

struct bench_options {
    const char *store, *backend, *sizes;
    uint64_t rounds;
    bool json;
};

struct bench {
    const struct bench_options *options;
    struct storage *store;
    struct dataset dataset;
    struct tiny_run run;
    struct key_pair key;
    struct trust *trust;
    struct backend *backend;
    uint32_t jobs;
};

/* One size of state. */
struct bench_side {
    struct job_spec spec;
    struct tiny_job job;
    struct runner_ckpt_owner owner;
    struct chain *chain;
    struct trainer *trainer;
    struct runner_upload *upload;
};

struct bench_result {
    double bytes, step_s, stall_s, lag_s, resume_s;
    double excess_s; /* of the steps beside a checkpoint, its copy included */
    double own_s;    /* the part of it in which the training thread had a processor */
};

/* ---- a job with a large state and short steps: all parameters lie in wide layers ---- */

static enum nero_status fill_spec(struct job_spec *spec, double bytes, struct nero_err *err)
{
    struct phenotype *phenotype = &spec->phenotype;
    double parameters = bytes / sizeof(float) / FLOATS_EACH;
    uint32_t width = (uint32_t)fmax(1, parameters / (IMAGE_FLOATS + 10));

    job_spec_init(spec);
    spec->kind = JOB_TRAIN;
    spec->seed = 1;
    spec->budget = (struct job_budget){.kind = JOB_EPOCHS, .amount = 1000};
    spec->protocol = (struct job_protocol){.split_seed = 1,
                                           .train_count = 3500,
                                           .control_count = 250,
                                           .fitness_count = 250,
                                           .eval_batch = 50,
                                           .bn_momentum = 0.9,
                                           .ill_fitted_share = 1.0};
    phenotype->units = mem_calloc(2, sizeof *phenotype->units);
    if (phenotype->units == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory");
    }
    phenotype->channels = 3;
    phenotype->height = phenotype->width = 32;
    phenotype->classes = 10;
    phenotype->learning = (struct phenotype_learning){.optimiser = PHENOTYPE_ADAM,
                                                      .lr = 1e-4,
                                                      .beta1 = 0.9,
                                                      .beta2 = 0.99,
                                                      .batch = BATCH,
                                                      .early_stop = 1000,
                                                      .epochs_max = 1000};
    phenotype->unit_count = 2;
    phenotype->units[0] = (struct phenotype_unit){.kind = PHENOTYPE_FC,
                                                  .fc_units = width,
                                                  .fc_activation = PHENOTYPE_RELU,
                                                  .input_count = 1,
                                                  .inputs = {PHENOTYPE_IMAGE}};
    phenotype->units[1] = phenotype->units[0];
    phenotype->units[1].fc_units = 10;
    phenotype->units[1].fc_activation = PHENOTYPE_LINEAR;
    phenotype->units[1].inputs[0] = 0;
    return NERO_OK;
}

static enum nero_status make_trainer(struct bench *bench, const struct bench_side *side,
                                     struct trainer **out, struct nero_err *err)
{
    struct trainer_options options = {.spec = &side->spec,
                                      .job = side->job.id,
                                      .dataset = &bench->dataset,
                                      .backend = bench->backend,
                                      .clock = clock_system()};

    return trainer_create(&options, out, err);
}

static void side_close(struct bench_side *side)
{
    runner_upload_end(side->upload);
    trainer_destroy(side->trainer);
    if (side->chain != NULL) {
        chain_close(side->chain);
    }
    tiny_job_fini(&side->job);
    job_spec_fini(&side->spec);
}

static enum nero_status side_open(struct bench *bench, struct bench_side *side, double bytes,
                                  struct nero_err *err)
{
    static const struct log_context where = {.run = "bench"};
    struct runner_upload_options options = {
        .owner = &side->owner, .clock = clock_system(), .where = &where, .seed = 1};

    *side =
        (struct bench_side){.owner = {.token = (1ull << 32) + 1, .nonce = 1, .key = &bench->key}};
    bytes_init(&side->job.envelope, 0);
    if (fill_spec(&side->spec, bytes, err) != NERO_OK) {
        return err->status;
    }
    tiny_job_create(&side->job, &bench->run, ++bench->jobs, "epochs:1", NULL);
    if (chain_open(bench->store, bench->trust, &side->job.id, bytes_as_view(&side->job.envelope),
                   &side->chain, err) != NERO_OK) {
        side->chain = NULL;
        return err->status;
    }
    options.chain = side->chain;
    if (chain_takeover(side->chain, side->owner.token, side->owner.nonce, 0, &bench->key, err) !=
            NERO_OK ||
        make_trainer(bench, side, &side->trainer, err) != NERO_OK) {
        return err->status;
    }
    return runner_upload_start(&options, side->trainer, &side->upload, err);
}

/* ---- measuring ---- */

/* Time by the clock, and what of it this thread, which trains, had a processor: what others take
 * from it is not in that. */
struct span {
    double wall_s, cpu_s;
};

static struct span now(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_THREAD, &usage);
    return (struct span){.wall_s = (double)clock_mono_ns(clock_system()) * 1e-9,
                         .cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6};
}

static void add_since(struct span *sum, struct span start)
{
    struct span end = now();

    sum->wall_s += end.wall_s - start.wall_s;
    sum->cpu_s += end.cpu_s - start.cpu_s;
}

static enum nero_status time_steps(struct bench_side *side, uint32_t steps, struct span *out,
                                   struct nero_err *err)
{
    *out = (struct span){0};
    for (uint32_t i = 0; i < steps;) {
        struct trainer_event event;
        struct span start = now();

        if (trainer_advance(side->trainer, &event, err) != NERO_OK) {
            return err->status;
        }
        if (event.phase == PROGRESS_TRAIN) { /* the end of an epoch is no training step */
            add_since(out, start);
            i++;
        }
    }
    return NERO_OK;
}

static void await_commits(struct bench_side *side, uint64_t commits,
                          struct runner_upload_view *view)
{
    for (;;) {
        runner_upload_look(side->upload, view);
        if (view->commits >= commits) {
            return;
        }
        runner_upload_wait_ms(side->upload, 100);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, uint64_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* So many steps that an upload ends within them: by the first one, which is not measured. */
static enum nero_status choose_steps(struct bench_side *side, uint32_t *steps, struct nero_err *err)
{
    struct runner_upload_view view;
    struct span span;
    double stall_s;

    if (time_steps(side, STEPS_MIN, &span, err) != NERO_OK ||
        runner_upload_snapshot(side->upload, side->trainer, SLOT_MANUAL, &stall_s, err) !=
            NERO_OK ||
        time_steps(side, STEPS_MIN, &span, err) != NERO_OK) {
        return err->status;
    }
    await_commits(side, 1, &view);
    *steps = (uint32_t)fmax(STEPS_MIN, ceil(2 * view.lag_s / (span.wall_s / STEPS_MIN)));
    return NERO_OK;
}

static enum nero_status measure(struct bench *bench, struct bench_side *side,
                                struct bench_result *result, struct nero_err *err)
{
    double plain[ROUNDS_MAX], excess[ROUNDS_MAX], own[ROUNDS_MAX], stall[ROUNDS_MAX];
    double lag[ROUNDS_MAX];
    uint64_t rounds = bench->options->rounds;
    struct runner_upload_view view;
    uint32_t steps = STEPS_MIN;

    if (choose_steps(side, &steps, err) != NERO_OK) {
        return err->status;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        struct span without;
        struct span with;
        struct span copy = {0};
        struct span start;

        if (time_steps(side, steps, &without, err) != NERO_OK) {
            return err->status;
        }
        start = now();
        if (runner_upload_snapshot(side->upload, side->trainer, SLOT_INTERVAL, &stall[i], err) !=
            NERO_OK) {
            return err->status;
        }
        add_since(&copy, start);
        if (time_steps(side, steps, &with, err) != NERO_OK) {
            return err->status;
        }
        plain[i] = without.wall_s;
        excess[i] = copy.wall_s + with.wall_s - without.wall_s;
        own[i] = copy.cpu_s + with.cpu_s - without.cpu_s;
        await_commits(side, 2 + i, &view);
        lag[i] = view.lag_s;
    }
    result->step_s = median(plain, rounds) / steps;
    result->excess_s = median(excess, rounds);
    result->own_s = median(own, rounds);
    result->stall_s = median(stall, rounds);
    result->lag_s = median(lag, rounds);
    return NERO_OK;
}

/* As a new attempt does it, but for the claim: verify the chain, fetch, check, restore, one step.
 */
static enum nero_status measure_resume(struct bench *bench, struct bench_side *side,
                                       struct bench_result *result, struct nero_err *err)
{
    int64_t start_ns = clock_mono_ns(clock_system());
    struct progress progress;
    const struct chain_entry *found;
    struct bytes state;
    struct span step;
    uint32_t passed = 0;
    enum nero_status status;

    runner_upload_end(side->upload);
    side->upload = NULL;
    trainer_destroy(side->trainer);
    side->trainer = NULL;
    chain_close(side->chain);
    side->chain = NULL;
    progress_init(&progress);
    bytes_init(&state, RUNNER_CKPT_STATE_BYTES_MAX);
    status = chain_open(bench->store, bench->trust, &side->job.id,
                        bytes_as_view(&side->job.envelope), &side->chain, err);
    if (status == NERO_OK) {
        status = runner_ckpt_find(side->chain, bench->store, bench->run.name, NULL, NULL, NULL,
                                  &progress, &state, &found, &passed, err);
    } else {
        side->chain = NULL;
    }
    if (status == NERO_OK) {
        status = make_trainer(bench, side, &side->trainer, err);
    }
    if (status == NERO_OK) {
        status = trainer_restore(side->trainer, &progress, bytes_as_view(&state), err);
    }
    if (status == NERO_OK) {
        status = time_steps(side, 1, &step, err);
    }
    result->resume_s = clock_seconds_since(clock_system(), start_ns);
    result->bytes = (double)state.bytes;
    bytes_fini(&state);
    progress_fini(&progress);
    return status;
}

/* ---- reporting ---- */

static double interval_of(const struct bench_result *result)
{
    struct interval_policy policy = {.kind = INTERVAL_AUTO};
    struct interval interval;

    interval_init(&interval, &policy);
    interval_stepped(&interval, result->step_s);
    interval_stalled(&interval, result->stall_s);
    return interval_seconds(&interval);
}

static void report(const struct bench *bench, const struct bench_result *result)
{
    double interval_s = interval_of(result);
    double by_state_s = LIMIT_S_PER_BYTE * result->bytes;
    double by_share_s = LIMIT_SHARE * interval_s;
    const char *verdict = result->excess_s <= by_state_s   ? "within 20 ms"
                          : result->excess_s <= by_share_s ? "within 1 %"
                                                           : "OVER both";

    if (bench->options->json) {
        (void)printf("{\"bytes\": %.0f, \"step_s\": %.6f, \"stall_s\": %.6f, \"excess_s\": %.6f, "
                     "\"own_s\": %.6f, \"lag_s\": %.6f, \"interval_s\": %.3f, "
                     "\"limit_by_state_s\": %.6f, \"limit_by_share_s\": %.6f, "
                     "\"resume_s\": %.6f, \"verdict\": \"%s\"}\n",
                     result->bytes, result->step_s, result->stall_s, result->excess_s,
                     result->own_s, result->lag_s, interval_s, by_state_s, by_share_s,
                     result->resume_s, verdict);
    } else {
        (void)printf("%7.1f %8.2f %8.2f %8.2f %8.2f %9.2f %9.2f %9.1f %8.2f %7.2f  %s\n",
                     result->bytes * 1e-6, result->step_s * 1e3, result->stall_s * 1e3,
                     result->excess_s * 1e3, result->own_s * 1e3,
                     result->excess_s * 1e3 / (result->bytes / 100e6),
                     100 * result->excess_s / interval_s, interval_s, result->lag_s,
                     result->resume_s, verdict);
    }
    (void)fflush(stdout);
}

static enum nero_status run_size(struct bench *bench, double bytes, struct nero_err *err)
{
    struct bench_side side;
    struct bench_result result = {0};
    enum nero_status status = side_open(bench, &side, bytes, err);

    if (status == NERO_OK) {
        status = measure(bench, &side, &result, err);
    }
    if (status == NERO_OK) {
        status = measure_resume(bench, &side, &result, err);
    }
    if (status == NERO_OK) {
        report(bench, &result);
    }
    side_close(&side);
    return status;
}

static enum nero_status run_sizes(struct bench *bench, struct nero_err *err)
{
    const char *at = bench->options->sizes;

    if (!bench->options->json) {
        (void)printf("store %s, %llu pairs; excess: of the steps beside one checkpoint, all "
                     "together\n\n",
                     storage_url(bench->store), (unsigned long long)bench->options->rounds);
        (void)printf("  state     step     copy   excess      own   per 100       of  interval "
                     "     lag  resume\n");
        (void)printf("     MB       ms       ms       ms       ms  MB in ms interval        s "
                     "       s       s\n");
        (void)printf("                                                limit 20  %% (1)\n");
    }
    while (*at != 0) {
        char *end;
        double megabytes = strtod(at, &end);

        if (end == at || !(megabytes > 0 && megabytes <= 1000) || (*end != 0 && *end != ',')) {
            return err_set(err, NERO_INVALID, 0,
                           "--sizes: '%s': expected numbers of MB, at most "
                           "1000, with commas between",
                           at);
        }
        if (run_size(bench, megabytes * 1e6, err) != NERO_OK) {
            return err_wrap(err, "%g MB", megabytes);
        }
        at = *end == ',' ? end + 1 : end;
    }
    return NERO_OK;
}

static enum nero_status bench_open(struct bench *bench, const char *url, struct nero_err *err)
{
    struct storage_retry_options retry = storage_retry_defaults(1);
    struct storage *inner;
    char name[32];

    if (hash_library_init(err) != NERO_OK ||
        backend_create(bench->options->backend, &bench->backend, err) != NERO_OK) {
        return err->status;
    }
    if (small_cifar_load(&bench->dataset) != 0) {
        return err_set(err, NERO_NOT_FOUND, 0, "the images in data/");
    }
    if (storage_open(url, true, &inner, err) != NERO_OK) {
        return err->status;
    }
    if (storage_retry_wrap(inner, &retry, &bench->store, err) != NERO_OK) {
        storage_close(inner);
        return err->status;
    }
    (void)snprintf(name, sizeof name, "bench-%lld",
                   (long long)(clock_wall_ms(clock_system()) / 1000));
    tiny_run_create(&bench->run, bench->store, name, 8, 40, RUN_SAME_CLASS);
    key_pair_generate(&bench->key);
    tiny_run_certify(&bench->run, &bench->key.public_key);
    return trust_open(bench->store, name, NULL, &bench->trust, err);
}

static void bench_close(struct bench *bench)
{
    if (bench->trust != NULL) {
        trust_close(bench->trust);
    }
    storage_close(bench->store);
    small_cifar_free(&bench->dataset);
    backend_destroy(bench->backend);
}

static enum nero_status run(const struct bench_options *options, struct nero_err *err)
{
    struct bench bench = {.options = options};
    char folder[TEMP_FOLDER_BYTES] = "";
    char url[TEMP_FOLDER_BYTES + 16];
    enum nero_status status;

    if (options->store == NULL) {
        if (temp_folder_make(folder, NULL) != 0) {
            return err_set(err, NERO_UNAVAILABLE, 0, "no temporary folder");
        }
        (void)snprintf(url, sizeof url, "file://%s/store", folder);
    }
    status = bench_open(&bench, options->store != NULL ? options->store : url, err);
    if (status == NERO_OK) {
        status = run_sizes(&bench, err);
    }
    bench_close(&bench);
    if (folder[0] != 0) {
        temp_folder_remove(folder);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct bench_options options = {.backend = "auto", .sizes = "1,10,100,200", .rounds = 9};
    const struct options_spec specs[] = {
        {"store", OPTIONS_STRING, "URL", "a store to write to (a temporary folder)", NULL,
         &options.store, 0},
        {"backend", OPTIONS_STRING, "NAME", "cpu, ref or auto", NULL, &options.backend, 0},
        {"sizes", OPTIONS_STRING, "MB,...", "of the state (1,10,100,200)", NULL, &options.sizes, 0},
        {"rounds", OPTIONS_U64, "N", "pairs of turns (9)", NULL, &options.rounds, ROUNDS_MAX},
        {"json", OPTIONS_FLAG, NULL, "a JSON object a line", NULL, &options.json, 0}};
    const struct options_command command = {
        .program = "bench_checkpoint",
        .arguments = "",
        .about =
            "What a checkpoint costs the training beside which it is uploaded.\n"
            "excess: of the steps beside one checkpoint and its copy; own: what of that the\n"
            "training thread itself computed, the rest it waited for a processor. Limits: 20 ms\n"
            "for 100 MB of state, or 1 % of what is trained between two checkpoints.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs)};
    struct options_parsed parsed;
    struct nero_err err;

    log_setup(stderr, LOG_WARN, LOG_TEXT);
    if (options_parse(&command, argc, argv, &parsed, &err) != NERO_OK) {
        goto fail;
    }
    if (parsed.help) {
        options_print_help(&command, stdout);
        return ERR_EXIT_DONE;
    }
    if (options.rounds == 0) {
        (void)err_set(&err, NERO_INVALID, 0, "--rounds: at least 1");
        goto fail;
    }
    if (run(&options, &err) == NERO_OK) {
        return ERR_EXIT_DONE;
    }
fail:
    (void)fprintf(stderr, "bench_checkpoint: %s\n", err.message);
    return (int)err_exit_code(err.status);
}
