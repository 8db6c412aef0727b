/*
 * Goal: whatever happens to a runner, the job ends once, with the outcome that it would have had.
 * Method: one small real training job on the shipped images, done once undisturbed; then the same
 * job in other runs, under kills, stops and damage, and its outcome's bytes are compared.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis.h>

#include "gpu-runner/runner_notice.h"
#include "nero/clock.h"
#include "nero/layout.h"
#include "runner_world.h"

#define BUDGET "epochs:8"

enum { LOCKS = 256 }; /* of a file: store */

static struct world world;
static struct bytes expected;

static const char *const often[] = {"--once", "--checkpoint-interval", "steps:5", NULL};
static const char *const always[] = {"--once", "--checkpoint-interval", "steps:1", NULL};
static const char *const at_ease[] = {"--once", "--checkpoint-interval", "seconds:900", NULL};

static int open_world(void **state)
{
    (void)state;
    world_open(&world);
    bytes_init(&expected, RESULT_BYTES_MAX);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    bytes_fini(&expected);
    world_close(&world);
    return 0;
}

static void check_outcome(struct result_provenance *provenance)
{
    struct bytes outcome;

    bytes_init(&outcome, RESULT_BYTES_MAX);
    world_outcome(&world, &outcome, provenance);
    assert_true(expected.bytes > 0);
    assert_true(bytes_view_equal(bytes_as_view(&outcome), bytes_as_view(&expected)));
    bytes_fini(&outcome);
    world_end_run(&world);
}

/* The first test: all others compare with it. No checkpoint is ever written here. */
static void test_runner_kill__undisturbed(void **state)
{
    struct result_provenance provenance;
    int64_t start_ns = clock_mono_ns(clock_system());

    (void)state;
    world_begin_run(&world, BUDGET, NULL);
    world_start(&world, 0, at_ease);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    world_outcome(&world, &expected, &provenance);
    assert_int_equal(provenance.attempts, 1);
    assert_int_equal(world_slot_count(&world), 2);
    world_end_run(&world);
    (void)printf("undisturbed: %.2f s\n", clock_seconds_since(clock_system(), start_ns));
}

static struct chain *open_chain(struct trust **trust)
{
    struct nero_err err = {0};
    struct chain *chain;

    tiny_check(trust_open(world.store, world.run.name, NULL, trust, &err), &err, "trust");
    tiny_check(chain_open(world.store, *trust, &world.job.id, bytes_as_view(&world.job.envelope),
                          &chain, &err),
               &err, "chain");
    return chain;
}

static void close_chain(struct chain *chain, struct trust *trust)
{
    chain_close(chain);
    trust_close(trust);
}

static bool has_ended(void)
{
    struct trust *trust;
    struct chain *chain = open_chain(&trust);
    bool ended = chain_terminal(chain) != NULL;

    close_chain(chain, trust);
    return ended;
}

/* Kill, start again, kill. With a checkpoint at every step many kills fall into writing one. */
static void kill_at_random(int kills, const char *const *arguments, tiny_change_fn *change)
{
    struct result_provenance provenance;
    uint32_t in_work = 0;

    world_begin_run(&world, BUDGET, change);
    for (int i = 0; i < kills && !has_ended(); i++) {
        uint64_t slots = world_slot_count(&world);

        world_start(&world, 0, arguments);
        if (i == 0 || rng_below(&world.random, 5) != 0) { /* else: while it starts */
            assert_true(world_wait_slots(&world, slots + 1));
        }
        world_pass(&world, i == 0 ? 0 : rng_between(&world.random, 0, 200));
        if (world.runners[0].pid == 0) {
            break; /* done already */
        }
        world_signal(&world, 0, SIGKILL);
        if (world_wait_end(&world, 0, 5000) != -1) {
            assert_int_equal(world.runners[0].code, 0); /* done at that moment */
            break;
        }
        in_work += world_slot_count(&world) > slots;
        world_pass(&world, WORLD_LEASE_MS + 50); /* --once would find nothing before */
    }
    world_start(&world, 0, arguments);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    check_outcome(&provenance);
    (void)printf("%u attempts, %u killed at work\n", provenance.attempts, in_work);
    assert_true(in_work > 0);
}

static void test_runner_kill__sigkill_at_random_moments(void **state)
{
    (void)state;
    kill_at_random(5, often, NULL);
}

static void test_runner_kill__sigkill_while_writing_checkpoints(void **state)
{
    (void)state;
    kill_at_random(5, always, NULL);
}

/* Somebody else has every lock of the store: a put waits for 10 s. */
static void hold_locks(int fds[LOCKS])
{
    char path[TEMP_FOLDER_BYTES + 64];

    for (int i = 0; i < LOCKS; i++) {
        (void)snprintf(path, sizeof path, "%s/store/~nero/lock/%02x", world.folder, (unsigned)i);
        fds[i] = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
        assert_true(fds[i] >= 0);
        while (flock(fds[i], LOCK_EX) != 0) {
            assert_int_equal(errno, EINTR);
        }
    }
}

static void release_locks(const int fds[LOCKS])
{
    for (int i = 0; i < LOCKS; i++) {
        (void)close(fds[i]);
    }
}

/* ---- kills inside a checkpoint ---- */

/* Files that a writer has not made objects of. */
static uint32_t temporary_files(void)
{
    char path[TEMP_FOLDER_BYTES + 64];
    struct dirent *entry;
    uint32_t count = 0;
    DIR *folder;

    (void)snprintf(path, sizeof path, "%s/store/~nero/tmp", world.folder);
    folder = opendir(path);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count;
}

struct orphans {
    const struct chain *chain;
    uint32_t count;
};

static enum nero_status count_orphan(void *context, const char *key, uint64_t bytes,
                                     struct nero_err *err)
{
    struct orphans *orphans = context;
    bool named = false;

    (void)bytes;
    (void)err;
    for (uint64_t i = 0; i < chain_count(orphans->chain); i++) {
        const struct slot *slot = &chain_at(orphans->chain, i)->slot;

        for (uint32_t k = 0; k < slot->blob_count; k++) {
            char object[LAYOUT_KEY_BYTES];

            layout_blob(object, world.run.name, &slot->blobs[k].hash);
            named = named || strcmp(object, key) == 0;
        }
    }
    orphans->count += !named;
    return NERO_OK;
}

/* Blobs that no slot names. */
static uint32_t orphan_blobs(void)
{
    char prefix[LAYOUT_KEY_BYTES];
    struct nero_err err = {0};
    struct trust *trust;
    struct chain *chain = open_chain(&trust);
    struct orphans orphans = {.chain = chain};

    (void)snprintf(prefix, sizeof prefix, "runs/%s/blob/", world.run.name);
    tiny_check(storage_list_each(world.store, prefix, count_orphan, &orphans, &err), &err, "list");
    close_chain(chain, trust);
    return orphans.count;
}

static void wait_for_more(uint32_t (*count)(void), uint32_t than)
{
    int64_t start_ns = clock_mono_ns(clock_system());

    while (count() <= than) {
        world_pass(&world, 10);
        assert_true(clock_seconds_since(clock_system(), start_ns) < 20);
    }
}

/*
 * At work, an upload is held at the lock of its blob, which is a temporary file then (nobody's
 * object). With `stored` the runner loses the use of files before it gets the lock: it makes the
 * blob an object, and cannot write the slot that would name it. There it is killed.
 */
static void kill_inside_a_checkpoint(bool stored)
{
    uint32_t files = temporary_files(); /* of those who were killed before */
    uint64_t slots;
    int fds[LOCKS];

    world_start(&world, 0, always);
    assert_true(world_wait_slots(&world, world_slot_count(&world) + 3));
    hold_locks(fds);
    world_pass(&world, 200); /* what had its lock is done, and the next one waits */
    wait_for_more(temporary_files, files);
    slots = world_slot_count(&world);
    if (stored) {
        world_cut_off(&world, 0, true);
        release_locks(fds);
        wait_for_more(orphan_blobs, 0);
    }
    world_signal(&world, 0, SIGKILL);
    assert_int_equal(world_wait_end(&world, 0, 5000), -1);
    if (!stored) {
        assert_true(temporary_files() > files);
        release_locks(fds);
    }
    assert_int_equal(orphan_blobs(), stored);
    assert_int_equal(world_slot_count(&world), slots);
    world_pass(&world, WORLD_LEASE_MS + 50); /* --once would find nothing before */
}

/* Crash point 5, and before it. */
static void kill_inside_checkpoints(tiny_change_fn *change)
{
    struct result_provenance provenance;

    world_begin_run(&world, BUDGET, change);
    kill_inside_a_checkpoint(false);
    kill_inside_a_checkpoint(true);
    world_start(&world, 0, always);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_true(world_log_has(&world, 0, "job.restored"));
    check_outcome(&provenance);
    assert_int_equal(provenance.attempts, 3);
}

static void test_runner_kill__sigkill_inside_a_checkpoint(void **state)
{
    (void)state;
    kill_inside_checkpoints(NULL);
}

/* A high rate and no patience: the control loss is soon above its best. */
static void stop_early(struct job_spec *spec)
{
    spec->phenotype.learning.lr = 0.02;
    spec->phenotype.learning.early_stop = 1;
}

/* Another job than that of the other tests, so its undisturbed outcome is made here. */
static void test_runner_kill__sigkill_in_a_job_that_stops_early(void **state)
{
    struct result_provenance provenance;
    struct result_outcome outcome;
    struct bytes others = expected;
    struct nero_err err;

    (void)state;
    bytes_init(&expected, RESULT_BYTES_MAX);
    world_begin_run(&world, BUDGET, stop_early);
    world_start(&world, 0, at_ease);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    world_outcome(&world, &expected, &provenance);
    assert_int_equal(result_outcome_decode(bytes_as_view(&expected), &outcome, &err), NERO_OK);
    assert_int_equal(outcome.stop, RESULT_STOP_EARLY);
    free(outcome.histogram);
    free(outcome.curve);
    world_end_run(&world);
    kill_at_random(4, always, stop_early);
    kill_inside_checkpoints(stop_early);
    bytes_fini(&expected);
    expected = others;
}

/* Told to stop, it ends before the kill that follows. */
static void end_within(int64_t grace_ms)
{
    int64_t start_ns = clock_mono_ns(clock_system());

    world_signal(&world, 0, SIGTERM);
    assert_int_equal(world_wait_end(&world, 0, grace_ms), 75);
    (void)printf("from SIGTERM to the end: %.2f s\n",
                 clock_seconds_since(clock_system(), start_ns));
}

static void test_runner_kill__sigterm_commits_releases_and_ends_with_75(void **state)
{
    struct result_provenance provenance;
    struct queue_job_info info;
    uint64_t slots;

    (void)state;
    world_begin_run(&world, BUDGET, NULL);
    world_start(&world, 0, at_ease);
    assert_true(world_wait_log(&world, 0, "epoch.ended"));
    end_within(RUNNER_NOTICE_GRACE_MS);
    slots = world_slot_count(&world);
    assert_int_equal(slots, 2); /* takeover, checkpoint on notice */
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready"); /* at once, not after the lease */
    assert_int_equal(info.preemptions, 1);
    assert_int_equal(info.lost_leases, 0);
    assert_int_equal(info.failures, 0);
    world_start(&world, 0, at_ease);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_true(world_log_has(&world, 0, "restored_from=1"));
    check_outcome(&provenance);
    assert_int_equal(provenance.attempts, 2);
    assert_int_equal(provenance.preemptions, 1);
}

/* Crash point 15: a notice while an upload hangs. The job is given back and the program ends under
 * the upload before the kill comes; what was committed before counts. */
static void test_runner_kill__sigterm_during_an_upload_that_hangs(void **state)
{
    static const char *const hurried[] = {
        "--once", "--checkpoint-interval", "steps:5", "--stop-grace", "5", NULL};
    struct queue_job_info info;
    int fds[LOCKS];

    (void)state;
    world_begin_run(&world, "epochs:1000", NULL);
    world_start(&world, 0, hurried);
    assert_true(world_wait_log(&world, 0, "checkpoint.committed"));
    hold_locks(fds);
    world_pass(&world, 500); /* the next one is on its way */
    end_within(5000);
    assert_true(world_log_has(&world, 0, "checkpoint.given_up"));
    assert_true(world_log_has(&world, 0, "in the midst of an upload"));
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready");
    assert_int_equal(info.preemptions, 1);
    assert_int_equal(info.lost_leases, 0);
    release_locks(fds);
    world_start(&world, 0, often);
    assert_true(world_wait_log(&world, 0, "job.restored"));
    world_signal(&world, 0, SIGKILL);
    assert_int_equal(world_wait_end(&world, 0, 5000), -1);
    world_end_run(&world);
}

/* The parent's end of the enrolment socket closes: as SIGTERM. */
static void test_runner_kill__parents_death_stops_it(void **state)
{
    struct result_provenance provenance;

    (void)state;
    world_begin_run(&world, BUDGET, NULL);
    world_start(&world, 0, at_ease);
    assert_true(world_wait_log(&world, 0, "epoch.ended"));
    world_hang_up(&world, 0);
    assert_int_equal(world_wait_end(&world, 0, RUNNER_NOTICE_GRACE_MS), 75);
    world_start(&world, 0, at_ease);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    check_outcome(&provenance);
}

/* A sleeper wakes while its successor works, or after it has ended: it must not touch anything. */
static void sleep_past_the_lease(bool wake_late)
{
    struct result_provenance provenance;
    uint64_t slots;

    world_begin_run(&world, BUDGET, NULL);
    world_start(&world, 0, often);
    assert_true(world_wait_slots(&world, 3));
    world_signal(&world, 0, SIGSTOP);
    world_pass(&world, WORLD_LEASE_MS + 200);
    slots = world_slot_count(&world);
    world_start(&world, 1, often);
    assert_true(world_wait_slots(&world, slots + 2)); /* its takeover and a checkpoint */
    if (wake_late) {
        assert_int_equal(world_wait_end(&world, 1, 90000), 0);
    }
    world_signal(&world, 0, SIGCONT);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    assert_true(world_log_has(&world, 0, wake_late ? "end=known" : "end=lost"));
    assert_int_equal(world_wait_end(&world, 1, 90000), 0);
    assert_true(world_log_has(&world, 1, "end=done"));
    check_outcome(&provenance);
    assert_int_equal(provenance.attempts, 2);
}

static void test_runner_kill__sleeper_is_fenced_while_another_works(void **state)
{
    (void)state;
    sleep_past_the_lease(false);
}

static void test_runner_kill__sleeper_is_fenced_after_the_end(void **state)
{
    (void)state;
    sleep_past_the_lease(true);
}

/* Connections made so far end; all but the runner behind `link` can make new ones. */
static void cut_redis_off(const char *link)
{
    redisContext *redis = redisConnectUnix(redis_child_url(world.redis) + strlen("unix://"));
    redisReply *reply;

    assert_int_equal(unlink(link), 0);
    reply = redisCommand(redis, "CLIENT KILL TYPE normal SKIPME yes");
    assert_non_null(reply);
    assert_true(reply->type == REDIS_REPLY_INTEGER && reply->integer > 0);
    freeReplyObject(reply);
    redisFree(redis);
}

/* Of the slots from the newest takeover on; all are its owner's. */
static uint64_t slots_of_the_owner(uint64_t *token)
{
    struct trust *trust;
    struct chain *chain = open_chain(&trust);
    uint64_t count = 0;

    *token = chain_tail(chain)->slot.token;
    for (uint64_t i = chain_count(chain); i-- > 0 && chain_at(chain, i)->slot.token == *token;) {
        assert_true(chain_at(chain, i)->valid);
        count++;
    }
    close_chain(chain, trust);
    return count;
}

/* Away from Redis alone, a runner trains and commits on; when its lease has lapsed and another has
 * taken over, the bucket stops it. */
static void test_runner_kill__without_redis_it_works_until_overtaken(void **state)
{
    char link[TEMP_FOLDER_BYTES + 16];
    char url[TEMP_FOLDER_BYTES + 32];
    const char *const apart[] = {"--once", "--checkpoint-interval", "steps:5", "--redis", url,
                                 NULL};
    struct queue_job_info info;
    struct nero_err err = {0};
    uint64_t tokens[2];
    uint64_t slots;

    (void)state;
    (void)snprintf(link, sizeof link, "%s/apart.sock", world.folder);
    (void)snprintf(url, sizeof url, "unix://%s", link);
    assert_int_equal(symlink(redis_child_url(world.redis) + strlen("unix://"), link), 0);
    world_begin_run(&world, "epochs:1000", NULL);
    world_start(&world, 0, apart);
    assert_true(world_wait_slots(&world, 3));
    cut_redis_off(link);
    queue_close(world.queue); /* ended as well */
    tiny_check(queue_open(redis_child_url(world.redis), &world.queue, &err), &err, "queue");
    world_pass(&world, WORLD_LEASE_MS + 200);
    world_job_state(&world, &info);
    assert_string_equal(info.state, "ready");
    slots = world_slot_count(&world);
    assert_true(world_wait_slots(&world, slots + 2)); /* without a lease, and rightly */
    (void)slots_of_the_owner(&tokens[0]);
    world_start(&world, 1, often);
    assert_true(world_wait_log(&world, 0, "end=lost"));
    slots = world_slot_count(&world);
    assert_true(world_wait_slots(&world, slots + 2));
    assert_true(slots_of_the_owner(&tokens[1]) > 2);
    assert_true(tokens[1] > tokens[0]);
    for (int i = 0; i < 2; i++) {
        world_signal(&world, i, SIGKILL);
        assert_int_equal(world_wait_end(&world, i, 5000), -1);
    }
    world_end_run(&world);
}

enum damage { DAMAGE_STATE_BIT, DAMAGE_STATE_CUT, DAMAGE_SLOT_BIT, DAMAGE_SLOT_CUT };

/* The newest blob of the run: the state that was written last. */
static void newest_state(const struct chain_entry *entry, char out[LAYOUT_KEY_BYTES])
{
    assert_int_equal(entry->slot.kind, SLOT_CHECKPOINT);
    layout_blob(out, world.run.name, &entry->slot.blobs[0].hash);
}

static uint64_t damage_newest(enum damage damage)
{
    char object[LAYOUT_KEY_BYTES];
    struct trust *trust;
    struct chain *chain = open_chain(&trust);
    const struct chain_entry *entry = chain_checkpoint(chain, NULL);
    uint64_t number;

    assert_non_null(entry);
    number = entry->number;
    if (damage == DAMAGE_STATE_BIT || damage == DAMAGE_STATE_CUT) {
        newest_state(entry, object);
    } else {
        layout_slot(object, world.run.name, &world.job.id, number);
    }
    tiny_damage(world.store, object, damage == DAMAGE_STATE_CUT || damage == DAMAGE_SLOT_CUT);
    close_chain(chain, trust);
    return number;
}

/* Noticed, named in the log, and the checkpoint before is taken. */
static void damage_and_resume(enum damage damage)
{
    struct result_provenance provenance;
    uint64_t number;
    char text[64];

    world_begin_run(&world, BUDGET, NULL);
    world_start(&world, 0, often);
    assert_true(world_wait_slots(&world, 4));
    end_within(RUNNER_NOTICE_GRACE_MS); /* so that the next one need not wait for the lease */
    number = damage_newest(damage);
    world_start(&world, 0, often);
    assert_int_equal(world_wait_end(&world, 0, 90000), 0);
    (void)snprintf(text, sizeof text, "%s.damaged",
                   damage <= DAMAGE_STATE_CUT ? "checkpoint" : "slot");
    assert_true(world_log_has(&world, 0, text));
    (void)snprintf(text, sizeof text, "slot=%llu ", (unsigned long long)number);
    assert_true(world_log_has(&world, 0, text));
    (void)snprintf(text, sizeof text, "restored_from=%llu ", (unsigned long long)number - 1);
    assert_true(world_log_has(&world, 0, text));
    check_outcome(&provenance);
    /* Steps between the two are known to be done twice only where the newer slot can be read. */
    assert_true(provenance.steps_redone > 0 || damage > DAMAGE_STATE_CUT);
}

static void test_runner_kill__damaged_state_falls_back(void **state)
{
    (void)state;
    damage_and_resume(DAMAGE_STATE_BIT);
    damage_and_resume(DAMAGE_STATE_CUT);
}

static void test_runner_kill__damaged_slot_falls_back(void **state)
{
    (void)state;
    damage_and_resume(DAMAGE_SLOT_BIT);
    damage_and_resume(DAMAGE_SLOT_CUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runner_kill__undisturbed),
        cmocka_unit_test(test_runner_kill__sigkill_at_random_moments),
        cmocka_unit_test(test_runner_kill__sigkill_while_writing_checkpoints),
        cmocka_unit_test(test_runner_kill__sigkill_inside_a_checkpoint),
        cmocka_unit_test(test_runner_kill__sigkill_in_a_job_that_stops_early),
        cmocka_unit_test(test_runner_kill__sigterm_commits_releases_and_ends_with_75),
        cmocka_unit_test(test_runner_kill__sigterm_during_an_upload_that_hangs),
        cmocka_unit_test(test_runner_kill__parents_death_stops_it),
        cmocka_unit_test(test_runner_kill__sleeper_is_fenced_while_another_works),
        cmocka_unit_test(test_runner_kill__sleeper_is_fenced_after_the_end),
        cmocka_unit_test(test_runner_kill__without_redis_it_works_until_overtaken),
        cmocka_unit_test(test_runner_kill__damaged_state_falls_back),
        cmocka_unit_test(test_runner_kill__damaged_slot_falls_back),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
