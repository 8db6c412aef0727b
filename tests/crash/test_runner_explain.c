/*
 * Goal: the story of a job that was really killed, preempted and damaged is what happened to it.
 * Method: one small training; its runner is killed at work, the next is told to go, the last slot
 * of a third is damaged after its death, a fourth ends the job. The store is all that is asked.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "explain.h"
#include "nero/clock.h"
#include "nero/layout.h"
#include "runner_world.h"

static struct world world;

static const char *const often[] = {"--once", "--checkpoint-interval", "steps:5", NULL};
static const char *const at_ease[] = {"--once", "--checkpoint-interval", "seconds:900", NULL};

static int open_world(void **state)
{
    (void)state;
    world_open(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void put_signed(const char *key, enum envelope_type type, const struct bytes *payload)
{
    struct bytes stored;
    struct nero_err err;

    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    tiny_check(envelope_seal(type, bytes_as_view(payload), &world.run.key, &stored, &err), &err,
               key);
    tiny_check(storage_put(world.store, key, bytes_as_view(&stored), &err), &err, key);
    bytes_fini(&stored);
}

/* What a scheduler writes before it queues a job, and this world does not. */
static void put_epochs_and_batch(void)
{
    struct run_batch_job job = {.job = world.job.id};
    struct run_batch batch = {.count = 1, .jobs = &job};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct nero_err err;

    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    for (uint64_t i = 1; i <= world.epoch; i++) {
        struct run_epoch epoch = {.number = i, .host = "test", .why = "start"};

        (void)snprintf(epoch.run, sizeof epoch.run, "%s", world.run.name);
        bytes_clear(&payload);
        tiny_check(run_epoch_encode(&epoch, &payload, &err), &err, "epoch");
        layout_epoch(key, world.run.name, i);
        put_signed(key, ENVELOPE_EPOCH, &payload);
    }
    (void)snprintf(batch.run, sizeof batch.run, "%s", world.run.name);
    bytes_clear(&payload);
    tiny_check(run_batch_encode(&batch, &payload, &err), &err, "batch");
    layout_batch(key, world.run.name, 0);
    put_signed(key, ENVELOPE_BATCH, &payload);
    bytes_fini(&payload);
}

/* A runner of the job, killed after its first checkpoint. */
static void kill_at_work(void)
{
    uint64_t slots = world_slot_count(&world);

    world_start(&world, 0, often);
    assert_true(world_wait_slots(&world, slots + 2));
    world_signal(&world, 0, SIGKILL);
    assert_int_equal(world_wait_end(&world, 0, 5000), -1);
    world_pass(&world, WORLD_LEASE_MS + 50); /* --once would find nothing before */
}

/* One that is told to go within an epoch, of which nothing has been committed. */
static void preempt(void)
{
    world_start(&world, 0, at_ease);
    assert_true(world_wait_log(&world, 0, "epoch.ended"));
    world_signal(&world, 0, SIGTERM);
    assert_int_equal(world_wait_end(&world, 0, 30000), 75);
}

static void test_runner_explain__tells_what_really_happened(void **state)
{
    struct explain story;
    struct nero_err err;
    char slot[LAYOUT_KEY_BYTES];
    uint64_t damaged;

    (void)state;
    world_begin_run(&world, "epochs:8", NULL);
    put_epochs_and_batch();
    kill_at_work();
    preempt();
    kill_at_work();
    damaged = world_slot_count(&world) - 1;
    layout_slot(slot, world.run.name, &world.job.id, damaged);
    tiny_damage(world.store, slot, false);
    world_start(&world, 0, often);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);

    tiny_check(explain_job(world.store, world.run.name, &world.job.id, &world.run.root.public_key,
                           false, &story, &err),
               &err, "explain");
    assert_int_equal(story.report.finding_count, 1); /* the damage, and nothing else */
    assert_string_equal(story.report.findings[0].artifact, slot);
    assert_int_equal(story.attempt_count, 4);
    assert_string_equal(explain_end_name(&story, 0), "lost");
    assert_string_equal(explain_end_name(&story, 1), "preempted");
    assert_string_equal(explain_end_name(&story, 2), "lost");
    assert_string_equal(explain_end_name(&story, 3), "final");
    assert_false(story.events[damaged].valid);
    assert_true(story.terminal->has_outcome);
    assert_int_equal(story.terminal->number, story.event_count - 1);
    assert_int_equal(story.totals.damaged, 1);
    assert_int_equal(story.totals.preempted, 1);
    assert_int_equal(story.totals.lost, 2);
    assert_true(story.totals.seconds_lost_at_most >= WORLD_LEASE_MS * 1e-3);
    assert_true(story.totals.seconds_trained > 0);
    explain_fini(&story);
    world_end_run(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runner_explain__tells_what_really_happened),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
