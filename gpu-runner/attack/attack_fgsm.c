/*
 * The fast gradient sign method, one step of epsilon from the clean image with the true label.
 * Source: specs/attacks.md 3 (L-infinity, no random start, not minimal).
 */
#include "attack/attack.h"

/* One image; true where the gradient was zero throughout. A NaN is no direction: sign 0. */
static bool step_row(float *image, const float *gradient, uint32_t count, float epsilon)
{
    bool zero = true;

    for (uint32_t i = 0; i < count; i++) {
        float sign = (float)((gradient[i] > 0.0f) - (gradient[i] < 0.0f));
        float moved = image[i] + epsilon * sign;

        zero = zero && sign == 0.0f;
        moved = moved < 0.0f ? 0.0f : moved;
        image[i] = moved > 1.0f ? 1.0f : moved;
    }
    return zero;
}

enum nero_status attack_fgsm(const struct attack_model *model, float epsilon,
                             const struct attack_buffers *buffers, float *images,
                             const uint8_t *labels, uint32_t valid, uint32_t *zero_gradient,
                             struct nero_err *err)
{
    uint32_t count = model->image_floats;

    if (attack_input_gradient(model, buffers, images, labels, valid, err) != NERO_OK) {
        return err_wrap(err, "fgsm");
    }
    *zero_gradient = 0;
    for (uint32_t row = 0; row < valid; row++) {
        size_t at = (size_t)row * count;

        *zero_gradient += step_row(images + at, buffers->dimages + at, count, epsilon);
    }
    return NERO_OK;
}
