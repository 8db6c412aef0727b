#include "tests/backend/networks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/rng.h"

enum { UNITS_MAX = 12 };

static uint32_t between(struct rng_stream *stream, uint32_t low, uint32_t high)
{
    return (uint32_t)rng_between(stream, low, high);
}

/*
 * One to three of the image and the earlier units, ascending; unit i - 1 more often than not. Now
 * and then a single one further back: then a unit's output has several readers and none of them
 * merges.
 */
static void draw_inputs(struct rng_stream *stream, uint32_t number, struct phenotype_unit *unit)
{
    if (number > 0 && rng_below(stream, 5) < 2) {
        unit->inputs[unit->input_count++] = (int32_t)number - 1 - (int32_t)rng_below(stream, 2);
        return;
    }
    for (int32_t i = PHENOTYPE_IMAGE; i < (int32_t)number; i++) {
        uint32_t chance = i == (int32_t)number - 1 ? 70 : 20;

        if (unit->input_count < 3 && rng_below(stream, 100) < chance) {
            unit->inputs[unit->input_count++] = i;
        }
    }
    if (unit->input_count == 0) {
        unit->inputs[unit->input_count++] = (int32_t)number - 1;
    }
}

static void draw_unit(struct rng_stream *stream, uint32_t number, struct phenotype_unit *unit)
{
    unit->kind = rng_below(stream, 4) == 0 ? PHENOTYPE_POOL : PHENOTYPE_CONV;
    unit->conv.filters = between(stream, 1, 6);
    unit->conv.kernel = between(stream, 1, 4);
    unit->conv.stride = rng_below(stream, 5) == 0 ? 2 : 1;
    unit->conv.padding = rng_below(stream, 3) == 0 ? PHENOTYPE_VALID : PHENOTYPE_SAME;
    unit->conv.bias = rng_below(stream, 2) == 0;
    unit->conv.activation = (enum phenotype_activation)rng_below(stream, 3);
    unit->conv.act_position = (enum phenotype_act_position)rng_below(stream, 2);
    unit->conv.bn = (enum phenotype_bn)rng_below(stream, 4);
    unit->conv.filters_mult = rng_below(stream, 3) == 0 ? 2 : 0;
    unit->pool.pooling = (enum phenotype_pooling)rng_below(stream, 2);
    unit->pool.kernel = between(stream, 1, 3);
    unit->pool.stride = between(stream, 1, 2);
    unit->pool.padding = (enum phenotype_padding)rng_below(stream, 2);
    draw_inputs(stream, number, unit);
}

static void draw_fc(struct phenotype *phenotype, uint32_t units,
                    enum phenotype_activation activation)
{
    struct phenotype_unit *unit = &phenotype->units[phenotype->unit_count];

    unit->kind = PHENOTYPE_FC;
    unit->fc_units = units;
    unit->fc_bias = true;
    unit->fc_activation = activation;
    unit->input_count = 1;
    unit->inputs[0] = (int32_t)phenotype->unit_count - 1;
    phenotype->unit_count++;
}

void network_draw(uint64_t seed, struct graph *out)
{
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, 1);
    struct phenotype phenotype = {.channels = between(&stream, 1, 3),
                                  .height = between(&stream, 6, 10),
                                  .width = between(&stream, 6, 10),
                                  .classes = between(&stream, 3, 5)};
    uint32_t count = between(&stream, 2, 8);
    struct nero_err err;

    phenotype.units = mem_calloc(UNITS_MAX, sizeof(*phenotype.units));
    if (phenotype.units == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < count; i++) {
        draw_unit(&stream, i, &phenotype.units[i]);
    }
    phenotype.unit_count = count;
    if (rng_below(&stream, 2) == 0) {
        draw_fc(&phenotype, between(&stream, 2, 9),
                (enum phenotype_activation)rng_below(&stream, 3));
    }
    draw_fc(&phenotype, phenotype.classes, PHENOTYPE_LINEAR);
    if (graph_build(&phenotype, out, &err) != NERO_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    free(phenotype.units);
}

/* One evaluation: values[node] is [batch, c, h, w]. */
struct walk {
    const struct graph *graph;
    uint32_t batch;
    bool training;
    const double *trained, *stats;
    double *batch_stats;
    double **values;
};

static size_t area_of(struct graph_shape shape)
{
    return (size_t)shape.h * shape.w;
}

static const struct graph_param *param_of(const struct walk *walk, uint32_t node,
                                          enum graph_param_kind kind)
{
    for (uint32_t p = 0; p < walk->graph->param_count; p++) {
        if (walk->graph->params[p].node == node && walk->graph->params[p].kind == kind) {
            return &walk->graph->params[p];
        }
    }
    return NULL;
}

static double pixel(const double *plane, struct graph_shape shape, int64_t i, int64_t j)
{
    return i < 0 || j < 0 || i >= shape.h || j >= shape.w ? 0.0 : plane[i * shape.w + j];
}

static void walk_conv(struct walk *walk, uint32_t number)
{
    const struct graph_node *node = &walk->graph->nodes[number];
    struct graph_shape in = walk->graph->nodes[node->inputs[0]].shape;
    struct graph_shape out = node->shape;
    const double *kernel = walk->trained + param_of(walk, number, GRAPH_KERNEL)->offset;
    const struct graph_param *bias = param_of(walk, number, GRAPH_BIAS);
    double *to = walk->values[number];

    for (size_t nk = 0; nk < (size_t)walk->batch * out.c; nk++) {
        size_t n = nk / out.c;
        size_t k = nk % out.c;

        for (size_t yx = 0; yx < area_of(out); yx++) {
            double sum = bias == NULL ? 0.0 : walk->trained[bias->offset + k];
            const double *weight = kernel + k * in.c * node->kernel_h * node->kernel_w;

            for (size_t c = 0; c < in.c; c++) {
                const double *plane = walk->values[node->inputs[0]] + (n * in.c + c) * area_of(in);

                for (size_t rs = 0; rs < (size_t)node->kernel_h * node->kernel_w; rs++) {
                    int64_t i = (int64_t)(yx / out.w * node->stride + rs / node->kernel_w) -
                                (int64_t)node->pad_top;
                    int64_t j = (int64_t)(yx % out.w * node->stride + rs % node->kernel_w) -
                                (int64_t)node->pad_left;

                    sum += *weight++ * pixel(plane, in, i, j);
                }
            }
            *to++ = sum;
        }
    }
}

static void walk_fc(struct walk *walk, uint32_t number)
{
    const struct graph_node *node = &walk->graph->nodes[number];
    struct graph_shape in = walk->graph->nodes[node->inputs[0]].shape;
    size_t inputs = in.c * area_of(in);
    const double *kernel = walk->trained + param_of(walk, number, GRAPH_KERNEL)->offset;
    const struct graph_param *bias = param_of(walk, number, GRAPH_BIAS);

    for (size_t n = 0; n < walk->batch; n++) {
        const double *x = walk->values[node->inputs[0]] + n * inputs;

        for (size_t k = 0; k < node->shape.c; k++) {
            double sum = bias == NULL ? 0.0 : walk->trained[bias->offset + k];

            for (size_t i = 0; i < inputs; i++) {
                sum += kernel[k * inputs + i] * x[i];
            }
            walk->values[number][n * node->shape.c + k] = sum;
        }
    }
}

static void batch_moments(const struct walk *walk, const double *from, struct graph_shape shape,
                          size_t c, double *mean, double *var)
{
    double count = (double)walk->batch * (double)area_of(shape);

    *mean = 0.0;
    *var = 0.0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t n = 0; n < walk->batch; n++) {
            for (size_t i = 0; i < area_of(shape); i++) {
                double x = from[(n * shape.c + c) * area_of(shape) + i];

                if (pass == 0) {
                    *mean += x / count;
                } else {
                    *var += (x - *mean) * (x - *mean) / count;
                }
            }
        }
    }
}

static void walk_norm(struct walk *walk, uint32_t number)
{
    const struct graph_node *node = &walk->graph->nodes[number];
    struct graph_shape shape = node->shape;
    const double *from = walk->values[node->inputs[0]];
    const double *gamma = walk->trained + param_of(walk, number, GRAPH_GAMMA)->offset;
    const double *beta = walk->trained + param_of(walk, number, GRAPH_BETA)->offset;
    uint64_t means = param_of(walk, number, GRAPH_MEAN)->offset;
    uint64_t vars = param_of(walk, number, GRAPH_VAR)->offset;

    for (size_t c = 0; c < shape.c; c++) {
        double mean = walk->stats == NULL ? 0.0 : walk->stats[means + c];
        double var = walk->stats == NULL ? 0.0 : walk->stats[vars + c];

        if (walk->training) {
            batch_moments(walk, from, shape, c, &mean, &var);
            if (walk->batch_stats != NULL) {
                walk->batch_stats[means + c] = mean;
                walk->batch_stats[vars + c] = var;
            }
        }
        for (size_t n = 0; n < walk->batch; n++) {
            for (size_t i = 0; i < area_of(shape); i++) {
                size_t at = (n * shape.c + c) * area_of(shape) + i;

                walk->values[number][at] =
                    gamma[c] * (from[at] - mean) / sqrt(var + 1e-3) + beta[c];
            }
        }
    }
}

static double pooled(const struct graph_node *node, const double *plane, struct graph_shape in,
                     size_t y, size_t x)
{
    double best = -INFINITY;
    double sum = 0.0;
    int count = 0;

    for (size_t rs = 0; rs < (size_t)node->kernel_h * node->kernel_w; rs++) {
        int64_t i = (int64_t)(y * node->stride + rs / node->kernel_w) - (int64_t)node->pad_top;
        int64_t j = (int64_t)(x * node->stride + rs % node->kernel_w) - (int64_t)node->pad_left;

        if (i >= 0 && j >= 0 && i < in.h && j < in.w) {
            best = fmax(best, plane[i * in.w + j]);
            sum += plane[i * in.w + j];
            count++;
        }
    }
    return node->op == GRAPH_MAX_POOL ? best : sum / count;
}

static void walk_pool(struct walk *walk, uint32_t number)
{
    const struct graph_node *node = &walk->graph->nodes[number];
    struct graph_shape in = walk->graph->nodes[node->inputs[0]].shape;
    double *to = walk->values[number];

    for (size_t nc = 0; nc < (size_t)walk->batch * in.c; nc++) {
        const double *plane = walk->values[node->inputs[0]] + nc * area_of(in);

        for (size_t yx = 0; yx < area_of(node->shape); yx++) {
            *to++ = pooled(node, plane, in, yx / node->shape.w, yx % node->shape.w);
        }
    }
}

static void walk_concat(struct walk *walk, uint32_t number)
{
    const struct graph_node *node = &walk->graph->nodes[number];
    double *to = walk->values[number];

    for (size_t n = 0; n < walk->batch; n++) {
        for (uint32_t k = 0; k < node->input_count; k++) {
            struct graph_shape in = walk->graph->nodes[node->inputs[k]].shape;
            size_t count = in.c * area_of(in);

            memcpy(to, walk->values[node->inputs[k]] + n * count, count * sizeof(double));
            to += count;
        }
    }
}

static void walk_activation(struct walk *walk, uint32_t number)
{
    const struct graph_node *node = &walk->graph->nodes[number];
    size_t count = walk->batch * node->shape.c * area_of(node->shape);
    const double *from = walk->values[node->inputs[0]];

    for (size_t i = 0; i < count; i++) {
        walk->values[number][i] =
            node->op == GRAPH_RELU ? fmax(from[i], 0.0) : from[i] / (1.0 + exp(-from[i]));
    }
}

static void walk_node(struct walk *walk, uint32_t number)
{
    switch (walk->graph->nodes[number].op) {
    case GRAPH_CONV:
        walk_conv(walk, number);
        break;
    case GRAPH_FC:
        walk_fc(walk, number);
        break;
    case GRAPH_BATCH_NORM:
        walk_norm(walk, number);
        break;
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
        walk_pool(walk, number);
        break;
    case GRAPH_CONCAT:
        walk_concat(walk, number);
        break;
    default:
        walk_activation(walk, number);
    }
}

void network_forward(const struct graph *graph, uint32_t batch, bool training, const double *images,
                     const double *trained, const double *stats, double *batch_stats,
                     double *logits)
{
    struct walk walk = {graph,
                        batch,
                        training,
                        trained,
                        stats,
                        batch_stats,
                        mem_calloc(graph->node_count, sizeof(double *))};

    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct graph_shape shape = graph->nodes[i].shape;
        size_t count = batch * shape.c * area_of(shape);

        walk.values[i] = mem_calloc(count, sizeof(double));
        if (i == 0) {
            memcpy(walk.values[i], images, count * sizeof(double));
        } else {
            walk_node(&walk, i);
        }
        if (i + 1 == graph->node_count) {
            memcpy(logits, walk.values[i], count * sizeof(double));
        }
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        free(walk.values[i]);
    }
    free(walk.values);
}

double network_loss(const double *logits, const uint8_t *labels, uint32_t batch, uint32_t classes)
{
    double loss = 0.0;

    for (uint32_t n = 0; n < batch; n++) {
        double sum = 0.0;

        for (uint32_t k = 0; k < classes; k++) {
            sum += exp(logits[n * classes + k]);
        }
        loss += log(sum) - logits[n * classes + labels[n]];
    }
    return loss / batch;
}
