/*
 * From a preset to a run record that only lacks its keys: shared by `run` and `submit`.
 */
#ifndef NERO_CMD_RUN_H
#define NERO_CMD_RUN_H

#include "nero/options.h"
#include "nero/storage.h"

#include "dataset_store.h"
#include "preset.h"

/*
 * Load the preset with overrides, find its data set and check that they fit, choose name (NULL:
 * preset and random digits) and seed. Writes nothing: the caller keeps the data set in the store
 * (dataset_store_keep) once all else is sound.
 * Owns: *preset (preset_fini) and *dataset (dataset_found_fini) on success.
 */
enum nero_status cmd_run_prepare(struct storage *store, const char *preset_path,
                                 const struct options_list *sets, const char *name, bool has_seed,
                                 uint64_t seed, struct preset *preset,
                                 struct dataset_found *dataset, struct nero_err *err);

#endif
