/*
 * Goal: every way in which a job may end or a service may fail leaves the chain and the queue as
 * gpu-runner/DESIGN.md says. Method: real runners on small jobs, with the queue, Redis and the
 * store changed under them.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpu-runner/runner_notice.h"
#include "nero/chain.h"
#include "nero/clock.h"
#include "nero/layout.h"
#include "runner_world.h"

enum { SLOT_PATH_BYTES = TEMP_FOLDER_BYTES + LAYOUT_KEY_BYTES + 8 };

static struct world world;

static const char *const once[] = {"--once", "--checkpoint-interval", "steps:5", NULL};
static const char *const quick_stall[] = {
    "--once", "--checkpoint-interval", "steps:50", "--stall-timeout", "1.5", "--beat-ms", "50",
    NULL};

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

static void too_large(struct job_spec *spec)
{
    spec->protocol.max_parameters = 10;
}

/* Which slot ended the job? 0: none. */
static enum slot_kind terminal_kind(char text[SLOT_TEXT_BYTES])
{
    const struct chain_entry *terminal;
    enum slot_kind kind = 0;
    struct chain *chain;
    struct trust *trust;
    struct nero_err err = {0};

    tiny_check(trust_open(world.store, world.run.name, NULL, &trust, &err), &err, "trust");
    tiny_check(chain_open(world.store, trust, &world.job.id, bytes_as_view(&world.job.envelope),
                          &chain, &err),
               &err, "chain");
    terminal = chain_terminal(chain);
    text[0] = 0;
    if (terminal != NULL) {
        kind = terminal->slot.kind;
        (void)snprintf(text, SLOT_TEXT_BYTES, "%s", terminal->slot.text);
    }
    chain_close(chain);
    trust_close(trust);
    return kind;
}

static void test_runner_ends__inadmissible_job_fails_for_good(void **state)
{
    char text[SLOT_TEXT_BYTES];
    struct queue_job_info info;

    (void)state;
    world_begin_run(&world, "epochs:1", too_large);
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_int_equal(terminal_kind(text), SLOT_FAILED);
    assert_non_null(strstr(text, "parameters"));
    world_job_state(&world, &info);
    assert_string_equal(info.state, "dead");
    world_end_run(&world);
}

/* Queued again though the store has closed it: it is done with, and nobody looks for a dead letter.
 */
static void test_runner_ends__a_job_failed_in_the_store_leaves_no_dead_letter(void **state)
{
    struct queue_job_info info;
    struct nero_err err = {0};

    (void)state;
    world_begin_run(&world, "epochs:1", too_large);
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "dead");
    tiny_check(queue_finish(world.queue, world.run.name, world.epoch, &world.job.id, &err), &err,
               "finish");
    world_submit(&world);
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "gone");
    world_end_run(&world);
}

/* Its inference plan takes 3.3 TB. */
static void beyond_memory(struct job_spec *spec)
{
    spec->phenotype.units[0].conv.filters = 16384;
    spec->protocol.eval_batch = JOB_SCORED_MAX;
}

/* What this machine cannot hold is no failure of the job: nothing ends it, no retry is spent; it
 * waits for another runner, and says why it was given back (Fast-DENSER 13). */
static void test_runner_ends__job_without_memory_is_given_back(void **state)
{
    char text[SLOT_TEXT_BYTES];
    struct queue_job_info info;

    (void)state;
    world_begin_run(&world, "epochs:1", beyond_memory);
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_true(world_log_has(&world, 0, "end=unable"));
    assert_int_equal(terminal_kind(text), 0);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready");
    assert_int_equal(info.failures, 0);
    assert_int_equal(info.lost_leases, 0);
    assert_non_null(strstr(info.reason, "no memory for a plan"));
    world_end_run(&world);
}

/* One runner, and the first of the queue is not for it: those behind it are done all the same. */
static void test_runner_ends__jobs_behind_one_that_it_cannot_do_are_done(void **state)
{
    struct queue_job_info info;
    struct tiny_job others[2];
    struct nero_err err = {0};

    (void)state;
    world_begin_run(&world, "epochs:1", beyond_memory);
    for (uint64_t i = 0; i < 2; i++) {
        struct queue_item item = {.numeric_class = "", .order = 1 + i};

        tiny_job_create(&others[i], &world.run, 43 + i, "epochs:1", NULL);
        item.job = others[i].id;
        item.envelope = bytes_as_view(&others[i].envelope);
        tiny_check(queue_submit(world.queue, world.run.name, world.epoch, &item, 1, NULL, &err),
                   &err, "submit");
    }
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    for (int i = 0; i < 2; i++) {
        char object[LAYOUT_KEY_BYTES];

        layout_result(object, world.run.name, &others[i].id);
        tiny_check(storage_head(world.store, object, NULL, &err), &err, "its result");
        tiny_job_fini(&others[i]);
    }
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready"); /* and waits for another runner */
    assert_int_equal(info.failures, 0);
    world_end_run(&world);
}

static void other_class(struct job_spec *spec)
{
    (void)snprintf(spec->numeric_class, sizeof spec->numeric_class, "another machine");
}

/* No slot, no failure: the job waits in the lane of its class. */
static void test_runner_ends__job_of_another_class_is_given_back(void **state)
{
    char text[SLOT_TEXT_BYTES];
    struct queue_job_info info;

    (void)state;
    world_begin_run(&world, "epochs:1", other_class);
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_int_equal(terminal_kind(text), 0);
    assert_int_equal(world_slot_count(&world), 0);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready");
    assert_string_equal(info.numeric_class, "another machine");
    assert_int_equal(info.failures, 0);
    assert_int_equal(info.preemptions, 0);
    world_end_run(&world);
}

/* What one shard began, two do not go on with: the numbers would be others. */
static void test_runner_ends__job_begun_with_other_shards_is_given_back(void **state)
{
    static const char *const in_two[] = {"--once", "--shards", "2", NULL};
    struct result_provenance provenance;
    struct queue_job_info info;
    struct bytes outcome;
    uint64_t slots;

    (void)state;
    world_begin_run(&world, "epochs:15", NULL);
    world_start(&world, 0, once);
    assert_true(world_wait_slots(&world, 3));
    world_signal(&world, 0, SIGTERM);
    assert_int_equal(world_wait_end(&world, 0, 90000), 75);
    slots = world_slot_count(&world);
    world_start(&world, 0, in_two);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_int_equal(world_slot_count(&world), slots);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready");
    assert_non_null(strstr(info.numeric_class, "/S1"));
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    bytes_init(&outcome, RESULT_BYTES_MAX);
    world_outcome(&world, &outcome, &provenance);
    bytes_fini(&outcome);
    world_end_run(&world);
}

static void test_runner_ends__cancelled_job_stops(void **state)
{
    char text[SLOT_TEXT_BYTES];
    struct queue_job_info info;
    struct nero_err err = {0};
    bool was_leased = false;

    (void)state;
    world_begin_run(&world, "epochs:1000", NULL);
    world_start(&world, 0, once);
    assert_true(world_wait_slots(&world, 3));
    tiny_check(
        queue_cancel(world.queue, world.run.name, world.epoch, &world.job.id, &was_leased, &err),
        &err, "cancel");
    assert_true(was_leased);
    assert_int_equal(world_wait_end(&world, 0, 10000), 0);
    assert_true(world_log_has(&world, 0, "end=cancelled"));
    world_job_state(&world, &info);
    assert_string_equal(info.state, "gone");
    assert_int_equal(terminal_kind(text), 0); /* the slot is the scheduler's to write */
    world_end_run(&world);
}

static void test_runner_ends__drained_runner_gives_back_and_leaves(void **state)
{
    struct queue_job_info info;
    struct nero_err err = {0};

    (void)state;
    world_begin_run(&world, "epochs:1000", NULL);
    world_start(&world, 0, once);
    assert_true(world_wait_slots(&world, 3));
    tiny_check(queue_tell(world.queue, world.run.name, world.epoch, NULL, QUEUE_DRAIN, NULL, &err),
               &err, "drain");
    assert_int_equal(world_wait_end(&world, 0, 10000), 75);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready");
    assert_int_equal(info.preemptions, 0); /* an order, and no machine was lost */
    world_end_run(&world);
}

/* Until the runner has told how far it is, in the form that the scheduler shows; the epochs that it
 * expects, 0 if it has not within 30 s. */
static unsigned wait_for_note(struct queue_job_info *info)
{
    unsigned epoch;
    unsigned epochs = 0;

    for (int i = 0; i < 300 && epochs == 0; i++) {
        world_pass(&world, 100);
        world_job_state(&world, info);
        assert_string_equal(info->state, "leased");
        if (sscanf(info->note, "epoch=%u/%u step=", &epoch, &epochs) != 2) {
            epochs = 0;
        }
    }
    return epochs;
}

/* Progress is told without a checkpoint; the one that is asked for is written. */
static void test_runner_ends__beat_tells_progress_and_takes_orders(void **state)
{
    static const char *const rarely[] = {"--once", "--checkpoint-interval", "seconds:900", NULL};
    struct queue_job_info info;
    struct nero_err err = {0};

    (void)state;
    world_begin_run(&world, "epochs:500", NULL);
    world_start(&world, 0, rarely);
    assert_true(world_wait_slots(&world, 1));
    assert_int_equal(wait_for_note(&info), 500);
    assert_true(world_log_has(&world, 0, " since_start_s="));
    assert_non_null(strstr(info.note, " phase="));
    assert_int_equal(world_slot_count(&world), 1);
    tiny_check(queue_tell(world.queue, world.run.name, world.epoch, NULL, QUEUE_CHECKPOINT_NOW,
                          NULL, &err),
               &err, "tell");
    assert_true(world_wait_slots(&world, 2));
    world_pass(&world, WORLD_LEASE_MS);
    assert_int_equal(world_slot_count(&world), 2); /* one order, one checkpoint */
    world_job_state(&world, &info);
    assert_true(info.numeric_class[0] != 0); /* bound to the class of its checkpoint */
    world_signal(&world, 0, SIGKILL);
    (void)world_wait_end(&world, 0, 5000);
    world_end_run(&world);
}

/* Redis is killed and stays away, then comes back emptied: the runner goes on all the while, and
 * what is submitted again is adopted, not done twice. */
static void test_runner_ends__outlives_redis(void **state)
{
    struct result_provenance provenance;
    struct nero_err err = {0};
    bool restarted = false;
    struct bytes outcome;
    uint64_t slots;

    (void)state;
    world_begin_run(&world, "epochs:15", NULL);
    world_start(&world, 0, once);
    assert_true(world_wait_slots(&world, 3));
    assert_int_equal(kill(redis_child_pid(world.redis), SIGKILL), 0);
    slots = world_slot_count(&world);
    assert_true(world_wait_slots(&world, slots + 3));
    tiny_check(redis_child_check(world.redis, &restarted, &err), &err, "restart");
    assert_true(restarted);
    queue_close(world.queue);
    tiny_check(queue_open(redis_child_url(world.redis), &world.queue, &err), &err, "queue");
    tiny_check(queue_drop(world.queue, world.run.name, world.epoch, &err), &err, "flush");
    world_submit(&world);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    bytes_init(&outcome, RESULT_BYTES_MAX);
    world_outcome(&world, &outcome, &provenance);
    bytes_fini(&outcome);
    assert_int_equal(provenance.attempts, 1);
    world_end_run(&world);
}

/* Crash point 8: the final slot is there, Redis was not told. No work is done again. */
static void test_runner_ends__known_result_is_only_told(void **state)
{
    uint64_t slots;

    (void)state;
    world_begin_run(&world, "epochs:1", NULL);
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    slots = world_slot_count(&world);
    world_submit(&world);
    world_start(&world, 0, once);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_true(world_log_has(&world, 0, "end=known"));
    assert_int_equal(world_slot_count(&world), slots);
    world_end_run(&world);
}

/* The store is away when the work is done: the runner waits with the result and keeps its lease. */
static void test_runner_ends__waits_for_the_store(void **state)
{
    struct result_provenance provenance;
    struct queue_job_info info;
    struct bytes outcome;

    (void)state;
    world_begin_run(&world, "epochs:20", NULL);
    world_start(&world, 0, quick_stall);
    do { /* until the heartbeat has its connection */
        world_pass(&world, 1);
        world_job_state(&world, &info);
    } while (info.note[0] == 0);
    world_cut_off(&world, 0, true);
    assert_true(world_wait_log(&world, 0, "job.waiting"));
    world_pass(&world, 3 * WORLD_LEASE_MS);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "leased");
    assert_int_equal(info.lost_leases, 0);
    world_cut_off(&world, 0, false);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    bytes_init(&outcome, RESULT_BYTES_MAX);
    world_outcome(&world, &outcome, &provenance);
    bytes_fini(&outcome);
    world_end_run(&world);
}

static void block_first_slot(char path[SLOT_PATH_BYTES])
{
    char object[LAYOUT_KEY_BYTES];

    layout_slot(object, world.run.name, &world.job.id, 0);
    (void)snprintf(path, SLOT_PATH_BYTES, "%s/store/%s", world.folder, object);
    for (char *at = path + strlen(world.folder) + strlen("/store/"); *at != 0; at++) {
        if (*at == '/') { /* the folders above it */
            *at = 0;
            assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
            *at = '/';
        }
    }
    assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
}

/* The file of the job's first slot is a socket, which cannot be opened: to the runner, a store that
 * is away before any work is done. Its lease lapses, so that others may have the job. */
static void test_runner_ends__waiting_without_work_lets_the_lease_lapse(void **state)
{
    struct result_provenance provenance;
    char path[SLOT_PATH_BYTES];
    struct queue_job_info info = {.lost_leases = 0};
    struct bytes outcome;

    (void)state;
    world_begin_run(&world, "epochs:2", NULL);
    block_first_slot(path);
    world_start(&world, 0, quick_stall);
    assert_true(world_wait_log(&world, 0, "job.waiting"));
    for (int i = 0; i < 200 && info.lost_leases == 0; i++) {
        world_pass(&world, 100);
        world_job_state(&world, &info);
    }
    assert_int_equal(info.lost_leases, 1);
    assert_string_equal(info.state, "ready");
    assert_true(world_log_has(&world, 0, "beat.stalled"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0); /* nobody came: it goes on */
    bytes_init(&outcome, RESULT_BYTES_MAX);
    world_outcome(&world, &outcome, &provenance);
    bytes_fini(&outcome);
    assert_int_equal(provenance.attempts, 1);
    world_end_run(&world);
}

static void test_runner_ends__idle_runner_stops_at_once(void **state)
{
    static const char *const forever[] = {NULL};
    int64_t start_ns;

    (void)state;
    world_begin_run(&world, "epochs:1", NULL);
    world_start(&world, 0, forever);
    assert_true(world_wait_log(&world, 0, "end=done"));
    world_pass(&world, 300);
    start_ns = clock_mono_ns(clock_system());
    world_signal(&world, 0, SIGTERM);
    assert_int_equal(world_wait_end(&world, 0, RUNNER_NOTICE_GRACE_MS), 75);
    (void)printf("from SIGTERM to the end: %.2f s\n",
                 clock_seconds_since(clock_system(), start_ns));
    world_end_run(&world);
}

/* A runner of another machine discovers the run, joins by token, and ends after one job. */
static void test_runner_ends__joins_by_token(void **state)
{
    static const char *const one[] = {"--max-jobs", "1", NULL};
    struct result_provenance provenance;
    struct bytes outcome;

    (void)state;
    for (int as_text = 0; as_text < 2; as_text++) {
        world_begin_run(&world, "epochs:2", NULL);
        world_start_by_token(&world, 0, as_text != 0, one);
        assert_int_equal(world_wait_end(&world, 0, 90000), 0);
        assert_false(world.has_token);
        bytes_init(&outcome, RESULT_BYTES_MAX);
        world_outcome(&world, &outcome, &provenance);
        bytes_fini(&outcome);
        world_end_run(&world);
    }
}

/* Asked for help it explains itself, and does nothing. */
static void test_runner_ends__help_and_version(void **state)
{
    static const char *const help[] = {"--help", NULL};
    static const char *const version[] = {"--version", NULL};
    static const char *const check[] = {"--check", "--backend", "ref", "--shards", "3", NULL};

    (void)state;
    world_begin_run(&world, "epochs:2", NULL);
    world_start(&world, 0, help);
    assert_int_equal(world_wait_end(&world, 0, 5000), 0);
    assert_true(world_log_has(&world, 0, "--checkpoint-interval"));
    assert_true(world_log_has(&world, 0, "NERO_STORE"));
    assert_true(world_log_has(&world, 0, "Exit status"));
    world_start(&world, 0, version);
    assert_int_equal(world_wait_end(&world, 0, 5000), 0);
    assert_true(world_log_has(&world, 0, "nero-runner "));
    world_start(&world, 0, check);
    assert_int_equal(world_wait_end(&world, 0, 5000), 0);
    assert_true(world_log_has(&world, 0, "/S3"));
    assert_int_equal(world_slot_count(&world), 0);
    world_end_run(&world);
}

static void test_runner_ends__bad_input_ends_with_2(void **state)
{
    static const char *const cases[][4] = {
        {"--checkpoint-interval", "seconds:nan", NULL},
        {"--no-such-option", NULL},
        {"--backend", "abacus", NULL},
        {"--shards", "0", NULL},
        {"--shards", "257", NULL},
        {"--join-token", "/dev/null", NULL},
    };

    (void)state;
    world_begin_run(&world, "epochs:1", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world_start(&world, 0, cases[i]);
        assert_int_equal(world_wait_end(&world, 0, 10000), 2);
    }
    world_end_run(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runner_ends__inadmissible_job_fails_for_good),
        cmocka_unit_test(test_runner_ends__a_job_failed_in_the_store_leaves_no_dead_letter),
        cmocka_unit_test(test_runner_ends__job_without_memory_is_given_back),
        cmocka_unit_test(test_runner_ends__jobs_behind_one_that_it_cannot_do_are_done),
        cmocka_unit_test(test_runner_ends__job_of_another_class_is_given_back),
        cmocka_unit_test(test_runner_ends__job_begun_with_other_shards_is_given_back),
        cmocka_unit_test(test_runner_ends__cancelled_job_stops),
        cmocka_unit_test(test_runner_ends__drained_runner_gives_back_and_leaves),
        cmocka_unit_test(test_runner_ends__beat_tells_progress_and_takes_orders),
        cmocka_unit_test(test_runner_ends__outlives_redis),
        cmocka_unit_test(test_runner_ends__known_result_is_only_told),
        cmocka_unit_test(test_runner_ends__waits_for_the_store),
        cmocka_unit_test(test_runner_ends__waiting_without_work_lets_the_lease_lapse),
        cmocka_unit_test(test_runner_ends__idle_runner_stops_at_once),
        cmocka_unit_test(test_runner_ends__joins_by_token),
        cmocka_unit_test(test_runner_ends__help_and_version),
        cmocka_unit_test(test_runner_ends__bad_input_ends_with_2),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
