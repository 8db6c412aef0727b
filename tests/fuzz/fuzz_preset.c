/*
 * Goal: any preset, with any override, is refused with a message that names it, or is a run record
 * that can be stored and read, and from whose grammar an individual can be drawn and decoded. What
 * follows a line "-- " is an override. The file lies beside the shipped grammars, so that presets
 * may name them.
 */
#include <string.h>
#include <unistd.h>

#include "evolve/evolve.h"
#include "preset.h"
#include "tests/fuzz/fuzz.h"

#define MARK "\n-- "

static char folder[] = "/tmp/nero-fuzz-preset-XXXXXX";

static const char *const shipped[] = {"smoke.bnf", "demo.bnf", "nero-net.bnf", "nsga-net.txt"};

static void remove_folder(void)
{
    char path[128];

    for (size_t i = 0; i < sizeof shipped / sizeof shipped[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, shipped[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/preset.yaml", folder);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void make_folder(void)
{
    char from[1024];
    char to[128];

    FUZZ_CHECK(mkdtemp(folder) != NULL);
    for (size_t i = 0; i < sizeof shipped / sizeof shipped[0]; i++) {
        (void)snprintf(from, sizeof from, "%s/presets/%s", NERO_SOURCE_DIR, shipped[i]);
        (void)snprintf(to, sizeof to, "%s/%s", folder, shipped[i]);
        FUZZ_CHECK(symlink(from, to) == 0);
    }
    FUZZ_CHECK(atexit(remove_folder) == 0);
}

/* Drawn, decoded: what the check of structure and grammar promised. */
static void try_search(struct preset *preset)
{
    struct evolve_run run = {
        .record = &preset->record, .channels = 3, .height = 32, .width = 32, .classes = 10};
    struct grammar grammar;
    struct genotype genotype;
    struct phenotype phenotype;
    struct nero_err err;

    FUZZ_CHECK(grammar_parse("fuzz", preset->record.grammar, &grammar, &err) == NERO_OK);
    run.grammar = &grammar;
    if (evolve_check(&run, &err) == NERO_OK) { /* the classifier may have other classes */
        FUZZ_CHECK(evolve_random(&run, 0, 0, 0, &genotype, &err) == NERO_OK);
        FUZZ_CHECK(evolve_decode(&run, &genotype, &phenotype, &err) == NERO_OK);
        phenotype_fini(&phenotype);
        genotype_fini(&genotype);
    }
    grammar_fini(&grammar);
}

static void try_record(struct preset *preset)
{
    static struct run_record again;
    struct bytes one;
    struct bytes two;
    struct nero_err err;

    memcpy(preset->record.name, "fuzz", sizeof "fuzz");
    bytes_init(&one, RUN_BYTES_MAX);
    bytes_init(&two, RUN_BYTES_MAX);
    FUZZ_CHECK(run_record_encode(&preset->record, &one, &err) == NERO_OK);
    FUZZ_CHECK(run_record_decode(bytes_as_view(&one), &again, &err) == NERO_OK);
    FUZZ_CHECK(run_record_encode(&again, &two, &err) == NERO_OK);
    FUZZ_CHECK(bytes_view_equal(bytes_as_view(&one), bytes_as_view(&two)));
    bytes_fini(&one);
    bytes_fini(&two);
}

static void write_preset(const char *path, const uint8_t *data, size_t bytes)
{
    FILE *file;

    (void)unlink(path); /* a file system may sync one that is cut and written again */
    file = fopen(path, "wb");
    FUZZ_CHECK(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static bool made;
    static struct preset preset;
    const uint8_t *mark = memmem(data, bytes, MARK, strlen(MARK));
    size_t length = mark != NULL ? (size_t)(mark - data) : bytes;
    char override[512];
    const char *const overrides[] = {override};
    char path[128];
    struct nero_err err;

    if (!made) {
        make_folder();
        made = true;
    }
    if (mark != NULL) {
        (void)snprintf(override, sizeof override, "%.*s", (int)(bytes - length - strlen(MARK)),
                       (const char *)mark + strlen(MARK));
    }
    (void)snprintf(path, sizeof path, "%s/preset.yaml", folder);
    write_preset(path, data, length);
    if (preset_load(path, overrides, mark != NULL ? 1 : 0, &preset, &err) != NERO_OK) {
        FUZZ_CHECK(err.message[0] != '\0' && err_exit_code(err.status) == ERR_EXIT_INPUT);
        return 0;
    }
    try_record(&preset);
    try_search(&preset);
    preset_fini(&preset);
    return 0;
}
