/*
 * Goal: the random numbers are those of the published Philox4x32-10 and are the same on every
 * machine. Method: known-answer vectors of Random123, moments of large samples, exact bits.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nero/rng.h"

/* Random123 kat_vectors, philox4x32 10 rounds: counter and key of all ones. */
static void test_rng__philox_known_answer(void **state)
{
    struct rng_stream stream = {.seed = UINT64_MAX,
                                .purpose = UINT32_MAX,
                                .lineage = UINT16_MAX,
                                .slot = UINT16_MAX,
                                .generation = UINT32_MAX};
    uint32_t block[4];

    (void)state;
    rng_block_at(&stream, UINT32_MAX, block);
    assert_int_equal(block[0], 0x408f276d);
    assert_int_equal(block[1], 0x41c83b0e);
    assert_int_equal(block[2], 0xa20bc7c6);
    assert_int_equal(block[3], 0x6d5451fd);
}

static void test_rng__log_is_libms_to_1e14(void **state)
{
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);

    (void)state;
    for (int i = 0; i < 100000; i++) {
        double x = ldexp(rng_uniform(&stream) + 1e-9, (int)rng_below(&stream, 200) - 100);
        double expected = log(x);

        assert_true(fabs(rng_log(x) - expected) <= 1e-14 * fmax(fabs(expected), 1.0));
    }
}

static void test_rng__normal_has_its_moments(void **state)
{
    struct rng_stream stream = rng_stream(2, RNG_TEST, 0, 0, 0);
    enum { COUNT = 200000 };
    double sum = 0.0;
    double sum2 = 0.0;
    double sum4 = 0.0;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        double x = rng_normal(&stream);

        sum += x;
        sum2 += x * x;
        sum4 += x * x * x * x;
    }
    assert_true(fabs(sum / COUNT) < 0.01);
    assert_true(fabs(sum2 / COUNT - 1.0) < 0.02);
    assert_true(fabs(sum4 / COUNT - 3.0) < 0.1);
}

static void test_rng__below_is_uniform(void **state)
{
    struct rng_stream stream = rng_stream(3, RNG_TEST, 1, 2, 3);
    enum { BINS = 7, COUNT = 70000 };
    long bins[BINS] = {0};
    double chi2 = 0.0;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        bins[rng_below(&stream, BINS)]++;
    }
    for (int i = 0; i < BINS; i++) {
        double off = (double)bins[i] - (double)COUNT / BINS;

        chi2 += off * off / ((double)COUNT / BINS);
    }
    assert_true(chi2 < 22.46); /* 6 degrees of freedom, p = 0.001 */
}

static void test_rng__shuffle_is_a_permutation(void **state)
{
    struct rng_stream stream = rng_stream(4, RNG_TEST, 0, 0, 0);
    uint32_t items[100];
    int seen[100] = {0};

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        items[i] = i;
    }
    rng_shuffle_u32(&stream, items, 100);
    for (int i = 0; i < 100; i++) {
        seen[items[i]]++;
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(seen[i], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rng__philox_known_answer),
        cmocka_unit_test(test_rng__log_is_libms_to_1e14),
        cmocka_unit_test(test_rng__normal_has_its_moments),
        cmocka_unit_test(test_rng__below_is_uniform),
        cmocka_unit_test(test_rng__shuffle_is_a_permutation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
