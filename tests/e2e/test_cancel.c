/*
 * Goal: cancelling ends every unfinished job, however many there are, in the bucket before the
 * queue, so that a scheduler that dies in between leaves nothing that is worked on again. Method: a
 * fabricated run of many lineages, the real search and a real Redis, which refuses it at first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit_world.h"
#include "nero/queue.h"
#include "search.h"
#include "tests/support/test_redis.h"

enum { LINEAGES = 280, JOBS = 2 * LINEAGES };

static struct test_redis redis;
static struct queue *queue;
static struct lead lead;
static struct search *search;
static struct nero_err err;

#define OK(call)                         \
    do {                                 \
        if ((call) != NERO_OK) {         \
            fail_msg("%s", err.message); \
        }                                \
    } while (0)

static int setup(void **state)
{
    struct fabricate_options options = fabricate_defaults();

    (void)state;
    options.lineages = LINEAGES;
    options.close = 0; /* proposed, and nothing done */
    options.score_test = false;
    if (temp_folder_make(world.folder, NULL) != 0) {
        return -1;
    }
    fabricate_run(&world.run, world.folder, "made-up", &options);
    test_redis_start(&redis);
    return queue_open(redis_child_url(redis.child), &queue, &err) == NERO_OK ? 0 : -1;
}

static int teardown(void **state)
{
    queue_close(queue);
    test_redis_stop(&redis);
    return audit_world_teardown(state);
}

/* Lead, and queue what is there, as a scheduler does. */
static void open_search(bool reopen)
{
    lead = (struct lead){.store = world.run.store,
                         .queue = queue,
                         .run = world.run.name,
                         .run_key = &world.run.run_key,
                         .lease_ms = 60000,
                         .alive_ms = 60000,
                         .window_bytes = BACKLOG_WINDOW_BYTES_DEFAULT};
    OK(lead_take(&lead, "start", &err));
    OK(search_open(&lead, reopen, NULL, &search, &err));
    OK(search_tick(search, &err));
}

static struct queue_counts counts(void)
{
    struct queue_counts out;

    OK(queue_counts(queue, world.run.name, &out, &err));
    return out;
}

/* How many of the jobs have a `cancelled` slot in force. */
static uint32_t cancelled(void)
{
    struct backlog *backlog;
    uint32_t count = 0;

    OK(backlog_open(world.run.store, world.run.trust, &backlog, &err));
    assert_true(backlog_count(backlog) > GENERATION_MEMBERS_MAX); /* more than one list holds */
    assert_int_equal(backlog_count(backlog), JOBS);
    for (size_t i = 0; i < JOBS; i++) {
        struct submission_look look = {.state = SUBMISSION_OPEN};

        result_init(&look.result);
        OK(submission_look(&world.run.submission, &backlog_at(backlog, i)->job, NULL, &look, &err));
        count += look.state == SUBMISSION_CANCELLED;
        result_fini(&look.result);
    }
    backlog_close(backlog);
    return count;
}

/* Another has taken the lead in Redis, as far as that can be told: its scripts refuse this one. */
static void test_cancel__writes_the_bucket_first(void **state)
{
    (void)state;
    open_search(false);
    assert_int_equal(counts().ready, JOBS);
    OK(queue_lead(queue, world.run.name, lead.epoch + 1, lead.lease_ms, &err));
    assert_int_equal(search_cancel(search, "not wanted", &err), NERO_STALE);
    search_close(search);
    assert_int_equal(cancelled(), 1);
    assert_int_equal(counts().ready, JOBS);
}

/* Cancelled again after such an end, while a runner is at work. */
static void test_cancel__ends_every_job(void **state)
{
    struct queue_claim claim;
    struct queue_beat beat = {.note = ""};
    enum queue_control control = QUEUE_CONTINUE;

    (void)state;
    queue_claim_init(&claim);
    open_search(true);
    OK(queue_claim(queue, world.run.name, "runner", "", &claim, &err));
    OK(search_cancel(search, "not wanted", &err));
    assert_int_equal(cancelled(), JOBS);
    assert_int_equal(counts().ready, 0);
    assert_int_equal(counts().leased, 1);
    OK(queue_renew(queue, &claim, &beat, &control, &err));
    assert_int_equal(control, QUEUE_CANCEL);
    OK(queue_release(queue, &claim, false, "cancelled", &err));
    assert_int_equal(counts().leased, 0);
    OK(search_cancel(search, "not wanted", &err)); /* nothing is left to do */
    search_close(search);
    queue_claim_fini(&claim);
    audit_world_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel__writes_the_bucket_first),
        cmocka_unit_test(test_cancel__ends_every_job),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
