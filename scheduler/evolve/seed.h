/*
 * A search that starts from a given architecture (DESIGN.md, "A seeded start").
 */
#ifndef NERO_EVOLVE_SEED_H
#define NERO_EVOLVE_SEED_H

#include "nero/genotype.h"

#include "evolve/evolve.h"

/* The record's search starts from a given architecture. */
bool seed_given(const struct evolve_run *run);

/* Its genotype fits structure and grammar and has no dead end. Errors: invalid, naming the place.
 */
enum nero_status seed_check(const struct evolve_run *run, struct nero_err *err);

/*
 * An individual of generation 0: the seed's architecture as it is (`mutant` false) or mutated, with
 * a random learning gene of its own, or with the seed's (RUN_LEARNING_SEED). Owns: *out; *events
 * (free()) on success.
 */
enum nero_status seed_individual(const struct evolve_run *run, uint32_t lineage, uint32_t slot,
                                 bool mutant, struct genotype *out,
                                 struct generation_event **events, uint32_t *event_count,
                                 struct nero_err *err);

#endif
