/*
 * What the records after the proposed one share. evolve_evaluate and evolve_close: evolve.h.
 */
#ifndef NERO_EVOLVE_EVALUATE_H
#define NERO_EVOLVE_EVALUATE_H

#include "evolve/evolve.h"

/*
 * The record that follows `from`, with its members and memory for `room` more; genotype views point
 * where the source's do. Owns: *out. Errors: invalid (`from` is not in the state `expected`).
 */
enum nero_status evaluate_next_record(const struct generation *from, enum generation_state expected,
                                      struct hash from_hash, enum generation_state state,
                                      uint32_t room, struct generation *out, struct nero_err *err);

#endif
