/*
 * Goal: checkpoints are due when they should be, and the interval that the controller finds wastes
 * within half a point of what the best fixed one would. Method: tables; then lives of runners drawn
 * from a seed, with the controller beside the theory.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "nero/interval.h"
#include "nero/rng.h"

static struct interval_policy policy_of(const char *text)
{
    struct interval_policy policy;
    struct nero_err err;

    assert_int_equal(interval_parse(text, &policy, &err), NERO_OK);
    return policy;
}

static void assert_near(double value, double expected)
{
    assert_true(fabs(value - expected) <= 1e-9 * fabs(expected)); /* fails for NaN */
}

static void test_interval__policies_are_parsed(void **state)
{
    static const char *const bad[] = {"",
                                      "automatic",
                                      "steps",
                                      "steps:",
                                      "steps:0",
                                      "steps:1.5",
                                      "steps:-1",
                                      "steps:nan",
                                      "seconds:",
                                      "seconds:0",
                                      "seconds:nan",
                                      "seconds:inf",
                                      "seconds:2e6",
                                      "overhead:1",
                                      "overhead:0%",
                                      "overhead:51%",
                                      "overhead:nan%",
                                      "60",
                                      "steps:5 ",
                                      " auto",
                                      "auto,steps:5"};
    struct interval_policy policy;
    struct nero_err err;

    (void)state;
    assert_int_equal(policy_of("auto").kind, INTERVAL_AUTO);
    assert_int_equal(policy_of("steps:500").kind, INTERVAL_STEPS);
    assert_int_equal(policy_of("steps:500").steps, 500);
    assert_int_equal(policy_of("seconds:2.5").kind, INTERVAL_SECONDS);
    assert_near(policy_of("seconds:2.5").seconds, 2.5);
    assert_int_equal(policy_of("overhead:1%").kind, INTERVAL_OVERHEAD);
    assert_near(policy_of("overhead:1%").overhead, 0.01);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (interval_parse(bad[i], &policy, &err) != NERO_INVALID) {
            fail_msg("'%s' was accepted", bad[i]);
        }
    }
}

static void test_interval__fixed_ones_are_kept(void **state)
{
    struct interval_policy steps = policy_of("steps:5");
    struct interval_policy seconds = policy_of("seconds:60");
    struct interval interval;

    (void)state;
    interval_init(&interval, &steps);
    assert_false(interval_is_due(&interval, 4, 1e9));
    assert_true(interval_is_due(&interval, 5, 0));
    interval_init(&interval, &seconds);
    interval.threatened = true;
    interval_stalled(&interval, 30);
    assert_false(interval_is_due(&interval, 1000000, 59.9));
    assert_true(interval_is_due(&interval, 1, 60));
}

static void test_interval__auto_follows_stall_and_lives(void **state)
{
    static const struct {
        double stall, step, lived, ended, expected;
    } cases[] = {
        {1.0, 0.1, 0, 0, 120.0},            /* sqrt(2 * 1 * 7200) */
        {0.25, 0.1, 0, 0, 60.0},            /* a quarter of the stall, half the interval */
        {1.0, 0.1, 7200, 14, 51.961524227}, /* (14400 + 7200) / 16 = 1350 s */
        {1.0, 0.1, 993600, 12, 379.473319}, /* 72000 s: lives longer than expected */
        {0.0001, 0.1, 0, 0, 10.0},          /* never below 10 s ... */
        {0.0001, 2.0, 0, 0, 40.0},          /* ... nor 20 steps */
        {100, 0.1, 0, 0, 600.0},            /* nor above 10 min */
        {0.0001, 100, 0, 0, 600.0},         /* which holds for long steps, too */
    };
    struct interval_policy policy = policy_of("auto");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct interval interval;

        interval_init(&interval, &policy);
        interval.lives = (struct interval_lives){cases[i].lived, cases[i].ended};
        interval_stepped(&interval, cases[i].step);
        interval_stalled(&interval, cases[i].stall);
        assert_true(fabs(interval_seconds(&interval) - cases[i].expected) < 1e-3);
        interval.threatened = true;
        assert_true(fabs(interval_seconds(&interval) - cases[i].expected / 2) < 1e-3);
    }
}

static void test_interval__first_one_comes_early(void **state)
{
    struct interval_policy policy = policy_of("auto");
    struct interval interval;

    (void)state;
    interval_init(&interval, &policy);
    interval_stepped(&interval, 0.1);
    assert_near(interval_seconds(&interval), 2.5);
    assert_false(interval_is_due(&interval, 100, 2.4));
    assert_true(interval_is_due(&interval, 100, 2.5));
    interval_stalled(&interval, 0);
    assert_near(interval_seconds(&interval), 10);
}

/* One slow stall in eight does not rule; old ones are forgotten. */
static void test_interval__stalls_count_by_their_90th_percentile(void **state)
{
    struct interval_policy policy = policy_of("overhead:10%");
    struct interval interval;

    (void)state;
    interval_init(&interval, &policy);
    for (int i = 0; i < 20; i++) {
        interval_stalled(&interval, 50.0);
    }
    assert_near(interval_seconds(&interval), 500);
    for (int i = 1; i <= 8; i++) {
        interval_stalled(&interval, i);
    }
    assert_near(interval_seconds(&interval), 73); /* 7 + 0.3 of the way to 8, times 10 */
    interval_stalled(&interval, 2);               /* in place of 1 */
    assert_near(interval_seconds(&interval), 73);
}

static void test_interval__stop_leaves_time_for_two_commits(void **state)
{
    (void)state;
    assert_near(interval_stop_s(0, 0), 30); /* not known */
    assert_near(interval_stop_s(0, 7), 30);
    assert_near(interval_stop_s(0.1, 0.2), 5);   /* never later */
    assert_near(interval_stop_s(1, 0.5), 5.5);   /* 2 x 1 + 0.5 + 3 */
    assert_near(interval_stop_s(0.1, 4), 7.2);   /* a unit is not cut short */
    assert_near(interval_stop_s(40, 0.5), 83.5); /* nor is a commit */
}

/* Share of the time that is stall or work done again, over `lives` lives of mean `mean`. */
static double simulate(struct rng_stream *stream, double mean, double stall, int lives)
{
    struct interval_policy policy = policy_of("auto");
    struct interval_lives seen = {0};
    double paid = 0;
    double kept = 0;

    for (int i = 0; i < lives; i++) {
        struct interval interval;
        double life = -mean * log(1 - rng_uniform(stream));
        double at = 0;

        interval_init(&interval, &policy);
        interval.lives = seen;
        for (;;) {
            double work = interval_seconds(&interval);

            if (at + work + stall > life) {
                break;
            }
            at += work + stall;
            kept += work;
            interval_stalled(&interval, stall);
        }
        paid += life;
        seen.seconds += life;
        seen.ended++;
    }
    return 1 - kept / paid;
}

/* Share of the time that fixed interval T wastes when lives are exponential, exactly: work is done
 * in pieces of T + c, and a life holds floor(life / (T + c)) of them. */
static double waste_of(double interval, double stall, double mean)
{
    return 1 - interval / (mean * (exp((interval + stall) / mean) - 1));
}

/* Each life also pays for an early checkpoint, so stalls of 5 s in lives of 15 min are just above.
 */
static void test_interval__waste_is_near_the_optimum(void **state)
{
    static const double means[] = {900, 3600, 7200, 28800};
    static const double stalls[] = {0.02, 0.2, 1, 3};
    struct rng_stream stream = rng_stream(20230401, RNG_TEST, 0, 0, 0);

    (void)state;
    for (size_t m = 0; m < 4; m++) {
        for (size_t c = 0; c < 4; c++) {
            double waste = simulate(&stream, means[m], stalls[c], 20000);
            double best = 1;

            for (double interval = 1; interval < 3600; interval *= 1.01) {
                best = fmin(best, waste_of(interval, stalls[c], means[m]));
            }
            (void)printf(
                "mean life %5.0f s, stall %4.2f s: waste %.2f %%, at the optimum %.2f %%\n",
                means[m], stalls[c], 100 * waste, 100 * best);
            assert_true(waste < best + 0.005);
            assert_true(waste > best - 0.005);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval__policies_are_parsed),
        cmocka_unit_test(test_interval__fixed_ones_are_kept),
        cmocka_unit_test(test_interval__auto_follows_stall_and_lives),
        cmocka_unit_test(test_interval__first_one_comes_early),
        cmocka_unit_test(test_interval__stalls_count_by_their_90th_percentile),
        cmocka_unit_test(test_interval__stop_leaves_time_for_two_commits),
        cmocka_unit_test(test_interval__waste_is_near_the_optimum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
