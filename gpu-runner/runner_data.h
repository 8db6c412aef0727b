/*
 * Data sets by id: the record and its blobs are fetched from the store, verified by hash, and kept
 * as files under a cache folder that all runners of a machine share. So are training states that
 * other jobs may go on from, those used last, up to RUNNER_DATA_STATES_BYTES_MAX of them.
 *
 * The cache is trusted for nothing: every load hashes the file again, and a damaged one is fetched
 * anew. Files appear by rename, so a reader sees a whole file or none. A folder that cannot be
 * written costs a warning and a download per start, no more.
 * Thread: one thread uses a runner_data.
 */
#ifndef NERO_RUNNER_DATA_H
#define NERO_RUNNER_DATA_H

#include "nero/hash.h"
#include "nero/storage.h"

#include "data/dataset.h"

enum { RUNNER_DATA_PATH_BYTES = 1024, RUNNER_DATA_BLOB_BYTES_MAX = 2000000000 };
#define RUNNER_DATA_STATES_BYTES_MAX ((uint64_t)4 << 30)

struct runner_data;

/* Default folder: $XDG_CACHE_HOME/nero, else ~/.cache/nero. Errors: invalid (no HOME). */
enum nero_status runner_data_folder(char out[RUNNER_DATA_PATH_BYTES], struct nero_err *err);

/* `folder` is made when absent (its parents too). Owns: *out; the store is borrowed. */
enum nero_status runner_data_create(struct storage *store, const char *folder,
                                    struct runner_data **out, struct nero_err *err);
void runner_data_destroy(struct runner_data *data);

/*
 * The data set with this id; *out is borrowed until the next load of another id. `reading` is told
 * of what is fetched; may be NULL. Errors: not_found (record or blob), corrupt (bytes that are not
 * what the id says, labels out of range), too_big, no_memory, of the store.
 */
enum nero_status runner_data_load(struct runner_data *data, const struct hash *id,
                                  const struct storage_progress *reading,
                                  const struct dataset **out, struct nero_err *err);

/* A state by its hash: from the cache, or else the blob of the run, which is kept. Errors: as
 * chain_get_blob. */
enum nero_status runner_data_state(struct runner_data *data, const char *run,
                                   const struct hash *blob, uint64_t bytes_max,
                                   const struct storage_progress *reading, struct bytes *out,
                                   struct nero_err *err);
/* Keep a state that was made here. A failure costs a warning. */
void runner_data_keep_state(struct runner_data *data, const struct hash *blob,
                            struct bytes_view state);
/* Another limit than RUNNER_DATA_STATES_BYTES_MAX; for tests. */
void runner_data_limit(struct runner_data *data, uint64_t states_bytes_max);

#endif
