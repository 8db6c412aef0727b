#include "run_view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/mem.h"

#include "dataset_store.h"
#include "inbox.h"

static enum nero_status count_closed(struct run_view *view, struct nero_err *err)
{
    view->closed = mem_calloc(view->lineage_count, sizeof *view->closed);
    if (view->closed == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the lineages");
    }
    for (uint32_t i = 0; i < view->lineage_count; i++) {
        for (;;) {
            char key[LAYOUT_KEY_BYTES];
            enum nero_status status;

            layout_generation(key, view->lead.run, i, view->closed[i],
                              generation_state_name(GENERATION_CLOSED));
            status = storage_head(view->lead.store, key, NULL, err);
            if (status == NERO_NOT_FOUND) {
                break;
            }
            if (status != NERO_OK) {
                return status;
            }
            view->closed[i]++;
        }
    }
    return NERO_OK;
}

static enum nero_status open_search(struct run_view *view, struct nero_err *err)
{
    const struct run_record *record = trust_run(view->trust);
    struct run_dataset dataset;

    if (record->strategy == RUN_SINGLE) {
        return NERO_OK;
    }
    if (grammar_parse("run record's grammar", record->grammar, &view->grammar, err) != NERO_OK ||
        dataset_store_get(view->lead.store, &record->protocol.dataset, &dataset, err) != NERO_OK ||
        amendment_list_read(view->lead.store, view->trust, &view->amendments, err) != NERO_OK) {
        return err->status;
    }
    view->run.grammar = &view->grammar;
    view->run.channels = dataset.channels;
    view->run.height = dataset.height;
    view->run.width = dataset.width;
    view->run.classes = dataset.classes;
    view->run.test_count = dataset.test_count;
    view->lineage_count = record->search.lineages;
    return count_closed(view, err);
}

enum nero_status run_view_open(struct storage *store, const char *run,
                               const struct key_public *root, struct run_view *out,
                               struct nero_err *err)
{
    enum nero_status status;

    memset(out, 0, sizeof *out);
    out->lead.store = store;
    status = layout_check_run(run, err);
    if (status == NERO_OK) {
        status = trust_open(store, run, root, &out->trust, err);
    }
    if (status == NERO_NOT_FOUND && inbox_holds(store, run)) {
        return err_set(err, NERO_NOT_FOUND, 0,
                       "run %s is submitted and waits for a 'nero-sched serve' of %s to take it up",
                       run, storage_url(store));
    }
    if (status == NERO_NOT_FOUND) {
        return err_set(err, NERO_NOT_FOUND, 0, "there is no run %s in %s", run, storage_url(store));
    }
    if (status != NERO_OK) {
        return status;
    }
    out->lead.run = trust_run(out->trust)->name;
    out->run.record = trust_run(out->trust);
    out->run.record_hash = trust_run_hash(out->trust);
    submission_init(&out->submission, &out->lead, out->trust);
    if (open_search(out, err) != NERO_OK) {
        run_view_close(out);
        return err_wrap(err, "run %s", run);
    }
    return NERO_OK;
}

void run_view_close(struct run_view *view)
{
    free(view->closed);
    view->closed = NULL;
    amendment_list_fini(&view->amendments);
    grammar_fini(&view->grammar);
    submission_fini(&view->submission);
    trust_close(view->trust);
    view->trust = NULL;
}

enum nero_status run_view_generation(struct run_view *view, uint32_t lineage, uint32_t number,
                                     struct generation_stored *out, struct nero_err *err)
{
    return generation_store_get(view->lead.store, view->trust, view->lead.run, lineage, number,
                                GENERATION_CLOSED, out, err);
}

enum nero_status run_view_result(struct run_view *view, const struct hash *job,
                                 const struct generation_member *member, struct result *out,
                                 struct nero_err *err)
{
    const struct hash *accepted = member != NULL && member->has_slot ? &member->slot : NULL;
    struct submission_look look;

    result_init(&look.result);
    if (submission_look(&view->submission, job, accepted, &look, err) != NERO_OK) {
        return err->status;
    }
    if (look.state != SUBMISSION_FINAL) {
        result_fini(&look.result);
        return err_set(err, NERO_NOT_FOUND, 0, "the job has no result%s%s",
                       look.state == SUBMISSION_OPEN ? " yet" : ": ", look.text);
    }
    *out = look.result;
    return NERO_OK;
}

const char *run_view_standing(const struct run_view *view, uint32_t *closed, uint32_t *wanted)
{
    *closed = 0;
    *wanted = 0;
    for (uint32_t i = 0; i < view->lineage_count; i++) {
        *closed += view->closed[i];
        *wanted += amendment_end(&view->amendments);
    }
    if (view->run.record->strategy == RUN_SINGLE) {
        return "single";
    }
    return *closed >= *wanted ? "finished" : "open";
}
