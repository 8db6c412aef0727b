/*
 * The object store of the simulation: one mem: store, reached by each process over a network that
 * delays, refuses and loses answers (sim_fault). storage_open is replaced by it at link time.
 */
#ifndef NERO_TESTS_SIM_STORE_H
#define NERO_TESTS_SIM_STORE_H

#include "nero/storage.h"

#define SIM_STORE_URL "mem:sim"

void sim_store_begin(void);
/* The store itself, for who prepares and checks. */
struct storage *sim_store_inner(void);
/* Make the planted bug: what is created exclusively replaces what is there. */
void sim_store_break_create(void);

#endif
