/*
 * nero-sched evaluate: how much of a genotype's scores is the seed's. Each seed is a run of one
 * evaluation, served here with a private Redis and a runner by a child of this process, a few at a
 * time. A run's name is the evaluation's and the number of the seed, its record says what is to be
 * done: so evaluating again under the same name goes on where it was stopped.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/mem.h"

#include "audit.h"
#include "cli.h"
#include "cmd_run.h"
#include "genotype_file.h"
#include "network_json.h"
#include "noise.h"
#include "run_create.h"
#include "run_session.h"
#include "run_view.h"
#include "single.h"
#include "stop.h"

enum { SEEDS_MAX = 1000 };

static const char PROGRAM[] = "nero-sched evaluate";

/* One seed: its run, while it is served its process, at the end its result. */
struct evaluate_seed {
    char run[SLOT_RUN_BYTES];
    uint64_t seed;
    pid_t pid; /* 0: not running */
    bool has_result;
    struct result result;
    char why[160]; /* it has none */
};

struct evaluate {
    struct run_session session;
    const char *budget; /* NULL: the preset's */
    bool test;
    uint64_t count; /* of seeds */
    uint64_t base_seed;
    char url[CLI_URL_BYTES];
    struct storage *store;
    struct preset *preset;
    struct dataset_found *dataset;
    char name[SLOT_RUN_BYTES];
    struct genotype genotype;
    struct evaluate_seed *seeds;
};

/* ---- the runs ---- */

/* A run of this name is there: it must be for the same evaluation. */
static enum nero_status check_same(struct evaluate *evaluate, const struct evaluate_seed *seed,
                                   struct nero_err *err)
{
    struct run_view view;
    const struct run_record *record;
    bool same;

    if (run_view_open(evaluate->store, seed->run, NULL, &view, err) != NERO_OK) {
        return err->status;
    }
    record = view.run.record;
    same = record->strategy == RUN_SINGLE &&
           bytes_view_equal(record->single_job, evaluate->preset->record.single_job);
    run_view_close(&view);
    return same ? NERO_OK
                : err_set(err, NERO_INVALID, 0,
                          "run %s is there already and does something else: give another --name",
                          seed->run);
}

static enum nero_status make_run(struct evaluate *evaluate, struct evaluate_seed *seed,
                                 const struct key_pair *root, struct nero_err *err)
{
    struct single_options options = {.genotype = &evaluate->genotype,
                                     .budget = evaluate->budget,
                                     .seed = seed->seed,
                                     .test = evaluate->test};
    struct key_pair run_key;
    struct bytes job;
    enum nero_status status;

    bytes_init(&job, JOB_BYTES_MAX);
    status = single_prepare(&evaluate->dataset->record, evaluate->preset, &options, &job, err);
    if (status == NERO_OK) {
        status = dataset_store_keep(evaluate->store, evaluate->dataset, err);
    }
    if (status == NERO_OK) {
        memcpy(evaluate->preset->record.name, seed->run, sizeof seed->run);
        status = run_create(evaluate->store, &evaluate->preset->record, root, &run_key, err);
        if (status == NERO_OK) {
            key_pair_fini(&run_key);
        } else if (status == NERO_EXISTS) {
            status = check_same(evaluate, seed, err);
        }
    }
    bytes_fini(&job);
    return status;
}

static enum nero_status make_runs(struct evaluate *evaluate, struct nero_err *err)
{
    struct key_pair root;
    bool created;
    enum nero_status status = cli_root_key(true, &root, &created, err);

    if (status != NERO_OK) {
        return status;
    }
    if (strlen(evaluate->name) + 5 > SLOT_RUN_BYTES) {
        status = err_set(err, NERO_INVALID, 0, "--name: '%s' is too long", evaluate->name);
    }
    for (uint32_t i = 0; i < evaluate->count && status == NERO_OK; i++) {
        struct evaluate_seed *seed = &evaluate->seeds[i];

        (void)snprintf(seed->run, sizeof seed->run, "%.58s-%03" PRIu32, evaluate->name, i);
        seed->seed = evolve_training_seed(evaluate->base_seed, 0, 0, i);
        status = make_run(evaluate, seed, &root, err);
    }
    key_pair_fini(&root);
    return status;
}

/* ---- serving them ---- */

/* The result of a seed's run; not_found while it has none. */
static enum nero_status load_result(struct evaluate *evaluate, struct evaluate_seed *seed,
                                    struct nero_err *err)
{
    struct run_view view;
    struct job_record job;
    struct hash id;
    enum nero_status status = run_view_open(evaluate->store, seed->run, NULL, &view, err);

    if (status != NERO_OK) {
        return status;
    }
    status = job_record_decode(view.run.record->single_job, &job, err);
    if (status == NERO_OK) {
        id = job_id(job.spec);
        status = run_view_result(&view, &id, NULL, &seed->result, err);
        seed->has_result = status == NERO_OK;
    }
    run_view_close(&view);
    return status;
}

/* In the child: its own store, Redis and runner. */
static int serve_seed(const struct evaluate *evaluate, const struct evaluate_seed *seed)
{
    struct local_run_options options = evaluate->session.local;
    struct storage *store = NULL;
    struct nero_err err;
    enum nero_status status = cli_open_store(evaluate->url, false, &store, &err);

    options.store_url = evaluate->url;
    options.backend = evaluate->session.backend;
    options.run = seed->run;
    options.runners = 1;
    options.quiet = true;
    if (status == NERO_OK) {
        status = local_run(store, &options, &err);
        storage_close(store);
    }
    return status == NERO_OK ? ERR_EXIT_DONE : cli_fail(PROGRAM, &err);
}

static enum nero_status start_seed(const struct evaluate *evaluate, struct evaluate_seed *seed,
                                   struct nero_err *err)
{
    pid_t parent = getpid();
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid < 0) {
        return err_set(err, err_from_errno(errno), errno, "start an evaluation: %s",
                       strerror(errno));
    }
    if (pid == 0) {
        /* Not in the terminal's group: a Ctrl-C comes once, from the parent. */
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) {
            _exit(ERR_EXIT_RESUMABLE);
        }
        exit(serve_seed(evaluate, seed));
    }
    seed->pid = pid;
    return NERO_OK;
}

static void stop_seeds(const struct evaluate *evaluate)
{
    for (uint32_t i = 0; i < evaluate->count; i++) {
        if (evaluate->seeds[i].pid > 0) {
            (void)kill(evaluate->seeds[i].pid, SIGTERM);
        }
    }
}

/* Wait for a child to end; *code is what it said. Passes a stop request on, once. */
static struct evaluate_seed *await_seed(struct evaluate *evaluate, bool *stopped, int *code)
{
    for (;;) {
        int status;
        pid_t pid;

        if (stop_requested() && !*stopped) {
            *stopped = true;
            stop_seeds(evaluate);
        }
        pid = waitpid(-1, &status, 0); /* a signal ends it early */
        for (uint32_t i = 0; pid > 0 && i < evaluate->count; i++) {
            if (evaluate->seeds[i].pid == pid) {
                evaluate->seeds[i].pid = 0;
                *code = WIFEXITED(status) ? WEXITSTATUS(status) : ERR_EXIT_RESUMABLE;
                return &evaluate->seeds[i];
            }
        }
    }
}

static void tell_seed(const struct evaluate *evaluate, const struct evaluate_seed *seed)
{
    const struct result_outcome *outcome = &seed->result.outcome;
    double clean = result_clean_accuracy(outcome);
    double adversarial = result_adversarial_accuracy(outcome);

    if (evaluate->session.json) {
        return;
    }
    if (!seed->has_result) {
        (void)printf("  %-28s  failed: %s\n", seed->run, seed->why);
        return;
    }
    (void)printf("  %-28s  C %6.2f %%  A %6.2f %%  F %.4f  %4" PRIu32 " epochs, %s%s\n", seed->run,
                 100 * clean, 100 * adversarial,
                 result_fitness(clean, adversarial, evaluate->preset->record.search.beta),
                 outcome->epochs, result_stop_name(outcome->stop),
                 outcome->ill != RESULT_WELL ? ", ill-fitted" : "");
    (void)fflush(stdout);
}

/* What a finished seed came to; a job that failed for cause is told, and counts in no mean. */
static enum nero_status take_result(struct evaluate *evaluate, struct evaluate_seed *seed,
                                    struct nero_err *err)
{
    enum nero_status status = load_result(evaluate, seed, err);

    if (status == NERO_NOT_FOUND) {
        (void)snprintf(seed->why, sizeof seed->why, "%.150s", err->message);
        status = NERO_OK;
    }
    if (status == NERO_OK) {
        tell_seed(evaluate, seed);
    }
    return status;
}

/* Serve all seeds, `runners` at a time. Returns the exit code of the first that did not end well.
 */
static int serve_seeds(struct evaluate *evaluate, struct nero_err *err)
{
    uint64_t most = evaluate->session.runners;
    uint64_t running = 0;
    uint32_t next = 0;
    bool stopped = false;
    int worst = ERR_EXIT_DONE;

    while (running > 0 || (next < evaluate->count && worst == ERR_EXIT_DONE && !stop_requested())) {
        struct evaluate_seed *seed;
        int code;

        if (running < most && next < evaluate->count && worst == ERR_EXIT_DONE &&
            !stop_requested()) {
            seed = &evaluate->seeds[next++];
            if (load_result(evaluate, seed, err) == NERO_OK) { /* by an earlier call */
                tell_seed(evaluate, seed);
            } else if (err->status != NERO_NOT_FOUND ||
                       start_seed(evaluate, seed, err) != NERO_OK) {
                worst = cli_fail(PROGRAM, err);
            } else {
                running++;
            }
            continue;
        }
        seed = await_seed(evaluate, &stopped, &code);
        running--;
        if (code == ERR_EXIT_DONE && take_result(evaluate, seed, err) != NERO_OK) {
            code = cli_fail(PROGRAM, err);
        }
        worst = worst == ERR_EXIT_DONE ? code : worst;
    }
    return worst == ERR_EXIT_DONE && stop_requested() ? ERR_EXIT_RESUMABLE : worst;
}

/* ---- what came of it ---- */

/* C, A and F over the seeds that have a result. */
struct evaluate_noise {
    uint32_t count; /* 0: the rest is not set */
    uint32_t ill;
    struct noise clean, adversarial, fitness;
};

static enum nero_status measure(const struct evaluate *evaluate, struct evaluate_noise *out,
                                struct nero_err *err)
{
    double *values = mem_calloc((size_t)evaluate->count * 3, sizeof *values);
    double *clean = values;
    double *adversarial = values + evaluate->count;
    double *fitness = adversarial + evaluate->count;

    if (values == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %" PRIu64 " results",
                       evaluate->count);
    }
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < evaluate->count; i++) {
        const struct evaluate_seed *seed = &evaluate->seeds[i];

        if (seed->has_result) {
            clean[out->count] = result_clean_accuracy(&seed->result.outcome);
            adversarial[out->count] = result_adversarial_accuracy(&seed->result.outcome);
            fitness[out->count] = result_fitness(clean[out->count], adversarial[out->count],
                                                 evaluate->preset->record.search.beta);
            out->count++;
            out->ill += seed->result.outcome.ill != RESULT_WELL;
        }
    }
    if (out->count > 0) {
        out->clean = noise_of(clean, out->count);
        out->adversarial = noise_of(adversarial, out->count);
        out->fitness = noise_of(fitness, out->count);
    }
    free(values);
    return NERO_OK;
}

static void print_noise(const char *what, const struct noise *noise, double scale, const char *unit)
{
    (void)printf("  %s  mean %8.4f%s  deviation %7.4f  95 %% interval %.4f to %.4f\n", what,
                 scale * noise->mean, unit, scale * noise->deviation, scale * noise->low,
                 scale * noise->high);
}

static void print_text(const struct evaluate *evaluate, const struct evaluate_noise *noise)
{
    const struct job_protocol *protocol = &evaluate->preset->record.protocol;

    (void)printf("%" PRIu32 " of %" PRIu64 " seeds, %" PRIu32 " %s images each%s\n", noise->count,
                 evaluate->count, protocol->fitness_count, evaluate->test ? "TEST" : "fitness",
                 evaluate->test ? ": the runs' records say so" : "");
    if (noise->count == 0) {
        return;
    }
    print_noise("C", &noise->clean, 100, " %");
    print_noise("A", &noise->adversarial, 100, " %");
    print_noise("F", &noise->fitness, 1, "  ");
    if (noise->ill > 0) {
        (void)printf("  %" PRIu32 " ill-fitted: not attacked, with A = 0 and F = 0 in the means\n",
                     noise->ill);
    }
}

static json_t *noise_json(const struct noise *noise)
{
    return json_pack("{s:f, s:f, s:[f, f]}", "mean", noise->mean, "deviation", noise->deviation,
                     "interval_95", noise->low, noise->high);
}

static void print_json(const struct evaluate *evaluate, const struct evaluate_noise *noise)
{
    json_t *list = json_array();
    json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:o}", "name", evaluate->name, "store",
                             evaluate->url, "split", evaluate->test ? "test" : "fitness", "seeds",
                             (int)evaluate->count, "measured", (int)noise->count, "attack",
                             network_json_attack(&evaluate->preset->record.protocol.attack),
                             "evaluations", list);

    for (uint32_t i = 0; i < evaluate->count; i++) {
        const struct evaluate_seed *seed = &evaluate->seeds[i];
        json_t *entry = seed->has_result ? network_json_scores(&seed->result.outcome,
                                                               evaluate->preset->record.search.beta)
                                         : json_pack("{s:s}", "failed", seed->why);

        (void)json_object_set_new(entry, "run", json_string(seed->run));
        (void)json_object_set_new(entry, "seed", json_sprintf("%" PRIu64, seed->seed));
        (void)json_array_append_new(list, entry);
    }
    if (noise->count > 0) {
        (void)json_object_set_new(root, "clean_accuracy", noise_json(&noise->clean));
        (void)json_object_set_new(root, "adversarial_accuracy", noise_json(&noise->adversarial));
        (void)json_object_set_new(root, "fitness", noise_json(&noise->fitness));
    }
    (void)json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
    (void)fputc('\n', stdout);
    json_decref(root);
}

/* Every run, quietly but for those with findings. */
static enum nero_status audit_runs(const struct evaluate *evaluate, bool *clean,
                                   struct nero_err *err)
{
    struct audit_options options = {.skip_blobs = false};
    struct key_pair root;
    bool created;

    *clean = true;
    if (cli_root_key(false, &root, &created, err) != NERO_OK) {
        return err->status;
    }
    options.root = root.public_key;
    key_pair_fini(&root);
    for (uint32_t i = 0; i < evaluate->count; i++) {
        struct audit_report report;

        if (audit_run(evaluate->store, evaluate->seeds[i].run, &options, &report, err) != NERO_OK) {
            return err_wrap(err, "audit of %s", evaluate->seeds[i].run);
        }
        if (report.finding_count > 0) {
            *clean = false;
            audit_print(&report, false, stderr);
        }
        audit_report_fini(&report);
    }
    if (!evaluate->session.json && *clean) {
        (void)printf("audit of %" PRIu64 " runs: clean\n", evaluate->count);
    }
    return NERO_OK;
}

static int report(const struct evaluate *evaluate)
{
    struct evaluate_noise noise = {.count = 0};
    struct nero_err err;
    bool clean = true;

    if (measure(evaluate, &noise, &err) != NERO_OK) {
        return cli_fail(PROGRAM, &err);
    }
    if (evaluate->session.json) {
        print_json(evaluate, &noise);
    } else {
        print_text(evaluate, &noise);
    }
    if (!evaluate->session.skip_audit && audit_runs(evaluate, &clean, &err) != NERO_OK) {
        return cli_fail(PROGRAM, &err);
    }
    return clean && noise.count == evaluate->count ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}

/* ---- the command ---- */

static int evaluate_all(struct evaluate *evaluate)
{
    struct nero_err err;
    int code;

    memcpy(evaluate->name, evaluate->preset->record.name, sizeof evaluate->name);
    if (make_runs(evaluate, &err) != NERO_OK) {
        return run_session_unready(PROGRAM, &err);
    }
    if (!evaluate->session.json) {
        (void)printf("evaluation %s, %" PRIu64 " seeds, store %s\n", evaluate->name,
                     evaluate->count, evaluate->url);
    }
    code = serve_seeds(evaluate, &err);
    if (code == ERR_EXIT_RESUMABLE) {
        (void)fprintf(stderr, "%s: go on with the same command and --name %s\n", PROGRAM,
                      evaluate->name);
    }
    return code == ERR_EXIT_DONE ? report(evaluate) : code;
}

/* How it is run, where the command line does not say. */
static void take_preset(struct evaluate *evaluate)
{
    struct run_session *session = &evaluate->session;
    const struct preset *preset = evaluate->preset;

    session->runners = session->runners > 0 ? session->runners : preset->runners;
    session->runners = session->runners > 0 ? session->runners : 1;
    if (session->local.checkpoint_interval == NULL) {
        session->local.checkpoint_interval = preset->checkpoint_interval;
    }
    if (session->local.lease_ms == 0) {
        session->local.lease_ms = preset->lease_ms;
    }
}

static enum nero_status take_words(struct evaluate *evaluate, const char *split,
                                   const char *seed_text, struct nero_err *err)
{
    if (split != NULL && strcmp(split, "fitness") != 0 && strcmp(split, "test") != 0) {
        return err_set(err, NERO_INVALID, 0, "--split: '%s' is neither fitness nor test", split);
    }
    evaluate->test = split != NULL && strcmp(split, "test") == 0;
    evaluate->base_seed = 1;
    if (evaluate->count == 0) {
        return err_set(err, NERO_INVALID, 0, "--seeds N is needed, from 1 to %d", SEEDS_MAX);
    }
    return seed_text == NULL
               ? NERO_OK
               : options_parse_u64("--seed", seed_text, 0, UINT64_MAX, &evaluate->base_seed, err);
}

/* Open what is needed, evaluate, close. */
static int run(struct evaluate *evaluate, const char *genotype, const char *preset_path,
               const char *name, const struct options_list *sets)
{
    static struct preset preset;
    struct dataset_found dataset;
    struct nero_err err;
    int code;

    stop_install();
    if (run_session_check(&evaluate->session, &err) != NERO_OK ||
        cli_store_url(evaluate->session.store, true, evaluate->url, &err) != NERO_OK ||
        genotype_file_read(genotype, &evaluate->genotype, &err) != NERO_OK) {
        return run_session_unready(PROGRAM, &err);
    }
    evaluate->seeds = mem_calloc((size_t)evaluate->count, sizeof *evaluate->seeds);
    if (evaluate->seeds == NULL) {
        (void)err_set(&err, NERO_NO_MEMORY, 0, "no memory for %" PRIu64 " seeds", evaluate->count);
        code = run_session_unready(PROGRAM, &err);
    } else if (cli_open_store(evaluate->url, true, &evaluate->store, &err) != NERO_OK ||
               cli_store_mode(evaluate->store, evaluate->session.store_mode, &err) != NERO_OK ||
               cli_trust_store(evaluate->store, evaluate->session.skip_probe, &err) != NERO_OK ||
               cmd_run_prepare(evaluate->store, preset_path, sets, name, true, evaluate->base_seed,
                               &preset, &dataset, &err) != NERO_OK) {
        code = run_session_unready(PROGRAM, &err);
    } else {
        evaluate->preset = &preset;
        evaluate->dataset = &dataset;
        take_preset(evaluate);
        code = evaluate_all(evaluate);
        dataset_found_fini(&dataset);
        preset_fini(&preset);
    }
    for (uint32_t i = 0; evaluate->seeds != NULL && i < evaluate->count; i++) {
        result_fini(&evaluate->seeds[i].result);
    }
    free(evaluate->seeds);
    storage_close(evaluate->store);
    genotype_fini(&evaluate->genotype);
    return code;
}

int cmd_evaluate(int argc, char **argv)
{
    struct evaluate evaluate = {.session = {.backend = ""}};
    const char *preset = NULL;
    const char *split = NULL;
    const char *name = NULL;
    const char *seed_text = NULL;
    struct options_list sets = {.count = 0};
    const struct options_spec specs[] = {
        {"preset", OPTIONS_STRING, "FILE", "grammar, data set, split, attack and budget", NULL,
         &preset, 0},
        {"seeds", OPTIONS_COUNT, "N", "trainings, each with a seed of its own", NULL,
         &evaluate.count, SEEDS_MAX},
        {"split", OPTIONS_STRING, "PART", "what is scored: fitness (default), or all test images",
         NULL, &split, 0},
        {"budget", OPTIONS_STRING, "KIND:N", "of a training: epochs:8, steps:500, seconds:600",
         NULL, &evaluate.budget, 0},
        {"name", OPTIONS_STRING, "NAME", "the runs are NAME-000, NAME-001, ...; goes on with them",
         NULL, &name, 0},
        {"seed", OPTIONS_STRING, "N", "the N trainings' seeds derive from it (default: 1)",
         "NERO_SEED", &seed_text, 0},
        {"set", OPTIONS_LIST, "KEY=VALUE", "override a preset key", NULL, &sets, 0},
        RUN_SESSION_OPTIONS(evaluate.session)};
    const struct options_command command = {
        .program = PROGRAM,
        .arguments = "GENOTYPE",
        .about =
            "Train a genotype with N seeds and tell mean, standard deviation and 95 % interval\n"
            "of clean accuracy C, adversarial accuracy A and fitness F: the noise of a seed.\n"
            "Every training is a run in the store, with records and an audit of its own;\n"
            "--runners of them are served at a time. --split test spends the test images,\n"
            "which a search must not select by: the runs' records show it.",
        .examples = "  nero-sched evaluate mine.txt --preset presets/demo.yaml --seeds 5\n"
                    "  nero-sched evaluate mine.txt --preset presets/demo.yaml --seeds 10 \\\n"
                    "    --split test --budget epochs:16 --name mine-final\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct nero_err err;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (preset == NULL) {
        (void)err_set(&err, NERO_INVALID, 0, "--preset FILE is needed");
        return cli_fail(PROGRAM, &err);
    }
    if (take_words(&evaluate, split, seed_text, &err) != NERO_OK) {
        return cli_fail(PROGRAM, &err);
    }
    return run(&evaluate, parsed.arguments[0], preset, name, &sets);
}
