#include "codec_samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/envelope.h"
#include "nero/generation.h"
#include "nero/genotype.h"
#include "nero/job.h"
#include "nero/keys.h"
#include "nero/mem.h"
#include "nero/progress.h"
#include "nero/result.h"
#include "nero/run.h"
#include "nero/slot.h"

enum { SAMPLE_BYTES_MAX = 1 << 20 };

static struct hash sample_hash(uint8_t seed)
{
    struct hash hash;

    for (size_t i = 0; i < sizeof hash.data; i++) {
        hash.data[i] = (uint8_t)(seed + 7 * i);
    }
    return hash;
}

/* ---- phenotype ---- */

static const struct phenotype_conv sample_conv = {.filters = 64,
                                                  .kernel = 3,
                                                  .stride = 1,
                                                  .padding = PHENOTYPE_SAME,
                                                  .bias = false,
                                                  .activation = PHENOTYPE_SILU,
                                                  .act_position = PHENOTYPE_PRE_CONV,
                                                  .bn = PHENOTYPE_BN_PRE,
                                                  .filters_mult = 4};

void codec_sample_phenotype(struct phenotype *out)
{
    struct phenotype_unit *units = mem_calloc(4, sizeof *units);

    phenotype_init(out);
    out->channels = 3;
    out->height = 32;
    out->width = 32;
    out->classes = 10;
    out->learning = (struct phenotype_learning){.optimiser = PHENOTYPE_SGD,
                                                .lr = 0.01,
                                                .decay = 1e-4,
                                                .momentum = 0.9,
                                                .nesterov = true,
                                                .batch = 128,
                                                .early_stop = 8,
                                                .epochs_max = 10000};
    if (units == NULL) {
        return;
    }
    out->units = units;
    out->unit_count = 4;
    units[0] = (struct phenotype_unit){
        .kind = PHENOTYPE_CONV, .conv = sample_conv, .input_count = 1, .inputs = {-1}};
    units[1] = (struct phenotype_unit){
        .kind = PHENOTYPE_CONV, .conv = sample_conv, .input_count = 2, .inputs = {-1, 0}};
    units[2] = (struct phenotype_unit){.kind = PHENOTYPE_POOL,
                                       .conv = {.filters = 256, .kernel = 1, .stride = 1},
                                       .pool = {.pooling = PHENOTYPE_AVG_POOL,
                                                .kernel = 2,
                                                .stride = 2,
                                                .padding = PHENOTYPE_VALID},
                                       .input_count = 2,
                                       .inputs = {0, 1}};
    units[3] = (struct phenotype_unit){
        .kind = PHENOTYPE_FC, .fc_units = 10, .fc_bias = true, .input_count = 1, .inputs = {2}};
}

static enum nero_status make_phenotype(struct bytes *out, struct nero_err *err)
{
    struct phenotype phenotype;
    enum nero_status status;

    codec_sample_phenotype(&phenotype);
    status = phenotype_encode(&phenotype, out, err);
    phenotype_fini(&phenotype);
    return status;
}

static enum nero_status recode_phenotype(struct bytes_view bytes, struct bytes *out,
                                         struct nero_err *err)
{
    struct phenotype phenotype;
    enum nero_status status = phenotype_decode(bytes, &phenotype, err);

    if (status == NERO_OK) {
        status = phenotype_encode(&phenotype, out, err);
        phenotype_fini(&phenotype);
    }
    return status;
}

/* ---- job ---- */

void codec_sample_spec(struct job_spec *out)
{
    job_spec_init(out);
    out->kind = JOB_EXTEND;
    codec_sample_phenotype(&out->phenotype);
    out->seed = UINT64_C(0x0123456789abcdef);
    out->budget = (struct job_budget){.kind = JOB_EPOCHS, .amount = 17};
    out->protocol = (struct job_protocol){.dataset = sample_hash(1),
                                          .split_seed = 99,
                                          .train_count = 43000,
                                          .control_count = 3500,
                                          .fitness_count = 3500,
                                          .part = JOB_PART_FITNESS,
                                          .attack = {.kind = JOB_ATTACK_PGD,
                                                     .epsilon = 8.0 / 255.0,
                                                     .step_size = 2.0 / 255.0,
                                                     .steps = 7},
                                          .eval_batch = 100,
                                          .l2 = 5e-4,
                                          .bn_momentum = 0.99,
                                          .augment = true,
                                          .ill_fitted_share = 0.9,
                                          .on_timeout = JOB_SCORE_LAST,
                                          .time_check = JOB_CHECK_STEP,
                                          .max_parameters = 50000000,
                                          .max_plan_bytes = UINT64_C(8) << 30};
    (void)snprintf(out->numeric_class, sizeof out->numeric_class, "%s",
                   "nero-0.1/cpu-onednn-2.6/avx2/s1/f32");
    out->has_continue_from = true;
    out->continue_from = sample_hash(2);
}

static enum nero_status make_spec(struct bytes *out, struct nero_err *err)
{
    struct job_spec spec;
    enum nero_status status;

    codec_sample_spec(&spec);
    status = job_spec_encode(&spec, out, err);
    job_spec_fini(&spec);
    return status;
}

static enum nero_status recode_spec(struct bytes_view bytes, struct bytes *out,
                                    struct nero_err *err)
{
    struct job_spec spec;
    enum nero_status status = job_spec_decode(bytes, &spec, err);

    if (status == NERO_OK) {
        status = job_spec_encode(&spec, out, err);
        job_spec_fini(&spec);
    }
    return status;
}

static enum nero_status make_job(struct bytes *out, struct nero_err *err)
{
    return job_record_encode(bytes_view_str("spec bytes"), bytes_view_str("genotype bytes"), out,
                             err);
}

static enum nero_status recode_job(struct bytes_view bytes, struct bytes *out, struct nero_err *err)
{
    struct job_record job;
    enum nero_status status = job_record_decode(bytes, &job, err);

    return status == NERO_OK ? job_record_encode(job.spec, job.genotype, out, err) : status;
}

/* ---- result and progress ---- */

static uint32_t sample_histogram[] = {350, 300, 400, 350, 0, 700, 350, 350, 350, 350};
static struct result_epoch sample_curve[] = {
    {.loss = 2.1, .control_loss = 2.2, .control_correct = 700, .steps = 335},
    {.loss = 1.7, .control_loss = NAN, .control_correct = 1400, .steps = 335},
    {.loss = INFINITY, .control_loss = 1.75, .control_correct = 1500, .steps = 120}};

static enum nero_status make_outcome(struct bytes *out, struct nero_err *err)
{
    const struct result_outcome outcome = {.job = sample_hash(3),
                                           .numeric_class = "nero-0.1/cpu-onednn-2.6/avx2/s1/f32",
                                           .stop = RESULT_STOP_BUDGET,
                                           .ill = RESULT_WELL,
                                           .steps = 790,
                                           .epochs = 3,
                                           .best_epoch = 3,
                                           .control_count = 3500,
                                           .count = 3500,
                                           .correct = 3062,
                                           .kept = 1018,
                                           .zero_gradient = 4,
                                           .attacked = true,
                                           .class_count = 10,
                                           .histogram = sample_histogram,
                                           .epoch_count = 3,
                                           .curve = sample_curve,
                                           .has_state = true,
                                           .state = sample_hash(4),
                                           .weights = sample_hash(5)};

    return result_outcome_encode(&outcome, out, err);
}

static enum nero_status recode_outcome(struct bytes_view bytes, struct bytes *out,
                                       struct nero_err *err)
{
    struct result result;
    enum nero_status status;

    result_init(&result);
    status = result_outcome_decode(bytes, &result.outcome, err);
    if (status == NERO_OK) {
        status = result_outcome_encode(&result.outcome, out, err);
        result_fini(&result);
    }
    return status;
}

static enum nero_status make_result(struct bytes *out, struct nero_err *err)
{
    const struct result_provenance provenance = {
        .runner = {1, 2, 3, 254},
        .started_ms = 1767225600000,
        .finished_ms = 1767226200123,
        .attempts = 2,
        .preemptions = 1,
        .token_count = 2,
        .tokens = {UINT64_C(1) << 32 | 7, UINT64_C(2) << 32 | 9},
        .steps_redone = 12,
        .seconds_trained = 598.25,
        .seconds_lost = 3.5,
        .images_per_second = 1234.5};
    struct bytes outcome;
    enum nero_status status;

    bytes_init(&outcome, RESULT_BYTES_MAX);
    status = make_outcome(&outcome, err);
    if (status == NERO_OK) {
        status = result_encode(bytes_as_view(&outcome), &provenance, out, err);
    }
    bytes_fini(&outcome);
    return status;
}

static enum nero_status recode_result(struct bytes_view bytes, struct bytes *out,
                                      struct nero_err *err)
{
    struct result result;
    struct bytes_view outcome;
    enum nero_status status = result_decode(bytes, &result, &outcome, err);

    if (status == NERO_OK) {
        status = result_encode(outcome, &result.provenance, out, err);
        result_fini(&result);
    }
    return status;
}

static enum nero_status make_progress(struct bytes *out, struct nero_err *err)
{
    static uint8_t mask[] = {0xff, 0x0f, 0x80};
    const struct progress progress = {.phase = PROGRESS_ATTACK,
                                      .numeric_class = "nero-0.1/cpu-onednn-2.6/avx2/s1/f32",
                                      .units = 900,
                                      .updates = 790,
                                      .epoch = 3,
                                      .cursor = 20,
                                      .loss_sum = 0.0,
                                      .control_sum = -0.0,
                                      .control_correct = 0,
                                      .has_best = true,
                                      .best_loss = 1.75,
                                      .best_epoch = 3,
                                      .patience = 8,
                                      .stopped = true,
                                      .stop = RESULT_STOP_BUDGET,
                                      .seconds_used = 598.25,
                                      .count = 24,
                                      .correct = 13,
                                      .kept = 5,
                                      .zero_gradient = 1,
                                      .class_count = 10,
                                      .histogram = sample_histogram,
                                      .correct_mask_bytes = sizeof mask,
                                      .correct_mask = mask,
                                      .epoch_count = 3,
                                      .curve = sample_curve};

    return progress_encode(&progress, out, err);
}

static enum nero_status recode_progress(struct bytes_view bytes, struct bytes *out,
                                        struct nero_err *err)
{
    struct progress progress;
    struct progress copy;
    enum nero_status status = progress_decode(bytes, &progress, err);

    if (status != NERO_OK) {
        return status;
    }
    status = progress_copy(&progress, &copy, err);
    progress_fini(&progress);
    if (status == NERO_OK) {
        status = progress_encode(&copy, out, err);
        progress_fini(&copy);
    }
    return status;
}

/* ---- slot ---- */

static enum nero_status make_slot(struct bytes *out, struct nero_err *err)
{
    const struct slot slot = {.run = "cifar-10-a",
                              .job = sample_hash(3),
                              .number = 12,
                              .kind = SLOT_CHECKPOINT,
                              .token = UINT64_C(2) << 32 | 9,
                              .nonce = UINT64_C(0xfedcba9876543210),
                              .prev = sample_hash(6),
                              .skipped_count = 2,
                              .skipped = {10, 11},
                              .has_restored_from = true,
                              .restored_from = sample_hash(9),
                              .wall_ms = 1767225600000,
                              .redis_ms = 1767225600001,
                              .reason = SLOT_NOTICE,
                              .text = "höchstens",
                              .blob_count = 2,
                              .blobs = {{.role = "state", .hash = sample_hash(7), .bytes = 1 << 20},
                                        {.role = "weights", .hash = sample_hash(8), .bytes = 77}},
                              .body = bytes_view_str("progress bytes")};

    return slot_encode(&slot, out, err);
}

static enum nero_status recode_slot(struct bytes_view bytes, struct bytes *out,
                                    struct nero_err *err)
{
    struct slot slot;
    enum nero_status status = slot_decode(bytes, &slot, err);

    return status == NERO_OK ? slot_encode(&slot, out, err) : status;
}

/* ---- genotype: written by hand, so that the golden bytes check the text form as well ---- */

const char codec_sample_genotype_text[] =
    "# A small network. Comments and blank lines are free.\n"
    "nero-genotype 1\n"
    "\n"
    "module stem\n"
    "module features\n"
    "  unit wide from -1\n"
    "  unit narrow from -1 0\n"
    "  unit wide from 0 1   # the same gene again: they mutate together\n"
    "module softmax\n"
    "  unit out from -1\n"
    "learning fast\n"
    "\n"
    "gene wide features\n"
    "  features: 0\n"
    "  macro-node: 0 num-filters=128\n"
    "  activation: 1\n"
    "  activation: 0\n"
    "gene narrow features\n"
    "  features: 3\n"
    "  transition-block: 0 num-filters=16 shape=1,2,-3\n"
    "gene out softmax\n"
    "  softmax: 0\n"
    "gene fast learning\n"
    "  learning: 0 early_stop=8 batch_size=2^7\n"
    "  optimiser: 0\n"
    "  gradient-descent: 0 momentum=0.9\n"
    "  lr-decay: 0 lr=10^-2 decay=10^-4,10^-5\n";

static enum nero_status make_genotype(struct bytes *out, struct nero_err *err)
{
    struct genotype genotype;
    enum nero_status status =
        genotype_parse_text("sample", bytes_view_str(codec_sample_genotype_text), &genotype, err);

    if (status == NERO_OK) {
        status = genotype_encode(&genotype, out, err);
        genotype_fini(&genotype);
    }
    return status;
}

/* By way of a copy and of the text form. */
static enum nero_status recode_genotype(struct bytes_view bytes, struct bytes *out,
                                        struct nero_err *err)
{
    struct genotype genotype;
    struct genotype copy;
    struct bytes text;
    enum nero_status status = genotype_decode(bytes, &genotype, err);

    if (status != NERO_OK) {
        return status;
    }
    status = genotype_copy(&genotype, &copy, err);
    genotype_fini(&genotype);
    if (status != NERO_OK) {
        return status;
    }
    bytes_init(&text, SAMPLE_BYTES_MAX);
    status = genotype_print_text(&copy, &text, err);
    genotype_fini(&copy);
    if (status == NERO_OK) {
        status = genotype_parse_text("printed", bytes_as_view(&text), &genotype, err);
    }
    bytes_fini(&text);
    if (status == NERO_OK) {
        status = genotype_encode(&genotype, out, err);
        genotype_fini(&genotype);
    }
    return status;
}

/* ---- generation ---- */

static enum nero_status make_generation(struct bytes *out, struct nero_err *err)
{
    static struct generation_event events[] = {
        {.op = GENERATION_ADD_UNIT, .module = "features", .unit = 2},
        {.op = GENERATION_MUTATE_INT,
         .module = "features",
         .unit = 0,
         .what = "num-filters",
         .before = "64",
         .after = "128"}};
    struct generation_member members[] = {{.origin = GENERATION_PARENT,
                                           .genotype = bytes_view_str("genotype"),
                                           .has_job = true,
                                           .job = sample_hash(9),
                                           .budget = {.kind = JOB_EPOCHS, .amount = 17},
                                           .verdict = GENERATION_SCORED,
                                           .has_slot = true,
                                           .slot = sample_hash(10),
                                           .fitness = 0.6875,
                                           .count = 3500,
                                           .correct = 3062,
                                           .kept = 1018},
                                          {.origin = GENERATION_MUTANT,
                                           .genotype = bytes_view_str("other genotype"),
                                           .event_count = 2,
                                           .events = events,
                                           .text = "61000000 parameters are more than 50000000",
                                           .verdict = GENERATION_INVALID,
                                           .fitness = -1.0},
                                          {.origin = GENERATION_EXTENSION,
                                           .extends = 0,
                                           .genotype = bytes_view_str("genotype"),
                                           .has_job = true,
                                           .job = sample_hash(13),
                                           .budget = {.kind = JOB_EPOCHS, .amount = 34},
                                           .verdict = GENERATION_SCORED,
                                           .has_slot = true,
                                           .slot = sample_hash(14),
                                           .fitness = 0.625,
                                           .count = 3500,
                                           .correct = 3000,
                                           .kept = 1000}};
    const struct generation generation = {.run = "cifar-10-a",
                                          .lineage = 1,
                                          .number = 7,
                                          .state = GENERATION_CLOSED,
                                          .prev = sample_hash(11),
                                          .robust = true,
                                          .split_seed = 12345,
                                          .member_count = 3,
                                          .members = members,
                                          .selected = 0,
                                          .mean_fitness = 0.6875,
                                          .next_robust = true,
                                          .has_champion = true,
                                          .champion_generation = 6,
                                          .champion_member = 3,
                                          .champion_fitness = 0.7};

    return generation_encode(&generation, out, err);
}

static enum nero_status recode_generation(struct bytes_view bytes, struct bytes *out,
                                          struct nero_err *err)
{
    struct generation generation;
    enum nero_status status = generation_decode(bytes, &generation, err);

    if (status == NERO_OK) {
        status = generation_encode(&generation, out, err);
        generation_fini(&generation);
    }
    return status;
}

/* ---- run and the records around it ---- */

static enum nero_status make_run_of(int64_t priority, struct bytes *out, struct nero_err *err)
{
    struct job_spec spec;
    struct run_record run = {
        .name = "cifar-10-a",
        .run_key = {{1, 2, 3}},
        .created_ms = 1767225600000,
        .seed = 42,
        .strategy = RUN_EVOLVE,
        .resume_policy = RUN_SAME_CLASS,
        .store_mode = RUN_EXCLUSIVE,
        .search = {.lineages = 5,
                   .generations = 100,
                   .lambda = 4,
                   .reevaluate_parent = true,
                   .rates = {0.25, 0.35, 0.25, 0.15, 0.15, 0.15, 0.3, 0.1, 0.15},
                   .module_count = 2,
                   .modules = {{.symbol = "features",
                                .units_min = 1,
                                .units_max = 30,
                                .initial_min = 2,
                                .initial_max = 4,
                                .levels_back = 5,
                                .allow_skip = true},
                               {.symbol = "softmax",
                                .units_min = 1,
                                .units_max = 1,
                                .initial_min = 1,
                                .initial_max = 1,
                                .levels_back = 1}},
                   .learning_symbol = "learning",
                   .beta = 4.0,
                   .warmup_threshold = 0.6,
                   .warmup_mean_excludes_invalid = true,
                   .penalty = -1.0,
                   .budget = {.kind = JOB_EPOCHS, .amount = 17},
                   .budget_cap = 51,
                   .redraws = 7,
                   .score_test = true,
                   .seed_policy = RUN_SEED_GENOTYPE,
                   .seed_learning = RUN_LEARNING_SEED,
                   .clip = 0.9999},
        .grammar = bytes_view_str("<softmax> ::= layer:fc\n"),
        .preset = bytes_view_str("name: cifar-10-a\n"),
        .priority = priority};

    struct bytes seed;
    enum nero_status status;

    codec_sample_spec(&spec);
    run.protocol = spec.protocol;
    job_spec_fini(&spec);
    bytes_init(&seed, GENOTYPE_BYTES_MAX);
    status = make_genotype(&seed, err);
    if (status == NERO_OK) {
        run.search.seed_genotype = bytes_as_view(&seed);
        status = run_record_encode(&run, out, err);
    }
    bytes_fini(&seed);
    return status;
}

static enum nero_status make_run(struct bytes *out, struct nero_err *err)
{
    return make_run_of(0, out, err);
}

static enum nero_status make_ranked_run(struct bytes *out, struct nero_err *err)
{
    return make_run_of(-3, out, err);
}

static enum nero_status recode_run(struct bytes_view bytes, struct bytes *out, struct nero_err *err)
{
    struct run_record run;
    enum nero_status status = run_record_decode(bytes, &run, err);

    return status == NERO_OK ? run_record_encode(&run, out, err) : status;
}

static enum nero_status make_amendment(struct bytes *out, struct nero_err *err)
{
    const struct run_amendment amendment = {
        .run = "cifar-10-a", .number = 1, .prev = sample_hash(12), .generations = 200};

    return run_amendment_encode(&amendment, out, err);
}

static enum nero_status recode_amendment(struct bytes_view bytes, struct bytes *out,
                                         struct nero_err *err)
{
    struct run_amendment amendment;
    enum nero_status status = run_amendment_decode(bytes, &amendment, err);

    return status == NERO_OK ? run_amendment_encode(&amendment, out, err) : status;
}

static enum nero_status make_epoch(struct bytes *out, struct nero_err *err)
{
    const struct run_epoch epoch = {.run = "cifar-10-a",
                                    .number = 3,
                                    .nonce = 77,
                                    .wall_ms = -1,
                                    .host = "node-7",
                                    .why = "redis restarted",
                                    .has_verdict = true,
                                    .verdict = {.usable = true,
                                                .race_has_one = true,
                                                .reads_writes = true,
                                                .lists_writes = true,
                                                .keeps_odd_keys = true,
                                                .names_content = true,
                                                .match_form = 3,
                                                .clock_ahead_ms = -1500,
                                                .why = "a second create succeeds"}};

    return run_epoch_encode(&epoch, out, err);
}

static enum nero_status recode_epoch(struct bytes_view bytes, struct bytes *out,
                                     struct nero_err *err)
{
    struct run_epoch epoch;
    enum nero_status status = run_epoch_decode(bytes, &epoch, err);

    return status == NERO_OK ? run_epoch_encode(&epoch, out, err) : status;
}

static enum nero_status make_batch(struct bytes *out, struct nero_err *err)
{
    struct run_batch_job jobs[] = {
        {.job = sample_hash(13), .priority = 0, .not_before_ms = 0},
        {.job = sample_hash(14), .priority = 511, .not_before_ms = 1767225600000}};
    const struct run_batch batch = {.run = "cifar-10-a", .number = 2, .count = 2, .jobs = jobs};

    return run_batch_encode(&batch, out, err);
}

static enum nero_status recode_batch(struct bytes_view bytes, struct bytes *out,
                                     struct nero_err *err)
{
    struct run_batch batch;
    enum nero_status status = run_batch_decode(bytes, &batch, err);

    if (status == NERO_OK) {
        status = run_batch_encode(&batch, out, err);
        run_batch_fini(&batch);
    }
    return status;
}

static enum nero_status make_collection(struct bytes *out, struct nero_err *err)
{
    struct hash blobs[] = {sample_hash(15), sample_hash(16)};
    struct run_collection collection = {
        .run = "cifar-10-a", .number = 1, .wall_ms = 1767225600000, .count = 2, .blobs = blobs};

    if (hash_compare(&blobs[0], &blobs[1]) > 0) {
        blobs[0] = sample_hash(16);
        blobs[1] = sample_hash(15);
    }
    return run_collection_encode(&collection, out, err);
}

static enum nero_status recode_collection(struct bytes_view bytes, struct bytes *out,
                                          struct nero_err *err)
{
    struct run_collection collection;
    enum nero_status status = run_collection_decode(bytes, &collection, err);

    if (status == NERO_OK) {
        status = run_collection_encode(&collection, out, err);
        run_collection_fini(&collection);
    }
    return status;
}

static enum nero_status make_dataset(struct bytes *out, struct nero_err *err)
{
    const struct run_dataset dataset = {.name = "cifar-10",
                                        .channels = 3,
                                        .height = 32,
                                        .width = 32,
                                        .classes = 10,
                                        .train_count = 50000,
                                        .test_count = 10000,
                                        .train = sample_hash(15),
                                        .test = sample_hash(16)};

    return run_dataset_encode(&dataset, out, err);
}

static enum nero_status recode_dataset(struct bytes_view bytes, struct bytes *out,
                                       struct nero_err *err)
{
    struct run_dataset dataset;
    enum nero_status status = run_dataset_decode(bytes, &dataset, err);

    return status == NERO_OK ? run_dataset_encode(&dataset, out, err) : status;
}

/* ---- keys ---- */

static enum nero_status make_certificate(struct bytes *out, struct nero_err *err)
{
    const struct keys_certificate certificate = {.run = "cifar-10-a",
                                                 .key = {{9, 8, 7}},
                                                 .uses = KEYS_USE_SLOTS,
                                                 .epoch = 3,
                                                 .not_before_ms = 1767225600000,
                                                 .not_after_ms = 1767247200000,
                                                 .host = "spot-17"};

    return keys_certificate_encode(&certificate, out, err);
}

static enum nero_status recode_certificate(struct bytes_view bytes, struct bytes *out,
                                           struct nero_err *err)
{
    struct keys_certificate certificate;
    enum nero_status status = keys_certificate_decode(bytes, &certificate, err);

    return status == NERO_OK ? keys_certificate_encode(&certificate, out, err) : status;
}

static enum nero_status make_enrol(struct bytes *out, struct nero_err *err)
{
    static const uint8_t token[KEYS_TOKEN_BYTES] = {5, 5, 5};
    struct keys_enrol enrol = {.run = "cifar-10-a", .key = {{9, 8, 7}}, .host = "spot-17"};

    keys_enrol_prove(&enrol, token);
    return keys_enrol_encode(&enrol, out, err);
}

static enum nero_status recode_enrol(struct bytes_view bytes, struct bytes *out,
                                     struct nero_err *err)
{
    struct keys_enrol enrol;
    enum nero_status status = keys_enrol_decode(bytes, &enrol, err);

    return status == NERO_OK ? keys_enrol_encode(&enrol, out, err) : status;
}

const struct codec_sample codec_samples[] = {
    {"phenotype", make_phenotype, recode_phenotype},
    {"spec", make_spec, recode_spec},
    {"job", make_job, recode_job},
    {"outcome", make_outcome, recode_outcome},
    {"result", make_result, recode_result},
    {"progress", make_progress, recode_progress},
    {"slot", make_slot, recode_slot},
    {"genotype", make_genotype, recode_genotype},
    {"generation", make_generation, recode_generation},
    {"run", make_run, recode_run},
    {"ranked_run", make_ranked_run, recode_run},
    {"amendment", make_amendment, recode_amendment},
    {"epoch", make_epoch, recode_epoch},
    {"batch", make_batch, recode_batch},
    {"collection", make_collection, recode_collection},
    {"dataset", make_dataset, recode_dataset},
    {"certificate", make_certificate, recode_certificate},
    {"enrol", make_enrol, recode_enrol},
};
const size_t codec_sample_count = sizeof codec_samples / sizeof codec_samples[0];
