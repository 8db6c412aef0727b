/* nero-sched export: a run's candidates and curves as CSV, one of its networks as ONNX. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nero/graph.h"

#include "cli.h"
#include "export_network.h"
#include "job_set.h"
#include "run_view.h"

enum { EXPORT_PATH_BYTES = 4096 };

/* A CSV file that appears under its name whole or not at all; "-" is standard output. */
struct export_file {
    const char *path; /* NULL: not asked for */
    char temporary[EXPORT_PATH_BYTES];
    FILE *out;
    uint64_t rows;
    struct job_set jobs; /* of all rows so far */
};

/* One candidate: what the generation record, its network and its result say. */
struct export_row {
    uint32_t lineage, generation, member;
    bool robust, selected;
    const struct generation_member *record; /* NULL: a single evaluation */
    struct hash job;
    bool reused; /* an earlier row has this job */
    bool has_graph;
    uint64_t parameters, macs;
    bool has_result;
    struct result result;
};

static enum nero_status file_begin(struct export_file *file, const char *header,
                                   struct nero_err *err)
{
    if (file->path == NULL) {
        return NERO_OK;
    }
    if (strcmp(file->path, "-") == 0) {
        file->out = stdout;
    } else {
        if (snprintf(file->temporary, sizeof file->temporary, "%s.part-%ld", file->path,
                     (long)getpid()) >= (int)sizeof file->temporary) {
            return err_set(err, NERO_INVALID, 0, "%.80s...: the path is too long", file->path);
        }
        file->out = fopen(file->temporary, "wx");
        if (file->out == NULL) {
            return err_set(err, err_from_errno(errno), errno, "cannot write %s: %s", file->path,
                           strerror(errno));
        }
    }
    (void)fprintf(file->out, "%s\n", header);
    return NERO_OK;
}

/* `keep` false: nothing was asked for, or the rest failed. */
static enum nero_status file_end(struct export_file *file, bool keep, struct nero_err *err)
{
    bool written;
    FILE *out = file->out;

    file->out = NULL;
    if (out == NULL) {
        return NERO_OK;
    }
    if (out == stdout) {
        written = fflush(stdout) == 0 && !ferror(stdout);
        return written || !keep
                   ? NERO_OK
                   : err_set(err, NERO_NO_SPACE, errno, "standard output: %s", strerror(errno));
    }
    written = !ferror(out);
    written = fclose(out) == 0 && written;
    if (keep && written && rename(file->temporary, file->path) == 0) {
        return NERO_OK;
    }
    if (keep) {
        (void)err_set(err, NERO_NO_SPACE, errno, "cannot write %s: %s", file->path,
                      strerror(errno));
    }
    (void)unlink(file->temporary);
    return keep ? err->status : NERO_OK;
}

static void print_operators(const struct generation_member *member, FILE *out)
{
    for (uint32_t i = 0; i < member->event_count; i++) {
        (void)fprintf(out, "%s%s", i > 0 ? ";" : "",
                      generation_operator_name(member->events[i].op));
    }
}

/* Hash of the outcome's bytes: equal for equal work, however often it was interrupted. */
static void outcome_hex(const struct result_outcome *outcome, char hex[HASH_HEX_BYTES])
{
    struct bytes bytes;
    struct nero_err err;
    struct hash hash;

    hex[0] = '\0';
    bytes_init(&bytes, RESULT_BYTES_MAX);
    if (result_outcome_encode(outcome, &bytes, &err) == NERO_OK) {
        hash = hash_of(bytes_as_view(&bytes));
        hash_to_hex(hex, &hash);
    }
    bytes_fini(&bytes);
}

static void print_result(const struct export_row *row, FILE *out)
{
    const struct result_outcome *outcome = &row->result.outcome;
    const struct result_provenance *provenance = &row->result.provenance;
    char weights[HASH_HEX_BYTES];
    char whole[HASH_HEX_BYTES];

    if (!row->has_result) {
        (void)fputs(",,,,,,,,,,,,,,,,,", out);
        return;
    }
    hash_to_hex(weights, &outcome->weights);
    outcome_hex(outcome, whole);
    (void)fprintf(
        out,
        "%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%.17g,%.17g,%" PRIu32 ",%s,%" PRIu64 ",%" PRIu32
        ",%" PRIu32 ",%s,%s,%s,%s,%" PRIu32 ",%" PRIu32 ",%.3f,%.1f",
        outcome->count, outcome->correct, outcome->kept, result_clean_accuracy(outcome),
        result_adversarial_accuracy(outcome), outcome->zero_gradient, result_ill_name(outcome->ill),
        outcome->steps, outcome->epochs, outcome->best_epoch, result_stop_name(outcome->stop),
        outcome->scored_best ? "best" : "last", weights, whole, provenance->attempts,
        provenance->preemptions, provenance->seconds_trained, provenance->images_per_second);
}

/* What a candidate came to, then how: the last four columns differ between equal searches. */
#define CANDIDATE_HEADER                                                                           \
    "lineage,generation,member,origin,operators,phase,selected,verdict,fitness,budget,job,"        \
    "reused,parameters,macs,count,correct,kept,clean_accuracy,adversarial_accuracy,zero_gradient," \
    "ill,"                                                                                         \
    "steps,epochs,best_epoch,stop,scored,weights,outcome,attempts,preemptions,seconds_trained,"    \
    "images_per_second"

static void print_candidate(const struct export_row *row, FILE *out)
{
    const struct generation_member *record = row->record;
    char job[HASH_HEX_BYTES] = "";

    (void)fprintf(out, "%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",", row->lineage, row->generation,
                  row->member);
    if (record != NULL) {
        (void)fprintf(out, "%s,", generation_origin_name(record->origin));
        print_operators(record, out);
        (void)fprintf(out, ",%s,%d,%s,%.17g,", row->robust ? "robust" : "warm-up",
                      (int)row->selected, generation_verdict_name(record->verdict),
                      record->fitness);
        if (record->has_job) {
            (void)fprintf(out, "%s:%" PRIu64, job_budget_name(record->budget.kind),
                          record->budget.amount);
        }
    } else {
        (void)fputs("single,,,,,,", out);
    }
    if (record == NULL || record->has_job) {
        hash_to_hex(job, &row->job);
    }
    (void)fprintf(out, ",%s,%d,", job, (int)row->reused);
    if (row->has_graph) {
        (void)fprintf(out, "%" PRIu64 ",%" PRIu64 ",", row->parameters, row->macs);
    } else {
        (void)fputs(",,", out);
    }
    print_result(row, out);
    (void)fputc('\n', out);
}

#define EPOCH_HEADER \
    "lineage,generation,member,job,epoch,loss,control_loss,control_correct,control_accuracy,steps"

static uint64_t print_epochs(const struct export_row *row, FILE *out)
{
    const struct result_outcome *outcome = &row->result.outcome;
    char job[HASH_HEX_BYTES];

    hash_to_hex(job, &row->job);
    for (uint32_t i = 0; i < outcome->epoch_count; i++) {
        const struct result_epoch *epoch = &outcome->curve[i];

        (void)fprintf(out,
                      "%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%s,%" PRIu32 ",%.9g,%.9g,%" PRIu32
                      ",%.9g,%" PRIu32 "\n",
                      row->lineage, row->generation, row->member, job, i + 1, epoch->loss,
                      epoch->control_loss, epoch->control_correct,
                      outcome->control_count > 0
                          ? (double)epoch->control_correct / outcome->control_count
                          : 0.0,
                      epoch->steps);
    }
    return outcome->epoch_count;
}

static void export_row(struct export_file *candidates, struct export_file *epochs,
                       const struct export_row *row)
{
    if (candidates->out != NULL) {
        print_candidate(row, candidates->out);
    }
    candidates->rows++;
    if (epochs->out != NULL && row->has_result) {
        epochs->rows += print_epochs(row, epochs->out);
    }
}

/* Sizes of the network; a genotype that cannot be built has none. */
static void measure(const struct run_view *view, struct export_row *row)
{
    struct nero_err ignored;
    struct genotype genotype;
    struct phenotype phenotype;
    struct graph graph;

    if (genotype_decode(row->record->genotype, &genotype, &ignored) != NERO_OK) {
        return;
    }
    if (evolve_decode(&view->run, &genotype, &phenotype, &ignored) == NERO_OK) {
        row->has_graph = graph_build(&phenotype, &graph, &ignored) == NERO_OK;
        if (row->has_graph) {
            row->parameters = graph.trained_count;
            row->macs = graph.macs;
            graph_fini(&graph);
        }
        phenotype_fini(&phenotype);
    }
    genotype_fini(&genotype);
}

static enum nero_status export_member(struct run_view *view, const struct generation *generation,
                                      uint32_t member, struct export_file *candidates,
                                      struct export_file *epochs, struct nero_err *err)
{
    const struct generation_member *record = &generation->members[member];
    struct export_row row = {.lineage = generation->lineage,
                             .generation = generation->number,
                             .member = member,
                             .robust = generation->robust,
                             .selected = generation->selected == member,
                             .record = record,
                             .job = record->job};
    enum nero_status status = NERO_OK;

    result_init(&row.result);
    measure(view, &row);
    if (record->has_job) {
        status = job_set_add(&candidates->jobs, &record->job, &row.reused, err);
    }
    if (status == NERO_OK && record->has_job && record->verdict != GENERATION_FAILED) {
        status = run_view_result(view, &record->job, record, &row.result, err);
        row.has_result = status == NERO_OK;
    }
    if (status == NERO_OK) {
        export_row(candidates, epochs, &row);
    }
    result_fini(&row.result);
    return status;
}

static enum nero_status export_generation(struct run_view *view, uint32_t lineage, uint32_t number,
                                          struct export_file *candidates,
                                          struct export_file *epochs, struct nero_err *err)
{
    struct generation_stored stored;
    enum nero_status status = run_view_generation(view, lineage, number, &stored, err);

    if (status != NERO_OK) {
        return status;
    }
    for (uint32_t i = 0; status == NERO_OK && i < stored.generation.member_count; i++) {
        status = export_member(view, &stored.generation, i, candidates, epochs, err);
    }
    generation_stored_fini(&stored);
    return status;
}

static enum nero_status export_single(struct run_view *view, struct export_file *candidates,
                                      struct export_file *epochs, struct nero_err *err)
{
    struct export_row row = {.record = NULL};
    struct job_record job;
    enum nero_status status = job_record_decode(view->run.record->single_job, &job, err);

    if (status != NERO_OK) {
        return status;
    }
    result_init(&row.result);
    row.job = job_id(job.spec);
    status = run_view_result(view, &row.job, NULL, &row.result, err);
    if (status == NERO_OK) {
        row.has_result = true;
        export_row(candidates, epochs, &row);
    }
    result_fini(&row.result);
    return status;
}

static enum nero_status export_run(struct run_view *view, struct export_file *candidates,
                                   struct export_file *epochs, struct nero_err *err)
{
    if (view->run.record->strategy == RUN_SINGLE) {
        return export_single(view, candidates, epochs, err);
    }
    for (uint32_t i = 0; i < view->lineage_count; i++) {
        for (uint32_t j = 0; j < view->closed[i]; j++) {
            if (export_generation(view, i, j, candidates, epochs, err) != NERO_OK) {
                return err_wrap(err, "lineage %" PRIu32 ", generation %" PRIu32, i, j);
            }
        }
    }
    return NERO_OK;
}

static enum nero_status export_files(struct storage *store, const char *run,
                                     struct export_file *candidates, struct export_file *epochs,
                                     struct nero_err *err)
{
    struct nero_err ignored;
    struct run_view view;
    enum nero_status status = run_view_open(store, run, NULL, &view, err);

    if (status != NERO_OK) {
        return status;
    }
    status = file_begin(candidates, CANDIDATE_HEADER, err);
    if (status == NERO_OK) {
        status = file_begin(epochs, EPOCH_HEADER, err);
    }
    if (status == NERO_OK) {
        status = export_run(&view, candidates, epochs, err);
    }
    if (status == NERO_OK) {
        status = file_end(candidates, true, err);
    }
    if (status == NERO_OK) {
        status = file_end(epochs, true, err);
    }
    (void)file_end(candidates, false, &ignored);
    (void)file_end(epochs, false, &ignored);
    job_set_fini(&candidates->jobs);
    run_view_close(&view);
    return status;
}

/* What is wanted of a run; paths are NULL where not asked for. */
struct export_wish {
    struct export_file candidates;
    struct export_file epochs;
    bool champion;
    const char *candidate; /* its place; NULL: not asked for */
    const char *out;       /* folder of the network's files */
    bool json;
};

static enum nero_status check_wish(const struct export_wish *wish, struct nero_err *err)
{
    bool first = wish->candidates.path != NULL && strcmp(wish->candidates.path, "-") == 0;
    bool second = wish->epochs.path != NULL && strcmp(wish->epochs.path, "-") == 0;
    bool tables = wish->candidates.path != NULL || wish->epochs.path != NULL;
    bool network = wish->champion || wish->candidate != NULL;

    if (network != (wish->out != NULL)) {
        return err_set(err, NERO_INVALID, 0,
                       "--out DIR goes together with --champion or --candidate L/G/M");
    }
    if (tables + wish->champion + (wish->candidate != NULL) != 1) {
        return err_set(err, NERO_INVALID, 0,
                       "say what to write: --csv FILE, --epochs FILE or both "
                       "(- is standard output), or --champion --out DIR, "
                       "or --candidate L/G/M --out DIR");
    }
    if (first + second + wish->json > 1) {
        return err_set(err, NERO_INVALID, 0,
                       "standard output is wanted for more than one of --csv, --epochs and --json");
    }
    return NERO_OK;
}

static enum nero_status export_wish(struct storage *store, const char *run,
                                    struct export_wish *wish, struct nero_err *err)
{
    struct champion_place place;

    if (wish->candidate != NULL && export_network_place(wish->candidate, &place, err) != NERO_OK) {
        return err->status;
    }
    if (wish->out != NULL) {
        return export_network(store, run, wish->candidate != NULL ? &place : NULL, wish->out,
                              wish->json, err);
    }
    if (export_files(store, run, &wish->candidates, &wish->epochs, err) != NERO_OK) {
        return err->status;
    }
    if (wish->json) {
        (void)printf("{\"candidates\":%" PRIu64 ",\"epochs\":%" PRIu64 "}\n", wish->candidates.rows,
                     wish->epochs.rows);
    }
    return NERO_OK;
}

int cmd_export(int argc, char **argv)
{
    const char *store_url = NULL;
    struct export_wish wish = {.champion = false};
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&store_url),
        {"csv", OPTIONS_STRING, "FILE", "one row a candidate (- is standard output)", NULL,
         &wish.candidates.path, 0},
        {"epochs", OPTIONS_STRING, "FILE", "one row an epoch of each candidate", NULL,
         &wish.epochs.path, 0},
        {"champion", OPTIONS_FLAG, NULL, "write the fittest network instead: ONNX, weights, JSON",
         NULL, &wish.champion, 0},
        {"candidate", OPTIONS_STRING, "L/G/M",
         "the same of any candidate: its lineage, generation and member", NULL, &wish.candidate, 0},
        {"out", OPTIONS_STRING, "DIR", "of a network: the folder, made when absent", NULL,
         &wish.out, 0},
        {"json", OPTIONS_FLAG, NULL, "tell what was written, as JSON", NULL, &wish.json, 0}};
    const struct options_command command = {
        .program = "nero-sched export",
        .arguments = "RUN",
        .about =
            "Write the candidates of a run's closed generations as CSV, from the store alone: a\n"
            "file appears whole or not at all.",
        .examples = "  nero-sched export demo-3f9a12 --csv candidates.csv --epochs curves.csv\n"
                    "  nero-sched export demo-3f9a12 --csv - | column -s, -t\n"
                    "  nero-sched export demo-3f9a12 --champion --out best\n"
                    "  nero-sched export demo-3f9a12 --candidate 0/3/2 --out other\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (check_wish(&wish, &err) != NERO_OK ||
        cli_store_url(store_url, false, url, &err) != NERO_OK ||
        cli_open_store(url, false, &store, &err) != NERO_OK ||
        export_wish(store, parsed.arguments[0], &wish, &err) != NERO_OK) {
        code = cli_fail(command.program, &err);
    }
    storage_close(store);
    return code;
}
