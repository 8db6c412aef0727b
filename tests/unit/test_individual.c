/*
 * Goal: random individuals keep every rule and decode to what the grammar says; completion and
 * decoding are exact. Method: thousands of random individuals of the shipped presets; small
 * grammars written out; genotypes damaged by hand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evolve/connect.h"
#include "evolve/gene.h"
#include "evolve/individual.h"
#include "evolve/layer.h"
#include "tests/support/evolve_run.h"

static void check_random(const char *preset, uint32_t count)
{
    struct evolve_fixture fixture;
    const struct run_search *search;

    evolve_fixture_open(&fixture, preset, 5);
    search = &fixture.preset.record.search;
    for (uint32_t i = 0; i < count; i++) {
        struct genotype genotype;
        struct phenotype phenotype;
        struct nero_err err = {0};

        assert_int_equal(evolve_random(&fixture.run, 0, i / 1000, i % 1000, &genotype, &err),
                         NERO_OK);
        if (evolve_decode(&fixture.run, &genotype, &phenotype, &err) != NERO_OK) {
            fail_msg("%s", err.message);
        }
        for (uint32_t m = 0; m < genotype.module_count; m++) {
            const struct genotype_module *module = &genotype.modules[m];

            assert_in_range(module->unit_count, search->modules[m].initial_min,
                            search->modules[m].initial_max);
            for (uint32_t u = 0; u < module->unit_count; u++) {
                assert_false(connect_is_dead_end(module, u));
            }
        }
        phenotype_fini(&phenotype);
        genotype_fini(&genotype);
    }
    evolve_fixture_close(&fixture);
}

static void test_individual__random_ones_keep_the_rules(void **state)
{
    (void)state;
    check_random("paper.yaml", 3000);
    check_random("demo.yaml", 3000);
    check_random("smoke.yaml", 1000);
}

/* Sizes and alternatives are uniform; reuse has the replicate rate. */
static void test_individual__random_draws_have_their_distribution(void **state)
{
    static const double thirds[] = {1. / 3, 1. / 3, 1. / 3};
    static const double features[] = {.75, .25};
    static const double shared[] = {.35, .65};
    struct evolve_fixture fixture;
    long sizes[3] = {0};
    long kinds[2] = {0};
    long reused[2] = {0};

    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 6);
    for (uint32_t i = 0; i < 100000; i++) {
        struct genotype genotype;
        struct phenotype phenotype;
        struct nero_err err = {0};
        const struct genotype_module *module;

        assert_int_equal(evolve_random(&fixture.run, 0, i / 1000, i % 1000, &genotype, &err),
                         NERO_OK);
        assert_int_equal(evolve_decode(&fixture.run, &genotype, &phenotype, &err), NERO_OK);
        module = &genotype.modules[1];
        sizes[module->unit_count - 2]++;
        kinds[phenotype.units[genotype.modules[0].unit_count].kind == PHENOTYPE_POOL]++;
        reused[module->units[1].gene != module->units[0].gene]++;
        phenotype_fini(&phenotype);
        genotype_fini(&genotype);
    }
    assert_true(evolve_chi2(sizes, thirds, 3) < evolve_chi2_limit(2));
    assert_true(evolve_chi2(kinds, features, 2) < evolve_chi2_limit(1));
    assert_true(evolve_chi2(reused, shared, 2) < evolve_chi2_limit(1));
    evolve_fixture_close(&fixture);
}

/* Each value of each kind of block, within its bounds. */
static void test_individual__random_numbers_are_uniform(void **state)
{
    static const char text[] = "<s> ::= [f,float,2,-1,3] [i,int,1,5,14] [p,int_power2,1,5,9]\n";
    static const double tenths[] = {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1};
    static const double fifths[] = {.2, .2, .2, .2, .2};
    long first[10] = {0};
    long second[10] = {0};
    long whole[10] = {0};
    long power[5] = {0};
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 1, 0);
    struct grammar grammar;
    struct nero_err err = {0};

    (void)state;
    assert_int_equal(grammar_parse("g", bytes_view_str(text), &grammar, &err), NERO_OK);
    for (int n = 0; n < 100000; n++) {
        struct genotype_gene gene;
        const struct genotype_param *params;

        assert_int_equal(gene_draw(&grammar, "s", &stream, &gene, &err), NERO_OK);
        params = gene.rules[0].codons[0].params;
        for (int v = 0; v < 2; v++) {
            double real = params[0].values[v].real;

            assert_true(real >= -1.0 && real < 3.0);
            (v == 0 ? first : second)[(int)((real + 1.0) / 0.4)]++;
        }
        assert_in_range(params[1].values[0].integer, 5, 14);
        whole[params[1].values[0].integer - 5]++;
        assert_in_range(params[2].values[0].integer, 5, 9);
        power[params[2].values[0].integer - 5]++;
        gene_fini(&gene);
    }
    assert_true(evolve_chi2(first, tenths, 10) < evolve_chi2_limit(9));
    assert_true(evolve_chi2(second, tenths, 10) < evolve_chi2_limit(9));
    assert_true(evolve_chi2(whole, tenths, 10) < evolve_chi2_limit(9));
    assert_true(evolve_chi2(power, fifths, 5) < evolve_chi2_limit(4));
    grammar_fini(&grammar);
}

static struct genotype_param int_param(const char *name, int64_t value)
{
    struct genotype_param param = {.kind = GENOTYPE_INT, .value_count = 1};

    (void)snprintf(param.name, sizeof param.name, "%s", name);
    param.values[0].integer = value;
    return param;
}

/* Completion keeps what is read, draws what is missing and drops what is stale (Fast-DENSER 3). */
static void test_individual__completion_drops_the_stale_and_keeps_the_used(void **state)
{
    static const char text[] = "<s> ::= k:a [x,int,1,0,9] <t> | k:b\n<t> ::= [z,int,1,50,50]\n";
    struct genotype_param params[2] = {int_param("y", 77), int_param("x", 4)};
    struct genotype_codon s_codons[2] = {{.alternative = 0, .param_count = 2, .params = params},
                                         {.alternative = 1}};
    struct genotype_rule rules[2] = {{.symbol = "gone", .codon_count = 1, .codons = s_codons + 1},
                                     {.symbol = "s", .codon_count = 2, .codons = s_codons}};
    struct genotype_gene stale = {.start = "s", .rule_count = 2, .rules = rules};
    struct genotype source = {.gene_count = 1, .genes = &stale};
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);
    struct grammar grammar;
    struct genotype copy;
    struct nero_err err = {0};
    const struct genotype_gene *gene;

    (void)state;
    assert_int_equal(grammar_parse("g", bytes_view_str(text), &grammar, &err), NERO_OK);
    assert_int_equal(genotype_copy(&source, &copy, &err), NERO_OK);
    assert_int_equal(gene_complete(&grammar, &copy.genes[0], &stream, &err), NERO_OK);
    gene = &copy.genes[0];
    assert_int_equal(gene->rule_count, 2);
    assert_string_equal(gene->rules[0].symbol, "s");
    assert_int_equal(gene->rules[0].codon_count, 1);
    assert_int_equal(gene->rules[0].codons[0].param_count, 1);
    assert_string_equal(gene->rules[0].codons[0].params[0].name, "x");
    assert_int_equal(gene->rules[0].codons[0].params[0].values[0].integer, 4);
    assert_string_equal(gene->rules[1].symbol, "t");
    assert_int_equal(gene->rules[1].codons[0].params[0].values[0].integer, 50);
    genotype_fini(&copy);
    grammar_fini(&grammar);
}

/* A parameter out of bounds or an alternative that does not exist is drawn again. */
static void test_individual__completion_redraws_the_impossible(void **state)
{
    static const char text[] = "<s> ::= [x,int,1,3,3] | [x,int,1,3,3] <s2>\n<s2> ::= k:a\n";
    struct genotype_param param = int_param("x", 9);
    struct genotype_codon codon = {.alternative = 7, .param_count = 1, .params = &param};
    struct genotype_rule rule = {.symbol = "s", .codon_count = 1, .codons = &codon};
    struct genotype_gene wrong = {.start = "s", .rule_count = 1, .rules = &rule};
    struct genotype source = {.gene_count = 1, .genes = &wrong};
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);
    struct grammar grammar;
    struct genotype copy;
    struct nero_err err = {0};

    (void)state;
    assert_int_equal(grammar_parse("g", bytes_view_str(text), &grammar, &err), NERO_OK);
    assert_int_equal(genotype_copy(&source, &copy, &err), NERO_OK);
    assert_int_equal(gene_complete(&grammar, &copy.genes[0], &stream, &err), NERO_OK);
    assert_true(copy.genes[0].rules[0].codons[0].alternative < 2);
    assert_int_equal(copy.genes[0].rules[0].codons[0].params[0].values[0].integer, 3);
    genotype_fini(&copy);
    grammar_fini(&grammar);
}

/* Completing what is complete changes nothing and draws nothing. */
static void test_individual__completion_is_idempotent(void **state)
{
    struct evolve_fixture fixture;
    struct genotype genotype;
    struct nero_err err = {0};
    struct bytes before;
    struct bytes after;
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);

    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 5);
    bytes_init(&before, GENOTYPE_BYTES_MAX);
    bytes_init(&after, GENOTYPE_BYTES_MAX);
    assert_int_equal(evolve_random(&fixture.run, 0, 0, 0, &genotype, &err), NERO_OK);
    assert_int_equal(genotype_encode(&genotype, &before, &err), NERO_OK);
    assert_int_equal(evolve_complete(&fixture.run, &genotype, &stream, &err), NERO_OK);
    assert_int_equal(stream.index, 0);
    assert_int_equal(genotype_encode(&genotype, &after, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&before), bytes_as_view(&after)));
    bytes_fini(&before);
    bytes_fini(&after);
    genotype_fini(&genotype);
    evolve_fixture_close(&fixture);
}

/* Damage to one random individual; *place must make the message name it. */
static void expect_refused(void (*damage)(struct genotype *genotype), const char *says)
{
    struct evolve_fixture fixture;
    struct genotype genotype;
    struct phenotype phenotype;
    struct nero_err err = {0};

    evolve_fixture_open(&fixture, "smoke.yaml", 9);
    assert_int_equal(evolve_random(&fixture.run, 0, 0, 0, &genotype, &err), NERO_OK);
    damage(&genotype);
    assert_int_equal(evolve_decode(&fixture.run, &genotype, &phenotype, &err), NERO_INVALID);
    if (strstr(err.message, says) == NULL) {
        fail_msg("%s", err.message);
    }
    genotype_fini(&genotype);
    evolve_fixture_close(&fixture);
}

static struct genotype_rule *rule_of(struct genotype *genotype, const char *symbol)
{
    for (uint32_t g = 0; g < genotype->gene_count; g++) {
        for (uint32_t r = 0; r < genotype->genes[g].rule_count; r++) {
            if (strcmp(genotype->genes[g].rules[r].symbol, symbol) == 0) {
                return &genotype->genes[g].rules[r];
            }
        }
    }
    abort();
}

static void unknown_alternative(struct genotype *genotype)
{
    rule_of(genotype, "softmax")->codons[0].alternative = 5;
}
static void foreign_symbol(struct genotype *genotype)
{
    (void)snprintf(rule_of(genotype, "softmax")->symbol, GENOTYPE_NAME_BYTES, "softmay");
}
static void value_out_of_bounds(struct genotype *genotype)
{
    const char *symbol = "features";
    uint32_t alternative = rule_of(genotype, symbol)->codons[0].alternative;

    rule_of(genotype, alternative == 0 ? "conv" : "transition")->codons[0].params[0].values[0] =
        (struct genotype_value){.integer = 5};
}
static void module_renamed(struct genotype *genotype)
{
    (void)snprintf(genotype->modules[0].name, GENOTYPE_NAME_BYTES, "other");
}
static void input_out_of_reach(struct genotype *genotype)
{
    genotype->modules[1].units[0].inputs[0] = 0;
}

static void test_individual__decode_refuses_what_is_not_of_the_grammar(void **state)
{
    (void)state;
    expect_refused(unknown_alternative,
                   "module softmax, unit 0: <softmax>: there is no alternative");
    expect_refused(foreign_symbol, "module softmax, unit 0: <softmax>: codon 0 is missing");
    expect_refused(value_out_of_bounds, "num-filters is missing or out of bounds");
    expect_refused(module_renamed, "other");
    expect_refused(input_out_of_reach, "inputs");
}

/* The learning unit of an individual whose learning rule is this one. */
static struct phenotype_learning learning_of(double clip, const char *rule)
{
    struct evolve_fixture fixture;
    struct grammar grammar;
    struct genotype genotype;
    struct phenotype phenotype;
    struct phenotype_learning learning;
    struct nero_err err = {0};
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "<features> ::= layer:fc act:relu num-units:8 bias:True\n"
                   "<softmax> ::= layer:fc act:softmax num-units:10 bias:True\n"
                   "<learning> ::= %s [batch_size,int_power2,1,7,7] early_stop:3 epochs:4\n",
                   rule);
    evolve_fixture_open(&fixture, "smoke.yaml", 9);
    assert_int_equal(grammar_parse("g", bytes_view_str(text), &grammar, &err), NERO_OK);
    fixture.run.grammar = &grammar;
    fixture.preset.record.search.clip = clip;
    assert_int_equal(evolve_check(&fixture.run, &err), NERO_OK);
    assert_int_equal(evolve_random(&fixture.run, 0, 0, 0, &genotype, &err), NERO_OK);
    assert_int_equal(evolve_decode(&fixture.run, &genotype, &phenotype, &err), NERO_OK);
    learning = phenotype.learning;
    phenotype_fini(&phenotype);
    genotype_fini(&genotype);
    grammar_fini(&grammar);
    evolve_fixture_close(&fixture);
    return learning;
}

/* What is 1 in the genotype is search.clip in the network (Fast-DENSER 9), what is less stays. */
static void test_individual__learning_is_clipped_and_scaled(void **state)
{
    struct phenotype_learning made;

    (void)state;
    made =
        learning_of(0.9999, "learning:adam [lr,int_power10,1,-3,-3] decay:0.5 [beta1,float,1,1,1] "
                            "[beta2,float,1,1,1]");
    assert_int_equal(made.optimiser, PHENOTYPE_ADAM);
    assert_true(made.lr == 1e-3 && made.decay == 0.5);
    assert_true(made.beta1 == 0.9999 && made.beta2 == 0.9999);
    assert_int_equal(made.batch, 128);
    assert_int_equal(made.early_stop, 3);
    assert_int_equal(made.epochs_max, 4);
    made =
        learning_of(0.9999, "learning:rmsprop [lr,int_power10,1,-6,-6] decay:0 [rho,float,1,1,1]");
    assert_int_equal(made.optimiser, PHENOTYPE_RMSPROP);
    assert_true(made.lr == 1e-6 && made.rho == 0.9999);
    made = learning_of(0.9999, "learning:rmsprop lr:0.1 decay:0 rho:0.9998");
    assert_true(made.rho == 0.9998);
    made = learning_of(
        0.9999, "learning:gradient-descent lr:0.1 decay:0 [momentum,float,1,0.99995,0.99995] "
                "nesterov:True");
    assert_int_equal(made.optimiser, PHENOTYPE_SGD);
    assert_true(made.momentum == 0.99995 && made.nesterov); /* divides nothing: as it is */
}

/* The limit of the run is the one that counts. */
static void test_individual__clip_is_a_key(void **state)
{
    static const char rule[] = "learning:adam lr:0.1 decay:0 beta1:1 [beta2,float,1,0.95,0.95]";
    struct phenotype_learning low = learning_of(0.9, rule);
    struct phenotype_learning high = learning_of(0.999999, rule);

    (void)state;
    assert_true(low.beta1 == 0.9 && low.beta2 == 0.9);
    assert_true(high.beta1 == 0.999999 && high.beta2 == 0.95);
}

/* Every key of a convblock and a poolblock arrives where it belongs. */
static void test_individual__keys_reach_their_fields(void **state)
{
    static const char text[] =
        "<stem> ::= layer:convblock act-pos:preconv act:swish bn:post num-filters:7 filters-mult:4 "
        "filter-shape:5 stride:2 padding:valid bias:True\n"
        "<features> ::= layer:poolblock conv-act-pos:postconv conv-act:relu conv-bn:mid "
        "num-filters:9 conv-filter-shape:1 conv-stride:1 conv-padding:same conv-bias:False "
        "pool-type:avg pool-kernel-size:3 pool-stride:2 pool-padding:same pool-bn:none\n"
        "<softmax> ::= layer:fc act:softmax num-units:10 bias:True\n"
        "<learning> ::= learning:gradient-descent lr:0.1 decay:0 momentum:0.9 nesterov:True "
        "batch_size:32 early_stop:3 epochs:4\n";
    static const struct run_module modules[] = {
        {.symbol = "stem", 1, 1, 1, 1, .levels_back = 1},
        {.symbol = "features", 2, 2, 2, 2, .levels_back = 1},
        {.symbol = "softmax", 1, 1, 1, 1, .levels_back = 1}};
    struct evolve_fixture fixture;
    struct run_search *search = &fixture.preset.record.search;
    struct grammar grammar;
    struct genotype genotype;
    struct phenotype out;
    struct nero_err err = {0};

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 9);
    assert_int_equal(grammar_parse("g", bytes_view_str(text), &grammar, &err), NERO_OK);
    fixture.run.grammar = &grammar;
    search->module_count = 3;
    memcpy(search->modules, modules, sizeof modules);
    assert_int_equal(evolve_check(&fixture.run, &err), NERO_OK);
    assert_int_equal(evolve_random(&fixture.run, 0, 0, 0, &genotype, &err), NERO_OK);
    assert_int_equal(evolve_decode(&fixture.run, &genotype, &out, &err), NERO_OK);
    assert_int_equal(out.unit_count, 4);
    assert_int_equal(out.units[0].kind, PHENOTYPE_CONV);
    assert_int_equal(out.units[0].conv.filters, 7);
    assert_int_equal(out.units[0].conv.filters_mult, 4);
    assert_int_equal(out.units[0].conv.kernel, 5);
    assert_int_equal(out.units[0].conv.stride, 2);
    assert_int_equal(out.units[0].conv.padding, PHENOTYPE_VALID);
    assert_true(out.units[0].conv.bias);
    assert_int_equal(out.units[0].conv.activation, PHENOTYPE_SILU);
    assert_int_equal(out.units[0].conv.act_position, PHENOTYPE_PRE_CONV);
    assert_int_equal(out.units[0].conv.bn, PHENOTYPE_BN_POST);
    assert_int_equal(out.units[0].inputs[0], PHENOTYPE_IMAGE);
    assert_int_equal(out.units[1].kind, PHENOTYPE_POOL);
    assert_int_equal(out.units[1].conv.filters_mult, 0);
    assert_int_equal(out.units[1].conv.bn, PHENOTYPE_BN_MID);
    assert_int_equal(out.units[1].pool.pooling, PHENOTYPE_AVG_POOL);
    assert_int_equal(out.units[1].pool.kernel, 3);
    assert_int_equal(out.units[1].pool.padding, PHENOTYPE_SAME);
    assert_int_equal(out.units[1].inputs[0], 0); /* -1 of its module: the unit before */
    assert_int_equal(out.units[3].inputs[0], 2);
    assert_int_equal(out.units[3].fc_activation, PHENOTYPE_LINEAR);
    assert_true(out.learning.nesterov && out.learning.momentum == 0.9);
    phenotype_fini(&out);
    genotype_fini(&genotype);
    grammar_fini(&grammar);
    evolve_fixture_close(&fixture);
}

#define FC "layer:fc act:relu num-units:8 bias:True"
#define SOFTMAX "<softmax> ::= layer:fc act:softmax num-units:10 bias:True\n"
#define LEARNING                                                                                 \
    "<learning> ::= learning:adam lr:0.1 decay:0 beta1:0.9 beta2:0.9 batch_size:8 early_stop:3 " \
    "epochs:4\n"
#define LEARNING_OF(momentum, epochs)                                            \
    "<learning> ::= learning:gradient-descent lr:0.1 decay:0 momentum:" momentum \
    " nesterov:True batch_size:8 early_stop:3 " epochs "\n"
static const struct {
    const char *text;
    const char *says;
} bad_structures[] = {
    {SOFTMAX LEARNING, "module <features>: the grammar has no rule"},
    {"<features> ::= " FC "\n" SOFTMAX, "learning <learning>: the grammar has no rule"},
    {"<features> ::= " FC " | act:relu\n" SOFTMAX LEARNING, "gives no layer:<type>"},
    {"<features> ::= layer:fc act:relu bias:True\n" SOFTMAX LEARNING, "num-units is missing"},
    {"<features> ::= " FC " lr:0.1\n" SOFTMAX LEARNING, "lr does not belong"},
    {"<features> ::= " FC " act:relu\n" SOFTMAX LEARNING, "act can be given twice"},
    {"<features> ::= " FC " <a>\n<a> ::= stride:1 | act:relu\n" SOFTMAX LEARNING,
     "act can be given twice"},
    {"<features> ::= " FC " dropout:1\n" SOFTMAX LEARNING, "unknown key \"dropout\""},
    {"<features> ::= layer:fc act:tanh num-units:8 bias:True\n" SOFTMAX LEARNING,
     "act:tanh: no such value"},
    {"<features> ::= layer:fc act:relu [num-units,int,1,0,8] bias:True\n" SOFTMAX LEARNING,
     "num-units: 0 is not a whole number of 1"},
    {"<features> ::= layer:fc act:relu [num-units,float,1,1,8] bias:True\n" SOFTMAX LEARNING,
     "num-units is a count"},
    {"<features> ::= layer:fc act:relu [num-units,int,2,1,8] bias:True\n" SOFTMAX LEARNING,
     "cannot be a block of 2 values"},
    {"<features> ::= layer:fc [act,int,1,0,1] num-units:8 bias:True\n" SOFTMAX LEARNING,
     "act cannot be a block"},
    {"<features> ::= layer:fc act:softmax num-units:8 bias:True\n" SOFTMAX LEARNING,
     "act:softmax belongs to the last module alone"},
    {"<features> ::= " FC "\n<softmax> ::= " FC "\n" LEARNING,
     "the last module must be a layer:fc with act:softmax"},
    {"<features> ::= " FC "\n<softmax> ::= layer:fc act:softmax num-units:9 bias:True\n" LEARNING,
     "num-units must be the number of classes of the data set, 10"},
    {"<features> ::= " FC
     " | layer:convblock act-pos:preconv act:relu bn:none num-filters:7 filter-shape:5 "
     "stride:2 padding:valid bias:True\n" SOFTMAX LEARNING,
     "mixes layer:fc with convolutional layers"},
    {"<features> ::= " FC "\n" SOFTMAX LEARNING_OF("0.9", "epochs:1601"),
     "epochs: 1601; a result can hold 1600"},
    {"<features> ::= " FC "\n" SOFTMAX LEARNING_OF("0.9", "epochs:9999"), "or 10000 for no limit"},
    {"<features> ::= " FC "\n" SOFTMAX LEARNING_OF("0.9", "epochs:10001"), "epochs: 10001"},
    {"<features> ::= " FC "\n" SOFTMAX LEARNING_OF("0.9", "[epochs,int,1,100,10000]"),
     "epochs: a block ends at 1600"},
    {"<features> ::= " FC "\n" SOFTMAX LEARNING_OF("1", "epochs:4"), "momentum: 1 is not a number"},
};

/* Structures that some individual could not be decoded from are refused before anything is drawn.
 */
static void test_individual__check_refuses_bad_structures(void **state)
{
    struct evolve_fixture fixture;
    struct run_module *modules = fixture.preset.record.search.modules;
    struct nero_err err = {0};

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 9);
    for (size_t i = 0; i < sizeof bad_structures / sizeof bad_structures[0]; i++) {
        struct grammar grammar;

        assert_int_equal(grammar_parse("g", bytes_view_str(bad_structures[i].text), &grammar, &err),
                         NERO_OK);
        fixture.run.grammar = &grammar;
        assert_int_equal(evolve_check(&fixture.run, &err), NERO_INVALID);
        if (strstr(err.message, bad_structures[i].says) == NULL) {
            fail_msg("\"%s\" for %s", err.message, bad_structures[i].text);
        }
        grammar_fini(&grammar);
    }
    fixture.run.grammar = &fixture.grammar;
    modules[0].levels_back = 0;
    assert_int_equal(evolve_check(&fixture.run, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "levels_back 0"));
    modules[0].levels_back = 1;
    modules[1].units_max = 2;
    assert_int_equal(evolve_check(&fixture.run, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "exactly 1 unit"));
    evolve_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_individual__random_ones_keep_the_rules),
        cmocka_unit_test(test_individual__random_draws_have_their_distribution),
        cmocka_unit_test(test_individual__random_numbers_are_uniform),
        cmocka_unit_test(test_individual__completion_drops_the_stale_and_keeps_the_used),
        cmocka_unit_test(test_individual__completion_redraws_the_impossible),
        cmocka_unit_test(test_individual__completion_is_idempotent),
        cmocka_unit_test(test_individual__decode_refuses_what_is_not_of_the_grammar),
        cmocka_unit_test(test_individual__learning_is_clipped_and_scaled),
        cmocka_unit_test(test_individual__clip_is_a_key),
        cmocka_unit_test(test_individual__keys_reach_their_fields),
        cmocka_unit_test(test_individual__check_refuses_bad_structures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
