/*
 * Goal: any text is refused with a message or is a grammar whose genes can be drawn, mutated and
 * read; and if a structure fits it, every individual drawn from it decodes, and its mutants too.
 */
#include <string.h>

#include "evolve/evolve.h"
#include "evolve/gene.h"
#include "evolve/mutate_gene.h"
#include "nero/rng.h"
#include "tests/fuzz/fuzz.h"

static enum nero_status ignore_key(void *context, const struct grammar_symbol *symbol,
                                   const struct genotype_param *param, struct nero_err *err)
{
    (void)context;
    (void)symbol;
    (void)param;
    (void)err;
    return NERO_OK;
}

static void try_rule(const struct grammar *grammar, uint32_t rule)
{
    const struct gene_visitor visitor = {.key = ignore_key};
    struct rng_stream stream = rng_stream(1, RNG_TEST, 0, 0, rule);
    struct genotype_gene gene;
    struct nero_err err;

    FUZZ_CHECK(gene_draw(grammar, grammar->rules[rule].name, &stream, &gene, &err) == NERO_OK);
    for (int i = 0; i < 4; i++) {
        struct generation_event event = {0};
        bool fired;

        FUZZ_CHECK(gene_read(grammar, &gene, &visitor, &err) == NERO_OK);
        FUZZ_CHECK(mutate_gene(grammar, &gene, 0.15, &stream, &event, &fired, &err) == NERO_OK);
    }
    gene_fini(&gene);
}

/* The structures of the shipped grammars in one: modules whose symbol is missing are left out. */
static uint32_t fill_modules(const struct grammar *grammar, struct run_module *modules)
{
    static const char *const symbols[] = {"stem", "features", "last-transition", "classification",
                                          "softmax"};
    uint32_t count = 0;

    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        bool last = strcmp(symbols[i], "softmax") == 0;

        if (grammar_find(grammar, symbols[i]) != NULL) {
            modules[count] = (struct run_module){.units_min = last,
                                                 .units_max = last ? 1 : 4,
                                                 .initial_min = last,
                                                 .initial_max = last ? 1 : 3,
                                                 .levels_back = 3,
                                                 .allow_skip = i % 2 == 1};
            memcpy(modules[count].symbol, symbols[i], strlen(symbols[i]) + 1);
            count++;
        }
    }
    return count;
}

static void try_structure(const struct grammar *grammar)
{
    static struct run_record record;
    const struct evolve_run run = {.record = &record,
                                   .grammar = grammar,
                                   .channels = 3,
                                   .height = 32,
                                   .width = 32,
                                   .classes = 10};
    struct phenotype phenotype;
    struct genotype parent;
    struct genotype child;
    struct generation_event *events;
    struct nero_err err;
    uint32_t event_count;
    bool longer;

    memset(&record, 0, sizeof record);
    record.search.lambda = 1;
    record.search.rates = (struct run_rates){.5, .5, .5, .5, .5, .5, .5, 0, .15};
    record.search.module_count = fill_modules(grammar, record.search.modules);
    memcpy(record.search.learning_symbol, "learning", sizeof "learning");
    if (evolve_check(&run, &err) != NERO_OK) {
        return;
    }
    FUZZ_CHECK(evolve_random(&run, 0, 0, 0, &parent, &err) == NERO_OK);
    for (uint32_t i = 0; i < 4; i++) {
        FUZZ_CHECK(evolve_decode(&run, &parent, &phenotype, &err) == NERO_OK);
        phenotype_fini(&phenotype);
        FUZZ_CHECK(evolve_mutate(&run, &parent, 1, 0, 1, i, &child, &longer, &events, &event_count,
                                 &err) == NERO_OK);
        free(events);
        genotype_fini(&parent);
        parent = child;
    }
    genotype_fini(&parent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct grammar grammar;
    struct nero_err err;

    if (grammar_parse("fuzz", bytes_view_of(data, bytes), &grammar, &err) != NERO_OK) {
        FUZZ_CHECK(strncmp(err.message, "fuzz:", 5) == 0);
        return 0;
    }
    for (uint32_t r = 0; r < grammar.rule_count; r++) {
        try_rule(&grammar, r);
    }
    try_structure(&grammar);
    grammar_fini(&grammar);
    return 0;
}
