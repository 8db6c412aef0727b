/*
 * From the graph to a list of operations. An operation takes in the nodes behind it as far as each
 * is the only reader of the one before: in training batch norm takes an activation, in inference
 * convolution and FC take a batch norm, then all of these take an activation.
 */
#include "net/net_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "nero/mem.h"

/* By node of the graph. */
struct lowering {
    struct net *net;
    uint32_t *reader; /* the only reader; NET_NONE: none or several */
    uint32_t *reader_count;
    uint32_t *first_param; /* NET_NONE: no parameters */
    uint32_t *tensor;      /* that holds its output; NET_NONE: taken in, held by none */
    bool *taken;           /* part of an earlier operation */
};

static bool is_activation(enum graph_op op)
{
    return op == GRAPH_RELU || op == GRAPH_SILU;
}

static enum backend_op_kind kind_of(enum graph_op op, bool training)
{
    switch (op) {
    case GRAPH_CONV:
        return BACKEND_CONV;
    case GRAPH_FC:
        return BACKEND_FC;
    case GRAPH_BATCH_NORM:
        return training ? BACKEND_BATCH_NORM : BACKEND_SCALE_SHIFT;
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
        return BACKEND_POOL;
    case GRAPH_CONCAT:
        return BACKEND_CONCAT;
    default:
        assert(is_activation(op));
        return BACKEND_ACTIVATION;
    }
}

static void fill_desc(const struct net *net, const struct graph_node *node,
                      struct backend_op_desc *desc)
{
    desc->kind = kind_of(node->op, net->options.training);
    desc->training = net->options.training;
    desc->plain = net->plain;
    desc->out_c = node->shape.c;
    desc->out_h = node->shape.h;
    desc->out_w = node->shape.w;
    desc->kernel_h = node->kernel_h;
    desc->kernel_w = node->kernel_w;
    desc->stride = node->stride;
    desc->pad_top = node->pad_top;
    desc->pad_left = node->pad_left;
    desc->pad_bottom = node->pad_bottom;
    desc->pad_right = node->pad_right;
    desc->bias = node->bias;
    desc->max_pool = node->op == GRAPH_MAX_POOL;
    desc->epsilon = (float)NET_EPSILON;
    desc->momentum = net->options.bn_momentum;
    desc->batch = net->options.batch;
    if (is_activation(node->op)) {
        desc->activation = node->op == GRAPH_RELU ? BACKEND_RELU : BACKEND_SILU;
    }
}

/* Take in what follows `node`; returns the last node taken in. */
static uint32_t fuse(const struct lowering *lowering, struct net_op *op, uint32_t node)
{
    const struct graph_node *nodes = lowering->net->graph->nodes;
    bool sums = op->desc.kind == BACKEND_CONV || op->desc.kind == BACKEND_FC;
    bool norms = op->desc.kind == BACKEND_BATCH_NORM || op->desc.kind == BACKEND_SCALE_SHIFT;
    uint32_t next = lowering->reader[node];

    if (sums && !op->desc.training && next != NET_NONE && nodes[next].op == GRAPH_BATCH_NORM) {
        op->norm = next;
        op->desc.bias = true;
        lowering->taken[next] = true;
        node = next;
        next = lowering->reader[node];
    }
    if ((norms || (sums && !op->desc.training)) && next != NET_NONE &&
        is_activation(nodes[next].op)) {
        op->desc.activation = nodes[next].op == GRAPH_RELU ? BACKEND_RELU : BACKEND_SILU;
        lowering->taken[next] = true;
        node = next;
    }
    return node;
}

static enum nero_status allocate_sources(struct net_op *op, uint32_t count, struct nero_err *err)
{
    op->src_count = count;
    op->src = mem_calloc(count, sizeof(*op->src));
    op->src_data = mem_calloc(count, sizeof(*op->src_data));
    op->dsrc = mem_calloc(count, sizeof(*op->dsrc));
    op->adds = mem_calloc(count, sizeof(*op->adds));
    if (op->src == NULL || op->src_data == NULL || op->dsrc == NULL || op->adds == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for an operation");
    }
    return NERO_OK;
}

/* Which tensors of the graph's state the operation reads, and how large its own copies are. */
static void bind_params(const struct lowering *lowering, struct net_op *op)
{
    const struct graph *graph = lowering->net->graph;
    uint32_t first = lowering->first_param[op->node];
    bool norm = graph->nodes[op->node].op == GRAPH_BATCH_NORM;

    op->param[0] = first;
    op->param[1] = norm || graph->nodes[op->node].bias ? first + 1 : NET_NONE;
    op->stat[0] = norm ? first + 2 : NET_NONE;
    op->stat[1] = norm ? first + 3 : NET_NONE;
    if (first == NET_NONE) {
        op->param[1] = NET_NONE;
        return;
    }
    op->own_count[0] = graph->params[first].count;
    op->own_count[1] = norm || op->desc.bias ? op->desc.out_c : 0;
}

/* Gradients flow to everything that depends on a parameter; in inference to the image too. */
static void decide_gradients(struct net *net, struct net_op *op, uint32_t number)
{
    bool any = false;

    for (uint32_t k = 0; k < op->src_count; k++) {
        any = any || net->tensors[op->src[k]].wants_grad;
    }
    op->desc.input_gradient = any;
    op->runs_backward = any || (net->options.training && op->param[0] != NET_NONE);
    op->desc.backward = op->runs_backward;
    net->tensors[number + 1].wants_grad = op->runs_backward;
}

static enum nero_status lower_node(struct lowering *lowering, uint32_t node, struct nero_err *err)
{
    struct net *net = lowering->net;
    const struct graph_node *from = &net->graph->nodes[node];
    struct net_op *op = &net->ops[net->op_count];
    enum nero_status status;

    net->op_count++; /* first, so that net_destroy sees a half-made one */
    op->node = node;
    op->norm = NET_NONE;
    status = allocate_sources(op, from->input_count, err);
    if (status != NERO_OK) {
        return status;
    }
    fill_desc(net, from, &op->desc);
    lowering->tensor[fuse(lowering, op, node)] = net->op_count;
    for (uint32_t k = 0; k < from->input_count; k++) {
        op->src[k] = lowering->tensor[from->inputs[k]];
        assert(op->src[k] != NET_NONE);
    }
    bind_params(lowering, op);
    decide_gradients(net, op, net->op_count - 1);
    return NERO_OK;
}

static void index_graph(struct lowering *lowering)
{
    const struct graph *graph = lowering->net->graph;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        lowering->reader[i] = NET_NONE;
        lowering->first_param[i] = NET_NONE;
        lowering->tensor[i] = NET_NONE;
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        for (uint32_t k = 0; k < graph->nodes[i].input_count; k++) {
            uint32_t input = graph->nodes[i].inputs[k];

            lowering->reader[input] = ++lowering->reader_count[input] == 1 ? i : NET_NONE;
        }
    }
    for (uint32_t p = graph->param_count; p-- > 0;) {
        lowering->first_param[graph->params[p].node] = p;
    }
}

static enum nero_status lower_all(struct lowering *lowering, struct nero_err *err)
{
    const struct graph *graph = lowering->net->graph;
    enum nero_status status = NERO_OK;

    lowering->tensor[0] = 0;
    lowering->net->tensors[0].wants_grad = !lowering->net->options.training;
    for (uint32_t i = 1; i < graph->node_count && status == NERO_OK; i++) {
        if (!lowering->taken[i]) {
            status = lower_node(lowering, i, err);
        }
    }
    return status;
}

enum nero_status net_lower(struct net *net, struct nero_err *err)
{
    size_t count = net->graph->node_count;
    struct lowering lowering = {.net = net,
                                .reader = mem_calloc(count, sizeof(uint32_t)),
                                .reader_count = mem_calloc(count, sizeof(uint32_t)),
                                .first_param = mem_calloc(count, sizeof(uint32_t)),
                                .tensor = mem_calloc(count, sizeof(uint32_t)),
                                .taken = mem_calloc(count, sizeof(bool))};
    enum nero_status status;

    net->ops = mem_calloc(count, sizeof(*net->ops));
    net->tensors = mem_calloc(count, sizeof(*net->tensors));
    if (lowering.reader == NULL || lowering.reader_count == NULL || lowering.first_param == NULL ||
        lowering.tensor == NULL || lowering.taken == NULL || net->ops == NULL ||
        net->tensors == NULL) {
        status = err_set(err, NERO_NO_MEMORY, 0, "net: no memory for %zu operations", count);
    } else {
        index_graph(&lowering);
        status = lower_all(&lowering, err);
    }
    free(lowering.reader);
    free(lowering.reader_count);
    free(lowering.first_param);
    free(lowering.tensor);
    free(lowering.taken);
    return status;
}
