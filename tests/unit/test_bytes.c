/*
 * Goal: a buffer holds what was appended, never passes its maximum, and is unchanged by an append
 * that fails. Method: limits from both sides, failed allocations, round trips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/bytes.h"
#include "nero/mem.h"

static void test_bytes__append_up_to_the_maximum_and_not_over(void **state)
{
    struct bytes buf;
    struct nero_err err;

    (void)state;
    bytes_init(&buf, 100);
    for (int i = 0; i < 100; i++) {
        uint8_t byte = (uint8_t)i;

        assert_int_equal(bytes_append(&buf, &byte, 1, &err), NERO_OK);
        assert_true(buf.bytes <= buf.capacity && buf.capacity <= 100);
    }
    assert_int_equal(bytes_append(&buf, "x", 1, &err), NERO_TOO_BIG);
    assert_int_equal(bytes_append(&buf, "", SIZE_MAX, &err), NERO_TOO_BIG);
    assert_int_equal(bytes_terminate(&buf, &err), NERO_TOO_BIG);
    assert_int_equal(bytes_append(&buf, NULL, 0, &err), NERO_OK);
    assert_int_equal(buf.bytes, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf.data[i], i);
    }
    bytes_fini(&buf);
    assert_null(buf.data);
}

static void test_bytes__failed_append_changes_nothing(void **state)
{
    struct bytes buf;
    struct nero_err err;
    struct bytes before;
    uint8_t *room = NULL;

    (void)state;
    bytes_init(&buf, 100000);
    assert_int_equal(bytes_append(&buf, "abc", 3, &err), NERO_OK);
    before = buf;
    (void)mem_fail_plan(0, -1);
    assert_int_equal(bytes_extend(&buf, 5000, &room, &err), NERO_NO_MEMORY);
    assert_int_equal(bytes_printf(&buf, &err, "%5000d", 1), NERO_NO_MEMORY);
    assert_int_equal(mem_fail_plan(0, 0), 2);
    assert_null(room);
    assert_memory_equal(&buf, &before, sizeof buf);
    assert_memory_equal(buf.data, "abc", 3);
    bytes_fini(&buf);
}

static void test_bytes__printf_extend_terminate_take(void **state)
{
    struct bytes buf;
    struct nero_err err;
    uint8_t *room;
    uint8_t *taken;
    size_t bytes;

    (void)state;
    bytes_init(&buf, 1000);
    assert_int_equal(bytes_printf(&buf, &err, "%s-%d", "a", 42), NERO_OK);
    assert_int_equal(buf.bytes, 4); /* the NUL is not counted */
    assert_int_equal(bytes_extend(&buf, 2, &room, &err), NERO_OK);
    memcpy(room, "!?", 2);
    assert_int_equal(bytes_terminate(&buf, &err), NERO_OK);
    assert_string_equal((char *)buf.data, "a-42!?");
    taken = bytes_take(&buf, &bytes);
    assert_int_equal(bytes, 6);
    assert_null(buf.data);
    assert_int_equal(buf.bytes, 0);
    assert_int_equal(buf.bytes_max, 1000);
    free(taken);
    assert_int_equal(bytes_append(&buf, "x", 1, &err), NERO_OK); /* usable again */
    bytes_clear(&buf);
    assert_int_equal(buf.bytes, 0);
    assert_non_null(buf.data);
    bytes_fini(&buf);
}

static void test_bytes__views_compare_by_content(void **state)
{
    (void)state;
    assert_true(bytes_view_equal(bytes_view_str("abc"), bytes_view_of("abcd", 3)));
    assert_false(bytes_view_equal(bytes_view_str("abc"), bytes_view_str("abd")));
    assert_false(bytes_view_equal(bytes_view_str("abc"), bytes_view_str("ab")));
    assert_true(bytes_view_equal(bytes_view_of(NULL, 0), bytes_view_str("")));
}

static void test_bytes__little_endian(void **state)
{
    const uint8_t wanted[8] = {0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01};
    uint8_t out[8];

    (void)state;
    bytes_put_u64le(out, UINT64_C(0x0123456789abcdef));
    assert_memory_equal(out, wanted, 8);
    assert_true(bytes_get_u64le(out) == UINT64_C(0x0123456789abcdef));
    memset(out, 0, sizeof out);
    bytes_put_u32le(out, 0x89abcdef);
    assert_memory_equal(out, wanted, 4);
    assert_int_equal(out[4], 0);
    assert_true(bytes_get_u32le(out) == 0x89abcdef);
}

static void test_bytes__hex_has_one_spelling(void **state)
{
    const uint8_t data[4] = {0x00, 0x9f, 0xa0, 0xff};
    char hex[9];
    uint8_t back[4];
    struct nero_err err;

    (void)state;
    bytes_to_hex(hex, data, 4);
    assert_string_equal(hex, "009fa0ff");
    assert_int_equal(bytes_from_hex(back, 4, hex, &err), NERO_OK);
    assert_memory_equal(back, data, 4);
    assert_int_equal(bytes_from_hex(back, 4, "009FA0FF", &err), NERO_INVALID);
    assert_int_equal(bytes_from_hex(back, 4, "009fa0f", &err), NERO_INVALID);
    assert_int_equal(bytes_from_hex(back, 4, "009fa0ff0", &err), NERO_INVALID);
    assert_int_equal(bytes_from_hex(back, 4, "009fa0fg", &err), NERO_INVALID);
    assert_int_equal(bytes_from_hex(back, 4, "009fa0f:", &err), NERO_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes__append_up_to_the_maximum_and_not_over),
        cmocka_unit_test(test_bytes__failed_append_changes_nothing),
        cmocka_unit_test(test_bytes__printf_extend_terminate_take),
        cmocka_unit_test(test_bytes__views_compare_by_content),
        cmocka_unit_test(test_bytes__little_endian),
        cmocka_unit_test(test_bytes__hex_has_one_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
