/*
 * Goal: a grammar is read exactly or refused with file, line and reason. Method: the shipped
 * grammars; a table of broken texts with what each must be told; mutations and truncations of a
 * good text; allocation failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evolve/grammar.h"
#include "nero/mem.h"
#include "nero/rng.h"
#include "tests/support/evolve_run.h"

static const char good[] =
    "# a comment\n"
    "<s> ::= k:a [x,int,1,-3,9] <t> | k:a <t> | k:b\r\n"
    "\n"
    "<t>  ::=  [f,float,2,0.5,1] [p,int_power2,1,5,9] [q,int_power10,1,-6,-1]";

static void test_grammar__reads_rules_symbols_and_blocks(void **state)
{
    struct nero_err err = {0};
    struct grammar grammar;
    const struct grammar_rule *rule;

    (void)state;
    if (grammar_parse("g.bnf", bytes_view_str(good), &grammar, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(grammar.rule_count, 2);
    rule = grammar_find(&grammar, "s");
    assert_non_null(rule);
    assert_int_equal(rule->alternative_count, 3);
    assert_int_equal(rule->alternatives[0].symbol_count, 3);
    assert_string_equal(rule->alternatives[0].symbols[0].name, "k");
    assert_string_equal(rule->alternatives[0].symbols[0].value, "a");
    assert_int_equal(rule->alternatives[0].symbols[1].kind, GRAMMAR_BLOCK);
    assert_int_equal(rule->alternatives[0].symbols[1].low, -3);
    assert_int_equal(rule->alternatives[0].symbols[1].high, 9);
    assert_int_equal(rule->alternatives[1].symbols[1].rule, 1);
    rule = grammar_find(&grammar, "t");
    assert_non_null(rule);
    assert_int_equal(rule->alternatives[0].symbols[0].count, 2);
    assert_true(rule->alternatives[0].symbols[0].real_low == 0.5);
    assert_int_equal(rule->alternatives[0].symbols[1].type, GENOTYPE_POWER2);
    assert_int_equal(rule->alternatives[0].symbols[2].low, -6);
    assert_null(grammar_find(&grammar, "u"));
    grammar_fini(&grammar);
}

static void test_grammar__reads_what_is_shipped(void **state)
{
    static const char *const presets[] = {"paper.yaml", "demo.yaml", "smoke.yaml"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct evolve_fixture fixture;

        evolve_fixture_open(&fixture, presets[i], 1);
        assert_non_null(grammar_find(&fixture.grammar, "softmax"));
        evolve_fixture_close(&fixture);
    }
}

static void test_grammar__refuses_with_line_and_reason(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } table[] = {
        {"", "there is no rule"},
        {"# only a comment\n", "there is no rule"},
        {"<s> ::= <t>\n", "g.bnf:1: <s> uses <t>, which has no rule"},
        {"<s> ::= k:a\n<s> ::= k:b\n", "g.bnf:2: <s> is defined in line 1 already"},
        {"<s> ::= <s>\n", "g.bnf:1: <s> contains itself"},
        {"<s> ::= k:a | k:b <t>\n<t> ::= <u>\n<u> ::= k:c | <t>\n", "<t> contains itself"},
        {"<s> ::=\n", "g.bnf:1: an alternative is empty"},
        {"<s> ::= k:a |\n", "an alternative is empty"},
        {"<s> ::= | k:a\n", "an alternative is empty"},
        {"<s> ::= k:a | | k:b\n", "an alternative is empty"},
        {"\n\ns ::= k:a\n", "g.bnf:3: a rule begins with its <name>"},
        {"<s> k:a\n", "\"::=\" is missing"},
        {"<s>\n", "\"::=\" is missing"},
        {"<> ::= k:a\n", "a name has 1 to 47"},
        {"<a b> ::= k:a\n", "a rule begins with its <name>"},
        {"<s> ::= <t\n", "a non-terminal is <name>"},
        {"<s> ::= word\n", "\"word\" is no <non-terminal>"},
        {"<s> ::= k:\n", "a name has 1 to 47"},
        {"<s> ::= :v\n", "a name has 1 to 47"},
        {"<s> ::= k:a:b\n", "character 0x3a"},
        {"<s> ::= k:\x01\n", "character 0x01"},
        {"<s> ::= [x,int,1,0]\n", "a block is [name,type,count,min,max]"},
        {"<s> ::= [x,int,1,0,9\n", "a block is [name,type,count,min,max]"},
        {"<s> ::= [x,int,1,0,9,9]\n", "bounds are whole numbers"},
        {"<s> ::= [x,real,1,0,9]\n", "the type of a block is"},
        {"<s> ::= [x,int,0,0,9]\n", "the count is 1 to 8"},
        {"<s> ::= [x,int,9,0,9]\n", "the count is 1 to 8"},
        {"<s> ::= [x,int,1,9,0]\n", "the lower bound is above"},
        {"<s> ::= [x,int,1,0.5,9]\n", "bounds are whole numbers"},
        {"<s> ::= [x,int,1,0,99999999999999999999]\n", "bounds are whole numbers"},
        {"<s> ::= [x,float,1,0,nan]\n", "bounds are decimal numbers"},
        {"<s> ::= [x,float,1,0,1e999]\n", "bounds are decimal numbers"},
        {"<s> ::= [x,float,1,0,0x1]\n", "bounds are decimal numbers"},
        {"<s> ::= [x,int_power2,1,-1,3]\n", "exponents of 2 are 0 to 40"},
        {"<s> ::= [x,int_power10,1,-31,3]\n", "exponents of 10 are -30 to 18"},
        {"<s> ::= [x,int,1,0,9] [x,int,1,0,9]\n", "block x stands twice"},
        {"<s> ::= <a> <a>\n<a> ::= <b> <b> <b> <b> <b> <b>\n<b> ::= <c> <c> <c> <c> <c> <c>\n"
         "<c> ::= k:a\n",
         "can hold more than 64 codons of <c>"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct nero_err err = {0};
        struct grammar grammar;

        assert_int_equal(grammar_parse("g.bnf", bytes_view_str(table[i].text), &grammar, &err),
                         NERO_INVALID);
        if (strncmp(err.message, "g.bnf:", 6) != 0 || strstr(err.message, table[i].says) == NULL) {
            fail_msg("\"%s\" for %s", err.message, table[i].text);
        }
    }
}

/* Sizes: a huge file, too many rules, alternatives, symbols; a rule that doubles at each level. */
static void test_grammar__refuses_what_is_too_big(void **state)
{
    struct nero_err err = {0};
    struct grammar grammar;
    struct bytes text;
    static char huge[GRAMMAR_BYTES_MAX + 1];

    (void)state;
    memset(huge, '\n', sizeof huge);
    assert_int_equal(grammar_parse("g", bytes_view_of(huge, sizeof huge), &grammar, &err),
                     NERO_TOO_BIG);
    assert_int_equal(grammar_parse("g", bytes_view_of(huge, sizeof huge - 1), &grammar, &err),
                     NERO_INVALID);
    bytes_init(&text, GRAMMAR_BYTES_MAX);
    for (int i = 0; i <= GRAMMAR_RULES_MAX; i++) {
        assert_int_equal(bytes_printf(&text, &err, "<r%d> ::= k:a\n", i), NERO_OK);
    }
    assert_int_equal(grammar_parse("g", bytes_as_view(&text), &grammar, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "more than 128 rules"));
    bytes_clear(&text);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(
            bytes_printf(&text, &err, "<r%d> ::= <r%d> | <r%d> <r%d>\n", i, i + 1, i + 1, i + 1),
            NERO_OK);
    }
    assert_int_equal(bytes_printf(&text, &err, "<r60> ::= k:a\n"), NERO_OK);
    assert_int_equal(grammar_parse("g", bytes_as_view(&text), &grammar, &err), NERO_INVALID);
    bytes_clear(&text);
    assert_int_equal(bytes_printf(&text, &err, "<s> ::= k:a"), NERO_OK);
    for (int i = 0; i < GRAMMAR_ALTERNATIVES_MAX; i++) {
        assert_int_equal(bytes_printf(&text, &err, " | k:a"), NERO_OK);
    }
    assert_int_equal(grammar_parse("g", bytes_as_view(&text), &grammar, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "more than 64 alternatives"));
    bytes_fini(&text);
}

static void test_grammar__survives_any_text(void **state)
{
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, 0);
    static const char letters[] = "<>[]|:=,. \n\r#abst0195-\0";
    long accepted = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[sizeof good];
        struct nero_err err = {0};
        struct grammar grammar;
        size_t bytes = rng_below(&stream, sizeof good);

        memcpy(text, good, sizeof good);
        for (uint64_t n = rng_below(&stream, 4); n > 0 && bytes > 0; n--) {
            text[rng_below(&stream, bytes)] = letters[rng_below(&stream, sizeof letters)];
        }
        if (grammar_parse("g", bytes_view_of(text, bytes), &grammar, &err) == NERO_OK) {
            accepted++;
            grammar_fini(&grammar);
        }
    }
    assert_true(accepted > 0 && accepted < 20000);
}

static void test_grammar__gives_memory_back(void **state)
{
    (void)state;
    for (long skip = 0;; skip++) {
        struct nero_err err = {0};
        struct grammar grammar;
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = grammar_parse("g", bytes_view_str(good), &grammar, &err);
        if (mem_fail_plan(0, 0) == 0) {
            assert_int_equal(status, NERO_OK);
            grammar_fini(&grammar);
            return;
        }
        assert_int_equal(status, NERO_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar__reads_rules_symbols_and_blocks),
        cmocka_unit_test(test_grammar__reads_what_is_shipped),
        cmocka_unit_test(test_grammar__refuses_with_line_and_reason),
        cmocka_unit_test(test_grammar__refuses_what_is_too_big),
        cmocka_unit_test(test_grammar__survives_any_text),
        cmocka_unit_test(test_grammar__gives_memory_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
