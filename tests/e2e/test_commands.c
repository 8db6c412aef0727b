/*
 * Goal: every reading and planning command of nero-sched says what is, in text and in JSON, with
 * the exit codes of DESIGN 10, and says of bad input which file or key and why, leaving nothing
 * behind. Method: the built program on a fabricated store; jansson is the judge of what is JSON.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "audit_world.h"

enum { OUTPUT_BYTES_MAX = 4 << 20, COMMAND_BYTES = 4096 };

/* What a command said and how it ended. */
struct said {
    int code;
    struct bytes out; /* NUL behind; owned: said_fini */
    struct bytes err;
};

static void read_back(const char *path, struct bytes *out)
{
    FILE *file = fopen(path, "rb");
    struct nero_err err;
    char chunk[4096];
    size_t got;

    assert_non_null(file);
    bytes_init(out, OUTPUT_BYTES_MAX);
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0) {
        assert_int_equal(bytes_append(out, chunk, got, &err), NERO_OK);
    }
    (void)fclose(file);
    assert_int_equal(bytes_terminate(out, &err), NERO_OK);
}

/* Run "nero-sched <words>" by the shell, in the world's folder. */
static struct said run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static struct said run(const char *format, ...)
{
    char words[COMMAND_BYTES];
    char line[2 * COMMAND_BYTES];
    char path[FABRICATE_TEXT_BYTES];
    struct said said;
    va_list args;
    int ended;

    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    (void)snprintf(line, sizeof line, "cd '%s' && '%s' </dev/null 2>err.txt >out.txt %s",
                   world.folder, NERO_SCHED, words);
    ended = system(line);
    assert_true(WIFEXITED(ended));
    said.code = WEXITSTATUS(ended);
    (void)snprintf(path, sizeof path, "%s/out.txt", world.folder);
    read_back(path, &said.out);
    (void)snprintf(path, sizeof path, "%s/err.txt", world.folder);
    read_back(path, &said.err);
    return said;
}

static void said_fini(struct said *said)
{
    bytes_fini(&said->out);
    bytes_fini(&said->err);
}

static bool has(const struct bytes *text, const char *what)
{
    return strstr((const char *)text->data, what) != NULL;
}

/* Ends with `code`; every text that follows, up to NULL, is on standard output. */
static void expect(struct said said, int code, ...)
{
    const char *text;
    va_list args;

    if (said.code != code) {
        fail_msg("exit %d, expected %d\n%s%s", said.code, code, (char *)said.out.data,
                 (char *)said.err.data);
    }
    va_start(args, code);
    while ((text = va_arg(args, const char *)) != NULL) {
        if (!has(&said.out, text)) {
            fail_msg("'%s' is not in\n%s%s", text, (char *)said.out.data, (char *)said.err.data);
        }
    }
    va_end(args);
    said_fini(&said);
}

/* Ends with `code`, says nothing on standard output and every text on standard error. */
static void refuse(struct said said, int code, ...)
{
    const char *text;
    va_list args;

    if (said.code != code || said.out.bytes > 0) {
        fail_msg("exit %d, expected %d\n%s%s", said.code, code, (char *)said.out.data,
                 (char *)said.err.data);
    }
    va_start(args, code);
    while ((text = va_arg(args, const char *)) != NULL) {
        if (!has(&said.err, text)) {
            fail_msg("'%s' is not in\n%s", text, (char *)said.err.data);
        }
    }
    va_end(args);
    said_fini(&said);
}

/* Standard output is one JSON document. Owns: json_decref. */
static json_t *expect_json(struct said said, int code)
{
    json_error_t error;
    json_t *root;

    if (said.code != code) {
        fail_msg("exit %d, expected %d\n%s%s", said.code, code, (char *)said.out.data,
                 (char *)said.err.data);
    }
    root = json_loadb((const char *)said.out.data, said.out.bytes, 0, &error);
    if (root == NULL) {
        fail_msg("%s at %d: %s", error.text, error.position, (char *)said.out.data);
    }
    said_fini(&said);
    return root;
}

static json_int_t integer_of(const json_t *root, const char *name)
{
    assert_true(json_is_integer(json_object_get(root, name)));
    return json_integer_value(json_object_get(root, name));
}

static uint32_t lines_of(const char *file)
{
    char path[FABRICATE_TEXT_BYTES];
    struct bytes text;
    uint32_t lines = 0;

    (void)snprintf(path, sizeof path, "%s/%s", world.folder, file);
    read_back(path, &text);
    for (size_t i = 0; i < text.bytes; i++) {
        lines += text.data[i] == '\n';
    }
    bytes_fini(&text);
    return lines;
}

static bool is_there(const char *file)
{
    char path[FABRICATE_TEXT_BYTES];

    (void)snprintf(path, sizeof path, "%s/%s", world.folder, file);
    return access(path, F_OK) == 0;
}

/* ---- audit ---- */

static void test_commands__audit_ends_clean_or_with_findings(void **state)
{
    const char *store = world.run.store_path;
    const char *key = world.run.root_key;
    struct bytes body = audit_world_read("runs/made-up/run");
    json_t *root;

    (void)state;
    expect(run("audit %s --root-key %s --level replay", store, key), 0, "replay of made-up: clean",
           "contents skipped", NULL);
    expect(run("audit %s --root-key %s", store, key), 0, "audit of made-up: clean", "finished",
           "head ", "--head", NULL);
    expect(run("audit store#made-up --root-key %s --skip-blobs", key), 0, "contents skipped", NULL);
    root = expect_json(run("audit file://%s#made-up --root-key %s --json", store, key), 0);
    assert_true(json_is_true(json_object_get(root, "clean")));
    assert_true(json_is_true(json_object_get(root, "finished")));
    assert_int_equal(integer_of(root, "generation_records"), 9);
    assert_int_equal(json_array_size(json_object_get(root, "heads")), 2);
    expect(run("audit %s#made-up --root-key %s --head %s", store, key,
               json_string_value(json_array_get(json_object_get(root, "heads"), 0))),
           0, "clean", NULL);
    json_decref(root);
    expect(run("audit %s#made-up --root-key %s --head %064d", store, key, 0), 1, "not reached",
           NULL);
    body.data[body.bytes / 2] ^= 1;
    audit_world_write("runs/made-up/run", bytes_as_view(&body));
    root = expect_json(run("audit %s#made-up --root-key %s --json", store, key), 1);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(root, "findings"), 0), "artifact")),
                        "runs/made-up/run");
    json_decref(root);
    body.data[body.bytes / 2] ^= 1;
    audit_world_write("runs/made-up/run", bytes_as_view(&body));
    bytes_fini(&body);
}

static void test_commands__audit_says_what_is_wrong_with_its_input(void **state)
{
    const char *store = world.run.store_path;
    const char *key = world.run.root_key;

    (void)state;
    refuse(run("audit %s", store), 2, "--root-key", NULL);
    refuse(run("audit"), 2, "--help", NULL);
    refuse(run("audit %s --root-key %s --level deep", store, key), 2, "--level", "replay", NULL);
    refuse(run("audit %s --root-key nowhere.pub", store), 2, "--root-key", "nowhere.pub", NULL);
    refuse(run("audit %s --root-key %s/data/made-up", store, world.folder), 2, NULL);
    refuse(run("audit %s --root-key %s/presets/demo.yaml", store, NERO_SOURCE_DIR), 2, "demo.yaml",
           NULL);
    refuse(run("audit nowhere --root-key %s", key), 2, "nowhere", NULL);
    refuse(run("audit %s#other --root-key %s", store, key), 2, "other", NULL);
    refuse(run("audit %s#made-up --root-key %s --head xyz", store, key), 2, "--head xyz", NULL);
    refuse(run("audit ftp://x --root-key %s", key), 2, "ftp://x", NULL);
    assert_false(is_there("nowhere"));
}

/* ---- show ---- */

static void test_commands__show_tells_every_kind_of_object(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < world.key_count; i++) {
        json_t *root = expect_json(run("show %s --store %s --json --root-key %s", world.keys[i],
                                       world.run.url, world.run.root_key),
                                   0);

        assert_string_equal(json_string_value(json_object_get(root, "key")), world.keys[i]);
        assert_true(json_is_true(json_object_get(root, "sound")));
        if (strstr(world.keys[i], "/blob/") == NULL && strncmp(world.keys[i], "data/", 5) != 0) {
            assert_true(json_is_object(json_object_get(root, "record")));
            assert_true(json_is_string(json_object_get(root, "signer")));
        }
        json_decref(root);
        expect(run("show %s --store %s", world.keys[i], world.run.url), 0, world.keys[i], NULL);
    }
    expect(run("show runs/made-up/run --store %s", world.run.url), 0, "not checked", "<features>",
           NULL);
    expect(run("show runs/made-up/run --store %s --root-key %s", world.run.url, world.run.root_key),
           0, "by the root key: good", NULL);
    expect(run("show runs/made-up/gen/0/00000002/closed --store %s", world.run.url), 0,
           "by the run key: good", "selected member", NULL);
}

static void test_commands__show_tells_a_run(void **state)
{
    json_t *root;

    (void)state;
    expect(run("show made-up --store %s", world.run.url), 0, "generation", "best individual",
           "test images", NULL);
    root = expect_json(run("show made-up --store %s --json", world.run.url), 0);
    assert_int_equal(json_array_size(json_object_get(root, "generations")), 3);
    assert_true(json_is_object(json_object_get(root, "best")));
    json_decref(root);
}

static void test_commands__show_tells_what_does_not_hold(void **state)
{
    static const char key[] = "runs/made-up/gen/0/00000001/closed";
    struct bytes body = audit_world_read(key);
    json_t *root;

    (void)state;
    body.data[body.bytes - 1] ^= 1; /* in the signature */
    audit_world_write(key, bytes_as_view(&body));
    root = expect_json(run("show %s --store %s --json", key, world.run.url), 1);
    assert_true(json_is_false(json_object_get(root, "sound")));
    json_decref(root);
    body.data[body.bytes - 1] ^= 1;
    audit_world_write(key, bytes_as_view(&body));
    bytes_fini(&body);
    refuse(run("show runs/made-up/nothing/1 --store %s", world.run.url), 2, "no place", NULL);
    refuse(run("show runs/made-up/gen/0/00000009/closed --store %s", world.run.url), 2, "00000009",
           NULL);
    refuse(run("show nobody --store %s", world.run.url), 2, "nobody", NULL);
    refuse(run("show made-up --store file:///nowhere/at/all"), 2, "/nowhere/at/all", NULL);
    refuse(run("show"), 2, "--help", NULL);
}

/* ---- explain ---- */

static void test_commands__explain_finds_the_job_that_is_meant(void **state)
{
    char prefix[16];
    const char *id;
    json_t *again;
    json_t *root;

    (void)state;
    root = expect_json(run("explain 1.2 --store %s --json", world.run.url), 0);
    id = json_string_value(json_object_get(root, "job"));
    assert_true(json_is_true(json_object_get(root, "verified")));
    assert_string_equal(json_string_value(json_object_get(root, "run")), "made-up");
    (void)snprintf(prefix, sizeof prefix, "%.12s", id);
    again = expect_json(run("explain %s --json --skip-blobs --run made-up --store %s --root-key %s",
                            prefix, world.run.url, world.run.root_key),
                        0);
    assert_string_equal(json_string_value(json_object_get(again, "job")), id);
    assert_true(json_is_true(json_object_get(again, "blobs_skipped")));
    json_decref(again);
    again = expect_json(run("explain %s --json --store %s", id, world.run.url), 0);
    assert_string_equal(json_string_value(json_object_get(again, "job")), id);
    json_decref(again);
    expect(run("explain 0.1.2 --run made-up --store %s", world.run.url), 0, id,
           "lineage 0, generation 1, slot 2", "attempt 1: claimed by runner", "\nverified: ", NULL);
    json_decref(root);
}

/* Two of 16 jobs or more begin alike; no id of this store begins with as many zeros. */
static void test_commands__explain_says_what_is_wrong_with_its_input(void **state)
{
    const char *url = world.run.url;
    uint32_t begin[16] = {0};
    uint32_t most = 0;
    char digit[2] = "0";

    (void)state;
    for (uint32_t i = 0; i < world.key_count; i++) {
        const char *spec = strstr(world.keys[i], "/spec/");

        if (spec != NULL) {
            begin[strtoul((char[2]){spec[strlen("/spec/")], 0}, NULL, 16)]++;
        }
    }
    for (uint32_t i = 0; i < 16; i++) {
        most = begin[i] > begin[most] ? i : most;
    }
    assert_true(begin[most] > 1);
    digit[0] = "0123456789abcdef"[most];
    refuse(run("explain %s --store %s", digit, url), 2, "begins the ids of", "in made-up, ", NULL);
    refuse(run("explain 000000000000 --store %s", url), 2, "no job '000000000000'", "made-up",
           NULL);
    refuse(run("explain xyz --store %s", url), 2, "xyz", "GENERATION.SLOT", NULL);
    refuse(run("explain 1.2.3.4 --store %s", url), 2, "1.2.3.4", NULL);
    refuse(run("explain 1. --store %s", url), 2, "'1.'", NULL);
    refuse(run("explain 7.0 --store %s", url), 2, "lineage 0 has no generation 7", NULL);
    refuse(run("explain 1.99 --store %s", url), 2, "slots 0 to", NULL);
    refuse(run("explain 1.1 --run nobody --store %s", url), 2, "nobody", NULL);
    refuse(run("explain 1.1 --store %s --root-key nowhere.pub", url), 2, "--root-key", NULL);
    refuse(run("explain --store %s", url), 2, "--help", NULL);
}

static void test_commands__explain_ends_with_1_where_it_does_not_hold(void **state)
{
    json_t *root = expect_json(run("explain 0.1 --store %s --json", world.run.url), 0);
    char key[LAYOUT_KEY_BYTES];
    struct bytes body;

    (void)state;
    (void)snprintf(key, sizeof key, "runs/made-up/job/%s/0000000000",
                   json_string_value(json_object_get(root, "job")));
    json_decref(root);
    body = audit_world_read(key);
    body.data[body.bytes - 1] ^= 1;
    audit_world_write(key, bytes_as_view(&body));
    expect(run("explain 0.1 --store %s", world.run.url), 1, "NOT verified", key, NULL);
    root = expect_json(run("explain 0.1 --store %s --json", world.run.url), 1);
    assert_true(json_is_false(json_object_get(root, "verified")));
    assert_true(
        json_is_false(json_object_get(json_array_get(json_object_get(root, "slots"), 0), "valid")));
    json_decref(root);
    body.data[body.bytes - 1] ^= 1;
    audit_world_write(key, bytes_as_view(&body));
    bytes_fini(&body);
}

/* ---- export ---- */

static void test_commands__export_writes_whole_files_or_none(void **state)
{
    json_t *root;
    json_int_t candidates;
    json_int_t epochs;

    (void)state;
    root = expect_json(
        run("export made-up --csv c.csv --epochs e.csv --json --store %s", world.run.url), 0);
    candidates = integer_of(root, "candidates");
    epochs = integer_of(root, "epochs");
    json_decref(root);
    assert_int_equal(candidates, 2 + 3 + 3);
    assert_int_equal(lines_of("c.csv"), candidates + 1);
    assert_true(epochs > candidates);
    assert_int_equal(lines_of("e.csv"), epochs + 1);
    expect(run("export made-up --csv - --store %s", world.run.url), 0, "lineage,generation,member",
           "0,2,1,mutant", "robust", NULL);
    expect(run("export made-up --epochs - --store %s", world.run.url), 0, "control_accuracy", NULL);
    refuse(run("export made-up --store %s", world.run.url), 2, "--csv FILE", NULL);
    refuse(run("export made-up --csv - --epochs - --store %s", world.run.url), 2, "standard output",
           NULL);
    refuse(run("export nobody --csv n.csv --store %s", world.run.url), 2, "nobody", NULL);
    assert_false(is_there("n.csv"));
    refuse(run("export made-up --csv no/such/folder.csv --store %s", world.run.url), 2,
           "no/such/folder.csv", NULL);
}

/* Every row has as many fields as the header. No field holds a comma. */
static void test_commands__export_keeps_its_columns(void **state)
{
    struct said said = run("export made-up --csv - --store %s", world.run.url);
    int wanted = -1;
    int commas = 0;

    (void)state;
    for (size_t i = 0; i < said.out.bytes; i++) {
        commas += said.out.data[i] == ',';
        if (said.out.data[i] == '\n') {
            wanted = wanted < 0 ? commas : wanted;
            assert_int_equal(commas, wanted);
            commas = 0;
        }
    }
    said_fini(&said);
}

/* A member whose result is gone: no file, and the job is named. */
static void test_commands__export_leaves_nothing_half_made(void **state)
{
    static const char key[] = "runs/made-up/gen/0/00000002/closed";
    struct bytes body = audit_world_read(key);

    (void)state;
    body.data[body.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&body));
    refuse(run("export made-up --csv half.csv --store %s", world.run.url), 2, "00000002", NULL);
    assert_false(is_there("half.csv"));
    body.data[body.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&body));
    bytes_fini(&body);
}

/* ---- plan, genotype ---- */

static double real_of(const json_t *root, const char *name)
{
    assert_true(json_is_real(json_object_get(root, name)));
    return json_real_value(json_object_get(root, name));
}

/* What is kept is part of what lies there at the worst moment, and that of what was ever written.
 */
static void check_bytes(const json_t *root)
{
    assert_true(real_of(root, "store_bytes_kept") > 0);
    assert_true(real_of(root, "store_bytes_peak") >= real_of(root, "store_bytes_kept"));
    assert_true(real_of(root, "store_bytes_written") >= real_of(root, "store_bytes_peak"));
}

static void test_commands__plan_tells_the_cost_of_every_preset(void **state)
{
    static const char *const presets[] = {"cpu-small", "demo",  "nsga-net",
                                          "paper",     "smoke", "smoke-pgd"};

    (void)state;
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        json_t *root = expect_json(
            run("plan %s/presets/%s.yaml --json --set search.generations=3 --set search.lambda=4",
                NERO_SOURCE_DIR, presets[i]),
            0);

        assert_int_equal(integer_of(root, "trainings"), 4 + 5 + 5); /* the parent again */
        assert_true(json_real_value(json_object_get(root, "total_flops")) > 0);
        assert_true(json_real_value(json_object_get(root, "hours")) > 0);
        check_bytes(root);
        json_decref(root);
    }
    expect(run("plan %s/presets/demo.yaml", NERO_SOURCE_DIR), 0, " trainings: 1 lineage",
           "assumption", NULL);
    expect(run("plan %s/presets/demo.yaml --flops-per-second 1e12 --runners 5 --set "
               "search.generations=2 --set search.lambda=4",
               NERO_SOURCE_DIR),
           0, "9 trainings", "5 runner(s)", "1e+12", NULL);
    refuse(run("plan nowhere.yaml"), 2, "nowhere.yaml", NULL);
    refuse(run("plan %s/presets/demo.yaml --set search.nonsense=1", NERO_SOURCE_DIR), 2, "nonsense",
           NULL);
    refuse(run("plan %s/presets/demo.yaml --set protocol.max_macs=1", NERO_SOURCE_DIR), 2,
           "max_macs", NULL);
    refuse(run("plan %s/presets/demo.yaml --flops-per-second -1", NERO_SOURCE_DIR), 2,
           "--flops-per-second", NULL);
}

/*
 * A search that starts from a given network costs what that network and its mutants do: with all
 * operators off they are the seed, whose count of parameters is known.
 */
static void test_commands__plan_starts_from_the_seed_genotype(void **state)
{
    json_t *root =
        expect_json(run("plan %s/presets/nsga-net.yaml --json --set search.rates.add_unit=0 --set "
                        "search.rates.remove_unit=0 --set search.rates.add_connection=0 --set "
                        "search.rates.remove_connection=0 --set search.rates.mutate_unit=0",
                        NERO_SOURCE_DIR),
                    0);
    json_t *parameters = json_object_get(root, "parameters");

    (void)state;
    assert_true(real_of(parameters, "mean") == 3.33748e6); /* 3,337,482 in 6 digits */
    assert_true(real_of(parameters, "p90") == 3.33748e6);
    json_decref(root);
    expect(run("plan %s/presets/nsga-net.yaml", NERO_SOURCE_DIR), 0, "of the seed genotype", NULL);
    expect(run("plan %s/presets/nsga-net.yaml --strategy random", NERO_SOURCE_DIR), 0,
           "random individuals", NULL);
    refuse(run("plan %s/presets/nsga-net.yaml --set protocol.max_macs=1", NERO_SOURCE_DIR), 2,
           "make the seed genotype smaller", NULL);
}

/* Of more checkpoints than collection keeps the blobs are written, but do not stay. */
static void test_commands__plan_tells_what_collection_leaves(void **state)
{
    json_t *few = expect_json(run("plan %s/presets/smoke.yaml --json", NERO_SOURCE_DIR), 0);
    json_t *many =
        expect_json(run("plan %s/presets/smoke.yaml --json --budget steps:30", NERO_SOURCE_DIR), 0);

    (void)state;
    assert_true(real_of(few, "store_bytes_written") == real_of(few, "store_bytes_kept"));
    check_bytes(many);
    assert_true(real_of(many, "store_bytes_written") > 5 * real_of(few, "store_bytes_written"));
    assert_true(real_of(many, "store_bytes_kept") < 2 * real_of(few, "store_bytes_kept"));
    assert_true(real_of(many, "store_bytes_peak") < real_of(many, "store_bytes_written"));
    json_decref(few);
    json_decref(many);
}

/* The options that cut a search are those of `run`, and `submit` writes what they make of it. */
static void test_commands__plan_and_submit_cut_as_run_does(void **state)
{
    json_t *root = expect_json(run("plan %s/presets/smoke.yaml --json --lineages 3 --images 240 "
                                   "--budget steps:4",
                                   NERO_SOURCE_DIR),
                               0);

    (void)state;
    assert_int_equal(integer_of(root, "trainings"), 3 * 5);
    assert_int_equal(integer_of(root, "budget"), 4);
    assert_int_equal(integer_of(root, "budget_cap"), 8);
    json_decref(root);
    refuse(run("plan %s/presets/smoke.yaml --images 481", NERO_SOURCE_DIR), 2, "--images", NULL);
    expect(run("submit %s/presets/smoke.yaml --name cut --images 240 --lineages 3 "
               "--store \"file://$PWD/aside\"",
               NERO_SOURCE_DIR),
           0, "submitted run cut", NULL);
    expect(run("show \"$(cd aside && echo inbox/*)\" --store \"file://$PWD/aside\""), 0,
           "3 lineage(s)", "images 160 training, 40 control, 40 fitness", NULL);
}

static void test_commands__genotype_makes_shows_and_checks(void **state)
{
    json_t *root;

    (void)state;
    expect(run("genotype new --preset %s/presets/demo.yaml --seed 7 >mine.txt", NERO_SOURCE_DIR), 0,
           NULL);
    assert_true(lines_of("mine.txt") > 10);
    expect(run("genotype show mine.txt"), 0, "nero-genotype 1", "module features", NULL);
    expect(run("genotype show - --preset %s/presets/demo.yaml <mine.txt", NERO_SOURCE_DIR), 0,
           "unit  0", "parameters", NULL);
    root = expect_json(run("genotype check mine.txt --preset %s/presets/demo.yaml --json --set "
                           "protocol.max_macs=0",
                           NERO_SOURCE_DIR),
                       0);
    assert_true(json_is_true(json_object_get(root, "admissible")));
    assert_true(integer_of(root, "parameters") > 0);
    json_decref(root);
    expect(run("genotype check mine.txt --preset %s/presets/demo.yaml --set "
               "protocol.max_parameters=1",
               NERO_SOURCE_DIR),
           1, "over a limit", NULL);
    refuse(run("genotype check mine.txt --preset %s/presets/smoke.yaml", NERO_SOURCE_DIR), 2,
           "mine.txt", NULL);
    refuse(run("genotype check mine.txt"), 2, "--preset", NULL);
    refuse(run("genotype show out.txt"), 2, "out.txt", NULL);
    refuse(run("genotype new --seed 1"), 2, "--preset", NULL);
    refuse(run("genotype new --preset %s/presets/demo.yaml --seed x", NERO_SOURCE_DIR), 2, "--seed",
           NULL);
    refuse(run("genotype grow"), 2, "genotype show FILE", NULL);
}

/* ---- keys, dataset, list, status ---- */

static void test_commands__keys_shows_and_makes(void **state)
{
    json_t *root;

    (void)state;
    root = expect_json(run("keys show --json"), 0);
    assert_true(json_array_size(json_object_get(root, "keys")) >= 2); /* root and run */
    json_decref(root);
    expect(run("keys root"), 0, world.run.root_key, NULL);
    root = expect_json(run("keys root --json"), 0);
    assert_true(json_is_false(json_object_get(root, "created")));
    json_decref(root);
    root = expect_json(run("keys token --json"), 0);
    assert_int_equal(access(json_string_value(json_object_get(root, "file")), R_OK), 0);
    json_decref(root);
    refuse(run("keys"), 2, "--help", NULL);
    refuse(run("keys lose"), 2, "show, root, token", NULL);
}

static void test_commands__keys_begins_from_nothing(void **state)
{
    char elsewhere[FABRICATE_TEXT_BYTES];
    json_t *root;

    (void)state;
    (void)snprintf(elsewhere, sizeof elsewhere, "%s/other", world.folder);
    (void)setenv("XDG_DATA_HOME", elsewhere, 1);
    refuse(run("keys show"), 2, "keys root", NULL);
    assert_false(is_there("other"));
    root = expect_json(run("keys root --json"), 0);
    assert_true(json_is_true(json_object_get(root, "created")));
    assert_int_equal(access(json_string_value(json_object_get(root, "file")), R_OK), 0);
    json_decref(root);
    (void)snprintf(elsewhere, sizeof elsewhere, "%s/data", world.folder);
    (void)setenv("XDG_DATA_HOME", elsewhere, 1);
}

/* Six files in the official layout, with two images each. */
static void make_cifar_folder(const char *name, uint8_t label)
{
    static const char *const files[] = {"data_batch_1", "data_batch_2", "data_batch_3",
                                        "data_batch_4", "data_batch_5", "test_batch"};
    static uint8_t images[2 * 3073];
    char path[FABRICATE_TEXT_BYTES + 64];

    (void)snprintf(path, sizeof path, "%s/%s", world.folder, name);
    assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
    images[0] = label;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *file;

        (void)snprintf(path, sizeof path, "%s/%s/%s.bin", world.folder, name, files[i]);
        file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(images, 1, sizeof images, file), sizeof images);
        (void)fclose(file);
    }
}

static void test_commands__dataset_imports_and_lists(void **state)
{
    json_t *root;

    (void)state;
    make_cifar_folder("cifar", 3);
    make_cifar_folder("broken", 11);
    expect(run("dataset import cifar --store file://%s/store2", world.folder), 0,
           "10 training and 2 test images", "NOT the published files", "id ", NULL);
    root =
        expect_json(run("dataset import cifar --store file://%s/store2 --json", world.folder), 0);
    assert_true(json_is_false(json_object_get(root, "known")));
    assert_int_equal(integer_of(root, "train"), 10);
    json_decref(root);
    root = expect_json(run("dataset list --store file://%s/store2 --json", world.folder), 0);
    assert_int_equal(json_array_size(root), 1);
    json_decref(root);
    expect(run("dataset list --store %s", world.run.url), 0, "made-up", NULL);
    refuse(run("dataset import broken --store file://%s/store2", world.folder), 2, "label 11",
           NULL);
    refuse(run("dataset import nowhere --store file://%s/store3", world.folder), 2, "nowhere",
           "data_batch_1.bin", NULL);
    assert_false(is_there("store3"));
    refuse(run("dataset import"), 2, "dataset import DIR", NULL);
    root = expect_json(run("dataset list --store file://%s/store2 --json", world.folder), 0);
    assert_int_equal(json_array_size(root), 1); /* the broken one left nothing that is listed */
    json_decref(root);
}

static void test_commands__list_and_status_know_the_run(void **state)
{
    json_t *root;

    (void)state;
    expect(run("list --store %s", world.run.url), 0, "made-up", "finished", "3/3", NULL);
    root = expect_json(run("list --store %s --json", world.run.url), 0);
    assert_int_equal(json_array_size(root), 1);
    json_decref(root);
    expect(run("status made-up --store %s", world.run.url), 0, "3 of 3 generations closed", NULL);
    root = expect_json(run("status made-up --store %s --json", world.run.url), 0);
    assert_string_equal(json_string_value(json_object_get(root, "state")), "finished");
    json_decref(root);
    refuse(run("status nobody --store %s", world.run.url), 2, "nobody", NULL);
}

/* Last of those that need the run: afterwards two blobs are gone. */
static void test_commands__gc_tells_then_removes(void **state)
{
    const char *url = world.run.url;

    (void)state;
    refuse(run("gc made-up --store %s --grace-hours nan", url), 2, "--grace-hours", NULL);
    refuse(run("gc nobody --store %s", url), 2, NULL);
    expect(run("gc made-up --store %s --dry-run --grace-hours 0", url), 0, "would be named", NULL);
    json_decref(expect_json(run("gc made-up --store %s --json", url), 0));
    expect(run("gc made-up --store %s", url), 0, "\n0 blobs of 0.0 MB were removed", NULL);
    expect(run("gc made-up --store %s --grace-hours 0", url), 0, "\n2 blobs of 0.0 MB were removed",
           NULL);
    expect(run("show runs/made-up/gc/00000000 --store %s", url), 0, "2 blobs",
           "by the run key: good", NULL);
    expect(run("audit store#made-up --root-key %s", world.run.root_key), 0,
           "audit of made-up: clean", NULL);
}

/* Every command that `nero-sched --help` lists: usage, an example, JSON unless it serves and logs.
 */
static void test_commands__help_teaches(void **state)
{
    struct said all = run("--help");
    const char *at = strstr((const char *)all.out.data, "commands:");
    unsigned count = 0;
    char command[32];
    int used;

    (void)state;
    assert_non_null(at);
    at = strchr(at, '\n') + 1;
    while (sscanf(at, "  %31[a-z]%n", command, &used) == 1) {
        char example[64];

        (void)snprintf(example, sizeof example, "\n  nero-sched %s ", command);
        example[strlen(example) - (strcmp(command, "list") == 0)] = 0; /* it may stand alone */
        expect(run("%s --help", command), 0, "usage", example,
               strcmp(command, "serve") == 0 ? "usage" : "--json", NULL);
        refuse(run("%s --nonsense", command), 2, "--nonsense", NULL);
        at = strchr(at, '\n') + 1;
        count++;
    }
    assert_int_equal(count, 25);
    said_fini(&all);
    refuse(run("dance"), 2, "dance", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands__audit_ends_clean_or_with_findings),
        cmocka_unit_test(test_commands__audit_says_what_is_wrong_with_its_input),
        cmocka_unit_test(test_commands__show_tells_every_kind_of_object),
        cmocka_unit_test(test_commands__show_tells_a_run),
        cmocka_unit_test(test_commands__show_tells_what_does_not_hold),
        cmocka_unit_test(test_commands__explain_finds_the_job_that_is_meant),
        cmocka_unit_test(test_commands__explain_says_what_is_wrong_with_its_input),
        cmocka_unit_test(test_commands__explain_ends_with_1_where_it_does_not_hold),
        cmocka_unit_test(test_commands__export_writes_whole_files_or_none),
        cmocka_unit_test(test_commands__export_keeps_its_columns),
        cmocka_unit_test(test_commands__export_leaves_nothing_half_made),
        cmocka_unit_test(test_commands__plan_tells_the_cost_of_every_preset),
        cmocka_unit_test(test_commands__plan_starts_from_the_seed_genotype),
        cmocka_unit_test(test_commands__plan_tells_what_collection_leaves),
        cmocka_unit_test(test_commands__plan_and_submit_cut_as_run_does),
        cmocka_unit_test(test_commands__genotype_makes_shows_and_checks),
        cmocka_unit_test(test_commands__keys_shows_and_makes),
        cmocka_unit_test(test_commands__keys_begins_from_nothing),
        cmocka_unit_test(test_commands__dataset_imports_and_lists),
        cmocka_unit_test(test_commands__list_and_status_know_the_run),
        cmocka_unit_test(test_commands__gc_tells_then_removes),
        cmocka_unit_test(test_commands__help_teaches),
    };

    return cmocka_run_group_tests(tests, audit_world_setup, audit_world_teardown);
}
