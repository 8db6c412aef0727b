/*
 * Goal: runs that are whole are called clean, whatever honest trouble they had, and it is said how
 * far they are. Method: fabricated runs of all shapes; the state that the report tells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit_world.h"
#include "generation_store.h"
#include "nero/chain.h"

/* ---- whole runs ---- */

static void test_audit_whole__calls_a_finished_run_clean(void **state)
{
    struct audit_report report = audit_world_audit();

    (void)state;
    audit_world_clean();
    assert_true(report.finished);
    assert_int_equal(report.generations, 9);
    assert_int_equal(report.head_count, 2); /* the lineage's, and the score job's */
    assert_int_equal(report.epochs, 2);
    assert_int_equal(report.certificates, 2);
    assert_true(report.results >= 5 && report.slots > report.results);
    assert_true(report.signatures > 40);
    assert_true(report.blob_bytes > 0);
    assert_int_equal(report.objects, world.key_count);
    audit_report_fini(&report);
}

/* Options, what must be said of it. */
static void check_standing(const char *name, struct fabricate_options options, bool finished,
                           const char *standing, uint32_t heads)
{
    static struct fabricate run;
    struct audit_options audit = {.skip_blobs = false};
    struct audit_report report;
    struct nero_err err;

    fabricate_run(&run, world.folder, name, &options);
    audit.root = run.root.public_key;
    assert_int_equal(audit_run(run.store, name, &audit, &report, &err), NERO_OK);
    for (uint32_t i = 0; i < report.finding_count; i++) {
        print_error("%s: %s\n", report.findings[i].artifact, report.findings[i].what);
    }
    assert_int_equal(report.finding_count, 0);
    assert_int_equal(report.finished, finished);
    assert_non_null(strstr(report.standing, standing));
    assert_int_equal(report.head_count, heads);
    audit_report_fini(&report);
    fabricate_fini(&run);
}

static void test_audit_whole__tells_how_far_a_run_is(void **state)
{
    struct fabricate_options options = fabricate_defaults();

    (void)state;
    options.close = 0;
    check_standing("just-begun", options, false, "open: 0 of 3", 1);
    options.close = 2;
    check_standing("half-way", options, false, "open: 2 of 3", 1);
    options.close = 3;
    options.score_test = false;
    check_standing("not-scored", options, true, "finished: 3 of 3", 1);
    options =
        (struct fabricate_options){.lineages = 2, .generations = 2, .close = 2, .score_test = true};
    check_standing("two-lineages", options, true, "scored", 3);
    options = (struct fabricate_options){.lineages = 1, .generations = 1, .single = true};
    check_standing("single", options, true, "finished: the evaluation", 1);
}

static void test_audit_whole__refuses_a_run_that_is_not_there(void **state)
{
    struct audit_options options = {.root = world.run.root.public_key};
    struct audit_report report;
    struct nero_err err;

    (void)state;
    assert_int_equal(audit_run(world.run.store, "nowhere", &options, &report, &err),
                     NERO_NOT_FOUND);
    assert_int_equal(audit_run(world.run.store, "../etc", &options, &report, &err), NERO_INVALID);
}

static void test_audit_whole__finds_a_wrong_root(void **state)
{
    struct audit_options options = {.skip_blobs = true};
    struct audit_report report;
    struct key_pair other;
    struct nero_err err;

    (void)state;
    key_pair_generate(&other);
    options.root = other.public_key;
    assert_int_equal(audit_run(world.run.store, world.run.name, &options, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 1);
    assert_string_equal(report.findings[0].artifact, "runs/made-up/run");
    audit_report_fini(&report);
}

/* ---- damage that the run went on behind ---- */

static void open_chain(struct fabricate *run, const struct hash *job, struct chain **out)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes envelope;
    struct nero_err err;

    layout_spec(key, run->name, job);
    bytes_init(&envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    assert_int_equal(storage_get(run->store, key, &envelope, NULL, &err), NERO_OK);
    assert_int_equal(chain_open(run->store, run->trust, job, bytes_as_view(&envelope), out, &err),
                     NERO_OK);
    bytes_fini(&envelope);
}

static void take_over(struct fabricate *run, const struct hash *job, uint64_t token)
{
    struct chain *chain;
    struct nero_err err;

    open_chain(run, job, &chain);
    assert_int_equal(chain_takeover(chain, token, token, 0, &run->runners[0], &err), NERO_OK);
    chain_close(chain);
}

/* Slot 1 is damaged, slot 2 lists it as skipped: the job goes on, and the damage is still told. */
static void test_audit_whole__tells_damage_that_was_skipped(void **state)
{
    static struct fabricate run;
    struct fabricate_options options = fabricate_defaults();
    struct audit_options audit = {.skip_blobs = false};
    struct generation_stored proposed;
    struct audit_report report;
    struct bytes body;
    struct hash job;
    struct nero_err err;
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    options.close = 0;
    fabricate_run(&run, world.folder, "skipping", &options);
    assert_int_equal(generation_store_get(run.store, run.trust, run.name, 0, 0, GENERATION_PROPOSED,
                                          &proposed, &err),
                     NERO_OK);
    job = proposed.generation.members[0].job;
    generation_stored_fini(&proposed);
    take_over(&run, &job, UINT64_C(1) << 32 | 101);
    take_over(&run, &job, UINT64_C(1) << 32 | 102);
    layout_slot(key, run.name, &job, 1);
    body = audit_world_read(key);
    body.data[body.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&body));
    bytes_fini(&body);
    take_over(&run, &job, UINT64_C(1) << 32 | 103);
    audit.root = run.root.public_key;
    assert_int_equal(audit_run(run.store, run.name, &audit, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 1);
    assert_int_equal(audit_world_named(&report, key), 1);
    assert_int_equal(report.slots, 3);
    audit_report_fini(&report);
    fabricate_fini(&run);
}

/* Ended by the scheduler: cancelled before anybody took it, reopened, failed. */
static void test_audit_whole__bears_what_the_scheduler_ends(void **state)
{
    static const enum slot_kind kinds[] = {SLOT_CANCELLED, SLOT_REOPENED, SLOT_FAILED};
    static struct fabricate run;
    struct fabricate_options options = fabricate_defaults();
    struct audit_options audit = {.skip_blobs = false};
    struct generation_stored proposed;
    struct audit_report report;
    struct nero_err err;

    (void)state;
    options.close = 0;
    fabricate_run(&run, world.folder, "ended", &options);
    assert_int_equal(generation_store_get(run.store, run.trust, run.name, 0, 0, GENERATION_PROPOSED,
                                          &proposed, &err),
                     NERO_OK);
    audit.root = run.root.public_key;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        assert_int_equal(submission_terminate(&run.submission, &proposed.generation.members[0].job,
                                              1, kinds[i], "by hand", &err),
                         NERO_OK);
        assert_int_equal(audit_run(run.store, run.name, &audit, &report, &err), NERO_OK);
        assert_int_equal(report.finding_count, 0);
        assert_int_equal(report.slots, i + 1);
        audit_report_fini(&report);
    }
    generation_stored_fini(&proposed);
    fabricate_fini(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit_whole__calls_a_finished_run_clean),
        cmocka_unit_test(test_audit_whole__tells_how_far_a_run_is),
        cmocka_unit_test(test_audit_whole__refuses_a_run_that_is_not_there),
        cmocka_unit_test(test_audit_whole__finds_a_wrong_root),
        cmocka_unit_test(test_audit_whole__tells_damage_that_was_skipped),
        cmocka_unit_test(test_audit_whole__bears_what_the_scheduler_ends),
    };

    return cmocka_run_group_tests(tests, audit_world_setup, audit_world_teardown);
}
