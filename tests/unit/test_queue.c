/*
 * Goal: every operation, reply and refusal of queue/DESIGN.md, and Q1 to Q6, but those of the
 * holder of a lease (test_queue_lease). Method: the real scripts on a real redis-server with a
 * clock that the test sets; Q1 is checked after every test.
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/rng.h"
#include "queue_fixture.h"

#define Q fixture.queue
#define E (&fixture.err)

/* ---- submit and claim ---- */

static void test_queue__claim_hands_over_the_job(void **state)
{
    struct hash job = job_of(1);
    struct queue_item item = item_of(&job, "", 0, 5);
    struct queue_claim claim;

    (void)state;
    nothing_to_claim("cpu");
    submit(1, "", 0, 5);
    claim = claim_any();
    assert_int_equal(claim.token, ((uint64_t)EPOCH << 32) + 1);
    assert_int_not_equal(claim.nonce, 0);
    assert_int_equal(claim.lease_ms, LEASE_MS);
    assert_int_equal(claim.redis_ms, 1000000);
    assert_string_equal(claim.run, RUN);
    assert_true(bytes_view_equal(bytes_as_view(&claim.envelope), item.envelope));
    state_is(1, "leased");
    assert_int_equal(info_of(1).lease_left_ms, LEASE_MS);
    assert_string_equal(info_of(1).runner, "runner-a");
    assert_int_equal(info_of(1).token, claim.token);
    claim_is(&claim, 1);
    nothing_to_claim("cpu");
}

static void test_queue__order_is_priority_then_submission(void **state)
{
    /* The largest score is 2^53 - 1: the last two differ by 1 there. */
    static const struct {
        uint32_t priority;
        uint64_t order;
    } jobs[] = {{1, 0},
                {0, 9},
                {0, 3},
                {511, (UINT64_C(1) << 44) - 1},
                {511, (UINT64_C(1) << 44) - 2},
                {510, (UINT64_C(1) << 44) - 1}};
    static const unsigned expected[] = {2, 1, 0, 5, 4, 3};

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        submit(i, "", jobs[i].priority, jobs[i].order);
    }
    for (unsigned i = 0; i < 6; i++) {
        struct queue_claim claim = claim_any();

        assert_int_equal(claim.token & UINT32_MAX, i + 1);
        claim_is(&claim, expected[i]);
    }
}

static void test_queue__submit_is_idempotent_and_checked(void **state)
{
    struct hash job = job_of(1);
    struct queue_item item = item_of(&job, "", 0, 0);
    struct queue_item many[200];
    struct hash ids[200];
    uint32_t added = 99;

    (void)state;
    submit(1, "", 0, 0);
    item.priority = 5;
    OK(queue_submit(Q, RUN, EPOCH, &item, 1, &added, E));
    assert_int_equal(added, 0);
    item.priority = QUEUE_PRIORITIES;
    REFUSED(NERO_INVALID, queue_submit(Q, RUN, EPOCH, &item, 1, &added, E));
    item.priority = 0;
    item.order = UINT64_C(1) << 44;
    REFUSED(NERO_INVALID, queue_submit(Q, RUN, EPOCH, &item, 1, &added, E));
    item.order = 0;
    REFUSED(NERO_NOT_FOUND, queue_submit(Q, "other", EPOCH, &item, 1, &added, E));
    REFUSED(NERO_INVALID, queue_submit(Q, "{bad}", EPOCH, &item, 1, &added, E));
    REFUSED(NERO_INVALID, queue_submit(Q, RUN, UINT64_C(1) << 32, &item, 1, &added, E));
    for (unsigned i = 0; i < 200; i++) { /* more than one script call takes; 1 is known */
        ids[i] = job_of(i);
        many[i] = item_of(&ids[i], "", 0, i);
    }
    OK(queue_submit(Q, RUN, EPOCH, many, 200, &added, E));
    assert_int_equal(added, 199);
    assert_int_equal(counts_now().ready, 200);
    assert_true(raw("LLEN n:{run-1}:wake") <= QUEUE_WAKE_MAX);
}

static void test_queue__lanes_are_kept_apart(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "gpu", 0, 1);
    submit(2, "", 0, 2);
    submit(3, "cpu", 0, 3);
    submit(4, "cpu", 0, 0);
    for (unsigned i = 0; i < 3; i++) { /* lowest score of its own lane and the open one */
        claim = claim_any();
        claim_is(&claim, (unsigned[]){4, 2, 3}[i]);
    }
    nothing_to_claim("cpu");
    nothing_to_claim("");
    queue_claim_init(&claim);
    OK(queue_claim(Q, RUN, "runner-g", "gpu", &claim, E));
    claim_is(&claim, 1);
}

static void test_queue__pinned_job_waits_for_its_class(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 1);
    claim = claim_any();
    OK(queue_pin(Q, &claim, "gpu", E));
    OK(queue_release(Q, &claim, false, "class", E));
    REFUSED(NERO_STALE, queue_pin(Q, &claim, "cpu", E));
    queue_claim_fini(&claim);
    assert_string_equal(info_of(1).numeric_class, "gpu");
    nothing_to_claim("cpu");
    OK(queue_claim(Q, RUN, "runner-g", "gpu", &claim, E));
    claim_is(&claim, 1);
}

/* It waited longest: it goes before those that came after it, to its own class and to others. */
static void test_queue__released_job_goes_before_later_ones(void **state)
{
    struct queue_claim claims[2];
    struct queue_claim claim;

    (void)state;
    for (unsigned i = 1; i <= 6; i++) {
        submit(i, i % 2 == 0 ? "cpu" : "", 0, i);
    }
    claims[0] = claim_any(); /* begun, and so bound to its class */
    claims[1] = claim_any();
    OK(queue_pin(Q, &claims[0], "cpu", E));
    OK(queue_release(Q, &claims[1], true, "notice", E));
    OK(queue_release(Q, &claims[0], true, "notice", E));
    claim_is(&claims[0], 1);
    claim_is(&claims[1], 2);
    for (unsigned i = 1; i <= 6; i++) {
        claim = claim_any();
        claim_is(&claim, i);
    }
}

/* A runner that cannot do some jobs is given the next, of either lane; others are given those. */
static void test_queue__claim_passes_over(void **state)
{
    struct hash passed[QUEUE_PASSED_MAX];
    struct queue_claim claim;

    (void)state;
    for (unsigned i = 0; i < QUEUE_PASSED_MAX; i++) {
        passed[i] = job_of(100 + i);
    }
    passed[0] = job_of(1);
    passed[5] = job_of(2);
    passed[QUEUE_PASSED_MAX - 1] = job_of(4);
    for (unsigned i = 1; i <= 5; i++) {
        submit(i, i % 2 == 0 ? "cpu" : "", 0, i);
    }
    for (unsigned i = 3; i <= 5; i += 2) {
        queue_claim_init(&claim);
        OK(queue_claim_other(Q, RUN, "runner-a", "cpu", passed, QUEUE_PASSED_MAX, &claim, E));
        claim_is(&claim, i);
    }
    queue_claim_init(&claim);
    REFUSED(NERO_NOT_FOUND,
            queue_claim_other(Q, RUN, "runner-a", "cpu", passed, QUEUE_PASSED_MAX, &claim, E));
    OK(queue_claim_other(Q, RUN, "runner-a", "cpu", passed, 1, &claim, E));
    claim_is(&claim, 2);
    claim = claim_any();
    claim_is(&claim, 1);
    claim = claim_any();
    claim_is(&claim, 4);
}

static void test_queue__delayed_until_due(void **state)
{
    struct hash job = job_of(1);
    struct queue_item item = item_of(&job, "", 0, 0);
    struct queue_claim claim;

    (void)state;
    item.not_before_ms = clock_now() + 500;
    OK(queue_submit(Q, RUN, EPOCH, &item, 1, NULL, E));
    state_is(1, "delayed");
    nothing_to_claim("cpu");
    clock_advance(499);
    reap(0, 0, 0, 0);
    nothing_to_claim("cpu");
    clock_advance(1);
    claim = claim_any(); /* claim promotes too: no leader is needed */
    claim_is(&claim, 1);
}

/* ---- leadership ---- */

static void test_queue__lower_epoch_is_refused_everywhere(void **state)
{
    struct hash job = job_of(1);
    struct queue_item item = item_of(&job, "", 0, 0);
    struct queue_claim claim;
    uint64_t old = EPOCH - 1;

    (void)state;
    submit(1, "", 0, 0);
    REFUSED(NERO_STALE, queue_lead(Q, RUN, old, LEASE_MS, E));
    REFUSED(NERO_STALE, queue_submit(Q, RUN, old, &item, 1, NULL, E));
    REFUSED(NERO_STALE, queue_finish(Q, RUN, old, &job, E));
    REFUSED(NERO_STALE, queue_cancel(Q, RUN, old, &job, NULL, E));
    REFUSED(NERO_STALE, queue_reap(Q, RUN, old, NULL, E));
    REFUSED(NERO_STALE, queue_retry(Q, RUN, old, NULL, NULL, E));
    REFUSED(NERO_STALE, queue_pause(Q, RUN, old, true, E));
    REFUSED(NERO_STALE, queue_tell(Q, RUN, old, NULL, QUEUE_DRAIN, NULL, E));
    REFUSED(NERO_STALE, queue_limit(Q, RUN, old, 1, E));
    REFUSED(NERO_STALE, queue_drain(Q, RUN, old, "runner-a", NULL, E));
    REFUSED(NERO_STALE, queue_drop(Q, RUN, old, E));
    REFUSED(NERO_INVALID, queue_lead(Q, RUN, 0, LEASE_MS, E));
    state_is(1, "ready");
    assert_int_equal(counts_now().epoch, EPOCH);
    /* A higher one is taken up by any script, and the old leader is out. */
    OK(queue_reap(Q, RUN, EPOCH + 1, NULL, E));
    assert_int_equal(counts_now().epoch, EPOCH + 1);
    REFUSED(NERO_STALE, queue_reap(Q, RUN, EPOCH, NULL, E));
    claim = claim_any();
    assert_int_equal(claim.token, ((uint64_t)(EPOCH + 1) << 32) + 1);
    claim_is(&claim, 1);
}

static void test_queue__leading_again_keeps_the_counter(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    claim = claim_any();
    OK(queue_release(Q, &claim, false, "", E));
    OK(queue_lead(Q, RUN, EPOCH, LEASE_MS, E));
    queue_claim_fini(&claim);
    claim = claim_any();
    assert_int_equal(claim.token, ((uint64_t)EPOCH << 32) + 2);
    claim_is(&claim, 1);
}

static void test_queue__used_up_counter_needs_a_new_epoch(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    (void)raw("HSET n:{run-1}:meta counter 4294967295");
    queue_claim_init(&claim);
    REFUSED(NERO_UNAVAILABLE, queue_claim(Q, RUN, "runner-a", "cpu", &claim, E));
    OK(queue_lead(Q, RUN, UINT32_MAX, LEASE_MS, E)); /* the largest: beyond 2^53 as one number */
    claim = claim_any();
    assert_int_equal(claim.token, ((uint64_t)UINT32_MAX << 32) + 1);
    OK(queue_renew(Q, &claim, &no_progress, NULL, E));
    OK(queue_release(Q, &claim, false, "", E));
    claim_is(&claim, 1);
}
/* ---- repair, pause, drop ---- */

static void key_of(char out[128], const char *verb, const char *key, unsigned n, const char *rest)
{
    char hex[HASH_HEX_BYTES];
    struct hash job = job_of(n);

    hash_to_hex(hex, &job);
    (void)snprintf(out, 128, "%s n:{run-1}:%s%s%s", verb, key, hex, rest);
}

static void test_queue__reap_repairs_what_a_hand_broke(void **state)
{
    char line[128];
    struct queue_claim claim;

    (void)state;
    for (unsigned i = 1; i <= 6; i++) {
        submit(i, i == 3 ? "cpu" : "", 0, i);
    }
    claim = claim_any(); /* 1 */
    key_of(line, "ZREM", "lease ", 1, "");
    assert_int_equal(raw(line), 1); /* leased without a lease */
    key_of(line, "ZREM", "ready ", 2, "");
    assert_int_equal(raw(line), 1); /* ready in no lane */
    key_of(line, "ZREM", "ready:cpu ", 3, "");
    assert_int_equal(raw(line), 1);
    key_of(line, "DEL", "job:", 4, "");
    assert_int_equal(raw(line), 1); /* an entry without a job */
    key_of(line, "ZADD", "lease 1 ", 5, "");
    assert_int_equal(raw(line), 1); /* a lease of a job that is ready */
    OK(queue_reap(Q, RUN, EPOCH, NULL, E));
    state_is(1, "leased");
    assert_int_equal(info_of(1).lease_left_ms, LEASE_MS);
    is_gone(4);
    queue_claim_fini(&claim);
    for (unsigned i = 0; i < 4; i++) { /* 2, 3, 5, 6 in order; the stray entry of 4 is dropped */
        claim = claim_any();
        claim_is(&claim, (unsigned[]){2, 3, 5, 6}[i]);
    }
    nothing_to_claim("cpu");
    /* The bytes of the hash that was removed by hand stay counted: no script can know them. */
    assert_int_equal(counts_now().envelope_bytes, 6 * 16);
    (void)raw("HINCRBY n:{run-1}:meta bytes -16");
}

static void test_queue__pause_stops_claims_only(void **state)
{
    struct queue_claim claim;

    (void)state;
    submit(1, "", 0, 0);
    submit(2, "", 0, 1);
    claim = claim_any();
    OK(queue_pause(Q, RUN, EPOCH, true, E));
    assert_true(counts_now().paused);
    nothing_to_claim("cpu");
    OK(queue_renew(Q, &claim, &no_progress, NULL, E));
    queue_claim_fini(&claim);
    OK(queue_pause(Q, RUN, EPOCH, false, E));
    claim = claim_any();
    claim_is(&claim, 2);
}

static void test_queue__limit_bounds_what_is_under_way(void **state)
{
    struct queue_claim claims[2];
    struct queue_claim third;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        submit(i, "", 0, i);
    }
    OK(queue_limit(Q, RUN, EPOCH, 2, E));
    assert_int_equal(counts_now().limit, 2);
    claims[0] = claim_any();
    claims[1] = claim_any();
    nothing_to_claim("cpu");
    /* Who holds a lease keeps it; room is made by any end, also by a lease that runs out. */
    OK(queue_renew(Q, &claims[0], &no_progress, NULL, E));
    OK(queue_release(Q, &claims[1], false, "", E));
    third = claim_any();
    nothing_to_claim("cpu");
    queue_claim_fini(&third);
    clock_advance(LEASE_MS);
    third = claim_any(); /* the claim reaps */
    queue_claim_fini(&third);
    OK(queue_limit(Q, RUN, EPOCH, 0, E));
    third = claim_any();
    queue_claim_fini(&third);
    queue_claim_fini(&claims[0]);
    queue_claim_fini(&claims[1]);
}

static void test_queue__drained_runner_gets_no_more(void **state)
{
    struct queue_claim claim;
    enum queue_control control;
    bool drained = true;
    uint32_t told;

    (void)state;
    submit(1, "", 0, 1);
    submit(2, "", 0, 2);
    REFUSED(NERO_NOT_FOUND, queue_drain(Q, RUN, EPOCH, "runner-a", &told, E));
    OK(queue_announce(Q, RUN, "runner-a", "host", "cpu", &drained, E));
    assert_false(drained);
    claim = claim_any();
    OK(queue_drain(Q, RUN, EPOCH, "runner-a", &told, E));
    assert_int_equal(told, 1);
    OK(queue_renew(Q, &claim, &no_progress, &control, E));
    assert_int_equal(control, QUEUE_DRAIN);
    OK(queue_announce(Q, RUN, "runner-a", "host", "cpu", &drained, E));
    assert_true(drained); /* an idle one hears it so */
    OK(queue_release(Q, &claim, false, "drained", E));
    queue_claim_fini(&claim);
    queue_claim_init(&claim);
    REFUSED(NERO_NOT_FOUND, queue_claim(Q, RUN, "runner-a", "cpu", &claim, E));
    assert_non_null(strstr(fixture.err.message, "drained"));
    OK(queue_claim(Q, RUN, "runner-b", "cpu", &claim, E));
    claim_is(&claim, 1);
}

static void test_queue__signs_of_life_fade(void **state)
{
    struct queue_leader leader = {.name = "host:1", .alive_ms = 500, .window_bytes = 4096};

    (void)state;
    assert_string_equal(counts_now().leader, "");
    OK(queue_stay(Q, RUN, EPOCH, &leader, E));
    assert_string_equal(counts_now().leader, "host:1");
    assert_int_equal(counts_now().window_bytes, 4096);
    clock_advance(499);
    assert_string_equal(counts_now().leader, "host:1");
    OK(queue_stay(Q, RUN, EPOCH, &leader, E));
    clock_advance(499);
    assert_string_equal(counts_now().leader, "host:1");
    clock_advance(1);
    assert_string_equal(counts_now().leader, "");
    /* One from before the clock jumped back does not keep others from taking over. */
    OK(queue_stay(Q, RUN, EPOCH, &leader, E));
    clock_advance(-500);
    assert_string_equal(counts_now().leader, "host:1"); /* a small step is no matter */
    clock_advance(-3600000);
    assert_string_equal(counts_now().leader, "");
    OK(queue_stay(Q, RUN, EPOCH, &leader, E));
    assert_string_equal(counts_now().leader, "host:1");
    leader.name = "host:2";
    OK(queue_stay(Q, RUN, EPOCH + 1, &leader, E));
    leader.name = "host:1";
    REFUSED(NERO_STALE, queue_stay(Q, RUN, EPOCH, &leader, E));
    REFUSED(NERO_STALE, queue_resign(Q, RUN, EPOCH, E)); /* not for another */
    assert_string_equal(counts_now().leader, "host:2");
    OK(queue_resign(Q, RUN, EPOCH + 1, E));
    assert_string_equal(counts_now().leader, "");
    REFUSED(NERO_NOT_FOUND, queue_stay(Q, "unknown", EPOCH, &leader, E));
}

static enum nero_status count_run(void *context, const char *run, struct nero_err *err)
{
    (void)err;
    *(int *)context += strcmp(run, RUN) == 0 ? 1 : 100;
    return NERO_OK;
}

static void test_queue__drop_leaves_nothing(void **state)
{
    struct queue_claim claim;
    int runs = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        submit(i, i < 2 ? "gpu" : "", 0, i);
    }
    claim = claim_any();
    OK(queue_fail(Q, &claim, true, "x", NULL, E));
    queue_claim_fini(&claim);
    OK(queue_announce(Q, RUN, "runner-a", "host", "cpu", NULL, E));
    OK(queue_enrol_push(Q, RUN, bytes_view_str("x"), E));
    OK(queue_lead_hidden(Q, "hidden", 1, LEASE_MS, E));
    OK(queue_runs(Q, count_run, &runs, E));
    assert_int_equal(runs, 1);
    OK(queue_drop(Q, "hidden", 1, E));
    OK(queue_drop(Q, RUN, EPOCH, E));
    (void)raw("DEL n:clock");
    assert_int_equal(raw("DBSIZE"), 0);
    clock_is(1);
    OK(queue_drop(Q, RUN, EPOCH, E));
}

/* ---- readers ---- */

struct seen {
    unsigned count;
    struct hash jobs[8];
    char text[512];
};

static enum nero_status see_job(void *context, const struct hash *job, struct nero_err *err)
{
    struct seen *seen = context;

    (void)err;
    seen->jobs[seen->count++] = *job;
    return NERO_OK;
}

static enum nero_status see_runner(void *context, const struct queue_runner *runner,
                                   struct nero_err *err)
{
    struct seen *seen = context;

    (void)err;
    seen->count++;
    (void)snprintf(seen->text, sizeof seen->text, "%s %s %s%s", runner->name, runner->host,
                   runner->numeric_class, runner->drained ? " drained" : "");
    return NERO_OK;
}

static enum nero_status see_lane(void *context, const char *lane, uint64_t ready,
                                 struct nero_err *err)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);

    (void)err;
    (void)snprintf(seen->text + used, sizeof seen->text - used, "[%s %" PRIu64 "]", lane, ready);
    return NERO_OK;
}

static void test_queue__readers_tell_what_is_there(void **state)
{
    struct seen seen = {0};
    struct hash second = job_of(2);
    struct queue_counts counts;

    (void)state;
    submit(1, "gpu", 0, 1);
    submit(2, "", 0, 2);
    submit(3, "", 0, 1);
    OK(queue_lanes(Q, RUN, see_lane, &seen, E));
    assert_string_equal(seen.text, "[ 2][gpu 1]");
    OK(queue_list(Q, RUN, "ready", 8, see_job, &seen, E));
    assert_int_equal(seen.count, 3);
    assert_true(hash_equal(&seen.jobs[1], &second));
    seen.count = 0;
    OK(queue_list(Q, RUN, "ready", 2, see_job, &seen, E));
    assert_int_equal(seen.count, 2);
    seen.count = 0;
    OK(queue_list(Q, RUN, "dead", 2, see_job, &seen, E));
    assert_int_equal(seen.count, 0);
    REFUSED(NERO_INVALID, queue_list(Q, RUN, "no-state", 2, see_job, &seen, E));
    counts = counts_now();
    assert_int_equal(counts.ready, 3);
    assert_int_equal(counts.redis_ms, 1000000);
    assert_int_equal(counts.envelope_bytes, 3 * item_of(&second, "", 0, 0).envelope.bytes);
    REFUSED(NERO_NOT_FOUND, queue_counts(Q, "unknown", &counts, E));
    OK(queue_announce(Q, RUN, "r1", "host-1", "cpu", NULL, E));
    OK(queue_runners(Q, RUN, see_runner, &seen, E));
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text, "r1 host-1 cpu");
    OK(queue_drain(Q, RUN, EPOCH, "r1", NULL, E));
    OK(queue_runners(Q, RUN, see_runner, &seen, E));
    assert_string_equal(seen.text, "r1 host-1 cpu drained");
    assert_int_equal(counts_now().runners, 1);
    clock_advance(3 * LEASE_MS + 1);
    assert_int_equal(counts_now().runners, 0);
    REFUSED(NERO_NOT_FOUND, queue_announce(Q, "unknown", "r1", "h", "cpu", NULL, E));
    REFUSED(NERO_INVALID, queue_announce(Q, RUN, "", "h", "cpu", NULL, E));
    REFUSED(NERO_INVALID, queue_announce(Q, RUN, "r\n", "h", "cpu", NULL, E));
}

static enum nero_status see_event(void *context, const struct queue_event *event,
                                  struct nero_err *err)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);

    (void)err;
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%s ", event->kind);
    seen->count++;
    return NERO_OK;
}

static void test_queue__events_tell_the_story_once(void **state)
{
    struct seen seen = {0};
    struct queue_claim claim;
    char from_start[40] = "0";
    char from_now[40] = "$";
    struct hash slot = job_of(9);
    struct queue_beat beat = {.note = "working"};

    (void)state;
    OK(queue_events(Q, RUN, from_now, 0, see_event, &seen, E));
    assert_int_equal(seen.count, 0);
    submit(1, "", 0, 0);
    claim = claim_any();
    OK(queue_renew(Q, &claim, &beat, NULL, E));
    OK(queue_renew(Q, &claim, &beat, NULL, E)); /* the same note is no event */
    OK(queue_complete(Q, &claim, &slot, E));
    OK(queue_events(Q, RUN, from_start, 0, see_event, &seen, E));
    assert_string_equal(seen.text, "lead submitted claimed progress completed ");
    memset(&seen, 0, sizeof seen);
    OK(queue_events(Q, RUN, from_now, 10, see_event, &seen, E));
    assert_string_equal(seen.text, "submitted claimed progress completed ");
    OK(queue_events(Q, RUN, from_now, 10, see_event, &seen, E));
    assert_int_equal(seen.count, 4);
    queue_claim_fini(&claim);
}

static void test_queue__enrolment_is_bounded(void **state)
{
    uint8_t big[QUEUE_ENROL_BYTES + 1] = {0};
    struct bytes out;

    (void)state;
    bytes_init(&out, 100000);
    REFUSED(NERO_NOT_FOUND, queue_enrol_take(Q, RUN, &out, E));
    REFUSED(NERO_TOO_BIG, queue_enrol_push(Q, RUN, bytes_view_of(big, sizeof big), E));
    for (int i = 0; i < QUEUE_ENROL_MAX; i++) {
        OK(queue_enrol_push(Q, RUN, bytes_view_of(big, (size_t)i % 7 + 1), E));
    }
    REFUSED(NERO_UNAVAILABLE, queue_enrol_push(Q, RUN, bytes_view_of(big, 1), E));
    OK(queue_enrol_take(Q, RUN, &out, E));
    OK(queue_enrol_take(Q, RUN, &out, E));
    assert_int_equal(out.bytes, 1 + 2);
    bytes_fini(&out);
}

/* ---- many at once ---- */

enum { THREADS = 4, JOBS = 300 };

struct worker {
    pthread_t thread;
    struct queue *queue;
    unsigned name;
    unsigned count;
    uint64_t tokens[JOBS];
};

static void *claim_all(void *context)
{
    struct worker *worker = context;
    struct nero_err err;
    char name[32];
    struct queue_claim claim;

    (void)snprintf(name, sizeof name, "runner-%u", worker->name);
    queue_claim_init(&claim);
    while (worker->count < JOBS &&
           queue_claim(worker->queue, RUN, name, "cpu", &claim, &err) == NERO_OK) {
        worker->tokens[worker->count++] = claim.token;
        if (queue_complete(worker->queue, &claim, &claim.job, &err) != NERO_OK) {
            break;
        }
        bytes_fini(&claim.envelope);
        queue_claim_init(&claim);
    }
    queue_claim_fini(&claim);
    return NULL;
}

static void test_queue__each_job_is_claimed_by_one(void **state)
{
    static struct worker workers[THREADS];
    bool seen[JOBS + 1] = {false};
    unsigned total = 0;

    (void)state;
    for (unsigned i = 0; i < JOBS; i++) {
        submit(i, "", 0, i);
    }
    memset(workers, 0, sizeof workers);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].name = i;
        workers[i].queue = queue_fixture_open();
        assert_int_equal(pthread_create(&workers[i].thread, NULL, claim_all, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        queue_close(workers[i].queue);
        for (unsigned k = 0; k < workers[i].count; k++) {
            uint64_t at = workers[i].tokens[k] & UINT32_MAX;

            assert_in_range(at, 1, JOBS);
            assert_false(seen[at]);
            seen[at] = true;
        }
        total += workers[i].count;
    }
    assert_int_equal(total, JOBS);
    assert_int_equal(counts_now().leased + counts_now().ready, 0);
}

/* One random operation by one of three runners or the leader; every refusal is allowed. */
static void random_step(struct rng_stream *rng, struct queue_claim claims[3], bool held[3])
{
    unsigned who = (unsigned)rng_below(rng, 3);
    struct hash job = job_of((unsigned)rng_below(rng, 6));
    struct queue_item item =
        item_of(&job, rng_below(rng, 2) != 0 ? "cpu" : "", (uint32_t)rng_below(rng, 3), 1);
    struct queue_beat beat = {.step = rng_below(rng, 50), .slot = rng_below(rng, 9)};

    switch (rng_below(rng, 11)) {
    case 0:
    case 1:
        item.not_before_ms = clock_now() + (int64_t)rng_below(rng, 3) * 200;
        (void)queue_submit(Q, RUN, EPOCH, &item, 1, NULL, E);
        break;
    case 2:
    case 3:
        bytes_fini(&claims[who].envelope);
        queue_claim_init(&claims[who]);
        held[who] = queue_claim(Q, RUN, "r", "cpu", &claims[who], E) == NERO_OK;
        break;
    case 4:
        (void)(held[who] && queue_renew(Q, &claims[who], &beat, NULL, E));
        break;
    case 5:
        (void)(held[who] && queue_release(Q, &claims[who], who == 0, "r", E));
        break;
    case 6:
        (void)(held[who] && queue_fail(Q, &claims[who], rng_below(rng, 4) == 0, "f", NULL, E));
        break;
    case 7:
        (void)(held[who] && queue_complete(Q, &claims[who], &job, E));
        break;
    case 8:
        (void)queue_cancel(Q, RUN, EPOCH, &job, NULL, E);
        break;
    case 9:
        (void)queue_retry(Q, RUN, EPOCH, NULL, NULL, E);
        (void)(held[who] && queue_pin(Q, &claims[who], "cpu", E));
        break;
    default:
        clock_advance((int64_t)rng_below(rng, 1500));
        OK(queue_reap(Q, RUN, EPOCH, NULL, E));
    }
}

static void test_queue__random_operations_keep_the_invariants(void **state)
{
    struct rng_stream rng = rng_stream(20260129, RNG_TEST, 0, 0, 0);
    struct queue_claim claims[3];
    bool held[3] = {false};

    for (int i = 0; i < 3; i++) {
        queue_claim_init(&claims[i]);
    }
    for (int i = 0; i < 3000; i++) {
        random_step(&rng, claims, held);
        if (i % 5 == 0) {
            assert_int_equal(queue_fixture_check(state), 0);
        }
    }
    reap(0, 0, 0, 0); /* nothing was ever left to repair */
    for (int i = 0; i < 3; i++) {
        queue_claim_fini(&claims[i]);
    }
}

static void test_queue__every_script_loads(void **state)
{
    (void)state;
    for (int i = 0; i < QUEUE_SCRIPT_COUNT; i++) {
        OK(queue_script_load(Q, (enum queue_script)i, E));
    }
    /* The check can fail: a script that does not compile is refused. */
    queue_use_clock(Q, "local function clock_ms( return 1 end\n");
    REFUSED(NERO_INVALID, queue_script_load(Q, QUEUE_SCRIPT_counts, E));
    queue_close(Q);
    Q = queue_fixture_open();
}
#define TEST(name) \
    cmocka_unit_test_setup_teardown(test_queue__##name, queue_fixture_empty, queue_fixture_check)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(claim_hands_over_the_job),
        TEST(order_is_priority_then_submission),
        TEST(submit_is_idempotent_and_checked),
        TEST(lanes_are_kept_apart),
        TEST(pinned_job_waits_for_its_class),
        TEST(released_job_goes_before_later_ones),
        TEST(claim_passes_over),
        TEST(delayed_until_due),
        TEST(lower_epoch_is_refused_everywhere),
        TEST(leading_again_keeps_the_counter),
        TEST(used_up_counter_needs_a_new_epoch),
        TEST(reap_repairs_what_a_hand_broke),
        TEST(pause_stops_claims_only),
        TEST(limit_bounds_what_is_under_way),
        TEST(drained_runner_gets_no_more),
        TEST(signs_of_life_fade),
        TEST(drop_leaves_nothing),
        TEST(readers_tell_what_is_there),
        TEST(events_tell_the_story_once),
        TEST(enrolment_is_bounded),
        TEST(each_job_is_claimed_by_one),
        TEST(random_operations_keep_the_invariants),
        TEST(every_script_loads),
    };

    return cmocka_run_group_tests(tests, queue_fixture_start, queue_fixture_stop);
}
