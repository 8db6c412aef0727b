/*
 * Goal: presets/paper.yaml and nero-net.bnf are the paper's whole setting, and what the paper
 * leaves open is as specs/evolution.md proposes. Method: every value and every row of the grammar,
 * written down here a second time from the specification.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/evolve_run.h"

#define SHIPPED NERO_SOURCE_DIR "/presets/"

enum { TEXT_BYTES_MAX = 64 * 1024 };

static struct evolve_fixture fixture;
static const struct run_search *const search = &fixture.preset.record.search;
static const struct job_protocol *const protocol = &fixture.preset.record.protocol;

static int open_paper(void **state)
{
    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 1);
    return 0;
}

static int close_paper(void **state)
{
    (void)state;
    evolve_fixture_close(&fixture);
    return 0;
}

/* Table 1 and section e: (1+4), 100 generations, 10 to 30 minutes, beta 4, xi 0.80. */
static void test_paper__search(void **state)
{
    (void)state;
    assert_int_equal(fixture.preset.record.strategy, RUN_EVOLVE);
    assert_int_equal(fixture.preset.record.resume_policy, RUN_SAME_CLASS);
    assert_string_equal(fixture.preset.record.numeric_class, "");
    assert_string_equal(fixture.preset.dataset, "cifar10");
    assert_int_equal(search->lineages, 1);
    assert_int_equal(search->generations, 100);
    assert_int_equal(search->lambda, 4);
    assert_true(search->reevaluate_parent);
    assert_int_equal(search->seed_policy, RUN_SEED_SLOT);
    assert_int_equal(search->seed_learning, RUN_LEARNING_RANDOM);
    assert_true(search->clip == 0.9999);
    assert_int_equal(search->budget.kind, JOB_SECONDS);
    assert_int_equal(search->budget.amount, 600);
    assert_int_equal(search->budget_cap, 1800);
    assert_true(search->beta == 4.0 && search->warmup_threshold == 0.80);
    assert_false(search->warmup_mean_excludes_invalid);
    assert_true(search->penalty == -1.0);
    assert_int_equal(search->redraws, 0);
    assert_false(search->score_test);
}

static void test_paper__rates(void **state)
{
    const struct run_rates *rates = &search->rates;

    (void)state;
    assert_true(rates->add_unit == 0.25);
    assert_true(rates->replicate_unit == 0.35);
    assert_true(rates->remove_unit == 0.25);
    assert_true(rates->add_connection == 0.15);
    assert_true(rates->remove_connection == 0.15);
    assert_true(rates->mutate_unit == 0.15);
    assert_true(rates->mutate_learning == 0.30);
    assert_true(rates->train_longer == 0.10);
    assert_true(rates->float_sigma == 0.15);
}

/* Section c: [(stem,0,1,false), (features,1,30,true), ..., (softmax,1,1,false), (learning,1,1)]. */
static void test_paper__outer_structure(void **state)
{
    static const struct run_module modules[] = {
        {"stem", 0, 1, 0, 1, .levels_back = 1, .allow_skip = false},
        {"features", 1, 30, 2, 4, .levels_back = 5, .allow_skip = true},
        {"last-transition", 0, 1, 0, 1, .levels_back = 1, .allow_skip = false},
        {"classification", 0, 5, 1, 1, .levels_back = 1, .allow_skip = false},
        {"softmax", 1, 1, 1, 1, .levels_back = 1, .allow_skip = false}};

    (void)state;
    assert_int_equal(search->module_count, sizeof modules / sizeof modules[0]);
    for (uint32_t i = 0; i < search->module_count; i++) {
        assert_string_equal(search->modules[i].symbol, modules[i].symbol);
        assert_int_equal(search->modules[i].units_min, modules[i].units_min);
        assert_int_equal(search->modules[i].units_max, modules[i].units_max);
        assert_int_equal(search->modules[i].initial_min, modules[i].initial_min);
        assert_int_equal(search->modules[i].initial_max, modules[i].initial_max);
        assert_int_equal(search->modules[i].levels_back, modules[i].levels_back);
        assert_int_equal(search->modules[i].allow_skip, modules[i].allow_skip);
    }
    assert_string_equal(search->learning_symbol, "learning");
}

/* Sections a and f. */
static void test_paper__evaluation(void **state)
{
    (void)state;
    assert_int_equal(protocol->train_count, 43000);
    assert_int_equal(protocol->control_count, 3500);
    assert_int_equal(protocol->fitness_count, 3500);
    assert_int_equal(protocol->part, JOB_PART_FITNESS);
    assert_int_equal(protocol->attack.kind, JOB_ATTACK_FGSM);
    assert_true(protocol->attack.epsilon == 8.0 / 255.0);
    assert_int_equal(protocol->eval_batch, 128);
    assert_true(protocol->l2 == 5e-4 && protocol->bn_momentum == 0.99);
    assert_true(protocol->augment);
    assert_true(protocol->ill_fitted_share == 0.90);
    assert_int_equal(protocol->on_timeout, JOB_SCORE_LAST);
    assert_int_equal(protocol->time_check, JOB_CHECK_EPOCH);
    assert_int_equal(protocol->max_parameters, 0);
    assert_int_equal(protocol->max_macs, 0);
    assert_int_equal(protocol->max_plan_bytes, 0);
}

/* Its parameters and connections: test_seed. */
static void test_paper__starts_from_nsga_net(void **state)
{
    static char text[TEXT_BYTES_MAX];
    FILE *file = fopen(SHIPPED "nsga-net.txt", "rb");
    struct genotype genotype;
    struct bytes encoded;
    struct nero_err err = {0};
    size_t bytes;

    (void)state;
    assert_non_null(file);
    bytes = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    bytes_init(&encoded, GENOTYPE_BYTES_MAX);
    assert_int_equal(
        genotype_parse_text("nsga-net.txt", bytes_view_of(text, bytes), &genotype, &err), NERO_OK);
    assert_int_equal(genotype_encode(&genotype, &encoded, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&encoded), search->seed_genotype));
    genotype_fini(&genotype);
    bytes_fini(&encoded);
}

/* Budgets in epochs, 17 for 10 minutes, and nothing else: the records differ in no other byte. */
static void test_paper__nsga_net_differs_in_budgets_alone(void **state)
{
    struct evolve_fixture epochs;
    struct run_record *record = &epochs.preset.record;
    struct bytes one;
    struct bytes two;
    struct nero_err err = {0};

    (void)state;
    bytes_init(&one, RUN_BYTES_MAX);
    bytes_init(&two, RUN_BYTES_MAX);
    evolve_fixture_open(&epochs, "nsga-net.yaml", 1);
    assert_int_equal(record->search.budget.kind, JOB_EPOCHS);
    assert_int_equal(record->search.budget.amount, 17);
    assert_int_equal(record->search.budget_cap, 51);
    record->search.budget = search->budget;
    record->search.budget_cap = search->budget_cap;
    record->preset = fixture.preset.record.preset; /* the file's text */
    assert_int_equal(run_record_encode(&fixture.preset.record, &one, &err), NERO_OK);
    assert_int_equal(run_record_encode(record, &two, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&one), bytes_as_view(&two)));
    evolve_fixture_close(&epochs);
    bytes_fini(&one);
    bytes_fini(&two);
}

/* ---- the grammar ---- */

static void print_symbol(const struct grammar_symbol *symbol, struct bytes *out)
{
    static const char *const types[] = {[GENOTYPE_INT] = "int",
                                        [GENOTYPE_FLOAT] = "float",
                                        [GENOTYPE_POWER2] = "int_power2",
                                        [GENOTYPE_POWER10] = "int_power10"};
    enum nero_status status;
    struct nero_err err;

    if (symbol->kind == GRAMMAR_LITERAL) {
        status = bytes_printf(out, &err, "%s:%s", symbol->name, symbol->value);
    } else if (symbol->kind == GRAMMAR_NONTERMINAL) {
        status = bytes_printf(out, &err, "<%s>", symbol->name);
    } else if (symbol->type == GENOTYPE_FLOAT) {
        status = bytes_printf(out, &err, "[%s,float,%u,%g,%g]", symbol->name,
                              (unsigned)symbol->count, symbol->real_low, symbol->real_high);
    } else {
        status = bytes_printf(out, &err, "[%s,%s,%u,%d,%d]", symbol->name, types[symbol->type],
                              (unsigned)symbol->count, (int)symbol->low, (int)symbol->high);
    }
    assert_int_equal(status, NERO_OK);
}

/* "alt | alt", as in a file. */
static void print_rule(const struct grammar_rule *rule, struct bytes *out)
{
    struct nero_err err;

    bytes_clear(out);
    for (uint32_t a = 0; a < rule->alternative_count; a++) {
        const struct grammar_alternative *alternative = &rule->alternatives[a];

        for (uint32_t s = 0; s < alternative->symbol_count; s++) {
            const char *gap = s > 0 ? " " : a > 0 ? " | " : "";

            assert_int_equal(bytes_append(out, gap, strlen(gap), &err), NERO_OK);
            print_symbol(&alternative->symbols[s], out);
        }
    }
}

/* Section b, row by row. */
static const struct {
    const char *name;
    const char *says;
} rows[] = {
    {"stem", "layer:convblock act-pos:postconv act:linear bn:none [num-filters,int,1,16,256] "
             "[filter-shape,int,1,1,5] stride:1 <padding> bias:False"},
    {"features", "<macro-node> | <macro-node> | <macro-node> | <transition-block>"}, /* 3:1 */
    {"macro-node", "layer:convblock act-pos:preconv <activation> bn:pre "
                   "[num-filters,int,1,16,256] filters-mult:4 filter-shape:3 stride:1 "
                   "padding:same bias:False"},
    {"transition-block",
     "layer:poolblock conv-act-pos:postconv <conv-activation> conv-bn:mid "
     "[num-filters,int,1,16,256] conv-filter-shape:1 conv-stride:1 conv-padding:valid "
     "conv-bias:False <pool-type> pool-kernel-size:2 pool-stride:2 pool-padding:valid "
     "pool-bn:none"},
    {"last-transition",
     "layer:poolblock conv-act-pos:postconv <conv-activation> conv-bn:mid "
     "[num-filters,int,1,16,256] conv-filter-shape:1 conv-stride:1 conv-padding:valid "
     "conv-bias:False <pool-type> [pool-kernel-size,int,1,2,8] pool-stride:1 "
     "pool-padding:valid pool-bn:none"},
    {"classification", "<fully-connected>"},
    {"fully-connected", "layer:fc <activation> [num-units,int,1,128,2048] <bias>"},
    {"softmax", "layer:fc act:softmax num-units:10 bias:True"},
    {"learning", "<optimiser> [early_stop,int,1,5,20] [batch_size,int_power2,1,5,9] "
                 "epochs:10000"},
    {"optimiser", "<gradient-descent> | <rmsprop> | <adam>"},
    {"gradient-descent",
     "learning:gradient-descent <lr-decay> [momentum,float,1,0.68,0.99] <nesterov>"},
    {"rmsprop", "learning:rmsprop <lr-decay> [rho,float,1,0.5,1]"},
    {"adam", "learning:adam <lr-decay> [beta1,float,1,0.5,1] [beta2,float,1,0.5,1]"},
    {"lr-decay", "[lr,int_power10,1,-6,-1] [decay,int_power10,1,-6,-3]"},
    {"activation", "act:relu | act:swish"},
    {"conv-activation", "conv-act:relu | conv-act:swish"},
    {"pool-type", "pool-type:avg | pool-type:max"},
    {"padding", "padding:same | padding:valid"},
    {"bias", "bias:True | bias:False"},
    {"nesterov", "nesterov:True | nesterov:False"},
};

/* How a rule is cut into rows decides what mutation picks, so the rules are counted too. */
static void test_paper__grammar_has_these_rows_and_no_others(void **state)
{
    struct bytes text;

    (void)state;
    bytes_init(&text, TEXT_BYTES_MAX);
    assert_int_equal(fixture.grammar.rule_count, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct grammar_rule *rule = grammar_find(&fixture.grammar, rows[i].name);

        assert_non_null(rule);
        print_rule(rule, &text);
        if (!bytes_view_equal(bytes_as_view(&text), bytes_view_str(rows[i].says))) {
            fail_msg("<%s> ::= %.*s", rows[i].name, (int)text.bytes, (const char *)text.data);
        }
    }
    bytes_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paper__search),
        cmocka_unit_test(test_paper__rates),
        cmocka_unit_test(test_paper__outer_structure),
        cmocka_unit_test(test_paper__evaluation),
        cmocka_unit_test(test_paper__starts_from_nsga_net),
        cmocka_unit_test(test_paper__nsga_net_differs_in_budgets_alone),
        cmocka_unit_test(test_paper__grammar_has_these_rows_and_no_others),
    };

    return cmocka_run_group_tests(tests, open_paper, close_paper);
}
