/*
 * Goal: the drawing names every unit, edge and dead end once, and is well-formed DOT whatever the
 * title holds. Method: random genotypes of the shipped preset, their text searched; no Graphviz.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "genotype_draw.h"
#include "preset_run.h"

static uint32_t count_words(const char *text, const char *words)
{
    uint32_t count = 0;

    for (const char *at = text; (at = strstr(at, words)) != NULL; at += strlen(words)) {
        count++;
    }
    return count;
}

static void draw(const struct preset_run *run, uint32_t slot, const char *title)
{
    struct genotype genotype;
    struct phenotype phenotype;
    struct bytes text;
    struct nero_err err;
    uint32_t edges = 0;
    char label[64];

    assert_int_equal(evolve_random(&run->run, 0, 0, slot, &genotype, &err), NERO_OK);
    assert_int_equal(evolve_decode(&run->run, &genotype, &phenotype, &err), NERO_OK);
    bytes_init(&text, GENOTYPE_DRAW_BYTES_MAX);
    assert_int_equal(genotype_draw_dot(&genotype, &phenotype, title, &text, &err), NERO_OK);
    assert_int_equal(bytes_terminate(&text, &err), NERO_OK);
    for (uint32_t i = 0; i < phenotype.unit_count; i++) {
        edges += phenotype.units[i].input_count;
        snprintf(label, sizeof label, "\"unit %u\\n", i);
        assert_int_equal(count_words((const char *)text.data, label), 1);
    }
    assert_int_equal(count_words((const char *)text.data, " -> u"), edges);
    assert_int_equal(count_words((const char *)text.data, "subgraph"), genotype.module_count);
    assert_int_equal(count_words((const char *)text.data, "{"), genotype.module_count + 1);
    assert_int_equal(count_words((const char *)text.data, "}"), genotype.module_count + 1);
    bytes_fini(&text);
    phenotype_fini(&phenotype);
    genotype_fini(&genotype);
}

static void test_genotype_draw__every_unit_and_edge_stands_once(void **state)
{
    static struct preset_run run;
    const struct options_list none = {.count = 0};
    struct nero_err err;

    (void)state;
    assert_int_equal(preset_run_open(NERO_SOURCE_DIR "/presets/demo.yaml", &none, &run, &err),
                     NERO_OK);
    run.preset.record.seed = 7;
    for (uint32_t slot = 0; slot < 200; slot++) {
        draw(&run, slot, "a title");
    }
    preset_run_close(&run);
}

static void test_genotype_draw__titles_are_quoted(void **state)
{
    static struct preset_run run;
    const struct options_list none = {.count = 0};
    struct genotype genotype;
    struct phenotype phenotype;
    struct bytes text;
    struct nero_err err;

    (void)state;
    assert_int_equal(preset_run_open(NERO_SOURCE_DIR "/presets/smoke.yaml", &none, &run, &err),
                     NERO_OK);
    assert_int_equal(evolve_random(&run.run, 0, 0, 0, &genotype, &err), NERO_OK);
    assert_int_equal(evolve_decode(&run.run, &genotype, &phenotype, &err), NERO_OK);
    bytes_init(&text, GENOTYPE_DRAW_BYTES_MAX);
    assert_int_equal(genotype_draw_dot(&genotype, &phenotype, "a\"b\\c\nd", &text, &err), NERO_OK);
    assert_int_equal(bytes_terminate(&text, &err), NERO_OK);
    assert_non_null(strstr((const char *)text.data, "label=\"a\\\"b\\\\c d\"];"));
    bytes_fini(&text);
    bytes_init(&text, 100);
    assert_int_equal(genotype_draw_dot(&genotype, &phenotype, "t", &text, &err), NERO_TOO_BIG);
    bytes_fini(&text);
    phenotype_fini(&phenotype);
    genotype_fini(&genotype);
    preset_run_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_genotype_draw__every_unit_and_edge_stands_once),
        cmocka_unit_test(test_genotype_draw__titles_are_quoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
