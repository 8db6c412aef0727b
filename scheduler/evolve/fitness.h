/*
 * Fitness of members (specs/evolution.md a): C in warm-up, F_beta after it, the penalty for
 * invalid, ill-fitted and failed ones. Computed in double from the counts that the record holds.
 */
#ifndef NERO_EVOLVE_FITNESS_H
#define NERO_EVOLVE_FITNESS_H

#include "nero/generation.h"
#include "nero/run.h"

/* By the member's verdict (not pending) and counts. */
double fitness_of(const struct run_search *search, bool robust,
                  const struct generation_member *member);

/* Of the whole generation, or of its scored members; the penalty where there are none. */
double fitness_mean(const struct run_search *search, const struct generation *generation);

#endif
