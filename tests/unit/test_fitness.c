/*
 * Goal: fitness as in specs/evolution.md (a). Method: its table of F_4(C, A), the paper's best
 * individual from its counts, the penalty, both means.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "evolve/fitness.h"
#include "nero/result.h"

static const struct run_search search = {.beta = 4.0, .penalty = -1.0};

static void test_fitness__f_beta_is_the_specs_table(void **state)
{
    static const double a[] = {0, .01, .05, .10, .20, .3325, .50, 1.0};
    static const struct {
        double c;
        double f[8];
    } rows[] = {{.10, {0, .0654, .0944, .1000, .1030, .1043, .1049, .1056}},
                {.80, {0, .1417, .4250, .5667, .6800, .7389, .7727, .8095}},
                {.8749, {0, .1437, .4440, .6010, .7300, .7983, .8379, .8814}},
                {.90, {0, .1443, .4500, .6120, .7463, .8179, .8596, .9053}}};

    (void)state;
    for (size_t r = 0; r < 4; r++) {
        for (size_t i = 0; i < 8; i++) {
            /* Half a unit of the printed digits, and the rounding of C and A in the table. */
            assert_true(fabs(result_fitness(rows[r].c, a[i], 4.0) - rows[r].f[i]) <= 6e-5);
        }
    }
    assert_true(result_fitness(0.0, 0.0, 4.0) == 0.0);
    assert_true(result_fitness(0.0, 1.0, 4.0) == 0.0);
}

/* 3062 of 3500 correct, 1018 kept: 87.49 %, 33.25 %, 0.7983 (paper, table 2). */
static void test_fitness__papers_best_individual(void **state)
{
    struct generation_member member = {
        .verdict = GENERATION_SCORED, .count = 3500, .correct = 3062, .kept = 1018};

    (void)state;
    assert_true(fabs(fitness_of(&search, true, &member) - 0.798251) < 5e-7);
    assert_true(fabs(fitness_of(&search, false, &member) - 0.8748571) < 5e-7);
    assert_true(fabs(result_fitness(0.8749, 0.3325, 4.0) - 0.798297) < 5e-7);
}

static void test_fitness__penalty_and_means(void **state)
{
    struct generation_member members[4] = {
        {.verdict = GENERATION_SCORED, .count = 10, .correct = 9, .kept = 9},
        {.verdict = GENERATION_ILL_FITTED, .count = 10, .correct = 1},
        {.verdict = GENERATION_INVALID},
        {.verdict = GENERATION_FAILED}};
    struct generation generation = {.member_count = 4, .members = members};
    struct run_search excludes = search;

    (void)state;
    for (int i = 0; i < 4; i++) {
        members[i].fitness = fitness_of(&search, false, &members[i]);
    }
    assert_true(members[0].fitness == 0.9);
    assert_true(members[1].fitness == -1.0 && members[2].fitness == -1.0 &&
                members[3].fitness == -1.0);
    assert_true(fitness_mean(&search, &generation) == (0.9 - 3.0) / 4.0);
    excludes.warmup_mean_excludes_invalid = true;
    assert_true(fitness_mean(&excludes, &generation) == 0.9);
    members[0].verdict = GENERATION_FAILED;
    assert_true(fitness_mean(&excludes, &generation) == -1.0);
}

/* Undefined accuracies are 0, never NaN. */
static void test_fitness__nothing_correct(void **state)
{
    struct generation_member member = {.verdict = GENERATION_SCORED};

    (void)state;
    assert_true(fitness_of(&search, true, &member) == 0.0);
    member.count = 10;
    assert_true(fitness_of(&search, true, &member) == 0.0);
    member.correct = 5;
    assert_true(fitness_of(&search, true, &member) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fitness__f_beta_is_the_specs_table),
        cmocka_unit_test(test_fitness__papers_best_individual),
        cmocka_unit_test(test_fitness__penalty_and_means),
        cmocka_unit_test(test_fitness__nothing_correct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
