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

/* How the worlds that follow are made; the check of C1 to C4 is of exclusive ones. */
extern enum run_store_mode chain_world_mode;

/* The world of the test program. All that follow end the test on any failure. */
extern struct chain_world world;
extern struct trust *trust; /* whom the attempts of the main thread believe */

void chain_world_make(void);
void chain_world_end(void);
struct trust *chain_world_trust(void);
struct chain *chain_world_open(struct trust *reader);
/* Put a certificate for a key; times are relative to now, in ms. */
void chain_world_certify(const struct key_pair *key, const char *run, uint32_t uses,
                         int64_t from_ms, int64_t until_ms);
/* Seal a slot exactly as given, whoever may sign, and put it at its place whatever is there. */
void chain_world_put(const struct slot *slot, const struct key_pair *signer);
/* Flip one bit of a stored slot; by its key in attempt mode. */
void chain_world_damage(uint64_t number);
void chain_world_damage_key(const char *key);
/* C1 to C4 of the stored chain; returns the number of valid slots. */
uint64_t chain_world_check(void);

/* ---- attempts ---- */

#define E (&world.err)
#define OK(call) chain_world_expect(NERO_OK, (call), __FILE__, __LINE__)
#define REFUSED(status, call) chain_world_expect((status), (call), __FILE__, __LINE__)
void chain_world_expect(enum nero_status expected, enum nero_status got, const char *file,
                        int line);

/* Of a test; tear_down checks C1 to C4 in exclusive mode. */
int set_up(void **state);
int tear_down(void **state);

/* An attempt: a chain object with its claim. */
struct actor {
    struct chain *chain;
    uint64_t token;
    uint64_t nonce;
    const struct key_pair *key;
};
struct actor actor_of(uint64_t token, uint64_t nonce, int runner);
enum nero_status take_over(struct actor *actor);
struct slot slot_of(const struct actor *actor, enum slot_kind kind);
enum nero_status append(struct actor *actor, enum slot_kind kind);
/* A checkpoint of so many units. */
enum nero_status commit(struct actor *actor, uint64_t units);
enum nero_status commit_because(struct actor *actor, uint64_t units, enum slot_reason reason);
/* The scheduler that leads this epoch; its slots say so in their text. */
struct actor leader_of(uint64_t epoch);
enum nero_status led_by(uint64_t epoch, enum slot_kind kind);
enum nero_status by_scheduler(enum slot_kind kind); /* of epoch 0 */

/* The stored chain as kinds, '-' for an invalid slot: "TC-F". */
void chain_is(const char *expected);

#endif
