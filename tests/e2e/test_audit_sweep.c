/*
 * Goal: whatever happens to any one object of a run, the audit finds it and names it; and whatever
 * the store or the memory does, it ends without a false finding. Method: a fabricated run in a
 * folder, extended once; every object of the store in turn is removed, flipped at five places, cut,
 * lengthened, emptied.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit_world.h"
#include "nero/mem.h"
#include "nero/storage_fault.h"

static void test_audit_sweep__names_every_object_that_is_removed(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < world.key_count; i++) {
        struct bytes body = audit_world_read(world.keys[i]);

        audit_world_remove(world.keys[i]);
        audit_world_found(world.keys[i], "removed");
        audit_world_write(world.keys[i], bytes_as_view(&body));
        bytes_fini(&body);
    }
    audit_world_clean();
}

static void test_audit_sweep__names_every_object_with_a_flipped_bit(void **state)
{
    enum { PLACES = 5 };

    (void)state;
    for (uint32_t i = 0; i < world.key_count; i++) {
        struct bytes body = audit_world_read(world.keys[i]);

        for (size_t place = 0; place < PLACES; place++) {
            size_t at = (body.bytes - 1) * place / (PLACES - 1);
            char what[64];

            (void)snprintf(what, sizeof what, "bit flipped in byte %zu of %zu", at, body.bytes);
            body.data[at] ^= (uint8_t)(1u << i % 8);
            audit_world_write(world.keys[i], bytes_as_view(&body));
            audit_world_found(world.keys[i], what);
            body.data[at] ^= (uint8_t)(1u << i % 8);
        }
        audit_world_write(world.keys[i], bytes_as_view(&body));
        bytes_fini(&body);
    }
    audit_world_clean();
}

static void test_audit_sweep__names_every_object_of_another_length(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < world.key_count; i++) {
        struct bytes body = audit_world_read(world.keys[i]);
        struct nero_err err;

        audit_world_write(world.keys[i], bytes_view_of(body.data, body.bytes / 2));
        audit_world_found(world.keys[i], "cut in half");
        audit_world_write(world.keys[i], bytes_view_of(body.data, 0));
        audit_world_found(world.keys[i], "emptied");
        assert_int_equal(bytes_append(&body, "", 1, &err), NERO_OK);
        audit_world_write(world.keys[i], bytes_as_view(&body));
        audit_world_found(world.keys[i], "one byte longer");
        audit_world_write(world.keys[i], bytes_view_of(body.data, body.bytes - 1));
        bytes_fini(&body);
    }
    audit_world_clean();
}

/* Every object takes the place of every next object of the store: signed bytes in a wrong place. */
static void test_audit_sweep__names_every_object_that_holds_another(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < world.key_count; i++) {
        struct bytes body = audit_world_read(world.keys[i]);
        struct bytes other = audit_world_read(world.keys[(i + 1) % world.key_count]);

        if (!bytes_view_equal(bytes_as_view(&body), bytes_as_view(&other))) {
            audit_world_write(world.keys[i], bytes_as_view(&other));
            audit_world_found(world.keys[i], "replaced by the next object");
            audit_world_write(world.keys[i], bytes_as_view(&body));
        }
        bytes_fini(&body);
        bytes_fini(&other);
    }
    audit_world_clean();
}

/* A store that stops answering at its N-th call: an outage, never a finding. */
static void test_audit_sweep__takes_an_outage_for_an_outage(void **state)
{
    struct audit_options options = {.root = world.run.root.public_key};
    struct storage_fault *control;
    struct storage *inner;
    struct storage *store;
    struct nero_err err;
    uint64_t fired = 1;

    (void)state;
    assert_int_equal(storage_open(world.run.url, false, &inner, &err), NERO_OK);
    assert_int_equal(storage_fault_wrap(inner, &store, &control, &err), NERO_OK);
    for (uint64_t nth = 1; fired > 0; nth++) {
        struct audit_report report;
        enum nero_status status;

        storage_fault_set(control, (struct storage_fault_plan){.nth = nth,
                                                               .for_good = nth % 2 == 0,
                                                               .when = STORAGE_FAULT_BEFORE,
                                                               .status = NERO_UNAVAILABLE});
        status = audit_run(store, world.run.name, &options, &report, &err);
        fired = storage_fault_fired(control);
        if (status == NERO_OK) {
            if (report.finding_count > 0) {
                fail_msg("call %u failed; %s: %s", (unsigned)nth, report.findings[0].artifact,
                         report.findings[0].what);
            }
            audit_report_fini(&report);
        }
        assert_int_equal(status, fired > 0 ? NERO_UNAVAILABLE : NERO_OK);
    }
    storage_close(store);
}

/* Audit with what `plan` says refused: it ends, and with a finding. The report is the caller's. */
static struct audit_report audit_refused(struct storage *store, struct storage_fault *control,
                                         struct storage_fault_plan plan)
{
    struct audit_options options = {.root = world.run.root.public_key};
    struct audit_report report;
    struct nero_err err;

    plan.for_good = true;
    plan.when = STORAGE_FAULT_BEFORE;
    plan.status = NERO_DENIED;
    storage_fault_set(control, plan);
    if (audit_run(store, world.run.name, &options, &report, &err) != NERO_OK) {
        fail_msg("call %u, %s refused: %s", (unsigned)plan.nth, plan.key != NULL ? plan.key : "",
                 err.message);
    }
    assert_int_equal(report.finding_count > 0, storage_fault_fired(control) > 0);
    return report;
}

/* What may not be read is a finding that names it, and the audit goes on without it. */
static void test_audit_sweep__names_every_object_that_is_refused(void **state)
{
    struct storage_fault *control;
    struct storage *inner;
    struct storage *store;
    struct nero_err err;
    char run[LAYOUT_KEY_BYTES];
    uint64_t fired = 1;

    (void)state;
    layout_run(run, world.run.name);
    assert_int_equal(storage_open(world.run.url, false, &inner, &err), NERO_OK);
    assert_int_equal(storage_fault_wrap(inner, &store, &control, &err), NERO_OK);
    for (uint32_t i = 0; i < world.key_count; i++) {
        struct audit_report report = audit_refused(
            store, control, (struct storage_fault_plan){.nth = 1, .key = world.keys[i]});
        bool named = false;

        for (uint32_t k = 0; k < report.finding_count; k++) {
            named = named || strcmp(report.findings[k].artifact, world.keys[i]) == 0 ||
                    strstr(report.findings[k].what, world.keys[i]) != NULL;
        }
        if (!named) {
            fail_msg("%s refused: not named", world.keys[i]);
        }
        /* But for the run's record, without which nothing can be judged. */
        assert_true(report.jobs > 1 || strcmp(world.keys[i], run) == 0);
        audit_report_fini(&report);
    }
    for (uint64_t nth = 1; fired > 0; nth++) { /* and all that follows, the list among it */
        struct audit_report report =
            audit_refused(store, control, (struct storage_fault_plan){.nth = nth});

        fired = storage_fault_fired(control);
        audit_report_fini(&report);
    }
    storage_close(store);
}

/* Allocations fail for good from the N-th on; N grows by a step that visits all kinds of them. */
static void test_audit_sweep__takes_no_memory_for_no_memory(void **state)
{
    enum { STEP = 37 };
    struct audit_options options = {.root = world.run.root.public_key};
    int fired = 1;

    (void)state;
    for (long skip = 0; fired > 0; skip += skip < 3 * STEP ? 1 : STEP) {
        struct audit_report report;
        struct nero_err err;
        enum nero_status status;

        (void)mem_fail_plan(skip, -1);
        status = audit_run(world.run.store, world.run.name, &options, &report, &err);
        fired = mem_fail_plan(0, 0);
        if (status == NERO_OK) {
            if (report.finding_count > 0) {
                fail_msg("allocation %ld failed: %u findings", skip, report.finding_count);
            }
            audit_report_fini(&report);
        }
        assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit_sweep__names_every_object_that_is_removed),
        cmocka_unit_test(test_audit_sweep__names_every_object_with_a_flipped_bit),
        cmocka_unit_test(test_audit_sweep__names_every_object_of_another_length),
        cmocka_unit_test(test_audit_sweep__names_every_object_that_holds_another),
        cmocka_unit_test(test_audit_sweep__takes_an_outage_for_an_outage),
        cmocka_unit_test(test_audit_sweep__names_every_object_that_is_refused),
        cmocka_unit_test(test_audit_sweep__takes_no_memory_for_no_memory),
    };

    return cmocka_run_group_tests(tests, audit_world_setup_extended, audit_world_teardown);
}
