#include "export_network.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/chain.h"
#include "nero/onnx.h"
#include "nero/options.h"

#include "network_json.h"
#include "run_view.h"

/* A run of one evaluation records no beta; the paper's (specs/evolution.md b). */
static const double SINGLE_BETA = 4.0;

enum { WEIGHTS_BYTES_MAX = 1 << 30, JSON_BYTES_MAX = 16 << 20, EXPORT_PATH_BYTES = 4096 };

/* The network that is exported and where it comes from. */
struct exported {
    struct run_view *view;
    const char *name;       /* of the files, without the ending */
    bool single;            /* of a run of one evaluation: no member */
    struct champion member; /* else: the champion, or the candidate that was asked for */
    struct job_spec spec;   /* that was evaluated */
    struct hash job;
    struct hash phenotype_id;
    struct graph graph;
    struct result result;
    bool has_test;
    struct result test;
    struct bytes weights; /* the blob */
    struct bytes onnx;
    struct bytes json;
};

static void exported_init(struct exported *exported, struct run_view *view)
{
    memset(exported, 0, sizeof *exported);
    exported->view = view;
    exported->name = "champion";
    job_spec_init(&exported->spec);
    result_init(&exported->result);
    result_init(&exported->test);
    bytes_init(&exported->weights, WEIGHTS_BYTES_MAX);
    bytes_init(&exported->onnx, WEIGHTS_BYTES_MAX);
    bytes_init(&exported->json, JSON_BYTES_MAX);
}

static void exported_fini(struct exported *exported)
{
    champion_fini(&exported->member);
    job_spec_fini(&exported->spec);
    graph_fini(&exported->graph);
    result_fini(&exported->result);
    result_fini(&exported->test);
    bytes_fini(&exported->weights);
    bytes_fini(&exported->onnx);
    bytes_fini(&exported->json);
}

/* ---- what it is ---- */

static enum nero_status load_single(struct exported *exported, struct nero_err *err)
{
    struct job_record job;

    exported->single = true;
    if (job_record_decode(exported->view->run.record->single_job, &job, err) != NERO_OK ||
        job_spec_decode(job.spec, &exported->spec, err) != NERO_OK) {
        return err->status;
    }
    exported->job = job_id(job.spec);
    return run_view_result(exported->view, &exported->job, NULL, &exported->result, err);
}

/* The test score, where the run asked for one and it is there. */
static enum nero_status load_test(struct exported *exported, struct nero_err *err)
{
    struct run_view *view = exported->view;
    struct bytes spec;
    struct hash job;
    enum nero_status status;

    if (!view->run.record->search.score_test) {
        return NERO_OK;
    }
    bytes_init(&spec, JOB_SPEC_BYTES_MAX);
    status =
        champion_score_spec(&view->run, &exported->member, &exported->result.outcome, &spec, err);
    if (status == NERO_OK) {
        job = job_id(bytes_as_view(&spec));
        status = run_view_result(view, &job, NULL, &exported->test, err);
        exported->has_test = status == NERO_OK;
        status = status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    bytes_fini(&spec);
    return status;
}

/* There is no champion: say what there is. */
static enum nero_status no_champion(struct run_view *view, struct nero_err *err)
{
    struct champion best;
    char hint[128] = "";

    if (champion_find_warmup(view->lead.store, view->trust, view->closed, view->lineage_count,
                             &best, err) != NERO_OK) {
        return err->status;
    }
    if (best.found) {
        (void)snprintf(hint, sizeof hint,
                       "; the best of the warm-up is exported by --candidate %" PRIu32 "/%" PRIu32
                       "/%" PRIu32,
                       best.lineage, best.closed.generation.number, best.member);
    }
    (void)err_set(err, NERO_NOT_FOUND, 0,
                  "run %s has no champion yet: no generation was scored with F%s", view->lead.run,
                  hint);
    champion_fini(&best);
    return err->status;
}

static enum nero_status find_member(struct exported *exported, const struct champion_place *place,
                                    struct nero_err *err)
{
    struct run_view *view = exported->view;
    enum nero_status status;

    if (place != NULL) {
        exported->name = "candidate";
        return champion_take(view->lead.store, view->trust, view->closed, view->lineage_count,
                             place, &exported->member, err);
    }
    status = champion_find(view->lead.store, view->trust, view->closed, view->lineage_count,
                           &exported->member, err);
    return status == NERO_OK && !exported->member.found ? no_champion(view, err) : status;
}

/* The phenotype is decoded from the member's genotype, as the auditor does. */
static enum nero_status load_member(struct exported *exported, const struct champion_place *place,
                                    struct nero_err *err)
{
    struct run_view *view = exported->view;
    const struct generation_member *member;
    struct genotype genotype;
    enum nero_status status = find_member(exported, place, err);

    if (status != NERO_OK) {
        return status;
    }
    member = &exported->member.closed.generation.members[exported->member.member];
    exported->job = member->job;
    exported->spec.protocol = view->run.record->protocol;
    if (run_view_result(view, &member->job, member, &exported->result, err) != NERO_OK ||
        genotype_decode(member->genotype, &genotype, err) != NERO_OK) {
        return err->status;
    }
    status = evolve_decode(&view->run, &genotype, &exported->spec.phenotype, err);
    genotype_fini(&genotype);
    return status == NERO_OK ? load_test(exported, err) : status;
}

static enum nero_status load_network(struct exported *exported, const struct champion_place *place,
                                     struct nero_err *err)
{
    struct run_view *view = exported->view;
    bool single = view->run.record->strategy == RUN_SINGLE;
    struct bytes phenotype;
    enum nero_status status;

    if (single && place != NULL) {
        return err_set(err, NERO_INVALID, 0,
                       "run %s is one evaluation and has no candidates: --champion exports it",
                       view->lead.run);
    }
    status = single ? load_single(exported, err) : load_member(exported, place, err);
    bytes_init(&phenotype, PHENOTYPE_BYTES_MAX);
    if (status == NERO_OK) {
        status = phenotype_encode(&exported->spec.phenotype, &phenotype, err);
    }
    if (status == NERO_OK) {
        exported->phenotype_id = hash_of(bytes_as_view(&phenotype));
        status = graph_build(&exported->spec.phenotype, &exported->graph, err);
    }
    bytes_fini(&phenotype);
    if (status == NERO_OK) {
        status = chain_get_blob(view->lead.store, view->lead.run, &exported->result.outcome.weights,
                                WEIGHTS_BYTES_MAX, NULL, &exported->weights, err);
    }
    return status;
}

/* ---- as files ---- */

static enum nero_status make_onnx(struct exported *exported, struct nero_err *err)
{
    char job[HASH_HEX_BYTES];
    char phenotype[HASH_HEX_BYTES];
    char weights[HASH_HEX_BYTES];
    const struct onnx_property properties[] = {{"nero.run", exported->view->lead.run},
                                               {"nero.job", job},
                                               {"nero.phenotype", phenotype},
                                               {"nero.weights", weights},
                                               {"nero.input", "float32 [N,C,H,W] in [0,1]"}};
    struct safetensors_file file;
    enum nero_status status;

    hash_to_hex(job, &exported->job);
    hash_to_hex(phenotype, &exported->phenotype_id);
    hash_to_hex(weights, &exported->result.outcome.weights);
    status = safetensors_read(bytes_as_view(&exported->weights), &file, err);
    if (status != NERO_OK) {
        return err_wrap(err, "weights");
    }
    status = onnx_write(&exported->graph, &file, properties,
                        sizeof properties / sizeof properties[0], &exported->onnx, err);
    safetensors_file_fini(&file);
    return status;
}

static void set_hash(json_t *object, const char *key, const struct hash *hash)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, hash);
    (void)json_object_set_new(object, key, json_string(hex));
}

/* Everything that leads back to the store. */
static json_t *provenance_json(const struct exported *exported)
{
    const struct result_outcome *outcome = &exported->result.outcome;
    json_t *out = json_pack("{s:s, s:s}", "run", exported->view->lead.run, "store",
                            storage_url(exported->view->lead.store));

    if (!exported->single) {
        const struct generation *generation = &exported->member.closed.generation;

        (void)json_object_set_new(out, "lineage", json_integer(exported->member.lineage));
        (void)json_object_set_new(out, "generation", json_integer(generation->number));
        (void)json_object_set_new(out, "member", json_integer(exported->member.member));
        (void)json_object_set_new(out, "phase",
                                  json_string(generation->robust ? "robust" : "warm-up"));
    }
    set_hash(out, "job", &exported->job);
    set_hash(out, "phenotype", &exported->phenotype_id);
    set_hash(out, "weights_blob", &outcome->weights);
    if (outcome->has_state) {
        set_hash(out, "state_blob", &outcome->state);
    }
    (void)json_object_set_new(out, "numeric_class", json_string(outcome->numeric_class));
    (void)json_object_set_new(out, "stop", json_string(result_stop_name(outcome->stop)));
    (void)json_object_set_new(out, "steps", json_integer((json_int_t)outcome->steps));
    (void)json_object_set_new(out, "epochs", json_integer(outcome->epochs));
    return out;
}

static enum nero_status make_json(struct exported *exported, struct nero_err *err)
{
    const struct run_record *record = exported->view->run.record;
    const struct job_protocol *protocol = &exported->spec.protocol;
    double beta = exported->single ? SINGLE_BETA : record->search.beta;
    struct hash onnx = hash_of(bytes_as_view(&exported->onnx));
    json_t *files = json_pack("{s:o, s:o}", "onnx", json_sprintf("%s.onnx", exported->name),
                              "weights", json_sprintf("%s.safetensors", exported->name));
    json_t *root;
    char *text;
    enum nero_status status;

    set_hash(files, "onnx_blake2b", &onnx);
    root = json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "version", 1, "provenance",
                     provenance_json(exported), "files", files, "attack",
                     network_json_attack(&protocol->attack),
                     protocol->part == JOB_PART_TEST ? "test" : "fitness",
                     network_json_scores(&exported->result.outcome, beta), "network",
                     network_json(&exported->spec.phenotype, &exported->graph));
    if (exported->has_test) {
        (void)json_object_set_new(root, "test", network_json_scores(&exported->test.outcome, beta));
    }
    text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(root);
    if (text == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the JSON");
    }
    status = bytes_printf(&exported->json, err, "%s\n", text);
    free(text);
    return status;
}

/* The file appears under its name whole or not at all. */
static enum nero_status write_file(const char *folder, const char *name, const char *ending,
                                   const struct bytes *content, struct nero_err *err)
{
    char path[EXPORT_PATH_BYTES];
    char part[EXPORT_PATH_BYTES + 32];
    FILE *out;
    bool written;

    if (snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending) >= (int)sizeof path) {
        return err_set(err, NERO_INVALID, 0, "--out: the path is too long");
    }
    (void)snprintf(part, sizeof part, "%s.part-%ld", path, (long)getpid());
    out = fopen(part, "wx");
    if (out == NULL) {
        return err_set(err, err_from_errno(errno), errno, "cannot write %s: %s", path,
                       strerror(errno));
    }
    written = fwrite(content->data, 1, content->bytes, out) == content->bytes;
    written = fflush(out) == 0 && fsync(fileno(out)) == 0 && written;
    written = fclose(out) == 0 && written;
    if (written && rename(part, path) == 0) {
        return NERO_OK;
    }
    (void)err_set(err, NERO_NO_SPACE, errno, "cannot write %s: %s", path, strerror(errno));
    (void)unlink(part);
    return err->status;
}

static enum nero_status write_files(const struct exported *exported, const char *folder,
                                    struct nero_err *err)
{
    struct stat status;

    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        return err_set(err, NERO_INVALID, errno, "--out %s: %s", folder, strerror(errno));
    }
    if (stat(folder, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return err_set(err, NERO_INVALID, 0, "--out %s is no folder", folder);
    }
    if (write_file(folder, exported->name, "onnx", &exported->onnx, err) != NERO_OK ||
        write_file(folder, exported->name, "safetensors", &exported->weights, err) != NERO_OK) {
        return err->status;
    }
    return write_file(folder, exported->name, "json", &exported->json, err);
}

static void tell(const struct exported *exported, const char *folder, bool json)
{
    const struct result_outcome *outcome = &exported->result.outcome;
    const char *name = exported->name;

    if (json) {
        json_t *out =
            json_pack("{s:s, s:[o, o, o], s:I, s:I}", "folder", folder, "files",
                      json_sprintf("%s.onnx", name), json_sprintf("%s.safetensors", name),
                      json_sprintf("%s.json", name), "onnx_bytes", (json_int_t)exported->onnx.bytes,
                      "weights_bytes", (json_int_t)exported->weights.bytes);

        (void)json_dumpf(out, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(out);
        return;
    }
    (void)printf("%s/%s.onnx         %zu bytes\n", folder, name, exported->onnx.bytes);
    (void)printf("%s/%s.safetensors  %zu bytes\n", folder, name, exported->weights.bytes);
    (void)printf("%s/%s.json         %" PRIu64 " parameters, C %.2f %%, A %.2f %%\n", folder, name,
                 exported->graph.trained_count, 100 * result_clean_accuracy(outcome),
                 100 * result_adversarial_accuracy(outcome));
}

/* The number up to `end`, which is cut off. */
static bool take_number(char **text, char end, uint64_t *out)
{
    struct nero_err ignored;
    char *stop = strchr(*text, end);
    const char *digits = *text;

    if (stop == NULL) {
        return false;
    }
    *text = end == '\0' ? stop : stop + 1;
    *stop = '\0';
    return options_parse_u64("", digits, 0, UINT32_MAX, out, &ignored) == NERO_OK;
}

enum nero_status export_network_place(const char *text, struct champion_place *out,
                                      struct nero_err *err)
{
    char copy[64];
    char *at = copy;
    uint64_t lineage;
    uint64_t generation;
    uint64_t member;

    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy ||
        !take_number(&at, '/', &lineage) || !take_number(&at, '/', &generation) ||
        !take_number(&at, '\0', &member)) {
        return err_set(err, NERO_INVALID, 0,
                       "--candidate: '%.60s'; expected lineage/generation/member, such as 0/3/2",
                       text);
    }
    *out = (struct champion_place){.lineage = (uint32_t)lineage,
                                   .generation = (uint32_t)generation,
                                   .member = (uint32_t)member};
    return NERO_OK;
}

enum nero_status export_network(struct storage *store, const char *run,
                                const struct champion_place *place, const char *folder, bool json,
                                struct nero_err *err)
{
    struct run_view view;
    struct exported exported;
    enum nero_status status = run_view_open(store, run, NULL, &view, err);

    if (status != NERO_OK) {
        return status;
    }
    exported_init(&exported, &view);
    status = load_network(&exported, place, err);
    if (status == NERO_OK) {
        status = make_onnx(&exported, err);
    }
    if (status == NERO_OK) {
        status = make_json(&exported, err);
    }
    if (status == NERO_OK) {
        status = write_files(&exported, folder, err);
    }
    if (status == NERO_OK) {
        tell(&exported, folder, json);
    }
    exported_fini(&exported);
    run_view_close(&view);
    return status;
}
