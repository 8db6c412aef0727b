/*
 * Goal: the heartbeat keeps a lease exactly while there is life, brings orders and losses, and its
 * note has the form that the scheduler shows. Method: a private Redis, leases of 300 ms, the
 * scheduler's side in the test.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/redis_child.h"
#include "runner_beat.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_run.h"

enum { LEASE_MS = 300 };

struct world {
    char folder[TEMP_FOLDER_BYTES];
    struct redis_child *redis;
    struct queue *queue;
    struct hash job;
    struct queue_claim claim;
    struct runner_beat *beat;
};

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct queue_item item = {.envelope = bytes_view_str("job"), .numeric_class = ""};
    struct nero_err err = {0};

    assert_non_null(world);
    assert_int_equal(temp_folder_make(world->folder, NULL), 0);
    tiny_check(redis_child_start(world->folder, &world->redis, &err), &err, "redis");
    tiny_check(queue_open(redis_child_url(world->redis), &world->queue, &err), &err, "queue");
    tiny_check(queue_lead(world->queue, "r", 1, LEASE_MS, &err), &err, "lead");
    item.job = world->job = hash_of(bytes_view_str("job"));
    tiny_check(queue_submit(world->queue, "r", 1, &item, 1, NULL, &err), &err, "submit");
    queue_claim_init(&world->claim);
    tiny_check(queue_claim(world->queue, "r", "runner", "c", &world->claim, &err), &err, "claim");
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;

    runner_beat_stop(world->beat);
    queue_claim_fini(&world->claim);
    queue_close(world->queue);
    redis_child_stop(world->redis);
    temp_folder_remove(world->folder);
    free(world);
    return 0;
}

static void start(struct world *world, int64_t stall_ms)
{
    struct runner_beat_options options = {.redis_url = redis_child_url(world->redis),
                                          .runner = "runner",
                                          .host = "host",
                                          .numeric_class = "c",
                                          .pin = true,
                                          .beat_ms = 30,
                                          .stall_ms = stall_ms,
                                          .clock = clock_system()};
    struct nero_err err = {0};

    tiny_check(runner_beat_start(&options, &world->claim, &world->beat, &err), &err, "beat");
}

/* Let time pass with the scheduler reaping, and with signs of life or without. */
static void pass(struct world *world, int64_t ms, bool alive)
{
    int64_t end_ns = clock_mono_ns(clock_system()) + ms * 1000000;

    while (clock_mono_ns(clock_system()) < end_ns) {
        struct queue_reaped reaped;
        struct nero_err err = {0};

        tiny_check(queue_reap(world->queue, "r", 1, &reaped, &err), &err, "reap");
        if (alive) {
            runner_beat_touch(world->beat);
        }
        clock_sleep_ms(clock_system(), 10);
    }
}

static const char *job_state(struct world *world, struct queue_job_info *info)
{
    struct nero_err err = {0};

    tiny_check(queue_job_info(world->queue, "r", &world->job, info, &err), &err, "info");
    return info->state;
}

static void test_runner_beat__keeps_the_lease_while_there_is_life(void **state)
{
    struct world *world = *state;
    struct queue_job_info info;

    start(world, 200);
    pass(world, 3 * LEASE_MS, true);
    assert_string_equal(job_state(world, &info), "leased");
    assert_int_equal(info.lost_leases, 0);
    pass(world, 200 + 2 * LEASE_MS, false); /* a hung device */
    assert_string_equal(job_state(world, &info), "ready");
    assert_int_equal(info.lost_leases, 1);
}

static void test_runner_beat__takes_the_lease_up_again_after_a_stall(void **state)
{
    struct world *world = *state;
    struct queue_job_info info;
    struct runner_beat_view view;

    start(world, 100);
    pass(world, 100 + 2 * LEASE_MS, false);
    assert_string_equal(job_state(world, &info), "ready");
    pass(world, LEASE_MS, true);
    assert_string_equal(job_state(world, &info), "leased");
    runner_beat_look(world->beat, &view);
    assert_false(view.lost);
}

static void test_runner_beat__tells_that_another_has_it(void **state)
{
    struct world *world = *state;
    struct runner_beat_view view;
    struct queue_claim other;
    struct nero_err err = {0};

    start(world, 100);
    pass(world, 100 + 2 * LEASE_MS, false);
    queue_claim_init(&other);
    tiny_check(queue_claim(world->queue, "r", "other", "c", &other, &err), &err, "claim");
    runner_beat_touch(world->beat);
    clock_sleep_ms(clock_system(), 150);
    runner_beat_look(world->beat, &view);
    assert_true(view.lost);
    queue_claim_fini(&other);
}

static void test_runner_beat__brings_orders_once(void **state)
{
    struct world *world = *state;
    struct runner_beat_view view;
    struct nero_err err = {0};
    bool was_leased;

    start(world, 10000);
    tiny_check(queue_tell(world->queue, "r", 1, NULL, QUEUE_CHECKPOINT_NOW, NULL, &err), &err,
               "tell");
    pass(world, 100, true);
    runner_beat_look(world->beat, &view);
    assert_true(view.checkpoint_now);
    assert_false(view.cancel || view.drain || view.lost);
    pass(world, 100, true);
    runner_beat_look(world->beat, &view);
    assert_false(view.checkpoint_now);
    tiny_check(queue_tell(world->queue, "r", 1, NULL, QUEUE_DRAIN, NULL, &err), &err, "tell");
    pass(world, 100, true);
    runner_beat_look(world->beat, &view);
    assert_true(view.drain);
    tiny_check(queue_cancel(world->queue, "r", 1, &world->job, &was_leased, &err), &err, "cancel");
    pass(world, 100, true);
    runner_beat_look(world->beat, &view);
    assert_true(view.cancel);
}

static void test_runner_beat__carries_the_report_and_pins_the_class(void **state)
{
    struct world *world = *state;
    struct runner_beat_report report = {.units = 7,
                                        .slot = 3,
                                        .phase = PROGRESS_CONTROL,
                                        .epoch = 2,
                                        .epochs = 9,
                                        .step = 40,
                                        .steps = 50,
                                        .loss = 1.25,
                                        .accuracy = 0.5,
                                        .images_per_second = 1000,
                                        .seconds_left = 12};
    struct queue_job_info info;

    start(world, 10000);
    runner_beat_tell(world->beat, &report);
    pass(world, 100, true);
    (void)job_state(world, &info);
    assert_string_equal(info.note, "epoch=2/9 step=40/50 loss=1.25 acc=0.5000 ips=1000.0 left=12 "
                                   "phase=control");
    assert_string_equal(info.numeric_class, ""); /* no checkpoint yet */
    report.committed = 6;
    runner_beat_tell(world->beat, &report);
    pass(world, 100, true);
    (void)job_state(world, &info);
    assert_string_equal(info.numeric_class, "c");
    assert_int_equal(info.step, 6);
    assert_int_equal(info.slot, 3);
}

static void test_runner_beat__note_says_what_is_not_known(void **state)
{
    struct runner_beat_report report = {.phase = PROGRESS_TRAIN,
                                        .epochs = UINT32_MAX,
                                        .step = UINT32_MAX,
                                        .steps = UINT32_MAX,
                                        .epoch = UINT32_MAX,
                                        .loss = -1e300,
                                        .accuracy = (double)NAN,
                                        .images_per_second = 1e12,
                                        .seconds_left = -7};
    char note[RUNNER_BEAT_NOTE_BYTES];

    (void)state;
    runner_beat_note(&report, note);
    assert_non_null(strstr(note, "acc=nan"));
    assert_non_null(strstr(note, "left=-1 "));
    assert_non_null(strstr(note, "phase=train"));
}

/* Redis is stopped and started: the thread waits it out, the main thread notices nothing. */
static void test_runner_beat__waits_an_outage_out(void **state)
{
    struct world *world = *state;
    struct queue_job_info info;
    struct runner_beat_view view;
    struct nero_err err = {0};
    bool restarted = false;

    start(world, 10000);
    pass(world, 100, true);
    assert_int_equal(kill(redis_child_pid(world->redis), SIGKILL), 0);
    clock_sleep_ms(clock_system(), 200);
    runner_beat_look(world->beat, &view);
    assert_false(view.lost);
    tiny_check(redis_child_check(world->redis, &restarted, &err), &err, "restart");
    assert_true(restarted);
    for (int i = 0; i < 100; i++) { /* the test's own connection comes back by itself */
        if (queue_job_info(world->queue, "r", &world->job, &info, &err) == NERO_OK) {
            break;
        }
        clock_sleep_ms(clock_system(), 20);
    }
    clock_sleep_ms(clock_system(), 700);
    assert_string_equal(job_state(world, &info), "leased");
    assert_true(info.lease_left_ms > 0);
    runner_beat_look(world->beat, &view);
    assert_false(view.lost);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        CASE(test_runner_beat__keeps_the_lease_while_there_is_life),
        CASE(test_runner_beat__takes_the_lease_up_again_after_a_stall),
        CASE(test_runner_beat__tells_that_another_has_it),
        CASE(test_runner_beat__brings_orders_once),
        CASE(test_runner_beat__carries_the_report_and_pins_the_class),
        cmocka_unit_test(test_runner_beat__note_says_what_is_not_known),
        CASE(test_runner_beat__waits_an_outage_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
