/*
 * Goal: promise P7, what failed changed nothing, and what is unknown is one of two states.
 * Method: each operation with a failure at its N-th allocation, or at its N-th call of the store,
 * before or after it took effect, for N = 1, 2, ... until none fires.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contract.h"
#include "nero/mem.h"
#include "nero/storage_fault.h"
#include "nero/storage_retry.h"

/* Failures. Each operation on known objects: "old" holds "old", "new" is absent. */

enum { OP_REMOVE_MANY = 8, OPERATIONS = 9 };

static bool is_declared(int operation)
{
    bool creates = operation == 1 || operation == 3;

    return (!creates || contract_can(STORAGE_CAN_CREATE)) &&
           (operation != 2 || contract_can(STORAGE_CAN_MATCH));
}

static enum nero_status operate(struct storage *store, int operation, const char *etag,
                                struct nero_err *err)
{
    struct bytes_view body = bytes_view_str("new");
    struct storage_list list = {0};
    struct storage_info info;
    enum nero_status status;
    struct bytes out;

    bytes_init(&out, 100);
    switch (operation) {
    case 0:
        status = storage_put(store, "old", body, err);
        break;
    case 1:
        status = storage_put_if_absent(store, "d/new", body, err);
        break;
    case 2:
        status = storage_put_if_match(store, "old", body, etag, err);
        break;
    case 3:
        status = storage_create_once(store, "d/new", body, err);
        break;
    case 4:
        status = storage_get(store, "old", &out, &info, err);
        assert_int_equal(out.bytes, status == NERO_OK ? 3 : 0);
        break;
    case 5:
        status = storage_head(store, "old", &info, err);
        break;
    case 6:
        status = storage_list_page(store, "", NULL, 10, &list, err);
        assert_true(status == NERO_OK ? list.count >= 1 : list.count == 0);
        break;
    case 7:
        status = storage_remove(store, "old", err);
        break;
    default: /* what is absent first: a failure at either key then leaves "old" */
        status = storage_remove_many(store, (const char *[]){"d/new", "old"}, 2, err);
        break;
    }
    storage_list_fini(&list);
    bytes_fini(&out);
    return status;
}

static void restore(char etag[STORAGE_ETAG_BYTES_MAX])
{
    struct storage_info info;

    assert_int_equal(contract_put("old", "old"), NERO_OK);
    assert_int_equal(storage_remove(contract.store, "d/new", &contract.err), NERO_OK);
    assert_int_equal(storage_head(contract.store, "old", &info, &contract.err), NERO_OK);
    memcpy(etag, info.etag, sizeof info.etag);
}

static void assert_state(int operation, bool done)
{
    bool replaces = operation == 0 || operation == 2;
    bool creates = operation == 1 || operation == 3;
    bool removes = operation == 7 || operation == OP_REMOVE_MANY;

    contract_assert_body(contract.store, "old",
                         done && removes    ? NULL
                         : done && replaces ? "new"
                                            : "old");
    contract_assert_body(contract.store, "d/new", done && creates ? "new" : NULL);
}

static void test_storage__every_failed_allocation_changes_nothing(void **state)
{
    char etag[STORAGE_ETAG_BYTES_MAX];

    (void)state;
    for (int operation = 0; operation < OPERATIONS; operation++) {
        int fired = is_declared(operation) ? 1 : 0;

        for (long skip = 0; fired > 0; skip++) {
            enum nero_status status;

            restore(etag);
            (void)mem_fail_plan(skip, 1);
            status = operate(contract.store, operation, etag, &contract.err);
            fired = mem_fail_plan(0, 0);
            if (operation == OP_REMOVE_MANY && status == NERO_UNKNOWN) {
                assert_true(fired > 0 && contract_is_s3()); /* its answer could not be read */
                continue;
            }
            assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
            assert_state(operation, status == NERO_OK);
        }
    }
}

static struct storage *wrap_fault(struct storage_fault **control)
{
    struct storage *inner = contract.store;

    assert_int_equal(storage_fault_wrap(inner, &contract.store, control, &contract.err), NERO_OK);
    return contract.store;
}

/* A failure before is unchanged, after is done; and calling again repairs either. */
static void test_storage__faults_leave_one_of_two_states(void **state)
{
    char etag[STORAGE_ETAG_BYTES_MAX];
    struct storage_fault *control;

    (void)state;
    (void)wrap_fault(&control);
    for (int operation = 0; operation < OPERATIONS; operation++) {
        for (int when = STORAGE_FAULT_BEFORE; when <= STORAGE_FAULT_AFTER; when++) {
            uint64_t fired = is_declared(operation) ? 1 : 0;

            for (uint64_t nth = 1; fired > 0; nth++) {
                enum nero_status status;

                restore(etag);
                storage_fault_set(control,
                                  (struct storage_fault_plan){.nth = nth,
                                                              .when = (enum storage_fault_when)when,
                                                              .status = NERO_UNKNOWN});
                status = operate(contract.store, operation, etag, &contract.err);
                fired = storage_fault_fired(control);
                storage_fault_set(control, (struct storage_fault_plan){0});
                /* create_once settles an unknown create by itself */
                assert_int_equal(status, fired > 0 && operation != 3 ? NERO_UNKNOWN : NERO_OK);
                assert_state(operation, status == NERO_OK || when == STORAGE_FAULT_AFTER);
            }
        }
    }
}

static int64_t virtual_ms(void *context)
{
    return *(int64_t *)context / 1000000;
}

static int64_t virtual_ns(void *context)
{
    return *(int64_t *)context;
}

static void virtual_sleep(void *context, int64_t ms)
{
    *(int64_t *)context += ms * 1000000;
}

/* Behind the retries a single fault is not seen, and what was asked for happened exactly. */
static void test_storage__retries_hide_every_single_fault(void **state)
{
    int64_t now = 0;
    struct clock_source clock = {
        .wall_ms = virtual_ms, .mono_ns = virtual_ns, .sleep_ms = virtual_sleep, .context = &now};
    struct storage_retry_options options = storage_retry_defaults(1);
    char etag[STORAGE_ETAG_BYTES_MAX];
    struct storage_fault *control;

    (void)state;
    options.clock = &clock;
    (void)wrap_fault(&control);
    assert_int_equal(storage_retry_wrap(contract.store, &options, &contract.store, &contract.err),
                     NERO_OK);
    for (int operation = 0; operation < OPERATIONS; operation++) {
        for (int when = STORAGE_FAULT_BEFORE; when <= STORAGE_FAULT_AFTER; when++) {
            for (uint64_t nth = 1; nth <= 3 && is_declared(operation); nth++) {
                restore(etag);
                storage_fault_set(control,
                                  (struct storage_fault_plan){.nth = nth,
                                                              .when = (enum storage_fault_when)when,
                                                              .status = NERO_UNKNOWN});
                assert_int_equal(operate(contract.store, operation, etag, &contract.err), NERO_OK);
                storage_fault_set(control, (struct storage_fault_plan){0});
                assert_state(operation, true);
            }
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_storage__every_failed_allocation_changes_nothing),
        CONTRACT_TEST(test_storage__faults_leave_one_of_two_states),
        CONTRACT_TEST(test_storage__retries_hide_every_single_fault),
    };

    return CONTRACT_RUN(argc, argv, tests);
}
