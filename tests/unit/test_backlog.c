/*
 * Goal: what enters Redis from the bucket: order, window, held jobs, nothing lost and nothing done
 * twice, whatever Redis forgets and whichever call of the store fails; and that a comparison names
 * every difference. Method: a real redis-server, a store in memory with faults, real chains.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/compare.h"
#include "nero/layout.h"
#include "queue_script.h"
#include "tests/support/backlog_world.h"

enum { WIDE = 64 * 1024 * 1024 };

static unsigned number_of(const struct hash *job, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        struct hash id = backlog_world_id(n);

        if (hash_equal(&id, job)) {
            return n;
        }
    }
    fail_msg("an unknown job");
    return 0;
}

static void complete(const struct queue_claim *claim)
{
    struct hash slot = backlog_world_id(99999);

    OK(queue_complete(world.queue, claim, &slot, E));
}

/* ---- order ---- */

static void test_backlog__order_and_priority_survive_a_flush(void **state)
{
    static const struct {
        unsigned first, count;
        uint32_t priority;
    } batches[] = {{0, 30, 3}, {30, 1, 0}, {31, 20, 3}, {51, 9, 511}, {60, 12, 0}};
    unsigned expected[72];
    unsigned count = 0;
    struct queue_claim claim;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        backlog_world_submit(batches[i].first, batches[i].count, 100, batches[i].priority, 0);
    }
    for (uint32_t priority = 0; priority < QUEUE_PRIORITIES; priority++) {
        for (size_t i = 0; i < 5; i++) {
            for (unsigned n = 0; batches[i].priority == priority && n < batches[i].count; n++) {
                expected[count++] = batches[i].first + n;
            }
        }
    }
    assert_int_equal(count, 72);
    assert_int_equal(backlog_world_fill(WIDE), 72);
    backlog_world_lose_redis();
    assert_int_equal(backlog_world_counts().ready, 0);
    assert_int_equal(backlog_world_fill(WIDE), 72);
    for (unsigned i = 0; i < 72; i++) {
        assert_true(backlog_world_claim(&claim));
        assert_int_equal(number_of(&claim.job, 72), expected[i]);
    }
    assert_false(backlog_world_claim(&claim));
}

static void test_backlog__what_is_recorded_twice_counts_once(void **state)
{
    struct run_batch_job twice[2] = {{.job = backlog_world_id(50)}, {.job = backlog_world_id(50)}};

    (void)state;
    backlog_world_submit(0, 10, 100, 0, 0);
    backlog_world_submit(5, 10, 100, 7, 0);
    OK(backlog_record(world.backlog, &world.run.key, twice, 2, E)); /* in one call, too */
    assert_int_equal(backlog_count(world.backlog), 16);
    assert_int_equal(backlog_at(world.backlog, 5)->priority, 0);
    assert_int_equal(backlog_at(world.backlog, 14)->order, RUN_BATCH_JOBS_MAX + 4);
    backlog_world_reopen();
    assert_int_equal(backlog_count(world.backlog), 16);
    assert_int_equal(backlog_at(world.backlog, 14)->order, RUN_BATCH_JOBS_MAX + 4);
    assert_int_equal(backlog_waiting(world.backlog), 16);
}

/* More than one batch holds; and a batch that another leader wrote in between. */
static void test_backlog__batches_of_a_former_leader_are_read_in(void **state)
{
    struct backlog *ours = world.backlog;
    struct backlog *theirs;

    (void)state;
    OK(backlog_open(world.store, world.trust, &theirs, E));
    world.backlog = theirs;
    backlog_world_submit(0, 5, 100, 0, 0);
    world.backlog = ours;
    backlog_world_submit(3, RUN_BATCH_JOBS_MAX + 200, 40, 0, 0);
    assert_int_equal(backlog_count(ours), RUN_BATCH_JOBS_MAX + 203);
    assert_int_equal(backlog_at(ours, 0)->order, 0);
    assert_int_equal(backlog_at(ours, 5)->order, RUN_BATCH_JOBS_MAX);
    backlog_close(theirs);
    backlog_world_reopen();
    assert_int_equal(backlog_count(world.backlog), RUN_BATCH_JOBS_MAX + 203);
}

/* ---- the window ---- */

static void test_backlog__window_bounds_redis_and_each_job_is_done_once(void **state)
{
    enum { JOBS = 600, BYTES = 1000, WINDOW = 32 * 1024 };
    unsigned done[JOBS] = {0};
    uint64_t most = 0;
    unsigned next = 0;
    struct queue_claim claim;

    (void)state;
    backlog_world_submit(0, JOBS, BYTES, 0, 0);
    while (next < JOBS) {
        struct queue_counts counts;

        (void)backlog_world_fill(WINDOW);
        counts = backlog_world_counts();
        assert_true(counts.envelope_bytes <= WINDOW);
        assert_true(counts.envelope_bytes > 0);
        most = counts.envelope_bytes > most ? counts.envelope_bytes : most;
        for (int i = 0; i < 5 && backlog_world_claim(&claim); i++) {
            unsigned n = number_of(&claim.job, JOBS);

            assert_int_equal(n, next); /* the window moves along the order */
            next++;
            done[n]++;
            complete(&claim);
        }
    }
    for (unsigned n = 0; n < JOBS; n++) {
        assert_int_equal(done[n], 1);
    }
    assert_int_equal(backlog_world_fill(WINDOW), 0);
    assert_int_equal(backlog_world_counts().ready, 0);
    assert_true(most > WINDOW / 4 * 3); /* and it is used */
}

static void test_backlog__a_job_larger_than_the_window_is_queued_alone(void **state)
{
    struct queue_claim claim;

    (void)state;
    backlog_world_submit(0, 3, 5000, 0, 0);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(backlog_world_fill(1000), 1);
        assert_true(backlog_world_claim(&claim));
        assert_int_equal(number_of(&claim.job, 3), n);
        complete(&claim);
    }
    assert_int_equal(backlog_waiting(world.backlog), 0);
}

static void test_backlog__urgent_jobs_enter_a_full_window_first(void **state)
{
    struct queue_claim claim;

    (void)state;
    backlog_world_submit(0, 100, 1000, 5, 0);
    (void)backlog_world_fill(8 * 1024);
    backlog_world_submit(100, 2, 1000, 1, 0);
    while (backlog_waiting(world.backlog) == 0 || backlog_world_fill(8 * 1024) == 0) {
        assert_true(backlog_world_claim(&claim));
        complete(&claim);
    }
    assert_true(backlog_world_claim(&claim));
    assert_int_equal(number_of(&claim.job, 102), 100);
}

static long long info_number(const char *section, const char *name)
{
    const char *argv[] = {"INFO", section};
    redisReply *reply;
    const char *at;
    long long value;

    OK(queue_plain(world.queue, 2, argv, 0, &reply, E));
    at = strstr(reply->str, name);
    assert_non_null(at);
    value = strtoll(at + strlen(name), NULL, 10);
    freeReplyObject(reply);
    return value;
}

/* DESIGN 7: the job's envelope is in Redis, and at most 1 KB beside it. */
static void test_backlog__a_queued_job_takes_a_kilobyte_beside_its_envelope(void **state)
{
    enum { JOBS = 2000 };
    long long before;
    long long beside;

    (void)state;
    backlog_world_submit(0, JOBS, 1500, 0, 0);
    (void)info_number("memory", "used_memory:");
    before = info_number("memory", "used_memory:");
    assert_int_equal(backlog_world_fill(WIDE), JOBS);
    beside = (info_number("memory", "used_memory:") - before -
              (long long)backlog_world_counts().envelope_bytes) /
             JOBS;
    print_message("Redis keeps %lld bytes a job beside its envelope\n", beside);
    assert_true(beside > 0);
    assert_true(beside <= 1024);
}

/* ---- delayed and begun jobs ---- */

static void test_backlog__delayed_jobs_survive_and_late_ones_wait_outside(void **state)
{
    int64_t now_ms = backlog_world_counts().redis_ms;

    (void)state;
    backlog_world_submit(0, 1, 100, 0, now_ms + 30000);
    backlog_world_submit(1, 1, 100, 0, now_ms + 3600000);
    backlog_world_submit(2, 1, 100, 0, now_ms - 5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(backlog_world_fill(WIDE), 2);
        backlog_world_state_is(0, "delayed");
        backlog_world_state_is(1, ""); /* no room is taken from jobs that could run */
        backlog_world_state_is(2, "ready");
        backlog_world_lose_redis();
    }
}

static void test_backlog__begun_jobs_wait_for_their_runner(void **state)
{
    struct queue_claim claims[2];
    struct queue_claim other;
    struct queue_beat beat = {.note = NULL};
    int64_t start_ns;

    (void)state;
    backlog_world_submit(0, 3, 100, 0, 0);
    (void)backlog_world_fill(WIDE);
    for (unsigned n = 0; n < 2; n++) {
        assert_true(backlog_world_claim(&claims[n]));
        backlog_world_takeover(n, claims[n].token, claims[n].nonce);
    }
    backlog_world_lose_redis();
    start_ns = clock_mono_ns(clock_system());
    assert_int_equal(backlog_world_fill(WIDE), 3);
    backlog_world_state_is(0, "delayed");
    backlog_world_state_is(1, "delayed");
    assert_true(backlog_world_claim(&other)); /* the one that nobody had begun */
    assert_int_equal(number_of(&other.job, 3), 2);
    /* Runner 0 lives: its next heartbeat makes the job its own, and nobody else gets it. */
    OK(queue_renew(world.queue, &claims[0], &beat, NULL, E));
    backlog_world_state_is(0, "leased");
    /* Runner 1 is dead: after a lease another goes on. */
    while (!backlog_world_claim(&other)) {
        assert_true(clock_seconds_since(clock_system(), start_ns) < 30);
        OK(queue_renew(world.queue, &claims[0], &beat, NULL, E));
        clock_sleep_ms(clock_system(), 20);
    }
    assert_int_equal(number_of(&other.job, 3), 1);
    assert_true(clock_seconds_since(clock_system(), start_ns) * 1000 >= BACKLOG_WORLD_LEASE_MS);
    assert_true(other.token > claims[1].token);
}

static struct queue_job_info job_info(unsigned n)
{
    struct hash job = backlog_world_id(n);
    struct queue_job_info info;

    OK(queue_job_info(world.queue, world.run.name, &job, &info, E));
    return info;
}

/* A job that ends whoever takes it is not forgotten for what it is when Redis forgets. */
static void test_backlog__lost_leases_are_counted_again(void **state)
{
    struct queue_claim claim;
    int64_t start_ns = clock_mono_ns(clock_system());

    (void)state;
    backlog_world_submit(0, 2, 100, 0, 0);
    (void)backlog_world_fill(WIDE);
    for (uint64_t n = 1; n <= 4; n++) {
        backlog_world_takeover(0, n, n);
    }
    for (uint64_t n = 1; n <= QUEUE_LOST_LEASES_MAX + 3; n++) {
        backlog_world_takeover(1, n, n);
    }
    backlog_world_lose_redis();
    assert_int_equal(backlog_world_fill(WIDE), 2);
    assert_int_equal(job_info(0).lost_leases, 3); /* the fourth may live */
    assert_int_equal(job_info(1).lost_leases, QUEUE_LOST_LEASES_MAX - 1);
    backlog_world_state_is(1, "delayed"); /* not parked by counting: by the next loss */
    while (!backlog_world_claim(&claim) || number_of(&claim.job, 2) != 1) {
        assert_true(clock_seconds_since(clock_system(), start_ns) < 30);
        clock_sleep_ms(clock_system(), 20);
    }
    assert_int_equal(claim.lost_leases, QUEUE_LOST_LEASES_MAX - 1);
    while (strcmp(job_info(1).state, "parked") != 0) {
        assert_true(clock_seconds_since(clock_system(), start_ns) < 30);
        OK(queue_reap(world.queue, world.run.name, world.epoch, NULL, E));
        clock_sleep_ms(clock_system(), 20);
    }
}

/* ---- ended jobs ---- */

static void test_backlog__ended_jobs_are_not_queued_again(void **state)
{
    struct hash first = backlog_world_id(0);
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    backlog_world_submit(0, 20, 100, 0, 0); /* enough for threads to read */
    layout_result(key, world.run.name, &first);
    OK(storage_put(world.store, key, bytes_view_str("the final slot's copy"), E));
    backlog_world_slot(1, SLOT_FAILED, 0, 0);
    backlog_world_slot(2, SLOT_CANCELLED, 0, 0);
    backlog_world_slot(3, SLOT_FAILED, 0, 0);
    backlog_world_slot(3, SLOT_REOPENED, 0, 0);
    backlog_world_lose_redis();
    assert_int_equal(backlog_world_fill(WIDE), 17);
    backlog_world_state_is(0, "");
    backlog_world_state_is(1, "");
    backlog_world_state_is(2, "");
    backlog_world_state_is(3, "ready"); /* nobody holds it: at once */
    assert_int_equal(backlog_find(world.backlog, &first)->state, BACKLOG_DONE);
    /* The list of results has no authority: one who read the chain says otherwise. */
    backlog_note_open(world.backlog, &first, false, 0);
    assert_int_equal(backlog_world_fill(WIDE), 1);
    backlog_world_state_is(0, "ready");
}

static struct queue_item strange_item(const struct hash *job)
{
    return (struct queue_item){
        .job = *job, .envelope = bytes_view_str("strange"), .numeric_class = ""};
}

static void test_backlog__meeting_leaves_what_is_right(void **state)
{
    struct hash strange = backlog_world_id(77);
    struct queue_item item = strange_item(&strange);
    struct hash job;
    struct queue_claim claim;
    uint32_t removed;

    (void)state;
    backlog_world_submit(0, 6, 100, 0, 0);
    (void)backlog_world_fill(WIDE);
    assert_true(backlog_world_claim(&claim)); /* 0 is under way */
    OK(queue_submit(world.queue, world.run.name, world.epoch, &item, 1, NULL, E));
    job = backlog_world_id(4);
    OK(queue_finish(world.queue, world.run.name, world.epoch, &job, E)); /* forgotten by Redis */
    {
        char key[LAYOUT_KEY_BYTES];

        job = backlog_world_id(5);
        layout_result(key, world.run.name, &job);
        OK(storage_put(world.store, key, bytes_view_str("copy"), E));
    }
    backlog_world_reopen();
    OK(backlog_meet(world.backlog, world.queue, world.epoch, &removed, E));
    assert_int_equal(removed, 2);
    assert_int_equal(backlog_waiting(world.backlog), 1);
    backlog_world_state_is(77, "");
    backlog_world_state_is(5, "");
    backlog_world_state_is(0, "leased");
    assert_int_equal(backlog_world_fill(WIDE), 1);
    backlog_world_state_is(4, "ready");
    assert_int_equal(backlog_world_counts().leased, 1);
    assert_int_equal(backlog_world_counts().ready, 4);
}

static void test_backlog__an_unknown_run_is_said(void **state)
{
    struct backlog_fill fill = {.run = world.run.name, .epoch = 1, .window_bytes = WIDE};

    (void)state;
    backlog_world_submit(0, 3, 100, 0, 0);
    OK(queue_drop(world.queue, world.run.name, 1, E));
    REFUSED(NERO_NOT_FOUND, backlog_fill(world.backlog, world.queue, &fill, NULL, E));
    OK(queue_lead(world.queue, world.run.name, 2, BACKLOG_WORLD_LEASE_MS, E));
    REFUSED(NERO_STALE, backlog_fill(world.backlog, world.queue, &fill, NULL, E));
    assert_int_equal(backlog_waiting(world.backlog), 3);
}

static void test_backlog__damage_is_named(void **state)
{
    struct hash job = backlog_world_id(2);
    struct backlog_fill fill = {.run = world.run.name, .epoch = 1, .window_bytes = WIDE};
    struct backlog *other = NULL;
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    backlog_world_submit(0, 3, 100, 0, 0);
    layout_spec(key, world.run.name, &job);
    OK(storage_remove(world.store, key, E));
    REFUSED(NERO_CORRUPT, backlog_fill(world.backlog, world.queue, &fill, NULL, E));
    assert_non_null(strstr(world.err.message, "spec"));
    layout_batch(key, world.run.name, 0);
    tiny_damage(world.store, key, false);
    assert_int_not_equal(backlog_open(world.store, world.trust, &other, E), NERO_OK);
    assert_null(other);
    assert_non_null(strstr(world.err.message, "batch 0"));
}

/* Fail the N-th call of the store, for each N, then do it again without a failure. */
static void test_backlog__every_call_of_the_store_may_fail(void **state)
{
    uint64_t fired = 1;

    (void)state;
    backlog_world_submit(0, 30, 100, 0, 0);
    backlog_world_takeover(3, UINT64_C(1) << 32 | 5, 1);
    for (uint64_t nth = 1; fired > 0; nth++) {
        struct backlog_fill fill = {
            .run = world.run.name, .window_bytes = WIDE, .lease_ms = BACKLOG_WORLD_LEASE_MS};
        struct storage_fault_plan plan = {.nth = nth, .status = NERO_UNAVAILABLE};
        enum nero_status status;

        backlog_world_lose_redis();
        fill.epoch = world.epoch;
        storage_fault_set(world.control, plan);
        status = backlog_fill(world.backlog, world.queue, &fill, NULL, E);
        fired = storage_fault_fired(world.control);
        storage_fault_set(world.control, (struct storage_fault_plan){.nth = 0});
        assert_int_equal(status, fired > 0 ? NERO_UNAVAILABLE : NERO_OK);
        (void)backlog_world_fill(WIDE);
        assert_int_equal(backlog_world_counts().ready, 29);
        assert_int_equal(backlog_world_counts().delayed, 1);
    }
}

/* ---- comparing ---- */

struct told {
    unsigned count;
    struct compare_difference differences[32];
};

static enum nero_status note(void *context, const struct compare_difference *difference,
                             struct nero_err *err)
{
    struct told *told = context;

    (void)err;
    assert_true(told->count < 32);
    told->differences[told->count++] = *difference;
    return NERO_OK;
}

static struct compare_result compare(struct told *told)
{
    struct compare_result result;

    told->count = 0;
    backlog_world_reopen();
    OK(compare_queue(world.backlog, world.queue, world.run.name, NULL, note, told, &result, E));
    assert_int_equal(result.differences, told->count);
    return result;
}

static void is_told(const struct told *told, unsigned n, enum compare_kind kind)
{
    struct hash job = backlog_world_id(n);

    for (unsigned i = 0; i < told->count; i++) {
        if (hash_equal(&told->differences[i].job, &job)) {
            assert_string_equal(compare_kind_name(told->differences[i].kind),
                                compare_kind_name(kind));
            return;
        }
    }
    fail_msg("nothing is told of job %u", n);
}

static void change(unsigned n, const char *field, const char *value)
{
    struct hash job = backlog_world_id(n);
    char key[192];
    char hex[HASH_HEX_BYTES];
    const char *argv[] = {"HSET", key, field, value};
    redisReply *reply;

    hash_to_hex(hex, &job);
    (void)snprintf(key, sizeof key, "n:{%s}:job:%s", world.run.name, hex);
    OK(queue_plain(world.queue, 4, argv, 0, &reply, E));
    freeReplyObject(reply);
}

static void test_backlog__comparing_names_every_difference(void **state)
{
    struct hash strange = backlog_world_id(77);
    struct queue_item item = strange_item(&strange);
    struct hash job = backlog_world_id(1);
    struct queue_claim claim;
    struct told told;
    struct compare_result result;

    (void)state;
    backlog_world_submit(0, 30, 100, 2, 0);
    (void)backlog_world_fill(WIDE);
    assert_true(backlog_world_claim(&claim)); /* being worked on is no difference */
    result = compare(&told);
    assert_int_equal(result.differences, 0);
    assert_int_equal(result.submitted, 30);
    assert_int_equal(result.unfinished, 30);
    assert_int_equal(result.known, 30);
    OK(queue_finish(world.queue, world.run.name, world.epoch, &job, E));
    backlog_world_slot(2, SLOT_CANCELLED, 0, 0);
    OK(queue_submit(world.queue, world.run.name, world.epoch, &item, 1, NULL, E));
    change(3, "score", "3");
    change(4, "env", "forged");
    result = compare(&told);
    assert_int_equal(told.count, 5);
    is_told(&told, 1, COMPARE_MISSING);
    is_told(&told, 2, COMPARE_ENDED);
    is_told(&told, 77, COMPARE_STRANGE);
    is_told(&told, 3, COMPARE_PLACE);
    is_told(&told, 4, COMPARE_ENVELOPE);
    assert_int_equal(result.unfinished, 29);
    /* Nothing at all in Redis. */
    OK(queue_drop(world.queue, world.run.name, world.epoch, E));
    result = compare(&told);
    assert_int_equal(told.count, 29);
    assert_int_equal(result.known, 0);
}

/* What waits for room is no difference, and neither is a queue beside that holds less. */
static void test_backlog__comparing_knows_of_the_window(void **state)
{
    struct queue_leader leader = {.name = "me", .alive_ms = 60000, .window_bytes = 8 * 1024};
    struct backlog_fill fill = {.run = "beside", .epoch = 1, .window_bytes = 4 * 1024};
    struct told told = {.count = 0};
    struct compare_result result;

    (void)state;
    backlog_world_submit(0, 60, 1000, 0, 0);
    OK(queue_stay(world.queue, world.run.name, world.epoch, &leader, E));
    (void)backlog_world_fill(leader.window_bytes);
    result = compare(&told);
    assert_int_equal(result.differences, 0);
    assert_int_equal(result.unfinished, 60);
    assert_true(result.known < 10);
    OK(queue_lead_hidden(world.queue, "beside", 1, 1000, E));
    OK(backlog_fill(world.backlog, world.queue, &fill, NULL, E));
    OK(compare_queue(world.backlog, world.queue, world.run.name, "beside", note, &told, &result,
                     E));
    assert_int_equal(result.differences, 0);
    change(1, "score", "99");
    OK(compare_queue(world.backlog, world.queue, world.run.name, "beside", note, &told, &result,
                     E));
    assert_int_equal(told.count, 1);
    is_told(&told, 1, COMPARE_PLACE);
    OK(queue_drop(world.queue, "beside", 1, E));
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(test_backlog__##name, backlog_world_make, backlog_world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(order_and_priority_survive_a_flush),
        TEST(what_is_recorded_twice_counts_once),
        TEST(batches_of_a_former_leader_are_read_in),
        TEST(window_bounds_redis_and_each_job_is_done_once),
        TEST(a_job_larger_than_the_window_is_queued_alone),
        TEST(urgent_jobs_enter_a_full_window_first),
        TEST(a_queued_job_takes_a_kilobyte_beside_its_envelope),
        TEST(delayed_jobs_survive_and_late_ones_wait_outside),
        TEST(begun_jobs_wait_for_their_runner),
        TEST(lost_leases_are_counted_again),
        TEST(ended_jobs_are_not_queued_again),
        TEST(meeting_leaves_what_is_right),
        TEST(an_unknown_run_is_said),
        TEST(damage_is_named),
        TEST(every_call_of_the_store_may_fail),
        TEST(comparing_names_every_difference),
        TEST(comparing_knows_of_the_window),
    };

    return cmocka_run_group_tests(tests, backlog_world_start, backlog_world_stop);
}
