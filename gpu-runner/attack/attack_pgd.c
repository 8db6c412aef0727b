/*
 * Projected gradient descent in the L-infinity ball: from the clean image, steps along the sign of
 * the gradient at the present point, each brought back into ball and box. No random start, the last
 * iterate stands, every step is taken whether or not the image is misclassified before.
 * Source: specs/attacks.md 4 (canonical form, R = 1), 2.1 (projections, zero and NaN gradients).
 */
#include "attack/attack.h"

#include <string.h>

/* What one attack has in common for all images, in the precision in which it is done. */
struct pgd_step {
    float epsilon;
    float size;
    uint32_t count; /* floats of an image */
};

/*
 * One image; true where the gradient was zero throughout. A NaN is no direction: sign 0. The ball
 * is cut at clean - epsilon and clean + epsilon as they round in float: with a step of epsilon the
 * first step lands on these very values, so that it is FGSM bit for bit.
 */
static bool step_row(const struct pgd_step *step, float *image, const float *clean,
                     const float *gradient)
{
    bool zero = true;

    for (uint32_t i = 0; i < step->count; i++) {
        float sign = (float)((gradient[i] > 0.0f) - (gradient[i] < 0.0f));
        float low = clean[i] - step->epsilon;
        float high = clean[i] + step->epsilon;
        float moved = image[i] + step->size * sign;

        zero = zero && sign == 0.0f;
        moved = moved < low ? low : moved;
        moved = moved > high ? high : moved;
        moved = moved < 0.0f ? 0.0f : moved;
        image[i] = moved > 1.0f ? 1.0f : moved;
    }
    return zero;
}

enum nero_status attack_pgd(const struct attack_model *model, const struct job_attack *spec,
                            const struct attack_buffers *buffers, float *images,
                            const uint8_t *labels, uint32_t valid, uint32_t *zero_gradient,
                            struct nero_err *err)
{
    struct pgd_step step = {.epsilon = (float)spec->epsilon,
                            .size = (float)spec->step_size,
                            .count = model->image_floats};

    memcpy(buffers->clean, images, (size_t)valid * step.count * sizeof(*images));
    *zero_gradient = 0;
    for (uint32_t k = 0; k < spec->steps; k++) {
        if (attack_input_gradient(model, buffers, images, labels, valid, err) != NERO_OK) {
            return err_wrap(err, "pgd, step %u", k);
        }
        for (uint32_t row = 0; row < valid; row++) {
            size_t at = (size_t)row * step.count;
            bool zero = step_row(&step, images + at, buffers->clean + at, buffers->dimages + at);

            *zero_gradient += k == 0 && zero;
        }
    }
    return NERO_OK;
}
