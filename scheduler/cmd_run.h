/*
 * From a preset to a run record that only lacks its keys: shared by `run` and `submit`.
 */
#ifndef NERO_CMD_RUN_H
#define NERO_CMD_RUN_H

#include "nero/options.h"
#include "nero/storage.h"

#include "preset.h"

/*
 * Load the preset with overrides, put its data set into the store, choose name (NULL: preset and
 * random digits) and seed. Owns: *preset (preset_fini) on success.
 */
enum nero_status cmd_run_prepare(struct storage *store, const char *preset_path,
                                 const struct options_list *sets, const char *name, bool has_seed,
                                 uint64_t seed, struct preset *preset, struct nero_err *err);

#endif
