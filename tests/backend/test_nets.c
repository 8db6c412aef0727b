/*
 * Goal: a compiled net computes the network that its graph says, whatever was fused, folded and put
 * in the same memory: loss, gradients, running statistics, logits, gradient of the images.
 * Method: random small networks; the same evaluated node by node in double, its derivatives by
 * central differences, whose step is so small that meeting a kink is no concern. Every result is
 * computed twice for equal bits, in memory that the first run has left full. `test_nets ref cpu
 * ...`; a backend other than ref is compared with ref in every number too. Training steps are done
 * in shards as well, more of them than images sometimes, on several numbers of threads.
 */
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/rng.h"
#include "net/net.h"

#include "tests/backend/compare.h"
#include "tests/backend/networks.h"

enum { NETWORKS = 60, SAMPLES = 5, SHARDS_MAX = 4 };

static const double step = 1e-6;
static const double momentum = 0.75;

static int failures;

/* A network, what it is given, and room for what it gives; floats and the same as doubles. */
struct scene {
    uint64_t seed;
    struct graph graph;
    uint32_t batch, classes;
    size_t trained_count, stat_count, image_count, logit_count;
    float *trained, *stats, *images, *dlogits;
    double *trained64, *stats64, *images64;
    uint8_t *labels;
};

/* What a backend makes of it. */
struct outcome {
    double loss;
    float *grads, *stats, *logits, *dimages;
};

static void *room(size_t count, size_t each)
{
    void *made = mem_calloc(count + 1, each);

    if (made == NULL) {
        abort();
    }
    return made;
}

static void expect(bool ok, const struct scene *scene, const char *what)
{
    if (!ok) {
        printf("FAIL network %llu: %s\n", (unsigned long long)scene->seed, what);
        failures++;
    }
}

static void widen(const float *from, double *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (double)from[i];
    }
}

/* Weights as training starts, but nothing is left at a neutral 0 or 1. */
static void draw_state(struct scene *scene, struct rng_stream *stream)
{
    net_init_weights(&scene->graph, scene->seed, scene->trained, scene->stats);
    for (uint32_t p = 0; p < scene->graph.param_count; p++) {
        const struct graph_param *param = &scene->graph.params[p];
        bool stat = param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR;
        float *to = (stat ? scene->stats : scene->trained) + param->offset;

        for (uint64_t i = 0; param->kind != GRAPH_KERNEL && i < param->count; i++) {
            to[i] += (float)(rng_uniform(stream) - 0.5);
        }
    }
}

static void scene_create(uint64_t seed, struct scene *scene)
{
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, 2);
    struct graph_shape image;

    memset(scene, 0, sizeof(*scene));
    scene->seed = seed;
    network_draw(seed, &scene->graph);
    image = scene->graph.nodes[0].shape;
    scene->batch = (uint32_t)rng_between(&stream, 1, 5);
    scene->classes = scene->graph.nodes[scene->graph.node_count - 1].shape.c;
    scene->trained_count = (size_t)scene->graph.trained_count;
    scene->stat_count = (size_t)scene->graph.stat_count;
    scene->image_count = (size_t)scene->batch * image.c * image.h * image.w;
    scene->logit_count = (size_t)scene->batch * scene->classes;
    scene->trained = room(scene->trained_count, sizeof(float));
    scene->stats = room(scene->stat_count, sizeof(float));
    scene->images = room(scene->image_count, sizeof(float));
    scene->dlogits = room(scene->logit_count, sizeof(float));
    scene->trained64 = room(scene->trained_count, sizeof(double));
    scene->stats64 = room(scene->stat_count, sizeof(double));
    scene->images64 = room(scene->image_count, sizeof(double));
    scene->labels = room(scene->batch, 1);
    draw_state(scene, &stream);
    for (size_t i = 0; i < scene->image_count; i++) {
        scene->images[i] = (float)rng_uniform(&stream);
    }
    for (size_t i = 0; i < scene->logit_count; i++) {
        scene->dlogits[i] = (float)(rng_uniform(&stream) - 0.5);
    }
    for (uint32_t i = 0; i < scene->batch; i++) {
        scene->labels[i] = (uint8_t)rng_below(&stream, scene->classes);
    }
    widen(scene->trained, scene->trained64, scene->trained_count);
    widen(scene->stats, scene->stats64, scene->stat_count);
    widen(scene->images, scene->images64, scene->image_count);
}

static void scene_destroy(struct scene *scene)
{
    graph_fini(&scene->graph);
    free(scene->trained);
    free(scene->stats);
    free(scene->images);
    free(scene->dlogits);
    free(scene->trained64);
    free(scene->stats64);
    free(scene->images64);
    free(scene->labels);
}

static void outcome_create(const struct scene *scene, struct outcome *out)
{
    out->loss = 0.0;
    out->grads = room(scene->trained_count, sizeof(float));
    out->stats = room(scene->stat_count, sizeof(float));
    out->logits = room(scene->logit_count, sizeof(float));
    out->dimages = room(scene->image_count, sizeof(float));
}

static void outcome_destroy(struct outcome *outcome)
{
    free(outcome->grads);
    free(outcome->stats);
    free(outcome->logits);
    free(outcome->dimages);
}

/* Arrays of one backend. */
struct device {
    struct backend *backend;
    float *trained, *stats, *grads;
};

static bool device_open(const struct scene *scene, struct backend *backend, struct device *out)
{
    const struct backend_ops *ops = backend->ops;
    struct nero_err err;

    out->backend = backend;
    out->trained = ops->mem_alloc(backend, (scene->trained_count + 1) * sizeof(float));
    out->grads = ops->mem_alloc(backend, (scene->trained_count + 1) * sizeof(float));
    out->stats = ops->mem_alloc(backend, (scene->stat_count + 1) * sizeof(float));
    return out->trained != NULL && out->grads != NULL && out->stats != NULL &&
           ops->upload(backend, out->trained, scene->trained, scene->trained_count * sizeof(float),
                       &err) == NERO_OK;
}

static void device_close(struct device *device)
{
    device->backend->ops->mem_free(device->backend, device->trained);
    device->backend->ops->mem_free(device->backend, device->grads);
    device->backend->ops->mem_free(device->backend, device->stats);
}

static enum nero_status train(const struct scene *scene, struct device *device, struct net *net,
                              struct outcome *out, struct nero_err *err)
{
    const struct backend_ops *ops = device->backend->ops;
    enum nero_status status = ops->upload(device->backend, device->stats, scene->stats,
                                          scene->stat_count * sizeof(float), err);

    if (status == NERO_OK) {
        status = net_train_step(net, scene->images, scene->labels, device->trained, device->stats,
                                device->grads, &out->loss, err);
    }
    if (status == NERO_OK) {
        status = ops->download(device->backend, out->grads, device->grads,
                               scene->trained_count * sizeof(float), err);
    }
    if (status == NERO_OK) {
        status = ops->download(device->backend, out->stats, device->stats,
                               scene->stat_count * sizeof(float), err);
    }
    return status;
}

/* Between the two backward passes another one, of another gradient. */
static enum nero_status infer(const struct scene *scene, struct net *net, struct outcome *first,
                              struct outcome *second, struct nero_err *err)
{
    enum nero_status status = net_forward(net, scene->images, first->logits, err);

    if (status == NERO_OK) {
        status = net_backward_input(net, scene->dlogits, first->dimages, err);
    }
    if (status == NERO_OK) {
        status = net_backward_input(net, first->logits, second->dimages, err);
    }
    if (status == NERO_OK) {
        status = net_backward_input(net, scene->dlogits, second->dimages, err);
    }
    if (status == NERO_OK) {
        status = net_forward(net, scene->images, second->logits, err);
    }
    return status;
}

static enum nero_status run_both(const struct scene *scene, struct device *device,
                                 struct outcome *first, struct outcome *second,
                                 struct nero_err *err)
{
    struct net_options options = {
        .batch = scene->batch, .training = true, .bn_momentum = (float)momentum};
    struct net *net = NULL;
    enum nero_status status = net_create(&scene->graph, device->backend, &options, &net, err);

    if (status == NERO_OK) {
        status = train(scene, device, net, first, err);
    }
    if (status == NERO_OK) {
        status = train(scene, device, net, second, err);
    }
    net_destroy(net);
    net = NULL;
    options.training = false;
    if (status == NERO_OK) {
        status = net_create(&scene->graph, device->backend, &options, &net, err);
    }
    if (status == NERO_OK) {
        status = device->backend->ops->upload(device->backend, device->stats, scene->stats,
                                              scene->stat_count * sizeof(float), err);
    }
    if (status == NERO_OK) {
        status = net_load(net, device->trained, device->stats, err);
    }
    if (status == NERO_OK) {
        status = infer(scene, net, first, second, err);
    }
    net_destroy(net);
    return status;
}

/* All of it twice; false where anything failed or the two differ in a bit. */
static bool measure(const struct scene *scene, struct backend *backend, struct outcome *out)
{
    struct device device;
    struct outcome again;
    struct nero_err err;
    enum nero_status status = NERO_NO_MEMORY;
    bool ok = device_open(scene, backend, &device);

    outcome_create(scene, &again);
    err_set(&err, NERO_NO_MEMORY, 0, "no memory");
    if (ok) {
        status = run_both(scene, &device, out, &again, &err);
    }
    device_close(&device);
    if (status != NERO_OK) {
        expect(false, scene, err.message);
        outcome_destroy(&again);
        return false;
    }
    ok = memcmp(&out->loss, &again.loss, sizeof(double)) == 0 &&
         memcmp(out->grads, again.grads, scene->trained_count * sizeof(float)) == 0 &&
         memcmp(out->stats, again.stats, scene->stat_count * sizeof(float)) == 0 &&
         memcmp(out->logits, again.logits, scene->logit_count * sizeof(float)) == 0 &&
         memcmp(out->dimages, again.dimages, scene->image_count * sizeof(float)) == 0;
    expect(ok, scene, "two runs give equal bits");
    outcome_destroy(&again);
    return ok;
}

/* The scalar whose derivative is looked for: the loss in training, else <dlogits, logits>. */
static double scalar(const struct scene *scene, bool training)
{
    double *logits = room(scene->logit_count, sizeof(double));
    double sum = 0.0;

    network_forward(&scene->graph, scene->batch, training, scene->images64, scene->trained64,
                    scene->stats64, NULL, logits);
    if (training) {
        sum = network_loss(logits, scene->labels, scene->batch, scene->classes);
    }
    for (size_t i = 0; !training && i < scene->logit_count; i++) {
        sum += (double)scene->dlogits[i] * logits[i];
    }
    free(logits);
    return sum;
}

static double difference(const struct scene *scene, bool training, double *x)
{
    double middle = *x;
    double high, low;

    *x = middle + step;
    high = scalar(scene, training);
    *x = middle - step;
    low = scalar(scene, training);
    *x = middle;
    return (high - low) / (2.0 * step);
}

/* Some coordinates of gradient[0..count) against differences; `largest` sets the scale. */
static void check_samples(const struct scene *scene, bool training, double *x,
                          const float *gradient, size_t count, double largest, double tolerance,
                          const char *what)
{
    struct rng_stream stream = rng_stream(scene->seed, RNG_TEST, 0, 1, 3);

    for (int i = 0; i < SAMPLES && count > 0; i++) {
        size_t index = (size_t)rng_below(&stream, count);
        double expected = difference(scene, training, &x[index]);
        double got = (double)gradient[index];

        if (!(fabs(got - expected) <= tolerance * largest + 1e-7)) {
            printf("FAIL network %llu: %s[%zu]: %.8g, by differences %.8g, largest %.3g\n",
                   (unsigned long long)scene->seed, what, index, got, expected, largest);
            failures++;
        }
    }
}

static double largest_of(const float *values, size_t count)
{
    double largest = 0.0;

    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)values[i]));
    }
    return largest;
}

static void check_training(const struct scene *scene, const struct outcome *got, double tolerance)
{
    double *logits = room(scene->logit_count, sizeof(double));
    double *moments = room(scene->stat_count, sizeof(double));
    float *running = room(scene->stat_count, sizeof(float));
    double largest = largest_of(got->grads, scene->trained_count);
    double loss;

    network_forward(&scene->graph, scene->batch, true, scene->images64, scene->trained64, NULL,
                    moments, logits);
    loss = network_loss(logits, scene->labels, scene->batch, scene->classes);
    expect(fabs(got->loss - loss) <= tolerance * fmax(loss, 0.1), scene, "loss");
    for (size_t i = 0; i < scene->stat_count; i++) {
        running[i] = (float)(momentum * scene->stats64[i] + (1.0 - momentum) * moments[i]);
    }
    expect(
        compare_floats("network", "statistics", got->stats, running, scene->stat_count, tolerance),
        scene, "running statistics");
    for (uint32_t p = 0; p < scene->graph.param_count; p++) {
        const struct graph_param *param = &scene->graph.params[p];
        char name[GRAPH_NAME_BYTES];

        if (param->kind != GRAPH_MEAN && param->kind != GRAPH_VAR) {
            graph_param_name(&scene->graph, p, name);
            check_samples(scene, true, scene->trained64 + param->offset, got->grads + param->offset,
                          (size_t)param->count, largest, tolerance, name);
        }
    }
    free(logits);
    free(moments);
    free(running);
}

static void check_inference(const struct scene *scene, const struct outcome *got, double tolerance)
{
    double *logits = room(scene->logit_count, sizeof(double));
    float *expected = room(scene->logit_count, sizeof(float));

    network_forward(&scene->graph, scene->batch, false, scene->images64, scene->trained64,
                    scene->stats64, NULL, logits);
    for (size_t i = 0; i < scene->logit_count; i++) {
        expected[i] = (float)logits[i];
    }
    expect(
        compare_floats("network", "logits", got->logits, expected, scene->logit_count, tolerance),
        scene, "logits");
    check_samples(scene, false, scene->images64, got->dimages, scene->image_count,
                  largest_of(got->dimages, scene->image_count), tolerance, "image gradient");
    free(logits);
    free(expected);
}

/* Single precision through up to 40 nodes: measured below 1e-5, a tenth of what is allowed. */
static const double tolerance = 1e-4;

static void check_against_ref(const struct scene *scene, struct backend *ref,
                              const struct outcome *got)
{
    struct outcome expected;

    outcome_create(scene, &expected);
    if (measure(scene, ref, &expected)) {
        expect(fabs(got->loss - expected.loss) <= tolerance * fmax(expected.loss, 0.1) &&
                   compare_floats("against ref", "gradients", got->grads, expected.grads,
                                  scene->trained_count, tolerance) &&
                   compare_floats("against ref", "statistics", got->stats, expected.stats,
                                  scene->stat_count, tolerance) &&
                   compare_floats("against ref", "logits", got->logits, expected.logits,
                                  scene->logit_count, tolerance) &&
                   compare_floats("against ref", "image gradient", got->dimages, expected.dimages,
                                  scene->image_count, tolerance),
               scene, "differs from ref");
    }
    outcome_destroy(&expected);
}

/* Two training steps; what the second gives. The first leaves all memory full. */
static bool train_in_shards(const struct scene *scene, struct backend *backend, uint32_t shards,
                            uint32_t threads, struct outcome *out)
{
    struct net_options options = {.batch = scene->batch,
                                  .training = true,
                                  .bn_momentum = (float)momentum,
                                  .shards = shards,
                                  .threads = threads};
    struct device device;
    struct net *net = NULL;
    struct nero_err err;
    bool ok = device_open(scene, backend, &device) &&
              net_create(&scene->graph, backend, &options, &net, &err) == NERO_OK &&
              train(scene, &device, net, out, &err) == NERO_OK &&
              train(scene, &device, net, out, &err) == NERO_OK;

    expect(ok, scene, "trains in shards");
    net_destroy(net);
    device_close(&device);
    return ok;
}

static bool trained_alike(const struct scene *scene, const struct outcome *a,
                          const struct outcome *b)
{
    return memcmp(&a->loss, &b->loss, sizeof(double)) == 0 &&
           memcmp(a->grads, b->grads, scene->trained_count * sizeof(float)) == 0 &&
           memcmp(a->stats, b->stats, scene->stat_count * sizeof(float)) == 0;
}

/* The same sums in another order: measured below 1e-6 on ref and 3e-6 on cpu. */
static const double shards_tolerance = 3e-5;

static void check_number_of_shards(const struct scene *scene, struct backend *backend,
                                   uint32_t shards, const struct outcome *whole,
                                   struct outcome *out)
{
    struct outcome other;

    outcome_create(scene, &other);
    if (train_in_shards(scene, backend, shards, 1, out)) {
        expect(fabs(out->loss - whole->loss) <= shards_tolerance * fmax(whole->loss, 0.1) &&
                   compare_floats("in shards", "gradients", out->grads, whole->grads,
                                  scene->trained_count, shards_tolerance) &&
                   compare_floats("in shards", "statistics", out->stats, whole->stats,
                                  scene->stat_count, shards_tolerance),
               scene, "shards differ from the whole batch");
        for (uint32_t threads = 2; threads <= shards; threads++) {
            expect(train_in_shards(scene, backend, shards, threads, &other) &&
                       trained_alike(scene, out, &other),
                   scene, "equal bits on any number of threads");
        }
    }
    outcome_destroy(&other);
}

/* Also that a batch of fewer images than shards is cut into single images. */
static void check_shards(const struct scene *scene, struct backend *backend,
                         const struct outcome *whole)
{
    struct outcome by_count[SHARDS_MAX + 1];
    bool is_ref = strcmp(backend->ops->name, "ref") == 0;

    for (uint32_t shards = 1; shards <= SHARDS_MAX; shards++) {
        struct outcome *out = &by_count[shards];

        outcome_create(scene, out);
        check_number_of_shards(scene, backend, shards, whole, out);
        if (shards == 1 || shards > scene->batch) {
            expect(trained_alike(scene, out, shards == 1 ? whole : &by_count[scene->batch]), scene,
                   "no more shards than images");
        }
        if (shards == 2 && is_ref) {
            check_training(scene, out, tolerance);
        }
    }
    for (uint32_t shards = 1; shards <= SHARDS_MAX; shards++) {
        outcome_destroy(&by_count[shards]);
    }
}

static void check_backend(struct backend *ref, struct backend *backend)
{
    for (uint64_t seed = 1; seed <= NETWORKS; seed++) {
        struct scene scene;
        struct outcome got;

        scene_create(seed, &scene);
        outcome_create(&scene, &got);
        if (measure(&scene, backend, &got)) {
            check_training(&scene, &got, tolerance);
            check_inference(&scene, &got, tolerance);
            check_shards(&scene, backend, &got);
            if (strcmp(backend->ops->name, "ref") != 0) {
                check_against_ref(&scene, ref, &got);
            }
        }
        outcome_destroy(&got);
        scene_destroy(&scene);
    }
    printf("%s: %d networks, %d failures\n", backend->ops->name, NETWORKS, failures);
}

int main(int argc, char **argv)
{
    struct backend *ref = NULL;
    struct nero_err err;

    if (argc < 2 || backend_ref_create(&ref, &err) != NERO_OK) {
        fprintf(stderr, "usage: test_nets BACKEND...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        struct backend *backend = NULL;

        if (backend_create(argv[i], &backend, &err) != NERO_OK) {
            printf("FAIL %s\n", err.message);
            failures++;
            continue;
        }
        check_backend(ref, backend);
        backend_destroy(backend);
    }
    backend_destroy(ref);
    return failures == 0 ? 0 : 1;
}
