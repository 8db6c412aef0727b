/*
 * Goal: the (1 + lambda) choice, the phase switch and the champion as in specs/evolution.md (a),
 * (e). Method: small generations written out by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evolve/fitness.h"
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

#define S GENERATION_SCORED
#define F GENERATION_FAILED
#define I GENERATION_ILL_FITTED

/*
 * Who trains on, by hand: fitness, budget and verdict of parent and two children; the fittest of
 * the least trained, not the first (Fast-DENSER 2).
 */
static void test_select__who_trains_on(void **state)
{
    static const struct {
        const char *what;
        double fitness[MEMBERS];
        uint64_t budget[MEMBERS];
        enum generation_verdict verdict[MEMBERS];
        const char *extended;
    } cases[] = {
        {"the best has the default budget", {.5, .6, .4}, {30, 10, 10}, {S, S, S}, ""},
        {"all have the best one's", {.5, .6, .4}, {20, 20, 20}, {S, S, S}, ""},
        {"the parent is the best: the least trained", {.7, .6, .5}, {20, 10, 10}, {S, S, S}, "1"},
        {"the fittest of them, not the first", {.7, .5, .6}, {20, 10, 10}, {S, S, S}, "2"},
        {"ties: the first of them", {.7, .5, .5}, {20, 10, 10}, {S, S, S}, "1"},
        {"a default parent is one of the least", {.5, .6, .4}, {10, 20, 10}, {S, S, S}, "0"},
        {"the parent in between, then the least", {.5, .6, .4}, {20, 30, 10}, {S, S, S}, "02"},
        {"the parent once, though it is the least", {.5, .6, .4}, {20, 30, 30}, {S, S, S}, "0"},
        {"failed ones never", {.7, -1, -1}, {20, 10, 10}, {S, F, I}, ""},
        {"a failed parent neither", {-1, .6, .5}, {20, 30, 30}, {F, S, S}, ""},
        {"a failed one is no best", {-1, -1, -1}, {20, 30, 10}, {F, F, F}, ""},
        {"the least is above the default", {.7, .6, .5}, {30, 20, 30}, {S, S, S}, "1"},
    };
    const struct run_search search = {.budget = {.kind = JOB_SECONDS, .amount = 10}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t out[GENERATION_EXTENSIONS_MAX];
        char text[GENERATION_EXTENSIONS_MAX + 1] = "";
        struct sample sample;
        uint32_t count;

        make(&sample, 1, true, cases[i].fitness[0], cases[i].fitness[1], cases[i].fitness[2]);
        for (int m = 0; m < MEMBERS; m++) {
            sample.members[m].origin = m == 0 ? GENERATION_PARENT : GENERATION_MUTANT;
            sample.members[m].budget.amount = cases[i].budget[m];
            sample.members[m].verdict = cases[i].verdict[m];
        }
        count = select_extensions(&search, &sample.generation, out);
        for (uint32_t e = 0; e < count; e++) {
            text[e] = (char)('0' + out[e]);
        }
        if (strcmp(text, cases[i].extended) != 0) {
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].what, text, cases[i].extended);
        }
    }
}

#undef S
#undef F
#undef I

/* Extensions stand last: strictly better ones are selected, ties go to the best; no mean. */
static void test_select__extensions_win_by_being_better(void **state)
{
    const struct run_search search = {.penalty = -1.0};
    struct sample sample;

    (void)state;
    make(&sample, 1, true, 0.5, 0.5, 0.5);
    sample.members[2].origin = GENERATION_EXTENSION;
    assert_int_equal(select_best(&sample.generation), 0);
    sample.members[2].fitness = 0.75;
    assert_int_equal(select_best(&sample.generation), 2);
    assert_true(fitness_mean(&search, &sample.generation) == 0.5);
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
        cmocka_unit_test(test_select__who_trains_on),
        cmocka_unit_test(test_select__extensions_win_by_being_better),
        cmocka_unit_test(test_select__robust_from_the_threshold_on_for_good),
        cmocka_unit_test(test_select__champion_over_robust_generations),
        cmocka_unit_test(test_select__a_penalised_member_is_no_champion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
