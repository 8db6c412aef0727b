/*
 * Goal: training is the mathematics it claims to be: forward, gradients, batch norm, L2, decay and
 * the three optimisers together. Method: 50 steps of two small networks from recorded weights on
 * recorded batches, compared step by step with the losses that PyTorch found in float64
 * (tests/golden/make_pytorch_curve.py); then the loss of the inference plan, from the running
 * statistics.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/safetensors.h"

#include "attack/attack.h"
#include "net/net.h"
#include "train/optimiser.h"

#include "tests/support/small_cifar.h"
#include "tests/support/tiny_net.h"

enum { STEPS = 50, BATCH = 16, CLASSES = 10, IMAGE = 3072, FILE_BYTES_MAX = 1 << 20 };

static const double l2 = 5e-4;

/*
 * Largest allowed distance to the recorded curve, relative to the loss. Float32 rounding over 50
 * steps comes to 8e-7 with AVX-512, to 1.6e-6 with SSE4.1 and AVX2, where it flips a ReLU or a
 * maximum. A tenth too much decay shows as 1e-3 within 10 steps, a running-statistics momentum of
 * .89 for .9 as 2e-3 in the inference loss.
 */
static const double tolerance = 1e-5;

/*
 * For the inference loss after RMSprop and Adam: the gradient of a bias in front of a batch norm is
 * 0 but for rounding, and they divide that noise by its own size. In training the batch norm takes
 * the bias out again, in inference the running mean lags behind. Seen: 4e-4.
 */
static const double tolerance_of_noise = 2e-3;

static struct dataset shipped;
static uint32_t batches[STEPS][BATCH];

/* Curves: as in the script's OPTIMISERS. */
struct curve {
    const char *net_name;
    enum tiny_net net;
    const char *optimiser_name;
    struct phenotype_learning learning;
};

#define SGD(nest)                                                                                 \
    {                                                                                             \
        .optimiser = PHENOTYPE_SGD, .lr = 0.005, .decay = 1e-2, .momentum = 0.9, .nesterov = nest \
    }
#define RMSPROP                                                               \
    {                                                                         \
        .optimiser = PHENOTYPE_RMSPROP, .lr = 1e-3, .decay = 1e-2, .rho = 0.9 \
    }
#define ADAM                                                                                \
    {                                                                                       \
        .optimiser = PHENOTYPE_ADAM, .lr = 2e-3, .decay = 1e-2, .beta1 = 0.9, .beta2 = 0.99 \
    }

static const struct curve curves[] = {
    {"plain", TINY_NET_PLAIN, "sgd", SGD(false)},
    {"plain", TINY_NET_PLAIN, "nesterov", SGD(true)},
    {"plain", TINY_NET_PLAIN, "rmsprop", RMSPROP},
    {"plain", TINY_NET_PLAIN, "adam", ADAM},
    {"branched", TINY_NET_BRANCHED, "sgd", SGD(false)},
    {"branched", TINY_NET_BRANCHED, "nesterov", SGD(true)},
    {"branched", TINY_NET_BRANCHED, "rmsprop", RMSPROP},
    {"branched", TINY_NET_BRANCHED, "adam", ADAM},
};

static FILE *open_golden(const char *name)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/tests/golden/pytorch_curve/%s", NERO_SOURCE_DIR, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    return file;
}

static int load_inputs(void **state)
{
    FILE *file = open_golden("batches.txt");

    (void)state;
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < BATCH; i++) {
            if (fscanf(file, "%u", &batches[t][i]) != 1 || batches[t][i] >= 4000) {
                return -1;
            }
        }
    }
    fclose(file);
    return small_cifar_load(&shipped);
}

static int free_inputs(void **state)
{
    (void)state;
    small_cifar_free(&shipped);
    return 0;
}

/* Step t's loss and penalty; entry STEPS is the loss of the inference plan. */
static void load_losses(const struct curve *curve, double out[STEPS + 1][2])
{
    char name[64];
    FILE *file;

    snprintf(name, sizeof(name), "%s-%s.txt", curve->net_name, curve->optimiser_name);
    file = open_golden(name);
    for (int t = 0; t <= STEPS; t++) {
        assert_int_equal(fscanf(file, "%lf %lf", &out[t][0], &out[t][1]), 2);
    }
    fclose(file);
}

/* Everything of one replay. */
struct replay {
    struct backend *backend;
    struct phenotype phenotype;
    struct graph graph;
    struct optimiser optimiser;
    struct net *training;
    struct net *inference;
    struct optimiser_arrays arrays;
    float *grads;
    float *stats;
};

static float *device_floats(struct replay *replay, uint64_t count)
{
    float *floats = replay->backend->ops->mem_alloc(replay->backend, count * sizeof(float));

    assert_non_null(floats);
    return floats;
}

/* The recorded weights, by name; every tensor of the network must be there with its shape. */
static void load_weights(struct replay *replay, const char *net_name)
{
    static _Alignas(8) uint8_t bytes[FILE_BYTES_MAX];
    struct backend *backend = replay->backend;
    struct safetensors_file weights;
    struct nero_err err;
    char name[64];
    FILE *file;
    size_t count;

    snprintf(name, sizeof(name), "%s.safetensors", net_name);
    file = open_golden(name);
    count = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    if (safetensors_read(bytes_view_of(bytes, count), &weights, &err) != NERO_OK) {
        fail_msg("%s: %s", name, err.message);
    }
    assert_int_equal(weights.count, replay->graph.param_count);
    for (uint32_t i = 0; i < replay->graph.param_count; i++) {
        const struct graph_param *param = &replay->graph.params[i];
        bool stat = param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR;
        char param_name[GRAPH_NAME_BYTES];
        const struct safetensors_tensor *tensor;

        graph_param_name(&replay->graph, i, param_name);
        tensor = safetensors_find(&weights, param_name);
        assert_non_null(tensor);
        assert_true(tensor->count == param->count && tensor->rank == param->rank);
        assert_int_equal(
            backend->ops->upload(backend,
                                 (stat ? replay->stats : replay->arrays.trained) + param->offset,
                                 tensor->data, param->count * sizeof(float), &err),
            NERO_OK);
    }
    safetensors_file_fini(&weights);
}

/* Without ReLU nothing flips on rounding; the branched network's curve would not bear it. */
static void use_silu(struct phenotype *phenotype)
{
    for (uint32_t i = 0; i < phenotype->unit_count; i++) {
        struct phenotype_unit *unit = &phenotype->units[i];

        if (unit->conv.activation == PHENOTYPE_RELU) {
            unit->conv.activation = PHENOTYPE_SILU;
        }
        if (unit->fc_activation == PHENOTYPE_RELU) {
            unit->fc_activation = PHENOTYPE_SILU;
        }
    }
}

static void replay_open(struct replay *replay, const char *backend, const struct curve *curve)
{
    struct net_options training = {.batch = BATCH, .training = true, .bn_momentum = 0.9f};
    struct net_options inference = {.batch = BATCH};
    struct nero_err err;
    uint64_t count;

    memset(replay, 0, sizeof(*replay));
    tiny_net_make(curve->net, &replay->phenotype);
    if (curve->net == TINY_NET_BRANCHED) {
        use_silu(&replay->phenotype);
    }
    assert_int_equal(backend_create(backend, &replay->backend, &err), NERO_OK);
    assert_int_equal(graph_build(&replay->phenotype, &replay->graph, &err), NERO_OK);
    assert_int_equal(optimiser_init(&replay->optimiser, &replay->graph, &curve->learning, l2, &err),
                     NERO_OK);
    assert_int_equal(
        net_create(&replay->graph, replay->backend, &training, &replay->training, &err), NERO_OK);
    assert_int_equal(
        net_create(&replay->graph, replay->backend, &inference, &replay->inference, &err), NERO_OK);
    count = replay->graph.trained_count;
    replay->stats = device_floats(replay, replay->graph.stat_count);
    replay->grads = device_floats(replay, count);
    replay->arrays = (struct optimiser_arrays){.trained = device_floats(replay, count),
                                               .grads = replay->grads,
                                               .slot0 = device_floats(replay, count),
                                               .slot1 = device_floats(replay, count)};
    load_weights(replay, curve->net_name);
}

static void replay_close(struct replay *replay)
{
    struct backend *backend = replay->backend;

    backend->ops->mem_free(backend, replay->stats);
    backend->ops->mem_free(backend, replay->grads);
    backend->ops->mem_free(backend, replay->arrays.trained);
    backend->ops->mem_free(backend, replay->arrays.slot0);
    backend->ops->mem_free(backend, replay->arrays.slot1);
    net_destroy(replay->training);
    net_destroy(replay->inference);
    optimiser_fini(&replay->optimiser);
    graph_fini(&replay->graph);
    phenotype_fini(&replay->phenotype);
    backend_destroy(backend);
}

static void fill(const uint32_t *batch, float *images, uint8_t *labels)
{
    for (int i = 0; i < BATCH; i++) {
        labels[i] = dataset_image(&shipped, shipped.train, batch[i], images + i * IMAGE);
    }
}

static double inference_loss(struct replay *replay)
{
    static float images[BATCH * IMAGE];
    float logits[BATCH * CLASSES];
    uint8_t labels[BATCH];
    struct nero_err err;
    double sum = 0.0;

    fill(batches[0], images, labels);
    assert_int_equal(net_load(replay->inference, replay->arrays.trained, replay->stats, &err),
                     NERO_OK);
    assert_int_equal(net_forward(replay->inference, images, logits, &err), NERO_OK);
    for (int i = 0; i < BATCH; i++) {
        sum += attack_cross_entropy(logits + i * CLASSES, CLASSES, labels[i]);
    }
    return sum / BATCH;
}

static void assert_near(const struct curve *curve, const char *backend, int step, double got,
                        double expected)
{
    bool noise = step == STEPS && curve->learning.optimiser != PHENOTYPE_SGD;
    double distance = fabs(got - expected) / expected;

    if (!(distance <= (noise ? tolerance_of_noise : tolerance))) {
        fail_msg("%s, %s on %s, step %d: %.9f, recorded %.9f", curve->net_name,
                 curve->optimiser_name, backend, step, got, expected);
    }
}

/* Returns the largest distance seen, for the tolerance's sake. */
static void replay_curve(const struct curve *curve, const char *backend)
{
    static float images[BATCH * IMAGE];
    double recorded[STEPS + 1][2];
    uint8_t labels[BATCH];
    struct replay replay;
    struct nero_err err;
    double most = 0.0;

    load_losses(curve, recorded);
    replay_open(&replay, backend, curve);
    for (int t = 0; t < STEPS; t++) {
        double loss;
        double penalty;

        fill(batches[t], images, labels);
        assert_int_equal(net_train_step(replay.training, images, labels, replay.arrays.trained,
                                        replay.stats, replay.grads, &loss, &err),
                         NERO_OK);
        assert_int_equal(optimiser_penalty(&replay.optimiser, replay.backend, replay.arrays.trained,
                                           l2, &penalty, &err),
                         NERO_OK);
        assert_near(curve, backend, t, loss, recorded[t][0]);
        assert_near(curve, backend, t, penalty, recorded[t][1]);
        most = fmax(most, fabs(loss - recorded[t][0]) / recorded[t][0]);
        assert_int_equal(
            optimiser_step(&replay.optimiser, replay.backend, &replay.arrays, (uint64_t)t, &err),
            NERO_OK);
    }
    assert_near(curve, backend, STEPS, inference_loss(&replay), recorded[STEPS][0]);
    print_message("%s, %s on %s: within %.1e\n", curve->net_name, curve->optimiser_name, backend,
                  most);
    replay_close(&replay);
}

static void test_curve__cpu_trains_as_pytorch(void **state)
{
    (void)state;
#if NERO_HAVE_DNNL
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        replay_curve(&curves[i], "cpu");
    }
#else
    skip(); /* no CPU backend in this build */
#endif
}

static void test_curve__the_referee_trains_as_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        replay_curve(&curves[i], "ref");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curve__cpu_trains_as_pytorch),
        cmocka_unit_test(test_curve__the_referee_trains_as_pytorch),
    };

    return cmocka_run_group_tests(tests, load_inputs, free_inputs);
}
