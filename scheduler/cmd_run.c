/* nero-sched run: serve + submit + local runners in one command. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/redis_child.h"

#include "cli.h"
#include "cmd_run.h"
#include "dataset_store.h"
#include "evolve/evolve.h"
#include "local.h"
#include "preset.h"
#include "preset_cut.h"
#include "run_create.h"
#include "run_session.h"
#include "stop.h"

static enum nero_status fill_record(struct preset *preset, const char *preset_path,
                                    const char *name, bool has_seed, uint64_t seed,
                                    struct nero_err *err)
{
    struct run_record *record = &preset->record;

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
    return layout_check_run(record->name, err);
}

/* Paths of a preset start from its folder. */
static enum nero_status find_dataset(struct storage *store, struct preset *preset,
                                     const char *preset_path, struct dataset_found *dataset,
                                     struct nero_err *err)
{
    char base[1024];
    const char *slash = strrchr(preset_path, '/');

    (void)snprintf(base, sizeof base, "%.*s", slash != NULL ? (int)(slash - preset_path) : 1,
                   slash != NULL ? preset_path : ".");
    if (dataset_store_find(store, preset->dataset, base, dataset, err) != NERO_OK) {
        return err->status;
    }
    preset->record.protocol.dataset = dataset->id;
    return NERO_OK;
}

/* What can only be said once the data set is known: the parts fit, the networks have its classes.
 */
static enum nero_status check_fit(const struct preset *preset, const struct run_dataset *dataset,
                                  struct nero_err *err)
{
    const struct job_protocol *protocol = &preset->record.protocol;
    uint64_t wanted =
        (uint64_t)protocol->train_count + protocol->control_count + protocol->fitness_count;
    struct grammar grammar = {.rule_count = 0};
    struct evolve_run run = {.record = &preset->record, .grammar = &grammar};
    enum nero_status status;

    if (wanted > dataset->train_count) {
        return err_set(err, NERO_INVALID, 0,
                       "protocol: train_count + control_count + fitness_count = %" PRIu64
                       ", but data set %s has %" PRIu32 " training images",
                       wanted, dataset->name, dataset->train_count);
    }
    run.channels = dataset->channels;
    run.height = dataset->height;
    run.width = dataset->width;
    run.classes = dataset->classes;
    run.test_count = dataset->test_count;
    status = grammar_parse("grammar", preset->record.grammar, &grammar, err);
    if (status == NERO_OK) {
        status = evolve_check(&run, err);
    }
    grammar_fini(&grammar);
    return status;
}

enum nero_status cmd_run_prepare(struct storage *store, const char *preset_path,
                                 const struct options_list *sets, const char *name, bool has_seed,
                                 uint64_t seed, struct preset *preset,
                                 struct dataset_found *dataset, struct nero_err *err)
{
    if (preset_load(preset_path, sets->values, sets->count, preset, err) != NERO_OK) {
        return err->status;
    }
    if (fill_record(preset, preset_path, name, has_seed, seed, err) != NERO_OK ||
        find_dataset(store, preset, preset_path, dataset, err) != NERO_OK) {
        preset_fini(preset);
        return err_wrap(err, "%s", preset_path);
    }
    if (check_fit(preset, &dataset->record, err) != NERO_OK) {
        dataset_found_fini(dataset);
        preset_fini(preset);
        return err_wrap(err, "%s", preset_path);
    }
    return NERO_OK;
}

/* A Redis that cannot be used, or started, is told before anything is written. */
static enum nero_status check_redis(const char *url, struct nero_err *err)
{
    struct queue *queue;

    if (url == NULL || url[0] == '\0') {
        return redis_child_installed(err); /* a private one will be started */
    }
    if (queue_open(url, &queue, err) != NERO_OK) {
        return err->status;
    }
    queue_close(queue);
    return NERO_OK;
}

/* A folder for what the run has on this machine is there before the run is. */
static enum nero_status make_place(const char *run, const char *url, struct nero_err *err)
{
    char folder[LOCAL_PATH_BYTES];

    return local_folder(run, url, true, folder, err) == NERO_OK
               ? NERO_OK
               : err_wrap(err, "the run's own folder (XDG_STATE_HOME)");
}

static int start_run(const char *command, struct storage *store, const char *url,
                     struct preset *preset, struct dataset_found *dataset,
                     struct run_session *session)
{
    struct key_pair root;
    struct key_pair run_key;
    struct nero_err err;
    bool created;

    if (make_place(preset->record.name, url, &err) != NERO_OK ||
        dataset_store_keep(store, dataset, &err) != NERO_OK ||
        cli_root_key(true, &root, &created, &err) != NERO_OK ||
        run_create(store, &preset->record, &root, &run_key, &err) != NERO_OK) {
        return run_session_unready(command, &err);
    }
    key_pair_fini(&root);
    key_pair_fini(&run_key);
    session->runners = session->runners > 0 ? session->runners : preset->runners;
    if (session->local.checkpoint_interval == NULL) {
        session->local.checkpoint_interval = preset->checkpoint_interval;
    }
    session->local.lease_ms =
        session->local.lease_ms > 0 ? session->local.lease_ms : preset->lease_ms;
    if (!session->json) {
        (void)printf("run %s, seed %" PRIu64 ", store %s\n", preset->record.name,
                     preset->record.seed, url);
        (void)fflush(stdout);
    }
    return run_session(command, store, url, preset->record.name, session);
}

int cmd_run(int argc, char **argv)
{
    struct run_session session = {.backend = ""};
    const char *name = NULL;
    const char *seed_text = NULL;
    struct options_list sets = {.count = 0};
    struct preset_cut cut = {.images = 0};
    const struct options_spec specs[] = {
        RUN_SESSION_OPTIONS(session),
        {"name", OPTIONS_STRING, "NAME", "the run's name (default: preset and random digits)", NULL,
         &name, 0},
        {"seed", OPTIONS_STRING, "N", "the run's seed: same seed, same decisions", "NERO_SEED",
         &seed_text, 0},
        {"set", OPTIONS_LIST, "KEY=VALUE", "override a preset key, e.g. search.generations=5", NULL,
         &sets, 0},
        PRESET_CUT_OPTIONS(cut),
        PRESET_CUT_OPTION_BUDGET(cut),
    };
    const struct options_command command = {
        .program = "nero-sched run",
        .arguments = "PRESET",
        .about = "Start a search and serve it here to its end: a private Redis (unless --redis is\n"
                 "given), local runners, live lines, a report, an audit. Ctrl-C leaves a run that\n"
                 "'nero-sched resume RUN' continues.",
        .examples = "  nero-sched run presets/demo.yaml --seed 1\n"
                    "  nero-sched run presets/demo.yaml --set search.generations=5 --runners 1\n"
                    "  nero-sched run presets/demo.yaml --strategy random\n"
                    "  nero-sched run presets/paper.yaml --images 512 --budget steps:5\n",
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
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    stop_install(); /* a run that is being prepared is made all the same, to be resumed */
    if ((seed_text != NULL &&
         options_parse_u64("--seed", seed_text, 0, UINT64_MAX, &seed, &err) != NERO_OK) ||
        run_session_check(&session, &err) != NERO_OK ||
        check_redis(session.local.redis_url, &err) != NERO_OK ||
        cli_store_url(session.store, true, url, &err) != NERO_OK ||
        cli_open_store(url, true, &store, &err) != NERO_OK ||
        cli_store_mode(store, session.store_mode, &err) != NERO_OK ||
        cli_trust_store(store, session.skip_probe, &err) != NERO_OK ||
        preset_cut_apply(parsed.arguments[0], &cut, &sets, &err) != NERO_OK ||
        cmd_run_prepare(store, parsed.arguments[0], &sets, name, seed_text != NULL, seed, &preset,
                        &dataset, &err) != NERO_OK) {
        storage_close(store);
        return run_session_unready(command.program, &err);
    }
    code = start_run(command.program, store, url, &preset, &dataset, &session);
    dataset_found_fini(&dataset);
    preset_fini(&preset);
    storage_close(store);
    return code;
}
