/* nero-sched run: serve + submit + local runners in one command; nero-sched resume. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "nero/clock.h"

#include "audit.h"
#include "cli.h"
#include "cmd_run.h"
#include "dataset_store.h"
#include "local_run.h"
#include "preset.h"
#include "report.h"
#include "run_create.h"
#include "run_view.h"

/* What run and resume share on the command line. */
struct run_flags {
    const char *store;
    const char *backend;
    uint64_t runners;
    bool json;
    bool skip_audit;
    struct local_run_options local;
};

#define RUN_OPTION_ROWS(flags)                                                                     \
    CLI_OPTION_STORE(&(flags).store), CLI_OPTION_REDIS(&(flags).local.redis_url),                  \
        {"runners", OPTIONS_U64, "N", "local runner processes", NULL, &(flags).runners,            \
         LOCAL_RUNNERS_MAX},                                                                       \
        {"backend", OPTIONS_STRING, "NAME", "what the local runners compute on: auto, cpu, ref",   \
         NULL, &(flags).backend, 0},                                                               \
        {"checkpoint-steps", OPTIONS_U64, "N", "checkpoint every N training steps", NULL,          \
         &(flags).local.checkpoint_steps, 0},                                                      \
        {"checkpoint-seconds", OPTIONS_U64, "S", "checkpoint every S seconds", NULL,               \
         &(flags).local.checkpoint_seconds, 0},                                                    \
        {"lease-ms", OPTIONS_U64, "MS", "lease of a job without a heartbeat", NULL,                \
         &(flags).local.lease_ms, 3600000},                                                        \
        {"skip-audit", OPTIONS_FLAG, NULL, "do not audit at the end", NULL, &(flags).skip_audit,   \
         0},                                                                                       \
        CLI_OPTION_JSON(&(flags).json)

static enum nero_status audit_at_end(struct storage *store, const char *run, bool json, bool *clean,
                                     struct nero_err *err)
{
    struct audit_options options = {.has_expected_head = false};
    struct audit_report report;
    struct key_pair root;
    bool created;

    if (cli_root_key(false, &root, &created, err) != NERO_OK) {
        return err->status;
    }
    options.root = root.public_key;
    key_pair_fini(&root);
    if (audit_run(store, run, &options, &report, err) != NERO_OK) {
        return err_wrap(err, "audit");
    }
    *clean = report.finding_count == 0;
    audit_print(&report, json, stdout);
    audit_report_fini(&report);
    return NERO_OK;
}

/* Serve to the end, then report and audit. Returns the exit code. */
static int serve_and_report(const char *command, struct storage *store, const char *store_url,
                            const char *run, struct run_flags *flags)
{
    struct nero_err err;
    bool clean = true;
    enum nero_status status;

    flags->local.store_url = store_url;
    flags->local.run = run;
    flags->local.backend = flags->backend;
    flags->local.runners = flags->runners;
    flags->local.quiet = flags->json;
    status = local_run(store, &flags->local, &err);
    if (status == NERO_CANCELLED || status == NERO_STALE) {
        int code = cli_fail(command, &err);

        (void)fprintf(stderr, "%s: go on with: nero-sched resume %s --store %s\n", command, run,
                      store_url);
        return code;
    }
    if (status == NERO_OK && !flags->json) {
        (void)printf("\n");
    }
    if (status == NERO_OK) {
        status = report_print(store, run, flags->json, stdout, &err);
    }
    if (status == NERO_OK && !flags->json) {
        (void)printf("artifacts: %s, prefix runs/%s/\n", store_url, run);
    }
    if (status == NERO_OK && !flags->skip_audit) {
        status = audit_at_end(store, run, flags->json, &clean, &err);
    }
    if (status != NERO_OK) {
        return cli_fail(command, &err);
    }
    return clean ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}

static enum nero_status fill_record(struct storage *store, struct preset *preset,
                                    const char *preset_path, const char *name, bool has_seed,
                                    uint64_t seed, struct nero_err *err)
{
    struct run_record *record = &preset->record;
    char base[1024];
    const char *slash = strrchr(preset_path, '/');
    bool known;

    (void)snprintf(base, sizeof base, "%.*s", slash != NULL ? (int)(slash - preset_path) : 1,
                   slash != NULL ? preset_path : ".");
    if (name != NULL) {
        if (strlen(name) >= sizeof record->name) {
            return err_set(err, NERO_INVALID, 0, "--name: '%.80s' is too long", name);
        }
        (void)snprintf(record->name, sizeof record->name, "%s", name);
    } else {
        run_create_name(preset_path, record->name);
    }
    if (has_seed) {
        record->seed = seed;
    } else if (!preset->has_seed) {
        randombytes_buf(&record->seed, sizeof record->seed);
        record->seed >>= 11; /* fits a double and reads well */
    }
    return dataset_store_resolve(store, preset->dataset, base, &record->protocol.dataset, &known,
                                 err);
}

/* Preset to a run in the store, shared with submit. */
enum nero_status cmd_run_prepare(struct storage *store, const char *preset_path,
                                 const struct options_list *sets, const char *name, bool has_seed,
                                 uint64_t seed, struct preset *preset, struct nero_err *err)
{
    if (preset_load(preset_path, sets->values, sets->count, preset, err) != NERO_OK) {
        return err->status;
    }
    if (fill_record(store, preset, preset_path, name, has_seed, seed, err) != NERO_OK) {
        preset_fini(preset);
        return err->status;
    }
    return NERO_OK;
}

static int start_run(const char *command, struct storage *store, const char *url,
                     struct preset *preset, struct run_flags *flags)
{
    struct key_pair root;
    struct key_pair run_key;
    struct nero_err err;
    bool created;

    if (cli_root_key(true, &root, &created, &err) != NERO_OK ||
        run_create(store, &preset->record, &root, &run_key, &err) != NERO_OK) {
        return cli_fail(command, &err);
    }
    key_pair_fini(&root);
    key_pair_fini(&run_key);
    flags->runners = flags->runners > 0 ? flags->runners : preset->runners;
    flags->local.checkpoint_steps =
        flags->local.checkpoint_steps > 0 ? flags->local.checkpoint_steps : preset->checkpoint_steps;
    flags->local.checkpoint_seconds = flags->local.checkpoint_seconds > 0
                                          ? flags->local.checkpoint_seconds
                                          : preset->checkpoint_seconds;
    flags->local.lease_ms = flags->local.lease_ms > 0 ? flags->local.lease_ms : preset->lease_ms;
    if (!flags->json) {
        (void)printf("run %s, seed %" PRIu64 ", store %s\n", preset->record.name,
                     preset->record.seed, url);
        (void)fflush(stdout);
    }
    return serve_and_report(command, store, url, preset->record.name, flags);
}

int cmd_run(int argc, char **argv)
{
    struct run_flags flags = {.backend = ""};
    const char *name = NULL;
    const char *seed_text = NULL;
    struct options_list sets = {.count = 0};
    const struct options_spec specs[] = {
        RUN_OPTION_ROWS(flags),
        {"name", OPTIONS_STRING, "NAME", "the run's name (default: preset and random digits)", NULL,
         &name, 0},
        {"seed", OPTIONS_STRING, "N", "the run's seed: same seed, same decisions", "NERO_SEED",
         &seed_text, 0},
        {"set", OPTIONS_LIST, "KEY=VALUE", "override a preset key, e.g. search.generations=5", NULL,
         &sets, 0},
    };
    const struct options_command command = {
        .program = "nero-sched run",
        .arguments = "PRESET",
        .about = "Start a search and serve it here to its end: a private Redis (unless --redis is\n"
                 "given), local runners, live lines, a report, an audit. Ctrl-C leaves a run that\n"
                 "'nero-sched resume RUN' continues.",
        .examples = "  nero-sched run presets/demo.yaml --seed 1\n"
                    "  nero-sched run presets/demo.yaml --set search.generations=5 --runners 1\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    static struct preset preset;
    struct storage *store = NULL;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    uint64_t seed = 0;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if ((seed_text != NULL &&
         options_parse_u64("--seed", seed_text, 0, UINT64_MAX, &seed, &err) != NERO_OK) ||
        cli_store_url(flags.store, true, url, &err) != NERO_OK ||
        cli_open_store(url, true, &store, &err) != NERO_OK ||
        cmd_run_prepare(store, parsed.arguments[0], &sets, name, seed_text != NULL, seed, &preset,
                        &err) != NERO_OK) {
        storage_close(store);
        return cli_fail(command.program, &err);
    }
    code = start_run(command.program, store, url, &preset, &flags);
    preset_fini(&preset);
    storage_close(store);
    return code;
}

int cmd_resume(int argc, char **argv)
{
    struct run_flags flags = {.backend = "", .runners = 2, .local = {.lease_ms = 10000}};
    const struct options_spec specs[] = {RUN_OPTION_ROWS(flags)};
    const struct options_command command = {
        .program = "nero-sched resume",
        .arguments = "RUN",
        .about = "Go on with a run where its records in the store stand, here, as 'run' does.\n"
                 "What another scheduler may still be doing for it is fenced off first.",
        .examples = "  nero-sched resume demo-3f9a12\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct run_view view;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (cli_store_url(flags.store, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        run_view_open(store, parsed.arguments[0], NULL, &view, &err) != NERO_OK) {
        storage_close(store);
        return cli_fail(command.program, &err);
    }
    run_view_close(&view); /* the run exists and its records can be read */
    code = serve_and_report(command.program, store, url, parsed.arguments[0], &flags);
    storage_close(store);
    return code;
}
