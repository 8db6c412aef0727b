/*
 * nero-sched plan: what a preset will cost, before anything is spent. Networks differ, so their
 * costs are sampled: individuals drawn as the search draws its first ones, random ones of the
 * preset's grammar, or its seed genotype and mutants of it.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/chain.h"
#include "nero/graph.h"
#include "nero/mem.h"

#include "cli.h"
#include "evolve/seed.h"
#include "preset_cut.h"
#include "preset_run.h"

/*
 * 1e10: what one core of a laptop reaches on the demo's small networks; larger ones do better.
 * SLOT_BYTES: a takeover, a checkpoint or a final slot with its envelope, without curve.
 */
enum { PLAN_SAMPLES = 200, PLAN_DRAWS_MAX = 2000, PLAN_SLOT_BYTES = 700, PLAN_EPOCH_BYTES = 29 };

#define PLAN_STALL_S_PER_BYTE 2e-10 /* of a copy in memory */
#define PLAN_FLOPS_PER_SECOND 1e10

/* Costs of one sampled individual at one budget. */
struct plan_cost {
    double steps;
    double flops;   /* training and evaluation */
    double seconds; /* on one runner */
    double written; /* bytes put into the store */
    double kept;    /* of them, after a collection (nero-sched gc) */
};

struct plan_spread {
    double mean;
    double p90;
};

struct plan {
    double flops_per_second;
    uint32_t runners;
    uint64_t done;      /* generations that are there already */
    uint64_t trainings; /* over all lineages and generations */
    uint64_t waves;     /* of jobs in parallel, one after the other */
    uint64_t at_once;   /* of the trainings: those of the largest generation, over all lineages */
    bool seeded;        /* the sample is of the seed genotype and mutants of it */
    uint32_t drawn;
    uint32_t sampled; /* admissible ones */
    struct plan_spread parameters, macs, steps, flops, seconds, written, kept;
    struct plan_spread cap_flops, cap_seconds; /* if all were trained up to the cap */
    bool has_cap;
    double record_bytes; /* a generation's records, a member */
};

/* ---- one individual ---- */

static double epoch_steps(const struct job_protocol *protocol, const struct phenotype *phenotype)
{
    return fmax(1, floor((double)protocol->train_count / phenotype->learning.batch));
}

/* Forward passes of one image that the evaluation after training takes. */
static double evaluation_forwards(const struct job_protocol *protocol)
{
    double attack = 0;

    if (protocol->attack.kind == JOB_ATTACK_FGSM) {
        attack = 3 + 1; /* gradient to the image, and a look at the result */
    } else if (protocol->attack.kind == JOB_ATTACK_PGD) {
        attack = 3 * (double)protocol->attack.steps + 1;
    }
    return protocol->fitness_count * (1 + attack);
}

/* Checkpoints among these name the state that is stored already: a slot each, no blob. */
static double evaluation_batches(const struct job_protocol *protocol, double epochs)
{
    double batch = protocol->eval_batch;

    return epochs * ceil(protocol->control_count / batch) +
           2 * ceil(protocol->fitness_count / batch);
}

static double budget_steps(const struct job_budget *budget, double amount, double per_epoch,
                           double step_flops, double flops_per_second)
{
    switch (budget->kind) {
    case JOB_EPOCHS:
        return amount * per_epoch;
    case JOB_STEPS:
        return amount;
    case JOB_FLOPS:
        return ceil(amount / step_flops);
    case JOB_SECONDS:
        break;
    }
    return amount * flops_per_second / step_flops;
}

static uint64_t state_bytes(const struct phenotype *phenotype, const struct graph *graph)
{
    /* Weights, the optimiser's moments, statistics, and the best weights with theirs. */
    uint64_t moments = phenotype->learning.optimiser == PHENOTYPE_ADAM ? 2 : 1;

    return 4 * (graph->trained_count * (2 + moments) + 2 * graph->stat_count);
}

/*
 * How many there will be of a training of `seconds`, those of the evaluation without new blobs in
 * `slots`. `bytes`: of the training state.
 */
static void add_checkpoints(const struct preset *preset, const struct plan_cost *cost,
                            double seconds, double batches, double bytes, double *checkpoints,
                            double *slots)
{
    struct interval_policy policy;
    struct interval interval;
    struct nero_err ignored;

    if (interval_parse(preset->checkpoint_interval, &policy, &ignored) != NERO_OK) {
        return; /* a preset has been checked */
    }
    if (policy.kind == INTERVAL_STEPS) {
        *checkpoints = floor(cost->steps / (double)policy.steps);
        *slots = batches / (double)policy.steps;
        return;
    }
    interval_init(&interval, &policy);
    interval_stalled(&interval, bytes * PLAN_STALL_S_PER_BYTE);
    interval_stepped(&interval, seconds / fmax(cost->steps, 1));
    *checkpoints = floor(seconds / interval_seconds(&interval));
    *slots = floor((cost->seconds - seconds) / interval_seconds(&interval));
}

static struct plan_cost cost_of(const struct preset *preset, const struct plan *plan,
                                const struct phenotype *phenotype, const struct graph *graph,
                                double amount)
{
    const struct job_protocol *protocol = &preset->record.protocol;
    double state = (double)state_bytes(phenotype, graph);
    double forward = 2.0 * (double)graph->macs;
    double step_flops = fmax(1, 3 * forward * phenotype->learning.batch);
    double per_epoch = epoch_steps(protocol, phenotype);
    struct plan_cost cost;
    double epochs;
    double checkpoints = 0;
    double slots = 0;

    cost.steps = budget_steps(&preset->record.search.budget, amount, per_epoch, step_flops,
                              plan->flops_per_second);
    epochs = fmin(cost.steps / per_epoch, phenotype->learning.epochs_max);
    cost.steps = epochs * per_epoch;
    cost.flops = cost.steps * step_flops + epochs * protocol->control_count * forward +
                 evaluation_forwards(protocol) * forward;
    cost.seconds = cost.flops / plan->flops_per_second;
    add_checkpoints(preset, &cost, cost.steps * step_flops / plan->flops_per_second,
                    evaluation_batches(protocol, epochs), state, &checkpoints, &slots);
    slots += checkpoints + 3; /* takeover, final, and the copy of it */
    cost.kept = (fmin(checkpoints, CHAIN_KEPT_CHECKPOINTS) + 1) * state +
                4.0 * (double)(graph->trained_count + graph->stat_count) +
                slots * (PLAN_SLOT_BYTES + PLAN_EPOCH_BYTES * epochs);
    cost.written = cost.kept + fmax(checkpoints - CHAIN_KEPT_CHECKPOINTS, 0) * state;
    return cost;
}

/* ---- the sample ---- */

struct sample {
    double parameters, macs;
    struct plan_cost base, cap;
};

static bool admissible(const struct job_protocol *protocol, const struct phenotype *phenotype,
                       const struct graph *graph)
{
    double plan_bytes = (double)graph->plan_bytes_per_image * phenotype->learning.batch +
                        (double)graph->plan_bytes_fixed;

    return (protocol->max_parameters == 0 || graph->trained_count <= protocol->max_parameters) &&
           (protocol->max_macs == 0 || graph->macs <= protocol->max_macs) &&
           (protocol->max_plan_bytes == 0 || plan_bytes <= (double)protocol->max_plan_bytes) &&
           phenotype->learning.batch <= protocol->train_count;
}

/* As generation 0 of some lineage has it, so that the seed itself is one of lambda. */
static enum nero_status draw_individual(const struct preset_run *run, uint32_t draw,
                                        struct genotype *out, struct nero_err *err)
{
    struct generation_event *events;
    uint32_t event_count;
    uint32_t slot = draw % run->preset.record.search.lambda;

    if (!seed_given(&run->run)) {
        return evolve_random(&run->run, 0, draw, 0, out, err);
    }
    if (seed_individual(&run->run, draw / run->preset.record.search.lambda, slot, slot > 0, out,
                        &events, &event_count, err) != NERO_OK) {
        return err->status;
    }
    free(events);
    return NERO_OK;
}

/* *taken is false for an individual that the search would call invalid. */
static enum nero_status take_sample(const struct preset_run *run, struct plan *plan, uint32_t draw,
                                    struct sample *out, bool *taken, struct nero_err *err)
{
    const struct run_search *search = &run->preset.record.search;
    struct genotype genotype;
    struct phenotype phenotype;
    struct graph graph;
    struct bytes encoded;
    enum nero_status status;

    *taken = false;
    if (draw_individual(run, draw, &genotype, err) != NERO_OK) {
        return err->status;
    }
    bytes_init(&encoded, GENOTYPE_BYTES_MAX);
    status = genotype_encode(&genotype, &encoded, err);
    if (status == NERO_OK) {
        status = evolve_decode(&run->run, &genotype, &phenotype, err);
    }
    genotype_fini(&genotype);
    if (status == NERO_OK) {
        if (graph_build(&phenotype, &graph, err) == NERO_OK) {
            *taken = admissible(&run->preset.record.protocol, &phenotype, &graph);
            out->parameters = (double)graph.trained_count;
            out->macs = (double)graph.macs;
            out->base =
                cost_of(&run->preset, plan, &phenotype, &graph, (double)search->budget.amount);
            out->cap = cost_of(&run->preset, plan, &phenotype, &graph, (double)search->budget_cap);
            /* Proposed, evaluated and closed each hold the genotype, the job spec once more. */
            plan->record_bytes += *taken ? 4.0 * (double)encoded.bytes + 1500 : 0;
            graph_fini(&graph);
        }
        phenotype_fini(&phenotype);
    }
    bytes_fini(&encoded);
    return status;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of the field at `offset` of all samples. `room` holds one double a sample. */
static struct plan_spread spread_of(const struct sample *samples, uint32_t count, size_t offset,
                                    double *room)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        memcpy(&room[i], (const char *)&samples[i] + offset, sizeof room[i]);
        sum += room[i];
    }
    qsort(room, count, sizeof *room, compare_doubles);
    return (struct plan_spread){.mean = sum / count, .p90 = room[(count * 9 - 1) / 10]};
}

static void summarise(struct plan *plan, const struct sample *samples, double *room)
{
    uint32_t count = plan->sampled;

    plan->parameters = spread_of(samples, count, offsetof(struct sample, parameters), room);
    plan->macs = spread_of(samples, count, offsetof(struct sample, macs), room);
    plan->steps = spread_of(samples, count, offsetof(struct sample, base.steps), room);
    plan->flops = spread_of(samples, count, offsetof(struct sample, base.flops), room);
    plan->seconds = spread_of(samples, count, offsetof(struct sample, base.seconds), room);
    plan->written = spread_of(samples, count, offsetof(struct sample, base.written), room);
    plan->kept = spread_of(samples, count, offsetof(struct sample, base.kept), room);
    plan->cap_flops = spread_of(samples, count, offsetof(struct sample, cap.flops), room);
    plan->cap_seconds = spread_of(samples, count, offsetof(struct sample, cap.seconds), room);
    plan->record_bytes /= count;
}

static const char *sample_name(const struct plan *plan)
{
    return plan->seeded ? "mutants of the seed genotype" : "random individuals";
}

static enum nero_status sample_first_ones(const struct preset_run *run, struct plan *plan,
                                          struct nero_err *err)
{
    struct sample *samples = mem_calloc(PLAN_SAMPLES, sizeof *samples);
    double *room = mem_calloc(PLAN_SAMPLES, sizeof *room);
    enum nero_status status = NERO_OK;

    if (samples == NULL || room == NULL) {
        status = err_set(err, NERO_NO_MEMORY, 0, "no memory for the sample");
    }
    while (status == NERO_OK && plan->sampled < PLAN_SAMPLES && plan->drawn < PLAN_DRAWS_MAX) {
        bool taken;

        status = take_sample(run, plan, plan->drawn, &samples[plan->sampled], &taken, err);
        plan->drawn++;
        plan->sampled += taken;
    }
    if (status == NERO_OK && plan->sampled == 0) {
        status =
            err_set(err, NERO_INVALID, 0,
                    "of %d %s none can be trained: its batch is larger than train_count (%u "
                    "images), or it is over max_parameters, max_macs or max_plan_bytes; change "
                    "those, or make the %s smaller",
                    PLAN_DRAWS_MAX, sample_name(plan), run->preset.record.protocol.train_count,
                    plan->seeded ? "seed genotype" : "grammar");
    }
    if (status == NERO_OK) {
        summarise(plan, samples, room);
    }
    free(samples);
    free(room);
    return status;
}

static void count_trainings(const struct run_record *record, struct plan *plan)
{
    const struct run_search *search = &record->search;
    uint64_t later = search->lambda;
    uint64_t first = (uint64_t)search->lambda * search->lineages;

    later += search->reevaluate_parent; /* or one random individual more */
    later *= search->lineages;
    for (uint64_t i = plan->done; i < search->generations; i++) {
        uint64_t jobs = i == 0 ? first : later;

        plan->trainings += jobs;
        plan->at_once = jobs > plan->at_once ? jobs : plan->at_once;
        /* A generation begins when the one before it has ended, so that runners may wait. */
        plan->waves += (jobs + plan->runners - 1) / plan->runners;
    }
}

/* ---- output ---- */

/* Of all trainings, with the records of their generations. */
static double total_bytes(const struct plan *plan, struct plan_spread bytes)
{
    return (double)plan->trainings * (bytes.mean + plan->record_bytes);
}

/* What lies in the store at most if every generation is collected before the next one begins. */
static double peak_bytes(const struct plan *plan)
{
    return total_bytes(plan, plan->kept) +
           (double)plan->at_once * (plan->written.mean - plan->kept.mean);
}

static json_t *spread_json(struct plan_spread spread)
{
    return json_pack("{s:f, s:f}", "mean", spread.mean, "p90", spread.p90);
}

static void print_json(const struct plan *plan, const struct run_record *record)
{
    json_t *out = json_pack(
        "{s:I, s:s, s:I, s:I, s:f, s:i, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "trainings",
        (json_int_t)plan->trainings, "budget_kind", job_budget_name(record->search.budget.kind),
        "budget", (json_int_t)record->search.budget.amount, "budget_cap",
        (json_int_t)record->search.budget_cap, "flops_per_second", plan->flops_per_second,
        "runners", (int)plan->runners, "sample", sample_name(plan), "drawn", (int)plan->drawn,
        "sampled", (int)plan->sampled, "total_flops", (double)plan->trainings * plan->flops.mean,
        "hours", (double)plan->waves * plan->seconds.mean / 3600, "store_bytes_written",
        total_bytes(plan, plan->written), "store_bytes_kept", total_bytes(plan, plan->kept),
        "store_bytes_peak", peak_bytes(plan));

    (void)json_object_set_new(out, "parameters", spread_json(plan->parameters));
    (void)json_object_set_new(out, "macs", spread_json(plan->macs));
    (void)json_object_set_new(out, "steps", spread_json(plan->steps));
    (void)json_object_set_new(out, "flops", spread_json(plan->flops));
    (void)json_object_set_new(out, "seconds", spread_json(plan->seconds));
    (void)json_object_set_new(out, "bytes_written", spread_json(plan->written));
    (void)json_object_set_new(out, "bytes_kept", spread_json(plan->kept));
    if (plan->has_cap) {
        (void)json_object_set_new(out, "hours_at_cap",
                                  json_real((double)plan->waves * plan->cap_seconds.mean / 3600));
    }
    (void)json_dumpf(out, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    (void)fputc('\n', stdout);
    json_decref(out);
}

/* What is trained besides the offspring. */
static const char *parent_slot(const struct run_record *record)
{
    if (!record->search.reevaluate_parent) {
        return "";
    }
    return record->strategy == RUN_RANDOM
               ? " and, where an evolution trains its parent again, one more; all random"
               : ", the parent trained again";
}

static void print_bytes(double bytes, const char *behind)
{
    static const char units[] = "MGT";
    double amount = bytes / 1e6;
    size_t unit = 0;

    for (; amount >= 1e4 && unit + 2 < sizeof units; unit++) {
        amount /= 1e3;
    }
    (void)printf("%.*f %cB%s", amount < 100, amount, units[unit], behind);
}

static void print_text(const struct plan *plan, const struct run_record *record, bool assumed)
{
    const struct run_search *search = &record->search;

    (void)printf("%" PRIu64 " trainings: %" PRIu32 " lineage(s) x %" PRIu32 " generations, %" PRIu32
                 " offspring each%s%s\n",
                 plan->trainings, search->lineages, search->generations, search->lambda,
                 parent_slot(record),
                 search->score_test ? "; at the end one score of the champion" : "");
    (void)printf("budget %s:%" PRIu64, job_budget_name(search->budget.kind), search->budget.amount);
    if (plan->has_cap) {
        (void)printf(", at most %" PRIu64 " after training longer", search->budget_cap);
    }
    (void)printf("; stopping early costs less\n");
    (void)printf("sampled %" PRIu32 " admissible of %" PRIu32 " %s\n\n", plan->sampled, plan->drawn,
                 sample_name(plan));
    (void)printf("one training                mean         90 %% below\n");
    (void)printf("  parameters       %13.0f      %13.0f\n", plan->parameters.mean,
                 plan->parameters.p90);
    (void)printf("  M multiply-adds  %13.2f      %13.2f\n", plan->macs.mean / 1e6,
                 plan->macs.p90 / 1e6);
    (void)printf("  steps            %13.0f      %13.0f\n", plan->steps.mean, plan->steps.p90);
    (void)printf("  GFLOPs           %13.1f      %13.1f\n", plan->flops.mean / 1e9,
                 plan->flops.p90 / 1e9);
    (void)printf("  seconds          %13.1f      %13.1f\n", plan->seconds.mean, plan->seconds.p90);
    (void)printf("  MB written       %13.2f      %13.2f\n", plan->written.mean / 1e6,
                 plan->written.p90 / 1e6);
    (void)printf("  MB kept          %13.2f      %13.2f\n\n", plan->kept.mean / 1e6,
                 plan->kept.p90 / 1e6);
    (void)printf("the run: %.3g FLOPs\nstore, besides the data set: ",
                 (double)plan->trainings * plan->flops.mean);
    print_bytes(total_bytes(plan, plan->written), " written; 'gc' leaves ");
    print_bytes(total_bytes(plan, plan->kept), ",\n      and after every generation lets at most ");
    print_bytes(peak_bytes(plan), " lie there at once\n");
    (void)printf("time: about %.2f hours on %" PRIu32 " runner(s)",
                 (double)plan->waves * plan->seconds.mean / 3600, plan->runners);
    if (plan->has_cap) {
        (void)printf(", %.2f if every candidate trained up to the cap",
                     (double)plan->waves * plan->cap_seconds.mean / 3600);
    }
    (void)printf("\n      at %.3g FLOPs a second and runner%s\n", plan->flops_per_second,
                 assumed ? ", an assumption: about one CPU core on small networks. A GPU does 1e12 "
                           "and more.\n      Measure yours and say --flops-per-second"
                         : "");
}

static enum nero_status make_plan(const char *path, const struct options_list *sets,
                                  uint64_t runners, struct plan *plan, bool json, bool assumed,
                                  struct nero_err *err)
{
    struct preset_run run;
    enum nero_status status = preset_run_open(path, sets, &run, err);

    if (status != NERO_OK) {
        return status;
    }
    plan->runners = runners > 0 ? (uint32_t)runners : run.preset.runners;
    plan->runners = plan->runners > 0 ? plan->runners : 1;
    plan->has_cap = run.preset.record.strategy == RUN_EVOLVE &&
                    run.preset.record.search.budget_cap > run.preset.record.search.budget.amount;
    if (plan->done >= run.preset.record.search.generations) {
        preset_run_close(&run);
        return err_set(err, NERO_INVALID, 0,
                       "--done: %" PRIu64 "; allowed: less than search.generations", plan->done);
    }
    plan->seeded = seed_given(&run.run);
    count_trainings(&run.preset.record, plan);
    status = sample_first_ones(&run, plan, err);
    if (status == NERO_OK && json) {
        print_json(plan, &run.preset.record);
    } else if (status == NERO_OK) {
        print_text(plan, &run.preset.record, assumed);
    }
    preset_run_close(&run);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s", path);
}

int cmd_plan(int argc, char **argv)
{
    struct plan plan = {.flops_per_second = 0};
    struct options_list sets = {.count = 0};
    struct preset_cut cut = {.images = 0};
    uint64_t runners = 0;
    bool json = false;
    const struct options_spec specs[] = {
        {"set", OPTIONS_LIST, "KEY=VALUE", "override a preset key, e.g. search.generations=5", NULL,
         &sets, 0},
        PRESET_CUT_OPTIONS(cut),
        PRESET_CUT_OPTION_BUDGET(cut),
        {"done", OPTIONS_U64, "N",
         "generations that are there: what extending the run by the rest costs", NULL, &plan.done,
         RUN_GENERATIONS_MAX},
        {"flops-per-second", OPTIONS_DOUBLE, "X",
         "what one runner does, 2 FLOPs a multiply-add (default 1e10)", NULL,
         &plan.flops_per_second, 0},
        {"runners", OPTIONS_COUNT, "N", "runners at work (default: the preset's)", NULL, &runners,
         100000},
        CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched plan",
        .arguments = "PRESET",
        .about =
            "What a search will cost, before anything is spent: trainings, steps, FLOPs, hours,\n"
            "bytes in the store. Costs of networks are those that the search begins with: random\n"
            "individuals of the preset's grammar, or mutants of its seed genotype; evolved ones\n"
            "may be larger.",
        .examples = "  nero-sched plan presets/demo.yaml\n"
                    "  nero-sched plan presets/demo.yaml --done 4 --set search.generations=10\n"
                    "  nero-sched plan presets/paper.yaml --flops-per-second 5e12 --runners 8\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct nero_err err;
    bool assumed;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    assumed = plan.flops_per_second == 0;
    if (assumed) {
        plan.flops_per_second = PLAN_FLOPS_PER_SECOND;
    }
    if (plan.flops_per_second < 1) {
        (void)err_set(&err, NERO_INVALID, 0, "--flops-per-second: expected 1 or more");
        return cli_fail(command.program, &err);
    }
    if (preset_cut_apply(parsed.arguments[0], &cut, &sets, &err) != NERO_OK ||
        make_plan(parsed.arguments[0], &sets, runners, &plan, json, assumed, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    return ERR_EXIT_DONE;
}
