/*
 * Goal: an error keeps its status and cause while context is put in front, and is never written
 * past its end. Method: exact messages, the longest messages, the whole table of statuses.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nero/err.h"

static void test_err__keeps_status_code_and_place(void **state)
{
    struct nero_err err;
    int line = __LINE__ + 1;
    enum nero_status status = err_set(&err, NERO_DENIED, 403, "key '%s' refused", "abc");

    (void)state;
    assert_int_equal(status, NERO_DENIED);
    assert_int_equal(err.status, NERO_DENIED);
    assert_int_equal(err.system_code, 403);
    assert_int_equal(err.line, line);
    assert_non_null(strstr(err.file, "test_err.c"));
    assert_string_equal(err.message, "key 'abc' refused");
}

static void test_err__context_goes_in_front(void **state)
{
    struct nero_err err;

    (void)state;
    (void)err_set(&err, NERO_CORRUPT, 7, "short");
    assert_int_equal(err_wrap(&err, "get %d", 3), NERO_CORRUPT);
    assert_int_equal(err_wrap(&err, "restore job"), NERO_CORRUPT);
    assert_string_equal(err.message, "restore job: get 3: short");
    assert_int_equal(err.system_code, 7);
}

static void test_err__long_messages_are_cut_at_the_end(void **state)
{
    char text[2 * ERR_MESSAGE_BYTES_MAX];
    struct {
        struct nero_err err;
        char guard[16];
    } held;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memset(held.guard, 'g', sizeof held.guard);
    (void)err_set(&held.err, NERO_INVALID, 0, "%s", text);
    assert_int_equal(strlen(held.err.message), ERR_MESSAGE_BYTES_MAX - 1);
    (void)err_wrap(&held.err, "context");
    assert_int_equal(strlen(held.err.message), ERR_MESSAGE_BYTES_MAX - 1);
    assert_memory_equal(held.err.message, "context: xxx", 12);
    (void)err_wrap(&held.err, "%s", text);
    assert_int_equal(strlen(held.err.message), ERR_MESSAGE_BYTES_MAX - 1);
    for (size_t i = 0; i < sizeof held.guard; i++) {
        assert_int_equal(held.guard[i], 'g');
    }
}

static void test_err__every_status_has_a_name_and_an_exit_code(void **state)
{
    (void)state;
    for (int a = NERO_OK; a <= NERO_CANCELLED; a++) {
        const char *name = err_status_name((enum nero_status)a);
        enum err_exit code = err_exit_code((enum nero_status)a);

        assert_string_not_equal(name, "undefined");
        for (int b = NERO_OK; b < a; b++) {
            assert_string_not_equal(name, err_status_name((enum nero_status)b));
        }
        assert_int_equal(code == ERR_EXIT_DONE, a == NERO_OK);
    }
    assert_string_equal(err_status_name((enum nero_status)(NERO_CANCELLED + 1)), "undefined");
    assert_int_equal(err_exit_code(NERO_UNAVAILABLE), ERR_EXIT_UNAVAILABLE);
    assert_int_equal(err_exit_code(NERO_INVALID), ERR_EXIT_INPUT);
    assert_int_equal(err_exit_code(NERO_CORRUPT), ERR_EXIT_FINDING);
    assert_int_equal(err_exit_code(NERO_CANCELLED), ERR_EXIT_RESUMABLE);
}

static void test_err__retryable_are_exactly_three(void **state)
{
    int count = 0;

    (void)state;
    for (int a = NERO_OK; a <= NERO_CANCELLED; a++) {
        count += err_is_retryable((enum nero_status)a) ? 1 : 0;
    }
    assert_int_equal(count, 3);
    assert_true(err_is_retryable(NERO_UNKNOWN));
    assert_true(err_is_retryable(NERO_UNAVAILABLE));
    assert_true(err_is_retryable(NERO_TIMEOUT));
    assert_false(err_is_retryable(NERO_NO_SPACE)); /* no use in asking again at once, but: */
    assert_true(err_is_outage(NERO_NO_SPACE));
}

static void test_err__errno_is_never_mistaken_for_absence(void **state)
{
    (void)state;
    for (int number = 1; number < 200; number++) {
        enum nero_status status = err_from_errno(number);

        assert_true(status != NERO_OK);
        assert_int_equal(status == NERO_NOT_FOUND, number == ENOENT);
        assert_int_equal(status == NERO_EXISTS, number == EEXIST);
    }
    assert_int_equal(err_from_errno(EIO), NERO_UNAVAILABLE);
    assert_int_equal(err_from_errno(ENOSPC), NERO_NO_SPACE);
    assert_int_equal(err_from_errno(EDQUOT), NERO_NO_SPACE);
    assert_int_equal(err_from_errno(EACCES), NERO_DENIED);
    assert_int_equal(err_from_errno(EROFS), NERO_DENIED);
    assert_int_equal(err_from_errno(ENOMEM), NERO_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err__keeps_status_code_and_place),
        cmocka_unit_test(test_err__context_goes_in_front),
        cmocka_unit_test(test_err__long_messages_are_cut_at_the_end),
        cmocka_unit_test(test_err__every_status_has_a_name_and_an_exit_code),
        cmocka_unit_test(test_err__retryable_are_exactly_three),
        cmocka_unit_test(test_err__errno_is_never_mistaken_for_absence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
