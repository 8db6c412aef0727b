/*
 * Goal: a planned fault hits exactly the call that the plan names, before or after its effect.
 * Method: plans on a memory store, the state looked at behind the wrapper.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nero/storage_fault.h"

static struct storage *behind; /* the same memory store, without faults */
static struct storage *store;
static struct storage_fault *control;
static struct nero_err err;

static int open_stores(void **state)
{
    struct storage *inner;

    (void)state;
    return storage_open("mem:fault", true, &behind, &err) != NERO_OK ||
           storage_open("mem:fault", true, &inner, &err) != NERO_OK ||
           storage_fault_wrap(inner, &store, &control, &err) != NERO_OK;
}

static int close_stores(void **state)
{
    (void)state;
    storage_close(store);
    storage_close(behind);
    return 0;
}

static enum nero_status put(const char *key)
{
    return storage_put(store, key, bytes_view_str("x"), &err);
}

static void test_storage_fault__no_plan_no_fault(void **state)
{
    (void)state;
    assert_int_equal(put("a"), NERO_OK);
    assert_int_equal(storage_head(store, "a", NULL, &err), NERO_OK);
    assert_int_equal(storage_fault_calls(control), 2);
    assert_int_equal(storage_fault_fired(control), 0);
    assert_string_equal(storage_url(store), "mem:fault");
    assert_int_equal(storage_capabilities(store), storage_capabilities(behind));
}

static void test_storage_fault__nth_call_once_and_for_good(void **state)
{
    struct storage_fault_plan plan = {.nth = 2, .status = NERO_UNAVAILABLE};

    (void)state;
    storage_fault_set(control, plan);
    assert_int_equal(put("a"), NERO_OK);
    assert_int_equal(put("b"), NERO_UNAVAILABLE);
    assert_int_equal(put("c"), NERO_OK);
    assert_int_equal(storage_head(behind, "b", NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(storage_fault_calls(control), 3);
    assert_int_equal(storage_fault_fired(control), 1);
    plan.for_good = true;
    storage_fault_set(control, plan);
    assert_int_equal(put("d"), NERO_OK);
    assert_int_equal(put("e"), NERO_UNAVAILABLE);
    assert_int_equal(put("f"), NERO_UNAVAILABLE);
    assert_int_equal(storage_fault_fired(control), 2);
}

static void test_storage_fault__after_it_took_effect(void **state)
{
    struct storage_fault_plan plan = {
        .nth = 1, .when = STORAGE_FAULT_AFTER, .status = NERO_UNKNOWN};
    struct storage_list list;
    struct storage_info info = {.bytes = 9};
    struct bytes out;

    (void)state;
    bytes_init(&out, 10);
    storage_fault_set(control, plan);
    assert_int_equal(put("a"), NERO_UNKNOWN);
    assert_int_equal(storage_head(behind, "a", NULL, &err), NERO_OK);
    storage_fault_set(control, plan);
    assert_int_equal(storage_put_if_absent(store, "a", bytes_view_str("y"), &err), NERO_EXISTS);
    storage_fault_set(control, plan);
    assert_int_equal(storage_put_if_absent(store, "b", bytes_view_str("y"), &err), NERO_UNKNOWN);
    assert_int_equal(storage_head(behind, "b", NULL, &err), NERO_OK);
    storage_fault_set(control, plan);
    assert_int_equal(storage_get(store, "a", &out, &info, &err), NERO_UNKNOWN);
    assert_int_equal(out.bytes, 0);
    storage_fault_set(control, plan);
    assert_int_equal(storage_head(store, "a", &info, &err), NERO_UNKNOWN);
    assert_int_equal(info.bytes, 9);
    storage_fault_set(control, plan);
    assert_int_equal(storage_list_page(store, "", NULL, 5, &list, &err), NERO_UNKNOWN);
    storage_fault_set(control, plan);
    assert_int_equal(storage_remove(store, "a", &err), NERO_UNKNOWN);
    assert_int_equal(storage_head(behind, "a", NULL, &err), NERO_NOT_FOUND);
    storage_fault_set(control, plan);
    assert_int_equal(storage_remove_many(store, (const char *[]){"b"}, 1, &err), NERO_UNKNOWN);
    assert_int_equal(storage_head(behind, "b", NULL, &err), NERO_NOT_FOUND);
    bytes_fini(&out);
}

static void test_storage_fault__counts_only_what_the_plan_names(void **state)
{
    struct storage_fault_plan plan = {
        .nth = 2, .operations = STORAGE_FAULT_GET | STORAGE_FAULT_LIST, .status = NERO_DENIED};
    struct storage_list list;
    struct bytes out;

    (void)state;
    bytes_init(&out, 10);
    storage_fault_set(control, plan);
    assert_int_equal(put("a"), NERO_OK);
    assert_int_equal(storage_get(store, "a", &out, NULL, &err), NERO_OK);
    assert_int_equal(put("b"), NERO_OK);
    assert_int_equal(storage_head(store, "a", NULL, &err), NERO_OK);
    assert_int_equal(storage_list_page(store, "", NULL, 5, &list, &err), NERO_DENIED);
    assert_int_equal(storage_fault_calls(control), 2);
    bytes_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_storage_fault__no_plan_no_fault, open_stores,
                                        close_stores),
        cmocka_unit_test_setup_teardown(test_storage_fault__nth_call_once_and_for_good, open_stores,
                                        close_stores),
        cmocka_unit_test_setup_teardown(test_storage_fault__after_it_took_effect, open_stores,
                                        close_stores),
        cmocka_unit_test_setup_teardown(test_storage_fault__counts_only_what_the_plan_names,
                                        open_stores, close_stores),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
