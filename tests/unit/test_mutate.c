/*
 * Goal: every operator fires with its written probability and changes what it should and nothing
 * else (specs/evolution.md d). Method: 10^5 mutants an operator against chi-square with fixed
 * seeds. What happens inside a gene: test_mutate_gene.c; to inputs: test_connect.c; whole mutants:
 * test_mutants.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evolve/individual.h"
#include "nero/mem.h"
#include "tests/support/evolve_run.h"

enum { TRIALS = 100000 };

static uint32_t count_events(const struct mutant *mutant, enum generation_operator op,
                             const char *module)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < mutant->event_count; i++) {
        count += mutant->events[i].op == op && strcmp(mutant->events[i].module, module) == 0;
    }
    return count;
}

/* A fixture without any mutation, and a parent with `units` units in module `features`. */
static void still_life(struct evolve_fixture *fixture, uint32_t units, struct genotype *parent)
{
    struct run_rates *rates = &fixture->preset.record.search.rates;
    struct nero_err err = {0};

    evolve_fixture_open(fixture, "demo.yaml", 21);
    *rates = (struct run_rates){.float_sigma = 0.15};
    fixture->preset.record.search.modules[1].initial_min = units;
    fixture->preset.record.search.modules[1].initial_max = units;
    assert_int_equal(evolve_random(&fixture->run, 0, 0, 0, parent, &err), NERO_OK);
    assert_int_equal(parent->modules[1].unit_count, units);
}

static void check_share(long fired, long trials, double p)
{
    const long counts[] = {fired, trials - fired};
    const double expected[] = {p, 1.0 - p};

    if (evolve_chi2(counts, expected, 2) >= evolve_chi2_limit(1)) {
        fail_msg("%ld of %ld, expected %g", fired, trials, p * (double)trials);
    }
}

/* Rates of 0 never fire: the child is the parent, byte for byte. Rates of 1 always do. */
static void test_mutate__rates_of_zero_and_one(void **state)
{
    struct evolve_fixture fixture;
    struct genotype parent;
    struct bytes before;
    struct bytes after;
    struct nero_err err = {0};

    (void)state;
    still_life(&fixture, 4, &parent);
    bytes_init(&before, GENOTYPE_BYTES_MAX);
    bytes_init(&after, GENOTYPE_BYTES_MAX);
    assert_int_equal(genotype_encode(&parent, &before, &err), NERO_OK);
    for (uint32_t t = 0; t < 100; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        assert_int_equal(mutant.event_count, 0);
        bytes_clear(&after);
        assert_int_equal(genotype_encode(&mutant.genotype, &after, &err), NERO_OK);
        assert_true(bytes_view_equal(bytes_as_view(&before), bytes_as_view(&after)));
        mutant_fini(&mutant);
    }
    fixture.preset.record.search.rates.mutate_unit = 1.0;
    for (uint32_t t = 0; t < 100; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        assert_true(mutant.event_count >= 4);
        mutant_fini(&mutant);
    }
    bytes_fini(&before);
    bytes_fini(&after);
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

/* 10 %; below the cap nothing else changes; at the cap the mutation goes on. */
static void test_mutate__train_longer(void **state)
{
    struct evolve_fixture fixture;
    struct genotype parent;
    long longer = 0;
    long at_cap = 0;
    long learning = 0;

    (void)state;
    still_life(&fixture, 2, &parent);
    fixture.preset.record.search.budget.amount = 8;
    fixture.preset.record.search.budget_cap = 16;
    fixture.preset.record.search.rates.train_longer = 0.10;
    fixture.preset.record.search.rates.mutate_learning = 0.30;
    for (uint32_t t = 0; t < TRIALS; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        longer += mutant.longer;
        assert_int_equal(mutant.longer,
                         mutant.event_count > 0 && mutant.events[0].op == GENERATION_TRAIN_LONGER);
        if (mutant.longer) {
            assert_int_equal(mutant.event_count, 1);
            assert_string_equal(mutant.events[0].before, "8");
            assert_string_equal(mutant.events[0].after, "16");
        } else {
            learning += mutant.event_count;
        }
        mutant_fini(&mutant);
    }
    check_share(longer, TRIALS, 0.10);
    check_share(learning, TRIALS - longer, 0.30);
    learning = 0;
    for (uint32_t t = 0; t < TRIALS; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 16, t, &mutant);
        assert_false(mutant.longer);
        at_cap += count_events(&mutant, GENERATION_TRAIN_LONGER_AT_CAP, "");
        learning += mutant.event_count - count_events(&mutant, GENERATION_TRAIN_LONGER_AT_CAP, "");
        mutant_fini(&mutant);
    }
    check_share(at_cap, TRIALS, 0.10);
    check_share(learning, TRIALS, 0.30);
    assert_int_equal(evolve_longer_budget(&fixture.preset.record.search, 12), 16);
    assert_int_equal(evolve_longer_budget(&fixture.preset.record.search, 17), 17);
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

/*
 * 1 or 2 tries at 25 %: none .65625, one .3125, two .03125. 35 % of the added are replicates, of
 * any unit equally. Positions are uniform in 0..size.
 */
static void test_mutate__add_units(void **state)
{
    static const double tries[] = {.65625, .3125, .03125};
    static const double quarters[] = {.25, .25, .25, .25};
    static const double thirds[] = {1. / 3, 1. / 3, 1. / 3};
    struct evolve_fixture fixture;
    struct genotype parent;
    long added[3] = {0};
    long positions[4] = {0};
    long sources[3] = {0};
    long replicates = 0;
    long events = 0;

    (void)state;
    still_life(&fixture, 3, &parent);
    fixture.preset.record.search.rates.add_unit = 0.25;
    fixture.preset.record.search.rates.replicate_unit = 0.35;
    for (uint32_t t = 0; t < TRIALS; t++) {
        struct mutant mutant;
        uint32_t fresh;
        uint32_t copies;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        fresh = count_events(&mutant, GENERATION_ADD_UNIT, "features");
        copies = count_events(&mutant, GENERATION_REPLICATE_UNIT, "features");
        assert_int_equal(mutant.genotype.modules[1].unit_count, 3 + fresh + copies);
        added[fresh + copies]++;
        events += fresh + copies;
        replicates += copies;
        for (uint32_t i = 0; i < mutant.event_count; i++) {
            if (strcmp(mutant.events[i].module, "features") == 0 &&
                mutant.events[i].op != GENERATION_REPAIR) {
                positions[mutant.events[i].unit]++;
                if (mutant.events[i].op == GENERATION_REPLICATE_UNIT) {
                    sources[strtol(mutant.events[i].before + strlen("unit "), NULL, 10)]++;
                }
                break; /* the second insertion has another size */
            }
        }
        mutant_fini(&mutant);
    }
    assert_true(evolve_chi2(added, tries, 3) < evolve_chi2_limit(2));
    assert_true(evolve_chi2(positions, quarters, 4) < evolve_chi2_limit(3));
    assert_true(evolve_chi2(sources, thirds, 3) < evolve_chi2_limit(2));
    check_share(replicates, events, 0.35);
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

static void test_mutate__remove_units(void **state)
{
    static const double tries[] = {.65625, .3125, .03125};
    static const double fifths[] = {.2, .2, .2, .2, .2};
    struct evolve_fixture fixture;
    struct genotype parent;
    long removed[3] = {0};
    long positions[5] = {0};

    (void)state;
    still_life(&fixture, 5, &parent);
    fixture.preset.record.search.rates.remove_unit = 0.25;
    for (uint32_t t = 0; t < TRIALS; t++) {
        struct mutant mutant;
        uint32_t count;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        count = count_events(&mutant, GENERATION_REMOVE_UNIT, "features");
        assert_int_equal(mutant.genotype.modules[1].unit_count, 5 - count);
        removed[count]++;
        for (uint32_t i = 0; i < mutant.event_count; i++) {
            if (strcmp(mutant.events[i].module, "features") == 0 &&
                mutant.events[i].op == GENERATION_REMOVE_UNIT) {
                positions[mutant.events[i].unit]++;
                break;
            }
        }
        mutant_fini(&mutant);
    }
    assert_true(evolve_chi2(removed, tries, 3) < evolve_chi2_limit(2));
    assert_true(evolve_chi2(positions, fifths, 5) < evolve_chi2_limit(4));
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

/* A module at its largest gets nothing, one at its smallest loses nothing; an empty one can grow
 * with a replicate rate of 1 (Fast-DENSER 6). */
static void test_mutate__sizes_stay_in_bounds(void **state)
{
    struct evolve_fixture fixture;
    struct genotype parent;
    long grown = 0;

    (void)state;
    still_life(&fixture, 6, &parent);
    fixture.preset.record.search.rates.add_unit = 1.0;
    fixture.preset.record.search.rates.replicate_unit = 1.0;
    assert_int_equal(parent.modules[2].unit_count <= 1, 1);
    for (uint32_t t = 0; t < 1000; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        assert_int_equal(mutant.genotype.modules[1].unit_count, 6);
        assert_int_equal(mutant.genotype.modules[2].unit_count, 1);
        assert_int_equal(mutant.genotype.modules[3].unit_count, 1);
        grown += count_events(&mutant, GENERATION_ADD_UNIT, "classification");
        mutant_fini(&mutant);
    }
    assert_true(parent.modules[2].unit_count == 1 || grown == 1000);
    genotype_fini(&parent);
    fixture.preset.record.search.modules[2].initial_max = 0;
    {
        struct nero_err err = {0};
        struct mutant mutant;

        assert_int_equal(evolve_random(&fixture.run, 0, 0, 1, &parent, &err), NERO_OK);
        assert_int_equal(parent.modules[2].unit_count, 0);
        mutant_make(&fixture, &parent, 8, 0, &mutant);
        assert_int_equal(count_events(&mutant, GENERATION_ADD_UNIT, "classification"), 1);
        mutant_fini(&mutant);
    }
    fixture.preset.record.search.rates.add_unit = 0.0;
    fixture.preset.record.search.rates.remove_unit = 1.0;
    for (uint32_t t = 0; t < 1000; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        assert_in_range(mutant.genotype.modules[1].unit_count, 4, 5);
        assert_int_equal(mutant.genotype.modules[3].unit_count, 1);
        mutant_fini(&mutant);
    }
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

/* 15 % a unit with position > 0 and a free candidate, or one to spare. */
static void test_mutate__connections(void **state)
{
    struct evolve_fixture fixture;
    struct genotype parent;
    const struct genotype_module *module;
    uint32_t can_add = 0;
    uint32_t can_remove = 0;
    long added = 0;
    long removed = 0;

    (void)state;
    still_life(&fixture, 6, &parent);
    module = &parent.modules[1];
    for (uint32_t u = 1; u < module->unit_count; u++) {
        can_add += module->units[u].input_count < (u < 5 ? u + 1 : 5);
        can_remove += module->units[u].input_count > 1;
    }
    assert_true(can_add > 0 && can_remove > 0);
    fixture.preset.record.search.rates.add_connection = 0.15;
    for (uint32_t t = 0; t < TRIALS; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        added += count_events(&mutant, GENERATION_ADD_CONNECTION, "features");
        assert_int_equal(count_events(&mutant, GENERATION_ADD_CONNECTION, "stem"), 0);
        mutant_fini(&mutant);
    }
    check_share(added, (long)can_add * TRIALS, 0.15);
    fixture.preset.record.search.rates.add_connection = 0.0;
    fixture.preset.record.search.rates.remove_connection = 0.15;
    for (uint32_t t = 0; t < TRIALS; t++) {
        struct mutant mutant;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        removed += count_events(&mutant, GENERATION_REMOVE_CONNECTION, "features");
        mutant_fini(&mutant);
    }
    check_share(removed, (long)can_remove * TRIALS, 0.15);
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

/*
 * A gene used k times has k chances, and a change shows at all k: with every unit of the module one
 * gene, all of them still are one gene after any number of changes.
 */
static void test_mutate__shared_units_change_together(void **state)
{
    struct evolve_fixture fixture;
    struct genotype parent;
    struct nero_err err = {0};
    long fired = 0;

    (void)state;
    still_life(&fixture, 3, &parent);
    parent.modules[1].units[1].gene = parent.modules[1].units[0].gene;
    parent.modules[1].units[2].gene = parent.modules[1].units[0].gene;
    assert_int_equal(genotype_normalise(&parent, &err), NERO_OK);
    fixture.preset.record.search.rates.mutate_unit = 0.15;
    for (uint32_t t = 0; t < TRIALS; t++) {
        struct mutant mutant;
        const struct genotype_unit *units;

        mutant_make(&fixture, &parent, 8, t, &mutant);
        units = mutant.genotype.modules[1].units;
        assert_true(units[0].gene == units[1].gene && units[1].gene == units[2].gene);
        assert_int_equal(mutant.genotype.gene_count, parent.gene_count);
        for (uint32_t i = 0; i < mutant.event_count; i++) {
            fired += strcmp(mutant.events[i].module, "features") == 0;
        }
        mutant_fini(&mutant);
    }
    check_share(fired, 3 * TRIALS, 0.15);
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

/* Equal arguments, equal bytes and events; another slot, generation or lineage, another child. */
static void test_mutate__is_a_function_of_its_arguments(void **state)
{
    struct evolve_fixture fixture;
    struct genotype parent;
    struct nero_err err = {0};
    long same = 0;

    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 77);
    assert_int_equal(evolve_random(&fixture.run, 0, 0, 0, &parent, &err), NERO_OK);
    for (uint32_t t = 0; t < 100; t++) {
        struct mutant a;
        struct mutant b;
        struct bytes one;
        struct bytes two;

        bytes_init(&one, GENOTYPE_BYTES_MAX);
        bytes_init(&two, GENOTYPE_BYTES_MAX);
        mutant_make(&fixture, &parent, 600, t, &a);
        mutant_make(&fixture, &parent, 600, t, &b);
        assert_int_equal(genotype_encode(&a.genotype, &one, &err), NERO_OK);
        assert_int_equal(genotype_encode(&b.genotype, &two, &err), NERO_OK);
        assert_true(bytes_view_equal(bytes_as_view(&one), bytes_as_view(&two)));
        assert_int_equal(a.event_count, b.event_count);
        assert_int_equal(a.event_count == 0 ||
                             memcmp(a.events, b.events, a.event_count * sizeof *a.events) == 0,
                         1);
        mutant_fini(&b);
        mutant_make(&fixture, &parent, 600, t + 1, &b);
        bytes_clear(&two);
        assert_int_equal(genotype_encode(&b.genotype, &two, &err), NERO_OK);
        same += bytes_view_equal(bytes_as_view(&one), bytes_as_view(&two));
        mutant_fini(&a);
        mutant_fini(&b);
        bytes_fini(&one);
        bytes_fini(&two);
    }
    assert_true(same < 20);
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

/* More events than a record holds: the last one counts the rest. */
static void test_mutate__events_are_bounded(void **state)
{
    struct evolve_fixture fixture;
    struct run_search *search = &fixture.preset.record.search;
    struct genotype parent;
    struct nero_err err = {0};
    struct mutant mutant;

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 77);
    search->modules[0].units_max = 96;
    search->modules[0].initial_min = 96;
    search->modules[0].initial_max = 96;
    search->modules[0].levels_back = 64;
    search->rates =
        (struct run_rates){.add_connection = 1, .remove_connection = 1, .mutate_unit = 1};
    assert_int_equal(evolve_random(&fixture.run, 0, 0, 0, &parent, &err), NERO_OK);
    mutant_make(&fixture, &parent, 3, 0, &mutant);
    assert_int_equal(mutant.event_count, GENERATION_EVENTS_MAX);
    assert_string_equal(mutant.events[GENERATION_EVENTS_MAX - 1].what, "further events");
    assert_true(strtol(mutant.events[GENERATION_EVENTS_MAX - 1].after, NULL, 10) > 10);
    mutant_fini(&mutant);
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

static void test_mutate__gives_memory_back(void **state)
{
    struct evolve_fixture fixture;
    struct genotype parent;
    struct nero_err err = {0};

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 77);
    fixture.preset.record.search.rates =
        (struct run_rates){.add_unit = 1, .mutate_unit = 1, .mutate_learning = 1};
    assert_int_equal(evolve_random(&fixture.run, 0, 0, 0, &parent, &err), NERO_OK);
    for (long skip = 0;; skip++) {
        struct mutant mutant;
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = evolve_mutate(&fixture.run, &parent, 3, 0, 1, 1, &mutant.genotype, &mutant.longer,
                               &mutant.events, &mutant.event_count, &err);
        if (mem_fail_plan(0, 0) == 0) {
            assert_int_equal(status, NERO_OK);
            mutant_fini(&mutant);
            break;
        }
        assert_int_equal(status, NERO_NO_MEMORY);
    }
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutate__rates_of_zero_and_one),
        cmocka_unit_test(test_mutate__train_longer),
        cmocka_unit_test(test_mutate__add_units),
        cmocka_unit_test(test_mutate__remove_units),
        cmocka_unit_test(test_mutate__sizes_stay_in_bounds),
        cmocka_unit_test(test_mutate__connections),
        cmocka_unit_test(test_mutate__shared_units_change_together),
        cmocka_unit_test(test_mutate__is_a_function_of_its_arguments),
        cmocka_unit_test(test_mutate__events_are_bounded),
        cmocka_unit_test(test_mutate__gives_memory_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
