#include "tests/support/fabricate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "amendment.h"
#include "champion.h"
#include "cli.h"
#include "dataset_store.h"
#include "generation_store.h"
#include "nero/chain.h"
#include "nero/clock.h"
#include "nero/keys.h"
#include "nero/layout.h"
#include "nero/mem.h"
#include "nero/progress.h"
#include "nero/rng.h"
#include "run_create.h"

enum {
    SIDE = 8,
    PIXELS = 3 * SIDE * SIDE,
    TRAIN_IMAGES = 60,
    TRAIN_IMAGES_PAPER = 600, /* its batches have up to 512 */
    TEST_IMAGES = 20,
    BATCH = 16,     /* presets/smoke.bnf */
    FAILED_JOB = 3, /* in the order in which they are made */
    NOT_FINITE_JOB = 5,
    PREEMPTED_EVERY = 2,
    LONG_JOB = 4, /* one of those that are preempted */
    LONG_JOB_CHECKPOINTS = 5,
    CLASS_COUNT = 10,
    HOUR_MS = 3600 * 1000
};

#define CLASS_NAME "test-1"

#define CHECK(call)                          \
    do {                                     \
        struct nero_err check_err = {0};     \
        struct nero_err *err = &check_err;   \
        fabricate_check((call), err, #call); \
    } while (0)

void fabricate_check(enum nero_status status, const struct nero_err *err, const char *what)
{
    if (status != NERO_OK) {
        (void)fprintf(stderr, "%s: %s: %s\n", what, err_status_name(status), err->message);
        exit(1);
    }
}

struct fabricate_options fabricate_defaults(void)
{
    return (struct fabricate_options){
        .lineages = 1, .generations = 3, .close = 3, .score_test = true};
}

void fabricate_put(const struct fabricate *fabricate, const char *key, enum envelope_type type,
                   struct bytes_view payload, const struct key_pair *signer)
{
    struct bytes stored;

    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    CHECK(envelope_seal(type, payload, signer, &stored, err));
    CHECK(storage_put(fabricate->store, key, bytes_as_view(&stored), err));
    bytes_fini(&stored);
}

/* ---- before the search ---- */

static void put_dataset(struct fabricate *fabricate)
{
    size_t count = fabricate->options.paper ? TRAIN_IMAGES_PAPER : TRAIN_IMAGES;
    size_t train = count * (1 + PIXELS);
    size_t all = (count + TEST_IMAGES) * (1 + PIXELS);
    uint8_t *images = mem_alloc(all);
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);

    for (size_t i = 0; i < all; i++) {
        size_t at = i % (1 + PIXELS);

        images[i] = (uint8_t)(at == 0 ? i / (1 + PIXELS) % CLASS_COUNT : rng_below(&stream, 256));
    }
    fabricate->dataset = (struct run_dataset){
        .name = "made-up", .channels = 3, .height = SIDE, .width = SIDE, .classes = CLASS_COUNT};
    CHECK(dataset_store_put(fabricate->store, &fabricate->dataset, bytes_view_of(images, train),
                            bytes_view_of(images + train, all - train), &fabricate->dataset_id,
                            err));
    free(images);
}

static void load_preset(struct fabricate *fabricate)
{
    const struct fabricate_options *options = &fabricate->options;
    char lineages[64];
    char generations[64];
    const char *const overrides[] = {
        lineages,
        generations,
        options->score_test ? "search.score_test=true" : "search.score_test=false",
        options->paper ? "protocol.train_count=580" : "protocol.train_count=40",
        "protocol.control_count=10",
        "protocol.fitness_count=10",
        options->longer ? "search.rates.train_longer=0.7" : "search.rates.train_longer=0.1",
        options->paper ? "search.warmup_threshold=0.75" : "search.warmup_threshold=0.0"};

    (void)snprintf(lineages, sizeof lineages, "search.lineages=%u", options->lineages);
    (void)snprintf(generations, sizeof generations, "search.generations=%u",
                   options->submitted > 0 ? options->submitted : options->generations);
    CHECK(preset_load(options->paper ? NERO_SOURCE_DIR "/presets/paper.yaml"
                                     : NERO_SOURCE_DIR "/presets/smoke.yaml",
                      overrides, sizeof overrides / sizeof overrides[0], &fabricate->preset, err));
}

/* The record of a run that is one evaluation. `job` keeps the bytes. */
static void make_single(struct fabricate *fabricate, struct bytes *job)
{
    struct run_record *record = &fabricate->preset.record;
    struct genotype genotype;
    struct job_spec spec;
    struct bytes spec_bytes;
    struct bytes genotype_bytes;

    job_spec_init(&spec);
    bytes_init(&spec_bytes, JOB_SPEC_BYTES_MAX);
    bytes_init(&genotype_bytes, GENOTYPE_BYTES_MAX);
    CHECK(evolve_random(&fabricate->run, 0, 0, 0, &genotype, err));
    CHECK(evolve_decode(&fabricate->run, &genotype, &spec.phenotype, err));
    CHECK(genotype_encode(&genotype, &genotype_bytes, err));
    genotype_fini(&genotype);
    spec.kind = JOB_TRAIN;
    spec.seed = 1;
    spec.budget = record->search.budget;
    spec.protocol = record->protocol;
    CHECK(job_spec_encode(&spec, &spec_bytes, err));
    CHECK(job_record_encode(bytes_as_view(&spec_bytes), bytes_as_view(&genotype_bytes), job, err));
    record->strategy = RUN_SINGLE;
    record->single_job = bytes_as_view(job);
    job_spec_fini(&spec);
    bytes_fini(&spec_bytes);
    bytes_fini(&genotype_bytes);
}

static void put_epoch(struct fabricate *fabricate, uint64_t number)
{
    struct run_epoch epoch = {.number = number, .nonce = number, .host = "test", .why = "start"};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;

    (void)snprintf(epoch.run, sizeof epoch.run, "%s", fabricate->name);
    bytes_init(&payload, RUN_CONTROL_BYTES_MAX);
    CHECK(run_epoch_encode(&epoch, &payload, err));
    layout_epoch(key, fabricate->name, number);
    fabricate_put(fabricate, key, ENVELOPE_EPOCH, bytes_as_view(&payload), &fabricate->run_key);
    bytes_fini(&payload);
}

void fabricate_certify(const struct fabricate *fabricate, const struct key_pair *key,
                       uint64_t epoch)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    struct keys_certificate certificate = {.key = key->public_key,
                                           .uses = KEYS_USE_SLOTS,
                                           .epoch = epoch,
                                           .not_before_ms = now_ms - HOUR_MS,
                                           .not_after_ms = now_ms + HOUR_MS,
                                           .host = "test"};
    char object[LAYOUT_KEY_BYTES];
    struct bytes payload;

    (void)snprintf(certificate.run, sizeof certificate.run, "%s", fabricate->name);
    bytes_init(&payload, RUN_CONTROL_BYTES_MAX);
    CHECK(keys_certificate_encode(&certificate, &payload, err));
    layout_certificate(object, fabricate->name, &key->id);
    fabricate_put(fabricate, object, ENVELOPE_CERTIFICATE, bytes_as_view(&payload),
                  &fabricate->run_key);
    bytes_fini(&payload);
}

/* Keys, run record, epochs, certificates. */
static void make_run(struct fabricate *fabricate)
{
    struct run_record *record = &fabricate->preset.record;
    struct bytes job;
    bool created;

    load_preset(fabricate);
    (void)snprintf(record->name, sizeof record->name, "%s", fabricate->name);
    record->seed = 1;
    record->protocol.dataset = fabricate->dataset_id;
    CHECK(grammar_parse("grammar", record->grammar, &fabricate->grammar, err));
    fabricate->run = (struct evolve_run){.record = record,
                                         .grammar = &fabricate->grammar,
                                         .channels = 3,
                                         .height = SIDE,
                                         .width = SIDE,
                                         .classes = CLASS_COUNT,
                                         .test_count = fabricate->dataset.test_count};
    bytes_init(&job, JOB_BYTES_MAX);
    if (fabricate->options.single) {
        make_single(fabricate, &job);
    }
    CHECK(cli_root_key(true, &fabricate->root, &created, err));
    CHECK(run_create(fabricate->store, record, &fabricate->root, &fabricate->run_key, err));
    bytes_fini(&job);
    CHECK(trust_open(fabricate->store, fabricate->name, &fabricate->root.public_key,
                     &fabricate->trust, err));
    fabricate->run.record = trust_run(fabricate->trust);
    fabricate->run.record_hash = trust_run_hash(fabricate->trust);
    for (uint64_t i = 1; i <= FABRICATE_RUNNERS; i++) {
        put_epoch(fabricate, i);
        key_pair_generate(&fabricate->runners[i - 1]);
        fabricate_certify(fabricate, &fabricate->runners[i - 1], i);
    }
    fabricate->lead = (struct lead){.store = fabricate->store,
                                    .run = fabricate->name,
                                    .run_key = &fabricate->run_key,
                                    .epoch = FABRICATE_RUNNERS};
    submission_init(&fabricate->submission, &fabricate->lead, fabricate->trust);
}

/* ---- a job ---- */

static void put_batch(struct fabricate *fabricate, const struct hash *jobs, uint32_t count)
{
    struct run_batch batch = {.number = fabricate->batches++, .count = count};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;

    (void)snprintf(batch.run, sizeof batch.run, "%s", fabricate->name);
    batch.jobs = mem_calloc(count, sizeof *batch.jobs);
    for (uint32_t i = 0; i < count; i++) {
        batch.jobs[i].job = jobs[i];
    }
    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    CHECK(run_batch_encode(&batch, &payload, err));
    layout_batch(key, fabricate->name, batch.number);
    fabricate_put(fabricate, key, ENVELOPE_BATCH, bytes_as_view(&payload), &fabricate->run_key);
    bytes_fini(&payload);
    run_batch_fini(&batch);
}

/* A blob of the job's own: made-up bytes that name job and role. */
static void add_blob(struct chain *chain, struct slot *slot, const char *role,
                     const struct hash *job, uint64_t salt)
{
    struct slot_blob *blob = &slot->blobs[slot->blob_count++];
    uint8_t content[96];

    memset(content, (int)salt, sizeof content);
    memcpy(content, job->data, sizeof job->data);
    (void)snprintf(blob->role, sizeof blob->role, "%s", role);
    memcpy(content + sizeof job->data, blob->role, sizeof blob->role);
    blob->bytes = sizeof content;
    CHECK(chain_put_blob(chain, bytes_view_of(content, sizeof content), &blob->hash, err));
}

void fabricate_checkpoint(struct chain *chain, const struct hash *job, uint32_t units,
                          struct slot *slot, struct bytes *body)
{
    struct progress progress = {.phase = PROGRESS_TRAIN,
                                .units = units,
                                .updates = units,
                                .cursor = units,
                                .seconds_used = units};

    memcpy(progress.numeric_class, CLASS_NAME, sizeof CLASS_NAME);
    bytes_init(body, PROGRESS_BYTES_MAX);
    CHECK(progress_encode(&progress, body, err));
    slot->kind = SLOT_CHECKPOINT;
    slot->body = bytes_as_view(body);
    add_blob(chain, slot, "state", job, 0x80 + units);
}

static void append_checkpoint(struct chain *chain, const struct hash *job, uint64_t token,
                              uint32_t units, const struct key_pair *runner)
{
    struct slot slot = {.token = token, .nonce = token, .reason = SLOT_NOTICE};
    struct bytes body;

    fabricate_checkpoint(chain, job, units, &slot, &body);
    CHECK(chain_append(chain, &slot, runner, NULL, err));
    bytes_fini(&body);
}

/* The curve of a training of `steps` updates. */
static void train(struct result_outcome *outcome, const struct job_spec *spec, bool finite)
{
    uint32_t per_epoch = spec->protocol.train_count / BATCH;
    uint32_t left = (uint32_t)spec->budget.amount;

    outcome->steps = left;
    outcome->control_count = spec->protocol.control_count;
    outcome->epochs = (left + per_epoch - 1) / per_epoch;
    outcome->epoch_count = outcome->epochs;
    outcome->best_epoch = 1;
    outcome->curve = mem_calloc(outcome->epoch_count, sizeof *outcome->curve);
    for (uint32_t i = 0; i < outcome->epoch_count; i++) {
        outcome->curve[i] = (struct result_epoch){.loss = 2.0 / (i + 1),
                                                  .control_loss = 2.1 / (i + 1),
                                                  .control_correct = i % 10,
                                                  .steps = left < per_epoch ? left : per_epoch};
        left -= outcome->curve[i].steps;
    }
    if (!finite) {
        outcome->curve[outcome->epoch_count - 1].loss = (double)NAN;
    }
}

/* Counts as the job's id says: any, but in step with each other. */
static void score(struct result_outcome *outcome, uint32_t images)
{
    outcome->count = images;
    outcome->correct = 1 + bytes_get_u32le(outcome->job.data) % images;
    outcome->kept = bytes_get_u32le(outcome->job.data + 4) % (outcome->correct + 1);
    outcome->attacked = true;
    for (uint32_t i = 0; i < images; i++) {
        outcome->histogram[i % CLASS_COUNT]++;
    }
}

static void make_outcome(const struct hash *job, const struct job_spec *spec, bool finite,
                         struct result_outcome *outcome)
{
    *outcome = (struct result_outcome){.job = *job,
                                       .class_count = CLASS_COUNT,
                                       .stop = finite ? RESULT_STOP_BUDGET : RESULT_STOP_NOT_FINITE,
                                       .ill = finite ? RESULT_WELL : RESULT_ILL_NOT_FINITE};
    memcpy(outcome->numeric_class, CLASS_NAME, sizeof CLASS_NAME);
    outcome->histogram = mem_calloc(CLASS_COUNT, sizeof *outcome->histogram);
    if (spec->kind != JOB_SCORE) {
        train(outcome, spec, finite);
    } else {
        outcome->stop = RESULT_STOP_SCORED;
    }
    if (finite) {
        score(outcome,
              spec->protocol.part == JOB_PART_TEST ? TEST_IMAGES : spec->protocol.fitness_count);
    }
}

void fabricate_final(const struct fabricate *fabricate, struct chain *chain, const struct hash *job,
                     const struct job_spec *spec, const struct key_pair *runner, struct slot *slot,
                     struct bytes *body)
{
    struct result_provenance provenance = {.attempts = 1, .images_per_second = 100};
    struct result_outcome *outcome;
    struct result result;
    struct bytes inner;

    result_init(&result);
    outcome = &result.outcome;
    make_outcome(job, spec, spec->kind == JOB_SCORE || fabricate->job_count != NOT_FINITE_JOB,
                 outcome);
    outcome->has_state = spec->kind != JOB_SCORE && outcome->ill == RESULT_WELL;
    if (outcome->has_state) {
        add_blob(chain, slot, "state", job, 2);
        outcome->state = slot->blobs[slot->blob_count - 1].hash;
    }
    add_blob(chain, slot, "weights", job, 3);
    outcome->weights = slot->blobs[slot->blob_count - 1].hash;
    memcpy(provenance.runner, runner->id.data, sizeof provenance.runner);
    provenance.seconds_trained = (double)outcome->steps;
    bytes_init(&inner, RESULT_BYTES_MAX);
    bytes_init(body, RESULT_BYTES_MAX);
    CHECK(result_outcome_encode(outcome, &inner, err));
    CHECK(result_encode(bytes_as_view(&inner), &provenance, body, err));
    slot->kind = SLOT_FINAL;
    slot->reason = SLOT_END;
    slot->body = bytes_as_view(body);
    result_fini(&result);
    bytes_fini(&inner);
}

static void append_final(const struct fabricate *fabricate, struct chain *chain,
                         const struct hash *job, const struct job_spec *spec, uint64_t token,
                         const struct key_pair *runner)
{
    struct slot slot = {.token = token, .nonce = token};
    const struct chain_entry *entry;
    struct bytes body;
    char key[LAYOUT_KEY_BYTES];

    fabricate_final(fabricate, chain, job, spec, runner, &slot, &body);
    CHECK(chain_append(chain, &slot, runner, &entry, err));
    layout_result(key, fabricate->name, job);
    CHECK(storage_put(fabricate->store, key, entry->stored, err));
    bytes_fini(&body);
}

static void append_failed(struct chain *chain, uint64_t token, const struct key_pair *runner)
{
    struct slot slot = {
        .kind = SLOT_FAILED, .token = token, .nonce = token, .text = "made up to fail"};

    CHECK(chain_append(chain, &slot, runner, NULL, err));
}

/* The job's whole life: taken, perhaps preempted and taken again, ended. */
static void run_job(struct fabricate *fabricate, const struct hash *job)
{
    bool preempted = fabricate->job_count % PREEMPTED_EVERY == 0;
    char key[LAYOUT_KEY_BYTES];
    struct bytes envelope;
    struct bytes_view payload;
    struct job_record record;
    struct job_spec spec;
    struct chain *chain;

    layout_spec(key, fabricate->name, job);
    bytes_init(&envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    CHECK(storage_get(fabricate->store, key, &envelope, NULL, err));
    CHECK(trust_open_run_envelope(fabricate->trust, bytes_as_view(&envelope), ENVELOPE_JOB,
                                  &payload, err));
    CHECK(job_record_decode(payload, &record, err));
    CHECK(job_spec_decode(record.spec, &spec, err));
    CHECK(
        chain_open(fabricate->store, fabricate->trust, job, bytes_as_view(&envelope), &chain, err));
    for (uint32_t i = preempted ? 0 : 1; i < FABRICATE_RUNNERS; i++) {
        uint64_t token = (uint64_t)(i + 1) << 32 | ++fabricate->counter;
        const struct key_pair *runner = &fabricate->runners[i];

        CHECK(chain_takeover(chain, token, token, 0, runner, err));
        if (i + 1 < FABRICATE_RUNNERS) {
            uint32_t checkpoints = fabricate->job_count == LONG_JOB ? LONG_JOB_CHECKPOINTS : 1;

            for (uint32_t units = 1; units <= checkpoints; units++) {
                append_checkpoint(chain, job, token, units, runner);
            }
        } else if (fabricate->job_count == FAILED_JOB) {
            append_failed(chain, token, runner);
        } else {
            append_final(fabricate, chain, job, &spec, token, runner);
        }
    }
    fabricate->job_count++;
    chain_close(chain);
    job_spec_fini(&spec);
    bytes_fini(&envelope);
}

/* ---- a generation ---- */

static void look(struct fabricate *fabricate, const struct hash *job, struct submission_look *out)
{
    result_init(&out->result);
    CHECK(submission_look(&fabricate->submission, job, NULL, out, err));
}

static void publish(struct fabricate *fabricate, const struct evolve_proposal *proposal)
{
    uint32_t count = proposal->generation.member_count;
    struct hash *jobs = mem_calloc(count, sizeof *jobs);
    uint32_t published = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (proposal->specs[i].bytes > 0) {
            CHECK(submission_publish(&fabricate->submission, bytes_as_view(&proposal->specs[i]),
                                     bytes_as_view(&proposal->genotypes[i]), &jobs[published],
                                     err));
            published++;
        }
    }
    put_batch(fabricate, jobs, published);
    free(jobs);
}

/* Run the jobs of the members from `first` on, and look what became of them. */
static void evaluate(struct fabricate *fabricate, const struct generation *generation,
                     uint32_t first, struct submission_look *looks,
                     struct evolve_evaluation *evaluations)
{
    for (uint32_t i = first; i < generation->member_count; i++) {
        if (!generation->members[i].has_job) {
            continue;
        }
        run_job(fabricate, &generation->members[i].job);
        look(fabricate, &generation->members[i].job, &looks[i]);
        evaluations[i] = (struct evolve_evaluation){.failed = looks[i].state == SUBMISSION_FAILED,
                                                    .slot = looks[i].slot};
        evaluations[i].outcome = evaluations[i].failed ? NULL : &looks[i].result.outcome;
        (void)snprintf(evaluations[i].text, sizeof evaluations[i].text, "%.100s", looks[i].text);
    }
}

/* EVALUATED, EXTENDING where members train on, and CLOSED, from what the chains say. */
static void close_generation(struct fabricate *fabricate, const struct generation *proposed,
                             struct hash proposed_hash, const struct generation *previous)
{
    uint32_t count = proposed->member_count + GENERATION_EXTENSIONS_MAX;
    struct evolve_evaluation *evaluations = mem_calloc(count, sizeof *evaluations);
    struct submission_look *looks = mem_calloc(count, sizeof *looks);
    const struct generation *last;
    struct evolve_proposal extension;
    struct generation evaluated;
    struct generation closed;
    struct hash hash;

    evaluate(fabricate, proposed, 0, looks, evaluations);
    CHECK(evolve_evaluate(&fabricate->run, proposed, proposed_hash, evaluations, &evaluated, err));
    CHECK(generation_store_put(fabricate->store, &fabricate->run_key, &evaluated, &hash, err));
    CHECK(evolve_extend(&fabricate->run, &evaluated, hash, evaluations, &extension, err));
    last = &evaluated;
    if (extension.generation.member_count > 0) {
        last = &extension.generation;
        publish(fabricate, &extension);
        CHECK(generation_store_put(fabricate->store, &fabricate->run_key, last, &hash, err));
        evaluate(fabricate, last, proposed->member_count, looks, evaluations);
        fabricate->extensions += last->member_count - proposed->member_count;
    }
    CHECK(evolve_close(&fabricate->run, last, hash, evaluations, previous, &closed, err));
    CHECK(generation_store_put(fabricate->store, &fabricate->run_key, &closed, &hash, err));
    for (uint32_t i = 0; i < count; i++) {
        result_fini(&looks[i].result);
    }
    evolve_proposal_fini(&extension);
    generation_fini(&evaluated);
    generation_fini(&closed);
    free(evaluations);
    free(looks);
}

static void make_generation(struct fabricate *fabricate, uint32_t lineage, uint32_t number,
                            bool close)
{
    struct generation_stored previous;
    struct submission_look parent = {.state = SUBMISSION_OPEN};
    struct hash prev = fabricate->run.record_hash;
    struct evolve_proposal proposal;
    struct hash hash;

    if (number > 0) {
        const struct generation_member *selected;

        CHECK(generation_store_get(fabricate->store, fabricate->trust, fabricate->name, lineage,
                                   number - 1, GENERATION_CLOSED, &previous, err));
        prev = previous.hash;
        selected = &previous.generation.members[previous.generation.selected];
        look(fabricate, &selected->job, &parent);
    }
    CHECK(evolve_propose(&fabricate->run, lineage, number, number > 0 ? &previous.generation : NULL,
                         prev, parent.state == SUBMISSION_FINAL ? &parent.result.outcome : NULL,
                         &proposal, err));
    publish(fabricate, &proposal);
    CHECK(generation_store_put(fabricate->store, &fabricate->run_key, &proposal.generation, &hash,
                               err));
    if (close) {
        close_generation(fabricate, &proposal.generation, hash,
                         number > 0 ? &previous.generation : NULL);
    }
    evolve_proposal_fini(&proposal);
    if (number > 0) {
        generation_stored_fini(&previous);
        result_fini(&parent.result);
    }
}

/* The champion's score on the test images. */
static void score_champion(struct fabricate *fabricate, uint32_t end)
{
    uint32_t *closed = mem_calloc(fabricate->options.lineages, sizeof *closed);
    const struct generation_member *member;
    struct champion champion;
    struct submission_look found;
    struct bytes spec;
    struct hash job;

    for (uint32_t i = 0; i < fabricate->options.lineages; i++) {
        closed[i] = end;
    }
    CHECK(champion_find(fabricate->store, fabricate->trust, closed, fabricate->options.lineages,
                        &champion, err));
    if (champion.found) {
        member = &champion.closed.generation.members[champion.member];
        look(fabricate, &member->job, &found);
        bytes_init(&spec, JOB_BYTES_MAX);
        CHECK(champion_score_spec(&fabricate->run, &champion, &found.result.outcome, &spec, err));
        CHECK(submission_publish(&fabricate->submission, bytes_as_view(&spec), member->genotype,
                                 &job, err));
        result_fini(&found.result);
        look(fabricate, &job, &found);
        if (found.state == SUBMISSION_OPEN) { /* else scored at a former end */
            put_batch(fabricate, &job, 1);
            run_job(fabricate, &job);
            fabricate->scores++;
        }
        bytes_fini(&spec);
        result_fini(&found.result);
    }
    champion_fini(&champion);
    free(closed);
}

/* ---- the whole ---- */

static void extend_run(struct fabricate *fabricate, uint32_t generations)
{
    struct amendment_list list;

    CHECK(amendment_list_read(fabricate->store, fabricate->trust, &list, err));
    CHECK(amendment_put(fabricate->store, fabricate->trust, &list, &fabricate->root, generations,
                        err));
    amendment_list_fini(&list);
}

static void make_search(struct fabricate *fabricate)
{
    const struct fabricate_options *options = &fabricate->options;
    uint32_t end = options->submitted > 0 ? options->submitted : options->generations;

    for (uint32_t i = 0; i < options->generations && i <= options->close; i++) {
        for (uint32_t j = 0; j < options->lineages; j++) {
            make_generation(fabricate, j, i, i < options->close);
        }
        if (i < options->close && i + 1 == end) {
            if (options->score_test) {
                score_champion(fabricate, end);
            }
            if (end < options->generations) {
                end = options->step > 0 ? end + options->step : options->generations;
                extend_run(fabricate, end);
            }
        }
    }
}

static void make_evaluation(struct fabricate *fabricate)
{
    struct job_record record;
    struct hash job;

    CHECK(job_record_decode(fabricate->run.record->single_job, &record, err));
    CHECK(submission_publish(&fabricate->submission, record.spec, record.genotype, &job, err));
    put_batch(fabricate, &job, 1);
    run_job(fabricate, &job);
}

void fabricate_run(struct fabricate *fabricate, const char *folder, const char *name,
                   const struct fabricate_options *options)
{
    char data[FABRICATE_TEXT_BYTES];

    memset(fabricate, 0, sizeof *fabricate);
    CHECK(hash_library_init(err));
    fabricate->options = *options;
    (void)snprintf(fabricate->folder, sizeof fabricate->folder, "%s", folder);
    (void)snprintf(fabricate->name, sizeof fabricate->name, "%s", name);
    (void)snprintf(data, sizeof data, "%s/data", folder);
    (void)setenv("XDG_DATA_HOME", data, 1);
    (void)snprintf(fabricate->root_key, sizeof fabricate->root_key,
                   "%s/data/nero/keys/root.key.pub", folder);
    (void)snprintf(fabricate->store_path, sizeof fabricate->store_path, "%s/store", folder);
    (void)snprintf(fabricate->url, sizeof fabricate->url, "file://%s/store", folder);
    CHECK(storage_open(fabricate->url, true, &fabricate->store, err));
    if (options->attempts) {
        storage_promise_single_writer(fabricate->store);
    }
    put_dataset(fabricate);
    make_run(fabricate);
    if (options->single) {
        make_evaluation(fabricate);
    } else {
        make_search(fabricate);
    }
}

void fabricate_fini(struct fabricate *fabricate)
{
    submission_fini(&fabricate->submission);
    trust_close(fabricate->trust);
    grammar_fini(&fabricate->grammar);
    preset_fini(&fabricate->preset);
    storage_close(fabricate->store);
    key_pair_fini(&fabricate->root);
    key_pair_fini(&fabricate->run_key);
    for (int i = 0; i < FABRICATE_RUNNERS; i++) {
        key_pair_fini(&fabricate->runners[i]);
    }
}
