#include "tiny_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/mem.h"
#include "nero/rng.h"

#define CHECK(call)                        \
    do {                                   \
        struct nero_err check_err = {0};   \
        struct nero_err *err = &check_err; \
        tiny_check((call), err, #call);    \
    } while (0)

void tiny_check(enum nero_status status, const struct nero_err *err, const char *what)
{
    if (status != NERO_OK) {
        (void)fprintf(stderr, "%s: %s: %s\n", what, err_status_name(status), err->message);
        exit(1);
    }
}

static struct hash put_blob(struct storage *store, struct bytes_view body)
{
    char object[LAYOUT_KEY_BYTES];
    struct hash hash = hash_of(body);
    struct nero_err ignored;

    layout_data_blob(object, &hash);
    if (storage_head(store, object, NULL, &ignored) != NERO_OK) {
        CHECK(storage_put(store, object, body, err));
    }
    return hash;
}

static void protocol_of(const struct tiny_run *run, struct job_protocol *out)
{
    uint32_t unit = run->dataset.train_count / 10;

    *out = (struct job_protocol){
        .dataset = run->dataset_id,
        .split_seed = 7,
        .train_count = 4 * unit,
        .control_count = unit,
        .fitness_count = 2 * unit,
        .part = JOB_PART_FITNESS,
        .attack = {.kind = JOB_ATTACK_FGSM, .epsilon = 0.03},
        .eval_batch = 20,
        .l2 = 5e-4,
        .bn_momentum = 0.9,
        .augment = true,
        .ill_fitted_share = 1.0,
    };
}

static void make_job_record(const struct tiny_run *run, uint64_t seed, const char *budget,
                            tiny_change_fn *change, struct hash *id, struct bytes *out)
{
    struct phenotype_unit units[2] = {
        {.kind = PHENOTYPE_CONV,
         .conv = {.filters = 8,
                  .kernel = 3,
                  .stride = 2,
                  .padding = PHENOTYPE_SAME,
                  .activation = PHENOTYPE_RELU,
                  .bn = PHENOTYPE_BN_MID},
         .input_count = 1,
         .inputs = {PHENOTYPE_IMAGE}},
        {.kind = PHENOTYPE_FC,
         .fc_units = run->dataset.classes,
         .fc_bias = true,
         .input_count = 1,
         .inputs = {0}},
    };
    struct job_spec spec;
    struct bytes bytes;

    job_spec_init(&spec);
    spec.kind = JOB_TRAIN;
    spec.seed = seed;
    spec.phenotype = (struct phenotype){.channels = run->dataset.channels,
                                        .height = run->dataset.height,
                                        .width = run->dataset.width,
                                        .classes = run->dataset.classes,
                                        .learning = {.optimiser = PHENOTYPE_ADAM,
                                                     .lr = 0.001,
                                                     .beta1 = 0.9,
                                                     .beta2 = 0.999,
                                                     .batch = 20,
                                                     .early_stop = 1000,
                                                     .epochs_max = 1000},
                                        .unit_count = 2,
                                        .units = units};
    protocol_of(run, &spec.protocol);
    CHECK(job_budget_parse(budget, &spec.budget, err));
    if (change != NULL) {
        change(&spec);
    }
    bytes_init(&bytes, JOB_BYTES_MAX);
    CHECK(job_spec_encode(&spec, &bytes, err));
    *id = job_id(bytes_as_view(&bytes));
    CHECK(job_record_encode(bytes_as_view(&bytes), bytes_view_of(NULL, 0), out, err));
    bytes_fini(&bytes);
}

void tiny_job_create(struct tiny_job *job, const struct tiny_run *run, uint64_t seed,
                     const char *budget, tiny_change_fn *change)
{
    char object[LAYOUT_KEY_BYTES];
    struct bytes record;

    bytes_init(&record, JOB_BYTES_MAX);
    bytes_init(&job->envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    make_job_record(run, seed, budget, change, &job->id, &record);
    CHECK(envelope_seal(ENVELOPE_JOB, bytes_as_view(&record), &run->key, &job->envelope, err));
    layout_spec(object, run->name, &job->id);
    CHECK(storage_put(run->store, object, bytes_as_view(&job->envelope), err));
    bytes_fini(&record);
}

void tiny_job_fini(struct tiny_job *job)
{
    bytes_fini(&job->envelope);
}

static void put_run_record(struct tiny_run *run, enum run_resume_policy policy)
{
    struct run_record record = {.run_key = run->key.public_key,
                                .strategy = RUN_SINGLE,
                                .resume_policy = policy,
                                .store_mode = RUN_EXCLUSIVE};
    char object[LAYOUT_KEY_BYTES];
    struct bytes single;
    struct bytes payload;
    struct bytes stored;
    struct hash id;

    bytes_init(&single, JOB_BYTES_MAX);
    bytes_init(&payload, RUN_BYTES_MAX);
    bytes_init(&stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    make_job_record(run, 0, "epochs:1", NULL, &id, &single);
    (void)snprintf(record.name, sizeof record.name, "%s", run->name);
    protocol_of(run, &record.protocol);
    record.single_job = bytes_as_view(&single);
    CHECK(run_record_encode(&record, &payload, err));
    CHECK(envelope_seal(ENVELOPE_RUN, bytes_as_view(&payload), &run->root, &stored, err));
    layout_run(object, run->name);
    CHECK(storage_put_if_absent(run->store, object, bytes_as_view(&stored), err));
    bytes_fini(&single);
    bytes_fini(&payload);
    bytes_fini(&stored);
}

static void begin(struct tiny_run *run, struct storage *store, const char *name)
{
    *run = (struct tiny_run){.store = store};
    CHECK(hash_library_init(err));
    (void)snprintf(run->name, sizeof run->name, "%s", name);
    key_pair_generate(&run->root);
    key_pair_generate(&run->key);
}

static void put_dataset(struct tiny_run *run, struct bytes_view train, struct bytes_view test)
{
    char object[LAYOUT_KEY_BYTES];
    struct bytes record;

    run->dataset.train = put_blob(run->store, train);
    run->dataset.test = put_blob(run->store, test);
    bytes_init(&record, RUN_CONTROL_BYTES_MAX);
    CHECK(run_dataset_encode(&run->dataset, &record, err));
    run->dataset_id = run_dataset_id(bytes_as_view(&record));
    layout_dataset(object, &run->dataset_id);
    CHECK(storage_put(run->store, object, bytes_as_view(&record), err));
    bytes_fini(&record);
}

static void fill_images(uint8_t *out, uint32_t count, size_t pixels, uint32_t salt)
{
    for (uint32_t i = 0; i < count; i++) {
        struct rng_stream stream = rng_stream(salt, RNG_TEST, 0, i, 0);

        out[0] = (uint8_t)(i % 4);
        for (size_t p = 0; p < pixels; p++) {
            out[1 + p] = (uint8_t)(rng_below(&stream, 160) + 30u * (i % 4));
        }
        out += 1 + pixels;
    }
}

void tiny_run_create(struct tiny_run *run, struct storage *store, const char *name, uint32_t side,
                     uint32_t count, enum run_resume_policy policy)
{
    size_t pixels = (size_t)3 * side * side;
    uint8_t *train = mem_alloc(count * (1 + pixels));
    uint8_t *test = mem_alloc(8 * (1 + pixels));

    begin(run, store, name);
    run->dataset = (struct run_dataset){.name = "tiny",
                                        .channels = 3,
                                        .height = side,
                                        .width = side,
                                        .classes = 4,
                                        .train_count = count,
                                        .test_count = 8};
    fill_images(train, count, pixels, 1);
    fill_images(test, 8, pixels, 2);
    put_dataset(run, bytes_view_of(train, count * (1 + pixels)),
                bytes_view_of(test, 8 * (1 + pixels)));
    free(train);
    free(test);
    put_run_record(run, policy);
}

static void read_file(const char *path, struct bytes *out)
{
    FILE *file = fopen(path, "rb");
    uint8_t *room = NULL;
    long bytes = 0;

    bytes_init(out, 64 * 1024 * 1024);
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
        bytes = ftell(file);
        rewind(file);
        CHECK(bytes_extend(out, (size_t)bytes, &room, err));
    }
    if (file == NULL || fread(room, 1, (size_t)bytes, file) != (size_t)bytes) {
        (void)fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    (void)fclose(file);
}

void tiny_run_create_small_cifar(struct tiny_run *run, struct storage *store, const char *name)
{
    struct bytes train;
    struct bytes test;

    begin(run, store, name);
    read_file(NERO_SOURCE_DIR "/data/cifar10-small-train.bin", &train);
    read_file(NERO_SOURCE_DIR "/data/cifar10-small-test.bin", &test);
    run->dataset = (struct run_dataset){.name = "cifar10-small",
                                        .channels = 3,
                                        .height = 32,
                                        .width = 32,
                                        .classes = 10,
                                        .train_count = (uint32_t)(train.bytes / 3073),
                                        .test_count = (uint32_t)(test.bytes / 3073)};
    put_dataset(run, bytes_as_view(&train), bytes_as_view(&test));
    bytes_fini(&train);
    bytes_fini(&test);
    put_run_record(run, RUN_SAME_CLASS);
}

void tiny_run_certify(const struct tiny_run *run, const struct key_public *key)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    struct keys_certificate certificate = {.key = *key,
                                           .uses = KEYS_USE_SLOTS,
                                           .epoch = 1,
                                           .not_before_ms = now_ms - 60000,
                                           .not_after_ms = now_ms + 3600000,
                                           .host = "test"};
    struct key_id id = key_id_of(key);
    char object[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;

    (void)snprintf(certificate.run, sizeof certificate.run, "%s", run->name);
    bytes_init(&payload, 4096);
    bytes_init(&stored, 8192);
    CHECK(keys_certificate_encode(&certificate, &payload, err));
    CHECK(envelope_seal(ENVELOPE_CERTIFICATE, bytes_as_view(&payload), &run->key, &stored, err));
    layout_certificate(object, run->name, &id);
    CHECK(storage_put(run->store, object, bytes_as_view(&stored), err));
    bytes_fini(&payload);
    bytes_fini(&stored);
}

void tiny_damage(struct storage *store, const char *object, bool cut)
{
    struct bytes body;

    bytes_init(&body, 64 * 1024 * 1024);
    CHECK(storage_get(store, object, &body, NULL, err));
    body.data[body.bytes / 2] ^= 0x10;
    CHECK(storage_put(store, object, bytes_view_of(body.data, cut ? body.bytes / 2 : body.bytes),
                      err));
    bytes_fini(&body);
}
