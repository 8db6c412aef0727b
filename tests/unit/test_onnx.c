/*
 * Goal: an exported network computes what the engine's inference computes, for every kind of unit,
 * and what cannot be exported is refused. Method: random networks with random weights, exported,
 * read again and evaluated by plain loops that share nothing with the engine, against the inference
 * plan on every backend of the build. With NERO_ONNX_OUT=FOLDER the files, inputs and logits are
 * kept for scripts/onnx-referee.
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

#include "nero/mem.h"
#include "nero/onnx.h"
#include "nero/rng.h"

#include "backend/backend.h"
#include "net/net.h"
#include "tests/backend/networks.h"
#include "tests/support/onnx_eval.h"

enum { NETWORKS = 120, BATCH = 3, FILE_BYTES_MAX = 64 << 20 };

/* float32 beside double over a few dozen layers; logits of these networks are of order 1 to 10. */
static const double TOLERANCE = 1e-4;

static const struct onnx_property PROPERTIES[] = {{"nero.run", "a-run"}, {"nero.job", "0123"}};

static void must(enum nero_status status, const struct nero_err *err)
{
    if (status != NERO_OK) {
        fail_msg("%s (%s:%d)", err->message, err->file, err->line);
    }
}

static void uniform(float *out, size_t count, double low, double high, uint64_t seed, uint32_t slot)
{
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, slot);

    for (size_t i = 0; i < count; i++) {
        out[i] = (float)(low + (high - low) * rng_uniform(&stream));
    }
}

/* Weights as if trained: kernels as at the start, everything else off its start. */
struct weights {
    float *trained;
    float *stats;
    struct safetensors_tensor *tensors;
    struct bytes blob;
    struct safetensors_file file;
};

static void make_weights(const struct graph *graph, uint64_t seed, struct weights *out)
{
    struct nero_err err;

    out->trained = mem_calloc((size_t)graph->trained_count, sizeof(float));
    out->stats = mem_calloc((size_t)graph->stat_count, sizeof(float));
    out->tensors = mem_calloc(graph->param_count, sizeof(*out->tensors));
    net_init_weights(graph, seed, out->trained, out->stats);
    for (uint32_t i = 0; i < graph->param_count; i++) {
        const struct graph_param *param = &graph->params[i];
        bool stat = param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR;
        float *data = (stat ? out->stats : out->trained) + param->offset;
        struct safetensors_tensor *tensor = &out->tensors[i];

        if (param->kind == GRAPH_GAMMA || param->kind == GRAPH_VAR) {
            uniform(data, (size_t)param->count, 0.5, 1.5, seed, 100 + i);
        } else if (param->kind != GRAPH_KERNEL) {
            uniform(data, (size_t)param->count, -0.5, 0.5, seed, 100 + i);
        }
        graph_param_name(graph, i, tensor->name);
        tensor->rank = param->rank;
        for (uint32_t d = 0; d < param->rank; d++) {
            tensor->dims[d] = param->dims[d];
        }
        tensor->count = param->count;
        tensor->data = data;
    }
    bytes_init(&out->blob, FILE_BYTES_MAX);
    must(safetensors_write(out->tensors, graph->param_count, &out->blob, &err), &err);
    must(safetensors_read(bytes_as_view(&out->blob), &out->file, &err), &err);
}

static void free_weights(struct weights *weights)
{
    safetensors_file_fini(&weights->file);
    bytes_fini(&weights->blob);
    free(weights->tensors);
    free(weights->trained);
    free(weights->stats);
}

static const char *const BACKENDS[] = {"ref",
#if NERO_HAVE_DNNL
                                       "cpu"
#endif
};

enum { BACKEND_COUNT = sizeof(BACKENDS) / sizeof(BACKENDS[0]) };

static float *to_backend(struct backend *backend, const float *host, uint64_t count)
{
    float *data = backend->ops->mem_alloc(backend, count * sizeof(float) + 1);
    struct nero_err err;

    assert_non_null(data);
    must(backend->ops->upload(backend, data, host, count * sizeof(float), &err), &err);
    return data;
}

/* Logits of the engine's inference plan. */
static void infer(const char *name, const struct graph *graph, const struct weights *weights,
                  const float *images, float *logits)
{
    const struct net_options options = {.batch = BATCH};
    struct backend *backend;
    struct net *net;
    struct nero_err err;
    float *trained;
    float *stats;

    must(backend_create(name, &backend, &err), &err);
    must(net_create(graph, backend, &options, &net, &err), &err);
    trained = to_backend(backend, weights->trained, graph->trained_count);
    stats = to_backend(backend, weights->stats, graph->stat_count);
    must(net_load(net, trained, stats, &err), &err);
    must(net_forward(net, images, logits, &err), &err);
    backend->ops->mem_free(backend, trained);
    backend->ops->mem_free(backend, stats);
    net_destroy(net);
    backend_destroy(backend);
}

static void keep(const char *folder, uint64_t seed, const char *ending, const void *data,
                 size_t bytes)
{
    char path[512];
    FILE *out;

    snprintf(path, sizeof path, "%s/net%03u.%s", folder, (unsigned)seed, ending);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, bytes, out), bytes);
    assert_int_equal(fclose(out), 0);
}

/* Which operators the networks used, over all of them. */
struct used {
    uint32_t conv, norm, relu, sigmoid, max_pool, avg_pool, concat, gemm;
};

static void count_used(const struct onnx_eval *eval, struct used *used)
{
    used->conv += onnx_eval_count(eval, "Conv");
    used->norm += onnx_eval_count(eval, "BatchNormalization");
    used->relu += onnx_eval_count(eval, "Relu");
    used->sigmoid += onnx_eval_count(eval, "Sigmoid");
    used->max_pool += onnx_eval_count(eval, "MaxPool");
    used->avg_pool += onnx_eval_count(eval, "AveragePool");
    used->concat += onnx_eval_count(eval, "Concat");
    used->gemm += onnx_eval_count(eval, "Gemm");
}

/* Export, read again, evaluate; the largest difference to the engine. */
static double difference(const struct graph *graph, uint64_t seed, struct used *used)
{
    struct graph_shape in = graph->nodes[0].shape;
    uint32_t classes = graph->nodes[graph->node_count - 1].shape.c;
    size_t floats = (size_t)BATCH * in.c * in.h * in.w;
    float *images = mem_calloc(floats, sizeof(*images));
    float *logits = mem_calloc((size_t)BATCH * classes, sizeof(*logits));
    double *again = mem_calloc((size_t)BATCH * classes, sizeof(*again));
    const char *folder = getenv("NERO_ONNX_OUT");
    double largest = 0.0;
    struct weights weights;
    struct onnx_eval *eval;
    struct bytes file;
    struct nero_err err;

    make_weights(graph, seed, &weights);
    uniform(images, floats, 0.0, 1.0, seed, 1);
    bytes_init(&file, FILE_BYTES_MAX);
    must(onnx_write(graph, &weights.file, PROPERTIES, 2, &file, &err), &err);
    eval = onnx_eval_open(bytes_as_view(&file));
    assert_non_null(eval);
    count_used(eval, used);
    assert_int_equal(onnx_eval_run(eval, BATCH, images, again, BATCH * classes), 0);
    for (int b = 0; b < BACKEND_COUNT; b++) {
        infer(BACKENDS[b], graph, &weights, images, logits);
        for (size_t i = 0; i < (size_t)BATCH * classes; i++) {
            double gap = fabs(again[i] - (double)logits[i]);

            if (!(gap <= largest) && !isnan(largest)) {
                largest = gap; /* NaN becomes the largest, and stays */
            }
        }
    }
    if (folder != NULL) {
        keep(folder, seed, "onnx", file.data, file.bytes);
        keep(folder, seed, "images.f32", images, floats * sizeof(float));
        keep(folder, seed, "logits.f32", logits, (size_t)BATCH * classes * sizeof(float));
    }
    onnx_eval_close(eval);
    bytes_fini(&file);
    free_weights(&weights);
    free(images);
    free(logits);
    free(again);
    return largest;
}

static void test_onnx__files_compute_what_the_engine_computes(void **state)
{
    double largest = 0.0;
    struct used used = {0};

    (void)state;
    for (uint64_t seed = 0; seed < NETWORKS; seed++) {
        struct graph graph;
        double gap;

        network_draw(seed, &graph);
        gap = difference(&graph, seed, &used);
        if (!(gap <= TOLERANCE)) {
            fail_msg("network %u differs by %g", (unsigned)seed, gap);
        }
        largest = gap > largest ? gap : largest;
        graph_fini(&graph);
    }
    print_message("%d networks: largest difference %.3g\n", NETWORKS, largest);
    assert_true(used.conv > 100 && used.norm > 100 && used.relu > 50 && used.sigmoid > 50);
    assert_true(used.max_pool > 100 && used.avg_pool > 10 && used.concat > 30 && used.gemm > 100);
}

static struct phenotype_unit fc_unit(uint32_t units, uint32_t input_count, int32_t first,
                                     int32_t second)
{
    return (struct phenotype_unit){.kind = PHENOTYPE_FC,
                                   .fc_units = units,
                                   .fc_bias = units != 5,
                                   .fc_activation = units == 3 ? PHENOTYPE_LINEAR : PHENOTYPE_SILU,
                                   .input_count = input_count,
                                   .inputs = {first, second}};
}

/* An FC reads another FC and a convolution at once: [N,K] and [N,C,H,W] meet in one concat. */
static void test_onnx__vectors_and_images_are_merged(void **state)
{
    struct phenotype_unit units[4] = {{.kind = PHENOTYPE_CONV,
                                       .conv = {.filters = 4,
                                                .kernel = 3,
                                                .stride = 1,
                                                .padding = PHENOTYPE_SAME,
                                                .activation = PHENOTYPE_SILU,
                                                .bn = PHENOTYPE_BN_PRE},
                                       .input_count = 1,
                                       .inputs = {PHENOTYPE_IMAGE}},
                                      fc_unit(5, 1, 0, 0),
                                      fc_unit(6, 2, 0, 1),
                                      fc_unit(3, 2, 1, 2)};
    struct phenotype phenotype = {
        .channels = 2, .height = 6, .width = 5, .classes = 3, .unit_count = 4, .units = units};
    struct used used = {0};
    struct graph graph;
    struct nero_err err;

    (void)state;
    must(graph_build(&phenotype, &graph, &err), &err);
    assert_true(difference(&graph, 900, &used) <= TOLERANCE);
    assert_int_equal(used.concat, 2);
    assert_int_equal(used.gemm, 3);
    graph_fini(&graph);
}

static void test_onnx__equal_inputs_give_equal_bytes(void **state)
{
    struct onnx_eval *eval;
    struct weights weights;
    struct graph graph;
    struct bytes files[2];
    struct nero_err err;

    (void)state;
    network_draw(3, &graph);
    make_weights(&graph, 3, &weights);
    for (int i = 0; i < 2; i++) {
        bytes_init(&files[i], FILE_BYTES_MAX);
        must(onnx_write(&graph, &weights.file, PROPERTIES, 2, &files[i], &err), &err);
    }
    assert_true(bytes_view_equal(bytes_as_view(&files[0]), bytes_as_view(&files[1])));
    eval = onnx_eval_open(bytes_as_view(&files[0]));
    assert_non_null(eval);
    assert_string_equal(onnx_eval_property(eval, "nero.run"), "a-run");
    assert_string_equal(onnx_eval_property(eval, "nero.job"), "0123");
    assert_null(onnx_eval_property(eval, "nero.other"));
    onnx_eval_close(eval);
    bytes_fini(&files[0]);
    bytes_fini(&files[1]);
    free_weights(&weights);
    graph_fini(&graph);
}

static void refuse(const struct graph *graph, const struct weights *weights, size_t bytes_max,
                   enum nero_status expected, const char *words)
{
    struct bytes file;
    struct nero_err err;

    bytes_init(&file, bytes_max);
    assert_int_equal(onnx_write(graph, &weights->file, PROPERTIES, 2, &file, &err), expected);
    assert_non_null(strstr(err.message, words));
    assert_int_equal(file.bytes, 0);
    bytes_fini(&file);
}

static void test_onnx__what_does_not_fit_is_refused(void **state)
{
    struct onnx_property empty = {"", "x"};
    struct weights weights;
    struct graph graph;
    struct bytes file;
    struct nero_err err;

    (void)state;
    network_draw(4, &graph);
    make_weights(&graph, 4, &weights);
    refuse(&graph, &weights, 100, NERO_TOO_BIG, "onnx");
    mem_fail_plan(0, -1);
    refuse(&graph, &weights, FILE_BYTES_MAX, NERO_NO_MEMORY, "memory");
    mem_fail_plan(0, 0);
    weights.file.tensors[0].dims[0]++;
    refuse(&graph, &weights, FILE_BYTES_MAX, NERO_INVALID, "another shape");
    weights.file.tensors[0].dims[0]--;
    weights.file.tensors[0].name[0] = 'x';
    refuse(&graph, &weights, FILE_BYTES_MAX, NERO_INVALID, "no tensor");
    bytes_init(&file, FILE_BYTES_MAX);
    assert_int_equal(onnx_write(&graph, &weights.file, &empty, 1, &file, &err), NERO_INVALID);
    assert_int_equal(
        onnx_write(&graph, &weights.file, &empty, ONNX_PROPERTIES_MAX + 1, &file, &err),
        NERO_INVALID);
    bytes_fini(&file);
    free_weights(&weights);
    graph_fini(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx__files_compute_what_the_engine_computes),
        cmocka_unit_test(test_onnx__vectors_and_images_are_merged),
        cmocka_unit_test(test_onnx__equal_inputs_give_equal_bytes),
        cmocka_unit_test(test_onnx__what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
