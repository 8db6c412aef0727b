#include "report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "nero/graph.h"
#include "nero/mem.h"

#include "champion.h"
#include "job_set.h"
#include "run_view.h"

/* What a member, the champion or the best of the warm-up, came to. */
struct report_best {
    struct champion champion;
    struct result result;
    struct phenotype phenotype;
    struct graph graph;
    bool has_test;
    struct result test;
};

static void best_fini(struct report_best *best)
{
    champion_fini(&best->champion);
    result_fini(&best->result);
    result_fini(&best->test);
    phenotype_fini(&best->phenotype);
    graph_fini(&best->graph);
}

/* The test score, when the run asked for one and it is there. */
static enum nero_status load_test(struct run_view *view, struct report_best *best,
                                  struct nero_err *err)
{
    struct bytes spec;
    struct hash job;
    enum nero_status status;

    if (!view->run.record->search.score_test) {
        return NERO_OK;
    }
    bytes_init(&spec, JOB_BYTES_MAX);
    status = champion_score_spec(&view->run, &best->champion, &best->result.outcome, &spec, err);
    if (status == NERO_OK) {
        job = job_id(bytes_as_view(&spec));
        status = run_view_result(view, &job, NULL, &best->test, err);
        best->has_test = status == NERO_OK;
        status = status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    bytes_fini(&spec);
    return status;
}

/* Result, network and test score of best->champion, if it was found. */
static enum nero_status load_evaluation(struct run_view *view, struct report_best *best,
                                        struct nero_err *err)
{
    const struct generation_member *member;
    struct genotype genotype;
    enum nero_status status;

    if (!best->champion.found) {
        return NERO_OK;
    }
    member = &best->champion.closed.generation.members[best->champion.member];
    status = run_view_result(view, &member->job, member, &best->result, err);
    if (status == NERO_OK) {
        status = genotype_decode(member->genotype, &genotype, err);
    }
    if (status == NERO_OK) {
        status = evolve_decode(&view->run, &genotype, &best->phenotype, err);
        genotype_fini(&genotype);
    }
    if (status == NERO_OK) {
        status = graph_build(&best->phenotype, &best->graph, err);
    }
    return status == NERO_OK ? load_test(view, best, err) : status;
}

/* The champion, or the best of the warm-up. best_fini in any case. */
static enum nero_status load_best(struct run_view *view, bool warmup, struct report_best *best,
                                  struct nero_err *err)
{
    struct storage *store = view->lead.store;
    enum nero_status status;

    memset(best, 0, sizeof *best);
    result_init(&best->result);
    result_init(&best->test);
    status = warmup ? champion_find_warmup(store, view->trust, view->closed, view->lineage_count,
                                           &best->champion, err)
                    : champion_find(store, view->trust, view->closed, view->lineage_count,
                                    &best->champion, err);
    return status == NERO_OK ? load_evaluation(view, best, err) : status;
}

/* ---- the network ---- */

static const char *activation_name(enum phenotype_activation activation)
{
    switch (activation) {
    case PHENOTYPE_RELU:
        return "ReLU";
    case PHENOTYPE_SILU:
        return "SiLU";
    case PHENOTYPE_LINEAR:
        break;
    }
    return "linear";
}

static void print_conv(const struct phenotype_conv *conv, FILE *out)
{
    static const char *const norms[] = {"", ", batch norm first", ", batch norm",
                                        ", batch norm last"};

    (void)fprintf(out, "%" PRIu32 "x%" PRIu32 " conv", conv->kernel, conv->kernel);
    if (conv->filters_mult > 0) {
        (void)fprintf(out, " behind a 1x1 of %" PRIu32, conv->filters_mult * conv->filters);
    }
    (void)fprintf(out, ", %" PRIu32 " filters", conv->filters);
    if (conv->stride != 1) {
        (void)fprintf(out, ", stride %" PRIu32, conv->stride);
    }
    (void)fprintf(out, "%s, %s%s", conv->padding == PHENOTYPE_SAME ? ", same" : ", valid",
                  activation_name(conv->activation), norms[conv->bn]);
}

static void print_unit(const struct phenotype_unit *unit, FILE *out)
{
    switch (unit->kind) {
    case PHENOTYPE_CONV:
        print_conv(&unit->conv, out);
        break;
    case PHENOTYPE_POOL:
        print_conv(&unit->conv, out);
        (void)fprintf(out, "; %s pool %" PRIu32 "x%" PRIu32 " / %" PRIu32,
                      unit->pool.pooling == PHENOTYPE_MAX_POOL ? "max" : "average",
                      unit->pool.kernel, unit->pool.kernel, unit->pool.stride);
        break;
    case PHENOTYPE_FC:
        (void)fprintf(out, "fully connected, %" PRIu32 " units, %s", unit->fc_units,
                      activation_name(unit->fc_activation));
        break;
    }
}

enum nero_status report_print_network(const struct phenotype *phenotype, FILE *out,
                                      struct nero_err *err)
{
    struct graph graph;

    if (graph_build(phenotype, &graph, err) != NERO_OK) {
        return err->status;
    }
    for (uint32_t i = 0; i < phenotype->unit_count; i++) {
        const struct phenotype_unit *unit = &phenotype->units[i];

        (void)fprintf(out, "  unit %2" PRIu32 "  from", i);
        for (uint32_t j = 0; j < unit->input_count; j++) {
            if (unit->inputs[j] == PHENOTYPE_IMAGE) {
                (void)fprintf(out, " image");
            } else {
                (void)fprintf(out, " %" PRId32, unit->inputs[j]);
            }
        }
        (void)fprintf(out, ": ");
        print_unit(unit, out);
        (void)fprintf(out, "%s\n",
                      graph.unit_aliased[i] ? "  (cannot be built here: passes on the unit before)"
                      : !graph.unit_live[i] ? "  (does not reach the output)"
                                            : "");
    }
    (void)fprintf(out, "  %" PRIu64 " parameters, %.2f M multiply-adds an image\n",
                  graph.trained_count, (double)graph.macs / 1e6);
    graph_fini(&graph);
    return NERO_OK;
}

void report_print_learning(const struct phenotype_learning *learning, FILE *out)
{
    (void)fprintf(out, "  learning: ");
    switch (learning->optimiser) {
    case PHENOTYPE_SGD:
        (void)fprintf(out, "SGD, momentum %.3f%s", learning->momentum,
                      learning->nesterov ? " (Nesterov)" : "");
        break;
    case PHENOTYPE_RMSPROP:
        (void)fprintf(out, "RMSprop, rho %.3f", learning->rho);
        break;
    case PHENOTYPE_ADAM:
        (void)fprintf(out, "Adam, betas %.3f %.4f", learning->beta1, learning->beta2);
        break;
    }
    (void)fprintf(out, ", rate %g, decay %g, batch %" PRIu32 ", early stop %" PRIu32 " epochs\n",
                  learning->lr, learning->decay, learning->batch, learning->early_stop);
}

/* ---- text ---- */

struct row {
    uint32_t ill, invalid, failed;
    double best, mean, clean, adversarial;
};

static struct row row_of(const struct generation *generation)
{
    const struct generation_member *best = &generation->members[generation->selected];
    struct row row = {.best = best->fitness, .mean = generation->mean_fitness};

    row.clean = best->count > 0 ? (double)best->correct / best->count : 0;
    row.adversarial = best->correct > 0 ? (double)best->kept / best->correct : 0;
    for (uint32_t i = 0; i < generation->member_count; i++) {
        row.ill += generation->members[i].verdict == GENERATION_ILL_FITTED;
        row.invalid += generation->members[i].verdict == GENERATION_INVALID;
        row.failed += generation->members[i].verdict == GENERATION_FAILED;
    }
    return row;
}

static enum nero_status print_lineage(struct run_view *view, uint32_t lineage, struct job_set *jobs,
                                      FILE *out, struct nero_err *err)
{
    (void)fprintf(out,
                  "lineage %" PRIu32 "\n  generation  phase    best fitness  mean fitness"
                  "  C of best  A of best  ill-fitted  invalid  failed\n",
                  lineage);
    for (uint32_t i = 0; i < view->closed[lineage]; i++) {
        struct generation_stored stored;
        struct row row;

        if (run_view_generation(view, lineage, i, &stored, err) != NERO_OK) {
            return err->status;
        }
        row = row_of(&stored.generation);
        (void)fprintf(out,
                      "  %10" PRIu32 "  %-7s  %12.4f  %12.4f  %7.2f %%  %7.2f %%  %10" PRIu32
                      "  %7" PRIu32 "  %6" PRIu32 "\n",
                      i, stored.generation.robust ? "robust" : "warm-up", row.best, row.mean,
                      100 * row.clean, 100 * row.adversarial, row.ill, row.invalid, row.failed);
        if (job_set_add_generation(jobs, &stored.generation, err) != NERO_OK) {
            generation_stored_fini(&stored);
            return err->status;
        }
        generation_stored_fini(&stored);
    }
    return NERO_OK;
}

static void print_reuse(const struct job_set *jobs, const struct run_search *search, FILE *out)
{
    (void)fprintf(out, "%" PRIu64 " evaluations, %" PRIu64 " of them reused", jobs->named,
                  jobs->reused);
    if (search->seed_policy == RUN_SEED_GENOTYPE) {
        (void)fprintf(out, ": equal candidates are trained once (seed_policy per_genotype)\n");
    } else if (search->reevaluate_parent) {
        (void)fprintf(out, ": each is trained with a seed of its own (seed_policy per_slot)\n");
    } else {
        (void)fprintf(out, ": the parent is not trained again\n");
    }
}

void report_attack(const struct job_attack *attack, char out[REPORT_ATTACK_BYTES])
{
    switch (attack->kind) {
    case JOB_ATTACK_FGSM:
        (void)snprintf(out, REPORT_ATTACK_BYTES, "FGSM, %.4g/255", 255 * attack->epsilon);
        return;
    case JOB_ATTACK_PGD:
        (void)snprintf(out, REPORT_ATTACK_BYTES, "PGD, %.4g/255, %" PRIu32 " steps of %.4g/255",
                       255 * attack->epsilon, attack->steps, 255 * attack->step_size);
        return;
    case JOB_ATTACK_NONE:
        break;
    }
    (void)snprintf(out, REPORT_ATTACK_BYTES, "none");
}

/* The share of attacked images that FGSM and PGD could not attack: they count as kept. */
static double zero_gradient_share(const struct result_outcome *outcome)
{
    return outcome->correct > 0 ? (double)outcome->zero_gradient / outcome->correct : 0;
}

static void print_place(const char *what, const struct champion *place, FILE *out)
{
    (void)fprintf(out, "%s: lineage %" PRIu32 ", generation %" PRIu32 ", member %" PRIu32, what,
                  place->lineage, place->closed.generation.number, place->member);
}

static enum nero_status print_best(const struct report_best *best, const struct run_record *record,
                                   FILE *out, struct nero_err *err)
{
    const struct result_outcome *outcome = &best->result.outcome;
    double clean = result_clean_accuracy(outcome);
    double adversarial = result_adversarial_accuracy(outcome);
    char weights[HASH_HEX_BYTES];
    char attack[REPORT_ATTACK_BYTES];

    report_attack(&record->protocol.attack, attack);
    if (report_print_network(&best->phenotype, out, err) != NERO_OK) {
        return err->status;
    }
    report_print_learning(&best->phenotype.learning, out);
    (void)fprintf(out,
                  "  C %.2f %%, A %.2f %% (%s; on the correctly classified), F %.4f; "
                  "%" PRIu32 " epochs, the %s weights scored\n",
                  100 * clean, 100 * adversarial, attack,
                  result_fitness(clean, adversarial, record->search.beta), outcome->epochs,
                  outcome->scored_best ? "best" : "last");
    if (outcome->attacked) {
        (void)fprintf(out,
                      "  input gradient zero on %.2f %% of the attacked images: kept, but by no "
                      "merit of the network\n",
                      100 * zero_gradient_share(outcome));
    }
    if (best->has_test) {
        (void)fprintf(out,
                      "  on %" PRIu32 " test images, which selection never saw: C %.2f %%, "
                      "A %.2f %%\n",
                      best->test.outcome.count, 100 * result_clean_accuracy(&best->test.outcome),
                      100 * result_adversarial_accuracy(&best->test.outcome));
    }
    hash_to_hex(weights, &outcome->weights);
    (void)fprintf(out, "  weights (safetensors): runs/%s/blob/%.2s/%s\n", record->name, weights,
                  weights);
    return NERO_OK;
}

/* The best of the warm-up: in a line beside a champion, whole where there is none. */
static enum nero_status print_warmup(struct run_view *view, bool has_champion, FILE *out,
                                     struct nero_err *err)
{
    static const char what[] = "best of the warm-up (no champion: scored by C alone)";
    struct report_best best;
    enum nero_status status = load_best(view, true, &best, err);

    if (status == NERO_OK && !has_champion) {
        (void)fprintf(out,
                      "no best individual yet: F counts from the generation after the first whose "
                      "mean fitness reaches %g (warmup_threshold)\n",
                      view->run.record->search.warmup_threshold);
    }
    if (status == NERO_OK && best.champion.found) {
        print_place(what, &best.champion, out);
        (void)fprintf(out, ", C %.2f %%\n", 100 * best.champion.fitness);
        if (!has_champion) {
            status = print_best(&best, view->run.record, out, err);
        }
    }
    best_fini(&best);
    return status;
}

static enum nero_status print_champion(struct run_view *view, FILE *out, struct nero_err *err)
{
    struct report_best best;
    enum nero_status status = load_best(view, false, &best, err);
    bool found = best.champion.found;

    if (status == NERO_OK && found) {
        print_place("best individual", &best.champion, out);
        (void)fprintf(out, "\n");
        status = print_best(&best, view->run.record, out, err);
    }
    best_fini(&best);
    return status == NERO_OK ? print_warmup(view, found, out, err) : status;
}

static enum nero_status print_single(struct run_view *view, FILE *out, struct nero_err *err)
{
    struct job_record job;
    struct hash id;
    struct result result;

    result_init(&result);
    if (job_record_decode(view->run.record->single_job, &job, err) != NERO_OK) {
        return err->status;
    }
    id = job_id(job.spec);
    if (run_view_result(view, &id, NULL, &result, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(
        out, "evaluation: %" PRIu32 " epochs, %s, C %.2f %%, A %.2f %% of %" PRIu32 " images\n",
        result.outcome.epochs, result_stop_name(result.outcome.stop),
        100 * result_clean_accuracy(&result.outcome),
        100 * result_adversarial_accuracy(&result.outcome), result.outcome.count);
    result_fini(&result);
    return NERO_OK;
}

static enum nero_status print_text(struct run_view *view, FILE *out, struct nero_err *err)
{
    struct job_set jobs = {.room = 0};
    enum nero_status status = NERO_OK;

    if (view->run.record->strategy == RUN_SINGLE) {
        return print_single(view, out, err);
    }
    for (uint32_t i = 0; i < view->lineage_count && status == NERO_OK; i++) {
        status = print_lineage(view, i, &jobs, out, err);
    }
    if (status == NERO_OK) {
        print_reuse(&jobs, &view->run.record->search, out);
    }
    job_set_fini(&jobs);
    return status == NERO_OK ? print_champion(view, out, err) : status;
}

/* ---- JSON ---- */

static json_t *generation_json(const struct generation *generation)
{
    struct row row = row_of(generation);

    return json_pack("{s:i, s:i, s:s, s:f, s:f, s:f, s:f, s:i, s:i, s:i}", "lineage",
                     (int)generation->lineage, "generation", (int)generation->number, "phase",
                     generation->robust ? "robust" : "warm-up", "best_fitness", row.best,
                     "mean_fitness", row.mean, "clean_accuracy", row.clean, "adversarial_accuracy",
                     row.adversarial, "ill_fitted", (int)row.ill, "invalid", (int)row.invalid,
                     "failed", (int)row.failed);
}

static json_t *outcome_json(const struct result_outcome *outcome)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:f, s:f, s:i, s:s, s:s}", "count", (int)outcome->count,
                     "correct", (int)outcome->correct, "kept", (int)outcome->kept, "zero_gradient",
                     (int)outcome->zero_gradient, "clean_accuracy", result_clean_accuracy(outcome),
                     "adversarial_accuracy", result_adversarial_accuracy(outcome), "epochs",
                     (int)outcome->epochs, "stop", result_stop_name(outcome->stop), "scored",
                     outcome->scored_best ? "best" : "last");
}

static json_t *best_json(const struct report_best *best)
{
    json_t *out = outcome_json(&best->result.outcome);

    (void)json_object_set_new(out, "lineage", json_integer(best->champion.lineage));
    (void)json_object_set_new(out, "generation",
                              json_integer(best->champion.closed.generation.number));
    (void)json_object_set_new(out, "member", json_integer(best->champion.member));
    (void)json_object_set_new(out, "fitness", json_real(best->champion.fitness));
    (void)json_object_set_new(out, "parameters",
                              json_integer((json_int_t)best->graph.trained_count));
    (void)json_object_set_new(out, "macs", json_integer((json_int_t)best->graph.macs));
    if (best->has_test) {
        (void)json_object_set_new(out, "test", outcome_json(&best->test.outcome));
    }
    return out;
}

/* Nothing is added where there is none. */
static enum nero_status add_best(struct run_view *view, bool warmup, const char *name, json_t *root,
                                 struct nero_err *err)
{
    struct report_best best;
    enum nero_status status = load_best(view, warmup, &best, err);

    if (status == NERO_OK && best.champion.found) {
        (void)json_object_set_new(root, name, best_json(&best));
    }
    best_fini(&best);
    return status;
}

static enum nero_status print_json(struct run_view *view, FILE *out, struct nero_err *err)
{
    json_t *root = json_pack("{s:s, s:s, s:[]}", "run", view->lead.run, "store",
                             storage_url(view->lead.store), "generations");
    struct job_set jobs = {.room = 0};
    enum nero_status status = NERO_OK;

    for (uint32_t i = 0; i < view->lineage_count && status == NERO_OK; i++) {
        for (uint32_t j = 0; j < view->closed[i] && status == NERO_OK; j++) {
            struct generation_stored stored;

            status = run_view_generation(view, i, j, &stored, err);
            if (status == NERO_OK) {
                (void)json_array_append_new(json_object_get(root, "generations"),
                                            generation_json(&stored.generation));
                status = job_set_add_generation(&jobs, &stored.generation, err);
                generation_stored_fini(&stored);
            }
        }
    }
    if (status == NERO_OK && view->run.record->strategy != RUN_SINGLE) {
        (void)json_object_set_new(root, "evaluations", json_integer((json_int_t)jobs.named));
        (void)json_object_set_new(root, "reused", json_integer((json_int_t)jobs.reused));
        status = add_best(view, false, "best", root, err);
        if (status == NERO_OK) {
            status = add_best(view, true, "best_of_warmup", root, err);
        }
    }
    if (status == NERO_OK) {
        (void)json_dumpf(root, out, JSON_COMPACT | JSON_REAL_PRECISION(17));
        (void)fputc('\n', out);
    }
    job_set_fini(&jobs);
    json_decref(root);
    return status;
}

enum nero_status report_print(struct storage *store, const char *run, bool json, FILE *out,
                              struct nero_err *err)
{
    struct run_view view;
    enum nero_status status = run_view_open(store, run, NULL, &view, err);

    if (status != NERO_OK) {
        return status;
    }
    status = json ? print_json(&view, out, err) : print_text(&view, out, err);
    run_view_close(&view);
    return status;
}
