/*
 * A run in a memory store with one job, keys and certified runners, for tests of trust and chain;
 * and a check of the chain's invariants C1 to C4 by plain reading.
 */
#ifndef NERO_TESTS_CHAIN_WORLD_H
#define NERO_TESTS_CHAIN_WORLD_H

#include "nero/chain.h"
#include "nero/storage_fault.h"

#define CHAIN_WORLD_RUN "run-1"

enum { CHAIN_WORLD_RUNNERS = 6 };

struct chain_world {
    struct storage *store; /* of the tests; wraps what `control` steers */
    struct storage_fault *control;
    struct key_pair root;
    struct key_pair run_key;
    struct key_pair runners[CHAIN_WORLD_RUNNERS];
    struct hash job;
    struct bytes envelope; /* of the job */
    struct nero_err err;
};

/* These end the test on any failure. */
void chain_world_make(struct chain_world *world);
void chain_world_end(struct chain_world *world);
struct trust *chain_world_trust(struct chain_world *world);
struct chain *chain_world_open(struct chain_world *world, struct trust *trust);
/* Put a certificate for a key; times are relative to now, in ms. */
void chain_world_certify(struct chain_world *world, const struct key_pair *key, const char *run,
                         uint32_t uses, int64_t from_ms, int64_t until_ms);
/* Seal a slot exactly as given, whoever may sign, and put it at its number whatever is there. */
void chain_world_put(struct chain_world *world, const struct slot *slot,
                     const struct key_pair *signer);
/* Flip one bit of a stored slot. */
void chain_world_damage(struct chain_world *world, uint64_t number);
/* C1 to C4 of the stored chain; returns the number of valid slots. */
uint64_t chain_world_check(struct chain_world *world);

#endif
