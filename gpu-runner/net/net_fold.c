/*
 * Loading an inference plan: every operation gets parameters of its own, computed on the host in
 * double. With s = gamma / sqrt(var + epsilon) batch norm is s x + (beta - s mean); behind a
 * convolution with kernel W and bias b it makes the kernel s W and the bias s b + beta - s mean.
 */
#include "net/net_internal.h"

#include <math.h>

#include "nero/mem.h"

/* The whole state on the host and room for one operation's parameters. */
struct folding {
    struct net *net;
    float *trained;
    float *stats;
    float *own;
};

static const float *param_of(const struct folding *folding, uint32_t param)
{
    const struct graph_param *which = &folding->net->graph->params[param];
    bool stat = which->kind == GRAPH_MEAN || which->kind == GRAPH_VAR;

    return (stat ? folding->stats : folding->trained) + which->offset;
}

/* Scale and shift of channel c of the batch norm whose first parameter is `gamma`. */
static void scale_shift(const struct folding *folding, uint32_t gamma, uint64_t c, double *scale,
                        double *shift)
{
    double var = (double)param_of(folding, gamma + 3)[c];

    *scale = (double)param_of(folding, gamma)[c] / sqrt(var + NET_EPSILON);
    *shift =
        (double)param_of(folding, gamma + 1)[c] - *scale * (double)param_of(folding, gamma + 2)[c];
}

static uint32_t first_param(const struct graph *graph, uint32_t node)
{
    uint32_t p = 0;

    while (graph->params[p].node != node) {
        p++;
    }
    return p;
}

static void fold_norm(const struct folding *folding, const struct net_op *op, float *own[2])
{
    for (uint64_t c = 0; c < op->own_count[0]; c++) {
        double scale, shift;

        scale_shift(folding, op->param[0], c, &scale, &shift);
        own[0][c] = (float)scale;
        own[1][c] = (float)shift;
    }
}

static void fold_weights(const struct folding *folding, const struct net_op *op, float *own[2])
{
    const float *kernel = param_of(folding, op->param[0]);
    const float *bias = op->param[1] == NET_NONE ? NULL : param_of(folding, op->param[1]);
    uint64_t filters = op->desc.out_c;
    uint64_t each = op->own_count[0] / filters;
    uint32_t gamma = op->norm == NET_NONE ? 0 : first_param(folding->net->graph, op->norm);

    for (uint64_t k = 0; k < filters; k++) {
        double scale = 1.0;
        double shift = 0.0;

        if (op->norm != NET_NONE) {
            scale_shift(folding, gamma, k, &scale, &shift);
        }
        for (uint64_t i = k * each; i < (k + 1) * each; i++) {
            own[0][i] = (float)(scale * (double)kernel[i]);
        }
        if (op->desc.bias) {
            own[1][k] = (float)(scale * (bias == NULL ? 0.0 : (double)bias[k]) + shift);
        }
    }
}

static enum nero_status load_op(const struct folding *folding, struct net_op *op,
                                struct nero_err *err)
{
    struct backend *backend = folding->net->backend;
    float *own[2] = {folding->own, folding->own + op->own_count[0]};
    struct backend_op_args args = {.src = op->src_data,
                                   .dsrc = op->dsrc,
                                   .param = {op->own[0], op->own[1]},
                                   .workspace = op->workspace,
                                   .scratch = folding->net->scratch,
                                   .prepared = op->prepared};
    enum nero_status status = NERO_OK;

    if (op->desc.kind == BACKEND_SCALE_SHIFT) {
        fold_norm(folding, op, own);
    } else {
        fold_weights(folding, op, own);
    }
    for (uint32_t k = 0; k < 2 && op->own_count[k] > 0 && status == NERO_OK; k++) {
        status = backend->ops->upload(backend, op->own[k], own[k], op->own_count[k] * sizeof(float),
                                      err);
    }
    if (status == NERO_OK) {
        status = backend->ops->op_prepare(op->op, &args, err);
    }
    return status;
}

static uint64_t largest_own(const struct net *net)
{
    uint64_t largest = 1;

    for (uint32_t i = 0; i < net->op_count; i++) {
        uint64_t count = net->ops[i].own_count[0] + net->ops[i].own_count[1];

        largest = count > largest ? count : largest;
    }
    return largest;
}

static enum nero_status load_all(const struct folding *folding, const float *trained,
                                 const float *stats, struct nero_err *err)
{
    struct net *net = folding->net;
    struct backend *backend = net->backend;
    enum nero_status status = backend->ops->download(
        backend, folding->trained, trained, net->graph->trained_count * sizeof(float), err);

    if (status == NERO_OK && net->graph->stat_count > 0) {
        status = backend->ops->download(backend, folding->stats, stats,
                                        net->graph->stat_count * sizeof(float), err);
    }
    for (uint32_t i = 0; i < net->op_count && status == NERO_OK; i++) {
        if (net->ops[i].own_count[0] > 0) {
            status = load_op(folding, &net->ops[i], err);
        }
    }
    return status;
}

enum nero_status net_fold_init(struct net *net, struct nero_err *err)
{
    uint64_t count = net->graph->trained_count + net->graph->stat_count + largest_own(net);

    net->fold_host = mem_calloc((size_t)count, sizeof(float));
    return net->fold_host != NULL
               ? NERO_OK
               : err_set(err, NERO_NO_MEMORY, 0, "net: no memory to fold weights");
}

enum nero_status net_load(struct net *net, const float *trained, const float *stats,
                          struct nero_err *err)
{
    struct folding folding = {.net = net, .trained = net->fold_host};

    folding.stats = folding.trained + net->graph->trained_count;
    folding.own = folding.stats + net->graph->stat_count;
    return load_all(&folding, trained, stats, err);
}
