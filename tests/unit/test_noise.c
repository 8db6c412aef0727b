/*
 * Goal: mean, deviation and interval are those of the textbook. Method: known samples, and the
 * quantiles of Student's t beyond the table against published ones.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "noise.h"

static void test_noise__a_known_sample(void **state)
{
    const double values[] = {2, 4, 4, 4, 5, 5, 7, 9}; /* squares of differences: 32 */
    struct noise noise = noise_of(values, 8);
    double half = 2.3646 * sqrt(32.0 / 7.0) / sqrt(8.0);

    (void)state;
    assert_true(fabs(noise.mean - 5) < 1e-12);
    assert_true(fabs(noise.deviation - sqrt(32.0 / 7.0)) < 1e-12);
    assert_true(fabs(noise.low - (5 - half)) < 1e-12 && fabs(noise.high - (5 + half)) < 1e-12);
}

static void test_noise__one_value_has_no_spread(void **state)
{
    const double value = 0.25;
    struct noise noise = noise_of(&value, 1);

    (void)state;
    assert_true(noise.mean == 0.25 && noise.deviation == 0 && noise.low == 0.25 &&
                noise.high == 0.25);
}

static void test_noise__quantiles_beyond_the_table(void **state)
{
    (void)state;
    assert_true(fabs(noise_t95(1) - 12.7062) < 1e-4);
    assert_true(fabs(noise_t95(31) - 2.0395) < 2e-4);
    assert_true(fabs(noise_t95(40) - 2.0211) < 2e-4);
    assert_true(fabs(noise_t95(120) - 1.9799) < 2e-4);
    assert_true(fabs(noise_t95(1000) - 1.9623) < 2e-4);
    for (uint32_t i = 2; i < 200; i++) {
        assert_true(noise_t95(i) < noise_t95(i - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise__a_known_sample),
        cmocka_unit_test(test_noise__one_value_has_no_spread),
        cmocka_unit_test(test_noise__quantiles_beyond_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
