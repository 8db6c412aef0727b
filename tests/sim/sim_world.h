/*
 * The runs that are simulated: made once, before any simulation, with the production functions, in
 * the simulation's store; their keys lie in a temporary folder. Each is a small search.
 */
#ifndef NERO_TESTS_SIM_WORLD_H
#define NERO_TESTS_SIM_WORLD_H

#include "nero/envelope.h"

enum { SIM_WORLD_RUNS = 3 };

/* Ends the program with the reason on a failure. */
void sim_world_make(void);
void sim_world_remove(void);

const char *sim_world_name(uint32_t index);
const struct key_public *sim_world_root(void);

#endif
