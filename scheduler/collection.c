#include "collection.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/mem.h"

void collections_fini(struct collections *list)
{
    free(list->blobs);
    *list = (struct collections){0};
}

static enum nero_status append(struct collections *list, const struct hash *blobs, uint32_t count,
                               int64_t wall_ms, struct nero_err *err)
{
    if (list->room - list->count < count) {
        size_t room = 2 * list->room + count;
        struct collected *grown = mem_realloc_array(list->blobs, room, sizeof *grown);

        if (grown == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for the collected blobs");
        }
        list->blobs = grown;
        list->room = room;
    }
    for (uint32_t i = 0; i < count; i++) {
        list->blobs[list->count++] = (struct collected){.blob = blobs[i], .wall_ms = wall_ms};
    }
    list->records++;
    return NERO_OK;
}

enum nero_status collections_add(struct collections *list, struct trust *trust,
                                 struct bytes_view stored, struct nero_err *err)
{
    struct run_collection collection;
    struct bytes_view payload;
    enum nero_status status;

    if (trust_open_run_envelope(trust, stored, ENVELOPE_COLLECTION, &payload, err) != NERO_OK ||
        run_collection_decode(payload, &collection, err) != NERO_OK) {
        return err->status;
    }
    if (strcmp(collection.run, trust_run(trust)->name) != 0 || collection.number != list->records) {
        status = err_set(err, NERO_CORRUPT, 0, "it is record %" PRIu64 " of run %s",
                         collection.number, collection.run);
    } else {
        status = append(list, collection.blobs, collection.count, collection.wall_ms, err);
    }
    run_collection_fini(&collection);
    return status;
}

/* By hash, and the newest record of one first, so that a grace is never cut short. */
static int by_blob(const void *a, const void *b)
{
    const struct collected *x = a;
    const struct collected *y = b;
    int order = hash_compare(&x->blob, &y->blob);

    return order != 0 ? order : (x->wall_ms < y->wall_ms) - (x->wall_ms > y->wall_ms);
}

void collections_sort(struct collections *list)
{
    size_t kept = 0;

    if (list->count == 0) {
        return;
    }
    qsort(list->blobs, list->count, sizeof *list->blobs, by_blob);
    for (size_t i = 1; i < list->count; i++) {
        if (!hash_equal(&list->blobs[i].blob, &list->blobs[kept].blob)) {
            list->blobs[++kept] = list->blobs[i];
        }
    }
    list->count = kept + 1;
}

enum nero_status collections_read(struct storage *store, struct trust *trust,
                                  struct collections *out, struct nero_err *err)
{
    struct collections list = {0};
    enum nero_status status = NERO_OK;

    while (status == NERO_OK) {
        char key[LAYOUT_KEY_BYTES];
        struct bytes stored;

        bytes_init(&stored, ENVELOPE_BYTES_MAX);
        layout_collection(key, trust_run(trust)->name, list.records);
        status = storage_get(store, key, &stored, NULL, err);
        if (status == NERO_NOT_FOUND) {
            bytes_fini(&stored);
            collections_sort(&list);
            *out = list;
            return NERO_OK;
        }
        if (status == NERO_OK) {
            status = collections_add(&list, trust, bytes_as_view(&stored), err);
        }
        if (status != NERO_OK) {
            (void)err_wrap(err, "%s", key);
        }
        bytes_fini(&stored);
    }
    collections_fini(&list);
    return status;
}

const struct collected *collections_find(const struct collections *list, const struct hash *blob)
{
    size_t low = 0;
    size_t high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = hash_compare(&list->blobs[middle].blob, blob);

        if (order == 0) {
            return &list->blobs[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

enum nero_status collections_put(struct collections *list, struct storage *store,
                                 struct trust *trust, const struct key_pair *run_key,
                                 struct hash *blobs, uint32_t count, int64_t wall_ms,
                                 struct nero_err *err)
{
    struct run_collection collection = {
        .number = list->records, .wall_ms = wall_ms, .count = count, .blobs = blobs};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    enum nero_status status;

    memcpy(collection.run, trust_run(trust)->name, sizeof collection.run);
    layout_collection(key, collection.run, collection.number);
    bytes_init(&payload, RUN_BYTES_MAX);
    bytes_init(&stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = run_collection_encode(&collection, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_COLLECTION, bytes_as_view(&payload), run_key, &stored, err);
    }
    if (status == NERO_OK) {
        status = storage_create_once(store, key, bytes_as_view(&stored), err);
    }
    if (status == NERO_EXISTS) {
        status = err_set(err, NERO_CONFLICT, 0, "another collection wrote it at the same moment");
    }
    bytes_fini(&payload);
    bytes_fini(&stored);
    return status == NERO_OK ? append(list, blobs, count, wall_ms, err) : err_wrap(err, "%s", key);
}
