/*
 * One optimiser update, in single precision and in the order of the formulas below, with
 * g' = g + two_lambda * w:
 *
 *   SGD      v = m v - lr g';  w += v, with Nesterov w += m v - lr g'
 *   RMSprop  s = rho s + (1 - rho) g'^2;  w -= lr g' / (sqrt(s) + eps)
 *   Adam     m = b1 m + (1 - b1) g';  v = b2 v + (1 - b2) g'^2;
 *            w -= lr * correction * m / (sqrt(v) + eps)
 *
 * Source: TensorFlow 2 Keras optimizer_v2; RMSprop is the non-centred form without momentum, whose
 * epsilon stands outside of the root.
 */
#include "backend/ref/ref.h"

#include <math.h>

static void update_sgd(const struct backend_update *update, float *w, float g, float *velocity)
{
    *velocity = update->momentum * *velocity - update->lr * g;
    *w += update->nesterov ? update->momentum * *velocity - update->lr * g : *velocity;
}

static void update_rmsprop(const struct backend_update *update, float *w, float g, float *square)
{
    *square = update->rho * *square + (1.0f - update->rho) * g * g;
    *w -= update->lr * g / (sqrtf(*square) + update->epsilon);
}

static void update_adam(const struct backend_update *update, float *w, float g, float *m, float *v)
{
    *m = update->beta1 * *m + (1.0f - update->beta1) * g;
    *v = update->beta2 * *v + (1.0f - update->beta2) * g * g;
    *w -= update->lr * update->bias_correction * *m / (sqrtf(*v) + update->epsilon);
}

enum nero_status ref_update(struct backend *backend, const struct backend_update *update,
                            float two_lambda, float *w, const float *g, float *slot0, float *slot1,
                            uint64_t count, struct nero_err *err)
{
    (void)backend;
    for (uint64_t i = 0; i < count; i++) {
        float gradient = g[i] + two_lambda * w[i];

        switch (update->optimiser) {
        case BACKEND_SGD:
            update_sgd(update, &w[i], gradient, &slot0[i]);
            break;
        case BACKEND_RMSPROP:
            update_rmsprop(update, &w[i], gradient, &slot0[i]);
            break;
        case BACKEND_ADAM:
            update_adam(update, &w[i], gradient, &slot0[i], &slot1[i]);
            break;
        default:
            return err_set(err, NERO_INVALID, 0, "optimiser %d: unknown", (int)update->optimiser);
        }
    }
    return NERO_OK;
}

enum nero_status ref_sum_squares(struct backend *backend, const float *w, uint64_t count,
                                 double *out, struct nero_err *err)
{
    double sum = 0.0;

    (void)backend;
    (void)err;
    for (uint64_t i = 0; i < count; i++) {
        sum += (double)w[i] * (double)w[i];
    }
    *out = sum;
    return NERO_OK;
}
