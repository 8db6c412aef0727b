/* nero-sched submit: a search, or a single evaluation, into the inbox of a store. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "cmd_run.h"
#include "genotype_file.h"
#include "inbox.h"
#include "preset_cut.h"
#include "single.h"

/* The run record of a search made into that of one evaluation. */
static enum nero_status make_single(struct preset *preset, const struct run_dataset *dataset,
                                    const char *genotype_path, const char *budget,
                                    struct bytes *job, struct nero_err *err)
{
    struct genotype genotype;
    struct single_options options = {
        .genotype = &genotype, .budget = budget, .seed = preset->record.seed};
    enum nero_status status = genotype_file_read(genotype_path, &genotype, err);

    if (status == NERO_OK) {
        status = single_prepare(dataset, preset, &options, job, err);
        genotype_fini(&genotype);
    }
    return status;
}

static enum nero_status submit(struct storage *store, struct preset *preset,
                               struct dataset_found *dataset, const char *genotype_path,
                               const char *budget, struct nero_err *err)
{
    struct key_pair root;
    struct bytes job;
    bool created;
    enum nero_status status = NERO_OK;

    bytes_init(&job, JOB_BYTES_MAX);
    if (genotype_path != NULL) {
        status = make_single(preset, &dataset->record, genotype_path, budget, &job, err);
    } else if (budget != NULL) {
        status = err_set(err, NERO_INVALID, 0,
                         "--budget is for a single evaluation (--genotype); for a search give "
                         "--set search.budget=%s",
                         budget);
    }
    if (status == NERO_OK) {
        status = dataset_store_keep(store, dataset, err);
    }
    if (status == NERO_OK) {
        status = cli_root_key(true, &root, &created, err);
    }
    if (status == NERO_OK) {
        status = inbox_put(store, &preset->record, &root, err);
        key_pair_fini(&root);
    }
    bytes_fini(&job);
    return status;
}

/* As --set run.priority=N, after the others. */
static void set_priority(const char *priority, struct options_list *sets)
{
    static char text[64];

    if (priority != NULL && sets->count < OPTIONS_LIST_MAX) {
        (void)snprintf(text, sizeof text, "run.priority=%.40s", priority);
        sets->values[sets->count++] = text;
    }
}

static void tell(const struct run_record *record, bool json)
{
    (void)printf(json ? "{\"run\":\"%s\",\"seed\":%" PRIu64 "}\n"
                      : "submitted run %s (seed %" PRIu64 ")\n",
                 record->name, record->seed);
}

int cmd_submit(int argc, char **argv)
{
    const char *store_url = NULL;
    const char *name = NULL;
    const char *seed_text = NULL;
    const char *genotype = NULL;
    const char *budget = NULL;
    const char *priority = NULL;
    bool json = false;
    struct options_list sets = {.count = 0};
    struct preset_cut cut = {.images = 0};
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&store_url),
        {"name", OPTIONS_STRING, "NAME", "the run's name (default: preset and random digits)", NULL,
         &name, 0},
        {"seed", OPTIONS_STRING, "N", "the run's seed, or the evaluation's", "NERO_SEED",
         &seed_text, 0},
        {"set", OPTIONS_LIST, "KEY=VALUE", "override a preset key", NULL, &sets, 0},
        PRESET_CUT_OPTIONS(cut),
        {"genotype", OPTIONS_STRING, "FILE",
         "evaluate this genotype (text form) instead of a search", NULL, &genotype, 0},
        {"budget", OPTIONS_STRING, "KIND:N", "of the evaluation: epochs:8, steps:500, seconds:600",
         NULL, &budget, 0},
        {"priority", OPTIONS_STRING, "N", "-255 to 255 (default 0): a higher one goes first", NULL,
         &priority, 0},
        CLI_OPTION_JSON(&json),
    };
    const struct options_command command = {
        .program = "nero-sched submit",
        .arguments = "PRESET",
        .about = "Hand a search, or one evaluation of a genotype, to the 'nero-sched serve' that\n"
                 "watches the store. Answers when the submission is in the store.",
        .examples = "  nero-sched submit presets/demo.yaml --store file:///srv/nero --seed 7\n"
                    "  nero-sched submit presets/demo.yaml --genotype mine.txt --priority 10\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    static struct preset preset;
    struct dataset_found dataset;
    struct storage *store = NULL;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    uint64_t seed = 0;
    bool done;
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    set_priority(priority, &sets);
    if ((seed_text != NULL &&
         options_parse_u64("--seed", seed_text, 0, UINT64_MAX, &seed, &err) != NERO_OK) ||
        cli_store_url(store_url, true, url, &err) != NERO_OK ||
        cli_open_store(url, true, &store, &err) != NERO_OK ||
        preset_cut_apply(parsed.arguments[0], &cut, &sets, &err) != NERO_OK ||
        cmd_run_prepare(store, parsed.arguments[0], &sets, name, seed_text != NULL, seed, &preset,
                        &dataset, &err) != NERO_OK) {
        storage_close(store);
        return cli_fail(command.program, &err);
    }
    status = submit(store, &preset, &dataset, genotype, budget, &err);
    if (status == NERO_OK) {
        tell(&preset.record, json);
    }
    dataset_found_fini(&dataset);
    preset_fini(&preset);
    storage_close(store);
    return status == NERO_OK ? ERR_EXIT_DONE : cli_fail(command.program, &err);
}
