/*
 * Goal: the champion of a run is the fittest of all robust generations of all lineages. Method:
 * closed records with fitness written by hand, several lineages at several places, in a memory
 * store; the records' own champions are those of select_champion.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "champion.h"
#include "evolve/select.h"
#include "nero/layout.h"
#include "tests/support/chain_world.h"

enum { MEMBERS = 3, LINEAGES = 5, GENERATIONS = 4 };

/* A closed generation: its phase and what its members came to. */
struct past {
    bool robust;
    double fitness[MEMBERS];
};

static void make_member(struct generation_member *member, double fitness, uint8_t salt)
{
    static const uint8_t genotype[] = {1};

    *member = (struct generation_member){.origin = GENERATION_RANDOM,
                                         .genotype = bytes_view_of(genotype, sizeof genotype),
                                         .has_job = true,
                                         .budget = {JOB_EPOCHS, 1},
                                         .verdict = GENERATION_SCORED,
                                         .has_slot = true,
                                         .fitness = fitness,
                                         .count = 10,
                                         .correct = 5,
                                         .kept = 2};
    memset(member->job.data, salt, sizeof member->job.data);
}

/* The records of one lineage; `last` is kept from call to call of one lineage. */
static void close_generation(uint32_t lineage, uint32_t number, const struct past *past,
                             struct generation *last)
{
    struct generation_member members[MEMBERS];
    struct generation closed = {.run = CHAIN_WORLD_RUN,
                                .lineage = lineage,
                                .number = number,
                                .state = GENERATION_CLOSED,
                                .robust = past->robust,
                                .member_count = MEMBERS,
                                .members = members};
    struct hash hash;

    for (uint32_t i = 0; i < MEMBERS; i++) {
        make_member(&members[i], past->fitness[i], (uint8_t)(1 + number * MEMBERS + i));
    }
    closed.selected = select_best(&closed);
    select_champion(number > 0 ? last : NULL, &closed);
    OK(generation_store_put(world.store, &world.run_key, &closed, &hash, E));
    *last = closed;
}

/* One lineage's generations from 0 on. */
static void live(uint32_t lineage, uint32_t count, const struct past *pasts)
{
    struct generation last;

    for (uint32_t i = 0; i < count; i++) {
        close_generation(lineage, i, &pasts[i], &last);
    }
}

static void expect(const uint32_t *closed, uint32_t lineages, uint32_t lineage, uint32_t generation,
                   uint32_t member, double fitness)
{
    struct champion champion;

    OK(champion_find(world.store, trust, closed, lineages, &champion, E));
    assert_true(champion.found);
    assert_int_equal(champion.lineage, lineage);
    assert_int_equal(champion.closed.generation.lineage, lineage);
    assert_int_equal(champion.closed.generation.number, generation);
    assert_int_equal(champion.member, member);
    assert_true(champion.fitness == fitness);
    assert_true(champion.closed.generation.members[member].fitness == fitness);
    champion_fini(&champion);
}

/* Warm-up fitness is clean accuracy, and higher than any F: it is never compared with one. */
static void test_champion__fittest_of_all_robust_generations(void **state)
{
    static const struct past first[] = {
        {false, {0.9, 0.95, 0.8}}, {true, {0.2, 0.5, 0.4}}, {true, {0.3, 0.1, 0.1}}};
    static const struct past second[] = {
        {false, {0.7, 0.6, 0.8}}, {true, {0.2, 0.1, 0.6}}, {true, {0.5, 0.55, 0.1}}};
    static const struct past third[] = {
        {false, {0.7, 0.99, 0.8}}, {false, {0.9, 0.99, 0.8}}, {false, {1.0, 0.9, 0.8}}};
    static const uint32_t closed[] = {3, 3, 3};

    (void)state;
    live(0, 3, first);
    live(1, 3, second);
    live(2, 3, third);
    expect(closed, 3, 1, 1, 2, 0.6); /* not of the last generation, which is worse */
    expect(closed, 1, 0, 1, 1, 0.5);
}

/* The lower lineage, in it the earlier generation, in it the lower slot. */
static void test_champion__ties(void **state)
{
    static const struct past pasts[LINEAGES][2] = {
        {{true, {0.1, 0.2, 0.3}}, {true, {0.3, 0.4, 0.1}}},
        {{true, {0.3, 0.5, 0.1}}, {true, {0.5, 0.4, 0.1}}},
        {{true, {0.5, 0.2, 0.3}}, {true, {0.5, 0.5, 0.5}}},
        {{true, {0.1, 0.2, 0.3}}, {true, {0.5, 0.4, 0.1}}},
        {{true, {0.5, 0.2, 0.3}}, {true, {0.5, 0.4, 0.1}}}};
    static const uint32_t closed[LINEAGES] = {2, 2, 2, 2, 2};

    (void)state;
    for (uint32_t i = 0; i < LINEAGES; i++) {
        live(i, 2, pasts[i]);
    }
    expect(closed, LINEAGES, 1, 0, 1, 0.5);
}

/* Lineages share no clock: what is closed of each counts, and nothing of one that has not begun. */
static void test_champion__lineages_at_different_places(void **state)
{
    static const struct past slow[] = {{false, {0.9, 0.9, 0.9}}, {true, {0.9, 0.2, 0.1}}};
    static const struct past fast[GENERATIONS] = {{false, {0.9, 0.9, 0.9}},
                                                  {true, {0.1, 0.2, 0.1}},
                                                  {true, {0.3, 0.2, 0.1}},
                                                  {true, {0.3, 0.4, 0.1}}};
    static const uint32_t early[] = {0, 1, 1};
    static const uint32_t later[] = {0, 1, 4};
    static const uint32_t last[] = {0, 2, 4};
    struct champion champion;

    (void)state;
    live(1, 2, slow);
    live(2, GENERATIONS, fast);
    OK(champion_find(world.store, trust, early, 3, &champion, E));
    assert_false(champion.found); /* all in warm-up: no champion, and no error */
    champion_fini(&champion);
    expect(later, 3, 2, 3, 1, 0.4);
    expect(last, 3, 1, 1, 0, 0.9);
}

/* Ill-fitted, invalid and failed ones have the penalty, which may be more than a poor score. */
static void test_champion__is_scored(void **state)
{
    struct generation_member members[2];
    struct generation closed = {.run = CHAIN_WORLD_RUN,
                                .state = GENERATION_CLOSED,
                                .robust = true,
                                .member_count = 2,
                                .members = members};
    static const uint32_t one[] = {1};
    struct champion champion;
    struct hash hash;

    (void)state;
    make_member(&members[0], 0.0, 1);
    make_member(&members[1], 0.0, 2);
    members[0].verdict = GENERATION_FAILED;
    members[1].verdict = GENERATION_FAILED;
    closed.selected = select_best(&closed);
    select_champion(NULL, &closed);
    OK(generation_store_put(world.store, &world.run_key, &closed, &hash, E));
    OK(champion_find(world.store, trust, one, 1, &champion, E));
    assert_false(champion.found);
    champion_fini(&champion);
}

/* A record that names what is not there is refused, not followed. */
static void test_champion__refuses_what_is_no_member(void **state)
{
    struct generation_member members[2];
    struct generation closed = {.run = CHAIN_WORLD_RUN,
                                .state = GENERATION_CLOSED,
                                .robust = true,
                                .member_count = 2,
                                .members = members,
                                .has_champion = true,
                                .champion_member = 2,
                                .champion_fitness = 0.5};
    static const uint32_t counts[] = {1, 1, 1};
    struct champion champion;
    struct hash hash;

    (void)state;
    make_member(&members[0], 0.5, 1);
    make_member(&members[1], 0.4, 2);
    OK(generation_store_put(world.store, &world.run_key, &closed, &hash, E));
    REFUSED(NERO_CORRUPT, champion_find(world.store, trust, counts, 1, &champion, E));
    assert_false(champion.found);
    closed.lineage = 1; /* a member without a job */
    closed.champion_member = 1;
    closed.champion_fitness = 0.6;
    members[1].has_job = false;
    members[1].has_slot = false;
    members[1].verdict = GENERATION_INVALID;
    OK(generation_store_put(world.store, &world.run_key, &closed, &hash, E));
    REFUSED(NERO_CORRUPT, champion_find(world.store, trust, counts, 2, &champion, E));
    REFUSED(NERO_NOT_FOUND, champion_find(world.store, trust, counts, 3, &champion, E));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_champion__fittest_of_all_robust_generations), TEST(test_champion__ties),
        TEST(test_champion__lineages_at_different_places),      TEST(test_champion__is_scored),
        TEST(test_champion__refuses_what_is_no_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
