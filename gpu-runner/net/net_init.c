/*
 * Initial weights: Keras he_normal, a normal truncated at two sigma by redrawing and widened by
 * 1 / 0.8796..., the standard deviation of such a normal, so that its own is sqrt(2 / fan_in).
 */
#include "net/net.h"

#include <math.h>

#include "nero/rng.h"

static const double truncated_sigma = 0.87962566103423978;

static void init_kernel(const struct graph_param *param, uint32_t number, uint64_t seed, float *to)
{
    struct rng_stream stream = rng_stream(seed, RNG_WEIGHTS, 0, 0, number);
    double sigma = sqrt(2.0 / (double)param->fan_in) / truncated_sigma;

    for (uint64_t i = 0; i < param->count; i++) {
        double z;

        do {
            z = rng_normal(&stream);
        } while (z < -2.0 || z > 2.0);
        to[i] = (float)(sigma * z);
    }
}

void net_init_weights(const struct graph *graph, uint64_t seed, float *trained, float *stats)
{
    for (uint32_t p = 0; p < graph->param_count; p++) {
        const struct graph_param *param = &graph->params[p];
        bool stat = param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR;
        bool one = param->kind == GRAPH_GAMMA || param->kind == GRAPH_VAR;
        float *to = (stat ? stats : trained) + param->offset;

        if (param->kind == GRAPH_KERNEL) {
            init_kernel(param, p, seed, to);
            continue;
        }
        for (uint64_t i = 0; i < param->count; i++) {
            to[i] = one ? 1.0f : 0.0f;
        }
    }
}
