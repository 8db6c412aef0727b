/*
 * A network of a run as files for use elsewhere: NAME.onnx, NAME.safetensors (the scored weights,
 * byte for byte as in the store) and NAME.json (phenotype with shapes, scores, where it comes
 * from). NAME is `champion`, or `candidate` for a member that was asked for by its place. Read from
 * the store alone. Of a run of one evaluation it is that network.
 */
#ifndef NERO_EXPORT_NETWORK_H
#define NERO_EXPORT_NETWORK_H

#include <stdbool.h>

#include "nero/storage.h"

#include "champion.h"

/* "L/G/M": lineage, generation, member. Errors: invalid. */
enum nero_status export_network_place(const char *text, struct champion_place *out,
                                      struct nero_err *err);

/*
 * place: NULL for the champion. folder: made when absent (not its parents); files in it are
 * replaced, each whole or not at all, the JSON last. Prints what was written, as JSON with `json`.
 * Errors: not_found (run, candidate, or no champion: then the message names the best of the
 * warm-up), corrupt (the weights are not those of the result), invalid (folder; a place in a run of
 * one evaluation), no_space, unavailable.
 */
enum nero_status export_network(struct storage *store, const char *run,
                                const struct champion_place *place, const char *folder, bool json,
                                struct nero_err *err);

#endif
