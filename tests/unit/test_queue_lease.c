/*
 * Goal: what the holder of a lease may, hears and loses; counters, retries, adoption, clock (Q3,
 * Q4, Q6). Method: the real scripts on a real redis-server with a clock that the test sets; Q1 is
 * checked after every test.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue_fixture.h"

#define Q fixture.queue
#define E (&fixture.err)

/* ---- the holder ---- */

static void test_queue_lease__only_the_holder_may(void **state)
{
    struct queue_claim claim;
    struct hash slot = job_of(9);

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    for (int kind = 0; kind < 3; kind++) {
        struct queue_claim thief = claim;
        struct queue_job_info before = info_of(1);
        struct queue_job_info after;

        thief.nonce += kind == 0 ? 1 : 0;
        thief.token -= kind == 1 ? 1 : 0;
        thief.token -= kind == 2 ? UINT64_C(1) << 32 : 0; /* of an older epoch */
        REFUSED(NERO_STALE, queue_renew(Q, &thief, &no_progress, NULL, E));
        REFUSED(NERO_STALE, queue_complete(Q, &thief, &slot, E));
        REFUSED(NERO_STALE, queue_fail(Q, &thief, true, "x", NULL, E));
        REFUSED(NERO_STALE, queue_release(Q, &thief, false, "x", E));
        REFUSED(NERO_STALE, queue_pin(Q, &thief, "gpu", E));
        after = info_of(1);
        assert_memory_equal(&before, &after, sizeof before);
    }
    OK(queue_complete(Q, &claim, &slot, E));
    is_gone(1);
    queue_claim_fini(&claim);
}

static void test_queue_lease__renew_extends_and_reports(void **state)
{
    struct queue_claim claim;
    struct queue_beat beat = {.units = 5, .slot = 2, .step = 100, .note = "step 100"};
    enum queue_control control = QUEUE_CANCEL;

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    clock_advance(LEASE_MS - 1);
    OK(queue_renew(Q, &claim, &beat, &control, E));
    assert_int_equal(control, QUEUE_CONTINUE);
    assert_int_equal(info_of(1).lease_left_ms, LEASE_MS);
    assert_int_equal(info_of(1).step, 100);
    assert_int_equal(info_of(1).slot, 2);
    assert_string_equal(info_of(1).note, "step 100");
    clock_advance(LEASE_MS - 1);
    reap(0, 0, 0, 0);
    beat.step = UINT64_C(1) << 53;
    REFUSED(NERO_INVALID, queue_renew(Q, &claim, &beat, &control, E));
    queue_claim_fini(&claim);
    /* The next claimant gets the hint. */
    clock_advance(1);
    reap(1, 0, 0, 0);
    claim = claim_any();
    assert_int_equal(claim.slot_hint, 2);
    assert_int_equal(claim.lost_leases, 1);
    claim_is(&claim, 1);
}

static void test_queue_lease__long_texts_are_cut_at_a_character(void **state)
{
    char note[400];
    struct queue_claim claim;
    struct queue_beat beat = {.note = note};

    (void)state;
    for (size_t i = 0; i + 3 < sizeof note; i += 3) {
        memcpy(note + i, "\xe2\x82\xac", 4); /* the euro sign: 3 bytes */
    }
    submit(1, "", 0, 0);
    claim = claim_any();
    OK(queue_renew(Q, &claim, &beat, NULL, E));
    assert_int_equal(strlen(info_of(1).note), 198);
    OK(queue_release(Q, &claim, false, note, E));
    assert_int_equal(strlen(info_of(1).reason), 198);
    queue_claim_fini(&claim);
}

static void test_queue_lease__control_reaches_the_runner(void **state)
{
    struct queue_claim claim;
    enum queue_control control;
    struct hash job = job_of(1);
    uint32_t told;
    bool leased;

    (void)state;
    submit(1, "", 0, 0);
    OK(queue_tell(Q, RUN, EPOCH, NULL, QUEUE_DRAIN, &told, E));
    assert_int_equal(told, 0);
    claim = claim_any();
    OK(queue_tell(Q, RUN, EPOCH, &job, QUEUE_CHECKPOINT_NOW, &told, E));
    assert_int_equal(told, 1);
    OK(queue_renew(Q, &claim, &no_progress, &control, E));
    assert_int_equal(control, QUEUE_CHECKPOINT_NOW);
    OK(queue_renew(Q, &claim, &no_progress, &control, E));
    assert_int_equal(control, QUEUE_CONTINUE); /* said once */
    OK(queue_tell(Q, RUN, EPOCH, NULL, QUEUE_DRAIN, &told, E));
    for (int i = 0; i < 2; i++) {
        OK(queue_renew(Q, &claim, &no_progress, &control, E));
        assert_int_equal(control, QUEUE_DRAIN);
    }
    OK(queue_cancel(Q, RUN, EPOCH, &job, &leased, E));
    assert_true(leased);
    OK(queue_tell(Q, RUN, EPOCH, NULL, QUEUE_DRAIN, &told, E));
    assert_int_equal(told, 0);
    OK(queue_renew(Q, &claim, &no_progress, &control, E));
    assert_int_equal(control, QUEUE_CANCEL);
    OK(queue_release(Q, &claim, false, "cancelled", E));
    is_gone(1);
    queue_claim_fini(&claim);
}

static void test_queue_lease__cancel_in_every_state(void **state)
{
    struct hash job = job_of(1);
    struct queue_item item = item_of(&job, "gpu", 0, 0);
    struct queue_claim claim;
    bool leased = true;

    (void)state;
    OK(queue_cancel(Q, RUN, EPOCH, &job, &leased, E)); /* unknown */
    assert_false(leased);
    submit(1, "gpu", 0, 0); /* ready */
    OK(queue_cancel(Q, RUN, EPOCH, &job, &leased, E));
    assert_false(leased);
    is_gone(1);
    item.not_before_ms = clock_now() + 10000; /* delayed */
    OK(queue_submit(Q, RUN, EPOCH, &item, 1, NULL, E));
    OK(queue_cancel(Q, RUN, EPOCH, &job, &leased, E));
    is_gone(1);
    submit(1, "", 0, 0); /* dead */
    claim = claim_any();
    OK(queue_fail(Q, &claim, true, "x", NULL, E));
    OK(queue_cancel(Q, RUN, EPOCH, &job, &leased, E));
    assert_false(leased);
    is_gone(1);
    queue_claim_fini(&claim);
    submit(1, "", 0, 0); /* leased by a runner that never speaks again */
    claim = claim_any();
    OK(queue_cancel(Q, RUN, EPOCH, &job, &leased, E));
    assert_true(leased);
    clock_advance(LEASE_MS);
    reap(0, 0, 0, 0);
    is_gone(1);
    queue_claim_fini(&claim);
    submit(1, "", 0, 0); /* and finish, of a leased one */
    claim = claim_any();
    OK(queue_finish(Q, RUN, EPOCH, &job, E));
    is_gone(1);
    REFUSED(NERO_NOT_FOUND, queue_renew(Q, &claim, &no_progress, NULL, E));
    OK(queue_finish(Q, RUN, EPOCH, &job, E));
    OK(queue_finish(Q, "unknown", EPOCH, &job, E));
    queue_claim_fini(&claim);
}

/* ---- counters ---- */

static void test_queue_lease__counters_are_separate(void **state)
{
    struct queue_claim claim;
    struct queue_job_info info;
    bool dead = true;

    (void)state;
    submit(1, "", 0, 0);
    for (int i = 0; i < 20; i++) { /* preemption never hurts */
        claim = claim_any();
        OK(queue_release(Q, &claim, true, "preempted", E));
        queue_claim_fini(&claim);
    }
    claim = claim_any();
    OK(queue_release(Q, &claim, false, "drained", E)); /* nobody was taken away */
    assert_string_equal(info_of(1).reason, "drained");
    queue_claim_fini(&claim);
    claim = claim_any();
    assert_string_equal(info_of(1).reason, ""); /* another has it now */
    clock_advance(LEASE_MS);
    reap(1, 0, 0, 0);
    queue_claim_fini(&claim);
    claim = claim_any();
    OK(queue_fail(Q, &claim, false, "NaN", &dead, E));
    assert_false(dead);
    queue_claim_fini(&claim);
    info = info_of(1);
    assert_int_equal(info.preemptions, 20);
    assert_int_equal(info.lost_leases, 1);
    assert_int_equal(info.failures, 1);
    assert_string_equal(info.reason, "NaN");
    assert_string_equal(info.state, "delayed");
    assert_int_equal(counts_now().failed, 1); /* of the whole run */
    assert_int_equal(counts_now().preempted, 20);
    assert_int_equal(counts_now().lost, 1);
}

static void test_queue_lease__failures_back_off_and_kill(void **state)
{
    struct hash job = job_of(1);
    char hex[HASH_HEX_BYTES];
    struct queue_claim claim;
    bool dead;

    (void)state;
    hash_to_hex(hex, &job);
    submit(1, "", 0, 0);
    for (int i = 0; i < QUEUE_FAILURES_MAX; i++) {
        /* lease / 6 * 2^i, and up to half as much again: drawn from the job's id. */
        char digits[5] = {hex[4 * i], hex[4 * i + 1], hex[4 * i + 2], hex[4 * i + 3], 0};
        double jitter = (double)strtol(digits, NULL, 16) / 65536;
        int64_t wait = (int64_t)ceil(LEASE_MS / 6.0 * (1 << i) * (1 + jitter / 2));

        claim = claim_any();
        OK(queue_fail(Q, &claim, false, "cause", &dead, E));
        assert_int_equal(dead, i == QUEUE_FAILURES_MAX - 1);
        OK(queue_fail(Q, &claim, false, "cause", &dead, E)); /* its reply was lost */
        assert_int_equal(dead, i == QUEUE_FAILURES_MAX - 1);
        assert_int_equal(info_of(1).failures, i + 1);
        queue_claim_fini(&claim);
        clock_advance(wait - 1);
        nothing_to_claim("cpu");
        clock_advance(1);
    }
    state_is(1, "dead");
    nothing_to_claim("cpu");
    assert_int_equal(counts_now().dead, 1);
    submit(2, "", 0, 0);
    claim = claim_any();
    OK(queue_fail(Q, &claim, true, "permanent", &dead, E));
    assert_true(dead);
    claim_is(&claim, 2);
}

static void lose_leases(int count, uint64_t step)
{
    for (int i = 0; i < count; i++) {
        struct queue_claim claim = claim_any();
        struct queue_beat beat = {.step = step};

        OK(queue_renew(Q, &claim, &beat, NULL, E));
        bytes_fini(&claim.envelope);
        clock_advance(LEASE_MS);
        OK(queue_reap(Q, RUN, EPOCH, NULL, E));
    }
}

static void test_queue_lease__lost_leases_park_unless_there_is_progress(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    lose_leases(QUEUE_LOST_LEASES_MAX - 1, 0);
    assert_int_equal(info_of(1).lost_leases, QUEUE_LOST_LEASES_MAX - 1);
    lose_leases(1, 50); /* a checkpoint heals, then one is lost */
    assert_int_equal(info_of(1).lost_leases, 1);
    lose_leases(QUEUE_LOST_LEASES_MAX - 2, 50); /* the same step does not */
    lose_leases(0, 49);
    state_is(1, "ready");
    lose_leases(1, 50);
    state_is(1, "parked");
    assert_int_equal(counts_now().parked, 1);
    assert_int_equal(info_of(1).failures, 0);
    assert_non_null(strstr(info_of(1).reason, "without progress"));
    nothing_to_claim("cpu");
    OK(queue_retry(Q, RUN, EPOCH, NULL, NULL, E));
    claim = claim_any();
    assert_int_equal(claim.lost_leases, 0);
    claim_is(&claim, 1);
}

static void test_queue_lease__retry_clears_the_counters(void **state)
{
    struct hash job = job_of(2);
    uint32_t count;

    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        struct queue_claim claim;

        submit(i, i == 2 ? "cpu" : "", 0, i);
        claim = claim_any();
        OK(queue_fail(Q, &claim, true, "x", NULL, E));
        queue_claim_fini(&claim);
    }
    OK(queue_retry(Q, RUN, EPOCH, &job, &count, E));
    assert_int_equal(count, 1);
    state_is(2, "ready");
    assert_int_equal(info_of(2).failures, 0);
    assert_string_equal(info_of(2).reason, "");
    OK(queue_retry(Q, RUN, EPOCH, &job, &count, E));
    assert_int_equal(count, 0);
    OK(queue_retry(Q, RUN, EPOCH, NULL, &count, E));
    assert_int_equal(count, 2);
    assert_int_equal(counts_now().ready, 3);
}

/* ---- idempotence and adoption ---- */

static void test_queue_lease__what_is_said_twice_counts_once(void **state)
{
    struct queue_claim claim;
    struct hash slot = job_of(9);

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    OK(queue_release(Q, &claim, true, "notice", E));
    OK(queue_release(Q, &claim, true, "notice", E));
    assert_int_equal(info_of(1).preemptions, 1);
    /* A heartbeat that comes after the release does not take the job back. */
    REFUSED(NERO_STALE, queue_renew(Q, &claim, &no_progress, NULL, E));
    REFUSED(NERO_STALE, queue_complete(Q, &claim, &slot, E));
    state_is(1, "ready");
    queue_claim_fini(&claim);
    claim = claim_any();
    OK(queue_complete(Q, &claim, &slot, E));
    OK(queue_complete(Q, &claim, &slot, E));
    REFUSED(NERO_NOT_FOUND, queue_release(Q, &claim, false, "", E));
    REFUSED(NERO_NOT_FOUND, queue_fail(Q, &claim, false, "", NULL, E));
    queue_claim_fini(&claim);
}

static void test_queue_lease__last_holder_takes_its_lease_up_again(void **state)
{
    struct queue_claim first;
    struct queue_claim second;
    struct hash slot = job_of(9);

    (void)state;
    submit(1, "cpu", 0, 0);
    first = claim_any();
    clock_advance(LEASE_MS);
    reap(1, 0, 0, 0);
    state_is(1, "ready");
    OK(queue_renew(Q, &first, &no_progress, NULL, E)); /* nobody came between */
    state_is(1, "leased");
    nothing_to_claim("cpu");
    clock_advance(LEASE_MS);
    reap(1, 0, 0, 0);
    second = claim_any();
    REFUSED(NERO_STALE, queue_renew(Q, &first, &no_progress, NULL, E));
    REFUSED(NERO_STALE, queue_complete(Q, &first, &slot, E));
    clock_advance(LEASE_MS);
    reap(1, 0, 0, 0);
    REFUSED(NERO_STALE, queue_renew(Q, &first, &no_progress, NULL, E));
    OK(queue_complete(Q, &second, &slot, E)); /* it had committed before its lease ran out */
    is_gone(1);
    queue_claim_fini(&first);
    queue_claim_fini(&second);
}

static void test_queue_lease__live_runner_survives_a_flush(void **state)
{
    struct queue_claim old;
    struct queue_claim claim;
    struct hash job = job_of(1);
    struct queue_item item = item_of(&job, "", 0, 0);

    (void)state;
    submit(1, "", 0, 0);
    old = claim_any();
    (void)raw("FLUSHALL");
    clock_is(2000000);
    REFUSED(NERO_NOT_FOUND, queue_renew(Q, &old, &no_progress, NULL, E));
    assert_int_equal(raw("EXISTS n:{run-1}:meta"), 0); /* asking makes no run */
    OK(queue_lead(Q, RUN, EPOCH + 1, LEASE_MS, E));
    REFUSED(NERO_NOT_FOUND, queue_renew(Q, &old, &no_progress, NULL, E));
    OK(queue_submit(Q, RUN, EPOCH + 1, &item, 1, NULL, E));
    OK(queue_renew(Q, &old, &no_progress, NULL, E)); /* adopted: no work lost */
    assert_string_equal(info_of(1).runner, "runner-a");
    assert_int_equal(info_of(1).token, old.token);
    nothing_to_claim("cpu");
    clock_advance(LEASE_MS);
    OK(queue_reap(Q, RUN, EPOCH + 1, NULL, E));
    claim = claim_any();
    assert_true(claim.token > old.token);
    REFUSED(NERO_STALE, queue_renew(Q, &old, &no_progress, NULL, E));
    queue_claim_fini(&old);
    claim_is(&claim, 1);
}

static void test_queue_lease__forgotten_claim_with_the_higher_token_wins(void **state)
{
    struct queue_claim old;
    struct queue_claim newer;
    struct queue_claim next;

    (void)state;
    submit(1, "", 0, 0);
    submit(2, "", 0, 1);
    old = claim_any();
    /* The append-only file lost the last second: `newer` was claimed, and Redis knows only `old`.
     */
    newer = old;
    newer.token = old.token + 5;
    newer.nonce = old.nonce ^ 1;
    OK(queue_renew(Q, &newer, &no_progress, NULL, E));
    REFUSED(NERO_STALE, queue_renew(Q, &old, &no_progress, NULL, E));
    bytes_fini(&old.envelope);
    next = claim_any();
    assert_int_equal(next.token, newer.token + 1); /* never given again */
    claim_is(&next, 2);
}

/* One apart, and the same as doubles. */
static void test_queue_lease__large_tokens_are_compared_exactly(void **state)
{
    struct queue_claim old;
    struct queue_claim newer;

    (void)state;
    OK(queue_lead(Q, RUN, UINT32_MAX, LEASE_MS, E));
    {
        struct hash job = job_of(1);
        struct queue_item item = item_of(&job, "", 0, 0);

        OK(queue_submit(Q, RUN, UINT32_MAX, &item, 1, NULL, E));
    }
    old = claim_any();
    newer = old;
    newer.token++;
    newer.nonce ^= 1;
    OK(queue_renew(Q, &newer, &no_progress, NULL, E));
    REFUSED(NERO_STALE, queue_renew(Q, &old, &no_progress, NULL, E));
    queue_claim_fini(&old);
}

/* A hand removed the meta key: a holder's call does not make half of one. */
static void test_queue_lease__holders_make_no_run(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    (void)raw("DEL n:{run-1}:meta");
    OK(queue_renew(Q, &claim, &no_progress, NULL, E));
    assert_int_equal(raw("EXISTS n:{run-1}:meta"), 0);
    queue_claim_fini(&claim);
}

static void test_queue_lease__two_claims_of_one_token_differ_by_nonce(void **state)
{
    struct queue_claim first;
    struct queue_claim second;

    (void)state;
    submit(1, "", 0, 0);
    first = claim_any();
    (void)raw("HSET n:{run-1}:meta counter 0");
    clock_advance(LEASE_MS);
    second = claim_any();
    assert_int_equal(first.token, second.token);
    assert_int_not_equal(first.nonce, second.nonce);
    REFUSED(NERO_STALE, queue_renew(Q, &first, &no_progress, NULL, E));
    OK(queue_renew(Q, &second, &no_progress, NULL, E));
    queue_claim_fini(&first);
    queue_claim_fini(&second);
}

/* ---- clock ---- */

static void test_queue_lease__clock_jump_gives_every_lease_a_fresh_one(void **state)
{
    static const int64_t jumps[] = {LEASE_MS + 1, 1000000000, -LEASE_MS - 1,
                                    INT64_C(1000000000000001)};
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    for (size_t i = 0; i < 4; i++) {
        clock_advance(jumps[i]);
        reap(0, 0, 0, 0);
        state_is(1, "leased");
        assert_int_equal(info_of(1).lease_left_ms, LEASE_MS);
    }
    clock_advance(LEASE_MS - 1);
    reap(0, 0, 0, 0);
    clock_advance(1);
    reap(1, 0, 0, 0); /* and it ends after that one */
    queue_claim_fini(&claim);
}

static void test_queue_lease__clock_jump_back_delays_nothing(void **state)
{
    struct queue_claim claim;
    bool dead;

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    OK(queue_fail(Q, &claim, false, "x", &dead, E));
    state_is(1, "delayed");
    queue_claim_fini(&claim);
    clock_advance(-3600000);
    reap(0, 0, 0, 0);
    state_is(1, "delayed"); /* its backoff is not over */
    clock_advance(LEASE_MS / 2);
    reap(0, 0, 1, 0);
    state_is(1, "ready");
}

static void test_queue_lease__claim_reaps_without_a_leader(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    queue_claim_fini(&claim);
    clock_advance(LEASE_MS - 1);
    nothing_to_claim("cpu");
    clock_advance(1);
    claim = claim_any();
    assert_int_equal(claim.lost_leases, 1);
    claim_is(&claim, 1);
}
#define TEST(name)                                                                 \
    cmocka_unit_test_setup_teardown(test_queue_lease__##name, queue_fixture_empty, \
                                    queue_fixture_check)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_the_holder_may),
        TEST(renew_extends_and_reports),
        TEST(long_texts_are_cut_at_a_character),
        TEST(control_reaches_the_runner),
        TEST(cancel_in_every_state),
        TEST(counters_are_separate),
        TEST(failures_back_off_and_kill),
        TEST(lost_leases_park_unless_there_is_progress),
        TEST(retry_clears_the_counters),
        TEST(what_is_said_twice_counts_once),
        TEST(last_holder_takes_its_lease_up_again),
        TEST(live_runner_survives_a_flush),
        TEST(forgotten_claim_with_the_higher_token_wins),
        TEST(large_tokens_are_compared_exactly),
        TEST(holders_make_no_run),
        TEST(two_claims_of_one_token_differ_by_nonce),
        TEST(clock_jump_gives_every_lease_a_fresh_one),
        TEST(clock_jump_back_delays_nothing),
        TEST(claim_reaps_without_a_leader),
    };

    return cmocka_run_group_tests(tests, queue_fixture_start, queue_fixture_stop);
}
