/*
 * Goal: FGSM and PGD are the formulas of the specification, on any packing into batches, and the
 * losses are right where floats are at their ends. Method: a linear model z = W x, whose gradient
 * is known in closed form.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/rng.h"

#include "attack/attack.h"

enum { PIXELS = 12, CLASSES = 3, BATCH = 8, IMAGES = 40 };

/* z[k] = sum_i weight[k][i] x[i] */
struct linear_model {
    float weight[CLASSES][PIXELS];
};

static enum nero_status linear_forward(void *context, const float *images, float *logits,
                                       struct nero_err *err)
{
    const struct linear_model *linear = context;

    (void)err;
    for (int row = 0; row < BATCH; row++) {
        for (int k = 0; k < CLASSES; k++) {
            double sum = 0.0;

            for (int i = 0; i < PIXELS; i++) {
                sum += (double)linear->weight[k][i] * (double)images[row * PIXELS + i];
            }
            logits[row * CLASSES + k] = (float)sum;
        }
    }
    return NERO_OK;
}

static enum nero_status linear_backward(void *context, const float *dlogits, float *dimages,
                                        struct nero_err *err)
{
    const struct linear_model *linear = context;

    (void)err;
    for (int row = 0; row < BATCH; row++) {
        for (int i = 0; i < PIXELS; i++) {
            double sum = 0.0;

            for (int k = 0; k < CLASSES; k++) {
                sum += (double)dlogits[row * CLASSES + k] * (double)linear->weight[k][i];
            }
            dimages[row * PIXELS + i] = (float)sum;
        }
    }
    return NERO_OK;
}

static struct attack_model model_of(struct linear_model *linear)
{
    return (struct attack_model){.context = linear,
                                 .batch = BATCH,
                                 .image_floats = PIXELS,
                                 .classes = CLASSES,
                                 .forward = linear_forward,
                                 .backward_input = linear_backward};
}

static void random_floats(float *out, size_t count, double scale, double shift, uint32_t slot)
{
    struct rng_stream stream = rng_stream(99, RNG_TEST, 0, 0, slot);

    for (size_t i = 0; i < count; i++) {
        out[i] = (float)(scale * rng_uniform(&stream) + shift);
    }
}

static struct attack *attack_of(const struct attack_model *model, const struct job_attack *spec)
{
    struct attack *attack = NULL;
    struct nero_err err;

    assert_int_equal(attack_create(spec, model, &attack, &err), NERO_OK);
    return attack;
}

static struct attack *fgsm_of(const struct attack_model *model, double epsilon)
{
    struct job_attack spec = {.kind = JOB_ATTACK_FGSM, .epsilon = epsilon};

    return attack_of(model, &spec);
}

static struct attack *pgd_of(const struct attack_model *model, double epsilon, double step_size,
                             uint32_t steps)
{
    struct job_attack spec = {
        .kind = JOB_ATTACK_PGD, .epsilon = epsilon, .step_size = step_size, .steps = steps};

    return attack_of(model, &spec);
}

/* With W fixed, the gradient of image x is sum_k (softmax(z)_k - [k = y]) W_k: sign it by hand. */
static void expected_signs(const struct linear_model *linear, const float *image, uint8_t label,
                           float *out)
{
    double z[CLASSES];
    double total = 0.0;

    for (int k = 0; k < CLASSES; k++) {
        z[k] = 0.0;
        for (int i = 0; i < PIXELS; i++) {
            z[k] += (double)linear->weight[k][i] * (double)image[i];
        }
        total += exp(z[k]);
    }
    for (int i = 0; i < PIXELS; i++) {
        double g = 0.0;

        for (int k = 0; k < CLASSES; k++) {
            g += (exp(z[k]) / total - (k == label ? 1.0 : 0.0)) * (double)linear->weight[k][i];
        }
        assert_true(fabs(g) > 1e-6); /* else rounding decides the sign and the test means nothing */
        out[i] = g > 0.0 ? 1.0f : -1.0f;
    }
}

/* PGD by the specification, an image at a time. */
static void expected_pgd(const struct linear_model *linear, const float *image, uint8_t label,
                         float epsilon, float step_size, uint32_t steps, float *out)
{
    memcpy(out, image, PIXELS * sizeof(*out));
    for (uint32_t t = 0; t < steps; t++) {
        float signs[PIXELS];

        expected_signs(linear, out, label, signs);
        for (int i = 0; i < PIXELS; i++) {
            float v = out[i] + step_size * signs[i];

            v = fminf(fmaxf(v, image[i] - epsilon), image[i] + epsilon);
            out[i] = fminf(fmaxf(v, 0.0f), 1.0f);
        }
    }
}

/* A batch of images with their labels, and the same after an attack. */
struct attacked {
    float clean[BATCH * PIXELS];
    float after[BATCH * PIXELS];
    uint8_t labels[BATCH];
    struct attack_counts counts;
};

static void attack_random(struct attack *attack, uint32_t slot, struct attacked *out)
{
    struct nero_err err;

    random_floats(out->clean, BATCH * PIXELS, 1.0, 0.0, slot);
    memcpy(out->after, out->clean, sizeof(out->after));
    for (uint32_t row = 0; row < BATCH; row++) {
        out->labels[row] = (uint8_t)((slot + row) % CLASSES);
    }
    assert_int_equal(attack_batch(attack, out->after, out->labels, BATCH, &out->counts, &err),
                     NERO_OK);
}

static void test_attack__fgsm_is_the_closed_form_on_a_linear_model(void **state)
{
    static float images[IMAGES][PIXELS];
    struct linear_model linear;
    struct attack_model model = model_of(&linear);
    struct attack *attack = fgsm_of(&model, 0.03125);

    (void)state;
    random_floats(&linear.weight[0][0], CLASSES * PIXELS, 4.0, -2.0, 1);
    random_floats(&images[0][0], IMAGES * PIXELS, 1.0, 0.0, 2);
    for (uint32_t first = 0; first < IMAGES; first += BATCH) {
        float batch[BATCH * PIXELS];
        uint8_t labels[BATCH];
        struct attack_counts counts;
        struct nero_err err;

        memcpy(batch, images[first], sizeof(batch));
        for (uint32_t row = 0; row < BATCH; row++) {
            labels[row] = (uint8_t)((first + row) % CLASSES);
        }
        assert_int_equal(attack_batch(attack, batch, labels, BATCH, &counts, &err), NERO_OK);
        assert_int_equal(counts.zero_gradient, 0);
        for (uint32_t row = 0; row < BATCH; row++) {
            float expected[PIXELS];

            expected_pgd(&linear, images[first + row], labels[row], 0.03125f, 0.03125f, 1,
                         expected);
            assert_memory_equal(batch + row * PIXELS, expected, sizeof(expected));
        }
    }
    attack_destroy(attack);
}

static void test_attack__kept_counts_rows_that_stay_right(void **state)
{
    struct linear_model linear = {0};
    struct attack_model model = model_of(&linear);
    struct attack *attack = fgsm_of(&model, 0.25);
    float batch[BATCH * PIXELS] = {0};
    uint8_t labels[BATCH] = {0};
    struct attack_counts counts;
    struct nero_err err;

    (void)state;
    /* z0 - z1 = 2 (x0 - 0.5 x1): row r has x0 = .3 + .1 r, x1 = .5; after the step the margin is
     * 2 (x0 - .25 - .5 * .75) > 0 exactly where x0 > .625: rows 4 to 7 (.7, .8, .9, 1.0). */
    linear.weight[0][0] = 1.0f;
    linear.weight[1][0] = -1.0f;
    linear.weight[0][1] = -0.5f;
    linear.weight[1][1] = 0.5f;
    linear.weight[2][2] = -1000.0f;
    for (int row = 0; row < BATCH; row++) {
        batch[row * PIXELS] = 0.3f + 0.1f * (float)row;
        batch[row * PIXELS + 1] = 0.5f;
        batch[row * PIXELS + 2] = 1.0f;
    }
    assert_int_equal(attack_batch(attack, batch, labels, BATCH, &counts, &err), NERO_OK);
    assert_int_equal(counts.kept, 4);
    attack_destroy(attack);
}

static void test_attack__pixels_stay_in_the_box(void **state)
{
    struct linear_model linear;
    struct attack_model model = model_of(&linear);
    struct attack *attack = fgsm_of(&model, 1.0);
    float batch[BATCH * PIXELS];
    uint8_t labels[BATCH] = {0, 1, 2, 0, 1, 2, 0, 1};
    struct attack_counts counts;
    struct nero_err err;

    (void)state;
    random_floats(&linear.weight[0][0], CLASSES * PIXELS, 4.0, -2.0, 3);
    random_floats(batch, BATCH * PIXELS, 1.0, 0.0, 4);
    assert_int_equal(attack_batch(attack, batch, labels, BATCH, &counts, &err), NERO_OK);
    for (int i = 0; i < BATCH * PIXELS; i++) {
        assert_true(batch[i] == 0.0f || batch[i] == 1.0f); /* a step of 1 reaches a wall */
    }
    attack_destroy(attack);
}

static void test_attack__zero_gradients_move_nothing_and_are_counted(void **state)
{
    struct linear_model linear = {0};
    struct attack_model model = model_of(&linear);
    struct attack *attack = fgsm_of(&model, 0.1);
    float batch[BATCH * PIXELS];
    float before[BATCH * PIXELS];
    uint8_t labels[BATCH] = {0};
    struct attack_counts counts;
    struct nero_err err;

    (void)state;
    random_floats(batch, BATCH * PIXELS, 1.0, 0.0, 5);
    memcpy(before, batch, sizeof(before));
    assert_int_equal(attack_batch(attack, batch, labels, BATCH, &counts, &err), NERO_OK);
    assert_memory_equal(batch, before, sizeof(batch));
    assert_int_equal(counts.zero_gradient, BATCH);
    assert_int_equal(counts.kept, BATCH); /* equal logits: argmax is the lowest index, 0 */

    linear.weight[0][3] = NAN; /* a NaN gradient is no direction, and a NaN logit no class */
    assert_int_equal(attack_batch(attack, batch, labels, BATCH, &counts, &err), NERO_OK);
    assert_memory_equal(batch, before, sizeof(batch));
    assert_int_equal(counts.zero_gradient, BATCH);
    assert_int_equal(counts.kept, 0);
    attack_destroy(attack);
}

static void assert_rows_alone(struct attack *attack)
{
    static float images[IMAGES][PIXELS];
    static float alone[IMAGES][PIXELS];
    struct attack_counts counts;
    struct nero_err err;
    uint32_t kept = 0;

    random_floats(&images[0][0], IMAGES * PIXELS, 1.0, 0.0, 7);
    for (uint32_t i = 0; i < IMAGES; i++) {
        float batch[BATCH * PIXELS];
        uint8_t label = (uint8_t)(i % CLASSES);

        random_floats(batch, BATCH * PIXELS, 1.0, 0.0, 8); /* leftovers in the padding */
        memcpy(batch, images[i], sizeof(images[i]));
        assert_int_equal(attack_batch(attack, batch, &label, 1, &counts, &err), NERO_OK);
        memcpy(alone[i], batch, sizeof(alone[i]));
        kept += counts.kept;
    }
    for (uint32_t valid = 2; valid <= BATCH; valid++) {
        uint32_t kept_together = 0;

        for (uint32_t first = 0; first < IMAGES; first += valid) {
            uint32_t rows = IMAGES - first < valid ? IMAGES - first : valid;
            float batch[BATCH * PIXELS] = {0};
            uint8_t labels[BATCH] = {0};

            for (uint32_t row = 0; row < rows; row++) {
                memcpy(batch + row * PIXELS, images[first + row], sizeof(images[0]));
                labels[row] = (uint8_t)((first + row) % CLASSES);
            }
            assert_int_equal(attack_batch(attack, batch, labels, rows, &counts, &err), NERO_OK);
            assert_memory_equal(batch, alone[first], rows * sizeof(alone[0]));
            kept_together += counts.kept;
        }
        assert_int_equal(kept_together, kept);
    }
}

static void test_attack__rows_do_not_depend_on_their_batch(void **state)
{
    struct linear_model linear;
    struct attack_model model = model_of(&linear);
    struct attack *fgsm = fgsm_of(&model, 0.03125);
    struct attack *pgd = pgd_of(&model, 0.03125, 0.01, 4);

    (void)state;
    random_floats(&linear.weight[0][0], CLASSES * PIXELS, 4.0, -2.0, 6);
    assert_rows_alone(fgsm);
    assert_rows_alone(pgd);
    attack_destroy(fgsm);
    attack_destroy(pgd);
}

/* Two of the three classes are one: the gradient is a multiple of W1 - W0 at every point. */
static void test_attack__pgd_ends_at_the_wall_of_a_linear_model(void **state)
{
    struct linear_model linear;
    struct attack_model model = model_of(&linear);
    struct attack *attack = pgd_of(&model, 0.125, 0.05, 4); /* 3 steps reach the wall */
    struct attacked found;

    (void)state;
    random_floats(&linear.weight[0][0], CLASSES * PIXELS, 4.0, -2.0, 20);
    memcpy(linear.weight[2], linear.weight[1], sizeof(linear.weight[2]));
    attack_random(attack, 21, &found);
    for (int at = 0; at < BATCH * PIXELS; at++) {
        float slope = linear.weight[1][at % PIXELS] - linear.weight[0][at % PIXELS];
        float away = found.labels[at / PIXELS] == 0 ? slope : -slope;
        float wall = found.clean[at] + (away > 0.0f ? 0.125f : -0.125f);

        wall = wall < 0.0f ? 0.0f : wall > 1.0f ? 1.0f : wall;
        assert_true(found.after[at] == wall);
    }
    assert_int_equal(found.counts.zero_gradient, 0);
    attack_destroy(attack);
}

static void test_attack__pgd_is_its_formula_step_by_step(void **state)
{
    (void)state;
    for (uint32_t steps = 1; steps <= 9; steps++) {
        struct linear_model linear;
        struct attack_model model = model_of(&linear);
        struct attack *attack = pgd_of(&model, 0.25, 0.0625, steps);
        struct attacked found;

        random_floats(&linear.weight[0][0], CLASSES * PIXELS, 4.0, -2.0, 30 + steps);
        attack_random(attack, 40 + steps, &found);
        for (uint32_t row = 0; row < BATCH; row++) {
            float expected[PIXELS];

            expected_pgd(&linear, found.clean + row * PIXELS, found.labels[row], 0.25f, 0.0625f,
                         steps, expected);
            assert_memory_equal(found.after + row * PIXELS, expected, sizeof(expected));
        }
        attack_destroy(attack);
    }
}

static void test_attack__pgd_stays_in_ball_and_box(void **state)
{
    static const double radii[] = {1.0 / 255.0, 8.0 / 255.0, 0.3, 1.0};
    static const double step_sizes[] = {0.5 / 255.0, 2.0 / 255.0, 0.4, 1.0};

    (void)state;
    for (uint32_t trial = 0; trial < 64; trial++) {
        double epsilon = radii[trial % 4];
        struct linear_model linear;
        struct attack_model model = model_of(&linear);
        struct attack *attack = pgd_of(&model, epsilon, step_sizes[trial / 4 % 4], 1 + trial / 4);
        struct attacked found;

        random_floats(&linear.weight[0][0], CLASSES * PIXELS, 4.0, -2.0, 200 + trial);
        attack_random(attack, 300 + trial, &found);
        for (int at = 0; at < BATCH * PIXELS; at++) {
            double moved = fabs((double)found.after[at] - (double)found.clean[at]);

            assert_true(found.after[at] >= 0.0f && found.after[at] <= 1.0f);
            assert_true(moved <= epsilon + 1e-6); /* as specs say: eps and sums round in float */
        }
        attack_destroy(attack);
    }
}

static void test_attack__one_step_of_epsilon_is_fgsm(void **state)
{
    static const double radii[] = {1.0 / 255.0, 8.0 / 255.0, 0.1, 1.0};

    (void)state;
    for (uint32_t trial = 0; trial < 64; trial++) {
        struct linear_model linear;
        struct attack_model model = model_of(&linear);
        struct attack *fgsm = fgsm_of(&model, radii[trial % 4]);
        struct attack *pgd = pgd_of(&model, radii[trial % 4], radii[trial % 4], 1);
        struct attacked a;
        struct attacked b;

        random_floats(&linear.weight[0][0], CLASSES * PIXELS, 4.0, -2.0, 400 + trial);
        attack_random(fgsm, 500 + trial, &a);
        attack_random(pgd, 500 + trial, &b);
        assert_memory_equal(a.after, b.after, sizeof(a.after));
        assert_int_equal(a.counts.kept, b.counts.kept);
        attack_destroy(fgsm);
        attack_destroy(pgd);
    }
}

static void test_attack__pgd_takes_zero_and_nan_as_no_direction(void **state)
{
    struct linear_model linear = {0};
    struct attack_model model = model_of(&linear);
    struct attack *attack = pgd_of(&model, 0.1, 0.05, 3);
    struct attacked found;

    (void)state;
    attack_random(attack, 60, &found);
    assert_memory_equal(found.after, found.clean, sizeof(found.after));
    assert_int_equal(found.counts.zero_gradient, BATCH); /* an image counts once, not per step */
    linear.weight[0][3] = NAN;
    attack_random(attack, 61, &found);
    assert_memory_equal(found.after, found.clean, sizeof(found.after));
    assert_int_equal(found.counts.zero_gradient, BATCH);
    assert_int_equal(found.counts.kept, 0);
    attack_destroy(attack);
}

static void test_attack__cross_entropy_is_right_at_the_ends(void **state)
{
    static const float rows[][CLASSES] = {{0.0f, 0.0f, 0.0f},       {1.0f, 2.0f, 3.0f},
                                          {100.0f, 0.0f, -100.0f},  {3e38f, 1.0f, 3e38f},
                                          {-3e38f, -3e38f, -3e38f}, {30.0f, 0.0f, 0.0f}};

    (void)state;
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        for (uint32_t label = 0; label < CLASSES; label++) {
            double max = fmax(fmax((double)rows[r][0], (double)rows[r][1]), (double)rows[r][2]);
            double sum = 0.0;
            double expected;
            double got = attack_cross_entropy(rows[r], CLASSES, label);

            for (int k = 0; k < CLASSES; k++) {
                sum += exp((double)rows[r][k] - max);
            }
            expected = log(sum) + (max - (double)rows[r][label]);
            assert_true(fabs(got - expected) <= 1e-13 * fmax(1.0, fabs(expected)));
        }
    }
    assert_true(isnan(attack_cross_entropy((const float[]){0.0f, NAN, 0.0f}, CLASSES, 0)));
    assert_true(isnan(attack_cross_entropy((const float[]){INFINITY, 0.0f, 0.0f}, CLASSES, 0)));
}

static void test_attack__a_saturated_image_still_has_a_gradient(void **state)
{
    const float logits[CLASSES] = {60.0f, 0.0f, -10.0f};
    float gradient[CLASSES];

    (void)state;
    attack_cross_entropy_gradient(logits, CLASSES, 0, gradient);
    assert_true(gradient[1] > 0.0f && gradient[0] < 0.0f); /* softmax - 1 in float would be 0 */
    assert_true(fabs((double)gradient[1] / exp(-60.0) - 1.0) < 1e-6);
}

static void test_attack__gradient_is_that_of_the_loss(void **state)
{
    float logits[CLASSES];
    float gradient[CLASSES];

    (void)state;
    for (uint32_t trial = 0; trial < 200; trial++) {
        random_floats(logits, CLASSES, 8.0, -4.0, 100 + trial);
        attack_cross_entropy_gradient(logits, CLASSES, trial % CLASSES, gradient);
        for (int k = 0; k < CLASSES; k++) {
            float up[CLASSES];
            float down[CLASSES];
            double slope;

            memcpy(up, logits, sizeof(up));
            memcpy(down, logits, sizeof(down));
            up[k] += 0.0078125f;
            down[k] -= 0.0078125f;
            slope = (attack_cross_entropy(up, CLASSES, trial % CLASSES) -
                     attack_cross_entropy(down, CLASSES, trial % CLASSES)) /
                    ((double)up[k] - (double)down[k]);
            /* Central difference: h^2 / 6 times a third derivative below .2; then rounding. */
            assert_true(fabs(slope - (double)gradient[k]) < 3e-6);
        }
    }
}

static void test_attack__unknown_kinds_and_radii_are_refused(void **state)
{
    struct linear_model linear = {0};
    struct attack_model model = model_of(&linear);
    struct job_attack still = {.kind = JOB_ATTACK_PGD, .epsilon = 0.03, .step_size = 0.01};
    struct job_attack back = {
        .kind = JOB_ATTACK_PGD, .epsilon = 0.03, .step_size = -0.01, .steps = 7};
    struct job_attack unknown = {.kind = (enum job_attack_kind)7, .epsilon = 0.03};
    struct job_attack huge = {.kind = JOB_ATTACK_FGSM, .epsilon = 1.5};
    struct job_attack none = {.kind = JOB_ATTACK_FGSM, .epsilon = (double)NAN};
    struct attack *attack = NULL;
    struct nero_err err;

    (void)state;
    assert_int_equal(attack_create(&still, &model, &attack, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "no steps"));
    assert_int_equal(attack_create(&back, &model, &attack, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "step size"));
    assert_int_equal(attack_create(&unknown, &model, &attack, &err), NERO_INVALID);
    assert_int_equal(attack_create(&huge, &model, &attack, &err), NERO_INVALID);
    assert_int_equal(attack_create(&none, &model, &attack, &err), NERO_INVALID);
    assert_null(attack);
    attack_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attack__fgsm_is_the_closed_form_on_a_linear_model),
        cmocka_unit_test(test_attack__kept_counts_rows_that_stay_right),
        cmocka_unit_test(test_attack__pixels_stay_in_the_box),
        cmocka_unit_test(test_attack__zero_gradients_move_nothing_and_are_counted),
        cmocka_unit_test(test_attack__rows_do_not_depend_on_their_batch),
        cmocka_unit_test(test_attack__pgd_ends_at_the_wall_of_a_linear_model),
        cmocka_unit_test(test_attack__pgd_is_its_formula_step_by_step),
        cmocka_unit_test(test_attack__pgd_stays_in_ball_and_box),
        cmocka_unit_test(test_attack__one_step_of_epsilon_is_fgsm),
        cmocka_unit_test(test_attack__pgd_takes_zero_and_nan_as_no_direction),
        cmocka_unit_test(test_attack__cross_entropy_is_right_at_the_ends),
        cmocka_unit_test(test_attack__a_saturated_image_still_has_a_gradient),
        cmocka_unit_test(test_attack__gradient_is_that_of_the_loss),
        cmocka_unit_test(test_attack__unknown_kinds_and_radii_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
