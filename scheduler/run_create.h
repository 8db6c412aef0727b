/*
 * Making a run: data set into the store, run key, run record signed by the root key. After this the
 * bucket holds all that determines the run, and any scheduler with the run key can lead it.
 */
#ifndef NERO_RUN_CREATE_H
#define NERO_RUN_CREATE_H

#include "nero/envelope.h"
#include "nero/run.h"
#include "nero/storage.h"

/* "demo-3f9a12": the stem of a preset's path and six random hex digits. */
void run_create_name(const char *preset_path, char out[SLOT_RUN_BYTES]);

/*
 * Sign and write the run record. record->name, seed, protocol.dataset and all else are filled, but
 * run_key, created_ms and store_mode, which are set here.
 * Errors: exists (a run of this name), invalid, denied.
 */
enum nero_status run_create(struct storage *store, struct run_record *record,
                            const struct key_pair *root, struct key_pair *run_key,
                            struct nero_err *err);

#endif
