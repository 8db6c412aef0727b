/*
 * Goal: every object lies where codec/FORMAT.md says, under keys that every store takes. Method:
 * the table of the format page, and run names at the edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/layout.h"

#define HEX "00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9"

static void test_layout__keys_are_those_of_the_table(void **state)
{
    char key[LAYOUT_KEY_BYTES];
    struct key_id id = {{0xab, 0xcd}};
    struct hash hash;

    (void)state;
    for (size_t i = 0; i < sizeof hash.data; i++) {
        hash.data[i] = (uint8_t)(7 * i);
    }
    layout_run(key, "r");
    assert_string_equal(key, "runs/r/run");
    layout_run_prefix(key, "r");
    assert_string_equal(key, "runs/r/");
    layout_amend(key, "r", 7);
    assert_string_equal(key, "runs/r/amend/00000007");
    layout_epoch(key, "r", 12);
    assert_string_equal(key, "runs/r/epoch/0000000012");
    layout_certificate(key, "r", &id);
    assert_string_equal(key, "runs/r/keys/abcd0000000000000000000000000000");
    layout_batch(key, "r", 3);
    assert_string_equal(key, "runs/r/q/0000000003");
    layout_spec(key, "r", &hash);
    assert_string_equal(key, "runs/r/spec/00/" HEX);
    layout_slot(key, "r", &hash, 9999999999u);
    assert_string_equal(key, "runs/r/job/" HEX "/9999999999");
    layout_blob(key, "r", &hash);
    assert_string_equal(key, "runs/r/blob/00/" HEX);
    layout_result(key, "r", &hash);
    assert_string_equal(key, "runs/r/result/00/" HEX);
    layout_generation(key, "r", 2, 41, "closed");
    assert_string_equal(key, "runs/r/gen/2/00000041/closed");
    layout_data_blob(key, &hash);
    assert_string_equal(key, "data/00/" HEX);
    layout_dataset(key, &hash);
    assert_string_equal(key, "data/set/" HEX);
    layout_inbox(key, &hash);
    assert_string_equal(key, "inbox/" HEX);
}

static void test_layout__run_names_are_checked(void **state)
{
    static const char longest[] = "123456789012345678901234567890123456789012345678901234567890123";
    static const char *const good[] = {"a", "0", "cifar-10-a", "a-", longest};
    static const char *const bad[] = {
        "",         "-a",
        "A",        "a_b",
        "a.b",      "a/b",
        "..",       "a b",
        "\xc3\xa4", "1234567890123456789012345678901234567890123456789012345678901234"};
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(layout_check_run(good[i], &err), NERO_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(layout_check_run(bad[i], &err), NERO_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout__keys_are_those_of_the_table),
        cmocka_unit_test(test_layout__run_names_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
