/*
 * What the tests of the queue share: one Redis for the program, emptied for each test, whose
 * scripts read a clock that the test sets; and a check of invariant Q1 (queue/DESIGN.md) after each
 * test.
 */
#ifndef NERO_TESTS_QUEUE_FIXTURE_H
#define NERO_TESTS_QUEUE_FIXTURE_H

#include "nero/queue.h"
#include "queue_script.h"
#include "test_redis.h"

#define RUN "run-1"

enum { EPOCH = 7, LEASE_MS = 1000 };

struct queue_fixture {
    struct test_redis redis;
    struct queue *queue;
    struct nero_err err;
};
extern struct queue_fixture fixture;
extern const struct queue_beat no_progress;

int queue_fixture_start(void **state); /* of the group */
int queue_fixture_stop(void **state);
int queue_fixture_empty(void **state); /* of a test: FLUSHALL, clock 1000000, lead */
int queue_fixture_check(void **state);

/* Another queue of the same server, on the virtual clock. */
struct queue *queue_fixture_open(void);

/* Fails the test with the message unless the call is ok (or has the status). */
#define OK(call) queue_fixture_expect(NERO_OK, (call), __FILE__, __LINE__)
#define REFUSED(status, call) queue_fixture_expect((status), (call), __FILE__, __LINE__)
void queue_fixture_expect(enum nero_status expected, enum nero_status got, const char *file,
                          int line);

void clock_is(int64_t ms);
int64_t clock_now(void);
void clock_advance(int64_t ms);

/* A command as one line, split at blanks; must not be refused. Integer, or text as a number. */
long long raw(const char *line);

struct hash job_of(unsigned n);
struct queue_item item_of(const struct hash *job, const char *lane, uint32_t priority,
                          uint64_t order);
void submit(unsigned n, const char *lane, uint32_t priority, uint64_t order);
struct queue_claim claim_any(void);                   /* must find one */
void claim_is(struct queue_claim *claim, unsigned n); /* and frees its memory */
void nothing_to_claim(const char *numeric_class);
void reap(uint32_t expired, uint32_t parked, uint32_t promoted, uint32_t repaired); /* exactly */
void state_is(unsigned n, const char *expected);
void is_gone(unsigned n);
struct queue_job_info info_of(unsigned n);
struct queue_counts counts_now(void);

#endif
