/*
 * The Redis of the simulation: the model behind a network, spoken to through hiredis's functions,
 * which are replaced at link time. A connection ends when the server does.
 */
#ifndef NERO_TESTS_SIM_REDIS_H
#define NERO_TESTS_SIM_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "redis_model.h"

#define SIM_REDIS_URL "redis://sim"

void sim_redis_begin(void);
struct redis_model *sim_redis_model(void);

/* Killed, and started again after a while with all that it knew. Does nothing while it is down. */
void sim_redis_kill(int64_t down_ns);
/* FLUSHALL; `restarted`: by a server that lost its disk. */
void sim_redis_empty(bool restarted);
/* Keep what it holds now; killed later, it comes back with that. */
void sim_redis_remember(void);
void sim_redis_roll_back(int64_t down_ns);

#endif
