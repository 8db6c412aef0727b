/*
 * Goal: an outage is waited out: rests grow to a bound and end with it, and a full store loses no
 * submission. Method: the rests against the clock; a request in the inbox of a store whose n-th
 * write finds no room, for each n.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inbox.h"
#include "nero/clock.h"
#include "nero/hash.h"
#include "nero/storage_fault.h"
#include "outage.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_run.h"

static void test_outage__rests_grow_to_a_bound(void **state)
{
    const struct nero_err err = {.status = NERO_NO_SPACE, .message = "full"};
    struct outage outage = {0};
    uint32_t before_ms = 0;

    (void)state;
    assert_false(outage_rests(&outage));
    for (int i = 0; i < 40; i++) {
        outage_goes_on(&outage, 1000, "test.waiting", "run", &err);
        assert_true(outage.rest_ms > before_ms || outage.rest_ms == 1000);
        assert_true(outage.rest_ms <= 1000);
        before_ms = outage.rest_ms;
    }
    assert_int_equal(outage.rest_ms, 1000);
    assert_true(outage_rests(&outage));
    outage.tried_ns -= INT64_C(1000000000);
    assert_false(outage_rests(&outage));
    outage_goes_on(&outage, 1000, "test.waiting", "run", &err);
    outage_is_over(&outage, "test.back", "run");
    assert_false(outage_rests(&outage));
    assert_int_equal(outage.tries, 0);
}

/* Leave the request for a run `name`, modelled on the run `model`. */
static void request(struct storage *store, const struct tiny_run *model, const char *name)
{
    struct run_record record;
    struct trust *trust;
    struct nero_err err;

    tiny_check(trust_open(store, model->name, NULL, &trust, &err), &err, "open the model");
    record = *trust_run(trust);
    (void)snprintf(record.name, sizeof record.name, "%s", name);
    tiny_check(inbox_put(store, &record, &model->root, &err), &err, "put the request");
    trust_close(trust);
}

static void test_outage__full_store_loses_no_submission(void **state)
{
    char folder[TEMP_FOLDER_BYTES];
    struct storage_fault *control;
    struct storage *store;
    struct storage *mem;
    struct tiny_run model;
    struct nero_err err;
    uint64_t fired = 1;
    uint32_t made = 0;

    (void)state;
    assert_int_equal(temp_folder_make(folder, NULL), 0);
    assert_int_equal(setenv("XDG_DATA_HOME", folder, 1), 0);
    tiny_check(storage_open("mem:outage", true, &mem, &err), &err, "open");
    tiny_check(storage_fault_wrap(mem, &store, &control, &err), &err, "wrap");
    tiny_run_create(&model, store, "model", 8, 64, RUN_SAME_CLASS);
    for (uint64_t nth = 1; fired > 0; nth++) {
        char name[16];
        char key[64];
        enum nero_status status;

        (void)snprintf(name, sizeof name, "wanted%d", (int)nth);
        (void)snprintf(key, sizeof key, "runs/%s/run", name);
        request(store, &model, name);
        storage_fault_set(control,
                          (struct storage_fault_plan){.nth = nth,
                                                      .operations = STORAGE_FAULT_PUT_IF_ABSENT |
                                                                    STORAGE_FAULT_PUT,
                                                      .status = NERO_NO_SPACE});
        status = inbox_take(store, &model.root, &made, &err);
        fired = storage_fault_fired(control);
        storage_fault_set(control, (struct storage_fault_plan){0});
        assert_int_equal(status, fired > 0 ? NERO_NO_SPACE : NERO_OK);
        tiny_check(inbox_take(store, &model.root, &made, &err), &err, "take with room");
        assert_int_equal(made, fired > 0 ? 1 : 0);
        tiny_check(storage_head(store, key, NULL, &err), &err, name);
        assert_true(nth > 1 || fired > 0); /* there was something to fail */
    }
    storage_close(store);
    temp_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outage__rests_grow_to_a_bound),
        cmocka_unit_test(test_outage__full_store_loses_no_submission),
    };
    struct nero_err err;

    tiny_check(hash_library_init(&err), &err, "libraries");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
