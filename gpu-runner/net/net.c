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
        status = net->backend->ops->image_layout(net->backend, net->rows, image.c, image.h, image.w,
                                                 &net->tensors[0].layout, err);
    }
    for (uint32_t i = 0; i < net->op_count && status == NERO_OK; i++) {
        status = create_op(net, i, err);
    }
    if (status == NERO_OK) {
        status = net_plan_memory(net, err);
    }
    if (status == NERO_OK && !net->options.training) {
        status = net_fold_init(net, err);
    }
    return status;
}

enum nero_status net_compile(const struct net *like, uint32_t rows, struct net **out,
                             struct nero_err *err)
{
    struct net *net = mem_calloc(1, sizeof(*net));
    enum nero_status status;

    if (net == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "net: no memory");
    }
    net->graph = like->graph;
    net->backend = like->backend;
    net->options = like->options;
    net->plain = like->plain;
    net->rows = rows;
    status = compile(net, err);
    if (status != NERO_OK) {
        net_destroy(net);
        return status;
    }
    *out = net;
    return NERO_OK;
}

static enum nero_status create_training(const struct net *like, struct net **out,
                                        struct nero_err *err)
{
    uint32_t batch = like->options.batch;
    uint32_t rows = net_shards_row(batch, net_shards_count(&like->options), 1);
    struct net *net = NULL;
    enum nero_status status = net_compile(like, rows, &net, err);

    if (status == NERO_OK) {
        status = net_shards_create(net, err);
    }
    if (status != NERO_OK) {
        net_destroy(net);
        return status;
    }
    *out = net;
    return NERO_OK;
}

static enum nero_status create_inference(struct net *like, struct net **out, struct nero_err *err)
{
    bool test = !like->options.skip_self_test && like->options.batch > 1;

    for (int plain = 0; plain < 2; plain++) {
        bool independent = true;
        struct net *net = NULL;
        enum nero_status status;

        like->plain = plain != 0;
        status = net_compile(like, like->options.batch, &net, err);
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
                   like->backend->ops->name);
}

enum nero_status net_create(const struct graph *graph, struct backend *backend,
                            const struct net_options *options, struct net **out,
                            struct nero_err *err)
{
    struct net like = {.graph = graph, .backend = backend, .options = *options};

    if (options->batch == 0 || graph->node_count < 2) {
        return err_set(err, NERO_INVALID, 0, "net: batch of %u, graph of %u nodes", options->batch,
                       graph->node_count);
    }
    return options->training ? create_training(&like, out, err) : create_inference(&like, out, err);
}

void net_destroy(struct net *net)
{
    if (net == NULL) {
        return;
    }
    net_shards_destroy(net->shards);
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
    free(net->fold_host);
    free(net);
}

uint64_t net_plan_bytes(const struct net *net)
{
    return net->arena_bytes + (net->shards == NULL ? 0 : net_shards_bytes(net->shards));
}

static float *at(float *array, const struct graph *graph, uint32_t param)
{
    return param == NET_NONE || array == NULL ? NULL : array + graph->params[param].offset;
}

static struct backend_op_args args_of(const struct net *net, uint32_t number,
                                      const struct net_step *step)
{
    const struct net_op *op = &net->ops[number];
    const struct net_tensor *dst = &net->tensors[number + 1];
    bool leaves = op->desc.kind == BACKEND_BATCH_NORM && step->stats == NULL;
    struct backend_op_args args = {.src = op->src_data,
                                   .dst = dst->data,
                                   .dsrc = op->dsrc,
                                   .ddst = dst->grad,
                                   .sums = step->sums,
                                   .workspace = op->workspace,
                                   .scratch = net->scratch,
                                   .prepared = op->prepared};

    for (uint32_t k = 0; k < 2; k++) {
        args.param[k] = op->own[k];
        if (step->trained != NULL && op->param[k] != NET_NONE) {
            args.param[k] = step->trained + net->graph->params[op->param[k]].offset;
        }
        args.dparam[k] = leaves ? NULL : at(step->grads, net->graph, op->param[k]);
        args.stat[k] = at(step->stats, net->graph, op->stat[k]);
    }
    return args;
}

static enum nero_status in_node(const struct net *net, uint32_t number, const char *pass,
                                struct nero_err *err)
{
    return err_wrap(err, "%s of node %u (%s)", pass, net->ops[number].node,
                    graph_op_name(net->graph->nodes[net->ops[number].node].op));
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

static enum nero_status run_backward(struct net *net, uint32_t number, const struct net_step *step,
                                     struct nero_err *err)
{
    struct backend_op_args args = args_of(net, number, step);

    if (!net->ops[number].runs_backward) {
        return NERO_OK;
    }
    if (net->backend->ops->op_backward(net->ops[number].op, &args, err) != NERO_OK ||
        add_gradients(net, number, err) != NERO_OK) {
        return in_node(net, number, "backward", err);
    }
    return NERO_OK;
}

static enum nero_status run_forward(struct net *net, uint32_t number, const struct net_step *step,
                                    struct nero_err *err)
{
    struct backend_op_args args = args_of(net, number, step);

    if (net->backend->ops->op_forward(net->ops[number].op, &args, err) != NERO_OK) {
        return in_node(net, number, "forward", err);
    }
    return NERO_OK;
}

/* Loss of each row, and the gradient of the whole batch's mean. */
static enum nero_status run_loss(struct net *net, const struct net_step *step, struct nero_err *err)
{
    struct net_tensor *logits = net_logits(net);

    return net->backend->ops->softmax_ce(net->backend, &logits->layout, logits->data, step->labels,
                                         net->rows, 1.0f / (float)net->options.batch,
                                         step->loss_rows, logits->grad, err);
}

enum nero_status net_run(struct net *net, const struct net_step *step, uint32_t from, uint32_t to,
                         struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (uint32_t time = from; time < to && status == NERO_OK; time++) {
        uint32_t number = net_op_at(net, time);

        if (time == 0) {
            status = net->backend->ops->import_nchw(net->backend, &net->tensors[0].layout,
                                                    step->images, net->tensors[0].data, err);
        } else if (number == NET_NONE) {
            status = run_loss(net, step, err);
        } else if (time < net_time_loss(net)) {
            status = run_forward(net, number, step, err);
        } else {
            status = run_backward(net, number, step, err);
        }
    }
    return status;
}

enum nero_status net_sums(struct net *net, const struct net_step *step, uint32_t time, double *sums,
                          struct nero_err *err)
{
    uint32_t number = net_op_at(net, time);
    struct backend_op_args args = args_of(net, number, step);

    if (net->backend->ops->op_sums(net->ops[number].op, &args, time > net_time_loss(net), sums,
                                   err) != NERO_OK) {
        return in_node(net, number, "sums", err);
    }
    return NERO_OK;
}

enum nero_status net_forward(struct net *net, const float *images, float *logits,
                             struct nero_err *err)
{
    struct net_step step = {.images = images};
    enum nero_status status;

    assert(!net->options.training);
    status = net_run(net, &step, 0, net_time_loss(net), err);
    if (status != NERO_OK) {
        return status;
    }
    return net->backend->ops->export_nchw(net->backend, &net_logits(net)->layout,
                                          net_logits(net)->data, logits, err);
}

enum nero_status net_backward_input(struct net *net, const float *dlogits, float *dimages,
                                    struct nero_err *err)
{
    struct net_step step = {.images = NULL};
    struct net_tensor *logits = net_logits(net);
    enum nero_status status;

    assert(!net->options.training);
    status =
        net->backend->ops->import_nchw(net->backend, &logits->layout, dlogits, logits->grad, err);
    if (status == NERO_OK) {
        status = net_run(net, &step, net_time_loss(net) + 1, net_time_end(net), err);
    }
    if (status != NERO_OK) {
        return status;
    }
    return net->backend->ops->export_nchw(net->backend, &net->tensors[0].layout,
                                          net->tensors[0].grad, dimages, err);
}
