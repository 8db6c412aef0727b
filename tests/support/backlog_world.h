/*
 * A run with many small jobs in a store of the test's choice, and a real Redis: for tests of the
 * backlog and of rebuilding. Every failure ends the test.
 */
#ifndef NERO_TESTS_BACKLOG_WORLD_H
#define NERO_TESTS_BACKLOG_WORLD_H

#include "nero/backlog.h"
#include "nero/chain.h"
#include "nero/storage_fault.h"
#include "tests/support/test_redis.h"
#include "tests/support/tiny_run.h"

enum { BACKLOG_WORLD_LEASE_MS = 1500, BACKLOG_WORLD_JOBS_MAX = 2000 };

struct backlog_world {
    struct test_redis redis;
    struct queue *queue;
    struct storage *store; /* wraps what `control` steers */
    struct storage_fault *control;
    struct tiny_run run;
    struct trust *trust;
    struct backlog *backlog;
    struct key_pair runner;
    uint64_t epoch;
    struct nero_err err;
};
extern struct backlog_world world;

#define E (&world.err)
#define OK(call) backlog_world_expect(NERO_OK, (call), __FILE__, __LINE__)
#define REFUSED(status, call) backlog_world_expect((status), (call), __FILE__, __LINE__)
void backlog_world_expect(enum nero_status expected, enum nero_status got, const char *file,
                          int line);

int backlog_world_start(void **state); /* of the group: Redis */
int backlog_world_stop(void **state);
int backlog_world_make(void **state); /* of a test: an empty run, led */
int backlog_world_end(void **state);

struct hash backlog_world_id(unsigned n);
/* Put the specs of jobs [first, first + count) of some `bytes` each into the bucket. */
void backlog_world_specs(unsigned first, unsigned count, size_t bytes);
/* And record them in the next batch. */
void backlog_world_submit(unsigned first, unsigned count, size_t bytes, uint32_t priority,
                          int64_t not_before_ms);
/* Close the backlog and read it anew, as another scheduler would. */
void backlog_world_reopen(void);
/* FLUSHALL, a higher epoch, a backlog read anew, and meet. */
void backlog_world_lose_redis(void);
/* fill until nothing more fits; returns how many were queued. */
uint32_t backlog_world_fill(uint64_t window_bytes);

/* A slot of the runner's (takeover, checkpoint, final) or the scheduler's. */
void backlog_world_takeover(unsigned n, uint64_t token, uint64_t nonce);
void backlog_world_slot(unsigned n, enum slot_kind kind, uint64_t token, uint64_t nonce);

struct queue_counts backlog_world_counts(void);
/* Claim what is there; false when nothing is ready. The envelope is freed. */
bool backlog_world_claim(struct queue_claim *out);
void backlog_world_state_is(unsigned n, const char *state); /* "": unknown to Redis */

#endif
