/*
 * Goal: checkpoints that are uploaded beside the training are those of the training: whole, in
 * order, the newest first when the store is slow, none after another attempt has the job; and
 * taking them does not reach the outcome. Method: a real trainer (the referee backend) with a chain
 * on a store in memory that fails, or holds its writes back, when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/storage_fault.h"
#include "nero/thread.h"
#include "runner_upload.h"
#include "tests/support/evaluation.h"
#include "tests/support/small_cifar.h"
#include "tests/support/tiny_net.h"
#include "tests/support/tiny_run.h"

enum { WAIT_MS = 30000 };

static struct dataset shipped;

/* A store whose blobs wait at a gate. */
struct gate {
    struct storage *inner;
    struct thread_monitor monitor; /* guards the rest */
    bool closed;
    int waiting;
};

struct world {
    struct gate gate;
    struct storage_fault *faults;
    struct storage *store; /* the gate, over the faults, over memory */
    struct tiny_run run;
    struct tiny_job job;
    struct trust *trust;
    struct key_pair key;
    struct runner_ckpt_owner owner;
    struct chain *chain;
    struct evaluation evaluation;
    struct evaluation_run trained;
    struct log_context where;
    struct runner_upload *upload;
};

/* ---- the gate ---- */

static enum nero_status gate_put(void *self, const char *key, struct bytes_view body,
                                 struct nero_err *err)
{
    struct gate *gate = self;

    thread_monitor_enter(&gate->monitor);
    gate->waiting++;
    thread_monitor_wake_all(&gate->monitor);
    while (gate->closed) {
        thread_monitor_wait(&gate->monitor);
    }
    gate->waiting--;
    thread_monitor_leave(&gate->monitor);
    return storage_put(gate->inner, key, body, err);
}

static enum nero_status gate_put_if_absent(void *self, const char *key, struct bytes_view body,
                                           struct nero_err *err)
{
    return storage_put_if_absent(((struct gate *)self)->inner, key, body, err);
}

static enum nero_status gate_get_range(void *self, const char *key, uint64_t offset, uint64_t bytes,
                                       struct bytes *out, struct storage_info *info,
                                       struct nero_err *err)
{
    return storage_get_range(((struct gate *)self)->inner, key, offset, bytes, out, info, err);
}

static enum nero_status gate_head(void *self, const char *key, struct storage_info *out,
                                  struct nero_err *err)
{
    return storage_head(((struct gate *)self)->inner, key, out, err);
}

static unsigned gate_capabilities(void *self)
{
    return storage_capabilities(((struct gate *)self)->inner);
}

static void gate_close(void *self)
{
    struct gate *gate = self;

    storage_close(gate->inner);
    thread_monitor_fini(&gate->monitor);
}

static const struct storage_ops gate_ops = {.name = "gate",
                                            .put = gate_put,
                                            .put_if_absent = gate_put_if_absent,
                                            .get_range = gate_get_range,
                                            .head = gate_head,
                                            .capabilities = gate_capabilities,
                                            .close = gate_close};

static void gate_set(struct world *world, bool closed)
{
    thread_monitor_enter(&world->gate.monitor);
    world->gate.closed = closed;
    thread_monitor_wake_all(&world->gate.monitor);
    thread_monitor_leave(&world->gate.monitor);
}

/* Until a blob waits at the closed gate. */
static void gate_await(struct world *world)
{
    int64_t start_ns = clock_mono_ns(clock_system());

    thread_monitor_enter(&world->gate.monitor);
    while (world->gate.waiting == 0) {
        (void)thread_monitor_wait_ms(&world->gate.monitor, 100);
        assert_true(clock_seconds_since(clock_system(), start_ns) < WAIT_MS / 1000.0);
    }
    thread_monitor_leave(&world->gate.monitor);
}

/* ---- the world ---- */

static int load_shipped(void **state)
{
    struct nero_err err;

    (void)state;
    return hash_library_init(&err) == NERO_OK ? small_cifar_load(&shipped) : -1;
}

static int free_shipped(void **state)
{
    (void)state;
    small_cifar_free(&shipped);
    return 0;
}

static struct chain *open_chain(struct world *world)
{
    struct nero_err err;
    struct chain *chain;

    tiny_check(chain_open(world->store, world->trust, &world->job.id,
                          bytes_as_view(&world->job.envelope), &chain, &err),
               &err, "chain");
    return chain;
}

static void open_stores(struct world *world)
{
    struct storage *memory;
    struct nero_err err;

    tiny_check(storage_open("mem:", true, &memory, &err), &err, "memory");
    tiny_check(storage_fault_wrap(memory, &world->gate.inner, &world->faults, &err), &err,
               "faults");
    tiny_check(thread_monitor_init(&world->gate.monitor, &err), &err, "monitor");
    tiny_check(storage_from_ops(&gate_ops, &world->gate, "gate:", &world->store, &err), &err,
               "gate");
}

static void start_upload(struct world *world)
{
    struct runner_upload_options options = {.chain = world->chain,
                                            .owner = &world->owner,
                                            .clock = clock_system(),
                                            .where = &world->where,
                                            .seed = 1};
    struct nero_err err;

    tiny_check(runner_upload_start(&options, world->trained.trainer, &world->upload, &err), &err,
               "upload");
}

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct nero_err err;

    assert_non_null(world);
    open_stores(world);
    tiny_run_create(&world->run, world->store, "upload-test", 8, 40, RUN_SAME_CLASS);
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
    world->evaluation = (struct evaluation){.name = "job", .backend = "ref", .dataset = &shipped};
    evaluation_spec(&world->evaluation.spec, JOB_TRAIN);
    tiny_net_make(TINY_NET_PLAIN, &world->evaluation.spec.phenotype);
    tiny_net_optimiser(&world->evaluation.spec.phenotype, PHENOTYPE_ADAM);
    evaluation_open(&world->evaluation, &world->trained);
    start_upload(world);
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;

    gate_set(world, false);
    runner_upload_end(world->upload);
    evaluation_close(&world->trained);
    job_spec_fini(&world->evaluation.spec);
    chain_close(world->chain);
    trust_close(world->trust);
    tiny_job_fini(&world->job);
    storage_close(world->store);
    free(world);
    return 0;
}

/* One unit. True when nothing is left. */
static bool advance(struct world *world)
{
    struct trainer_event event;
    struct nero_err err;

    tiny_check(trainer_advance(world->trained.trainer, &event, &err), &err, "unit");
    return event.done;
}

static void snapshot(struct world *world)
{
    struct nero_err err;
    double stall_s = -1;

    tiny_check(runner_upload_snapshot(world->upload, world->trained.trainer, SLOT_INTERVAL,
                                      &stall_s, &err),
               &err, "snapshot");
    assert_true(stall_s >= 0);
}

/* Until so many commits, or a verdict. */
static struct runner_upload_view await(struct world *world, uint64_t commits)
{
    int64_t start_ns = clock_mono_ns(clock_system());
    struct runner_upload_view view;

    for (;;) {
        runner_upload_look(world->upload, &view);
        if (view.commits >= commits || view.verdict != NERO_OK) {
            return view;
        }
        runner_upload_wait_ms(world->upload, 100);
        assert_true(clock_seconds_since(clock_system(), start_ns) < WAIT_MS / 1000.0);
    }
}

static void fail_calls(struct world *world, uint64_t nth, bool for_good)
{
    storage_fault_set(world->faults, (struct storage_fault_plan){.nth = nth,
                                                                 .for_good = for_good,
                                                                 .operations = STORAGE_FAULT_WRITES,
                                                                 .when = STORAGE_FAULT_BEFORE,
                                                                 .status = NERO_UNAVAILABLE});
}

/* The chain as another would read it: every checkpoint restores, units ascend. Their count. */
static uint64_t check_chain(struct world *world, uint64_t *last_units)
{
    struct chain *chain = open_chain(world);
    uint64_t checkpoints = 0;
    struct progress progress;
    struct bytes state;

    progress_init(&progress);
    bytes_init(&state, RUNNER_CKPT_STATE_BYTES_MAX);
    *last_units = 0;
    for (uint64_t i = 1; i < chain_count(chain); i++) { /* after the takeover */
        const struct slot *slot = &chain_at(chain, i)->slot;
        struct evaluation_run run;
        struct nero_err err;

        assert_true(chain_at(chain, i)->valid);
        if (slot->kind != SLOT_CHECKPOINT) {
            continue;
        }
        checkpoints++;
        bytes_clear(&state);
        tiny_check(chain_get_blob(world->store, world->run.name, &slot->blobs[0].hash,
                                  slot->blobs[0].bytes, NULL, &state, &err),
                   &err, "state");
        tiny_check(progress_decode(slot->body, &progress, &err), &err, "progress");
        assert_true(progress.units > *last_units);
        *last_units = progress.units;
        evaluation_open(&world->evaluation, &run);
        tiny_check(trainer_restore(run.trainer, &progress, bytes_as_view(&state), &err), &err,
                   "restore");
        evaluation_close(&run);
        progress_fini(&progress);
        progress_init(&progress);
    }
    bytes_fini(&state);
    progress_fini(&progress);
    chain_close(chain);
    return checkpoints;
}

/* ---- tests ---- */

static void check_outcome(struct world *world)
{
    struct evaluation_result undisturbed;
    struct evaluation_result ours = {0};
    struct nero_err err;

    evaluation_make(&world->evaluation, NULL, &undisturbed);
    bytes_init(&ours.outcome_bytes, RESULT_BYTES_MAX);
    bytes_init(&ours.state, RUNNER_CKPT_STATE_BYTES_MAX);
    bytes_init(&ours.weights, RUNNER_CKPT_STATE_BYTES_MAX);
    tiny_check(
        trainer_outcome(world->trained.trainer, &ours.outcome, &ours.state, &ours.weights, &err),
        &err, "outcome");
    tiny_check(result_outcome_encode(&ours.outcome, &ours.outcome_bytes, &err), &err, "encode");
    evaluation_assert_equal("with uploads", &undisturbed, &ours);
    evaluation_result_fini(&ours);
    evaluation_result_fini(&undisturbed);
}

static void test_runner_upload__every_unit_reaches_no_outcome(void **state)
{
    struct world *world = *state;
    struct runner_upload_view view;
    uint64_t units = 0;
    uint64_t last;
    bool done;

    do {
        done = advance(world);
        snapshot(world);
        units++;
    } while (!done);
    do {
        view = await(world, 1);
    } while (view.units < units);
    assert_int_equal(view.units, units);
    assert_true(view.lag_s >= 0);
    runner_upload_end(world->upload);
    world->upload = NULL;
    assert_int_equal(check_chain(world, &last), view.commits);
    assert_int_equal(last, units);
    check_outcome(world);
}

/* While one is on its way the next are queued, and only the newest of them is uploaded. */
static void test_runner_upload__newest_replaces_the_queued_one(void **state)
{
    struct world *world = *state;
    struct runner_upload_view view;
    uint64_t last;

    gate_set(world, true);
    (void)advance(world);
    snapshot(world);
    gate_await(world);
    for (int i = 0; i < 3; i++) {
        (void)advance(world);
        snapshot(world);
    }
    runner_upload_look(world->upload, &view);
    assert_true(view.on_its_way);
    assert_int_equal(view.commits, 0);
    gate_set(world, false);
    view = await(world, 2);
    assert_int_equal(view.units, 4);
    runner_upload_end(world->upload);
    world->upload = NULL;
    assert_int_equal(check_chain(world, &last), 2);
    assert_int_equal(last, 4);
}

static void test_runner_upload__store_that_is_away_is_tried_again(void **state)
{
    struct world *world = *state;
    struct runner_upload_view view;
    uint64_t last;

    fail_calls(world, 1, true);
    for (int i = 0; i < 3; i++) {
        (void)advance(world);
        snapshot(world);
        while (storage_fault_fired(world->faults) <= (uint64_t)i) {
            runner_upload_wait_ms(world->upload, 10);
        }
    }
    runner_upload_look(world->upload, &view);
    assert_int_equal(view.commits, 0);
    assert_int_equal(view.verdict, NERO_OK);
    storage_fault_set(world->faults, (struct storage_fault_plan){0});
    runner_upload_hurry(world->upload); /* and the delay is cut short */
    view = await(world, 1);
    assert_int_equal(view.units, 3);
    runner_upload_end(world->upload);
    world->upload = NULL;
    assert_int_equal(check_chain(world, &last), 1);
}

/* Whatever write fails, before or after it took effect, the newest snapshot gets there. */
static void sweep(struct world *world, enum storage_fault_when when, enum nero_status status)
{
    uint64_t units = 0;

    for (uint64_t nth = 1; nth <= 3; nth++) { /* blob, slot, none */
        storage_fault_set(
            world->faults,
            (struct storage_fault_plan){
                .nth = nth, .operations = STORAGE_FAULT_WRITES, .when = when, .status = status});
        (void)advance(world);
        snapshot(world);
        units++;
        while (await(world, 1).units < units) {
            runner_upload_wait_ms(world->upload, 10);
        }
        assert_int_equal(storage_fault_fired(world->faults), nth < 3);
    }
}

static void test_runner_upload__every_failing_write_is_made_good(void **state)
{
    struct world *world = *state;
    uint64_t last;

    sweep(world, STORAGE_FAULT_BEFORE, NERO_UNAVAILABLE);
    assert_int_equal(check_chain(world, &last), 3);
    assert_int_equal(last, 3);
}

static void test_runner_upload__every_lost_answer_is_made_good(void **state)
{
    struct world *world = *state;
    uint64_t last;

    sweep(world, STORAGE_FAULT_AFTER, NERO_UNKNOWN);
    assert_int_equal(check_chain(world, &last), 3);
    assert_int_equal(last, 3);
}

/* Another attempt takes the job over while a blob is on its way: no slot, and no more tries. */
static void test_runner_upload__overtaken_upload_says_so_and_ends(void **state)
{
    struct world *world = *state;
    struct chain *other = open_chain(world);
    struct runner_upload_view view;
    struct nero_err err;
    uint64_t last;

    (void)advance(world);
    snapshot(world);
    (void)await(world, 1);
    gate_set(world, true);
    (void)advance(world);
    snapshot(world);
    gate_await(world);
    tiny_check(chain_refresh(other, &err), &err, "refresh");
    tiny_check(chain_takeover(other, world->owner.token + 1, 18, 0, &world->key, &err), &err,
               "takeover");
    gate_set(world, false);
    view = await(world, 2);
    assert_int_equal(view.verdict, NERO_STALE);
    storage_fault_set(world->faults, (struct storage_fault_plan){0}); /* counts from here */
    (void)advance(world);
    snapshot(world);
    runner_upload_end(world->upload);
    world->upload = NULL;
    assert_int_equal(storage_fault_calls(world->faults), 0);
    assert_int_equal(check_chain(world, &last), 1);
    chain_close(other);
}

static void test_runner_upload__chain_is_lent_only_between_uploads(void **state)
{
    struct world *world = *state;
    struct runner_upload_view view;

    assert_true(runner_upload_borrow(world->upload));
    (void)advance(world);
    snapshot(world); /* waits for the chain */
    runner_upload_wait_ms(world->upload, 50);
    runner_upload_look(world->upload, &view);
    assert_false(view.on_its_way);
    assert_int_equal(view.commits, 0);
    gate_set(world, true);
    runner_upload_return(world->upload);
    gate_await(world);
    assert_false(runner_upload_borrow(world->upload));
    assert_false(runner_upload_finish(world->upload)); /* it still has the chain */
    gate_set(world, false);
    while (!runner_upload_finish(world->upload)) {
        runner_upload_wait_ms(world->upload, 10);
    }
    runner_upload_look(world->upload, &view);
    assert_int_equal(view.commits, 1); /* what was on its way arrived */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runner_upload__every_unit_reaches_no_outcome,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_upload__newest_replaces_the_queued_one,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_upload__store_that_is_away_is_tried_again,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_upload__every_failing_write_is_made_good,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_upload__every_lost_answer_is_made_good,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_upload__overtaken_upload_says_so_and_ends,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_upload__chain_is_lent_only_between_uploads,
                                        world_open, world_close),
    };

    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
