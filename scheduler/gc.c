#include "gc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/chain.h"
#include "nero/layout.h"
#include "nero/mem.h"

#include "collection.h"
#include "place.h"

struct blob {
    struct hash hash;
    uint64_t bytes;
    bool kept;
    bool named; /* by a slot */
};

struct gc {
    struct storage *store;
    const char *run;
    struct trust *trust;
    const struct gc_options *options;
    struct gc_report *report;
    struct blob *blobs; /* ascending by hash, as their keys are; owned */
    size_t count;
    size_t room;
    struct hash *jobs; /* that have a spec; ascending; owned */
    size_t job_count;
    size_t job_room;
    struct collections collections;
};

static struct blob *find_blob(const struct gc *gc, const struct hash *hash)
{
    size_t low = 0;
    size_t high = gc->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = hash_compare(&gc->blobs[middle].hash, hash);

        if (order == 0) {
            return &gc->blobs[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* ---- listing ---- */

static enum nero_status grow(void **array, size_t *room, size_t count, size_t bytes,
                             struct nero_err *err)
{
    void *grown;

    if (count < *room) {
        return NERO_OK;
    }
    grown = mem_realloc_array(*array, 2 * *room + 256, bytes);
    if (grown == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the run's objects");
    }
    *array = grown;
    *room = 2 * *room + 256;
    return NERO_OK;
}

static enum nero_status note_blob(void *context, const char *key, uint64_t bytes,
                                  struct nero_err *err)
{
    struct gc *gc = context;
    struct place place;
    void *array = gc->blobs;

    if (!place_of(key, &place)) {
        return NERO_OK; /* an audit tells */
    }
    if (grow(&array, &gc->room, gc->count, sizeof *gc->blobs, err) != NERO_OK) {
        return err->status;
    }
    gc->blobs = array;
    gc->blobs[gc->count++] = (struct blob){.hash = place.hash, .bytes = bytes};
    gc->report->blobs++;
    gc->report->blob_bytes += bytes;
    return NERO_OK;
}

static enum nero_status note_job(void *context, const char *key, uint64_t bytes,
                                 struct nero_err *err)
{
    struct gc *gc = context;
    struct place place;
    void *array = gc->jobs;

    (void)bytes;
    if (!place_of(key, &place)) {
        return NERO_OK;
    }
    if (grow(&array, &gc->job_room, gc->job_count, sizeof *gc->jobs, err) != NERO_OK) {
        return err->status;
    }
    gc->jobs = array;
    gc->jobs[gc->job_count++] = place.hash;
    return NERO_OK;
}

static int by_hash(const void *a, const void *b)
{
    return hash_compare(a, b);
}

/* A chain without its job says that somebody needs, or needed, what it names. */
static enum nero_status check_slot(void *context, const char *key, uint64_t bytes,
                                   struct nero_err *err)
{
    const struct gc *gc = context;
    struct place place;

    (void)bytes;
    if (place_of(key, &place) &&
        (gc->job_count == 0 ||
         bsearch(&place.hash, gc->jobs, gc->job_count, sizeof *gc->jobs, by_hash) == NULL)) {
        return err_set(err, NERO_CORRUPT, 0, "%s belongs to a job that is not there: audit the run",
                       key);
    }
    return NERO_OK;
}

static enum nero_status list_folder(struct gc *gc, const char *folder, storage_each_fn *each,
                                    struct nero_err *err)
{
    char prefix[LAYOUT_KEY_BYTES + 8];
    char root[LAYOUT_KEY_BYTES];

    layout_run_prefix(root, gc->run);
    (void)snprintf(prefix, sizeof prefix, "%s%s/", root, folder);
    return storage_list_each(gc->store, prefix, each, gc, err);
}

/* The blobs first: what is written after that is not looked at. */
static enum nero_status list(struct gc *gc, struct nero_err *err)
{
    if (list_folder(gc, "blob", note_blob, err) != NERO_OK ||
        list_folder(gc, "spec", note_job, err) != NERO_OK) {
        return err->status;
    }
    if (gc->job_count > 0) {
        qsort(gc->jobs, gc->job_count, sizeof *gc->jobs, by_hash);
    }
    gc->report->jobs = gc->job_count;
    return list_folder(gc, "job", check_slot, err);
}

/* ---- what is kept ---- */

static void note_slot(struct gc *gc, const struct slot *slot, bool keeps)
{
    for (uint32_t i = 0; i < slot->blob_count; i++) {
        struct blob *blob = find_blob(gc, &slot->blobs[i].hash);

        if (blob != NULL) {
            blob->named = true;
            blob->kept = blob->kept || keeps;
        }
    }
}

static enum nero_status walk_chain(struct gc *gc, const struct hash *job,
                                   struct bytes_view envelope, struct nero_err *err)
{
    struct chain *chain;

    if (chain_open(gc->store, gc->trust, job, envelope, &chain, err) != NERO_OK) {
        return err->status;
    }
    for (uint64_t i = 0; i < chain_count(chain); i++) {
        const struct chain_entry *entry = chain_at(chain, i);

        if (entry->valid) {
            note_slot(gc, &entry->slot, chain_keeps_blobs(chain, entry));
        }
    }
    gc->report->unfinished += chain_terminal(chain) == NULL;
    chain_close(chain);
    return NERO_OK;
}

static enum nero_status walk_job(struct gc *gc, const struct hash *job, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    struct bytes_view payload;
    struct job_record record;
    struct job_spec spec;
    enum nero_status status;

    layout_spec(key, gc->run, job);
    bytes_init(&stored, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = storage_get(gc->store, key, &stored, NULL, err);
    if (status == NERO_OK) {
        status =
            trust_open_run_envelope(gc->trust, bytes_as_view(&stored), ENVELOPE_JOB, &payload, err);
    }
    if (status == NERO_OK) {
        status = job_record_decode(payload, &record, err);
    }
    if (status == NERO_OK) {
        status = job_spec_decode(record.spec, &spec, err);
    }
    if (status == NERO_OK) {
        struct blob *blob = spec.has_continue_from ? find_blob(gc, &spec.continue_from) : NULL;

        if (blob != NULL) {
            blob->kept = true;
            blob->named = true;
        }
        job_spec_fini(&spec);
        status = walk_chain(gc, job, bytes_as_view(&stored), err);
    }
    bytes_fini(&stored);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s: nobody can tell what it needs", key);
}

/* A blob that no slot names is left by an attempt that died; only an unfinished job's next attempt
 * could make the same bytes again. */
static void judge(struct gc *gc)
{
    for (size_t i = 0; i < gc->count; i++) {
        struct blob *blob = &gc->blobs[i];

        blob->kept = blob->kept || (!blob->named && gc->report->unfinished > 0);
        if (!blob->kept) {
            gc->report->unneeded++;
            gc->report->unneeded_bytes += blob->bytes;
        }
    }
}

/* ---- naming and removing ---- */

static enum nero_status name_unneeded(struct gc *gc, const struct key_pair *run_key,
                                      struct nero_err *err)
{
    struct hash *fresh = mem_calloc(gc->count, sizeof *fresh);
    size_t count = 0;
    enum nero_status status = NERO_OK;

    if (fresh == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the unneeded blobs");
    }
    for (size_t i = 0; i < gc->count; i++) {
        if (!gc->blobs[i].kept && collections_find(&gc->collections, &gc->blobs[i].hash) == NULL) {
            fresh[count++] = gc->blobs[i].hash;
        }
    }
    gc->report->named = count;
    for (size_t at = 0; at < count && status == NERO_OK && !gc->options->dry_run;) {
        size_t piece =
            count - at < RUN_COLLECTION_BLOBS_MAX ? count - at : RUN_COLLECTION_BLOBS_MAX;

        status = collections_put(&gc->collections, gc->store, gc->trust, run_key, fresh + at,
                                 (uint32_t)piece, gc->options->now_ms, err);
        at += piece;
    }
    collections_sort(&gc->collections);
    free(fresh);
    return status;
}

static bool is_due(const struct gc *gc, const struct blob *blob)
{
    const struct collected *named = collections_find(&gc->collections, &blob->hash);

    return !blob->kept && named != NULL &&
           named->wall_ms <= gc->options->now_ms - gc->options->grace_ms;
}

static enum nero_status remove_piece(struct gc *gc, char (*keys)[LAYOUT_KEY_BYTES], size_t count,
                                     struct nero_err *err)
{
    const char *names[STORAGE_REMOVE_MAX];

    for (size_t i = 0; i < count; i++) {
        names[i] = keys[i];
    }
    return count == 0 || gc->options->dry_run ? NERO_OK
                                              : storage_remove_many(gc->store, names, count, err);
}

static enum nero_status remove_due(struct gc *gc, struct nero_err *err)
{
    char(*keys)[LAYOUT_KEY_BYTES] = mem_calloc(STORAGE_REMOVE_MAX, LAYOUT_KEY_BYTES);
    size_t count = 0;
    enum nero_status status = NERO_OK;

    if (keys == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a list of keys");
    }
    for (size_t i = 0; i < gc->count && status == NERO_OK; i++) {
        if (is_due(gc, &gc->blobs[i])) {
            layout_blob(keys[count++], gc->run, &gc->blobs[i].hash);
            gc->report->removed++;
            gc->report->removed_bytes += gc->blobs[i].bytes;
        }
        if (count == STORAGE_REMOVE_MAX) {
            status = remove_piece(gc, keys, count, err);
            count = 0;
        }
    }
    if (status == NERO_OK) {
        status = remove_piece(gc, keys, count, err);
    }
    free(keys);
    return status;
}

static enum nero_status collect(struct gc *gc, const struct key_pair *run_key, struct nero_err *err)
{
    enum nero_status status = list(gc, err);

    for (size_t i = 0; i < gc->job_count && status == NERO_OK; i++) {
        status = walk_job(gc, &gc->jobs[i], err);
    }
    if (status == NERO_OK) {
        status = collections_read(gc->store, gc->trust, &gc->collections, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    judge(gc);
    status = name_unneeded(gc, run_key, err);
    return status == NERO_OK ? remove_due(gc, err) : status;
}

enum nero_status gc_run(struct storage *store, const char *run, const struct key_public *root,
                        const struct key_pair *run_key, const struct gc_options *options,
                        struct gc_report *out, struct nero_err *err)
{
    struct gc gc = {.store = store, .run = run, .options = options, .report = out};
    enum nero_status status;

    *out = (struct gc_report){0};
    status = trust_open(store, run, root, &gc.trust, err);
    if (status != NERO_OK) {
        return status;
    }
    status = collect(&gc, run_key, err);
    collections_fini(&gc.collections);
    free(gc.blobs);
    free(gc.jobs);
    trust_close(gc.trust);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "collect run %s", run);
}
