/*
 * Goal: a checkpoint is there wholly or not at all; restoring takes the newest whole one whatever
 * is damaged, and what failed on the way to the store is not a checkpoint. Method: a chain on a
 * store in memory; blobs and slots are damaged, removed and cut; every call to the store is made to
 * fail in turn, before and after it took effect.
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
#include "nero/layout.h"
#include "nero/storage_fault.h"
#include "runner_ckpt.h"
#include "runner_finish.h"
#include "tests/support/tiny_run.h"

struct world {
    struct storage *store; /* with faults */
    struct storage_fault *faults;
    struct tiny_run run;
    struct tiny_job job;
    struct trust *trust;
    struct key_pair key;
    struct runner_ckpt_owner owner;
    struct chain *chain;
};

static struct chain *open_chain(struct world *world)
{
    struct nero_err err = {0};
    struct chain *chain;

    tiny_check(chain_open(world->store, world->trust, &world->job.id,
                          bytes_as_view(&world->job.envelope), &chain, &err),
               &err, "chain");
    return chain;
}

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct storage *inner;
    struct nero_err err = {0};

    assert_non_null(world);
    tiny_check(storage_open("mem:", true, &inner, &err), &err, "store");
    tiny_check(storage_fault_wrap(inner, &world->store, &world->faults, &err), &err, "faults");
    tiny_run_create(&world->run, world->store, "ckpt-test", 8, 40, RUN_SAME_CLASS);
    tiny_job_create(&world->job, &world->run, 5, "epochs:2", NULL);
    key_pair_generate(&world->key);
    tiny_run_certify(&world->run, &world->key.public_key);
    tiny_check(trust_open(world->store, world->run.name, NULL, &world->trust, &err), &err, "trust");
    world->owner =
        (struct runner_ckpt_owner){.token = (1ull << 32) + 1, .nonce = 17, .key = &world->key};
    world->chain = open_chain(world);
    tiny_check(
        chain_takeover(world->chain, world->owner.token, world->owner.nonce, 0, &world->key, &err),
        &err, "takeover");
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;

    chain_close(world->chain);
    trust_close(world->trust);
    tiny_job_fini(&world->job);
    storage_close(world->store);
    free(world);
    return 0;
}

static enum nero_status commit(struct world *world, uint64_t units, uint64_t *number,
                               struct nero_err *err)
{
    struct progress progress;
    enum nero_status status;
    char state[64];

    progress_init(&progress);
    progress.phase = PROGRESS_TRAIN;
    progress.units = units;
    progress.updates = units;
    progress.seconds_used = 2.5;
    (void)snprintf(state, sizeof state, "state after %llu units", (unsigned long long)units);
    status = runner_ckpt_commit(world->chain, &world->owner, SLOT_INTERVAL, &progress,
                                bytes_view_str(state), number, err);
    progress_fini(&progress);
    return status;
}

/* As a new attempt finds it: units of the checkpoint found, 0 when there is none. */
static uint64_t find(struct world *world, uint32_t *passed)
{
    const struct log_context where = {.run = world->run.name};
    struct chain *chain = open_chain(world);
    struct progress progress;
    struct bytes state;
    struct nero_err err = {0};
    const struct chain_entry *found = NULL;
    uint64_t units = 0;
    enum nero_status status;

    *passed = 0;
    progress_init(&progress);
    bytes_init(&state, 1 << 20);
    status = runner_ckpt_find(chain, world->store, world->run.name, NULL, &where, NULL, &progress,
                              &state, &found, passed, &err);
    if (status == NERO_OK) {
        char expected[64];

        units = progress.units;
        (void)snprintf(expected, sizeof expected, "state after %llu units",
                       (unsigned long long)units);
        assert_true(bytes_view_equal(bytes_as_view(&state), bytes_view_str(expected)));
    } else {
        assert_int_equal(status, NERO_NOT_FOUND);
    }
    progress_fini(&progress);
    bytes_fini(&state);
    chain_close(chain);
    return units;
}

static void blob_object(struct world *world, uint64_t units, char out[LAYOUT_KEY_BYTES])
{
    char state[64];
    struct hash hash;

    (void)snprintf(state, sizeof state, "state after %llu units", (unsigned long long)units);
    hash = hash_of(bytes_view_str(state));
    layout_blob(out, world->run.name, &hash);
}

static void test_runner_ckpt__newest_whole_one_is_found(void **state)
{
    struct world *world = *state;
    char object[LAYOUT_KEY_BYTES];
    uint64_t slots[4];
    struct nero_err err = {0};
    uint32_t passed;

    assert_int_equal(find(world, &passed), 0);
    for (uint64_t i = 0; i < 4; i++) {
        tiny_check(commit(world, 10 * (i + 1), &slots[i], &err), &err, "commit");
        assert_int_equal(slots[i], i + 1);
    }
    assert_int_equal(find(world, &passed), 40);
    assert_int_equal(passed, 0);
    blob_object(world, 40, object); /* a flipped bit in the state */
    tiny_damage(world->store, object, false);
    assert_int_equal(find(world, &passed), 30);
    assert_int_equal(passed, 1);
    layout_slot(object, world->run.name, &world->job.id, slots[2]); /* a truncated slot */
    tiny_damage(world->store, object, true);
    assert_int_equal(find(world, &passed), 20);
    blob_object(world, 20, object); /* collected */
    tiny_check(storage_remove(world->store, object, &err), &err, "remove");
    assert_int_equal(find(world, &passed), 10);
    blob_object(world, 10, object);
    tiny_damage(world->store, object, true);
    assert_int_equal(find(world, &passed), 0);
}

static void test_runner_ckpt__overtaken_attempt_commits_nothing(void **state)
{
    struct world *world = *state;
    struct chain *other = open_chain(world);
    struct nero_err err = {0};
    uint64_t number;
    uint32_t passed;

    tiny_check(commit(world, 10, &number, &err), &err, "commit");
    tiny_check(chain_takeover(other, world->owner.token + 1, 18, 0, &world->key, &err), &err,
               "takeover");
    assert_int_equal(commit(world, 20, &number, &err), NERO_STALE);
    assert_int_equal(find(world, &passed), 10);
    chain_close(other);
}

/* Whatever call fails and however: a failed commit may be repeated, and the next restore finds the
 * last one that was answered ok, or a later one, never less and never a mix. */
static void sweep(struct world *world, enum storage_fault_when when, enum nero_status status)
{
    uint64_t units = 0;
    struct nero_err err = {0};
    uint64_t number;
    uint32_t passed;

    for (uint64_t nth = 1;; nth++) {
        uint64_t fired;

        units += 10;
        storage_fault_set(world->faults,
                          (struct storage_fault_plan){.nth = nth, .when = when, .status = status});
        if (commit(world, units, &number, &err) != NERO_OK) {
            fired = storage_fault_fired(world->faults);
            storage_fault_set(world->faults, (struct storage_fault_plan){0});
            tiny_check(commit(world, units, &number, &err), &err, "repeated commit");
        } else {
            fired = storage_fault_fired(world->faults);
            storage_fault_set(world->faults, (struct storage_fault_plan){0});
        }
        assert_int_equal(find(world, &passed), units);
        assert_int_equal(passed, 0);
        if (fired == 0) {
            assert_true(nth > 2);
            return;
        }
        assert_true(nth < 50);
    }
}

static void test_runner_ckpt__every_failing_call_leaves_it_whole(void **state)
{
    sweep(*state, STORAGE_FAULT_BEFORE, NERO_UNAVAILABLE);
}

static void test_runner_ckpt__every_lost_answer_leaves_it_whole(void **state)
{
    sweep(*state, STORAGE_FAULT_AFTER, NERO_UNKNOWN);
}

static void test_runner_ckpt__provenance_is_what_the_chain_tells(void **state)
{
    struct world *world = *state;
    struct result_provenance provenance;
    struct progress progress;
    struct nero_err err = {0};
    uint64_t number;

    tiny_check(commit(world, 10, &number, &err), &err, "commit");
    tiny_check(commit(world, 20, &number, &err), &err, "commit");
    world->owner.token++;
    world->owner.nonce++;
    world->owner.has_restored_from = true;
    world->owner.restored_from = chain_at(world->chain, 1)->hash; /* fell back from slot 2 */
    tiny_check(
        chain_takeover(world->chain, world->owner.token, world->owner.nonce, 0, &world->key, &err),
        &err, "takeover");
    tiny_check(commit(world, 15, &number, &err), &err, "commit");
    progress_init(&progress);
    progress.seconds_used = 9.0;
    runner_finish_provenance(world->chain, &world->owner, &progress, 123.0, 5, &provenance);
    assert_int_equal(provenance.attempts, 2);
    assert_int_equal(provenance.token_count, 2);
    assert_int_equal(provenance.tokens[1], world->owner.token);
    assert_int_equal(provenance.steps_redone, 10);
    assert_int_equal(provenance.preemptions, 0);
    assert_true(provenance.seconds_trained > 8.9 && provenance.seconds_trained < 9.1);
}

/* A new attempt by this key takes over. */
static void take_over(struct world *world, const struct key_pair *key)
{
    struct nero_err err = {0};

    world->owner.token++;
    world->owner.key = key;
    tiny_check(chain_takeover(world->chain, world->owner.token, world->owner.nonce, 0, key, &err),
               &err, "takeover");
}

/* Attempts of others that ended without a result; each is known to have lived until its newest
 * slot. One that has the job again counts none of them twice, and itself not at all. */
static void test_runner_ckpt__lives_are_what_the_chain_tells(void **state)
{
    struct world *world = *state;
    struct interval_lives lives = {.seconds = 100, .ended = 1};
    struct nero_err err = {0};
    struct key_pair us;
    double seconds;
    uint64_t number;

    key_pair_generate(&us);
    tiny_run_certify(&world->run, &us.public_key);
    runner_finish_lives(world->chain, &world->key.id, &lives);
    assert_true(lives.ended == 1 && lives.seconds == 100); /* one attempt, and it lives */
    clock_sleep_ms(clock_system(), 50);
    tiny_check(commit(world, 10, &number, &err), &err, "commit");
    take_over(world, &world->key);
    take_over(world, &us);
    runner_finish_lives(world->chain, &us.id, &lives);
    assert_true(lives.ended == 3);
    assert_true(lives.seconds >= 100.04 && lives.seconds < 160);
    seconds = lives.seconds;

    take_over(world, &us);
    runner_finish_lives(world->chain, &us.id, &lives);
    assert_true(lives.ended == 3 && lives.seconds == seconds);
    take_over(world, &world->key);
    take_over(world, &us);
    runner_finish_lives(world->chain, &us.id, &lives);
    assert_true(lives.ended == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runner_ckpt__newest_whole_one_is_found, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(test_runner_ckpt__overtaken_attempt_commits_nothing,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_ckpt__every_failing_call_leaves_it_whole,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_ckpt__every_lost_answer_leaves_it_whole,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_ckpt__lives_are_what_the_chain_tells,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_ckpt__provenance_is_what_the_chain_tells,
                                        world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
