/* Compiling a net and running it. */
#include "net/net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "net/net_internal.h"

static enum nero_status create_op(struct net *net, uint32_t number, struct nero_err *err)
{
    struct net_op *op = &net->ops[number];
    const struct backend_layout **src = mem_calloc(op->src_count, sizeof(const void *));
    enum nero_status status;

    if (src == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory for an operation");
    }
    for (uint32_t k = 0; k < op->src_count; k++) {
        src[k] = &net->tensors[op->src[k]].layout;
    }
    status =
        net->backend->ops->op_create(net->backend, &op->desc, src, op->src_count,
                                     &net->tensors[number + 1].layout, &op->memory, &op->op, err);
    free(src);
    if (status != NERO_OK) {
        return err_wrap(err, "net: node %u (%s)", op->node,
                        graph_op_name(net->graph->nodes[op->node].op));
    }
    return NERO_OK;
}

static enum nero_status compile(struct net *net, struct nero_err *err)
{
    struct graph_shape image = net->graph->nodes[0].shape;
    enum nero_status status = net_lower(net, err);

    if (status == NERO_OK) {
        status = net->backend->ops->image_layout(net->backend, net->options.batch, image.c, image.h,
                                                 image.w, &net->tensors[0].layout, err);
    }
    for (uint32_t i = 0; i < net->op_count && status == NERO_OK; i++) {
        status = create_op(net, i, err);
    }
    if (status == NERO_OK) {
        status = net_plan_memory(net, err);
    }
    if (status == NERO_OK && net->options.training) {
        net->loss_rows = mem_calloc(net->options.batch, sizeof(float));
        if (net->loss_rows == NULL) {
            status = err_set(err, NERO_NO_MEMORY, 0, "net: no memory for losses");
        }
    }
    if (status == NERO_OK && !net->options.training) {
        status = net_fold_init(net, err);
    }
    return status;
}

static enum nero_status make(const struct graph *graph, struct backend *backend,
                             const struct net_options *options, bool plain, struct net **out,
                             struct nero_err *err)
{
    struct net *net = mem_calloc(1, sizeof(*net));
    enum nero_status status;

    if (net == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory");
    }
    net->graph = graph;
    net->backend = backend;
    net->options = *options;
    net->plain = plain;
    status = compile(net, err);
    if (status != NERO_OK) {
        net_destroy(net);
        return status;
    }
    *out = net;
    return NERO_OK;
}

enum nero_status net_create(const struct graph *graph, struct backend *backend,
                            const struct net_options *options, struct net **out,
                            struct nero_err *err)
{
    bool test = !options->training && !options->skip_self_test && options->batch > 1;

    if (options->batch == 0 || graph->node_count < 2) {
        return err_set(err, NERO_INVALID, 0, "net: batch of %u, graph of %u nodes", options->batch,
                       graph->node_count);
    }
    for (int plain = 0; plain < 2; plain++) {
        bool independent = true;
        struct net *net = NULL;
        enum nero_status status = make(graph, backend, options, plain != 0, &net, err);

        if (status == NERO_OK && test) {
            status = net_rows_are_independent(net, &independent, err);
        }
        if (status == NERO_OK && independent) {
            *out = net;
            return NERO_OK;
        }
        net_destroy(net);
        if (status != NERO_OK) {
            return status;
        }
    }
    return err_set(err, NERO_INVALID, 0,
                   "net: rows of the inference plan depend on each other on backend %s",
                   backend->ops->name);
}

void net_destroy(struct net *net)
{
    if (net == NULL) {
        return;
    }
    for (uint32_t i = 0; i < net->op_count; i++) {
        struct net_op *op = &net->ops[i];

        if (op->op != NULL) {
            net->backend->ops->op_destroy(op->op);
        }
        free(op->src);
        free(op->src_data);
        free(op->dsrc);
        free(op->adds);
    }
    if (net->arena != NULL) {
        net->backend->ops->mem_free(net->backend, net->arena);
    }
    free(net->ops);
    free(net->tensors);
    free(net->loss_rows);
    free(net->fold_host);
    free(net);
}

uint64_t net_plan_bytes(const struct net *net)
{
    return net->arena_bytes;
}

/* The arrays of one training step; in inference all are NULL. */
struct state {
    const float *trained;
    float *stats;
    float *grads;
};

static float *at(float *array, const struct graph *graph, uint32_t param)
{
    return param == NET_NONE || array == NULL ? NULL : array + graph->params[param].offset;
}

static struct backend_op_args args_of(const struct net *net, uint32_t number,
                                      const struct state *state)
{
    const struct net_op *op = &net->ops[number];
    const struct net_tensor *dst = &net->tensors[number + 1];
    struct backend_op_args args = {.src = op->src_data,
                                   .dst = dst->data,
                                   .dsrc = op->dsrc,
                                   .ddst = dst->grad,
                                   .workspace = op->workspace,
                                   .scratch = net->scratch,
                                   .prepared = op->prepared};

    for (uint32_t k = 0; k < 2; k++) {
        args.param[k] = op->own[k];
        if (state->trained != NULL && op->param[k] != NET_NONE) {
            args.param[k] = state->trained + net->graph->params[op->param[k]].offset;
        }
        args.dparam[k] = at(state->grads, net->graph, op->param[k]);
        args.stat[k] = at(state->stats, net->graph, op->stat[k]);
    }
    return args;
}

static enum nero_status in_node(const struct net *net, uint32_t number, const char *pass,
                                struct nero_err *err)
{
    return err_wrap(err, "%s of node %u (%s)", pass, net->ops[number].node,
                    graph_op_name(net->graph->nodes[net->ops[number].node].op));
}

static enum nero_status forward(struct net *net, const float *images, const struct state *state,
                                struct nero_err *err)
{
    enum nero_status status = net->backend->ops->import_nchw(net->backend, &net->tensors[0].layout,
                                                             images, net->tensors[0].data, err);

    for (uint32_t i = 0; i < net->op_count && status == NERO_OK; i++) {
        struct backend_op_args args = args_of(net, i, state);

        status = net->backend->ops->op_forward(net->ops[i].op, &args, err);
        if (status != NERO_OK) {
            return in_node(net, i, "forward", err);
        }
    }
    return status;
}

/* Add what operation `number` wrote to areas of its own to the gradients of its sources. */
static enum nero_status add_gradients(struct net *net, uint32_t number, struct nero_err *err)
{
    const struct net_op *op = &net->ops[number];
    enum nero_status status = NERO_OK;

    for (uint32_t k = 0; k < op->src_count && status == NERO_OK; k++) {
        const struct net_tensor *tensor = &net->tensors[op->src[k]];

        if (op->adds[k]) {
            status = net->backend->ops->accumulate(net->backend, &tensor->layout, tensor->grad,
                                                   op->dsrc[k], err);
        }
    }
    return status;
}

static enum nero_status backward(struct net *net, const struct state *state, struct nero_err *err)
{
    for (uint32_t i = net->op_count; i-- > 0;) {
        struct backend_op_args args = args_of(net, i, state);
        enum nero_status status;

        if (!net->ops[i].runs_backward) {
            continue;
        }
        status = net->backend->ops->op_backward(net->ops[i].op, &args, err);
        if (status == NERO_OK) {
            status = add_gradients(net, i, err);
        }
        if (status != NERO_OK) {
            return in_node(net, i, "backward", err);
        }
    }
    return NERO_OK;
}

enum nero_status net_train_step(struct net *net, const float *images, const uint8_t *labels,
                                const float *trained, float *stats, float *grads, double *loss,
                                struct nero_err *err)
{
    struct state state = {trained, stats, grads};
    uint32_t batch = net->options.batch;
    struct net_tensor *logits = net_logits(net);
    double sum = 0.0;
    enum nero_status status;

    assert(net->options.training);
    status = forward(net, images, &state, err);
    if (status == NERO_OK) {
        status = net->backend->ops->softmax_ce(net->backend, &logits->layout, logits->data, labels,
                                               batch, 1.0f / (float)batch, net->loss_rows,
                                               logits->grad, err);
    }
    if (status == NERO_OK) {
        status = backward(net, &state, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    for (uint32_t i = 0; i < batch; i++) {
        sum += (double)net->loss_rows[i];
    }
    *loss = sum / batch;
    return NERO_OK;
}

enum nero_status net_forward(struct net *net, const float *images, float *logits,
                             struct nero_err *err)
{
    struct state none = {NULL, NULL, NULL};
    enum nero_status status;

    assert(!net->options.training);
    status = forward(net, images, &none, err);
    if (status != NERO_OK) {
        return status;
    }
    return net->backend->ops->export_nchw(net->backend, &net_logits(net)->layout,
                                          net_logits(net)->data, logits, err);
}

enum nero_status net_backward_input(struct net *net, const float *dlogits, float *dimages,
                                    struct nero_err *err)
{
    struct state none = {NULL, NULL, NULL};
    struct net_tensor *logits = net_logits(net);
    enum nero_status status;

    assert(!net->options.training);
    status =
        net->backend->ops->import_nchw(net->backend, &logits->layout, dlogits, logits->grad, err);
    if (status == NERO_OK) {
        status = backward(net, &none, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    return net->backend->ops->export_nchw(net->backend, &net->tensors[0].layout,
                                          net->tensors[0].grad, dimages, err);
}
