/*
 * Goal: every operation of a backend computes what the referee computes, and the referee's
 * gradients are the derivatives of its values. Method: the table of cases.h. `test_ops ref cpu
 * ...`: for ref, central differences and known answers; for another backend, each result against
 * ref's, twice for equal bits. What a backend does not support fails.
 */
#include <stdlib.h>
#include <string.h>

#include "nero/rng.h"

#include "tests/backend/cases.h"
#include "tests/backend/compare.h"

static int failures;

static void expect(bool ok, const char *what)
{
    if (!ok) {
        printf("FAIL %s\n", what);
        failures++;
    }
}

/* Errors relative to the referee's largest value, by operation. */
static double tolerance_of(const struct backend_op_desc *desc)
{
    switch (desc->kind) {
    case BACKEND_POOL:
        /* Max pooling copies; averages and gradients of overlapping windows add up to 25 floats. */
        return 2e-6;
    case BACKEND_CONCAT:
        return 0.0;
    case BACKEND_ACTIVATION:
    case BACKEND_SCALE_SHIFT:
        /* Vectorised exp and reciprocal: some units in the last place. */
        return desc->activation == BACKEND_RELU ? 1e-6 : 5e-6;
    case BACKEND_BATCH_NORM:
        /* Sums of a thousand floats, then a difference of close numbers in the gradient. */
        return 2e-5;
    default:
        /* Single-precision sums of up to 3,000 products; Winograd adds a digit. */
        return 2e-5;
    }
}

static bool compare_data(const struct op_case *op_case, const char *name, const struct op_data *got,
                         const struct op_data *expected, double tolerance)
{
    char what[256];
    bool ok;

    snprintf(what, sizeof(what), "%s: %s", name, op_case->name);
    ok = compare_floats(what, "dst", got->dst, expected->dst, got->dst_floats, tolerance);
    for (uint32_t i = 0; i < op_case->src_count && ok; i++) {
        ok = compare_floats(what, "dsrc", got->dsrc[i], expected->dsrc[i], got->src_floats[i],
                            tolerance);
    }
    for (uint32_t k = 0; k < 2 && ok; k++) {
        ok = compare_floats(what, k == 0 ? "dparam0" : "dparam1", got->dparam[k],
                            expected->dparam[k], got->param_floats[k], tolerance);
        if (ok && got->stat[k] != NULL) {
            ok = compare_floats(what, k == 0 ? "mean" : "var", got->stat[k], expected->stat[k],
                                op_case->desc.out_c, tolerance);
        }
    }
    return ok;
}

static void compare_case(struct backend *ref, struct backend *backend,
                         const struct op_case *op_case, bool through_conv)
{
    struct op_data expected, first, second;
    struct nero_err err;
    enum nero_status status;

    data_create(op_case, 7, &expected);
    data_create(op_case, 7, &first);
    data_create(op_case, 7, &second);
    status = case_run(ref, op_case, false, true, &expected, &err);
    if (status == NERO_OK) {
        status = case_run(backend, op_case, through_conv, true, &first, &err);
    }
    if (status == NERO_OK) {
        status = case_run(backend, op_case, through_conv, true, &second, &err);
    }
    if (status != NERO_OK) {
        printf("FAIL %s: %s: %s\n", backend->ops->name, op_case->name, err.message);
        failures++;
    } else {
        bool ok = compare_data(op_case, backend->ops->name, &first, &expected,
                               tolerance_of(&op_case->desc)) &&
                  compare_data(op_case, "second run", &second, &first, 0.0);

        failures += ok ? 0 : 1;
    }
    data_destroy(&expected);
    data_destroy(&first);
    data_destroy(&second);
}

/* Linear functions bear any step; max pooling a quarter of its gap; the rest a small one. */
static float step_of(const struct op_case *op_case, const struct op_data *data)
{
    const struct backend_op_desc *desc = &op_case->desc;

    if (desc->kind == BACKEND_POOL && desc->max_pool) {
        return 0.5f / (float)data->src_floats[0];
    }
    if (desc->kind == BACKEND_BATCH_NORM || desc->activation != BACKEND_LINEAR) {
        return 0.02f;
    }
    return 0.25f;
}

/* Derivative of <ddst, dst> by x[index], x being an input of `data`. */
static bool difference(struct backend *ref, const struct op_case *op_case, struct op_data *data,
                       float *x, size_t index, double *out)
{
    float step = step_of(op_case, data);
    float middle = x[index];
    double *high = calloc(data->dst_floats, sizeof(double));
    struct nero_err err;
    double sum = 0.0;
    double width;
    bool ok = high != NULL;

    x[index] = middle + step;
    width = (double)x[index];
    ok = ok && case_run(ref, op_case, false, false, data, &err) == NERO_OK;
    for (size_t i = 0; ok && i < data->dst_floats; i++) {
        high[i] = (double)data->dst[i];
    }
    x[index] = middle - step;
    width -= (double)x[index];
    ok = ok && case_run(ref, op_case, false, false, data, &err) == NERO_OK;
    for (size_t i = 0; ok && i < data->dst_floats; i++) {
        sum += (double)data->ddst[i] * (high[i] - (double)data->dst[i]);
    }
    x[index] = middle;
    free(high);
    *out = sum / width;
    return ok;
}

/* Sampled coordinates of one input against the gradient that backward gave. */
static void check_input(struct backend *ref, const struct op_case *op_case, struct op_data *data,
                        float *x, const float *gradient, size_t count, const char *part)
{
    enum { SAMPLES = 6 };
    struct rng_stream stream = rng_stream(11, RNG_TEST, 0, 0, 0);
    double largest = 0.0;

    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)gradient[i]));
    }
    for (int sample = 0; sample < SAMPLES; sample++) {
        size_t index = (size_t)rng_below(&stream, count);
        double expected = 0.0;
        bool ok = difference(ref, op_case, data, x, index, &expected);
        double got = (double)gradient[index];

        /* Rounding of dst over the step, and the third derivative times its square. */
        if (!(ok && fabs(got - expected) <= 1e-3 * largest + 1e-5)) {
            printf("FAIL ref: %s: gradient of %s[%zu]: %.8g, by differences %.8g\n", op_case->name,
                   part, index, got, expected);
            failures++;
        }
    }
}

static void check_gradients(struct backend *ref, const struct op_case *op_case)
{
    struct op_data data, moved;
    struct nero_err err;

    data_create(op_case, 7, &data);
    data_create(op_case, 7, &moved);
    if (case_run(ref, op_case, false, true, &data, &err) != NERO_OK) {
        printf("FAIL ref: %s: %s\n", op_case->name, err.message);
        failures++;
    } else {
        for (uint32_t i = op_case->skip_gradient_0 ? 1 : 0;
             i < op_case->src_count && op_case->desc.input_gradient; i++) {
            check_input(ref, op_case, &moved, moved.src[i], data.dsrc[i], data.src_floats[i],
                        "src");
        }
        for (uint32_t k = 0; k < 2 && op_case->desc.training && data.param[k] != NULL; k++) {
            check_input(ref, op_case, &moved, moved.param[k], data.dparam[k], data.param_floats[k],
                        k == 0 ? "param0" : "param1");
        }
    }
    data_destroy(&data);
    data_destroy(&moved);
}

/* A constant image: every window ties, and the gradient goes to the first element of each. */
static void check_ties(struct backend *backend)
{
    struct op_case tie = {
        .name = "max pool ties", .n = 1, .src_count = 1, .c = {1}, .h = 5, .w = 5};
    static const float expected[25] = {1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};
    struct op_data data;
    struct nero_err err;

    tie.desc = (struct backend_op_desc){.kind = BACKEND_POOL,
                                        .training = true,
                                        .backward = true,
                                        .input_gradient = true,
                                        .out_c = 1,
                                        .out_h = 2,
                                        .out_w = 2,
                                        .kernel_h = 3,
                                        .kernel_w = 3,
                                        .stride = 2,
                                        .max_pool = true};
    for (int through = 0; through < 2; through++) {
        data_create(&tie, 1, &data);
        for (size_t i = 0; i < 25; i++) {
            data.src[0][i] = -3.0f;
        }
        for (size_t i = 0; i < 4; i++) {
            data.ddst[i] = 1.0f;
        }
        expect(case_run(backend, &tie, through != 0, true, &data, &err) == NERO_OK &&
                   compare_floats(backend->ops->name, "ties", data.dsrc[0], expected, 25, 0.0),
               "max pool: ties go to the first in row-major order");
        data_destroy(&data);
    }
}

/* Upload both inputs, run softmax_ce, fetch the gradient. */
static bool run_loss(struct backend *backend, const float *logits, const uint8_t *labels,
                     uint32_t n, uint32_t k, uint32_t valid, float *rows, float *gradient)
{
    const struct backend_ops *ops = backend->ops;
    struct backend_layout image;
    struct nero_err err;
    float *tensor = NULL;
    float *dlogits = NULL;
    bool ok = ops->image_layout(backend, n, k, 1, 1, &image, &err) == NERO_OK;

    tensor = ops->mem_alloc(backend, image.bytes);
    dlogits = ops->mem_alloc(backend, image.bytes);
    ok = ok && tensor != NULL && dlogits != NULL &&
         ops->import_nchw(backend, &image, logits, tensor, &err) == NERO_OK &&
         ops->softmax_ce(backend, &image, tensor, labels, valid, 0.125f, rows, dlogits, &err) ==
             NERO_OK &&
         ops->export_nchw(backend, &image, dlogits, gradient, &err) == NERO_OK;
    ops->mem_free(backend, tensor);
    ops->mem_free(backend, dlogits);
    return ok;
}

/* Against the plain formula in double; logits of +-80 must not overflow; rows past `valid` are 0.
 */
static void check_loss(struct backend *backend)
{
    enum { N = 5, K = 11, VALID = 4 };
    struct rng_stream stream = rng_stream(5, RNG_TEST, 0, 0, 0);
    float logits[N * K], rows[N], gradient[N * K], expected_rows[N] = {0};
    float expected[N * K] = {0};
    uint8_t labels[N];

    for (int i = 0; i < N * K; i++) {
        logits[i] = (float)((rng_uniform(&stream) - 0.5) * (i / K == 1 ? 160.0 : 6.0));
    }
    for (int n = 0; n < N; n++) {
        double sum = 0.0;

        labels[n] = (uint8_t)rng_below(&stream, K);
        for (int k = 0; k < K; k++) {
            sum += exp((double)logits[n * K + k]);
        }
        for (int k = 0; k < K && n < VALID; k++) {
            double one = k == labels[n] ? 1.0 : 0.0;

            expected[n * K + k] = (float)(0.125 * (exp((double)logits[n * K + k]) / sum - one));
            expected_rows[n] = (float)(log(sum) - (double)logits[n * K + labels[n]]);
        }
    }
    expect(run_loss(backend, logits, labels, N, K, VALID, rows, gradient), "softmax_ce runs");
    expect(compare_floats(backend->ops->name, "loss", rows, expected_rows, N, 1e-6) &&
               compare_floats(backend->ops->name, "dlogits", gradient, expected, N * K, 2e-6),
           "softmax_ce: loss and gradient");
}

/* One coordinate of the formulas of train/optimiser.h in double. */
static double updated(const struct backend_update *u, double w, double g, double *s0, double *s1)
{
    if (u->optimiser == BACKEND_SGD) {
        *s0 = (double)u->momentum * *s0 - (double)u->lr * g;
        return w + (u->nesterov ? (double)u->momentum * *s0 - (double)u->lr * g : *s0);
    }
    if (u->optimiser == BACKEND_RMSPROP) {
        *s0 = (double)u->rho * *s0 + (1.0 - (double)u->rho) * g * g;
        return w - (double)u->lr * g / (sqrt(*s0) + (double)u->epsilon);
    }
    *s0 = (double)u->beta1 * *s0 + (1.0 - (double)u->beta1) * g;
    *s1 = (double)u->beta2 * *s1 + (1.0 - (double)u->beta2) * g * g;
    return w - (double)u->lr * (double)u->bias_correction * *s0 / (sqrt(*s1) + (double)u->epsilon);
}

enum { UPDATE_COUNT = 37, UPDATE_STEPS = 5 };

/* Arrays in order: w, g, slot0, slot1; `host` in, `host` out. */
static bool run_updates(struct backend *backend, const struct backend_update *update,
                        float host[4][UPDATE_COUNT])
{
    const struct backend_ops *ops = backend->ops;
    float *dev[4];
    struct nero_err err;
    bool ok = true;

    for (int i = 0; i < 4; i++) {
        dev[i] = ops->mem_alloc(backend, sizeof(host[0]));
        ok = ok && dev[i] != NULL &&
             ops->upload(backend, dev[i], host[i], sizeof(host[0]), &err) == NERO_OK;
    }
    for (int step = 0; step < UPDATE_STEPS; step++) {
        ok = ok && ops->update(backend, update, 0.01f, dev[0], dev[1], dev[2], dev[3], UPDATE_COUNT,
                               &err) == NERO_OK;
    }
    for (int i = 0; i < 4; i++) {
        ok = ok && ops->download(backend, host[i], dev[i], sizeof(host[0]), &err) == NERO_OK;
        ops->mem_free(backend, dev[i]);
    }
    return ok;
}

static void check_update(struct backend *backend, const struct backend_update *update)
{
    struct rng_stream stream = rng_stream(6, RNG_TEST, 0, 0, 0);
    float got[4][UPDATE_COUNT] = {{0}};
    float expected[3][UPDATE_COUNT];

    for (int i = 0; i < UPDATE_COUNT; i++) {
        got[0][i] = (float)(rng_uniform(&stream) - 0.5);
        got[1][i] = (float)(rng_uniform(&stream) - 0.5);
    }
    for (int i = 0; i < UPDATE_COUNT; i++) {
        double w = (double)got[0][i];
        double s0 = 0.0;
        double s1 = 0.0;

        for (int step = 0; step < UPDATE_STEPS; step++) {
            w = updated(update, w, (double)got[1][i] + (double)0.01f * w, &s0, &s1);
        }
        expected[0][i] = (float)w;
        expected[1][i] = (float)s0;
        expected[2][i] = (float)s1;
    }
    expect(run_updates(backend, update, got), "update runs");
    expect(
        compare_floats(backend->ops->name, "weights", got[0], expected[0], UPDATE_COUNT, 2e-6) &&
            compare_floats(backend->ops->name, "slot0", got[2], expected[1], UPDATE_COUNT, 2e-6) &&
            compare_floats(backend->ops->name, "slot1", got[3], expected[2], UPDATE_COUNT, 2e-6),
        "update: weights and state");
}

static void check_updates(struct backend *backend)
{
    struct backend_update update = {.optimiser = BACKEND_SGD,
                                    .lr = 0.03f,
                                    .momentum = 0.9f,
                                    .rho = 0.9f,
                                    .beta1 = 0.9f,
                                    .beta2 = 0.99f,
                                    .bias_correction = 0.7f,
                                    .epsilon = 1e-7f};

    check_update(backend, &update);
    update.nesterov = true;
    check_update(backend, &update);
    update.optimiser = BACKEND_RMSPROP;
    check_update(backend, &update);
    update.optimiser = BACKEND_ADAM;
    check_update(backend, &update);
}

/* accumulate and sum_squares on an odd count. */
static void check_sums(struct backend *backend)
{
    enum { COUNT = 2 * 5 * 3 * 7 };
    const struct backend_ops *ops = backend->ops;
    struct rng_stream stream = rng_stream(8, RNG_TEST, 0, 0, 0);
    struct backend_layout layout;
    struct nero_err err;
    float host[COUNT], doubled[COUNT], back[COUNT];
    double squares = 0.0;
    double got = 0.0;
    float *to = NULL;
    bool ok = ops->image_layout(backend, 2, 5, 3, 7, &layout, &err) == NERO_OK;

    for (int i = 0; i < COUNT; i++) {
        host[i] = (float)(rng_uniform(&stream) - 0.5);
        doubled[i] = 2.0f * host[i];
        squares += (double)host[i] * (double)host[i];
    }
    to = ops->mem_alloc(backend, layout.bytes);
    ok = ok && to != NULL && ops->import_nchw(backend, &layout, host, to, &err) == NERO_OK &&
         ops->accumulate(backend, &layout, to, to, &err) == NERO_OK &&
         ops->export_nchw(backend, &layout, to, back, &err) == NERO_OK;
    expect(ok && compare_floats(ops->name, "accumulate", back, doubled, COUNT, 0.0), "accumulate");
    ok = ok && ops->upload(backend, to, host, sizeof(host), &err) == NERO_OK &&
         ops->sum_squares(backend, to, COUNT, &got, &err) == NERO_OK;
    expect(ok && fabs(got - squares) <= 1e-12 * squares, "sum_squares");
    ops->mem_free(backend, to);
}

static void check_backend(struct backend *ref, struct backend *backend)
{
    size_t count;
    struct op_case *cases = cases_create(&count);
    bool is_ref = strcmp(backend->ops->name, "ref") == 0;
    char description[BACKEND_NAME_BYTES];

    backend->ops->describe(backend, description);
    for (size_t i = 0; i < count; i++) {
        if (is_ref) {
            check_gradients(ref, &cases[i]);
        } else {
            compare_case(ref, backend, &cases[i], false);
        }
        compare_case(ref, backend, &cases[i], true);
    }
    free(cases);
    check_ties(backend);
    check_loss(backend);
    check_updates(backend);
    check_sums(backend);
    printf("%s (%s): %zu cases, %d failures\n", backend->ops->name, description, count, failures);
}

int main(int argc, char **argv)
{
    struct backend *ref = NULL;
    struct nero_err err;

    if (argc < 2 || backend_ref_create(&ref, &err) != NERO_OK) {
        fprintf(stderr, "usage: test_ops BACKEND...\n");
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
