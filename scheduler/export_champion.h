/*
 * A run's champion as files for use elsewhere: champion.onnx, champion.safetensors (the scored
 * weights, byte for byte as in the store) and champion.json (phenotype with shapes, scores, where
 * it comes from). Read from the store alone. Of a run of one evaluation it is that network.
 */
#ifndef NERO_EXPORT_CHAMPION_H
#define NERO_EXPORT_CHAMPION_H

#include <stdbool.h>

#include "nero/storage.h"

/*
 * folder: made when absent (not its parents); files in it are replaced, each whole or not at all,
 * champion.json last. Prints what was written, as JSON with `json`.
 * Errors: not_found (run, or no champion yet), corrupt (the weights are not those of the result),
 * invalid (folder), no_space, unavailable.
 */
enum nero_status export_champion(struct storage *store, const char *run, const char *folder,
                                 bool json, struct nero_err *err);

#endif
