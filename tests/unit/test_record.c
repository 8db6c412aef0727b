/*
 * Goal: the reader and writer under every record keep their promises at the edges. Method: small
 * records made by hand, byte by byte.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/record.h"

#define BYTES(...) \
    bytes_view_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void test_record__structure_is_checked_before_fields(void **state)
{
    static const struct {
        const char *why;
        uint8_t data[12];
        size_t bytes;
    } cases[] = {
        {"the bytes end", {0}, 0},
        {"the bytes end", {0xcd, 1}, 2},
        {"declares more", {0xdd, 0xff, 0xff, 0xff, 0xff}, 5}, /* msgpack-c would ask for GBs */
        {"declares more", {0x92, 1}, 2},
        {"declares more", {0xc4, 5, 1, 2}, 4},
        {"declares more", {0xa2, 'a'}, 2},
        {"longer than it need be", {0xcc, 0x7f}, 2},
        {"longer than it need be", {0xcd, 0, 0xff}, 3},
        {"longer than it need be", {0xce, 0, 0, 0xff, 0xff}, 5},
        {"longer than it need be", {0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 9},
        {"longer than it need be", {0xd0, 0xe0}, 2}, /* -32 */
        {"longer than it need be", {0xd0, 5}, 2},
        {"longer than it need be", {0xd1, 0xff, 0x80}, 3}, /* -128 */
        {"longer than it need be", {0xd2, 0xff, 0xff, 0x80, 0}, 5},
        {"longer than it need be", {0xd3, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0}, 9},
        {"longer than it need be", {0xd9, 1, 'a'}, 3},
        {"longer than it need be", {0xc5, 0, 1, 0}, 4},
        {"longer than it need be", {0xdc, 0, 1, 0}, 4},
        {"NaN", {0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1}, 9},
        {"NaN", {0xcb, 0xff, 0xf8, 0, 0, 0, 0, 0, 0}, 9},
        {"do not use", {0x80}, 1},
        {"do not use", {0xde, 0, 0}, 3},
        {"do not use", {0xc1}, 1},
        {"do not use", {0xca, 0, 0, 0, 0}, 5},
        {"do not use", {0xd4, 0, 0}, 3},
        {"do not use", {0xc7, 0, 0}, 3},
        {"after the end", {1, 1}, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nero_err err;
        struct record r;

        record_read_begin(&r, "thing", bytes_view_of(cases[i].data, cases[i].bytes), 100, &err);
        assert_int_equal(r.status, NERO_CORRUPT);
        assert_non_null(strstr(err.message, "thing: structure at byte "));
        if (strstr(err.message, cases[i].why) == NULL) {
            fail_msg("case %zu: %s", i, err.message);
        }
    }
}

static void test_record__a_deep_nest_is_refused(void **state)
{
    uint8_t data[RECORD_DEPTH_MAX + 2];
    struct nero_err err;
    struct record r;

    (void)state;
    memset(data, 0x91, sizeof data);
    data[sizeof data - 1] = 0;
    record_read_begin(&r, "thing", bytes_view_of(data, sizeof data), 100, &err);
    assert_non_null(strstr(err.message, "too deeply"));
    record_read_begin(&r, "thing", bytes_view_of(data + 1, sizeof data - 1), 100, &err);
    assert_true(record_ok(&r));
}

static void test_record__size_is_limited_first(void **state)
{
    struct nero_err err;
    struct record r;

    (void)state;
    record_read_begin(&r, "thing", BYTES(0x92, 1, 2), 2, &err);
    assert_int_equal(r.status, NERO_TOO_BIG);
}

static void test_record__messages_name_field_and_offset(void **state)
{
    struct nero_err err;
    struct record r;
    uint32_t count;
    uint32_t value = 77;

    (void)state;
    record_read_begin(&r, "thing", BYTES(0x92, 1, 0x92, 0x91, 5, 0x91, 9), 100, &err);
    record_open(&r, 1, 2);
    record_list(&r, "items", &count, 0, 10);
    for (uint32_t i = 0; record_ok(&r) && i < count; i++) {
        record_item(&r, i);
        record_group(&r, "item", 1);
        record_u32(&r, "size", &value, 0, 8);
        record_leave(&r);
    }
    record_leave(&r);
    record_close(&r);
    assert_int_equal(record_end(&r), NERO_CORRUPT);
    assert_string_equal(err.message, "thing: items[1].item.size at byte 6: 9 is not within [0, 8]");
    assert_int_equal(value, 5); /* of the item before; nothing of the bad one */
}

static void write_text(const char *text, struct bytes *out)
{
    struct nero_err err;
    struct record r;
    char copy[64];

    (void)snprintf(copy, sizeof copy, "%s", text);
    bytes_clear(out);
    record_write_begin(&r, "thing", out, 100, &err);
    record_open(&r, 1, 2);
    record_text(&r, "text", copy, sizeof copy);
    record_close(&r);
    assert_int_equal(record_end(&r), NERO_OK);
}

static void test_record__texts_are_cleaned_when_written_and_refused_when_read(void **state)
{
    static const struct {
        const char *text;
        const char *stored;
    } cases[] = {{"plain", "plain"},
                 {"gr\xc3\xb6\xc3\x9f"
                  "e",
                  "gr\xc3\xb6\xc3\x9f"
                  "e"},
                 {"a\nb\x1b[31m", "a?b?[31m"},
                 {"cut \xe2\x82", "cut ??"},
                 {"over\xc0\xaf", "over??"},
                 {"half \xed\xa0\x80", "half ???"},
                 {"c1 \xc2\x9b", "c1 ??"},
                 {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}};
    struct bytes out;

    (void)state;
    bytes_init(&out, 200);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = strlen(cases[i].stored);

        write_text(cases[i].text, &out);
        assert_int_equal(out.bytes, 3 + length);
        assert_memory_equal(out.data + 3, cases[i].stored, length);
        assert_int_equal(strcmp(cases[i].text, cases[i].stored) == 0,
                         record_text_is_clean(bytes_view_str(cases[i].text), false));
    }
    bytes_fini(&out);
}

static void test_record__bounds_of_reals_are_said_in_words(void **state)
{
    static const struct {
        double value, min, max;
        const char *message;
    } cases[] = {
        {0.0, DBL_MIN, 1.0, "thing: x: 0 is not a number that is above 0 and at most 1"},
        {1.0, 0.0, RECORD_BELOW_ONE, "thing: x: 1 is not a number that is at least 0 and below 1"},
        {(double)NAN, 0.0, 2.5, "thing: x: nan is not a number that is at least 0 and at most 2.5"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nero_err err;
        struct record r;
        struct bytes out;
        double value = cases[i].value;

        bytes_init(&out, 100);
        record_write_begin(&r, "thing", &out, 100, &err);
        record_open(&r, 1, 1);
        record_real(&r, "x", &value, cases[i].min, cases[i].max);
        assert_int_equal(record_end(&r), NERO_INVALID);
        assert_string_equal(err.message, cases[i].message);
        bytes_fini(&out);
    }
}

static void test_record__a_failed_write_leaves_the_buffer_as_it_was(void **state)
{
    struct nero_err err;
    struct record r;
    struct bytes out;
    uint32_t small = 3;
    uint32_t large = 9;

    (void)state;
    bytes_init(&out, 100);
    assert_int_equal(bytes_append(&out, "abc", 3, &err), NERO_OK);
    record_write_begin(&r, "thing", &out, 100, &err);
    record_open(&r, 1, 3);
    record_u32(&r, "small", &small, 0, 8);
    record_u32(&r, "large", &large, 0, 8);
    record_close(&r);
    assert_int_equal(record_end(&r), NERO_INVALID);
    assert_string_equal(err.message, "thing: large: 9 is not within [0, 8]");
    assert_int_equal(out.bytes, 3);

    record_write_begin(&r, "thing", &out, 3, &err);
    record_open(&r, 1, 3);
    record_u32(&r, "small", &small, 0, 8);
    record_u32(&r, "small", &small, 0, 8);
    record_close(&r);
    assert_int_equal(record_end(&r), NERO_TOO_BIG);
    assert_int_equal(out.bytes, 3);
    bytes_fini(&out);
}

static void test_record__every_nan_is_written_as_one(void **state)
{
    static const uint8_t expected[] = {0x92, 1, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0};
    struct nero_err err;
    struct record r;
    struct bytes out;
    double value = -NAN;

    (void)state;
    bytes_init(&out, 100);
    record_write_begin(&r, "thing", &out, 100, &err);
    record_open(&r, 1, 2);
    record_real_any(&r, "value", &value);
    record_close(&r);
    assert_int_equal(record_end(&r), NERO_OK);
    assert_int_equal(out.bytes, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    bytes_clear(&out);
    record_write_begin(&r, "thing", &out, 100, &err);
    record_open(&r, 1, 2);
    record_real(&r, "value", &value, -1.0, 1.0);
    record_close(&r);
    assert_int_equal(record_end(&r), NERO_INVALID);
    bytes_fini(&out);
}

static void test_record__json_is_printed(void **state)
{
    struct nero_err err;
    struct bytes out;

    (void)state;
    bytes_init(&out, 1000);
    assert_int_equal(
        record_print_json(BYTES(0x98, 1, 0xc0, 0xc3, 0xe0, 0xa3, 'a', '"', '\n', 0xc4, 2, 0xab,
                                0x01, 0x92, 0x90, 5, 0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0),
                          &out, &err),
        NERO_OK);
    assert_int_equal(bytes_terminate(&out, &err), NERO_OK);
    assert_string_equal((const char *)out.data,
                        "[1,null,true,-32,\"a\\\"\\n\",\"ab01\",[[],5],0.5]");
    assert_int_equal(record_print_json(BYTES(0x92, 1), &out, &err), NERO_CORRUPT);
    bytes_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__structure_is_checked_before_fields),
        cmocka_unit_test(test_record__a_deep_nest_is_refused),
        cmocka_unit_test(test_record__size_is_limited_first),
        cmocka_unit_test(test_record__messages_name_field_and_offset),
        cmocka_unit_test(test_record__texts_are_cleaned_when_written_and_refused_when_read),
        cmocka_unit_test(test_record__bounds_of_reals_are_said_in_words),
        cmocka_unit_test(test_record__a_failed_write_leaves_the_buffer_as_it_was),
        cmocka_unit_test(test_record__every_nan_is_written_as_one),
        cmocka_unit_test(test_record__json_is_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
