/*
 * Goal: collection removes exactly what nothing needs, says so in a signed record that audits
 * honour, and takes nothing from a job that is still to be done. Method: runs with random chains,
 * what must be kept worked out beside them; a whole fabricated run, audited before and after; a job
 * that goes on while collection runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/rng.h"
#include "nero/storage_fault.h"

#include "audit_world.h"
#include "collection.h"
#include "gc.h"
#include "tests/support/tiny_run.h"

enum { ROUNDS = 30, JOBS_MAX = 6, CHECKPOINTS_MAX = 9, BLOBS_MAX = 256, DAY_MS = 24 * 3600 * 1000 };

struct expected {
    struct hash hash;
    bool kept;
};

struct made {
    struct storage *store;
    struct storage_fault *faults;
    struct tiny_run run;
    struct trust *trust;
    struct key_pair runner;
    struct tiny_job jobs[JOBS_MAX];
    uint32_t job_count;
    struct expected blobs[BLOBS_MAX];
    uint32_t blob_count;
    bool unfinished;
};

/* ---- random runs ---- */

static void must(enum nero_status status, const struct nero_err *err)
{
    tiny_check(status, err, "made run");
}

static void made_open(struct made *made, uint64_t round)
{
    struct storage *inner;
    struct nero_err err;
    char name[32];

    *made = (struct made){.job_count = 0};
    (void)snprintf(name, sizeof name, "gc-%llu", (unsigned long long)round);
    must(storage_open("mem:", true, &inner, &err), &err);
    must(storage_fault_wrap(inner, &made->store, &made->faults, &err), &err);
    tiny_run_create(&made->run, made->store, name, 8, 40, RUN_SAME_CLASS);
    key_pair_generate(&made->runner);
    tiny_run_certify(&made->run, &made->runner.public_key);
    must(trust_open(made->store, name, NULL, &made->trust, &err), &err);
}

static void made_close(struct made *made)
{
    for (uint32_t i = 0; i < made->job_count; i++) {
        tiny_job_fini(&made->jobs[i]);
    }
    trust_close(made->trust);
    storage_close(made->store);
}

static struct hash put_blob(struct made *made, uint64_t salt, bool kept)
{
    char key[LAYOUT_KEY_BYTES];
    struct hash hash = hash_of(bytes_view_of(&salt, sizeof salt));
    struct nero_err err;

    layout_blob(key, made->run.name, &hash);
    must(storage_put(made->store, key, bytes_view_of(&salt, sizeof salt), &err), &err);
    assert_true(made->blob_count < BLOBS_MAX);
    made->blobs[made->blob_count++] = (struct expected){.hash = hash, .kept = kept};
    return hash;
}

static void append(struct made *made, struct chain *chain, enum slot_kind kind, uint64_t salt,
                   bool kept)
{
    static const uint8_t body[] = {0x90};
    struct slot slot = {.kind = kind,
                        .token = 1ull << 32,
                        .nonce = 1,
                        .reason = SLOT_INTERVAL,
                        .blob_count = 1,
                        .body = bytes_view_of(body, sizeof body)};
    struct nero_err err;

    (void)snprintf(slot.blobs[0].role, sizeof slot.blobs[0].role, "state");
    slot.blobs[0].hash = put_blob(made, salt, kept);
    slot.blobs[0].bytes = sizeof salt;
    must(chain_append(chain, &slot, &made->runner, NULL, &err), &err);
}

/* A job with some checkpoints and an end, or none yet, and what of it is to be kept. */
static void make_job(struct made *made, struct rng_stream *random)
{
    struct tiny_job *job = &made->jobs[made->job_count];
    uint32_t checkpoints = (uint32_t)rng_below(random, CHECKPOINTS_MAX + 1);
    enum { OPEN, FINAL, FAILED } end = (int)rng_below(random, 3);
    uint64_t salt = 1000 * (made->job_count + 1);
    struct chain *chain;
    struct nero_err err;

    tiny_job_create(job, &made->run, made->job_count + 1, "epochs:1", NULL);
    made->job_count++;
    must(
        chain_open(made->store, made->trust, &job->id, bytes_as_view(&job->envelope), &chain, &err),
        &err);
    must(chain_takeover(chain, 1ull << 32, 1, 0, &made->runner, &err), &err);
    for (uint32_t i = 0; i < checkpoints; i++) {
        append(made, chain, SLOT_CHECKPOINT, salt + i, end != FINAL || i + 3 >= checkpoints);
    }
    if (end == FINAL) {
        append(made, chain, SLOT_FINAL, salt + 100, true);
    } else if (end == FAILED) {
        struct slot slot = {
            .kind = SLOT_FAILED, .token = 1ull << 32, .nonce = 1, .text = "for a test"};

        must(chain_append(chain, &slot, &made->runner, NULL, &err), &err);
    }
    made->unfinished = made->unfinished || end == OPEN;
    chain_close(chain);
}

static bool is_there(struct made *made, const struct hash *hash)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err err;

    layout_blob(key, made->run.name, hash);
    return storage_head(made->store, key, NULL, &err) == NERO_OK;
}

static enum nero_status collect(struct made *made, bool dry_run, int64_t now_ms,
                                struct gc_report *report, struct nero_err *err)
{
    struct gc_options options = {.dry_run = dry_run, .grace_ms = DAY_MS, .now_ms = now_ms};

    return gc_run(made->store, made->run.name, &made->run.root.public_key, &made->run.key, &options,
                  report, err);
}

static uint32_t count_there(struct made *made, bool kept)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < made->blob_count; i++) {
        count += made->blobs[i].kept == kept && is_there(made, &made->blobs[i].hash);
    }
    return count;
}

static void test_gc__random_runs_keep_exactly_what_is_needed(void **state)
{
    struct rng_stream random = rng_stream(7, RNG_TEST, 0, 0, 3);
    uint32_t collected = 0;

    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        static struct made made;
        struct gc_report report;
        struct nero_err err;
        uint32_t jobs = (uint32_t)rng_below(&random, JOBS_MAX + 1);
        uint32_t orphans = (uint32_t)rng_below(&random, 4);
        uint32_t needed;
        uint32_t unneeded;

        made_open(&made, round);
        for (uint32_t i = 0; i < jobs; i++) {
            make_job(&made, &random);
        }
        for (uint32_t i = 0; i < orphans; i++) {
            (void)put_blob(&made, 77 + i, made.unfinished);
        }
        needed = count_there(&made, true);
        unneeded = count_there(&made, false);
        must(collect(&made, true, 0, &report, &err), &err); /* dry: nothing changes */
        assert_int_equal(report.unneeded, unneeded);
        must(collect(&made, false, 1000, &report, &err), &err); /* named, not yet removed */
        assert_int_equal(report.named, unneeded);
        assert_int_equal(report.removed, 0);
        must(collect(&made, false, 1000 + DAY_MS - 1, &report, &err), &err);
        assert_int_equal(report.named, 0);
        assert_int_equal(report.removed, 0);
        assert_int_equal(count_there(&made, false), unneeded);
        must(collect(&made, false, 1000 + DAY_MS, &report, &err), &err);
        assert_int_equal(report.removed, unneeded);
        assert_int_equal(count_there(&made, true), needed);
        assert_int_equal(count_there(&made, false), 0);
        collected += unneeded;
        made_close(&made);
    }
    assert_true(collected > 50);
}

/* Whatever call fails, what is needed stays, what is gone stands in a record, and the next call
 * finishes the work. */
static void test_gc__every_failing_call_leaves_it_whole(void **state)
{
    struct rng_stream random = rng_stream(11, RNG_TEST, 0, 0, 3);
    uint64_t fired = 1;

    (void)state;
    for (uint64_t nth = 1; fired > 0; nth++) {
        static struct made made;
        struct gc_report report;
        struct nero_err err;
        struct collections records;
        uint32_t needed;

        made_open(&made, nth);
        for (int i = 0; i < 3; i++) {
            make_job(&made, &random);
        }
        needed = count_there(&made, true);
        storage_fault_set(made.faults,
                          (struct storage_fault_plan){.nth = nth,
                                                      .when = nth % 2 == 0 ? STORAGE_FAULT_BEFORE
                                                                           : STORAGE_FAULT_AFTER,
                                                      .status = NERO_UNAVAILABLE});
        (void)collect(&made, false, 0, &report, &err);
        (void)collect(&made, false, DAY_MS, &report, &err);
        fired = storage_fault_fired(made.faults);
        storage_fault_set(made.faults, (struct storage_fault_plan){0});
        assert_int_equal(count_there(&made, true), needed);
        must(collections_read(made.store, made.trust, &records, &err), &err);
        for (uint32_t i = 0; i < made.blob_count; i++) {
            assert_true(is_there(&made, &made.blobs[i].hash) ||
                        collections_find(&records, &made.blobs[i].hash) != NULL);
        }
        collections_fini(&records);
        must(collect(&made, false, 2 * DAY_MS, &report, &err), &err);
        must(collect(&made, false, 4 * (int64_t)DAY_MS, &report, &err), &err);
        assert_int_equal(count_there(&made, true), needed);
        assert_int_equal(count_there(&made, false), 0);
        made_close(&made);
        assert_true(nth < 500);
    }
}

/* Every slot of a job that goes on beside collection finds its blob; so does a new attempt. */
static void test_gc__job_that_goes_on_loses_nothing(void **state)
{
    static struct made made;
    struct gc_report report;
    struct nero_err err;
    struct chain *chain;
    struct tiny_job *job = &made.jobs[0];

    (void)state;
    made_open(&made, 0);
    tiny_job_create(job, &made.run, 1, "epochs:1", NULL);
    made.job_count = 1;
    must(chain_open(made.store, made.trust, &job->id, bytes_as_view(&job->envelope), &chain, &err),
         &err);
    must(chain_takeover(chain, 1ull << 32, 1, 0, &made.runner, &err), &err);
    for (uint32_t i = 0; i < 12; i++) {
        struct hash early = put_blob(&made, 500 + i, true); /* uploaded, its slot not yet written */

        must(collect(&made, false, (int64_t)i * 3 * DAY_MS, &report, &err), &err);
        assert_true(is_there(&made, &early));
        append(&made, chain, SLOT_CHECKPOINT, 500 + i, true);
        must(collect(&made, false, ((int64_t)i * 3 + 1) * DAY_MS, &report, &err), &err);
        assert_int_equal(report.removed, 0);
    }
    assert_int_equal(count_there(&made, true), made.blob_count);
    append(&made, chain, SLOT_FINAL, 900, true);
    must(collect(&made, false, (int64_t)100 * DAY_MS, &report, &err), &err);
    assert_int_equal(report.named, 9);
    chain_close(chain);
    made_close(&made);
}

/* Who cannot read a job cannot tell what it needs. */
static void test_gc__damaged_run_is_left_alone(void **state)
{
    struct rng_stream random = rng_stream(5, RNG_TEST, 0, 0, 3);
    static struct made made;
    struct gc_report report;
    struct nero_err err;
    char key[LAYOUT_KEY_BYTES];
    uint32_t blobs;

    (void)state;
    made_open(&made, 0);
    for (int i = 0; i < 4; i++) {
        make_job(&made, &random);
    }
    blobs = count_there(&made, true) + count_there(&made, false);
    layout_spec(key, made.run.name, &made.jobs[1].id);
    tiny_damage(made.store, key, false);
    assert_true(collect(&made, false, 0, &report, &err) != NERO_OK);
    assert_non_null(strstr(err.message, key));
    must(storage_remove(made.store, key, &err), &err);
    assert_int_equal(collect(&made, false, 0, &report, &err), NERO_CORRUPT);
    assert_int_equal(count_there(&made, true) + count_there(&made, false), blobs);
    made_close(&made);
}

/* ---- a whole run, audited ---- */

static void collect_world(int64_t now_ms, struct gc_report *report)
{
    struct gc_options options = {.grace_ms = DAY_MS, .now_ms = now_ms};
    struct nero_err err;

    fabricate_check(gc_run(world.run.store, world.run.name, &world.run.root.public_key,
                           &world.run.run_key, &options, report, &err),
                    &err, "collect");
}

static void test_gc__audit_is_clean_before_and_after(void **state)
{
    struct audit_report audit;
    struct gc_report report;
    char key[LAYOUT_KEY_BYTES];
    struct bytes record;
    struct hash left = hash_of(bytes_view_str("left by an attempt that died"));
    struct nero_err err;

    (void)state;
    layout_blob(key, world.run.name, &left);
    fabricate_check(
        storage_put(world.run.store, key, bytes_view_str("left by an attempt that died"), &err),
        &err, "a blob that no slot names");
    audit_world_clean();
    collect_world(0, &report);
    assert_int_equal(report.unneeded, 3); /* two of the five checkpoints of one job, and that */
    assert_int_equal(report.named, 3);
    audit_world_clean();
    collect_world(DAY_MS, &report);
    assert_int_equal(report.removed, 3);
    audit_world_clean();
    audit = audit_world_audit();
    assert_int_equal(audit.blobs_collected, 2);
    audit_report_fini(&audit);
    /* Without the record, or with another's, the same absence is found. */
    layout_collection(key, world.run.name, 0);
    record = audit_world_read(key);
    audit_world_remove(key);
    audit = audit_world_audit();
    assert_int_equal(audit.finding_count, 2);
    audit_report_fini(&audit);
    record.data[record.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&record));
    audit_world_found(key, "a flipped bit");
    record.data[record.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&record));
    audit_world_clean();
    bytes_fini(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gc__random_runs_keep_exactly_what_is_needed),
        cmocka_unit_test(test_gc__every_failing_call_leaves_it_whole),
        cmocka_unit_test(test_gc__job_that_goes_on_loses_nothing),
        cmocka_unit_test(test_gc__damaged_run_is_left_alone),
        cmocka_unit_test(test_gc__audit_is_clean_before_and_after),
    };

    return cmocka_run_group_tests(tests, audit_world_setup, audit_world_teardown);
}
