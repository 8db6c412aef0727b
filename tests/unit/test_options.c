/*
 * Goal: command lines mean what --help says, and every mistake is named. Method: one table of all
 * kinds of option, parsed from literal argument vectors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/options.h"

static struct {
    bool flag;
    const char *text;
    uint64_t number, count, time;
    double real;
    struct options_list list;
} got;

static const struct options_spec specs[] = {
    {"flag", OPTIONS_FLAG, NULL, "a flag", NULL, &got.flag, 0},
    {"text", OPTIONS_STRING, "TEXT", "a text", "NERO_TEST_TEXT", &got.text, 0},
    {"number", OPTIONS_U64, "N", "a number", NULL, &got.number, 100},
    {"count", OPTIONS_COUNT, "N", "a number from 1", NULL, &got.count, 0},
    {"time", OPTIONS_MS, "MS", "a number from 100", NULL, &got.time, 1000},
    {"real", OPTIONS_DOUBLE, "X", "a real", NULL, &got.real, 0},
    {"set", OPTIONS_LIST, "KEY=VALUE", "a list", NULL, &got.list, 0},
};
static const struct options_command command = {.program = "test",
                                               .arguments = "[FILE]",
                                               .about = "about",
                                               .specs = specs,
                                               .spec_count = 7,
                                               .arguments_min = 0,
                                               .arguments_max = 1};

static enum nero_status parse(const char *const *words, int count, struct options_parsed *out,
                              struct nero_err *err)
{
    static char storage[16][64]; /* parsed texts are borrowed from here until the next parse */
    char *argv[16];

    memset(&got, 0, sizeof got);
    for (int i = 0; i < count; i++) {
        (void)snprintf(storage[i], sizeof storage[i], "%s", words[i]);
        argv[i] = storage[i];
    }
    return options_parse(&command, count, argv, out, err);
}
#define PARSE(out, err, ...)                          \
    parse((const char *const[]){"test", __VA_ARGS__}, \
          (int)(sizeof((const char *const[]){"test", __VA_ARGS__}) / sizeof(char *)), out, err)

static void test_options__all_kinds(void **state)
{
    struct options_parsed out;
    struct nero_err err;

    (void)state;
    assert_int_equal(PARSE(&out, &err, "--flag", "--text=a=b", "--number", "7", "--real", "-0.5",
                           "--set", "x=1", "--set", "y=2", "file"),
                     NERO_OK);
    assert_true(got.flag);
    assert_string_equal(got.text, "a=b");
    assert_int_equal(got.number, 7);
    assert_true(got.real == -0.5);
    assert_int_equal(got.list.count, 2);
    assert_string_equal(got.list.values[1], "y=2");
    assert_int_equal(out.argument_count, 1);
    assert_string_equal(out.arguments[0], "file");
}

static void test_options__mistakes_are_named(void **state)
{
    struct options_parsed out;
    struct nero_err err;

    (void)state;
    assert_int_equal(PARSE(&out, &err, "--nope"), NERO_INVALID);
    assert_non_null(strstr(err.message, "--nope"));
    assert_int_equal(PARSE(&out, &err, "--number", "101"), NERO_INVALID);
    assert_non_null(strstr(err.message, "--number"));
    assert_int_equal(PARSE(&out, &err, "--number", "18446744073709551616"), NERO_INVALID);
    assert_non_null(strstr(err.message, "between 0 and 100"));
    assert_int_equal(PARSE(&out, &err, "--count", "0"), NERO_INVALID);
    assert_int_equal(PARSE(&out, &err, "--count", "1"), NERO_OK);
    assert_int_equal(PARSE(&out, &err, "--time", "99"), NERO_INVALID);
    assert_non_null(strstr(err.message, "--time: 99 is not between 100 and 1000"));
    assert_int_equal(PARSE(&out, &err, "--time", "100"), NERO_OK);
    assert_int_equal(got.time, 100);
    assert_int_equal(PARSE(&out, &err, "--number", "7x"), NERO_INVALID);
    assert_int_equal(PARSE(&out, &err, "--number", "-1"), NERO_INVALID);
    assert_int_equal(PARSE(&out, &err, "--number"), NERO_INVALID);
    assert_int_equal(PARSE(&out, &err, "--real", "nan"), NERO_INVALID);
    assert_int_equal(PARSE(&out, &err, "--flag=1"), NERO_INVALID);
    assert_int_equal(PARSE(&out, &err, "-f"), NERO_INVALID);
    assert_int_equal(PARSE(&out, &err, "a", "b"), NERO_INVALID);
    assert_non_null(strstr(err.message, "'b'"));
}

static void test_options__environment_counts_where_the_option_is_absent(void **state)
{
    struct options_parsed out;
    struct nero_err err;

    (void)state;
    assert_int_equal(setenv("NERO_TEST_TEXT", "from-env", 1), 0);
    assert_int_equal(PARSE(&out, &err, "--flag"), NERO_OK);
    assert_string_equal(got.text, "from-env");
    assert_int_equal(PARSE(&out, &err, "--text", "given"), NERO_OK);
    assert_string_equal(got.text, "given");
    assert_int_equal(unsetenv("NERO_TEST_TEXT"), 0);
}

static void test_options__help_wins_over_mistakes(void **state)
{
    struct options_parsed out;
    struct nero_err err;

    (void)state;
    assert_int_equal(PARSE(&out, &err, "--nope", "--help"), NERO_OK);
    assert_true(out.help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__all_kinds),
        cmocka_unit_test(test_options__mistakes_are_named),
        cmocka_unit_test(test_options__environment_counts_where_the_option_is_absent),
        cmocka_unit_test(test_options__help_wins_over_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
