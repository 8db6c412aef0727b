/*
 * Goal: retries end within the budget, wait as promised, repeat by status alone, and never turn an
 * unknown outcome into a definite one. Method: faults on a memory store, a virtual clock that
 * records every wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nero/storage_fault.h"
#include "nero/storage_retry.h"

enum { WAITS_MAX = 200 };

static struct storage *behind; /* the same memory store, bare */
static struct storage *store;
static struct storage_fault *control;
static struct nero_err err;

static int64_t now_ns;
static int64_t waits[WAITS_MAX];
static size_t wait_count;

/* What somebody else does to the store during the next wait. */
static void (*meanwhile)(void);

static int64_t virtual_ms(void *context)
{
    (void)context;
    return now_ns / 1000000;
}

static int64_t virtual_ns(void *context)
{
    (void)context;
    return now_ns;
}

static void virtual_sleep(void *context, int64_t ms)
{
    (void)context;
    assert_true(wait_count < WAITS_MAX);
    waits[wait_count++] = ms;
    now_ns += ms * 1000000;
    if (meanwhile != NULL) {
        meanwhile();
        meanwhile = NULL;
    }
}

static const struct clock_source clock = {
    .wall_ms = virtual_ms, .mono_ns = virtual_ns, .sleep_ms = virtual_sleep};

static int open_stores(void **state)
{
    struct storage_retry_options options = {.budget_ms = 10000,
                                            .delay_first_ms = 100,
                                            .delay_max_ms = 1600,
                                            .clock = &clock,
                                            .jitter = rng_stream(1, RNG_TEST, 0, 0, 0)};
    struct storage *inner;

    (void)state;
    now_ns = 5;
    wait_count = 0;
    meanwhile = NULL;
    return storage_open("mem:retry", true, &behind, &err) != NERO_OK ||
           storage_open("mem:retry", true, &inner, &err) != NERO_OK ||
           storage_fault_wrap(inner, &inner, &control, &err) != NERO_OK ||
           storage_retry_wrap(inner, &options, &store, &err) != NERO_OK;
}

static int close_stores(void **state)
{
    (void)state;
    storage_close(store);
    storage_close(behind);
    return 0;
}

static void plan(uint64_t nth, bool for_good, enum storage_fault_when when, enum nero_status status,
                 unsigned operations)
{
    storage_fault_set(control, (struct storage_fault_plan){.nth = nth,
                                                           .for_good = for_good,
                                                           .when = when,
                                                           .status = status,
                                                           .operations = operations});
}

static void test_storage_retry__waits_double_with_jitter_within_the_budget(void **state)
{
    static const int64_t nominal[] = {100, 200, 400, 800, 1600};
    bool differs = false;

    (void)state;
    plan(1, true, STORAGE_FAULT_BEFORE, NERO_UNAVAILABLE, 0);
    assert_int_equal(storage_put(store, "k", bytes_view_str("x"), &err), NERO_UNAVAILABLE);
    assert_true(wait_count > 6);
    for (size_t i = 0; i < wait_count; i++) {
        int64_t full = nominal[i < 5 ? i : 4];

        assert_true(waits[i] >= full / 2 && waits[i] <= full);
        differs = differs || waits[i] != waits[4];
    }
    assert_true(differs);
    assert_true(now_ns <= 10000 * INT64_C(1000000) + 5);
    assert_true(now_ns > 8000 * INT64_C(1000000));
    assert_int_equal(storage_fault_calls(control), wait_count + 1);
    assert_non_null(strstr(err.message, "gave up after"));
}

static void test_storage_retry__repeats_by_status_alone(void **state)
{
    struct bytes out;

    (void)state;
    bytes_init(&out, 10);
    assert_int_equal(storage_put(behind, "k", bytes_view_str("x"), &err), NERO_OK);
    for (int status = NERO_NOT_FOUND; status <= NERO_CANCELLED; status++) {
        bool again = err_is_retryable((enum nero_status)status);

        wait_count = 0;
        bytes_clear(&out);
        plan(1, false, STORAGE_FAULT_BEFORE, (enum nero_status)status, 0);
        assert_int_equal(storage_get(store, "k", &out, NULL, &err),
                         again ? NERO_OK : (enum nero_status)status);
        assert_int_equal(wait_count, again ? 1 : 0);
        assert_int_equal(out.bytes, again ? 1 : 0); /* appended once */
    }
    bytes_fini(&out);
}

static void test_storage_retry__unknown_create_finds_its_own_bytes(void **state)
{
    (void)state;
    plan(1, false, STORAGE_FAULT_AFTER, NERO_UNKNOWN, STORAGE_FAULT_PUT_IF_ABSENT);
    assert_int_equal(storage_put_if_absent(store, "k", bytes_view_str("mine"), &err), NERO_OK);
    assert_int_equal(storage_fault_calls(control), 2);
    /* Without an unknown try of its own, exists is exists, whatever the bytes. */
    assert_int_equal(storage_put_if_absent(store, "k", bytes_view_str("mine"), &err), NERO_EXISTS);
    plan(1, false, STORAGE_FAULT_BEFORE, NERO_UNAVAILABLE, STORAGE_FAULT_PUT_IF_ABSENT);
    assert_int_equal(storage_put_if_absent(store, "k", bytes_view_str("mine"), &err), NERO_EXISTS);
}

static void somebody_creates(void)
{
    struct nero_err ignored;

    assert_int_equal(storage_put(behind, "k", bytes_view_str("theirs"), &ignored), NERO_OK);
}

static void somebody_removes(void)
{
    struct nero_err ignored;

    assert_int_equal(storage_remove(behind, "k", &ignored), NERO_OK);
}

static void test_storage_retry__unknown_create_that_lost(void **state)
{
    (void)state;
    meanwhile = somebody_creates;
    plan(1, false, STORAGE_FAULT_BEFORE, NERO_UNKNOWN, STORAGE_FAULT_PUT_IF_ABSENT);
    assert_int_equal(storage_put_if_absent(store, "k", bytes_view_str("mine"), &err), NERO_EXISTS);
    assert_non_null(strstr(err.message, "other bytes"));
    /* Equal in length, and longer than what is there */
    plan(1, false, STORAGE_FAULT_BEFORE, NERO_UNKNOWN, STORAGE_FAULT_PUT_IF_ABSENT);
    assert_int_equal(storage_put_if_absent(store, "k", bytes_view_str("thei!s"), &err),
                     NERO_EXISTS);
}

/* The comparison itself fails: then it is repeated, too, and the answer stays right. */
static void test_storage_retry__unreadable_while_settling(void **state)
{
    (void)state;
    plan(1, true, STORAGE_FAULT_AFTER, NERO_UNKNOWN, STORAGE_FAULT_GET);
    assert_int_equal(storage_put(behind, "k", bytes_view_str("theirs"), &err), NERO_OK);
    assert_int_equal(storage_put_if_absent(store, "k", bytes_view_str("mine"), &err), NERO_EXISTS);
    /* Creates answer unknown first, then exists; every read after it fails. */
    storage_fault_set(control, (struct storage_fault_plan){.nth = 1,
                                                           .for_good = true,
                                                           .when = STORAGE_FAULT_BEFORE,
                                                           .status = NERO_UNKNOWN});
    assert_int_equal(storage_put_if_absent(store, "k", bytes_view_str("mine"), &err), NERO_UNKNOWN);
}

static void lower_to_unavailable(void)
{
    plan(1, true, STORAGE_FAULT_BEFORE, NERO_UNAVAILABLE, 0);
}

static void lower_to_denied(void)
{
    plan(1, true, STORAGE_FAULT_BEFORE, NERO_DENIED, 0);
}

/* Once unknown, a write that does not succeed stays unknown, whatever the last try said. */
static void test_storage_retry__unknown_is_not_forgotten(void **state)
{
    void (*const changes[])(void) = {lower_to_unavailable, lower_to_denied};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        meanwhile = changes[i];
        plan(1, false, STORAGE_FAULT_AFTER, NERO_UNKNOWN, 0);
        assert_int_equal(
            storage_put_if_absent(store, i == 0 ? "a" : "c", bytes_view_str("x"), &err),
            NERO_UNKNOWN);
        meanwhile = changes[i];
        plan(1, false, STORAGE_FAULT_AFTER, NERO_UNKNOWN, 0);
        assert_int_equal(storage_put(store, "b", bytes_view_str("x"), &err), NERO_UNKNOWN);
        assert_int_equal(err.status, NERO_UNKNOWN);
        meanwhile = changes[i];
        plan(1, false, STORAGE_FAULT_AFTER, NERO_UNKNOWN, 0);
        assert_int_equal(storage_remove(store, "b", &err), NERO_UNKNOWN);
        /* A read leaves nothing behind: its last answer counts. */
        meanwhile = changes[i];
        plan(1, false, STORAGE_FAULT_AFTER, NERO_UNKNOWN, 0);
        assert_int_equal(storage_head(store, "a", NULL, &err),
                         i == 0 ? NERO_UNAVAILABLE : NERO_DENIED);
    }
}

static void test_storage_retry__conditional_replace(void **state)
{
    struct storage_info info;

    (void)state;
    assert_int_equal(storage_put(behind, "k", bytes_view_str("v1"), &err), NERO_OK);
    assert_int_equal(storage_head(behind, "k", &info, &err), NERO_OK);
    plan(1, false, STORAGE_FAULT_AFTER, NERO_UNKNOWN, STORAGE_FAULT_PUT_IF_MATCH);
    assert_int_equal(storage_put_if_match(store, "k", bytes_view_str("v2"), info.etag, &err),
                     NERO_OK);
    /* Without an unknown try a conflict is a conflict. */
    assert_int_equal(storage_put_if_match(store, "k", bytes_view_str("v2"), info.etag, &err),
                     NERO_CONFLICT);
    assert_int_equal(storage_head(behind, "k", &info, &err), NERO_OK);
    meanwhile = somebody_creates;
    plan(1, false, STORAGE_FAULT_BEFORE, NERO_UNKNOWN, STORAGE_FAULT_PUT_IF_MATCH);
    assert_int_equal(storage_put_if_match(store, "k", bytes_view_str("v3"), info.etag, &err),
                     NERO_CONFLICT);
    /* Ours or not, it is gone: what our try did cannot be told. */
    assert_int_equal(storage_head(behind, "k", &info, &err), NERO_OK);
    meanwhile = somebody_removes;
    plan(1, false, STORAGE_FAULT_AFTER, NERO_UNKNOWN, STORAGE_FAULT_PUT_IF_MATCH);
    assert_int_equal(storage_put_if_match(store, "k", bytes_view_str("v4"), info.etag, &err),
                     NERO_UNKNOWN);
}

static void test_storage_retry__listing_is_whole_after_a_fault(void **state)
{
    struct storage_list list;

    (void)state;
    assert_int_equal(storage_put(behind, "a", bytes_view_str("x"), &err), NERO_OK);
    assert_int_equal(storage_put(behind, "b", bytes_view_str("x"), &err), NERO_OK);
    plan(1, false, STORAGE_FAULT_AFTER, NERO_UNAVAILABLE, STORAGE_FAULT_LIST);
    assert_int_equal(storage_list_page(store, "", NULL, 10, &list, &err), NERO_OK);
    assert_int_equal(list.count, 2);
    storage_list_fini(&list);
}

int main(void)
{
#define RETRY_TEST(name) cmocka_unit_test_setup_teardown(name, open_stores, close_stores)
    const struct CMUnitTest tests[] = {
        RETRY_TEST(test_storage_retry__waits_double_with_jitter_within_the_budget),
        RETRY_TEST(test_storage_retry__repeats_by_status_alone),
        RETRY_TEST(test_storage_retry__unknown_create_finds_its_own_bytes),
        RETRY_TEST(test_storage_retry__unknown_create_that_lost),
        RETRY_TEST(test_storage_retry__unreadable_while_settling),
        RETRY_TEST(test_storage_retry__unknown_is_not_forgotten),
        RETRY_TEST(test_storage_retry__conditional_replace),
        RETRY_TEST(test_storage_retry__listing_is_whole_after_a_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
