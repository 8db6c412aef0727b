/*
 * Goal: inputs of units stay inside their rules whatever happens to the module (specs/evolution.md
 * c, d). Method: hand-written modules before and after; chi-square of every draw; the NSGA-Net
 * phases, which must pass untouched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evolve/connect.h"
#include "tests/support/evolve_run.h"

static const struct run_module skip = {.units_max = 30, .levels_back = 5, .allow_skip = true};
static const struct run_module legacy = {.units_max = 30, .levels_back = 3};

static struct rng_stream stream_of(uint32_t slot)
{
    return rng_stream(11, RNG_TEST, 0, 0, slot);
}

/* "-1;0;0,1" */
static struct genotype_module module_of(const char *text)
{
    struct genotype_module module = {.units = calloc(64, sizeof *module.units)};
    struct genotype_unit *unit = module.units;

    module.unit_count = 1;
    while (*text != '\0') {
        char *end;

        unit->inputs[unit->input_count++] = (int32_t)strtol(text, &end, 10);
        if (*end == ';') {
            unit++;
            module.unit_count++;
        }
        text = *end != '\0' ? end + 1 : end;
    }
    return module;
}

static void expect(struct genotype_module *module, const char *text)
{
    char got[1024] = "";
    size_t used = 0;

    for (uint32_t u = 0; u < module->unit_count; u++) {
        used += (size_t)snprintf(got + used, sizeof got - used, "%s", u > 0 ? ";" : "");
        connect_text(&module->units[u], got + used, sizeof got - used);
        used += strlen(got + used);
    }
    assert_string_equal(got, text);
}

static void test_connect__candidates(void **state)
{
    (void)state;
    assert_int_equal(connect_lowest(&skip, 0), -1);
    assert_int_equal(connect_lowest(&skip, 4), -1);
    assert_int_equal(connect_lowest(&skip, 5), 0);
    assert_int_equal(connect_lowest(&legacy, 7), 4);
}

/* Skip: size uniform in 1..n, then each candidate equally often. Legacy: i-1 and 0..n-1 others. */
static void test_connect__draws_are_uniform(void **state)
{
    static const double fifths[] = {.2, .2, .2, .2, .2};
    static const double thirds[] = {1. / 3, 1. / 3, 1. / 3};
    struct rng_stream stream = stream_of(1);
    long sizes[5] = {0};
    long used[5] = {0};
    long others[3] = {0};

    (void)state;
    for (int n = 0; n < 100000; n++) {
        struct genotype_unit unit = {0};

        connect_draw(&skip, &unit, 8, &stream);
        assert_true(connect_is_valid(&skip, &unit, 8));
        sizes[unit.input_count - 1]++;
        if (unit.input_count == 1) {
            used[unit.inputs[0] - 3]++;
        }
        connect_draw(&legacy, &unit, 8, &stream);
        assert_true(connect_is_valid(&legacy, &unit, 8));
        others[unit.input_count - 1]++;
        connect_draw(&skip, &unit, 0, &stream);
        assert_true(unit.input_count == 1 && unit.inputs[0] == -1);
    }
    assert_true(evolve_chi2(sizes, fifths, 5) < evolve_chi2_limit(4));
    assert_true(evolve_chi2(used, fifths, 5) < evolve_chi2_limit(4));
    assert_true(evolve_chi2(others, thirds, 3) < evolve_chi2_limit(2));
}

/* -1 is offered like any other (Fast-DENSER 8); every free candidate equally often. */
static void test_connect__add_offers_every_candidate(void **state)
{
    static const double thirds[] = {1. / 3, 1. / 3, 1. / 3};
    struct rng_stream stream = stream_of(2);
    long chosen[3] = {0};

    (void)state;
    for (int n = 0; n < 100000; n++) {
        struct genotype_unit unit = {.input_count = 1, .inputs = {1}};

        assert_true(connect_add(&skip, &unit, 3, &stream)); /* -1, 0, 2 are free */
        chosen[unit.inputs[0] == -1 ? 0 : unit.inputs[0] == 0 ? 1 : 2]++;
    }
    assert_true(evolve_chi2(chosen, thirds, 3) < evolve_chi2_limit(2));
    {
        struct genotype_unit full = {.input_count = 3, .inputs = {-1, 0, 1}};

        assert_false(connect_add(&skip, &full, 2, &stream));
    }
}

static void test_connect__remove_keeps_what_must_stay(void **state)
{
    static const double halves[] = {.5, .5};
    struct rng_stream stream = stream_of(3);
    long left[2] = {0};
    long left_legacy[2] = {0};

    (void)state;
    for (int n = 0; n < 100000; n++) {
        struct genotype_unit unit = {.input_count = 2, .inputs = {0, 2}};

        assert_true(connect_remove(&skip, &unit, 3, &stream));
        left[unit.inputs[0] == 2]++;
        assert_false(connect_remove(&skip, &unit, 3, &stream)); /* the only one stays */
        unit = (struct genotype_unit){.input_count = 3, .inputs = {0, 1, 2}};
        assert_true(connect_remove(&legacy, &unit, 3, &stream));
        left_legacy[unit.inputs[0] == 1]++;
        assert_true(connect_remove(&legacy, &unit, 3, &stream));
        assert_false(connect_remove(&legacy, &unit, 3, &stream));
        assert_int_equal(unit.inputs[0], 2); /* i-1 */
    }
    assert_true(evolve_chi2(left, halves, 2) < evolve_chi2_limit(1));
    assert_true(evolve_chi2(left_legacy, halves, 2) < evolve_chi2_limit(1));
}

/* Moved units keep their distances: all inputs shift, -1 becomes 0 (Fast-DENSER 4). */
static void test_connect__insert_renumbers(void **state)
{
    struct rng_stream stream = stream_of(4);
    struct nero_err err = {0};
    struct genotype_module module = module_of("-1;0;-1,1;0,2");

    (void)state;
    assert_int_equal(connect_insert(&legacy, &module, 0, 9, &stream, &err), NERO_OK);
    expect(&module, "-1;0;1;0,2;1,3");
    assert_int_equal(module.units[0].gene, 9);
    free(module.units);

    module = module_of("-1;0;-1,1;0,2");
    assert_int_equal(connect_insert(&skip, &module, 2, 9, &stream, &err), NERO_OK);
    module.units[2].input_count = 0; /* the new one is random */
    expect(&module, "-1;0;;0,2;1,3");
    free(module.units);

    module = module_of("-1");
    module.unit_count = 0; /* into an empty module (Fast-DENSER 6) */
    assert_int_equal(connect_insert(&skip, &module, 0, 9, &stream, &err), NERO_OK);
    expect(&module, "-1");
    free(module.units);
}

static void test_connect__erase_renumbers(void **state)
{
    static const struct {
        const struct run_module *rules;
        const char *before;
        uint32_t removed;
        const char *after;
    } table[] = {
        {&skip, "-1;0;1", 1, "-1;0"},             /* the next one reads what stood before */
        {&skip, "-1;0;0,1", 1, "-1;0"},           /* duplicates merge */
        {&skip, "-1;0;1;1,2", 1, "-1;0;1"},       /* later ones forget it */
        {&skip, "-1;0;1;0,1,2", 2, "-1;0;0,1"},   /* in the next one 2 becomes 1 */
        {&skip, "-1;0;-1,1;0,2", 0, "-1;-1,0;1"}, /* new first unit; 0 is forgotten */
        {&skip, "-1;0;1", 2, "-1;0"}, /* the last one leaves nothing behind (Fast-DENSER 5) */
        {&skip, "-1", 0, ""},
        {&skip, "-1;-1;-1;2", 1, "-1;-1;1"},
        /* Legacy: everybody goes on reading the one before. */
        {&legacy, "-1;0;1", 1, "-1;0"},
        {&legacy, "-1;0;0,1;1,2", 1, "-1;0;1"},
        {&legacy, "-1;0;-1,1;0,2", 0, "-1;-1,0;1"},
        {&legacy, "-1;0;-1,0,1;0,1,2;1,2,3", 2, "-1;0;0,1;1,2"},
        {&legacy, "-1;0;0,1", 2, "-1;0"},
        {&legacy, "-1", 0, ""},
    };
    struct rng_stream stream = stream_of(5);

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct genotype_module module = module_of(table[i].before);

        connect_erase(table[i].rules, &module, table[i].removed, &stream);
        expect(&module, table[i].after);
        for (uint32_t u = 0; u < module.unit_count; u++) {
            assert_true(connect_is_valid(table[i].rules, &module.units[u], u));
        }
        free(module.units);
    }
}

/* A unit that loses its last input gets one uniform candidate. */
static void test_connect__erase_refills_an_empty_unit(void **state)
{
    static const double thirds[] = {1. / 3, 1. / 3, 1. / 3};
    struct rng_stream stream = stream_of(6);
    long chosen[3] = {0};

    (void)state;
    for (int n = 0; n < 100000; n++) {
        struct genotype_module module = module_of("-1;0;1;1");

        connect_erase(&skip, &module, 1, &stream);
        assert_int_equal(module.units[2].input_count, 1);
        chosen[module.units[2].inputs[0] + 1]++;
        free(module.units);
    }
    assert_true(evolve_chi2(chosen, thirds, 3) < evolve_chi2_limit(2));
}

static void test_connect__repair_reaches_every_reader(void **state)
{
    static const double fifths[] = {.2, .2, .2, .2, .2};
    struct rng_stream stream = stream_of(7);
    long chosen[5] = {0};

    (void)state;
    for (int n = 0; n < 100000; n++) {
        struct genotype_module module = module_of("-1;-1;1;2;3;4;5;6");
        struct genotype_unit before;
        uint32_t reader;

        assert_true(connect_is_dead_end(&module, 0));
        assert_false(connect_is_dead_end(&module, 1));
        assert_false(connect_is_dead_end(&module, 7));
        reader = connect_repair(&skip, &module, 0, &stream, &before);
        assert_int_equal(before.input_count, 1);
        assert_false(connect_is_dead_end(&module, 0));
        assert_true(connect_is_valid(&skip, &module.units[reader], reader));
        chosen[reader - 1]++;
        free(module.units);
    }
    assert_true(evolve_chi2(chosen, fifths, 5) < evolve_chi2_limit(4));
}

/* The seed of the paper: valid with a look-back of 5 and not of 4, no dead ends (spec h). */
static void test_connect__nsga_net_passes_untouched(void **state)
{
    struct genotype_module module =
        module_of("-1;0;-1;1;1,2,3;0,3,4;5;6;6;6;8;8,10;7,8,9,10,11;12;13;13;15;14,16;14,16,17;"
                  "14,17,18");
    struct run_module narrow = skip;
    long outside = 0;

    (void)state;
    narrow.levels_back = 4;
    assert_int_equal(module.unit_count, 20);
    for (uint32_t u = 0; u < module.unit_count; u++) {
        assert_true(connect_is_valid(&skip, &module.units[u], u));
        assert_false(connect_is_dead_end(&module, u));
        outside += !connect_is_valid(&narrow, &module.units[u], u);
    }
    assert_int_equal(outside, 3); /* units 5, 12, 19 */
    free(module.units);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect__candidates),
        cmocka_unit_test(test_connect__draws_are_uniform),
        cmocka_unit_test(test_connect__add_offers_every_candidate),
        cmocka_unit_test(test_connect__remove_keeps_what_must_stay),
        cmocka_unit_test(test_connect__insert_renumbers),
        cmocka_unit_test(test_connect__erase_renumbers),
        cmocka_unit_test(test_connect__erase_refills_an_empty_unit),
        cmocka_unit_test(test_connect__repair_reaches_every_reader),
        cmocka_unit_test(test_connect__nsga_net_passes_untouched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
