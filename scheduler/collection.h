/*
 * The signed records of what collection takes, read together: which blobs may be gone, and since
 * when.
 */
#ifndef NERO_COLLECTION_H
#define NERO_COLLECTION_H

#include "nero/run.h"
#include "nero/trust.h"

struct collected {
    struct hash blob;
    int64_t wall_ms; /* of its record */
};

/* Zeroed: empty. */
struct collections {
    uint64_t records;
    size_t count;
    size_t room;
    struct collected *blobs; /* owned; ascending after collections_sort */
};

void collections_fini(struct collections *list);

/* The next record, as stored. Errors: denied, corrupt, version: it is none; no_memory. */
enum nero_status collections_add(struct collections *list, struct trust *trust,
                                 struct bytes_view stored, struct nero_err *err);
void collections_sort(struct collections *list);

/* All records of the run, sorted. Owns: *out. */
enum nero_status collections_read(struct storage *store, struct trust *trust,
                                  struct collections *out, struct nero_err *err);

/* NULL: it stands in no record. The list must be sorted. */
const struct collected *collections_find(const struct collections *list, const struct hash *blob);

/* Write the next record: at most RUN_COLLECTION_BLOBS_MAX blobs, ascending. It is added to the
 * list, which must be sorted again. Errors: conflict (somebody else was faster). */
enum nero_status collections_put(struct collections *list, struct storage *store,
                                 struct trust *trust, const struct key_pair *run_key,
                                 struct hash *blobs, uint32_t count, int64_t wall_ms,
                                 struct nero_err *err);

#endif
