/*
 * The three optimisers as Keras computes them, and the learning rate of an update.
 *
 * With t updates done before this one, lr = lr0 / (1 + decay * t) and g = gradient + 2 lambda w
 * (lambda is 0 for everything but kernels), element by element:
 *
 *   SGD      v = momentum * v - lr * g;   w = w + v,
 *            with nesterov  w = w + momentum * v - lr * g
 *   RMSprop  s = rho * s + (1 - rho) * g^2;   w = w - lr * g / (sqrt(s) + epsilon)
 *   Adam     m = beta1 * m + (1 - beta1) * g;   s = beta2 * s + (1 - beta2) * g^2
 *            w = w - lr * c * m / (sqrt(s) + epsilon)
 *            with c = sqrt(1 - beta2^(t+1)) / (1 - beta1^(t+1))
 *
 * v, s and m start at 0. slot0 is v, s or m; slot1 is Adam's s. epsilon = 1e-7, outside the root.
 * PyTorch differs: it adds lr into v after the momentum, and its Adam corrects s under the root.
 * Source: specs/evolution.md (f); Keras OptimizerV2.
 */
#ifndef NERO_OPTIMISER_H
#define NERO_OPTIMISER_H

#include <stdint.h>

#include "nero/graph.h"

#include "backend/backend.h"

/* Neighbouring parameters with the same L2 factor: one call of the backend's update. */
struct optimiser_range {
    uint64_t offset; /* floats */
    uint64_t count;
    float two_lambda;
};

struct optimiser {
    struct phenotype_learning learning;
    uint32_t slots; /* 1 or 2 arrays of state beside the parameters */
    uint32_t range_count;
    struct optimiser_range *ranges; /* owned; ascending, covering every trained parameter */
};

/* Arrays of trained_count floats in backend memory; slot1 is NULL where slots is 1. */
struct optimiser_arrays {
    float *trained;
    const float *grads;
    float *slot0;
    float *slot1;
};

/* Errors: no_memory. */
enum nero_status optimiser_init(struct optimiser *optimiser, const struct graph *graph,
                                const struct phenotype_learning *learning, double l2,
                                struct nero_err *err);
void optimiser_fini(struct optimiser *optimiser);

/* Learning rate of the update that follows `updates` others: lr / (1 + decay * updates). */
double optimiser_lr(const struct phenotype_learning *learning, uint64_t updates);

/* The scalars of that update. */
struct backend_update optimiser_update_of(const struct phenotype_learning *learning,
                                          uint64_t updates);

/* Do it. */
enum nero_status optimiser_step(const struct optimiser *optimiser, struct backend *backend,
                                const struct optimiser_arrays *arrays, uint64_t updates,
                                struct nero_err *err);

/* lambda * sum of kernel weights squared, in double. */
enum nero_status optimiser_penalty(const struct optimiser *optimiser, struct backend *backend,
                                   const float *trained, double l2, double *out,
                                   struct nero_err *err);

#endif
