/*
 * Goal: DSGE of one gene picks what it changes, and what it becomes, with the written probabilities
 * (specs/evolution.md d). Method: 10^5 changes of genes written out, against chi-square with fixed
 * seeds.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evolve/mutate_gene.h"
#include "tests/support/evolve_run.h"

enum { TRIALS = 100000 };

static void check_share(long fired, long trials, double p)
{
    const long counts[] = {fired, trials - fired};
    const double expected[] = {p, 1.0 - p};

    if (evolve_chi2(counts, expected, 2) >= evolve_chi2_limit(1)) {
        fail_msg("%ld of %ld, expected %g", fired, trials, p * (double)trials);
    }
}

/* A gene of three symbols: <a> one alternative and nothing to change, <b> both, <c> only rules. */
static const char gene_text[] = "<a> ::= k:a <b> <c>\n"
                                "<b> ::= k:b [x,int,1,0,9] [y,float,2,0,1] | k:b2 | k:b3\n"
                                "<c> ::= k:c | k:c\n";

static void gene_once(const struct grammar *grammar, const struct genotype *source,
                      struct rng_stream *stream, struct generation_event *event, bool *fired,
                      struct genotype *out)
{
    struct nero_err err = {0};

    assert_int_equal(genotype_copy(source, out, &err), NERO_OK);
    memset(event, 0, sizeof *event);
    assert_int_equal(mutate_gene(grammar, &out->genes[0], 0.15, stream, event, fired, &err),
                     NERO_OK);
}

/*
 * Symbols 1/3 each; <a> is a silent no-op. <b>: rule 1/3 (the other two equally), x 1/3, y 1/3.
 * <c>: always its other alternative, though it says the same (neutral).
 */
static void test_mutate_gene__picks_symbols_and_weights(void **state)
{
    static const double outcomes[] = {1. / 3, 1. / 18, 1. / 18, 1. / 9, 1. / 9, 1. / 3};
    struct rng_stream stream = rng_stream(31, RNG_TEST, 0, 0, 0);
    struct genotype_param params[2] = {
        {.name = "x", .kind = GENOTYPE_INT, .value_count = 1, .values = {{.integer = 4}}},
        {.name = "y",
         .kind = GENOTYPE_FLOAT,
         .value_count = 2,
         .values = {{.real = 0.5}, {.real = 0.5}}}};
    struct genotype_codon codons[3] = {{0}, {.param_count = 2, .params = params}, {0}};
    struct genotype_rule rules[3] = {
        {"a", 1, &codons[0]}, {"b", 1, &codons[1]}, {"c", 1, &codons[2]}};
    struct genotype_gene gene = {.start = "a", .rule_count = 3, .rules = rules};
    struct genotype source = {.gene_count = 1, .genes = &gene};
    struct grammar grammar;
    struct nero_err err = {0};
    long counts[6] = {0};

    (void)state;
    assert_int_equal(grammar_parse("g", bytes_view_str(gene_text), &grammar, &err), NERO_OK);
    for (int t = 0; t < TRIALS; t++) {
        struct generation_event event;
        struct genotype out;
        bool fired;

        gene_once(&grammar, &source, &stream, &event, &fired, &out);
        if (!fired) {
            counts[0]++;
        } else if (strcmp(event.what, "c") == 0) {
            assert_string_equal(event.before, "0: k:c");
            assert_string_equal(event.after, "1: k:c");
            counts[5]++;
        } else if (strcmp(event.what, "b") == 0) {
            assert_int_equal(event.op, GENERATION_MUTATE_RULE);
            assert_string_equal(event.before, "0: k:b [x] [y]");
            assert_int_equal(out.genes[0].rules[1].codons[0].param_count, 0); /* completed */
            counts[strcmp(event.after, "1: k:b2") == 0 ? 1 : 2]++;
        } else {
            counts[event.what[0] == 'x' ? 3 : 4]++;
        }
        genotype_fini(&out);
    }
    assert_true(evolve_chi2(counts, outcomes, 6) < evolve_chi2_limit(5));
    grammar_fini(&grammar);
}

/* Of the standard normal distribution; none is clipped at 0.5 +- 0.15 * 3.33 in these draws. */
static int decile_of(double z)
{
    static const double limits[] = {-1.2815515655, -0.8416212336, -0.5244005127, -0.2533471031, 0.0,
                                    0.2533471031,  0.5244005127,  0.8416212336,  1.2815515655};
    int decile = 0;

    while (decile < 9 && z >= limits[decile]) {
        decile++;
    }
    return decile;
}

/* int: a uniform redraw that may repeat. float: N(0, .15) around the old value, clipped. */
static void test_mutate_gene__values_move_as_written(void **state)
{
    static const double tenths[] = {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1};
    struct rng_stream stream = rng_stream(32, RNG_TEST, 0, 0, 0);
    struct genotype_param params[2] = {
        {.name = "x", .kind = GENOTYPE_INT, .value_count = 1, .values = {{.integer = 4}}},
        {.name = "y",
         .kind = GENOTYPE_FLOAT,
         .value_count = 2,
         .values = {{.real = 0.5}, {.real = 1.0}}}};
    struct genotype_codon codon = {.param_count = 2, .params = params};
    struct genotype_rule rule = {"b", 1, &codon};
    struct genotype_gene gene = {.start = "b", .rule_count = 1, .rules = &rule};
    struct genotype source = {.gene_count = 1, .genes = &gene};
    struct grammar grammar;
    struct nero_err err = {0};
    long whole[10] = {0};
    long inner = 0;
    long clipped = 0;
    long edge = 0;
    long deciles[10] = {0};
    double sum = 0.0;
    double sum2 = 0.0;

    (void)state;
    assert_int_equal(grammar_parse("g", bytes_view_str(gene_text), &grammar, &err), NERO_OK);
    for (int t = 0; t < TRIALS; t++) {
        const struct genotype_param *after;
        struct generation_event event;
        struct genotype out;
        bool fired;

        gene_once(&grammar, &source, &stream, &event, &fired, &out);
        assert_true(fired);
        after = out.genes[0].rules[0].codons[0].params;
        if (event.op == GENERATION_MUTATE_INT) {
            whole[after[0].values[0].integer]++;
            assert_string_equal(event.before, "4");
        } else if (event.op == GENERATION_MUTATE_FLOAT && strcmp(event.before, "0.5") == 0) {
            double moved = after[1].values[0].real - 0.5;

            inner++;
            deciles[decile_of(moved / 0.15)]++;
            sum += moved;
            sum2 += moved * moved;
            assert_true(after[1].values[1].real == 1.0);
            assert_true(strtod(event.after, NULL) == after[1].values[0].real);
        } else if (event.op == GENERATION_MUTATE_FLOAT) {
            edge++;
            clipped += after[1].values[1].real == 1.0;
            assert_true(after[1].values[1].real <= 1.0);
        }
        genotype_fini(&out);
    }
    assert_true(evolve_chi2(whole, tenths, 10) < evolve_chi2_limit(9));
    assert_true(evolve_chi2(deciles, tenths, 10) < evolve_chi2_limit(9));
    check_share(inner, inner + edge, 0.5); /* of two values each equally often */
    assert_true(fabs(sum / (double)inner) < 0.15 * 4.0 / sqrt((double)inner));
    assert_true(fabs(sqrt(sum2 / (double)inner) - 0.15) < 0.005);
    check_share(clipped, edge, 0.5);
    grammar_fini(&grammar);
}

/* Powers: a uniform redraw of the exponent within its bounds, that may repeat. */
static void test_mutate_gene__exponents_are_uniform(void **state)
{
    static const char text[] = "<p> ::= [batch,int_power2,1,5,9] [lr,int_power10,1,-6,-1]\n";
    static const double fifths[] = {.2, .2, .2, .2, .2};
    static const double sixths[] = {1. / 6, 1. / 6, 1. / 6, 1. / 6, 1. / 6, 1. / 6};
    struct rng_stream stream = rng_stream(33, RNG_TEST, 0, 0, 0);
    struct genotype_param params[2] = {
        {.name = "batch", .kind = GENOTYPE_POWER2, .value_count = 1, .values = {{.integer = 7}}},
        {.name = "lr", .kind = GENOTYPE_POWER10, .value_count = 1, .values = {{.integer = -3}}}};
    struct genotype_codon codon = {.param_count = 2, .params = params};
    struct genotype_rule rule = {"p", 1, &codon};
    struct genotype_gene gene = {.start = "p", .rule_count = 1, .rules = &rule};
    struct genotype source = {.gene_count = 1, .genes = &gene};
    struct grammar grammar;
    struct nero_err err = {0};
    long batch[5] = {0};
    long lr[6] = {0};
    long batches = 0;

    (void)state;
    assert_int_equal(grammar_parse("g", bytes_view_str(text), &grammar, &err), NERO_OK);
    for (int t = 0; t < TRIALS; t++) {
        const struct genotype_param *after;
        struct generation_event event;
        struct genotype out;
        bool fired;

        gene_once(&grammar, &source, &stream, &event, &fired, &out);
        assert_true(fired && event.op == GENERATION_MUTATE_POWER);
        after = out.genes[0].rules[0].codons[0].params;
        if (strcmp(event.what, "batch") == 0) {
            assert_string_equal(event.before, "2^7");
            assert_int_equal(after[1].values[0].integer, -3);
            batch[after[0].values[0].integer - 5]++;
            batches++;
        } else {
            assert_string_equal(event.before, "10^-3");
            assert_int_equal(after[0].values[0].integer, 7);
            lr[after[1].values[0].integer + 6]++;
        }
        genotype_fini(&out);
    }
    assert_true(evolve_chi2(batch, fifths, 5) < evolve_chi2_limit(4));
    assert_true(evolve_chi2(lr, sixths, 6) < evolve_chi2_limit(5));
    check_share(batches, TRIALS, 0.5);
    grammar_fini(&grammar);
}

/* A symbol that was used three times: each of its codons equally often, and no other changes. */
static void test_mutate_gene__codons_of_a_symbol_are_uniform(void **state)
{
    static const char text[] = "<s> ::= k:s <t> <t> <t>\n<t> ::= k:1 | k:2 | k:3\n";
    static const double outcomes[] = {.5, 1. / 6, 1. / 6, 1. / 6};
    static const double halves[] = {.5, .5};
    struct rng_stream stream = rng_stream(34, RNG_TEST, 0, 0, 0);
    struct genotype_codon s = {0};
    struct genotype_codon t[3] = {{.alternative = 0}, {.alternative = 1}, {.alternative = 2}};
    struct genotype_rule rules[2] = {{"s", 1, &s}, {"t", 3, t}};
    struct genotype_gene gene = {.start = "s", .rule_count = 2, .rules = rules};
    struct genotype source = {.gene_count = 1, .genes = &gene};
    struct grammar grammar;
    struct nero_err err = {0};
    long counts[4] = {0};
    long became[2] = {0};

    (void)state;
    assert_int_equal(grammar_parse("g", bytes_view_str(text), &grammar, &err), NERO_OK);
    for (int n = 0; n < TRIALS; n++) {
        struct generation_event event;
        struct genotype out;
        bool fired;
        uint32_t changed = 0;

        gene_once(&grammar, &source, &stream, &event, &fired, &out);
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t after = out.genes[0].rules[1].codons[i].alternative;

            if (after != i) {
                changed++;
                counts[1 + i]++;
                became[after == (i + 1) % 3]++;
            }
        }
        assert_int_equal(changed, fired);
        counts[0] += !fired; /* <s> has one alternative and no values */
        genotype_fini(&out);
    }
    assert_true(evolve_chi2(counts, outcomes, 4) < evolve_chi2_limit(3));
    assert_true(evolve_chi2(became, halves, 2) < evolve_chi2_limit(1));
    grammar_fini(&grammar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutate_gene__picks_symbols_and_weights),
        cmocka_unit_test(test_mutate_gene__values_move_as_written),
        cmocka_unit_test(test_mutate_gene__exponents_are_uniform),
        cmocka_unit_test(test_mutate_gene__codons_of_a_symbol_are_uniform),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
