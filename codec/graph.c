/*
 * Building a graph: unit after unit is expanded to nodes at the end of a growing array; a unit that
 * does not fit is cut off again and becomes an alias. Then nodes that do not reach the last one are
 * deleted, the rest is renumbered in order, and parameters and costs are counted. All counts are
 * uint64_t with checked arithmetic: a phenotype is input from outside.
 */
#include "nero/graph.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

/* Invariant: every node below node_count has its inputs; unit_node is set for units done so far. */
struct builder {
    const struct phenotype *phenotype;
    struct graph *graph;
    uint32_t node_capacity;
    uint32_t *unit_node; /* by unit: the node of its output, aliases followed */
};

/* Height and width of a window operation, and what it pads. */
struct window {
    uint32_t kernel_h, kernel_w, stride;
    enum phenotype_padding padding;
};

static enum nero_status no_memory(struct nero_err *err)
{
    return err_set(err, NERO_NO_MEMORY, 0, "graph: no memory");
}

static enum nero_status grow_nodes(struct builder *builder, struct nero_err *err)
{
    uint32_t capacity = builder->node_capacity == 0 ? 64 : 2 * builder->node_capacity;
    struct graph_node *nodes;

    if (builder->graph->node_count >= GRAPH_NODES_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "graph: more than %d nodes", GRAPH_NODES_MAX);
    }
    if (builder->graph->node_count < builder->node_capacity) {
        return NERO_OK;
    }
    nodes = mem_realloc_array(builder->graph->nodes, capacity, sizeof(*nodes));
    if (nodes == NULL) {
        return no_memory(err);
    }
    builder->graph->nodes = nodes;
    builder->node_capacity = capacity;
    return NERO_OK;
}

/* Append a node that copies `node` but for its inputs; *out is its number. */
static enum nero_status add_node(struct builder *builder, const struct graph_node *node,
                                 const uint32_t *inputs, uint32_t input_count, uint32_t *out,
                                 struct nero_err *err)
{
    struct graph *graph = builder->graph;
    enum nero_status status = grow_nodes(builder, err);
    uint32_t *copy = NULL;

    if (status != NERO_OK) {
        return status;
    }
    if (input_count > 0) {
        copy = mem_dup(inputs, input_count * sizeof(*inputs));
        if (copy == NULL) {
            return no_memory(err);
        }
    }
    *out = graph->node_count++;
    graph->nodes[*out] = *node;
    graph->nodes[*out].inputs = copy;
    graph->nodes[*out].input_count = input_count;
    return NERO_OK;
}

static void cut_nodes(struct graph *graph, uint32_t count)
{
    while (graph->node_count > count) {
        free(graph->nodes[--graph->node_count].inputs);
    }
}

static struct graph_shape shape_of(const struct builder *builder, uint32_t node)
{
    return builder->graph->nodes[node].shape;
}

/* One axis. False where the window does not fit. */
static bool window_axis(uint32_t in, uint32_t kernel, uint32_t stride,
                        enum phenotype_padding padding, uint32_t *out, uint32_t *before,
                        uint32_t *after)
{
    uint64_t reach;

    *before = 0;
    *after = 0;
    if (padding == PHENOTYPE_VALID) {
        if (kernel > in) {
            return false;
        }
        *out = (in - kernel) / stride + 1;
        return true;
    }
    *out = in / stride + (in % stride != 0 ? 1 : 0);
    *before = (kernel - 1) / 2;
    reach = (uint64_t)(*out - 1) * stride + kernel; /* padded pixels that the windows cover */
    if (reach > (uint64_t)in + *before) {
        *after = (uint32_t)(reach - in - *before);
    }
    return true;
}

/* Fill geometry and shape of a window operation on `in`; the channels are the caller's. */
static bool set_window(struct graph_node *node, struct graph_shape in, const struct window *window)
{
    node->kernel_h = window->kernel_h;
    node->kernel_w = window->kernel_w;
    node->stride = window->stride;
    return window_axis(in.h, window->kernel_h, window->stride, window->padding, &node->shape.h,
                       &node->pad_top, &node->pad_bottom) &&
           window_axis(in.w, window->kernel_w, window->stride, window->padding, &node->shape.w,
                       &node->pad_left, &node->pad_right);
}

/* An operation that keeps the shape. */
static enum nero_status add_pointwise(struct builder *builder, int32_t unit, enum graph_op op,
                                      uint32_t *node, struct nero_err *err)
{
    struct graph_node made = {.op = op, .shape = shape_of(builder, *node), .unit = unit};

    return add_node(builder, &made, node, 1, node, err);
}

static enum nero_status add_activation(struct builder *builder, int32_t unit,
                                       enum phenotype_activation activation, uint32_t *node,
                                       struct nero_err *err)
{
    if (activation == PHENOTYPE_LINEAR) {
        return NERO_OK;
    }
    return add_pointwise(builder, unit, activation == PHENOTYPE_RELU ? GRAPH_RELU : GRAPH_SILU,
                         node, err);
}

static enum nero_status add_pool(struct builder *builder, int32_t unit, enum graph_op op,
                                 const struct window *window, uint32_t *node, bool *fits,
                                 struct nero_err *err)
{
    struct graph_shape in = shape_of(builder, *node);
    struct graph_node made = {.op = op, .unit = unit};

    *fits = set_window(&made, in, window);
    if (!*fits) {
        return NERO_OK;
    }
    made.shape.c = in.c;
    return add_node(builder, &made, node, 1, node, err);
}

/* The parts of a block in the order in which they stand. */
enum block_part { PART_CONV, PART_ACT, PART_BN };

static uint32_t block_order(const struct phenotype_conv *conv, enum block_part out[3])
{
    bool pre = conv->act_position == PHENOTYPE_PRE_CONV;
    uint32_t count = 0;

    if (conv->bn == PHENOTYPE_BN_PRE) {
        out[count++] = PART_BN;
    }
    out[count++] = pre ? PART_ACT : PART_CONV;
    if (conv->bn == PHENOTYPE_BN_MID) {
        out[count++] = PART_BN;
    }
    out[count++] = pre ? PART_CONV : PART_ACT;
    if (conv->bn == PHENOTYPE_BN_POST) {
        out[count++] = PART_BN;
    }
    return count;
}

/* Convolution, activation and batch norm; `filters` and `window` instead of those of `conv`. */
static enum nero_status add_block(struct builder *builder, int32_t unit,
                                  const struct phenotype_conv *conv, uint32_t filters,
                                  const struct window *window, uint32_t *node, bool *fits,
                                  struct nero_err *err)
{
    enum block_part order[3];
    uint32_t count = block_order(conv, order);
    enum nero_status status = NERO_OK;

    *fits = true;
    for (uint32_t i = 0; i < count && status == NERO_OK && *fits; i++) {
        if (order[i] == PART_BN) {
            status = add_pointwise(builder, unit, GRAPH_BATCH_NORM, node, err);
        } else if (order[i] == PART_ACT) {
            status = add_activation(builder, unit, conv->activation, node, err);
        } else {
            struct graph_node made = {.op = GRAPH_CONV, .unit = unit, .bias = conv->bias};

            *fits = set_window(&made, shape_of(builder, *node), window);
            made.shape.c = filters;
            if (*fits) {
                status = add_node(builder, &made, node, 1, node, err);
            }
        }
    }
    return status;
}

static enum nero_status add_conv(struct builder *builder, int32_t unit,
                                 const struct phenotype_conv *conv, uint32_t *node, bool *fits,
                                 struct nero_err *err)
{
    struct window window = {conv->kernel, conv->kernel, conv->stride, conv->padding};
    struct window point = {1, 1, 1, PHENOTYPE_VALID};
    uint32_t filters;
    enum nero_status status;

    if (conv->filters_mult > 0) {
        if (__builtin_mul_overflow(conv->filters, conv->filters_mult, &filters)) {
            return err_set(err, NERO_TOO_BIG, 0, "graph: unit %d: filters * filters_mult", unit);
        }
        status = add_block(builder, unit, conv, filters, &point, node, fits, err);
        if (status != NERO_OK) {
            return status;
        }
    }
    return add_block(builder, unit, conv, conv->filters, &window, node, fits, err);
}

static enum nero_status add_fc(struct builder *builder, int32_t number,
                               const struct phenotype_unit *unit, uint32_t *node,
                               struct nero_err *err)
{
    struct graph_node made = {
        .op = GRAPH_FC, .shape = {unit->fc_units, 1, 1}, .unit = number, .bias = unit->fc_bias};
    enum nero_status status = add_node(builder, &made, node, 1, node, err);

    if (status != NERO_OK) {
        return status;
    }
    return add_activation(builder, number, unit->fc_activation, node, err);
}

/* Max pooling along one axis after the other down to (h, w); nothing where it is there already. */
static enum nero_status add_alignment(struct builder *builder, int32_t unit, uint32_t h, uint32_t w,
                                      uint32_t *node, struct nero_err *err)
{
    struct graph_shape in = shape_of(builder, *node);
    struct window rows = {in.h - h + 1, 1, 1, PHENOTYPE_VALID};
    struct window columns = {1, in.w - w + 1, 1, PHENOTYPE_VALID};
    enum nero_status status = NERO_OK;
    bool fits = true;

    if (rows.kernel_h > 1) {
        status = add_pool(builder, unit, GRAPH_MAX_POOL, &rows, node, &fits, err);
    }
    if (status == NERO_OK && columns.kernel_w > 1) {
        status = add_pool(builder, unit, GRAPH_MAX_POOL, &columns, node, &fits, err);
    }
    assert(status != NERO_OK || fits);
    return status;
}

static uint32_t unit_output(const struct builder *builder, int32_t unit)
{
    return unit == PHENOTYPE_IMAGE ? 0 : builder->unit_node[unit];
}

/* Align and concatenate nodes[0..count), count >= 2; `nodes` is overwritten. */
static enum nero_status add_concat(struct builder *builder, int32_t unit, uint32_t *nodes,
                                   uint32_t count, uint32_t *out, struct nero_err *err)
{
    struct graph_node made = {
        .op = GRAPH_CONCAT, .unit = unit, .shape = {0, UINT32_MAX, UINT32_MAX}};

    for (uint32_t i = 0; i < count; i++) {
        struct graph_shape in = shape_of(builder, nodes[i]);

        made.shape.h = in.h < made.shape.h ? in.h : made.shape.h;
        made.shape.w = in.w < made.shape.w ? in.w : made.shape.w;
        if (__builtin_add_overflow(made.shape.c, in.c, &made.shape.c)) {
            return err_set(err, NERO_TOO_BIG, 0, "graph: unit %d: merged channels", unit);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        enum nero_status status =
            add_alignment(builder, unit, made.shape.h, made.shape.w, &nodes[i], err);

        if (status != NERO_OK) {
            return status;
        }
    }
    return add_node(builder, &made, nodes, count, out, err);
}

static enum nero_status merge_inputs(struct builder *builder, int32_t number,
                                     const struct phenotype_unit *unit, uint32_t *out,
                                     struct nero_err *err)
{
    uint32_t nodes[PHENOTYPE_INPUTS_MAX];
    uint32_t count = 0;

    if (unit->input_count == 1) {
        *out = unit_output(builder, unit->inputs[0]);
        return NERO_OK;
    }
    for (uint32_t i = 0; i < unit->input_count; i++) {
        int32_t input = unit->inputs[i];

        if (input == PHENOTYPE_IMAGE || !builder->graph->unit_aliased[input]) {
            nodes[count++] = unit_output(builder, input);
        }
    }
    if (count < 2) {
        *out = count == 1 ? nodes[0] : unit_output(builder, number - 1);
        return NERO_OK;
    }
    return add_concat(builder, number, nodes, count, out, err);
}

static enum nero_status build_unit(struct builder *builder, int32_t number, struct nero_err *err)
{
    const struct phenotype_unit *unit = &builder->phenotype->units[number];
    uint32_t start = builder->graph->node_count;
    uint32_t node = 0;
    bool fits = true;
    enum nero_status status = merge_inputs(builder, number, unit, &node, err);

    if (status == NERO_OK && unit->kind == PHENOTYPE_FC) {
        status = add_fc(builder, number, unit, &node, err);
    } else if (status == NERO_OK) {
        status = add_conv(builder, number, &unit->conv, &node, &fits, err);
        if (status == NERO_OK && fits && unit->kind == PHENOTYPE_POOL) {
            const struct phenotype_pool *pool = &unit->pool;
            struct window window = {pool->kernel, pool->kernel, pool->stride, pool->padding};

            status = add_pool(builder, number,
                              pool->pooling == PHENOTYPE_MAX_POOL ? GRAPH_MAX_POOL : GRAPH_AVG_POOL,
                              &window, &node, &fits, err);
        }
    }
    if (status != NERO_OK) {
        return status;
    }
    if (!fits) {
        cut_nodes(builder->graph, start);
        node = unit_output(builder, number - 1);
    }
    builder->graph->unit_aliased[number] = !fits;
    builder->unit_node[number] = node;
    return NERO_OK;
}

/* Delete what does not reach the last node; numbers keep their order. Node 0 always stays. */
static enum nero_status delete_dead(struct graph *graph, struct nero_err *err)
{
    uint32_t last = graph->node_count - 1;
    uint32_t *number = mem_calloc(graph->node_count, sizeof(*number)); /* new number + 1; 0: dead */
    uint32_t kept = 0;

    if (number == NULL) {
        return no_memory(err);
    }
    number[0] = 1;
    number[last] = 1;
    for (uint32_t i = graph->node_count; i-- > 0;) {
        for (uint32_t k = 0; number[i] != 0 && k < graph->nodes[i].input_count; k++) {
            number[graph->nodes[i].inputs[k]] = 1;
        }
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct graph_node *node = &graph->nodes[i];

        if (number[i] == 0) {
            free(node->inputs);
            continue;
        }
        for (uint32_t k = 0; k < node->input_count; k++) {
            node->inputs[k] = number[node->inputs[k]] - 1;
        }
        if (node->unit >= 0) {
            graph->unit_live[node->unit] = true;
        }
        graph->nodes[kept++] = *node;
        number[i] = kept;
    }
    graph->node_count = kept;
    free(number);
    return NERO_OK;
}

static enum nero_status overflow(struct nero_err *err, const char *what, uint32_t node)
{
    return err_set(err, NERO_TOO_BIG, 0, "graph: node %u: %s overflows", node, what);
}

/* Append one tensor; the caller has made room. Trained ones and statistics are counted apart. */
static enum nero_status add_param(struct graph *graph, struct graph_param param,
                                  struct nero_err *err)
{
    bool stat = param.kind == GRAPH_MEAN || param.kind == GRAPH_VAR;
    uint64_t *total = stat ? &graph->stat_count : &graph->trained_count;

    param.count = 1;
    for (uint32_t i = 0; i < param.rank; i++) {
        if (__builtin_mul_overflow(param.count, param.dims[i], &param.count)) {
            return overflow(err, "parameter count", param.node);
        }
    }
    param.offset = *total;
    if (__builtin_add_overflow(*total, param.count, total)) {
        return overflow(err, "parameter count", param.node);
    }
    graph->params[graph->param_count++] = param;
    return NERO_OK;
}

static enum nero_status add_vector(struct graph *graph, enum graph_param_kind kind, uint32_t node,
                                   struct nero_err *err)
{
    struct graph_param param = {
        .kind = kind, .node = node, .rank = 1, .dims = {graph->nodes[node].shape.c}};

    return add_param(graph, param, err);
}

/* Kernel and bias of a convolution or an FC, and its multiply-adds. */
static enum nero_status add_weights(struct graph *graph, uint32_t number, struct nero_err *err)
{
    const struct graph_node *node = &graph->nodes[number];
    struct graph_shape in = graph->nodes[node->inputs[0]].shape;
    bool conv = node->op == GRAPH_CONV;
    struct graph_param param = {.kind = GRAPH_KERNEL, .node = number, .rank = conv ? 4 : 2};
    uint32_t across = conv ? node->kernel_h : in.h;
    uint32_t along = conv ? node->kernel_w : in.w;
    uint64_t macs = (uint64_t)node->shape.h * node->shape.w;
    enum nero_status status;

    if (__builtin_mul_overflow(in.c, across, &param.fan_in) ||
        __builtin_mul_overflow(param.fan_in, along, &param.fan_in)) {
        return overflow(err, "fan-in", number);
    }
    param.dims[0] = node->shape.c;
    param.dims[1] = conv ? in.c : param.fan_in;
    param.dims[2] = conv ? across : 0;
    param.dims[3] = conv ? along : 0;
    if (__builtin_mul_overflow(macs, param.fan_in, &macs) ||
        __builtin_mul_overflow(macs, node->shape.c, &macs) ||
        __builtin_add_overflow(graph->macs, macs, &graph->macs)) {
        return overflow(err, "count of multiply-adds", number);
    }
    status = add_param(graph, param, err);
    if (status == NERO_OK && node->bias) {
        status = add_vector(graph, GRAPH_BIAS, number, err);
    }
    return status;
}

static enum nero_status add_params(struct graph *graph, struct nero_err *err)
{
    static const enum graph_param_kind norm[] = {GRAPH_GAMMA, GRAPH_BETA, GRAPH_MEAN, GRAPH_VAR};
    enum nero_status status = NERO_OK;

    graph->params = mem_calloc((size_t)graph->node_count * 4, sizeof(*graph->params));
    if (graph->params == NULL) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < graph->node_count && status == NERO_OK; i++) {
        enum graph_op op = graph->nodes[i].op;

        if (op == GRAPH_CONV || op == GRAPH_FC) {
            status = add_weights(graph, i, err);
        }
        for (uint32_t k = 0; op == GRAPH_BATCH_NORM && k < 4 && status == NERO_OK; k++) {
            status = add_vector(graph, norm[k], i, err);
        }
    }
    return status;
}

/* Every node keeps its output and the gradient of it; what a compiled plan saves is not counted. */
static enum nero_status count_plan(struct graph *graph, struct nero_err *err)
{
    uint64_t bytes;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct graph_shape shape = graph->nodes[i].shape;

        bytes = (uint64_t)shape.h * shape.w;
        if (__builtin_mul_overflow(bytes, shape.c, &bytes) ||
            __builtin_mul_overflow(bytes, 2 * sizeof(float), &bytes) ||
            __builtin_add_overflow(graph->plan_bytes_per_image, bytes,
                                   &graph->plan_bytes_per_image)) {
            return overflow(err, "plan bytes", i);
        }
    }
    if (__builtin_mul_overflow(graph->trained_count, 6, &bytes) ||
        __builtin_add_overflow(bytes, graph->stat_count, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &graph->plan_bytes_fixed)) {
        return overflow(err, "plan bytes", graph->node_count - 1);
    }
    return NERO_OK;
}

/* What the construction itself relies on; ranges beyond that are phenotype_check's. */
static bool unit_is_sound(const struct phenotype *phenotype, uint32_t number)
{
    const struct phenotype_unit *unit = &phenotype->units[number];

    if (unit->input_count < 1 || unit->input_count > PHENOTYPE_INPUTS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < unit->input_count; i++) {
        if (unit->inputs[i] < PHENOTYPE_IMAGE || unit->inputs[i] >= (int32_t)number) {
            return false;
        }
    }
    if (unit->kind == PHENOTYPE_FC) {
        return unit->fc_units > 0;
    }
    if (unit->conv.filters == 0 || unit->conv.kernel == 0 || unit->conv.stride == 0) {
        return false;
    }
    return unit->kind == PHENOTYPE_CONV ||
           (unit->kind == PHENOTYPE_POOL && unit->pool.kernel > 0 && unit->pool.stride > 0);
}

static enum nero_status check_sound(const struct phenotype *phenotype, struct nero_err *err)
{
    const struct phenotype_unit *last;

    if (phenotype->channels == 0 || phenotype->height == 0 || phenotype->width == 0 ||
        phenotype->height > PHENOTYPE_IMAGE_SIDE_MAX ||
        phenotype->width > PHENOTYPE_IMAGE_SIDE_MAX) {
        return err_set(err, NERO_INVALID, 0, "graph: image %u x %u x %u", phenotype->channels,
                       phenotype->height, phenotype->width);
    }
    if (phenotype->unit_count == 0 || phenotype->unit_count > PHENOTYPE_UNITS_MAX) {
        return err_set(err, NERO_INVALID, 0, "graph: %u units", phenotype->unit_count);
    }
    for (uint32_t i = 0; i < phenotype->unit_count; i++) {
        if (!unit_is_sound(phenotype, i)) {
            return err_set(err, NERO_INVALID, 0, "graph: unit %u: a field is out of range", i);
        }
    }
    last = &phenotype->units[phenotype->unit_count - 1];
    if (last->kind != PHENOTYPE_FC || last->fc_units != phenotype->classes ||
        last->fc_activation != PHENOTYPE_LINEAR) {
        return err_set(err, NERO_INVALID, 0, "graph: the last unit is no linear FC of %u outputs",
                       phenotype->classes);
    }
    return NERO_OK;
}

static enum nero_status build_nodes(struct builder *builder, struct nero_err *err)
{
    const struct phenotype *phenotype = builder->phenotype;
    struct graph_node image = {.op = GRAPH_INPUT,
                               .shape = {phenotype->channels, phenotype->height, phenotype->width},
                               .unit = PHENOTYPE_IMAGE};
    uint32_t node;
    enum nero_status status = add_node(builder, &image, NULL, 0, &node, err);

    for (uint32_t i = 0; i < phenotype->unit_count && status == NERO_OK; i++) {
        status = build_unit(builder, (int32_t)i, err);
    }
    return status;
}

enum nero_status graph_build(const struct phenotype *phenotype, struct graph *out,
                             struct nero_err *err)
{
    struct graph graph = {.unit_count = phenotype->unit_count};
    struct builder builder = {.phenotype = phenotype, .graph = &graph};
    enum nero_status status = check_sound(phenotype, err);

    if (status != NERO_OK) {
        return status;
    }
    graph.unit_live = mem_calloc(graph.unit_count, sizeof(*graph.unit_live));
    graph.unit_aliased = mem_calloc(graph.unit_count, sizeof(*graph.unit_aliased));
    builder.unit_node = mem_calloc(graph.unit_count, sizeof(*builder.unit_node));
    if (graph.unit_live == NULL || graph.unit_aliased == NULL || builder.unit_node == NULL) {
        status = no_memory(err);
    }
    if (status == NERO_OK) {
        status = build_nodes(&builder, err);
    }
    if (status == NERO_OK) {
        status = delete_dead(&graph, err);
    }
    if (status == NERO_OK) {
        status = add_params(&graph, err);
    }
    if (status == NERO_OK) {
        status = count_plan(&graph, err);
    }
    free(builder.unit_node);
    if (status != NERO_OK) {
        graph_fini(&graph);
        return status;
    }
    *out = graph;
    return NERO_OK;
}

void graph_fini(struct graph *graph)
{
    cut_nodes(graph, 0);
    free(graph->nodes);
    free(graph->params);
    free(graph->unit_live);
    free(graph->unit_aliased);
    memset(graph, 0, sizeof(*graph));
}

void graph_param_name(const struct graph *graph, uint32_t param, char out[GRAPH_NAME_BYTES])
{
    static const char *const names[] = {"kernel", "bias", "gamma", "beta", "mean", "var"};
    const struct graph_param *which;

    assert(param < graph->param_count);
    which = &graph->params[param];
    snprintf(out, GRAPH_NAME_BYTES, "u%02d.n%03u.%s", graph->nodes[which->node].unit, which->node,
             names[which->kind]);
}

const char *graph_op_name(enum graph_op op)
{
    static const char *const names[] = {"input",    "conv",     "batch_norm", "relu", "silu",
                                        "max_pool", "avg_pool", "concat",     "fc"};

    assert((unsigned)op < sizeof(names) / sizeof(names[0]));
    return names[op];
}
