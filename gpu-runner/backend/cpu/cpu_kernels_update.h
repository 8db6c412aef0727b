/* Part of cpu_kernels_body.h: softmax, optimisers (train/optimiser.h), sums of squares. */

static float softmax(const float *restrict logits, float *restrict probabilities, uint32_t count,
                     float *max)
{
    float total = 0.0f;

    *max = logits[0];
    for (uint32_t i = 1; i < count; i++) {
        *max = logits[i] > *max ? logits[i] : *max;
    }
    for (uint32_t i = 0; i < count; i++) {
        /* a NaN must reach the loss: the clamp of exp_of would hide it */
        float z = logits[i] - *max;

        probabilities[i] = z == z ? exp_of(z) : z;
        total += probabilities[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        probabilities[i] /= total;
    }
    return total;
}

static void update_sgd(const struct backend_update *u, float two_lambda, float *restrict w,
                       const float *restrict g, float *restrict velocity, size_t count)
{
    const float lr = u->lr;
    const float momentum = u->momentum;

    if (u->nesterov) {
        for (size_t i = 0; i < count; i++) {
            float step = lr * (g[i] + two_lambda * w[i]);

            velocity[i] = momentum * velocity[i] - step;
            w[i] += momentum * velocity[i] - step;
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        velocity[i] = momentum * velocity[i] - lr * (g[i] + two_lambda * w[i]);
        w[i] += velocity[i];
    }
}

static void update_rmsprop(const struct backend_update *u, float two_lambda, float *restrict w,
                           const float *restrict g, float *restrict square, size_t count)
{
    const float lr = u->lr;
    const float rho = u->rho;
    const float rest = 1.0f - rho;
    const float epsilon = u->epsilon;

    for (size_t i = 0; i < count; i++) {
        float grad = g[i] + two_lambda * w[i];

        square[i] = rho * square[i] + rest * (grad * grad);
        w[i] -= lr * grad / (sqrtf(square[i]) + epsilon);
    }
}

static void update_adam(const struct backend_update *u, float two_lambda, float *restrict w,
                        const float *restrict g, float *restrict m, float *restrict v,
                        size_t count)
{
    const float lr = u->lr * u->bias_correction;
    const float beta1 = u->beta1;
    const float beta2 = u->beta2;
    const float rest1 = 1.0f - beta1;
    const float rest2 = 1.0f - beta2;
    const float epsilon = u->epsilon;

    for (size_t i = 0; i < count; i++) {
        float grad = g[i] + two_lambda * w[i];

        m[i] = beta1 * m[i] + rest1 * grad;
        v[i] = beta2 * v[i] + rest2 * (grad * grad);
        w[i] -= lr * m[i] / (sqrtf(v[i]) + epsilon);
    }
}

static void update(const struct backend_update *u, float two_lambda, float *w, const float *g,
                   float *slot0, float *slot1, size_t count)
{
    switch (u->optimiser) {
    case BACKEND_SGD:
        update_sgd(u, two_lambda, w, g, slot0, count);
        break;
    case BACKEND_RMSPROP:
        update_rmsprop(u, two_lambda, w, g, slot0, count);
        break;
    case BACKEND_ADAM:
        update_adam(u, two_lambda, w, g, slot0, slot1, count);
        break;
    }
}

static double sum_squares(const float *w, size_t count)
{
    enum { PARTS = 16 };
    double parts[PARTS] = {0.0};
    double total = 0.0;
    size_t i = 0;

    for (; i + PARTS <= count; i += PARTS) {
        for (size_t j = 0; j < PARTS; j++) {
            parts[j] += (double)w[i + j] * (double)w[i + j];
        }
    }
    for (size_t j = 0; i + j < count; j++) {
        parts[j] += (double)w[i + j] * (double)w[i + j];
    }
    for (size_t j = 0; j < PARTS; j++) {
        total += parts[j];
    }
    return total;
}
