/*
 * Planted bugs, to show that the simulation finds such ones: they lie in the simulation's own link
 * (its store, and wrappers around two functions of queue/), never in the product.
 */
#ifndef NERO_TESTS_SIM_PLANT_H
#define NERO_TESTS_SIM_PLANT_H

#include <stdbool.h>

/* "fencing": creating exclusively replaces what is there. "manifest": a slot is written before the
 * blobs that it names. False: no such bug. */
bool sim_plant(const char *name);

#endif
