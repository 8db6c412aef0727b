#include "export_champion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/chain.h"
#include "nero/onnx.h"

#include "champion.h"
#include "network_json.h"
#include "run_view.h"

/* A run of one evaluation records no beta; the paper's (specs/evolution.md b). */
static const double SINGLE_BETA = 4.0;

enum { WEIGHTS_BYTES_MAX = 1 << 30, JSON_BYTES_MAX = 16 << 20, EXPORT_PATH_BYTES = 4096 };

/* The network that is exported and where it comes from. */
struct exported {
    struct run_view *view;
    bool single;              /* of a run of one evaluation: no champion */
    struct champion champion; /* else */
    struct job_spec spec;     /* that was evaluated */
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
    job_spec_init(&exported->spec);
    result_init(&exported->result);
    result_init(&exported->test);
    bytes_init(&exported->weights, WEIGHTS_BYTES_MAX);
    bytes_init(&exported->onnx, WEIGHTS_BYTES_MAX);
    bytes_init(&exported->json, JSON_BYTES_MAX);
}

static void exported_fini(struct exported *exported)
{
    champion_fini(&exported->champion);
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
        champion_score_spec(&view->run, &exported->champion, &exported->result.outcome, &spec, err);
    if (status == NERO_OK) {
        job = job_id(bytes_as_view(&spec));
        status = run_view_result(view, &job, NULL, &exported->test, err);
        exported->has_test = status == NERO_OK;
        status = status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    bytes_fini(&spec);
    return status;
}

/* The phenotype is decoded from the member's genotype, as the auditor does. */
static enum nero_status load_champion(struct exported *exported, struct nero_err *err)
{
    struct run_view *view = exported->view;
    const struct generation_member *member;
    struct genotype genotype;
    enum nero_status status = champion_find(view->lead.store, view->trust, view->closed,
                                            view->lineage_count, &exported->champion, err);

    if (status != NERO_OK) {
        return status;
    }
    if (!exported->champion.found) {
        return err_set(err, NERO_NOT_FOUND, 0,
                       "run %s has no champion yet: no generation was scored with F",
                       view->lead.run);
    }
    member = &exported->champion.closed.generation.members[exported->champion.member];
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

static enum nero_status load_network(struct exported *exported, struct nero_err *err)
{
    struct run_view *view = exported->view;
    struct bytes phenotype;
    enum nero_status status = view->run.record->strategy == RUN_SINGLE
                                  ? load_single(exported, err)
                                  : load_champion(exported, err);

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
        const struct generation *generation = &exported->champion.closed.generation;

        (void)json_object_set_new(out, "lineage", json_integer(exported->champion.lineage));
        (void)json_object_set_new(out, "generation", json_integer(generation->number));
        (void)json_object_set_new(out, "member", json_integer(exported->champion.member));
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
    json_t *files =
        json_pack("{s:s, s:s}", "onnx", "champion.onnx", "weights", "champion.safetensors");
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
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for champion.json");
    }
    status = bytes_printf(&exported->json, err, "%s\n", text);
    free(text);
    return status;
}

/* The file appears under its name whole or not at all. */
static enum nero_status write_file(const char *folder, const char *name,
                                   const struct bytes *content, struct nero_err *err)
{
    char path[EXPORT_PATH_BYTES];
    char part[EXPORT_PATH_BYTES + 32];
    FILE *out;
    bool written;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
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
    if (write_file(folder, "champion.onnx", &exported->onnx, err) != NERO_OK ||
        write_file(folder, "champion.safetensors", &exported->weights, err) != NERO_OK) {
        return err->status;
    }
    return write_file(folder, "champion.json", &exported->json, err);
}

static void tell(const struct exported *exported, const char *folder, bool json)
{
    const struct result_outcome *outcome = &exported->result.outcome;

    if (json) {
        json_t *out = json_pack("{s:s, s:[s, s, s], s:I, s:I}", "folder", folder, "files",
                                "champion.onnx", "champion.safetensors", "champion.json",
                                "onnx_bytes", (json_int_t)exported->onnx.bytes, "weights_bytes",
                                (json_int_t)exported->weights.bytes);

        (void)json_dumpf(out, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(out);
        return;
    }
    (void)printf("%s/champion.onnx         %zu bytes\n", folder, exported->onnx.bytes);
    (void)printf("%s/champion.safetensors  %zu bytes\n", folder, exported->weights.bytes);
    (void)printf("%s/champion.json         %" PRIu64 " parameters, C %.2f %%, A %.2f %%\n", folder,
                 exported->graph.trained_count, 100 * result_clean_accuracy(outcome),
                 100 * result_adversarial_accuracy(outcome));
}

enum nero_status export_champion(struct storage *store, const char *run, const char *folder,
                                 bool json, struct nero_err *err)
{
    struct run_view view;
    struct exported exported;
    enum nero_status status = run_view_open(store, run, NULL, &view, err);

    if (status != NERO_OK) {
        return status;
    }
    exported_init(&exported, &view);
    status = load_network(&exported, err);
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
