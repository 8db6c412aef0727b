/*
 * Goal: the (1 + lambda) choice, the phase switch and the champion as in specs/evolution.md (a), (e).
 * Method: small generations written out by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "evolve/select.h"

enum { MEMBERS = 3 };

struct sample {
    struct generation generation;
    struct generation_member members[MEMBERS];
};

static void make(struct sample *sample, uint32_t number, bool robust, double a, double b, double c)
{
    const double fitness[MEMBERS] = {a, b, c};

    *sample = (struct sample){.generation = {.number = number, .robust = robust}};
    sample->generation.member_count = MEMBERS;
    sample->generation.members = sample->members;
    for (int i = 0; i < MEMBERS; i++) {
        sample->members[i].fitness = fitness[i];
        sample->members[i].verdict = fitness[i] < 0 ? GENERATION_INVALID : GENERATION_SCORED;
    }
}

static void test_select__first_argmax_and_ties_to_the_parent(void **state)
{
    struct sample sample;

    (void)state;
    make(&sample, 1, false, 0.5, 0.5, 0.5);
    assert_int_equal(select_best(&sample.generation), 0);
    make(&sample, 1, false, 0.4, 0.5, 0.5);
    assert_int_equal(select_best(&sample.generation), 1);
    make(&sample, 1, false, -1, -1, 0.0);
    assert_int_equal(select_best(&sample.generation), 2);
    make(&sample, 1, false, -1, -1, -1);
    assert_int_equal(select_best(&sample.generation), 0);
}

/* With a penalty of 0 a member that was scored 0 still goes before one that could not be scored. */
static void test_select__scored_before_penalised(void **state)
{
    struct sample sample;

    (void)state;
    make(&sample, 1, false, 0.0, 0.0, 0.0);
    sample.members[0].verdict = GENERATION_FAILED;
    sample.members[1].verdict = GENERATION_ILL_FITTED;
    assert_int_equal(select_best(&sample.generation), 2);
}

static void test_select__robust_from_the_threshold_on_for_good(void **state)
{
    struct run_search search = {.warmup_threshold = 0.8};
    struct sample sample;

    (void)state;
    make(&sample, 1, false, 0, 0, 0);
    assert_false(select_next_robust(&search, &sample.generation, 0.79));
    assert_true(select_next_robust(&search, &sample.generation, 0.80));
    sample.generation.robust = true;
    assert_true(select_next_robust(&search, &sample.generation, -1.0));
}

/* The champion is of robust generations only and stands in every later record (Fast-DENSER 1). */
static void test_select__champion_over_robust_generations(void **state)
{
    struct sample warm;
    struct sample first;
    struct sample worse;
    struct sample better;

    (void)state;
    make(&warm, 0, false, 0.9, 0.8, 0.7);
    select_champion(NULL, &warm.generation);
    assert_false(warm.generation.has_champion);

    make(&first, 1, true, 0.1, 0.3, 0.2);
    first.generation.selected = 1;
    select_champion(&warm.generation, &first.generation);
    assert_true(first.generation.has_champion);
    assert_int_equal(first.generation.champion_generation, 1);
    assert_int_equal(first.generation.champion_member, 1);
    assert_true(first.generation.champion_fitness == 0.3);

    make(&worse, 2, true, 0.3, 0.2, 0.2);
    select_champion(&first.generation, &worse.generation);
    assert_int_equal(worse.generation.champion_generation, 1);

    make(&better, 3, true, -1, -1, 0.31);
    better.generation.selected = 2;
    select_champion(&worse.generation, &better.generation);
    assert_int_equal(better.generation.champion_generation, 3);
    assert_int_equal(better.generation.champion_member, 2);
}

static void test_select__a_penalised_member_is_no_champion(void **state)
{
    struct sample sample;

    (void)state;
    make(&sample, 4, true, -1, -1, -1);
    select_champion(NULL, &sample.generation);
    assert_false(sample.generation.has_champion);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select__first_argmax_and_ties_to_the_parent),
        cmocka_unit_test(test_select__scored_before_penalised),
        cmocka_unit_test(test_select__robust_from_the_threshold_on_for_good),
        cmocka_unit_test(test_select__champion_over_robust_generations),
        cmocka_unit_test(test_select__a_penalised_member_is_no_champion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
