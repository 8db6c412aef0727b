/*
 * Goal: what the comparison of whole networks (tests/backend) cannot see of net/: the memory
 * planner, the self-test of inference plans, initial weights, refusals and failing allocations,
 * data races between the threads of shards (under the thread sanitizer). Method: random stretches
 * of memory; a backend whose rows leak into each other; moments; the N-th allocation fails for N =
 * 0, 1, ...
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/mem.h"
#include "nero/rng.h"
#include "net/net_internal.h"

/* conv (two readers, one of them batch norm), merge, pooling, classifier; image 2 x 6 x 6. */
static void make_graph(struct graph *out)
{
    struct phenotype phenotype = {.channels = 2, .height = 6, .width = 6, .classes = 3};
    struct phenotype_unit *units = mem_calloc(4, sizeof(*units));
    struct nero_err err;

    assert_non_null(units);
    for (int32_t i = 0; i < 3; i++) {
        units[i].kind = i == 2 ? PHENOTYPE_POOL : PHENOTYPE_CONV;
        units[i].conv.filters = 4;
        units[i].conv.kernel = 3;
        units[i].conv.stride = 1;
        units[i].conv.padding = PHENOTYPE_SAME;
        units[i].conv.activation = i == 0 ? PHENOTYPE_LINEAR : PHENOTYPE_RELU;
        units[i].conv.bn = (enum phenotype_bn)i;
        units[i].pool.kernel = 2;
        units[i].pool.stride = 2;
        units[i].input_count = 1;
        units[i].inputs[0] = i - 1;
    }
    units[2].input_count = 2;
    units[2].inputs[0] = 0;
    units[2].inputs[1] = 1;
    units[3].kind = PHENOTYPE_FC;
    units[3].fc_units = 3;
    units[3].fc_bias = true;
    units[3].input_count = 1;
    units[3].inputs[0] = 2;
    phenotype.units = units;
    phenotype.unit_count = 4;
    assert_int_equal(graph_build(&phenotype, out, &err), NERO_OK);
    free(units);
}

static bool overlap(uint64_t a0, uint64_t a1, uint64_t b0, uint64_t b1)
{
    return a0 < b1 && b0 < a1;
}

/* Two that live at one time never share a byte; the whole is at least what lives at any time. */
static void test_net__place_keeps_what_lives_apart(void **state)
{
    enum { COUNT = 60, TIMES = 40 };
    struct net_item items[COUNT];
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);

    (void)state;
    for (int round = 0; round < 50; round++) {
        uint64_t live[TIMES] = {0};
        uint64_t sum = 0;
        uint64_t total;

        for (int i = 0; i < COUNT; i++) {
            items[i] = (struct net_item){.bytes = rng_below(&stream, 100000) + 1,
                                         .from = (uint32_t)rng_below(&stream, TIMES)};
            items[i].to = items[i].from + (uint32_t)rng_below(&stream, TIMES - items[i].from);
        }
        total = net_place(items, COUNT);
        for (int i = 0; i < COUNT; i++) {
            sum += items[i].bytes;
            assert_int_equal(items[i].offset % 256, 0);
            assert_true(items[i].offset + items[i].bytes <= total);
            for (uint32_t t = items[i].from; t <= items[i].to; t++) {
                live[t] += items[i].bytes;
            }
            for (int k = 0; k < i; k++) {
                assert_false(
                    overlap(items[i].from, items[i].to + 1, items[k].from, items[k].to + 1) &&
                    overlap(items[i].offset, items[i].offset + items[i].bytes, items[k].offset,
                            items[k].offset + items[k].bytes));
            }
        }
        for (int t = 0; t < TIMES; t++) {
            assert_true(total >= live[t]);
        }
        assert_true(total < sum);
    }
}

static void test_net__place_refuses_overflow(void **state)
{
    struct net_item items[2] = {{.bytes = UINT64_MAX / 2}, {.bytes = UINT64_MAX / 2 + 2}};

    (void)state;
    assert_true(net_place(items, 2) == UINT64_MAX);
}

/* Mean 0, standard deviation sqrt(2 / fan_in), nothing beyond two sigma of the wider normal. */
static void test_net__initial_kernels_are_he_normal(void **state)
{
    struct graph_param params[2] = {
        {.kind = GRAPH_KERNEL, .fan_in = 50, .offset = 0, .count = 40000},
        {.kind = GRAPH_GAMMA, .offset = 40000, .count = 2}};
    struct graph graph = {.param_count = 2, .params = params};
    float *trained = mem_calloc(40002, sizeof(float));
    double sum = 0.0;
    double sum2 = 0.0;

    (void)state;
    assert_non_null(trained);
    net_init_weights(&graph, 9, trained, NULL);
    for (int i = 0; i < 40000; i++) {
        sum += (double)trained[i];
        sum2 += (double)trained[i] * (double)trained[i];
        assert_true(fabs((double)trained[i]) <= 2.0 * 0.2 / 0.8796256 + 1e-6);
    }
    assert_true(fabs(sum / 40000) < 0.004);
    assert_true(fabs(sqrt(sum2 / 40000) / 0.2 - 1.0) < 0.015);
    assert_true(trained[40000] == 1.0f && trained[40001] == 1.0f);
    free(trained);
}

/* The referee with a forward that adds a little of row 0 to the last row, until told to be plain.
 */
static struct backend_ops leaky_ops;
static enum nero_status (*sound_create)(struct backend *, const struct backend_op_desc *,
                                        const struct backend_layout *const *, uint32_t,
                                        struct backend_layout *, struct backend_op_memory *,
                                        struct backend_op **, struct nero_err *);
static enum nero_status (*sound_forward)(struct backend_op *, const struct backend_op_args *,
                                         struct nero_err *);
static bool heeds_plain;
static bool leaks;
static size_t last_row;

static enum nero_status leaky_create(struct backend *backend, const struct backend_op_desc *desc,
                                     const struct backend_layout *const *src, uint32_t src_count,
                                     struct backend_layout *dst, struct backend_op_memory *memory,
                                     struct backend_op **out, struct nero_err *err)
{
    leaks = !(heeds_plain && desc->plain);
    last_row = (size_t)(src[0]->n - 1) * desc->out_c * desc->out_h * desc->out_w;
    return sound_create(backend, desc, src, src_count, dst, memory, out, err);
}

static enum nero_status leaky_forward(struct backend_op *op, const struct backend_op_args *args,
                                      struct nero_err *err)
{
    enum nero_status status = sound_forward(op, args, err);

    /* last_row is that of the operation made last, the logits: smaller than any other tensor. */
    if (leaks) {
        args->dst[last_row] += 1e-3f + 1e-3f * args->dst[0];
    }
    return status;
}

static void test_net__self_test_finds_dependent_rows(void **state)
{
    struct net_options options = {.batch = 4};
    struct backend *backend = NULL;
    struct graph graph;
    struct nero_err err;
    struct net *net = NULL;

    (void)state;
    make_graph(&graph);
    assert_int_equal(backend_ref_create(&backend, &err), NERO_OK);
    leaky_ops = *backend->ops;
    sound_create = leaky_ops.op_create;
    sound_forward = leaky_ops.op_forward;
    leaky_ops.op_create = leaky_create;
    leaky_ops.op_forward = leaky_forward;
    backend->ops = &leaky_ops;
    heeds_plain = false;
    assert_int_equal(net_create(&graph, backend, &options, &net, &err), NERO_INVALID);
    heeds_plain = true;
    assert_int_equal(net_create(&graph, backend, &options, &net, &err), NERO_OK);
    assert_true(net->plain);
    net_destroy(net);
    options.skip_self_test = true;
    assert_int_equal(net_create(&graph, backend, &options, &net, &err), NERO_OK);
    assert_false(net->plain);
    net_destroy(net);
    backend_destroy(backend);
    graph_fini(&graph);
}

/* A convolution with a second reader keeps its own output; batch norm and activation are one. */
static void test_net__fuses_only_sole_readers(void **state)
{
    static const enum backend_op_kind expected[] = {
        BACKEND_CONV, BACKEND_SCALE_SHIFT, BACKEND_CONV, BACKEND_CONCAT,
        BACKEND_CONV, BACKEND_POOL,        BACKEND_FC};
    struct net_options options = {.batch = 1};
    struct backend *backend = NULL;
    struct graph graph;
    struct nero_err err;
    struct net *net = NULL;

    (void)state;
    make_graph(&graph);
    assert_int_equal(backend_ref_create(&backend, &err), NERO_OK);
    assert_int_equal(net_create(&graph, backend, &options, &net, &err), NERO_OK);
    assert_int_equal(net->op_count, 7);
    for (uint32_t i = 0; i < net->op_count; i++) {
        assert_int_equal(net->ops[i].desc.kind, expected[i]);
    }
    assert_true(net->ops[0].norm == NET_NONE);
    assert_true(net->ops[4].norm != NET_NONE);
    assert_int_equal(net->ops[4].desc.activation, BACKEND_RELU);
    net_destroy(net);
    backend_destroy(backend);
    graph_fini(&graph);
}

/* Both plans, self-test included: no_memory, no leak, until no allocation fails. */
static void test_net__every_allocation_may_fail(void **state)
{
    struct backend *backend = NULL;
    struct graph graph;
    struct nero_err err;

    (void)state;
    make_graph(&graph);
    assert_int_equal(backend_ref_create(&backend, &err), NERO_OK);
    for (int training = 0; training < 2; training++) {
        struct net_options options = {
            .batch = 2, .training = training != 0, .bn_momentum = 0.9f, .shards = 2};
        enum nero_status status = NERO_NO_MEMORY;

        for (long skip = 0; status != NERO_OK; skip++) {
            struct net *net = NULL;
            int fired;

            mem_fail_plan(skip, 1);
            status = net_create(&graph, backend, &options, &net, &err);
            fired = mem_fail_plan(0, 0);
            assert_int_equal(status, fired == 0 ? NERO_OK : NERO_NO_MEMORY);
            net_destroy(net);
            assert_true(skip < 1000);
        }
    }
    backend_destroy(backend);
    graph_fini(&graph);
}

/* Sizes of shards: at most one apart, in all the batch. */
static void test_net__shards_cover_the_batch(void **state)
{
    (void)state;
    for (uint32_t batch = 1; batch < 40; batch++) {
        for (uint32_t shards = 1; shards < 45; shards++) {
            struct net_options options = {.batch = batch, .shards = shards};
            uint32_t count = net_shards_count(&options);

            assert_int_equal(count, shards < batch ? shards : batch);
            assert_int_equal(net_shards_row(batch, count, 0), 0);
            assert_int_equal(net_shards_row(batch, count, count), batch);
            for (uint32_t i = 0; i < count; i++) {
                uint32_t rows =
                    net_shards_row(batch, count, i + 1) - net_shards_row(batch, count, i);

                assert_true(rows == batch / count || rows == batch / count + 1);
            }
        }
    }
}

/* Five steps of seven images in four shards, each step's gradients moving the weights a little. */
static void train_steps(const struct graph *graph, struct backend *backend, uint32_t threads,
                        float *trained)
{
    enum { BATCH = 7, IMAGE = 2 * 6 * 6, STEPS = 5 };
    struct net_options options = {
        .batch = BATCH, .training = true, .bn_momentum = 0.9f, .shards = 4, .threads = threads};
    struct rng_stream stream = rng_stream(3, RNG_TEST, 0, 0, 1);
    float *stats = mem_calloc(graph->stat_count, sizeof(float));
    float *grads = mem_calloc(graph->trained_count, sizeof(float));
    float images[BATCH * IMAGE];
    const uint8_t labels[BATCH] = {0, 1, 2, 0, 1, 2, 1};
    struct net *net = NULL;
    struct nero_err err;
    double loss;

    assert_true(stats != NULL && grads != NULL);
    for (size_t i = 0; i < BATCH * IMAGE; i++) {
        images[i] = (float)rng_uniform(&stream);
    }
    net_init_weights(graph, 5, trained, stats);
    assert_int_equal(net_create(graph, backend, &options, &net, &err), NERO_OK);
    for (int step = 0; step < STEPS; step++) {
        assert_int_equal(net_train_step(net, images, labels, trained, stats, grads, &loss, &err),
                         NERO_OK);
        assert_true(isfinite(loss));
        for (uint64_t i = 0; i < graph->trained_count; i++) {
            trained[i] -= 0.1f * grads[i];
        }
    }
    net_destroy(net);
    free(stats);
    free(grads);
}

static void test_net__threads_of_shards_change_no_bit(void **state)
{
    struct backend *backend = NULL;
    struct graph graph;
    struct nero_err err;
    float *weights[3];

    (void)state;
    make_graph(&graph);
    assert_int_equal(backend_ref_create(&backend, &err), NERO_OK);
    for (uint32_t i = 0; i < 3; i++) {
        weights[i] = mem_calloc(graph.trained_count, sizeof(float));
        assert_non_null(weights[i]);
        train_steps(&graph, backend, 1u << i, weights[i]);
        assert_memory_equal(weights[i], weights[0], graph.trained_count * sizeof(float));
    }
    for (uint32_t i = 0; i < 3; i++) {
        free(weights[i]);
    }
    backend_destroy(backend);
    graph_fini(&graph);
}

/* A shard's failure is the step's, whichever thread it happened in; the next step works again. */
static enum nero_status (*sound_backward)(struct backend_op *, const struct backend_op_args *,
                                          struct nero_err *);
static atomic_int calls_to_failure;

static enum nero_status failing_backward(struct backend_op *op, const struct backend_op_args *args,
                                         struct nero_err *err)
{
    if (atomic_fetch_sub(&calls_to_failure, 1) == 0) {
        return err_set(err, NERO_GPU, 0, "the device is gone");
    }
    return sound_backward(op, args, err);
}

static void test_net__a_failing_shard_fails_the_step(void **state)
{
    struct net_options options = {.batch = 3, .training = true, .bn_momentum = 0.9f, .shards = 3};
    struct backend *backend = NULL;
    struct graph graph;
    struct nero_err err;
    struct net *net = NULL;
    float images[3 * 2 * 6 * 6] = {0};
    const uint8_t labels[3] = {0, 1, 2};
    float *arrays;
    double loss;

    (void)state;
    make_graph(&graph);
    assert_int_equal(backend_ref_create(&backend, &err), NERO_OK);
    leaky_ops = *backend->ops;
    sound_backward = leaky_ops.op_backward;
    leaky_ops.op_backward = failing_backward;
    backend->ops = &leaky_ops;
    arrays = mem_calloc(2 * graph.trained_count + graph.stat_count, sizeof(float));
    assert_non_null(arrays);
    assert_int_equal(net_create(&graph, backend, &options, &net, &err), NERO_OK);
    for (int calls = 0; calls < 12; calls++) {
        for (int fails = 1; fails >= 0; fails--) {
            atomic_store(&calls_to_failure, fails ? calls : -1);
            assert_int_equal(net_train_step(net, images, labels, arrays,
                                            arrays + 2 * graph.trained_count,
                                            arrays + graph.trained_count, &loss, &err),
                             fails ? NERO_GPU : NERO_OK);
        }
        assert_non_null(strstr(err.message, "the device is gone"));
    }
    net_destroy(net);
    free(arrays);
    backend_destroy(backend);
    graph_fini(&graph);
}

static void test_net__refuses_unknown_backends_and_empty_batches(void **state)
{
    struct net_options options = {.batch = 0};
    struct backend *backend = NULL;
    struct graph graph;
    struct nero_err err;
    struct net *net = NULL;

    (void)state;
    make_graph(&graph);
    assert_int_equal(backend_create("cuda", &backend, &err), NERO_INVALID);
    assert_int_equal(backend_create("tpu", &backend, &err), NERO_INVALID);
    assert_int_equal(backend_create("ref", &backend, &err), NERO_OK);
    assert_int_equal(net_create(&graph, backend, &options, &net, &err), NERO_INVALID);
    backend_destroy(backend);
    backend_destroy(NULL);
    graph_fini(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net__place_keeps_what_lives_apart),
        cmocka_unit_test(test_net__place_refuses_overflow),
        cmocka_unit_test(test_net__initial_kernels_are_he_normal),
        cmocka_unit_test(test_net__self_test_finds_dependent_rows),
        cmocka_unit_test(test_net__fuses_only_sole_readers),
        cmocka_unit_test(test_net__every_allocation_may_fail),
        cmocka_unit_test(test_net__shards_cover_the_batch),
        cmocka_unit_test(test_net__threads_of_shards_change_no_bit),
        cmocka_unit_test(test_net__a_failing_shard_fails_the_step),
        cmocka_unit_test(test_net__refuses_unknown_backends_and_empty_batches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
