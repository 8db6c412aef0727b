#include "preset.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evolve/evolve.h"
#include "genotype_file.h"
#include "nero/conf.h"
#include "nero/file.h"
#include "nero/genotype.h"
#include "nero/mem.h"
#include "nero/result.h"

enum { PATH_BYTES = 4096, TEXT_MAX = 4096, OVERRIDE_DEPTH_MAX = 4 };

/* The file. Keys carry the names of the members of run.h and job.h that they set. */
struct preset_module {
    char *symbol;
    uint32_t units_min, units_max, initial_min, initial_max, levels_back;
    bool allow_skip;
};

struct preset_search {
    enum run_strategy strategy;
    uint32_t lineages, generations, lambda;
    bool reevaluate_parent;
    struct run_rates rates;
    struct preset_module *modules;
    uint32_t modules_count;
    char *learning_symbol;
    double beta, warmup_threshold;
    bool warmup_mean_excludes_invalid;
    double penalty;
    char *budget;
    char *budget_cap;
    uint32_t redraws;
    bool score_test;
    enum run_seed_policy seed_policy;
    char *seed_genotype;
    enum run_seed_learning seed_learning;
    double clip;
};

struct preset_attack {
    enum job_attack_kind kind;
    char *epsilon;
    char *step_size;
    uint32_t steps;
};

struct preset_protocol {
    uint32_t train_count, control_count, fitness_count;
    struct preset_attack attack;
    uint32_t eval_batch;
    double l2, bn_momentum;
    bool augment;
    double ill_fitted_share;
    enum job_on_timeout on_timeout;
    enum job_time_check time_check;
    uint64_t max_parameters, max_macs, max_plan_bytes;
};

struct preset_run {
    uint32_t runners, lease_ms;
    char *checkpoint_interval;
    int32_t priority;
};

struct preset_file {
    char *dataset;
    char *grammar;
    uint64_t *seed; /* NULL: not given */
    enum run_resume_policy resume_policy;
    char *numeric_class;
    struct preset_search search;
    struct preset_protocol protocol;
    struct preset_run run;
};

/* ---- schema ---- */

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, type, member) \
    CYAML_FIELD_STRING_PTR(key, OPTIONAL | CYAML_FLAG_POINTER, type, member, 0, TEXT_MAX)

static const cyaml_strval_t strategies[] = {{"evolve", RUN_EVOLVE}, {"random", RUN_RANDOM}};
static const cyaml_strval_t seed_policies[] = {{"per_slot", RUN_SEED_SLOT},
                                               {"per_genotype", RUN_SEED_GENOTYPE}};
static const cyaml_strval_t seed_learnings[] = {{"random", RUN_LEARNING_RANDOM},
                                                {"seed", RUN_LEARNING_SEED}};
static const cyaml_strval_t policies[] = {{"same-class", RUN_SAME_CLASS}, {"any", RUN_ANY_CLASS}};
static const cyaml_strval_t attacks[] = {
    {"none", JOB_ATTACK_NONE}, {"fgsm", JOB_ATTACK_FGSM}, {"pgd", JOB_ATTACK_PGD}};
static const cyaml_strval_t timeouts[] = {{"last", JOB_SCORE_LAST}, {"best", JOB_SCORE_BEST}};
static const cyaml_strval_t checks[] = {{"epoch", JOB_CHECK_EPOCH}, {"step", JOB_CHECK_STEP}};

#define RATE(name) CYAML_FIELD_FLOAT(#name, OPTIONAL, struct run_rates, name)
static const cyaml_schema_field_t rates_fields[] = {
    RATE(add_unit),          RATE(replicate_unit), RATE(remove_unit),     RATE(add_connection),
    RATE(remove_connection), RATE(mutate_unit),    RATE(mutate_learning), RATE(train_longer),
    RATE(float_sigma),       CYAML_FIELD_END};

#define MODULE(name) CYAML_FIELD_UINT(#name, CYAML_FLAG_DEFAULT, struct preset_module, name)
static const cyaml_schema_field_t module_fields[] = {
    CYAML_FIELD_STRING_PTR("symbol", CYAML_FLAG_POINTER, struct preset_module, symbol, 1,
                           RUN_SYMBOL_BYTES - 1),
    MODULE(units_min),
    MODULE(units_max),
    MODULE(initial_min),
    MODULE(initial_max),
    MODULE(levels_back),
    CYAML_FIELD_BOOL("allow_skip", CYAML_FLAG_DEFAULT, struct preset_module, allow_skip),
    CYAML_FIELD_END};
static const cyaml_schema_value_t module_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct preset_module, module_fields)};

#define SEARCH(kind, name) CYAML_FIELD_##kind(#name, OPTIONAL, struct preset_search, name)
static const cyaml_schema_field_t search_fields[] = {
    CYAML_FIELD_ENUM("strategy", OPTIONAL, struct preset_search, strategy, strategies, 2),
    SEARCH(UINT, lineages),
    SEARCH(UINT, generations),
    SEARCH(UINT, lambda),
    SEARCH(BOOL, reevaluate_parent),
    CYAML_FIELD_MAPPING("rates", OPTIONAL, struct preset_search, rates, rates_fields),
    CYAML_FIELD_SEQUENCE("modules", OPTIONAL | CYAML_FLAG_POINTER, struct preset_search, modules,
                         &module_value, 1, RUN_MODULES_MAX),
    TEXT("learning_symbol", struct preset_search, learning_symbol),
    SEARCH(FLOAT, beta),
    SEARCH(FLOAT, warmup_threshold),
    SEARCH(BOOL, warmup_mean_excludes_invalid),
    SEARCH(FLOAT, penalty),
    TEXT("budget", struct preset_search, budget),
    TEXT("budget_cap", struct preset_search, budget_cap),
    SEARCH(UINT, redraws),
    SEARCH(BOOL, score_test),
    CYAML_FIELD_ENUM("seed_policy", OPTIONAL, struct preset_search, seed_policy, seed_policies, 2),
    TEXT("seed_genotype", struct preset_search, seed_genotype),
    CYAML_FIELD_ENUM("seed_learning", OPTIONAL, struct preset_search, seed_learning, seed_learnings,
                     2),
    SEARCH(FLOAT, clip),
    CYAML_FIELD_END};

static const cyaml_schema_field_t attack_fields[] = {
    CYAML_FIELD_ENUM("kind", OPTIONAL, struct preset_attack, kind, attacks, 3),
    TEXT("epsilon", struct preset_attack, epsilon),
    TEXT("step_size", struct preset_attack, step_size),
    CYAML_FIELD_UINT("steps", OPTIONAL, struct preset_attack, steps), CYAML_FIELD_END};

#define PROTOCOL(kind, name) CYAML_FIELD_##kind(#name, OPTIONAL, struct preset_protocol, name)
static const cyaml_schema_field_t protocol_fields[] = {
    PROTOCOL(UINT, train_count),
    PROTOCOL(UINT, control_count),
    PROTOCOL(UINT, fitness_count),
    CYAML_FIELD_MAPPING("attack", OPTIONAL, struct preset_protocol, attack, attack_fields),
    PROTOCOL(UINT, eval_batch),
    PROTOCOL(FLOAT, l2),
    PROTOCOL(FLOAT, bn_momentum),
    PROTOCOL(BOOL, augment),
    PROTOCOL(FLOAT, ill_fitted_share),
    CYAML_FIELD_ENUM("on_timeout", OPTIONAL, struct preset_protocol, on_timeout, timeouts, 2),
    CYAML_FIELD_ENUM("time_check", OPTIONAL, struct preset_protocol, time_check, checks, 2),
    PROTOCOL(UINT, max_parameters),
    PROTOCOL(UINT, max_macs),
    PROTOCOL(UINT, max_plan_bytes),
    CYAML_FIELD_END};

#define RUN(name) CYAML_FIELD_UINT(#name, OPTIONAL, struct preset_run, name)
static const cyaml_schema_field_t run_fields[] = {
    RUN(runners), RUN(lease_ms), CYAML_FIELD_INT("priority", OPTIONAL, struct preset_run, priority),
    TEXT("checkpoint_interval", struct preset_run, checkpoint_interval), CYAML_FIELD_END};

static const cyaml_schema_field_t file_fields[] = {
    TEXT("dataset", struct preset_file, dataset),
    TEXT("grammar", struct preset_file, grammar),
    CYAML_FIELD_UINT_PTR("seed", OPTIONAL | CYAML_FLAG_POINTER, struct preset_file, seed),
    CYAML_FIELD_ENUM("resume_policy", OPTIONAL, struct preset_file, resume_policy, policies, 2),
    TEXT("numeric_class", struct preset_file, numeric_class),
    CYAML_FIELD_MAPPING("search", OPTIONAL, struct preset_file, search, search_fields),
    CYAML_FIELD_MAPPING("protocol", OPTIONAL, struct preset_file, protocol, protocol_fields),
    CYAML_FIELD_MAPPING("run", OPTIONAL, struct preset_file, run, run_fields),
    CYAML_FIELD_END};
static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct preset_file, file_fields)};

/* What is left out: the values of the paper, or where it is silent of specs/evolution.md. */
static char default_class[] = "";
static char default_seed_genotype[] = "";
static char default_learning[] = "learning";
static char default_budget[] = "seconds:600";
static char default_cap[] = "seconds:1800";
static char default_epsilon[] = "8/255";
static char default_step[] = "2/255";

static const struct preset_file file_defaults = {.resume_policy = RUN_SAME_CLASS,
                                                 .numeric_class = default_class,
                                                 .search = {.strategy = RUN_EVOLVE,
                                                            .lineages = 1,
                                                            .generations = 100,
                                                            .lambda = 4,
                                                            .reevaluate_parent = true,
                                                            .rates = {.add_unit = 0.25,
                                                                      .replicate_unit = 0.35,
                                                                      .remove_unit = 0.25,
                                                                      .add_connection = 0.15,
                                                                      .remove_connection = 0.15,
                                                                      .mutate_unit = 0.15,
                                                                      .mutate_learning = 0.30,
                                                                      .train_longer = 0.10,
                                                                      .float_sigma = 0.15},
                                                            .learning_symbol = default_learning,
                                                            .beta = 4.0,
                                                            .warmup_threshold = 0.80,
                                                            .penalty = -1.0,
                                                            .budget = default_budget,
                                                            .budget_cap = default_cap,
                                                            .seed_policy = RUN_SEED_SLOT,
                                                            .seed_genotype = default_seed_genotype,
                                                            .seed_learning = RUN_LEARNING_RANDOM,
                                                            .clip = 0.9999},
                                                 .protocol = {.train_count = 43000,
                                                              .control_count = 3500,
                                                              .fitness_count = 3500,
                                                              .attack = {.kind = JOB_ATTACK_FGSM,
                                                                         .epsilon = default_epsilon,
                                                                         .step_size = default_step,
                                                                         .steps = 7},
                                                              .eval_batch = 128,
                                                              .l2 = 5e-4,
                                                              .bn_momentum = 0.99,
                                                              .augment = true,
                                                              .ill_fitted_share = 0.90,
                                                              .on_timeout = JOB_SCORE_LAST,
                                                              .time_check = JOB_CHECK_EPOCH},
                                                 .run = {.runners = 1, .lease_ms = 30000}};

/* ---- reading ---- */

/* "search.generations=3" as the YAML document "search:\n  generations:\n    3\n". */
static enum nero_status write_override(const char *override, struct bytes *out,
                                       struct nero_err *err)
{
    const char *equals = strchr(override, '=');
    int depth = 0;

    bytes_init(out, CONF_BYTES_MAX);
    if (equals == NULL || equals == override || equals[1] == '\0') {
        return err_set(err, NERO_INVALID, 0, "\"%.100s\" is not key=value", override);
    }
    for (const char *c = override; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return err_set(err, NERO_INVALID, 0, "an override holds a control character");
        }
    }
    for (const char *at = override; at < equals; depth++) {
        size_t used = strcspn(at, ".=");

        if (used == 0 || strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_") < used ||
            depth == OVERRIDE_DEPTH_MAX) {
            return err_set(err, NERO_INVALID, 0,
                           "\"%.100s\": a key is names with dots between them; entries of lists "
                           "cannot be set",
                           override);
        }
        if (bytes_printf(out, err, "%*s%.*s:\n", 2 * depth, "", (int)used, at) != NERO_OK) {
            return err->status;
        }
        at += used + (at[used] == '.' ? 1 : 0);
    }
    return bytes_printf(out, err, "%*s%s\n", 2 * depth, "", equals + 1);
}

/* Load once more, with what was loaded so far for defaults. */
static enum nero_status apply_override(const char *override, struct preset_file **file,
                                       struct nero_err *err)
{
    struct preset_file *before = *file;
    void *loaded = NULL;
    struct preset_file *after;
    struct bytes text;
    char name[128];
    enum nero_status status = write_override(override, &text, err);

    (void)snprintf(name, sizeof name, "override \"%.100s\"", override);
    if (status == NERO_OK) {
        status = conf_load_bytes(name, bytes_as_view(&text), &file_schema, before, &loaded, err);
    }
    bytes_fini(&text);
    if (status != NERO_OK) {
        return status;
    }
    after = loaded;
    /* Defaults do not cover lists and pointers to numbers: hand them over. */
    if (after->search.modules == NULL) {
        after->search.modules = before->search.modules;
        after->search.modules_count = before->search.modules_count;
        before->search.modules = NULL;
        before->search.modules_count = 0;
    }
    if (after->seed == NULL) {
        after->seed = before->seed;
        before->seed = NULL;
    }
    conf_free(&file_schema, before);
    *file = after;
    return NERO_OK;
}

/* ---- to a run record ---- */

/* Decimal digits only: strtod alone would take "inf", "0x1" and leading blanks too. */
static bool plain_number(const char *text, size_t bytes, double *out)
{
    char copy[40];
    char *end;

    if (bytes == 0 || bytes >= sizeof copy || strspn(text, ".0123456789eE-") < bytes) {
        return false;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0' && isfinite(*out);
}

/* "8/255" or "0.031". */
static enum nero_status parse_fraction(const char *key, const char *text, double *out,
                                       struct nero_err *err)
{
    const char *slash = strchr(text, '/');
    double above;
    double below = 1.0;

    if (!plain_number(text, strcspn(text, "/"), &above) ||
        (slash != NULL && !plain_number(slash + 1, strlen(slash + 1), &below)) || above < 0.0 ||
        below < 1.0) {
        return err_set(err, NERO_INVALID, 0, "%s: \"%.40s\" is not a number or a fraction (8/255)",
                       key, text);
    }
    *out = above / below;
    return NERO_OK;
}

static enum nero_status take_text(const char *key, const char *text, char *out, size_t bytes,
                                  struct nero_err *err)
{
    if (text == NULL || strlen(text) >= bytes) {
        return err_set(err, NERO_INVALID, 0, "%s: %s", key,
                       text == NULL ? "is required" : "is too long");
    }
    memcpy(out, text, strlen(text) + 1);
    return NERO_OK;
}

static enum nero_status take_modules(const struct preset_search *from, struct run_search *out,
                                     struct nero_err *err)
{
    if (from->modules == NULL) {
        return err_set(err, NERO_INVALID, 0, "search.modules: is required");
    }
    out->module_count = from->modules_count;
    for (uint32_t m = 0; m < from->modules_count; m++) {
        const struct preset_module *module = &from->modules[m];
        struct run_module *to = &out->modules[m];

        *to = (struct run_module){.units_min = module->units_min,
                                  .units_max = module->units_max,
                                  .initial_min = module->initial_min,
                                  .initial_max = module->initial_max,
                                  .levels_back = module->levels_back,
                                  .allow_skip = module->allow_skip};
        if (take_text("search.modules.symbol", module->symbol, to->symbol, sizeof to->symbol,
                      err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

static enum nero_status take_budgets(const struct preset_search *from, struct run_search *out,
                                     struct nero_err *err)
{
    struct job_budget cap;

    if (job_budget_parse(from->budget, &out->budget, err) != NERO_OK) {
        return err_wrap(err, "search.budget");
    }
    if (job_budget_parse(from->budget_cap, &cap, err) != NERO_OK) {
        return err_wrap(err, "search.budget_cap");
    }
    if (cap.kind != out->budget.kind || cap.amount < out->budget.amount) {
        return err_set(err, NERO_INVALID, 0,
                       "search.budget_cap: %s must be in the unit of search.budget (%s) and not "
                       "below it",
                       from->budget_cap, from->budget);
    }
    if (cap.kind == JOB_EPOCHS && cap.amount > RESULT_EPOCHS_MAX) {
        return err_set(err, NERO_INVALID, 0,
                       "search.budget_cap: %s; allowed: %d epochs, as many as a result can hold",
                       from->budget_cap, RESULT_EPOCHS_MAX);
    }
    out->budget_cap = cap.amount;
    return NERO_OK;
}

static enum nero_status take_search(const struct preset_search *from, struct run_search *out,
                                    struct nero_err *err)
{
    out->lineages = from->lineages;
    out->generations = from->generations;
    out->lambda = from->lambda;
    out->reevaluate_parent = from->reevaluate_parent;
    out->rates = from->rates;
    out->beta = from->beta;
    out->warmup_threshold = from->warmup_threshold;
    out->warmup_mean_excludes_invalid = from->warmup_mean_excludes_invalid;
    out->penalty = from->penalty;
    out->redraws = from->redraws;
    out->score_test = from->score_test;
    out->seed_policy = from->seed_policy;
    out->seed_learning = from->seed_learning;
    out->clip = from->clip;
    if (take_text("search.learning_symbol", from->learning_symbol, out->learning_symbol,
                  sizeof out->learning_symbol, err) != NERO_OK ||
        take_modules(from, out, err) != NERO_OK) {
        return err->status;
    }
    return take_budgets(from, out, err);
}

static enum nero_status take_attack(const struct preset_attack *from, struct job_attack *out,
                                    struct nero_err *err)
{
    *out = (struct job_attack){.kind = from->kind};
    if (from->kind == JOB_ATTACK_NONE) {
        return NERO_OK;
    }
    if (parse_fraction("protocol.attack.epsilon", from->epsilon, &out->epsilon, err) != NERO_OK) {
        return err->status;
    }
    if (from->kind == JOB_ATTACK_PGD) {
        out->steps = from->steps;
        return parse_fraction("protocol.attack.step_size", from->step_size, &out->step_size, err);
    }
    return NERO_OK;
}

static enum nero_status take_protocol(const struct preset_protocol *from, struct job_protocol *out,
                                      struct nero_err *err)
{
    *out = (struct job_protocol){.train_count = from->train_count,
                                 .control_count = from->control_count,
                                 .fitness_count = from->fitness_count,
                                 .part = JOB_PART_FITNESS,
                                 .eval_batch = from->eval_batch,
                                 .l2 = from->l2,
                                 .bn_momentum = from->bn_momentum,
                                 .augment = from->augment,
                                 .ill_fitted_share = from->ill_fitted_share,
                                 .on_timeout = from->on_timeout,
                                 .time_check = from->time_check,
                                 .max_parameters = from->max_parameters,
                                 .max_macs = from->max_macs,
                                 .max_plan_bytes = from->max_plan_bytes};
    return take_attack(&from->attack, &out->attack, err);
}

static enum nero_status take_interval(const char *text, struct preset *out, struct nero_err *err)
{
    struct interval_policy ignored;

    if (take_text("run.checkpoint_interval", text != NULL ? text : INTERVAL_TEXT,
                  out->checkpoint_interval, sizeof out->checkpoint_interval, err) != NERO_OK) {
        return err->status;
    }
    return interval_parse(out->checkpoint_interval, &ignored, err) == NERO_OK
               ? NERO_OK
               : err_wrap(err, "run.checkpoint_interval");
}

static enum nero_status take_file(const struct preset_file *file, struct preset *out,
                                  struct nero_err *err)
{
    struct run_record *record = &out->record;

    record->strategy = file->search.strategy;
    record->resume_policy = file->resume_policy;
    record->store_mode = RUN_EXCLUSIVE; /* run_create asks the store */
    out->has_seed = file->seed != NULL;
    record->seed = file->seed != NULL ? *file->seed : 0;
    record->priority = file->run.priority;
    out->runners = file->run.runners;
    out->lease_ms = file->run.lease_ms;
    if (out->lease_ms < 100 || out->lease_ms > 24 * 3600 * 1000) {
        return err_set(err, NERO_INVALID, 0, "run.lease_ms: %u; allowed: 100 to 86400000",
                       (unsigned)out->lease_ms);
    }
    if (record->priority < RUN_PRIORITY_MIN || record->priority > RUN_PRIORITY_MAX) {
        return err_set(err, NERO_INVALID, 0, "run.priority: %lld; allowed: %d to %d",
                       (long long)record->priority, RUN_PRIORITY_MIN, RUN_PRIORITY_MAX);
    }
    if (take_interval(file->run.checkpoint_interval, out, err) != NERO_OK ||
        take_text("dataset", file->dataset, out->dataset, sizeof out->dataset, err) != NERO_OK ||
        take_text("numeric_class", file->numeric_class, record->numeric_class,
                  sizeof record->numeric_class, err) != NERO_OK ||
        take_search(&file->search, &record->search, err) != NERO_OK ||
        take_protocol(&file->protocol, &record->protocol, err) != NERO_OK) {
        return err->status;
    }
    if (record->strategy == RUN_EVOLVE && record->protocol.attack.kind == JOB_ATTACK_NONE) {
        return err_set(err, NERO_INVALID, 0,
                       "protocol.attack.kind: none leaves the fitness F without its A");
    }
    return NERO_OK;
}

/* A file as the preset names it: relative to the preset's folder. */
static enum nero_status path_beside(const char *preset_path, const char *key, const char *file,
                                    char path[PATH_BYTES], struct nero_err *err)
{
    const char *slash = strrchr(preset_path, '/');
    size_t folder = slash != NULL && file[0] != '/' ? (size_t)(slash - preset_path) + 1 : 0;

    if (folder + strlen(file) >= PATH_BYTES) {
        return err_set(err, NERO_INVALID, 0, "%s: the path is too long", key);
    }
    (void)snprintf(path, PATH_BYTES, "%.*s%s", (int)folder, preset_path, file);
    return NERO_OK;
}

/* The text of a genotype to its stored bytes. */
static enum nero_status take_seed(const char *preset_path, const char *file, struct preset *out,
                                  struct nero_err *err)
{
    char path[PATH_BYTES];
    struct genotype genotype;
    enum nero_status status;

    if (file[0] == '\0') {
        return NERO_OK;
    }
    if (path_beside(preset_path, "search.seed_genotype", file, path, err) != NERO_OK) {
        return err->status;
    }
    status = genotype_file_read(path, &genotype, err);
    if (status == NERO_OK) {
        status = genotype_encode(&genotype, &out->seed_genotype, err);
        genotype_fini(&genotype);
        out->record.search.seed_genotype = bytes_as_view(&out->seed_genotype);
    }
    return status == NERO_OK ? status : err_wrap(err, "search.seed_genotype");
}

static enum nero_status take_grammar(const char *preset_path, const char *grammar,
                                     struct preset *out, struct nero_err *err)
{
    struct evolve_run run = {.record = &out->record};
    struct grammar parsed;
    char path[PATH_BYTES];
    enum nero_status status;

    if (path_beside(preset_path, "grammar", grammar, path, err) != NERO_OK) {
        return err->status;
    }
    bytes_init(&out->grammar, GRAMMAR_BYTES_MAX);
    status = file_read(path, &out->grammar, err);
    if (status == NERO_OK) {
        status = grammar_parse(path, bytes_as_view(&out->grammar), &parsed, err);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "grammar");
    }
    run.grammar = &parsed;
    status = evolve_check(&run, err);
    grammar_fini(&parsed);
    return status == NERO_OK ? status : err_wrap(err, "search.modules and grammar %s", path);
}

/* The ranges of all numbers are those of the run record; the caller's members get stand-ins. */
static enum nero_status check_record(const struct preset *preset, struct nero_err *err)
{
    struct run_record copy = preset->record;

    (void)snprintf(copy.name, sizeof copy.name, "preset");
    copy.grammar = bytes_as_view(&preset->grammar);
    copy.preset = bytes_as_view(&preset->text);
    return run_record_check(&copy, err);
}

static enum nero_status load_file(const char *path, const char *const *overrides,
                                  uint32_t override_count, struct preset *preset,
                                  struct preset_file **file, struct nero_err *err)
{
    void *loaded = NULL;
    enum nero_status status;

    bytes_init(&preset->text, RUN_GRAMMAR_BYTES_MAX);
    status = file_read(path, &preset->text, err);
    if (status == NERO_OK) {
        status = conf_load_bytes(path, bytes_as_view(&preset->text), &file_schema, &file_defaults,
                                 &loaded, err);
    }
    *file = loaded;
    if (status == NERO_OK && override_count > 0) {
        status = bytes_append(&preset->text, "\n", 1, err);
    }
    for (uint32_t i = 0; i < override_count && status == NERO_OK; i++) {
        status = apply_override(overrides[i], file, err);
        if (status == NERO_OK) { /* the stored text tells the whole story */
            status = bytes_printf(&preset->text, err, "# override: %s\n", overrides[i]);
        }
    }
    return status;
}

enum nero_status preset_load(const char *path, const char *const *overrides,
                             uint32_t override_count, struct preset *out, struct nero_err *err)
{
    struct preset preset = {.seed_genotype = {.bytes_max = GENOTYPE_BYTES_MAX}};
    struct preset_file *file = NULL;
    enum nero_status status = load_file(path, overrides, override_count, &preset, &file, err);

    if (status == NERO_OK) {
        status = take_file(file, &preset, err);
        if (status == NERO_OK && file->grammar == NULL) {
            status = err_set(err, NERO_INVALID, 0, "grammar: is required");
        }
        if (status == NERO_OK) {
            status = take_seed(path, file->search.seed_genotype, &preset, err);
        }
        if (status == NERO_OK) {
            status = take_grammar(path, file->grammar, &preset, err);
        }
        if (status == NERO_OK) {
            status = check_record(&preset, err);
        }
        if (status != NERO_OK) {
            (void)err_wrap(err, "%s", path);
        }
    }
    conf_free(&file_schema, file);
    if (status != NERO_OK) {
        preset_fini(&preset);
        return status;
    }
    *out = preset;
    out->record.grammar = bytes_as_view(&out->grammar);
    out->record.preset = bytes_as_view(&out->text);
    out->record.search.seed_genotype = bytes_as_view(&out->seed_genotype);
    return NERO_OK;
}

void preset_fini(struct preset *preset)
{
    bytes_fini(&preset->grammar);
    bytes_fini(&preset->seed_genotype);
    bytes_fini(&preset->text);
    memset(preset, 0, sizeof *preset);
}
