/*
 * Who becomes the next parent, when the robust phase begins, who is the champion (DESIGN.md).
 */
#ifndef NERO_EVOLVE_SELECT_H
#define NERO_EVOLVE_SELECT_H

#include "nero/generation.h"
#include "nero/run.h"

/* The first fittest member; among equally fit ones a scored member goes first. */
uint32_t select_best(const struct generation *generation);

/*
 * Fairness: when the fittest member trained longer than the default budget, who trains on to that
 * budget before one is selected (specs/evolution.md e, 3). Numbers of scored members, at most
 * GENERATION_EXTENSIONS_MAX; first the parent, then the fittest of the least trained ones.
 */
uint32_t select_extensions(const struct run_search *search, const struct generation *generation,
                           uint32_t out[GENERATION_EXTENSIONS_MAX]);

/* Once robust, always robust. */
bool select_next_robust(const struct run_search *search, const struct generation *generation,
                        double mean_fitness);

/* Fill in the champion of `closed` from `previous` (may be NULL) and its own selected member. */
void select_champion(const struct generation *previous, struct generation *closed);

#endif
