/*
 * Goal: a configuration is read exactly or refused with file, line, key and what is allowed.
 * Method: one schema with every kind of value; a table of broken texts with the full message that
 * each must give; allocation failures; every truncation and many mutations of a good text.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/conf.h"
#include "nero/mem.h"
#include "nero/rng.h"

enum mode { MODE_FAST, MODE_EXACT };

struct phase {
    char *name;
    double rate;
};

struct search {
    uint8_t lineages;
    int16_t shift;
    double momentum;
    enum mode mode;
};

struct config {
    char *store;
    uint64_t seed;
    bool verbose;
    float beta;
    char tag[8];
    uint32_t marks;
    struct search search;
    int64_t pair[2];
    struct phase *phases;
    uint32_t phases_count;
    char *note;
};

static const cyaml_strval_t modes[] = {{"fast", MODE_FAST}, {"exact", MODE_EXACT}};
static const cyaml_strval_t marks[] = {{"red", 1}, {"blue", 2}, {"green", 4}};

static const cyaml_schema_field_t search_fields[] = {
    CYAML_FIELD_UINT("lineages", CYAML_FLAG_OPTIONAL, struct search, lineages),
    CYAML_FIELD_INT("shift", CYAML_FLAG_OPTIONAL, struct search, shift),
    CYAML_FIELD_FLOAT("momentum", CYAML_FLAG_OPTIONAL, struct search, momentum),
    CYAML_FIELD_ENUM("mode", CYAML_FLAG_OPTIONAL, struct search, mode, modes, 2), CYAML_FIELD_END};
static const cyaml_schema_field_t phase_fields[] = {
    CYAML_FIELD_STRING_PTR("name", 0, struct phase, name, 1, 16),
    CYAML_FIELD_FLOAT("rate", CYAML_FLAG_OPTIONAL, struct phase, rate), CYAML_FIELD_END};
static const cyaml_schema_value_t phase_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct phase, phase_fields)};
static const cyaml_schema_value_t int_value = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, int64_t)};
static const cyaml_schema_field_t config_fields[] = {
    CYAML_FIELD_STRING_PTR("store", CYAML_FLAG_OPTIONAL, struct config, store, 1, 64),
    CYAML_FIELD_UINT("seed", CYAML_FLAG_DEFAULT, struct config, seed),
    CYAML_FIELD_BOOL("verbose", CYAML_FLAG_OPTIONAL, struct config, verbose),
    CYAML_FIELD_FLOAT("beta", CYAML_FLAG_OPTIONAL, struct config, beta),
    CYAML_FIELD_STRING("tag", CYAML_FLAG_OPTIONAL, struct config, tag, 0),
    CYAML_FIELD_FLAGS("marks", CYAML_FLAG_OPTIONAL, struct config, marks, marks, 3),
    CYAML_FIELD_MAPPING("search", CYAML_FLAG_OPTIONAL, struct config, search, search_fields),
    CYAML_FIELD_SEQUENCE_FIXED("pair", CYAML_FLAG_OPTIONAL, struct config, pair, &int_value, 2),
    CYAML_FIELD_SEQUENCE("phases", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct config, phases,
                         &phase_value, 1, 3),
    CYAML_FIELD_STRING_PTR("note", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL_STR, struct config,
                           note, 0, 64),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, config_fields)};

static char default_store[] = "file:///tmp/x";
static const struct config defaults = {
    .store = default_store,
    .seed = 99,
    .verbose = true,
    .beta = 4.0F,
    .tag = "none",
    .marks = 2,
    .search = {.lineages = 5, .shift = -3, .momentum = 0.99, .mode = MODE_EXACT},
    .pair = {7, 8}};

static const char good[] = "# a comment\n"
                           "seed: 18446744073709551615\n"
                           "store: \"mem:a b\"\n"
                           "verbose: false\n"
                           "beta: 2.5e-1\n"
                           "tag: 1234567\n"
                           "marks: [red, green]\n"
                           "search:\n"
                           "  lineages: 255\n"
                           "  shift: -32768\n"
                           "  mode: exact\n"
                           "pair: [-9223372036854775808, 9223372036854775807]\n"
                           "phases:\n"
                           "  - name: warm\n"
                           "  - {name: cool, rate: 1}\n"
                           "note: ~\n";

static enum nero_status load(const char *text, const void *with, struct config **out,
                             struct nero_err *err)
{
    void *loaded = NULL;
    enum nero_status status =
        conf_load_bytes("run.yaml", bytes_view_str(text), &schema, with, &loaded, err);

    *out = loaded;
    return status;
}

static void test_conf__loads_every_kind_of_value(void **state)
{
    struct config *config;
    struct nero_err err;

    (void)state;
    assert_int_equal(load(good, NULL, &config, &err), NERO_OK);
    assert_string_equal(config->store, "mem:a b");
    assert_true(config->seed == UINT64_MAX);
    assert_false(config->verbose);
    assert_true(config->beta == 0.25F);
    assert_string_equal(config->tag, "1234567");
    assert_int_equal(config->marks, 5);
    assert_int_equal(config->search.lineages, 255);
    assert_int_equal(config->search.shift, INT16_MIN);
    assert_true(config->search.momentum == 0.0); /* left out, and no defaults given */
    assert_int_equal(config->search.mode, MODE_EXACT);
    assert_true(config->pair[0] == INT64_MIN && config->pair[1] == INT64_MAX);
    assert_int_equal(config->phases_count, 2);
    assert_string_equal(config->phases[0].name, "warm");
    assert_true(config->phases[1].rate == 1.0);
    assert_null(config->note);
    conf_free(&schema, config);
}

static void test_conf__fills_in_defaults_where_keys_are_absent(void **state)
{
    struct config *config;
    struct nero_err err;

    (void)state;
    assert_int_equal(
        load("seed: 1\nsearch:\n  lineages: 0\npair: [1, 2]\n", &defaults, &config, &err), NERO_OK);
    assert_true(config->seed == 1);
    assert_string_equal(config->store, "file:///tmp/x");
    assert_ptr_not_equal(config->store, default_store);
    assert_true(config->verbose);
    assert_true(config->beta == 4.0F);
    assert_string_equal(config->tag, "none");
    assert_int_equal(config->marks, 2);
    assert_int_equal(config->search.lineages, 0); /* given, though it is zero */
    assert_int_equal(config->search.shift, -3);
    assert_true(config->search.momentum == 0.99);
    assert_int_equal(config->search.mode, MODE_EXACT);
    assert_true(config->pair[0] == 1 && config->pair[1] == 2);
    assert_null(config->phases);
    assert_int_equal(config->phases_count, 0);
    conf_free(&schema, config);

    assert_int_equal(load("seed: 1\n", &defaults, &config, &err), NERO_OK);
    assert_int_equal(config->search.lineages, 5); /* of a mapping that is absent as a whole */
    assert_true(config->pair[0] == 7 && config->pair[1] == 8);
    conf_free(&schema, config);
}

/* libcyaml makes no struct at all of a text that sets nothing. */
static void test_conf__nothing_given_is_all_defaults(void **state)
{
    static const cyaml_schema_value_t all_optional = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct search, search_fields)};
    static const char *const texts[] = {"", "# nothing\n", "{}\n", "--- {}\n"};
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct search *search;
        void *out = NULL;

        assert_int_equal(conf_load_bytes("n", bytes_view_str(texts[i]), &all_optional,
                                         &defaults.search, &out, &err),
                         NERO_OK);
        search = out;
        assert_int_equal(search->lineages, 5);
        assert_int_equal(search->mode, MODE_EXACT);
        conf_free(&all_optional, out);
        assert_int_equal(
            conf_load_bytes("n", bytes_view_str(texts[i]), &all_optional, NULL, &out, &err),
            NERO_OK);
        search = out;
        assert_int_equal(search->lineages, 0);
        conf_free(&all_optional, out);
    }
}

struct broken {
    const char *text;
    const char *message;
};

static const struct broken cases[] = {
    {"seed: 1\nsearch:\n  lineage: 3\n",
     "run.yaml:3: search: unknown key 'lineage'; allowed are: lineages, shift, momentum, mode"},
    {"sed: 1\n", "run.yaml:1: unknown key 'sed'; allowed are: store, seed, verbose, beta, tag, "
                 "marks, search, pair, phases, note"},
    {"tag: x\n\nverbose: true\n", "run.yaml:1: required key 'seed' is missing"},
    {"", "run.yaml:1: required key 'seed' is missing"},
    {"# nothing\n", "run.yaml:1: required key 'seed' is missing"},
    {"seed: 1\nphases:\n - name: a\n - rate: 2\n",
     "run.yaml:4: phases[1]: required key 'name' is missing"},
    {"seed: 1\ntag: a\nseed: 2\n", "run.yaml:3: key 'seed' was given before, in line 1"},
    {"seed: ten\n", "run.yaml:1: seed: 'ten' is not allowed; expected a whole number from 0 to "
                    "18446744073709551615"},
    {"seed: -1\n", "run.yaml:1: seed: '-1' is not allowed; expected a whole number from 0 to "
                   "18446744073709551615"},
    {"seed: 18446744073709551616\n",
     "run.yaml:1: seed: '18446744073709551616' is not allowed; expected a whole number from 0 "
     "to 18446744073709551615"},
    {"seed: 1.5\n", "run.yaml:1: seed: '1.5' is not allowed; expected a whole number from 0 to "
                    "18446744073709551615"},
    {"seed: 010\n", "run.yaml:1: seed: '010' is not allowed; expected a whole number from 0 to "
                    "18446744073709551615"},
    {"seed: '1'\n", "run.yaml:1: seed: '1' is not allowed; expected a whole number from 0 to "
                    "18446744073709551615"},
    {"seed:\n", "run.yaml:1: seed: '' is not allowed; expected a whole number from 0 to "
                "18446744073709551615"},
    {"seed: [1]\n", "run.yaml:1: seed: expected a single value, found a list"},
    {"seed: 1\nsearch:\n  lineages: 256\n", "run.yaml:3: search.lineages: '256' is not "
                                            "allowed; expected a whole number from 0 to 255"},
    {"seed: 1\nsearch: {shift: 32768}\n", "run.yaml:2: search.shift: '32768' is not allowed; "
                                          "expected a whole number from -32768 to 32767"},
    {"seed: 1\nsearch: 5\n",
     "run.yaml:2: search: expected a mapping (key: value), found a single value"},
    {"seed: 1\nsearch: {mode: slow}\n",
     "run.yaml:2: search.mode: 'slow' is not allowed; expected one of: fast, exact"},
    {"seed: 1\nsearch: {mode: 1}\n",
     "run.yaml:2: search.mode: '1' is not allowed; expected one of: fast, exact"},
    {"seed: 1\nverbose: yes\n",
     "run.yaml:2: verbose: 'yes' is not allowed; expected true or false"},
    {"seed: 1\nverbose: maybe\n",
     "run.yaml:2: verbose: 'maybe' is not allowed; expected true or false"},
    {"seed: 1\nbeta: nan\n",
     "run.yaml:2: beta: 'nan' is not allowed; expected a finite decimal number"},
    {"seed: 1\nbeta: 1e39\n",
     "run.yaml:2: beta: '1e39' is not allowed; expected a finite decimal number"},
    {"seed: 1\nbeta: 1.5x\n",
     "run.yaml:2: beta: '1.5x' is not allowed; expected a finite decimal number"},
    {"seed: 1\nsearch:\n  momentum: 0x1p3\n",
     "run.yaml:3: search.momentum: '0x1p3' is not allowed; expected a finite decimal number"},
    {"seed: 1\ntag: 12345678\n",
     "run.yaml:2: tag: '12345678' is too long; expected at most 7 bytes"},
    {"seed: 1\nstore: ''\n", "run.yaml:2: store: '' is too short; expected at least 1 bytes"},
    {"seed: 1\nstore: \"a\\0b\"\n", "run.yaml:2: store: a NUL character is not allowed"},
    {"seed: 1\nmarks: [red, pink]\n",
     "run.yaml:2: marks[1]: 'pink' is not allowed; expected one of: red, blue, green"},
    {"seed: 1\nmarks: red\n", "run.yaml:2: marks: expected a list, found a single value"},
    {"seed: 1\npair: [1]\n", "run.yaml:2: pair: the list has 1 entries; expected at least 2"},
    {"seed: 1\npair: [1, 2, 3]\n", "run.yaml:2: pair: the list has more than 2 entries"},
    {"seed: 1\npair: [1, x]\n",
     "run.yaml:2: pair[1]: 'x' is not allowed; expected a whole number from "
     "-9223372036854775808 to 9223372036854775807"},
    {"seed: 1\nphases: []\n", "run.yaml:2: phases: the list has 0 entries; expected at least 1"},
    {"- seed\n", "run.yaml:1: expected a mapping (key: value), found a list"},
    {"seed: &a 1\n", "run.yaml:1: seed: anchors and tags ('a') are not supported"},
    {"seed: *a\n", "run.yaml:1: seed: aliases ('*a') are not supported"},
    {"seed: !!int 1\n",
     "run.yaml:1: seed: anchors and tags ('tag:yaml.org,2002:int') are not supported"},
    {"? [seed]\n: 1\n", "run.yaml:1: a key is a word, not a list or mapping"},
    {"seed: 1\n---\nseed: 2\n", "run.yaml:2: a file holds one document; a second begins here"},
    {"seed: 1\n\ttag: x\n", "run.yaml:2: not YAML: while scanning a plain scalar, found a tab "
                            "character that violates indentation at column 1"},
    {"seed: 1\nphases: [{name: a]\n",
     "run.yaml:2: not YAML: while parsing a flow mapping, did not find expected ',' or '}' at "
     "column 18"},
};

static void test_conf__errors_name_line_key_and_what_is_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config *config;
        struct nero_err err = {.message = "nothing"};

        assert_int_equal(load(cases[i].text, &defaults, &config, &err), NERO_INVALID);
        assert_string_equal(err.message, cases[i].message);
        assert_null(config);
    }
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void test_conf__files(void **state)
{
    char folder[] = "/tmp/nero-conf-XXXXXX";
    char path[64];
    char *large = malloc(CONF_BYTES_MAX + 1);
    struct nero_err err;
    void *out = NULL;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/c.yaml", folder);
    assert_int_equal(conf_load_file(path, &schema, NULL, &out, &err), NERO_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(conf_load_file(folder, &schema, NULL, &out, &err), NERO_INVALID);

    write_file(path, good, strlen(good));
    assert_int_equal(conf_load_file(path, &schema, NULL, &out, &err), NERO_OK);
    assert_true(((struct config *)out)->seed == UINT64_MAX);
    conf_free(&schema, out);
    out = NULL;

    memset(large, '#', CONF_BYTES_MAX + 1);
    memcpy(large, "seed: 3\n", 8);
    write_file(path, large, CONF_BYTES_MAX); /* exactly the limit */
    assert_int_equal(conf_load_file(path, &schema, NULL, &out, &err), NERO_OK);
    conf_free(&schema, out);
    out = NULL;
    write_file(path, large, CONF_BYTES_MAX + 1);
    assert_int_equal(conf_load_file(path, &schema, NULL, &out, &err), NERO_TOO_BIG);
    assert_non_null(strstr(err.message, path));
    assert_null(out);

    write_file(path, "seed: 1\xff\n", 9);
    assert_int_equal(conf_load_file(path, &schema, NULL, &out, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "not YAML"));
    free(large);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_conf__every_failed_allocation_is_no_memory(void **state)
{
    long skip = 0;
    int fired = 1;

    (void)state;
    for (; fired > 0; skip++) {
        struct config *config;
        struct nero_err err;
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = load("seed: 1\nphases:\n - name: a\n - name: b\n", &defaults, &config, &err);
        fired = mem_fail_plan(0, 0);
        assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
        assert_true(fired > 0 ? config == NULL : config->phases_count == 2);
        conf_free(&schema, config);
        assert_true(skip < 1000);
    }
    assert_true(skip > 5); /* the sweep did meet allocations */
}

/* What is accepted after a mutation is whatever it is; nothing may crash, leak or be half-made. */
static void test_conf__no_mutation_crashes(void **state)
{
    struct rng_stream stream = rng_stream(5, RNG_TEST, 0, 0, 0);
    size_t bytes = strlen(good);
    size_t accepted = 0;
    size_t refused = 0;

    (void)state;
    for (size_t i = 0; i < 4000; i++) {
        char text[sizeof good];
        struct nero_err err;
        void *out = NULL;
        size_t cut = i < bytes ? i : bytes;

        memcpy(text, good, sizeof good);
        for (size_t flips = i < bytes ? 0 : 1 + rng_below(&stream, 3); flips > 0; flips--) {
            text[rng_below(&stream, bytes)] = (char)rng_below(&stream, 256);
        }
        if (conf_load_bytes("m", bytes_view_of(text, cut), &schema, &defaults, &out, &err) ==
            NERO_OK) {
            accepted++;
            assert_non_null(out);
        } else {
            refused++;
            assert_int_equal(err.status, NERO_INVALID);
            assert_null(out);
        }
        conf_free(&schema, out);
    }
    assert_true(accepted > 50 && refused > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf__loads_every_kind_of_value),
        cmocka_unit_test(test_conf__fills_in_defaults_where_keys_are_absent),
        cmocka_unit_test(test_conf__nothing_given_is_all_defaults),
        cmocka_unit_test(test_conf__errors_name_line_key_and_what_is_allowed),
        cmocka_unit_test(test_conf__files),
        cmocka_unit_test(test_conf__every_failed_allocation_is_no_memory),
        cmocka_unit_test(test_conf__no_mutation_crashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
