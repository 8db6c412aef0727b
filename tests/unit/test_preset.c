/*
 * Goal: a preset becomes the run record that it says, or is refused with file, key and reason.
 * Method: the shipped presets; presets written to a temporary folder, each wrong in one thing;
 * overrides; allocation failures.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/mem.h"
#include "preset.h"
#include "preset_cut.h"
#include "tests/support/temp_folder.h"

#define SHIPPED NERO_SOURCE_DIR "/presets/"

static char folder[TEMP_FOLDER_BYTES];

static const char *in_folder(const char *file)
{
    static char path[TEMP_FOLDER_BYTES + 32];

    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static void write_text(const char *file, const char *text)
{
    FILE *out = fopen(in_folder(file), "wb");

    assert_non_null(out);
    assert_int_equal(fputs(text, out) >= 0, 1);
    assert_int_equal(fclose(out), 0);
}

static void load(const char *path, struct preset *out)
{
    struct nero_err err = {0};

    if (preset_load(path, NULL, 0, out, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
}

static void test_preset__all_shipped_ones_load(void **state)
{
    static const char *const shipped[] = {"cpu-small.yaml", "demo.yaml",  "nsga-net.yaml",
                                          "paper.yaml",     "smoke.yaml", "smoke-pgd.yaml"};
    struct dirent *entry;
    DIR *presets = opendir(SHIPPED);
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < sizeof shipped / sizeof shipped[0]; i++) {
        struct preset preset;
        char path[1024];

        (void)snprintf(path, sizeof path, SHIPPED "%s", shipped[i]);
        load(path, &preset);
        assert_int_equal(preset.record.strategy, RUN_EVOLVE);
        preset_fini(&preset);
    }
    assert_non_null(presets); /* and none besides, that no test knows */
    while ((entry = readdir(presets)) != NULL) {
        count += strstr(entry->d_name, ".yaml") != NULL;
    }
    (void)closedir(presets);
    assert_int_equal(count, sizeof shipped / sizeof shipped[0]);
}

static void test_preset__demo_values(void **state)
{
    struct preset preset;

    (void)state;
    load(SHIPPED "demo.yaml", &preset);
    assert_string_equal(preset.dataset, "cifar10-small");
    assert_int_equal(preset.record.search.budget.kind, JOB_EPOCHS);
    assert_int_equal(preset.record.search.budget.amount, 12);
    assert_int_equal(preset.record.search.budget_cap, 24);
    assert_int_equal(preset.record.protocol.max_macs, 2500000);
    assert_true(preset.record.protocol.attack.epsilon == 2.0 / 255.0);
    assert_int_equal(preset.runners, 2);
    preset_fini(&preset);
    load(SHIPPED "smoke.yaml", &preset);
    assert_int_equal(preset.record.search.budget.kind, JOB_STEPS);
    assert_true(preset.record.search.warmup_threshold == 0.0);
    preset_fini(&preset);
}

static void test_preset__overrides(void **state)
{
    static const char *const overrides[] = {
        "search.generations=7",         "seed=42",
        "search.rates.add_unit=0.5",    "search.strategy=random",
        "protocol.attack.epsilon=0.25", "search.budget=steps:4",
        "search.budget_cap=steps:9",    "protocol.l2=0.25"};
    struct preset preset;
    struct nero_err err = {0};

    (void)state;
    if (preset_load(SHIPPED "demo.yaml", overrides, 8, &preset, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(preset.record.search.generations, 7);
    assert_int_equal(preset.record.search.lambda, 4);
    assert_int_equal(preset.record.search.module_count, 4);
    assert_true(preset.has_seed && preset.record.seed == 42);
    assert_true(preset.record.search.rates.add_unit == 0.5);
    assert_true(preset.record.search.rates.remove_unit == 0.25);
    assert_int_equal(preset.record.strategy, RUN_RANDOM);
    assert_true(preset.record.protocol.attack.epsilon == 0.25);
    assert_int_equal(preset.record.search.budget.kind, JOB_STEPS);
    assert_int_equal(preset.record.search.budget_cap, 9);
    assert_true(preset.record.protocol.l2 == 0.25); /* a key may hold digits */
    assert_non_null(memmem(preset.record.preset.data, preset.record.preset.bytes,
                           "\n# override: search.generations=7\n", 34));
    preset_fini(&preset);
}

/* 43000, 3500, 3500 to 512 images; 600 and 1800 seconds to 5 and 15 steps. */
static void test_preset__is_cut_in_proportion(void **state)
{
    struct options_list sets = {.values = {"search.generations=1"}, .count = 1};
    struct preset_cut cut = {.images = 512, .budget = "steps:5", .lineages = 5};
    struct preset preset;
    struct nero_err err = {0};

    (void)state;
    assert_int_equal(preset_cut_apply(SHIPPED "paper.yaml", &cut, &sets, &err), NERO_OK);
    assert_int_equal(preset_load(SHIPPED "paper.yaml", sets.values, sets.count, &preset, &err),
                     NERO_OK);
    assert_int_equal(preset.record.protocol.train_count, 440);
    assert_int_equal(preset.record.protocol.control_count, 36);
    assert_int_equal(preset.record.protocol.fitness_count, 36);
    assert_int_equal(preset.record.search.budget.kind, JOB_STEPS);
    assert_int_equal(preset.record.search.budget.amount, 5);
    assert_int_equal(preset.record.search.budget_cap, 15);
    assert_int_equal(preset.record.search.lineages, 5);
    assert_int_equal(preset.record.search.generations, 1);
    preset_fini(&preset);
    sets.count = 0;
    cut = (struct preset_cut){.strategy = "random"};
    assert_int_equal(preset_cut_apply(SHIPPED "paper.yaml", &cut, &sets, &err), NERO_OK);
    assert_int_equal(sets.count, 1);
    assert_string_equal(sets.values[0], "search.strategy=random");
    sets.count = 0;
    cut = (struct preset_cut){.images = 50001};
    assert_int_equal(preset_cut_apply(SHIPPED "paper.yaml", &cut, &sets, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "50000"));
    cut = (struct preset_cut){.budget = "hours:1"};
    assert_int_equal(preset_cut_apply(SHIPPED "paper.yaml", &cut, &sets, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "--budget"));
}

static void test_preset__refuses_bad_overrides(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } table[] = {
        {"search.generations", "is not key=value"},
        {"=3", "is not key=value"},
        {"search.generations=", "is not key=value"},
        {"search..lambda=3", "a key is names with dots"},
        {"search.modules[0].units_max=3", "entries of lists cannot be set"},
        {"search.generations=3\nseed: 4", "control character"},
        {"search.genrations=3", "genrations"},
        {"search.generations=many", "search.generations"},
        {"search.generations=0", "generations"},
        {"search.generations=-1", "generations"},
        {"search.rates.add_unit=1.5", "add_unit"},
        {"search.warmup_threshold=2", "warmup_threshold"},
        {"search.budget=epochs:0", "search.budget"},
        {"search.budget=weeks:1", "search.budget"},
        {"search.budget=steps:1", "search.budget_cap"},
        {"search.budget_cap=epochs:4", "search.budget_cap"},
        {"search.budget_cap=epochs:1601", "allowed: 1600 epochs"},
        {"search.clip=1", "search.clip"},
        {"search.clip=0.1", "search.clip"},
        {"search.seed_learning=drawn", "search.seed_learning"},
        {"protocol.attack.epsilon=8/0", "protocol.attack.epsilon"},
        {"protocol.attack.epsilon=8/", "protocol.attack.epsilon"},
        {"protocol.attack.epsilon=inf", "protocol.attack.epsilon"},
        {"protocol.attack.epsilon=2", "epsilon"},
        {"protocol.attack.kind=none", "protocol.attack.kind"},
        {"protocol.attack.kind=cw", "attack.kind"},
        {"protocol.train_count=0", "train_count"},
        {"grammar=none.bnf", "none.bnf"},
        {"search.learning_symbol=softmax", "softmax"},
        {"run.lease_ms=1", "run.lease_ms"},
        {"run.priority=-256", "run.priority"},
        {"run.checkpoint_interval=steps:0", "run.checkpoint_interval"},
        {"run.checkpoint_interval=sometimes", "run.checkpoint_interval"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct preset preset;
        struct nero_err err = {0};
        enum nero_status status =
            preset_load(SHIPPED "demo.yaml", &table[i].text, 1, &preset, &err);

        if (status == NERO_OK || strstr(err.message, table[i].says) == NULL) {
            fail_msg("\"%s\" for %s", err.message, table[i].text);
        }
    }
}

#define MODULES                                                                             \
    "  modules:\n"                                                                          \
    "    - {symbol: features, units_min: 1, units_max: 3, initial_min: 1, initial_max: 2, " \
    "levels_back: 3, allow_skip: true}\n"                                                   \
    "    - {symbol: softmax, units_min: 1, units_max: 1, initial_min: 1, initial_max: 1, "  \
    "levels_back: 1, allow_skip: false}\n"
#define GOOD "dataset: x\ngrammar: g.bnf\nsearch:\n" MODULES

static void test_preset__refuses_with_file_key_and_reason(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } table[] = {
        {"", "dataset: is required"},
        {"grammar: g.bnf\nsearch:\n" MODULES, "dataset: is required"},
        {"dataset: x\nsearch:\n" MODULES, "grammar: is required"},
        {"dataset: x\ngrammar: g.bnf\n", "search.modules: is required"},
        {GOOD "unknown: 3\n", "unknown"},
        {GOOD "strategy: random\n", "strategy"},
        {GOOD "  lamda: 3\n", "lamda"},
        {GOOD "  lambda: three\n", "search.lambda"},
        {GOOD "  lambda: 1.5\n", "search.lambda"},
        {GOOD "  reevaluate_parent: yes\n", "search.reevaluate_parent"},
        {GOOD "  lambda: 4\n  lambda: 5\n", "lambda"},
        {GOOD "  beta: nan\n", "search.beta"},
        {GOOD "  strategy: climb\n", "search.strategy"},
        {"dataset: x\ngrammar: g.bnf\nsearch:\n  modules: []\n", "search.modules"},
        {"dataset: x\ngrammar: g.bnf\nsearch:\n  modules:\n    - {symbol: softmax}\n",
         "search.modules[0]"},
        {"dataset: x\ngrammar: g.bnf\nsearch: 3\n", "search"},
        {"- 1\n", "p.yaml"},
        {"{", "p.yaml"},
        {"dataset: x\ngrammar: bad.bnf\nsearch:\n" MODULES, "bad.bnf:2: <a> uses <b>"},
        {"dataset: x\ngrammar: big.bnf\nsearch:\n" MODULES, "big.bnf"},
        {"dataset: x\ngrammar: other.bnf\nsearch:\n" MODULES, "module <features>"},
    };

    (void)state;
    write_text("bad.bnf", "# a\n<a> ::= <b>\n");
    write_text("other.bnf", "<softmax> ::= layer:fc act:softmax num-units:10 bias:True\n");
    {
        char *big = calloc(1, 100001);

        memset(big, '\n', 100000);
        write_text("big.bnf", big);
        free(big);
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct preset preset;
        struct nero_err err = {0};

        write_text("p.yaml", table[i].text);
        if (preset_load(in_folder("p.yaml"), NULL, 0, &preset, &err) == NERO_OK ||
            strstr(err.message, "p.yaml") == NULL || strstr(err.message, table[i].says) == NULL) {
            fail_msg("\"%s\" for %s", err.message, table[i].text);
        }
    }
}

static void test_preset__missing_file(void **state)
{
    struct preset preset;
    struct nero_err err = {0};

    (void)state;
    assert_int_equal(preset_load(in_folder("absent.yaml"), NULL, 0, &preset, &err), NERO_NOT_FOUND);
    assert_non_null(strstr(err.message, "absent.yaml: No such file"));
}

static void test_preset__gives_memory_back(void **state)
{
    static const char *const overrides[] = {"search.generations=7"};

    (void)state;
    for (long skip = 0;; skip++) {
        struct preset preset;
        struct nero_err err = {0};
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = preset_load(SHIPPED "smoke.yaml", overrides, 1, &preset, &err);
        if (mem_fail_plan(0, 0) == 0) {
            assert_int_equal(status, NERO_OK);
            preset_fini(&preset);
            return;
        }
        assert_int_equal(status, NERO_NO_MEMORY);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return temp_folder_make(folder, NULL);
}

static int remove_folder(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preset__all_shipped_ones_load),
        cmocka_unit_test(test_preset__demo_values),
        cmocka_unit_test(test_preset__overrides),
        cmocka_unit_test(test_preset__is_cut_in_proportion),
        cmocka_unit_test(test_preset__refuses_bad_overrides),
        cmocka_unit_test(test_preset__refuses_with_file_key_and_reason),
        cmocka_unit_test(test_preset__missing_file),
        cmocka_unit_test(test_preset__gives_memory_back),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
