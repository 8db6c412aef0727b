/*
 * Goal: the paths that only wide networks take (channel blocks, Winograd, mixed layouts) are right,
 * also for the shards of a batch, and a backend instance does not care what others do in other
 * threads. Method: random networks of 8 to 96 filters, every result compared with the referee's;
 * then the same network in several threads at once, each with an instance of its own, for equal
 * bits. `test_wide cpu ...`.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/rng.h"
#include "net/net.h"

#include "tests/backend/compare.h"

enum { NETWORKS = 16, THREADS = 3, UNITS = 5, SIDE = 11, CLASSES = 10 };

/*
 * Relative to the largest element. Winograd's transforms cost two digits of a float, and a value
 * next to 0 before a ReLU may fall on the other side.
 */
static const double tolerance = 2e-3;

static int failures;

static void *room(size_t count, size_t each)
{
    void *made = mem_calloc(count + 1, each);

    if (made == NULL) {
        abort();
    }
    return made;
}

static void draw_unit(struct rng_stream *stream, uint32_t number, struct phenotype_unit *unit)
{
    static const uint32_t filters[] = {16, 32, 48, 64, 80, 96, 8, 12, 20};

    unit->kind = number == 2 ? PHENOTYPE_POOL : PHENOTYPE_CONV;
    unit->conv.filters = filters[rng_below(stream, sizeof(filters) / sizeof(*filters))];
    unit->conv.kernel = rng_below(stream, 4) == 0 ? 1 : 3;
    unit->conv.stride = 1;
    unit->conv.padding = rng_below(stream, 3) == 0 ? PHENOTYPE_VALID : PHENOTYPE_SAME;
    unit->conv.bias = rng_below(stream, 2) == 0;
    unit->conv.activation = (enum phenotype_activation)(1 + rng_below(stream, 2));
    unit->conv.act_position = (enum phenotype_act_position)rng_below(stream, 2);
    unit->conv.bn = (enum phenotype_bn)rng_below(stream, 4);
    unit->pool = (struct phenotype_pool){.pooling = PHENOTYPE_AVG_POOL, .kernel = 2, .stride = 1};
    unit->inputs[unit->input_count++] = (int32_t)number - 1;
    if (number > 1 && rng_below(stream, 2) == 0) {
        unit->inputs[0] = (int32_t)number - 2;
        unit->inputs[unit->input_count++] = (int32_t)number - 1;
    }
}

static void draw_graph(uint64_t seed, struct graph *out)
{
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, 7);
    struct phenotype phenotype = {
        .channels = 3, .height = SIDE, .width = SIDE - 2, .classes = CLASSES};
    struct phenotype_unit *last;
    struct nero_err err;

    phenotype.units = room(UNITS + 1, sizeof(*phenotype.units));
    for (uint32_t i = 0; i < UNITS; i++) {
        draw_unit(&stream, i, &phenotype.units[i]);
    }
    last = &phenotype.units[UNITS];
    last->kind = PHENOTYPE_FC;
    last->fc_units = CLASSES;
    last->fc_bias = true;
    last->input_count = 1;
    last->inputs[0] = UNITS - 1;
    phenotype.unit_count = UNITS + 1;
    if (graph_build(&phenotype, out, &err) != NERO_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    free(phenotype.units);
}

/* What one network gives on one backend; one array, cut into parts. */
struct outcome {
    size_t count[4]; /* gradients, statistics, logits, gradient of the images */
    float *part[4];
};

static const char *const part_names[4] = {"gradients", "statistics", "logits", "image gradients"};

struct scene {
    const struct graph *graph;
    uint32_t batch;
    uint64_t seed;
    uint32_t shards; /* of a training batch */
    float *images, *dlogits, *trained, *stats;
    uint8_t *labels;
    size_t image_floats, logit_floats;
};

static void scene_create(const struct graph *graph, uint64_t seed, uint32_t shards,
                         struct scene *scene)
{
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, 8);

    memset(scene, 0, sizeof(*scene));
    scene->graph = graph;
    scene->seed = seed;
    scene->shards = shards;
    scene->batch = 1 + (uint32_t)rng_below(&stream, 7);
    scene->image_floats = (size_t)scene->batch * 3 * SIDE * (SIDE - 2);
    scene->logit_floats = (size_t)scene->batch * CLASSES;
    scene->images = room(scene->image_floats, sizeof(float));
    scene->dlogits = room(scene->logit_floats, sizeof(float));
    scene->trained = room((size_t)graph->trained_count, sizeof(float));
    scene->stats = room((size_t)graph->stat_count, sizeof(float));
    scene->labels = room(scene->batch, 1);
    net_init_weights(graph, seed, scene->trained, scene->stats);
    for (size_t i = 0; i < scene->image_floats; i++) {
        scene->images[i] = (float)rng_uniform(&stream);
    }
    for (size_t i = 0; i < scene->logit_floats; i++) {
        scene->dlogits[i] = (float)(rng_uniform(&stream) - 0.5);
    }
    for (uint32_t i = 0; i < scene->batch; i++) {
        scene->labels[i] = (uint8_t)rng_below(&stream, CLASSES);
    }
}

static void scene_destroy(struct scene *scene)
{
    free(scene->images);
    free(scene->dlogits);
    free(scene->trained);
    free(scene->stats);
    free(scene->labels);
}

static void outcome_create(const struct scene *scene, struct outcome *out)
{
    out->count[0] = (size_t)scene->graph->trained_count;
    out->count[1] = (size_t)scene->graph->stat_count;
    out->count[2] = scene->logit_floats;
    out->count[3] = scene->image_floats;
    for (int i = 0; i < 4; i++) {
        out->part[i] = room(out->count[i], sizeof(float));
    }
}

static void outcome_destroy(struct outcome *outcome)
{
    for (int i = 0; i < 4; i++) {
        free(outcome->part[i]);
    }
}

/* A training step, then the inference plan with the statistics that it left. */
static enum nero_status run_nets(const struct scene *scene, struct backend *backend,
                                 uint32_t threads, float *const device[3], struct outcome *out,
                                 struct nero_err *err)
{
    struct net_options options = {.batch = scene->batch,
                                  .training = true,
                                  .bn_momentum = 0.5f,
                                  .shards = scene->shards,
                                  .threads = threads};
    const struct backend_ops *ops = backend->ops;
    struct net *train = NULL;
    struct net *infer = NULL;
    double loss;
    enum nero_status status = net_create(scene->graph, backend, &options, &train, err);

    options.training = false;
    if (status == NERO_OK &&
        (net_create(scene->graph, backend, &options, &infer, err) != NERO_OK ||
         ops->upload(backend, device[0], scene->trained, out->count[0] * 4, err) != NERO_OK ||
         ops->upload(backend, device[1], scene->stats, out->count[1] * 4, err) != NERO_OK ||
         net_train_step(train, scene->images, scene->labels, device[0], device[1], device[2], &loss,
                        err) != NERO_OK ||
         ops->download(backend, out->part[0], device[2], out->count[0] * 4, err) != NERO_OK ||
         ops->download(backend, out->part[1], device[1], out->count[1] * 4, err) != NERO_OK ||
         net_load(infer, device[0], device[1], err) != NERO_OK ||
         net_forward(infer, scene->images, out->part[2], err) != NERO_OK ||
         net_backward_input(infer, scene->dlogits, out->part[3], err) != NERO_OK)) {
        status = err->status;
    }
    net_destroy(train);
    net_destroy(infer);
    return status;
}

static bool run_on(const char *name, const struct scene *scene, uint32_t threads,
                   struct outcome *out)
{
    struct backend *backend;
    struct nero_err err;
    float *device[3];
    bool ok;

    if (backend_create(name, &backend, &err) != NERO_OK) {
        printf("FAIL %s: %s\n", name, err.message);
        return false;
    }
    for (int i = 0; i < 3; i++) {
        device[i] = backend->ops->mem_alloc(backend, (out->count[i == 1] + 1) * sizeof(float));
    }
    ok = device[0] != NULL && device[1] != NULL && device[2] != NULL &&
         run_nets(scene, backend, threads, device, out, &err) == NERO_OK;
    if (!ok) {
        printf("FAIL %s network %llu: %s\n", name, (unsigned long long)scene->seed, err.message);
    }
    for (int i = 0; i < 3; i++) {
        backend->ops->mem_free(backend, device[i]);
    }
    backend_destroy(backend);
    return ok;
}

static void test_wide__agrees_with_referee(const char *name, const struct scene *scene)
{
    struct scene whole = *scene;
    struct outcome got;
    struct outcome expected;
    char what[64];

    whole.shards = 1;
    snprintf(what, sizeof(what), "%s network %llu", name, (unsigned long long)scene->seed);
    outcome_create(scene, &got);
    outcome_create(scene, &expected);
    if (!run_on("ref", &whole, 0, &expected) || !run_on(name, scene, 0, &got)) {
        failures++;
    }
    for (int i = 0; i < 4; i++) {
        failures += !compare_floats(what, part_names[i], got.part[i], expected.part[i],
                                    got.count[i], tolerance);
    }
    outcome_destroy(&got);
    outcome_destroy(&expected);
}

struct worker {
    const char *name;
    const struct scene *scene;
    uint32_t threads; /* that its shards have */
    struct outcome outcome;
    bool ok;
    pthread_t thread;
};

static void *work(void *context)
{
    struct worker *worker = context;

    worker->ok = run_on(worker->name, worker->scene, worker->threads, &worker->outcome);
    return NULL;
}

static void test_wide__threads_give_equal_bits(const char *name, const struct scene *scene)
{
    struct worker workers[THREADS];

    for (int t = 0; t < THREADS; t++) {
        workers[t] = (struct worker){.name = name, .scene = scene, .threads = (uint32_t)t + 1};
        outcome_create(scene, &workers[t].outcome);
        if (pthread_create(&workers[t].thread, NULL, work, &workers[t]) != 0) {
            abort();
        }
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(workers[t].thread, NULL);
        failures += !workers[t].ok;
    }
    for (int t = 1; t < THREADS; t++) {
        for (int i = 0; i < 4; i++) {
            if (memcmp(workers[t].outcome.part[i], workers[0].outcome.part[i],
                       workers[0].outcome.count[i] * sizeof(float)) != 0) {
                printf("FAIL %s network %llu: %s differ between threads\n", name,
                       (unsigned long long)scene->seed, part_names[i]);
                failures++;
            }
        }
    }
    for (int t = 0; t < THREADS; t++) {
        outcome_destroy(&workers[t].outcome);
    }
}

int main(int argc, char **argv)
{
    for (int a = 1; a < argc; a++) {
        for (uint64_t seed = 0; seed < NETWORKS; seed++) {
            struct graph graph;
            struct scene scene;

            draw_graph(seed, &graph);
            scene_create(&graph, seed, 1 + (uint32_t)seed % 4, &scene);
            test_wide__agrees_with_referee(argv[a], &scene);
            if (seed % 4 == 0 || seed % 4 == 2) {
                test_wide__threads_give_equal_bits(argv[a], &scene);
            }
            scene_destroy(&scene);
            graph_fini(&graph);
        }
        printf("%s: %d wide networks, %d failures\n", argv[a], NETWORKS, failures);
    }
    return failures == 0 && argc > 1 ? 0 : 1;
}
