/*
 * Goal: no mutant ever breaks a rule, and every operator goes on giving the bytes that it gave when
 * the first run was stored (specs/evolution.md c, d). Method: chains of mutants of mutants, from
 * random individuals and from the shipped seed, each checked whole by rules written out here;
 * golden files, one an operator.
 *   test_mutants [MUTANTS | --write]   10^5 by default; --write makes the golden files anew
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

enum { TEXT_MAX = 64 * 1024, TEXT_EVERY = 7, OPERATORS = GENERATION_TRAIN_LONGER_AT_CAP };

static uint32_t mutants = 100000;

/* Candidates of unit u: its look-back inside the module, -1 the module's input. */
static void check_inputs(const struct run_module *rules, const struct genotype_module *module,
                         uint32_t u)
{
    const struct genotype_unit *unit = &module->units[u];
    int32_t lowest = (int32_t)u - (int32_t)rules->levels_back;
    bool before = false;

    assert_true(unit->input_count > 0);
    for (uint32_t i = 0; i < unit->input_count; i++) {
        assert_in_range(unit->inputs[i] + 1, lowest < -1 ? 0 : lowest + 1, u);
        assert_true(i == 0 || unit->inputs[i] > unit->inputs[i - 1]);
        before = before || unit->inputs[i] == (int32_t)u - 1;
    }
    assert_true(before || (rules->allow_skip && u > 0));
}

static bool feeds_somebody(const struct genotype_module *module, uint32_t u)
{
    for (uint32_t later = u + 1; later < module->unit_count; later++) {
        for (uint32_t i = 0; i < module->units[later].input_count; i++) {
            if (module->units[later].inputs[i] == (int32_t)u) {
                return true;
            }
        }
    }
    return false;
}

static void check_modules(const struct run_search *search, const struct genotype *genotype)
{
    assert_int_equal(genotype->module_count, search->module_count);
    for (uint32_t m = 0; m < genotype->module_count; m++) {
        const struct run_module *rules = &search->modules[m];
        const struct genotype_module *module = &genotype->modules[m];

        assert_in_range(module->unit_count, rules->units_min, rules->units_max);
        for (uint32_t u = 0; u < module->unit_count; u++) {
            check_inputs(rules, module, u);
            assert_true(!rules->allow_skip || u + 1 == module->unit_count ||
                        feeds_somebody(module, u));
        }
    }
}

/* The forms of one individual. */
struct forms {
    struct bytes encoded;
    struct bytes again; /* what was read from a form, encoded */
    struct bytes text;
};

/* Valid connections, sizes within bounds, no dead ends, decodable, and the same after storing. */
static void check_whole(const struct evolve_fixture *fixture, const struct genotype *genotype,
                        struct forms *forms)
{
    struct phenotype phenotype;
    struct genotype again;
    struct nero_err err = {0};

    check_modules(&fixture->preset.record.search, genotype);
    bytes_clear(&forms->encoded);
    bytes_clear(&forms->again);
    if (evolve_decode(&fixture->run, genotype, &phenotype, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    phenotype_fini(&phenotype);
    assert_int_equal(genotype_encode(genotype, &forms->encoded, &err), NERO_OK);
    assert_int_equal(genotype_decode(bytes_as_view(&forms->encoded), &again, &err), NERO_OK);
    assert_int_equal(genotype_encode(&again, &forms->again, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&forms->encoded), bytes_as_view(&forms->again)));
    genotype_fini(&again);
}

/* What is written as text is read as the same individual. After check_whole. */
static void check_text(const struct genotype *genotype, struct forms *forms)
{
    struct genotype again;
    struct nero_err err = {0};

    bytes_clear(&forms->text);
    bytes_clear(&forms->again);
    assert_int_equal(genotype_print_text(genotype, &forms->text, &err), NERO_OK);
    if (genotype_parse_text("printed", bytes_as_view(&forms->text), &again, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(genotype_encode(&again, &forms->again, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&forms->encoded), bytes_as_view(&forms->again)));
    genotype_fini(&again);
}

/* The first of a chain. */
static void begin(const struct evolve_fixture *fixture, uint32_t chain, struct genotype *out)
{
    struct bytes_view seed = fixture->preset.record.search.seed_genotype;
    struct nero_err err = {0};

    if (seed.bytes > 0) {
        assert_int_equal(genotype_decode(seed, out, &err), NERO_OK);
    } else {
        assert_int_equal(evolve_random(&fixture->run, 0, chain, 0, out, &err), NERO_OK);
    }
}

/* Mutants of mutants, 200 deep, each checked whole. Every operator fires: a module without
 * look-back has no connection to add or remove. */
static void walk(struct evolve_fixture *fixture, uint32_t steps)
{
    long fired[OPERATORS + 1] = {0};
    struct genotype current;
    struct forms forms;
    bool alive = false;

    fixture->preset.record.search.rates.train_longer = 0.0;
    bytes_init(&forms.encoded, GENOTYPE_BYTES_MAX);
    bytes_init(&forms.again, GENOTYPE_BYTES_MAX);
    bytes_init(&forms.text, TEXT_MAX);
    for (uint32_t t = 0; t < steps; t++) {
        struct mutant mutant;

        if (t % 200 == 0) {
            if (alive) {
                genotype_fini(&current);
            }
            begin(fixture, t / 200, &current);
            alive = true;
        }
        mutant_make(fixture, &current, 8, t, &mutant);
        check_whole(fixture, &mutant.genotype, &forms);
        if (t % TEXT_EVERY == 0) {
            check_text(&mutant.genotype, &forms);
        }
        for (uint32_t i = 0; i < mutant.event_count; i++) {
            fired[mutant.events[i].op]++;
        }
        genotype_fini(&current);
        current = mutant.genotype;
        free(mutant.events);
    }
    genotype_fini(&current);
    bytes_fini(&forms.encoded);
    bytes_fini(&forms.again);
    bytes_fini(&forms.text);
    for (int op = GENERATION_ADD_UNIT; op <= GENERATION_REMOVE_CONNECTION; op++) {
        assert_true(fired[op] > 0);
    }
    assert_true(fired[GENERATION_MUTATE_RULE] > 0 && fired[GENERATION_MUTATE_INT] > 0);
}

static void test_mutants__break_no_rule(void **state)
{
    static const char *const presets[] = {"smoke.yaml", "demo.yaml", "paper.yaml"};
    static const uint32_t eighths[] = {3, 2, 1};

    (void)state;
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        struct evolve_fixture fixture;

        evolve_fixture_open(&fixture, presets[i], 77);
        fixture.preset.record.search.seed_genotype = bytes_view_of(NULL, 0);
        walk(&fixture, mutants / 8 * eighths[i]);
        evolve_fixture_close(&fixture);
    }
}

/* Connectivity as it was before: the unit before is always read, and two more may be. */
static void test_mutants__break_no_rule_in_legacy_mode(void **state)
{
    struct evolve_fixture fixture;

    (void)state;
    evolve_fixture_open(&fixture, "smoke.yaml", 78);
    fixture.preset.record.search.modules[0].allow_skip = false;
    fixture.preset.record.search.modules[0].levels_back = 3;
    fixture.preset.record.search.modules[0].units_max = 8;
    walk(&fixture, mutants / 8);
    evolve_fixture_close(&fixture);
}

/* From 20 units of the NSGA-Net on, in the paper's setting. */
static void test_mutants__of_the_shipped_seed_break_no_rule(void **state)
{
    struct evolve_fixture fixture;

    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 79);
    assert_true(fixture.preset.record.search.seed_genotype.bytes > 0);
    walk(&fixture, mutants / 8);
    evolve_fixture_close(&fixture);
}

/*
 * Stored runs depend on every draw: the genotypes of a long walk have the hash that they had when
 * the first run was stored, on every machine and with every compiler. A change here breaks replay,
 * unless it is a change of presets/nero-net.bnf and paper.yaml, on which the walk is made.
 */
static void test_mutants__a_walk_has_its_golden_hash(void **state)
{
    static const char golden[] = "d3ee38438388c7bc589101792661b629bd42f0b3fb2b59b719af8dae94653a54";
    struct evolve_fixture fixture;
    struct genotype current;
    struct hash_state sum;
    struct hash hash;
    struct nero_err err = {0};
    char hex[HASH_HEX_BYTES];

    (void)state;
    evolve_fixture_open(&fixture, "paper.yaml", 2024);
    hash_begin(&sum);
    assert_int_equal(evolve_random(&fixture.run, 3, 0, 0, &current, &err), NERO_OK);
    for (uint32_t t = 0; t < 500; t++) {
        struct mutant mutant;
        struct bytes bytes;

        mutant_make(&fixture, &current, 600, t, &mutant);
        bytes_init(&bytes, GENOTYPE_BYTES_MAX);
        assert_int_equal(genotype_encode(&mutant.genotype, &bytes, &err), NERO_OK);
        hash_update(&sum, bytes.data, bytes.bytes);
        bytes_fini(&bytes);
        genotype_fini(&current);
        current = mutant.genotype;
        free(mutant.events);
    }
    hash = hash_end(&sum);
    hash_to_hex(hex, &hash);
    assert_string_equal(hex, golden);
    genotype_fini(&current);
    evolve_fixture_close(&fixture);
}

/* ---- golden files ---- */

/* The rates of the paper, whatever the preset says, and a parent of 4 units. */
static void open_golden(struct evolve_fixture *fixture, struct genotype *parent)
{
    struct run_search *search = &fixture->preset.record.search;
    struct nero_err err = {0};

    evolve_fixture_open(fixture, "demo.yaml", 22);
    search->rates = (struct run_rates){.add_unit = 0.25,
                                       .replicate_unit = 0.35,
                                       .remove_unit = 0.25,
                                       .add_connection = 0.15,
                                       .remove_connection = 0.15,
                                       .mutate_unit = 0.15,
                                       .mutate_learning = 0.30,
                                       .train_longer = 0.10,
                                       .float_sigma = 0.15};
    search->modules[1].initial_min = 4;
    search->modules[1].initial_max = 4;
    if (evolve_random(&fixture->run, 0, 0, 0, parent, &err) != NERO_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        abort();
    }
}

/* Did it fire alone? A repair never does: something has to make the dead end first. */
static bool is_sample(const struct mutant *mutant, enum generation_operator op)
{
    if (op == GENERATION_REPAIR) {
        return mutant->event_count == 2 && mutant->events[1].op == op;
    }
    return mutant->event_count == 1 && mutant->events[0].op == op;
}

/* The first child of the parent in which the operator fired: its events and its genotype. */
static void make_sample(const struct evolve_fixture *fixture, const struct genotype *parent,
                        enum generation_operator op, struct bytes *out)
{
    const struct run_search *search = &fixture->preset.record.search;
    bool at_cap = op == GENERATION_TRAIN_LONGER_AT_CAP;
    uint64_t budget = at_cap ? search->budget_cap : search->budget.amount;
    struct nero_err err = {0};

    for (uint32_t trial = 0; trial < 100000; trial++) {
        struct mutant mutant;
        bool found;

        mutant_make(fixture, parent, budget, trial, &mutant);
        found = is_sample(&mutant, op);
        for (uint32_t i = 0; found && i < mutant.event_count; i++) {
            const struct generation_event *event = &mutant.events[i];

            (void)bytes_printf(out, &err, "# trial %u: %s, module %s, unit %d, %s: %s -> %s\n",
                               (unsigned)trial, generation_operator_name(event->op), event->module,
                               (int)event->unit, event->what, event->before, event->after);
        }
        if (found && genotype_print_text(&mutant.genotype, out, &err) != NERO_OK) {
            abort();
        }
        mutant_fini(&mutant);
        if (found) {
            return;
        }
    }
}

static void golden_path(enum generation_operator op, char out[512])
{
    (void)snprintf(out, 512, "%s/tests/golden/operators/%s.txt", NERO_SOURCE_DIR,
                   generation_operator_name(op));
}

static void test_mutants__every_operator_gives_its_golden_child(void **state)
{
    static char golden[TEXT_MAX];
    struct evolve_fixture fixture;
    struct genotype parent;

    (void)state;
    open_golden(&fixture, &parent);
    for (int op = 1; op <= OPERATORS; op++) {
        struct bytes made;
        char path[512];
        FILE *file;
        size_t bytes;

        bytes_init(&made, TEXT_MAX);
        make_sample(&fixture, &parent, (enum generation_operator)op, &made);
        assert_true(made.bytes > 0);
        golden_path((enum generation_operator)op, path);
        file = fopen(path, "rb");
        if (file == NULL) {
            fail_msg("%s is missing; write it with: test_mutants --write", path);
        }
        bytes = fread(golden, 1, sizeof golden, file);
        (void)fclose(file);
        if (!bytes_view_equal(bytes_as_view(&made), bytes_view_of(golden, bytes))) {
            fail_msg("%s differs from what is made now:\n%.*s", path, (int)made.bytes,
                     (const char *)made.data);
        }
        bytes_fini(&made);
    }
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
}

static int write_golden_files(void)
{
    struct evolve_fixture fixture;
    struct genotype parent;

    open_golden(&fixture, &parent);
    for (int op = 1; op <= OPERATORS; op++) {
        struct bytes made;
        char path[512];
        FILE *file;

        bytes_init(&made, TEXT_MAX);
        make_sample(&fixture, &parent, (enum generation_operator)op, &made);
        golden_path((enum generation_operator)op, path);
        file = fopen(path, "wb");
        if (file == NULL || fwrite(made.data, 1, made.bytes, file) != made.bytes ||
            fclose(file) != 0) {
            perror(path);
            return 1;
        }
        bytes_fini(&made);
    }
    genotype_fini(&parent);
    evolve_fixture_close(&fixture);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutants__break_no_rule),
        cmocka_unit_test(test_mutants__break_no_rule_in_legacy_mode),
        cmocka_unit_test(test_mutants__of_the_shipped_seed_break_no_rule),
        cmocka_unit_test(test_mutants__a_walk_has_its_golden_hash),
        cmocka_unit_test(test_mutants__every_operator_gives_its_golden_child),
    };

    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        return write_golden_files();
    }
    if (argc == 2) {
        mutants = (uint32_t)strtoul(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
