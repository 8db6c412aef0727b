#include "train/optimiser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

static const float optimiser_epsilon = 1e-7f; /* Keras' default of all three */

static bool is_statistic(const struct graph_param *param)
{
    return param->kind == GRAPH_MEAN || param->kind == GRAPH_VAR;
}

/* Trained tensors lie one after the other, so a range grows while the factor stays the same. */
static void add_to_ranges(struct optimiser *optimiser, const struct graph_param *param,
                          float two_lambda)
{
    struct optimiser_range *last =
        optimiser->range_count == 0 ? NULL : &optimiser->ranges[optimiser->range_count - 1];

    if (last != NULL && last->two_lambda == two_lambda &&
        last->offset + last->count == param->offset) {
        last->count += param->count;
        return;
    }
    optimiser->ranges[optimiser->range_count++] = (struct optimiser_range){
        .offset = param->offset, .count = param->count, .two_lambda = two_lambda};
}

enum nero_status optimiser_init(struct optimiser *optimiser, const struct graph *graph,
                                const struct phenotype_learning *learning, double l2,
                                struct nero_err *err)
{
    memset(optimiser, 0, sizeof(*optimiser));
    optimiser->learning = *learning;
    optimiser->slots = learning->optimiser == PHENOTYPE_ADAM ? 2 : 1;
    optimiser->ranges = mem_calloc(graph->param_count, sizeof(*optimiser->ranges));
    if (optimiser->ranges == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "optimiser: no memory");
    }
    for (uint32_t i = 0; i < graph->param_count; i++) {
        const struct graph_param *param = &graph->params[i];

        if (!is_statistic(param)) {
            add_to_ranges(optimiser, param, param->kind == GRAPH_KERNEL ? (float)(2.0 * l2) : 0.0f);
        }
    }
    return NERO_OK;
}

void optimiser_fini(struct optimiser *optimiser)
{
    free(optimiser->ranges);
    memset(optimiser, 0, sizeof(*optimiser));
}

double optimiser_lr(const struct phenotype_learning *learning, uint64_t updates)
{
    return learning->lr / (1.0 + learning->decay * (double)updates);
}

/* base^exponent by squaring: multiplications alone, so the same bits whatever libm is there. */
static double power(double base, uint64_t exponent)
{
    double result = 1.0;

    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) != 0) {
            result *= base;
        }
        base *= base;
    }
    return result;
}

struct backend_update optimiser_update_of(const struct phenotype_learning *learning,
                                          uint64_t updates)
{
    struct backend_update update = {.lr = (float)optimiser_lr(learning, updates),
                                    .momentum = (float)learning->momentum,
                                    .nesterov = learning->nesterov,
                                    .rho = (float)learning->rho,
                                    .beta1 = (float)learning->beta1,
                                    .beta2 = (float)learning->beta2,
                                    .bias_correction = 1.0f,
                                    .epsilon = optimiser_epsilon};

    switch (learning->optimiser) {
    case PHENOTYPE_SGD:
        update.optimiser = BACKEND_SGD;
        break;
    case PHENOTYPE_RMSPROP:
        update.optimiser = BACKEND_RMSPROP;
        break;
    case PHENOTYPE_ADAM:
        update.optimiser = BACKEND_ADAM;
        update.bias_correction = (float)(sqrt(1.0 - power(learning->beta2, updates + 1)) /
                                         (1.0 - power(learning->beta1, updates + 1)));
        break;
    }
    return update;
}

enum nero_status optimiser_step(const struct optimiser *optimiser, struct backend *backend,
                                const struct optimiser_arrays *arrays, uint64_t updates,
                                struct nero_err *err)
{
    struct backend_update update = optimiser_update_of(&optimiser->learning, updates);

    for (uint32_t i = 0; i < optimiser->range_count; i++) {
        const struct optimiser_range *range = &optimiser->ranges[i];
        float *slot1 = arrays->slot1 == NULL ? NULL : arrays->slot1 + range->offset;
        enum nero_status status = backend->ops->update(
            backend, &update, range->two_lambda, arrays->trained + range->offset,
            arrays->grads + range->offset, arrays->slot0 + range->offset, slot1, range->count, err);

        if (status != NERO_OK) {
            return err_wrap(err, "optimiser");
        }
    }
    return NERO_OK;
}

enum nero_status optimiser_penalty(const struct optimiser *optimiser, struct backend *backend,
                                   const float *trained, double l2, double *out,
                                   struct nero_err *err)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < optimiser->range_count && l2 > 0.0; i++) {
        const struct optimiser_range *range = &optimiser->ranges[i];
        double squares = 0.0;

        if (range->two_lambda == 0.0f) {
            continue;
        }
        if (backend->ops->sum_squares(backend, trained + range->offset, range->count, &squares,
                                      err) != NERO_OK) {
            return err_wrap(err, "weight penalty");
        }
        sum += squares;
    }
    *out = l2 * sum;
    return NERO_OK;
}
