#include "tests/support/onnx_eval.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"

enum { RANK_MAX = 4, INPUTS_MAX = 64 };

/* A value by name; [n,c,h,w] or fewer axes, row-major. */
struct eval_tensor {
    const char *name;
    size_t rank;
    size_t dims[RANK_MAX];
    double *data; /* owned */
};

struct onnx_eval {
    Onnx__ModelProto *model;
    size_t count, capacity;
    size_t initializer_count; /* the first ones; the rest are of one run */
    struct eval_tensor *tensors;
};

static int refuse(const char *what, const char *which)
{
    fprintf(stderr, "onnx_eval: %s %s\n", what, which);
    return -1;
}

static size_t size_of(const struct eval_tensor *tensor)
{
    size_t size = 1;

    for (size_t i = 0; i < tensor->rank; i++) {
        size *= tensor->dims[i];
    }
    return size;
}

static const struct eval_tensor *find(const struct onnx_eval *eval, const char *name)
{
    for (size_t i = 0; i < eval->count; i++) {
        if (strcmp(eval->tensors[i].name, name) == 0) {
            return &eval->tensors[i];
        }
    }
    return NULL;
}

/* A new value; NULL where the name is taken: an ONNX graph assigns each once. */
static struct eval_tensor *add(struct onnx_eval *eval, const char *name, size_t rank,
                               const size_t *dims)
{
    struct eval_tensor *made = &eval->tensors[eval->count];

    if (find(eval, name) != NULL || eval->count == eval->capacity) {
        refuse("a second value or too many:", name);
        return NULL;
    }
    *made = (struct eval_tensor){.name = name, .rank = rank};
    memcpy(made->dims, dims, rank * sizeof(*dims));
    made->data = calloc(size_of(made) + 1, sizeof(double));
    if (made->data == NULL) {
        abort();
    }
    eval->count++;
    return made;
}

/* ---- attributes ---- */

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++) {
        if (strcmp(node->attribute[i]->name, name) == 0) {
            return node->attribute[i];
        }
    }
    return NULL;
}

static int64_t int_of(const Onnx__NodeProto *node, const char *name, int64_t missing)
{
    const Onnx__AttributeProto *found = attribute(node, name);

    return found != NULL && found->has_i ? found->i : missing;
}

static bool knows_attributes(const Onnx__NodeProto *node)
{
    static const char *const known[] = {"kernel_shape", "pads",   "strides", "count_include_pad",
                                        "epsilon",      "transB", "axis"};

    for (size_t i = 0; i < node->n_attribute; i++) {
        bool found = false;

        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
            found = found || strcmp(node->attribute[i]->name, known[k]) == 0;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

/* Kernel, stride and padding (top, left, bottom, right) of a window. */
struct eval_window {
    size_t kernel[2], stride[2];
    int64_t pad[4];
};

static int window_of(const Onnx__NodeProto *node, struct eval_window *out)
{
    const Onnx__AttributeProto *kernel = attribute(node, "kernel_shape");
    const Onnx__AttributeProto *strides = attribute(node, "strides");
    const Onnx__AttributeProto *pads = attribute(node, "pads");

    if (kernel == NULL || strides == NULL || pads == NULL || kernel->n_ints != 2 ||
        strides->n_ints != 2 || pads->n_ints != 4) {
        return refuse("no window:", node->name);
    }
    for (int i = 0; i < 2; i++) {
        out->kernel[i] = (size_t)kernel->ints[i];
        out->stride[i] = (size_t)strides->ints[i];
    }
    memcpy(out->pad, pads->ints, sizeof(out->pad));
    for (int i = 0; i < 4; i++) { /* what onnxruntime demands of a pooling */
        if (out->pad[i] < 0 || out->pad[i] >= (int64_t)out->kernel[i % 2]) {
            return refuse("a padding as large as its kernel:", node->name);
        }
    }
    return 0;
}

static size_t window_out(const struct eval_window *window, size_t in, int axis)
{
    size_t padded = in + (size_t)window->pad[axis] + (size_t)window->pad[axis + 2];

    return (padded - window->kernel[axis]) / window->stride[axis] + 1;
}

/* ---- operators: inputs in[], the output under `name` ---- */

struct eval_call {
    struct onnx_eval *eval;
    const Onnx__NodeProto *node;
    const struct eval_tensor *in[INPUTS_MAX];
    size_t in_count;
};

/* Sum over one window of one plane of weight * pixel. */
static double correlate(const struct eval_tensor *x, size_t plane, const struct eval_window *window,
                        size_t row, size_t column, const double *weight)
{
    const double *pixels = x->data + plane * x->dims[2] * x->dims[3];
    double sum = 0.0;

    for (size_t r = 0; r < window->kernel[0]; r++) {
        for (size_t s = 0; s < window->kernel[1]; s++) {
            int64_t i = (int64_t)(row * window->stride[0] + r) - window->pad[0];
            int64_t j = (int64_t)(column * window->stride[1] + s) - window->pad[1];

            if (i >= 0 && j >= 0 && i < (int64_t)x->dims[2] && j < (int64_t)x->dims[3]) {
                sum +=
                    weight[r * window->kernel[1] + s] * pixels[(size_t)i * x->dims[3] + (size_t)j];
            }
        }
    }
    return sum;
}

static int conv(const struct eval_call *call)
{
    const struct eval_tensor *x = call->in[0];
    const struct eval_tensor *w = call->in[1];
    struct eval_window window;
    struct eval_tensor *y;
    size_t area;

    if (window_of(call->node, &window) != 0 || x->rank != 4 || w->rank != 4 ||
        w->dims[1] != x->dims[1] || w->dims[2] != window.kernel[0] ||
        w->dims[3] != window.kernel[1]) {
        return refuse("shapes of", call->node->name);
    }
    y = add(call->eval, call->node->output[0], 4,
            (const size_t[]){x->dims[0], w->dims[0], window_out(&window, x->dims[2], 0),
                             window_out(&window, x->dims[3], 1)});
    if (y == NULL) {
        return -1;
    }
    area = window.kernel[0] * window.kernel[1];
    for (size_t at = 0; at < size_of(y); at++) {
        size_t column = at % y->dims[3];
        size_t row = at / y->dims[3] % y->dims[2];
        size_t k = at / (y->dims[3] * y->dims[2]) % y->dims[1];
        size_t n = at / (y->dims[3] * y->dims[2] * y->dims[1]);

        y->data[at] = call->in_count > 2 ? call->in[2]->data[k] : 0.0;
        for (size_t c = 0; c < x->dims[1]; c++) {
            y->data[at] += correlate(x, n * x->dims[1] + c, &window, row, column,
                                     w->data + (k * w->dims[1] + c) * area);
        }
    }
    return 0;
}

static double pooled(const struct eval_tensor *x, size_t plane, const struct eval_window *window,
                     size_t row, size_t column, bool max)
{
    const double *pixels = x->data + plane * x->dims[2] * x->dims[3];
    double best = -INFINITY;
    double sum = 0.0;
    double count = 0.0;

    for (size_t r = 0; r < window->kernel[0]; r++) {
        for (size_t s = 0; s < window->kernel[1]; s++) {
            int64_t i = (int64_t)(row * window->stride[0] + r) - window->pad[0];
            int64_t j = (int64_t)(column * window->stride[1] + s) - window->pad[1];

            if (i >= 0 && j >= 0 && i < (int64_t)x->dims[2] && j < (int64_t)x->dims[3]) {
                double pixel = pixels[(size_t)i * x->dims[3] + (size_t)j];

                best = pixel > best ? pixel : best;
                sum += pixel;
                count += 1.0;
            }
        }
    }
    return max ? best : sum / count;
}

static int pool(const struct eval_call *call)
{
    const struct eval_tensor *x = call->in[0];
    bool max = strcmp(call->node->op_type, "MaxPool") == 0;
    struct eval_window window;
    struct eval_tensor *y;

    if (window_of(call->node, &window) != 0 || x->rank != 4 ||
        int_of(call->node, "count_include_pad", 0) != 0) {
        return refuse("shapes of", call->node->name);
    }
    y = add(call->eval, call->node->output[0], 4,
            (const size_t[]){x->dims[0], x->dims[1], window_out(&window, x->dims[2], 0),
                             window_out(&window, x->dims[3], 1)});
    if (y == NULL) {
        return -1;
    }
    for (size_t at = 0; at < size_of(y); at++) {
        y->data[at] = pooled(x, at / (y->dims[3] * y->dims[2]), &window,
                             at / y->dims[3] % y->dims[2], at % y->dims[3], max);
    }
    return 0;
}

static int batch_norm(const struct eval_call *call)
{
    const struct eval_tensor *x = call->in[0];
    const Onnx__AttributeProto *epsilon = attribute(call->node, "epsilon");
    struct eval_tensor *y;

    if (call->in_count != 5 || x->rank != 4 || epsilon == NULL || !epsilon->has_f) {
        return refuse("inputs of", call->node->name);
    }
    for (size_t i = 1; i < 5; i++) {
        if (call->in[i]->rank != 1 || call->in[i]->dims[0] != x->dims[1]) {
            return refuse("channels of", call->node->name);
        }
    }
    y = add(call->eval, call->node->output[0], x->rank, x->dims);
    for (size_t at = 0; y != NULL && at < size_of(y); at++) {
        size_t c = at / (x->dims[2] * x->dims[3]) % x->dims[1];
        double deviation = sqrt(call->in[4]->data[c] + (double)epsilon->f);

        y->data[at] = (x->data[at] - call->in[3]->data[c]) / deviation * call->in[1]->data[c] +
                      call->in[2]->data[c];
    }
    return y == NULL ? -1 : 0;
}

/* Relu, Sigmoid, Mul of equal shapes. */
static int pointwise(const struct eval_call *call)
{
    const struct eval_tensor *x = call->in[0];
    const char *op = call->node->op_type;
    struct eval_tensor *y;

    if (call->in_count == 2 &&
        (call->in[1]->rank != x->rank ||
         memcmp(call->in[1]->dims, x->dims, x->rank * sizeof(size_t)) != 0)) {
        return refuse("shapes of", call->node->name);
    }
    y = add(call->eval, call->node->output[0], x->rank, x->dims);
    for (size_t at = 0; y != NULL && at < size_of(y); at++) {
        double v = x->data[at];

        y->data[at] = op[0] == 'R'   ? (v > 0.0 ? v : 0.0)
                      : op[0] == 'S' ? 1.0 / (1.0 + exp(-v))
                                     : v * call->in[1]->data[at];
    }
    return y == NULL ? -1 : 0;
}

static int concat(const struct eval_call *call)
{
    const struct eval_tensor *first = call->in[0];
    size_t dims[RANK_MAX];
    size_t at = 0;
    struct eval_tensor *y;

    memcpy(dims, first->dims, sizeof(dims));
    dims[1] = 0;
    for (size_t i = 0; i < call->in_count; i++) {
        const struct eval_tensor *x = call->in[i];

        if (x->rank != first->rank || x->dims[0] != first->dims[0] ||
            (x->rank == 4 && (x->dims[2] != dims[2] || x->dims[3] != dims[3])) ||
            int_of(call->node, "axis", 0) != 1) {
            return refuse("shapes of", call->node->name);
        }
        dims[1] += x->dims[1];
    }
    y = add(call->eval, call->node->output[0], first->rank, dims);
    for (size_t n = 0; y != NULL && n < dims[0]; n++) {
        for (size_t i = 0; i < call->in_count; i++) {
            size_t each = size_of(call->in[i]) / dims[0];

            memcpy(y->data + at, call->in[i]->data + n * each, each * sizeof(double));
            at += each;
        }
    }
    return y == NULL ? -1 : 0;
}

static int flatten(const struct eval_call *call)
{
    const struct eval_tensor *x = call->in[0];
    struct eval_tensor *y = add(call->eval, call->node->output[0], 2,
                                (const size_t[]){x->dims[0], size_of(x) / x->dims[0]});

    if (y == NULL || int_of(call->node, "axis", 1) != 1) {
        return refuse("cannot flatten", call->node->name);
    }
    memcpy(y->data, x->data, size_of(x) * sizeof(double));
    return 0;
}

static int gemm(const struct eval_call *call)
{
    const struct eval_tensor *x = call->in[0];
    const struct eval_tensor *w = call->in[1];
    struct eval_tensor *y;

    if (x->rank != 2 || w->rank != 2 || w->dims[1] != x->dims[1] ||
        int_of(call->node, "transB", 0) != 1) {
        return refuse("shapes of", call->node->name);
    }
    y = add(call->eval, call->node->output[0], 2, (const size_t[]){x->dims[0], w->dims[0]});
    for (size_t at = 0; y != NULL && at < size_of(y); at++) {
        size_t k = at % w->dims[0];

        y->data[at] = call->in_count > 2 ? call->in[2]->data[k] : 0.0;
        for (size_t i = 0; i < x->dims[1]; i++) {
            y->data[at] += x->data[at / w->dims[0] * x->dims[1] + i] * w->data[k * w->dims[1] + i];
        }
    }
    return y == NULL ? -1 : 0;
}

static int run_node(struct onnx_eval *eval, const Onnx__NodeProto *node)
{
    static const struct {
        const char *op;
        size_t inputs_min;
        int (*run)(const struct eval_call *call);
    } operators[] = {{"Conv", 2, conv},        {"BatchNormalization", 5, batch_norm},
                     {"Relu", 1, pointwise},   {"Sigmoid", 1, pointwise},
                     {"Mul", 2, pointwise},    {"MaxPool", 1, pool},
                     {"AveragePool", 1, pool}, {"Concat", 2, concat},
                     {"Flatten", 1, flatten},  {"Gemm", 2, gemm}};
    struct eval_call call = {.eval = eval, .node = node, .in_count = node->n_input};

    if (node->n_input > INPUTS_MAX || node->n_output != 1 || !knows_attributes(node)) {
        return refuse("inputs, outputs or attributes of", node->name);
    }
    for (size_t i = 0; i < node->n_input; i++) {
        call.in[i] = find(eval, node->input[i]);
        if (call.in[i] == NULL) {
            return refuse("nothing has made", node->input[i]);
        }
    }
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (strcmp(node->op_type, operators[i].op) == 0 &&
            node->n_input >= operators[i].inputs_min) {
            return operators[i].run(&call);
        }
    }
    return refuse("unknown operator", node->op_type);
}

/* ---- the file ---- */

static int take_initializer(struct onnx_eval *eval, const Onnx__TensorProto *from)
{
    size_t dims[RANK_MAX];
    struct eval_tensor *made;

    if (from->n_dims == 0 || from->n_dims > RANK_MAX || !from->has_raw_data ||
        from->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        return refuse("initializer", from->name);
    }
    for (size_t i = 0; i < from->n_dims; i++) {
        dims[i] = (size_t)from->dims[i];
    }
    made = add(eval, from->name, from->n_dims, dims);
    if (made == NULL || from->raw_data.len != size_of(made) * sizeof(float)) {
        return refuse("bytes of", from->name);
    }
    for (size_t i = 0; i < size_of(made); i++) {
        float value;

        memcpy(&value, from->raw_data.data + i * sizeof(value), sizeof(value));
        made->data[i] = (double)value;
    }
    return 0;
}

static int open_model(struct onnx_eval *eval)
{
    const Onnx__ModelProto *model = eval->model;
    const Onnx__GraphProto *graph = model->graph;

    if (graph == NULL || model->n_opset_import != 1 || model->opset_import[0]->version < 13 ||
        graph->n_input != 1 || graph->n_output != 1 ||
        strcmp(graph->input[0]->name, "image") != 0 ||
        strcmp(graph->output[0]->name, "logits") != 0) {
        return refuse("not a model of", "an image to logits");
    }
    eval->capacity = graph->n_initializer + graph->n_node + 1;
    eval->tensors = calloc(eval->capacity, sizeof(*eval->tensors));
    if (eval->tensors == NULL) {
        abort();
    }
    for (size_t i = 0; i < graph->n_initializer; i++) {
        if (take_initializer(eval, graph->initializer[i]) != 0) {
            return -1;
        }
    }
    eval->initializer_count = eval->count;
    return 0;
}

struct onnx_eval *onnx_eval_open(struct bytes_view file)
{
    struct onnx_eval *eval = calloc(1, sizeof(*eval));

    if (eval == NULL) {
        abort();
    }
    eval->model = onnx__model_proto__unpack(NULL, file.bytes, file.data);
    if (eval->model == NULL || open_model(eval) != 0) {
        onnx_eval_close(eval);
        return NULL;
    }
    return eval;
}

static void forget_run(struct onnx_eval *eval, size_t keep)
{
    while (eval->count > keep) {
        free(eval->tensors[--eval->count].data);
    }
}

void onnx_eval_close(struct onnx_eval *eval)
{
    forget_run(eval, 0);
    free(eval->tensors);
    if (eval->model != NULL) {
        onnx__model_proto__free_unpacked(eval->model, NULL);
    }
    free(eval);
}

const char *onnx_eval_property(const struct onnx_eval *eval, const char *key)
{
    for (size_t i = 0; i < eval->model->n_metadata_props; i++) {
        if (strcmp(eval->model->metadata_props[i]->key, key) == 0) {
            return eval->model->metadata_props[i]->value;
        }
    }
    return NULL;
}

uint32_t onnx_eval_count(const struct onnx_eval *eval, const char *op)
{
    uint32_t count = 0;

    for (size_t i = 0; i < eval->model->graph->n_node; i++) {
        count += strcmp(eval->model->graph->node[i]->op_type, op) == 0;
    }
    return count;
}

int onnx_eval_run(struct onnx_eval *eval, uint32_t batch, const float *images, double *logits,
                  uint32_t count)
{
    const Onnx__GraphProto *graph = eval->model->graph;
    const Onnx__TensorShapeProto *shape = graph->input[0]->type->tensor_type->shape;
    size_t dims[RANK_MAX] = {batch};
    struct eval_tensor *image;
    const struct eval_tensor *out;

    if (shape->n_dim != 4) {
        return refuse("rank of", "the image");
    }
    for (size_t i = 1; i < 4; i++) {
        dims[i] = (size_t)shape->dim[i]->dim_value;
    }
    forget_run(eval, eval->initializer_count);
    image = add(eval, "image", 4, dims);
    for (size_t i = 0; i < size_of(image); i++) {
        image->data[i] = (double)images[i];
    }
    for (size_t i = 0; i < graph->n_node; i++) {
        if (run_node(eval, graph->node[i]) != 0) {
            return -1;
        }
    }
    out = find(eval, "logits");
    if (out == NULL || out->rank != 2 || size_of(out) != count) {
        return refuse("shape of", "the logits");
    }
    memcpy(logits, out->data, count * sizeof(double));
    return 0;
}
