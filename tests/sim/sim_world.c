#include "sim_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "dataset_store.h"
#include "nero/rng.h"
#include "preset.h"
#include "run_create.h"
#include "sim_store.h"
#include "tests/support/temp_folder.h"

enum {
    SIDE = 8,
    PIXELS = 3 * SIDE * SIDE,
    TRAIN_IMAGES = 60,
    TEST_IMAGES = 20,
    CLASS_COUNT = 10,
    OVERRIDES = 9
};

static char folder[TEMP_FOLDER_BYTES];
static struct key_pair root;

/* One lineage; two, of which many members train on after their generation; one with more. */
static const struct {
    const char *name;
    const char *overrides[OVERRIDES];
} runs[SIM_WORLD_RUNS] = {
    {"sim-a",
     {"search.lineages=1", "search.generations=3", "search.lambda=2",
      "search.rates.train_longer=0.2"}},
    {"sim-b",
     {"search.lineages=2", "search.generations=2", "search.lambda=2",
      "search.rates.train_longer=0.7"}},
    {"sim-c",
     {"search.lineages=1", "search.generations=2", "search.lambda=4",
      "search.rates.train_longer=0.7"}},
};

static void check(enum nero_status status, const struct nero_err *err, const char *what)
{
    if (status != NERO_OK) {
        (void)fprintf(stderr, "%s: %s\n", what, err->message);
        exit(1);
    }
}

static struct hash put_images(void)
{
    uint8_t images[(TRAIN_IMAGES + TEST_IMAGES) * (1 + PIXELS)];
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);
    size_t train = (size_t)TRAIN_IMAGES * (1 + PIXELS);
    struct run_dataset dataset = {
        .name = "made-up", .channels = 3, .height = SIDE, .width = SIDE, .classes = CLASS_COUNT};
    struct nero_err err;
    struct hash id;

    for (size_t i = 0; i < sizeof images; i++) {
        size_t at = i % (1 + PIXELS);

        images[i] = (uint8_t)(at == 0 ? i / (1 + PIXELS) % CLASS_COUNT : rng_below(&stream, 256));
    }
    check(dataset_store_put(sim_store_inner(), &dataset, bytes_view_of(images, train),
                            bytes_view_of(images + train, sizeof images - train), &id, &err),
          &err, "data set");
    return id;
}

static void make_run(uint32_t index, const struct hash *dataset)
{
    const char *overrides[OVERRIDES] = {"search.score_test=true", "search.budget=steps:8",
                                        "search.budget_cap=steps:16", "protocol.train_count=40",
                                        "protocol.control_count=10"};
    struct preset preset;
    struct key_pair run_key;
    struct nero_err err;

    for (uint32_t i = 0; i < 4; i++) {
        overrides[5 + i] = runs[index].overrides[i];
    }
    check(preset_load(NERO_SOURCE_DIR "/presets/smoke.yaml", overrides, OVERRIDES, &preset, &err),
          &err, "preset");
    (void)snprintf(preset.record.name, sizeof preset.record.name, "%s", runs[index].name);
    preset.record.seed = index + 1;
    preset.record.protocol.dataset = *dataset;
    preset.record.protocol.fitness_count = 10;
    check(run_create(sim_store_inner(), &preset.record, &root, &run_key, &err), &err, "run");
    key_pair_fini(&run_key);
    preset_fini(&preset);
}

void sim_world_make(void)
{
    struct hash dataset;
    struct nero_err err;
    bool created;

    if (temp_folder_make(folder, NULL) != 0) {
        perror("make a temporary folder");
        exit(1);
    }
    (void)setenv("XDG_DATA_HOME", folder, 1);
    check(cli_root_key(true, &root, &created, &err), &err, "root key");
    dataset = put_images();
    for (uint32_t i = 0; i < SIM_WORLD_RUNS; i++) {
        make_run(i, &dataset);
    }
}

void sim_world_remove(void)
{
    temp_folder_remove(folder);
}

const char *sim_world_name(uint32_t index)
{
    return runs[index].name;
}

const struct key_public *sim_world_root(void)
{
    return &root.public_key;
}
