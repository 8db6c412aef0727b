/*
 * Goal: one genotype, one byte string, one text; what breaks the rules is refused with its line.
 * Method: a text written by hand and one change at a time to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/genotype.h"
#include "nero/mem.h"
#include "tests/support/codec_samples.h"

static void parse(const char *text, struct genotype *out)
{
    struct nero_err err;

    if (genotype_parse_text("test", bytes_view_str(text), out, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
}

static void test_genotype__text_is_read_as_meant(void **state)
{
    struct genotype g;

    (void)state;
    parse(codec_sample_genotype_text, &g);
    assert_int_equal(g.gene_count, 4);
    assert_int_equal(g.module_count, 3);
    assert_int_equal(g.modules[0].unit_count, 0);
    assert_int_equal(g.modules[1].unit_count, 3);
    assert_int_equal(g.modules[1].units[2].gene, 0); /* shared with unit 0 */
    assert_int_equal(g.modules[1].units[2].input_count, 2);
    assert_int_equal(g.modules[1].units[2].inputs[1], 1);
    assert_int_equal(g.learning_gene, 3);
    assert_string_equal(g.genes[0].rules[0].symbol, "activation"); /* ascending */
    assert_int_equal(g.genes[0].rules[0].codon_count, 2);
    assert_int_equal(g.genes[0].rules[0].codons[0].alternative, 1); /* as written */
    assert_int_equal(g.genes[1].rules[1].codons[0].params[1].value_count, 3);
    assert_int_equal(g.genes[1].rules[1].codons[0].params[1].values[2].integer, -3);
    assert_int_equal(g.genes[3].rules[0].codons[0].params[0].kind, GENOTYPE_FLOAT);
    assert_true(g.genes[3].rules[0].codons[0].params[0].values[0].real == 0.9);
    assert_int_equal(g.genes[3].rules[1].codons[0].params[1].kind, GENOTYPE_POWER2);
    assert_int_equal(g.genes[3].rules[1].codons[0].params[1].values[0].integer, 7);
    assert_int_equal(g.genes[3].rules[2].codons[0].params[0].kind, GENOTYPE_POWER10);
    assert_int_equal(g.genes[3].rules[2].codons[0].params[0].values[0].integer, -2);
    genotype_fini(&g);
}

static void test_genotype__printed_text_is_golden(void **state)
{
    static const char expected[] = "nero-genotype 1\n"
                                   "\nmodule stem\n"
                                   "\nmodule features\n"
                                   "  unit g0 from -1\n"
                                   "  unit g1 from -1 0\n"
                                   "  unit g0 from 0 1\n"
                                   "\nmodule softmax\n"
                                   "  unit g2 from -1\n"
                                   "\nlearning g3\n"
                                   "\ngene g0 features\n"
                                   "  activation: 1\n"
                                   "  activation: 0\n"
                                   "  features: 0\n"
                                   "  macro-node: 0 num-filters=128\n"
                                   "\ngene g1 features\n"
                                   "  features: 3\n"
                                   "  transition-block: 0 num-filters=16 shape=1,2,-3\n"
                                   "\ngene g2 softmax\n"
                                   "  softmax: 0\n"
                                   "\ngene g3 learning\n"
                                   "  gradient-descent: 0 momentum=0.9\n"
                                   "  learning: 0 early_stop=8 batch_size=2^7\n"
                                   "  lr-decay: 0 lr=10^-2 decay=10^-4,10^-5\n"
                                   "  optimiser: 0\n";
    struct genotype g;
    struct bytes text;
    struct nero_err err;

    (void)state;
    parse(codec_sample_genotype_text, &g);
    bytes_init(&text, 1 << 20);
    assert_int_equal(genotype_print_text(&g, &text, &err), NERO_OK);
    assert_int_equal(bytes_terminate(&text, &err), NERO_OK);
    assert_string_equal((const char *)text.data, expected);
    bytes_fini(&text);
    genotype_fini(&g);
}

static void test_genotype__reals_come_back_bit_by_bit(void **state)
{
    static const double reals[] = {0.1,  1.0 / 3.0,           -0.0, 1e300, 5e-324, 123.0, 1e22,
                                   -2.5, 0x1.fffffffffffffp-1};
    struct genotype g;

    (void)state;
    parse("nero-genotype 1\nmodule m\n unit a from -1\nlearning a\ngene a m\n m: 0 x=0.5\n", &g);
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        struct genotype_value *value = &g.genes[0].rules[0].codons[0].params[0].values[0];
        struct genotype back;
        struct bytes text;
        struct nero_err err;

        value->real = reals[i];
        bytes_init(&text, 1 << 20);
        assert_int_equal(genotype_print_text(&g, &text, &err), NERO_OK);
        assert_int_equal(genotype_parse_text("t", bytes_as_view(&text), &back, &err), NERO_OK);
        assert_memory_equal(&back.genes[0].rules[0].codons[0].params[0].values[0].real, &reals[i],
                            sizeof reals[i]);
        genotype_fini(&back);
        bytes_fini(&text);
    }
    genotype_fini(&g);
}

#define HEAD "nero-genotype 1\n"
#define TAIL "module m\nunit a from -1\nlearning a\ngene a m\nm: 0\n"

static void test_genotype__bad_texts_are_refused_with_their_line(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"", "t:0: expected 'nero-genotype 1' first"},
        {"module m\n", "t:1: expected 'nero-genotype 1' first"},
        {"nero-genotype 2\n", "t:1: version '2'"},
        {"nero-genotype 1 x\n", "t:1: 'x' is one word too many"},
        {HEAD "unit a from -1\ngene a m\n", "t:2: a unit stands outside a module"},
        {HEAD "m: 0\n", "t:2: a rule stands outside a gene"},
        {HEAD "gene a m\nm: x\n", "t:3: m: expected the number of an alternative"},
        {HEAD "gene a m\nm: -1\n", "t:3: m: expected the number of an alternative"},
        {HEAD "gene a m\nm:\n", "t:3: m: expected the number of an alternative"},
        {HEAD "gene a m\nm: 0 x\n", "t:3: 'x': expected name=value"},
        {HEAD "gene a m\nm: 0 x=\n", "t:3: x: ''"},
        {HEAD "gene a m\nm: 0 x=1,\n", "t:3: x: ''"},
        {HEAD "gene a m\nm: 0 x=1,2.0\n", "t:3: x: values of different kinds"},
        {HEAD "gene a m\nm: 0 x=nan\n", "t:3: x: 'nan'"},
        {HEAD "gene a m\nm: 0 x=1e999\n", "t:3: x: '1e999'"},
        {HEAD "gene a m\nm: 0 x=0x1p3\n", "t:3: x: '0x1p3'"},
        {HEAD "gene a m\nm: 0 x=2^1024\n", "t:3: x: '2^1024'"},
        {HEAD "gene a m\nm: 0 x=1,1,1,1,1,1,1,1,1\n", "t:3: x: more than 8 values"},
        {HEAD "gene a m\ngene a m\n", "t:3: gene 'a' twice"},
        {HEAD "gene a\n", "t:2: the start symbol of a gene is missing"},
        {HEAD "gene a m n\n", "t:2: 'n' is one word too many"},
        {HEAD "gene a! m\n", "t:2: the label of a gene 'a!'"},
        {HEAD "hello\n", "t:2: 'hello': expected module"},
        {HEAD TAIL "module m\n", "t:7: module 'm' twice"},
        {HEAD TAIL "learning a\n", "t:7: 'learning' twice"},
        {HEAD TAIL "gene b m\nm: 0\n", "t:7: gene 'b' is never used"},
        {HEAD "module m\nunit b from -1\nlearning a\ngene a m\nm: 0\n",
         "t:3: there is no gene 'b'"},
        {HEAD "module n\nunit a from -1\nlearning a\ngene a m\nm: 0\n",
         "t:3: gene 'a' starts at 'm', the module at 'n'"},
        {HEAD "module m\nunit a\nlearning a\ngene a m\nm: 0\n", "t:3: expected 'from'"},
        {HEAD "module m\nunit a from\nlearning a\ngene a m\nm: 0\n", "t:3: a unit has an input"},
        {HEAD "module m\nunit a from 0\nlearning a\ngene a m\nm: 0\n", "t:3: input '0' of unit 0"},
        {HEAD "module m\nunit a from -1\nunit a from 0 0\nlearning a\ngene a m\nm: 0\n",
         "t:4: input '0' of unit 1"},
        {HEAD "module m\nunit a from -1\ngene a m\nm: 0\n", "t:5: 'learning LABEL' is missing"},
        {HEAD "learning a\ngene a m\nm: 0\n", "t: genotype: modules: 0 items"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct genotype g;
        struct nero_err err;
        enum nero_status status = genotype_parse_text("t", bytes_view_str(cases[i].text), &g, &err);

        if (status != NERO_INVALID && status != NERO_VERSION) {
            fail_msg("case %zu is taken", i);
        }
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("case %zu: '%s' where '%s' is expected", i, err.message, cases[i].message);
        }
    }
}

static void test_genotype__the_pool_rule_is_restored_and_demanded(void **state)
{
    struct genotype g;
    struct genotype_gene first;
    struct nero_err err;
    struct bytes before;
    struct bytes after;

    (void)state;
    parse(codec_sample_genotype_text, &g);
    bytes_init(&before, GENOTYPE_BYTES_MAX);
    bytes_init(&after, GENOTYPE_BYTES_MAX);
    assert_int_equal(genotype_encode(&g, &before, &err), NERO_OK);
    /* Swap genes 0 and 3 and all references to them. */
    first = g.genes[0];
    g.genes[0] = g.genes[3];
    g.genes[3] = first;
    g.modules[1].units[0].gene = 3;
    g.modules[1].units[2].gene = 3;
    g.learning_gene = 0;
    assert_int_equal(genotype_check(&g, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "order of first use"));
    assert_int_equal(genotype_normalise(&g, &err), NERO_OK);
    assert_int_equal(genotype_encode(&g, &after, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&before), bytes_as_view(&after)));
    /* A gene that nobody uses goes. */
    g.modules[1].units[1].gene = 0;
    assert_int_equal(genotype_check(&g, &err), NERO_INVALID);
    assert_int_equal(genotype_normalise(&g, &err), NERO_OK);
    assert_int_equal(g.gene_count, 3);
    assert_int_equal(genotype_check(&g, &err), NERO_OK);
    g.learning_gene = 3;
    assert_int_equal(genotype_normalise(&g, &err), NERO_INVALID);
    assert_int_equal(g.gene_count, 3);
    bytes_fini(&before);
    bytes_fini(&after);
    genotype_fini(&g);
}

static void test_genotype__every_failing_allocation_is_reported(void **state)
{
    int fired = 1;

    (void)state;
    for (long skip = 0; fired > 0; skip++) {
        struct genotype g;
        struct genotype copy;
        struct nero_err err;
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = genotype_parse_text("t", bytes_view_str(codec_sample_genotype_text), &g, &err);
        if (status == NERO_OK) {
            status = genotype_copy(&g, &copy, &err);
            genotype_fini(&g);
        }
        if (status == NERO_OK) {
            genotype_fini(&copy);
        }
        fired = mem_fail_plan(0, 0);
        assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_genotype__text_is_read_as_meant),
        cmocka_unit_test(test_genotype__printed_text_is_golden),
        cmocka_unit_test(test_genotype__reals_come_back_bit_by_bit),
        cmocka_unit_test(test_genotype__bad_texts_are_refused_with_their_line),
        cmocka_unit_test(test_genotype__the_pool_rule_is_restored_and_demanded),
        cmocka_unit_test(test_genotype__every_failing_allocation_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
