/*
 * Goal: a trace of machines' lives is read as it stands, a broken one is refused by line and field,
 * and the generator keeps the statistics that it claims. Method: small files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/spot_trace.h"

static char path[] = "/tmp/nero-spot-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_spot_trace__is_read_as_it_stands(void **state)
{
    struct spot_trace trace;
    struct nero_err err;

    (void)state;
    write_file("# two places\n\n  us-1a 0 10.5 120\nus-1b 1 2 0\n\tus-1a\t11 12 30\n");
    assert_int_equal(spot_trace_read(path, &trace, &err), NERO_OK);
    assert_int_equal(trace.place_count, 2);
    assert_string_equal(trace.places[1], "us-1b");
    assert_int_equal(trace.life_count, 3);
    assert_int_equal(trace.lives[2].place, 0);
    assert_true(trace.lives[0].end_s == 10.5 && trace.lives[0].notice_s == 120);
    spot_trace_fini(&trace);
}

static void test_spot_trace__broken_lines_are_named(void **state)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "no life"},
        {"a 0 1 0\nb 0 1\n", ":2: expected PLACE"},
        {"a 0 1 0 5\n", ":1: expected PLACE"},
        {"a/b 0 1 0\n", ":1: PLACE"},
        {"a-name-that-is-longer-than-31-chars 0 1 0\n", ":1: PLACE"},
        {"a nan 1 0\n", ":1: START_S"},
        {"a 1 1 0\n", ":1: END_S"},
        {"a 0 1e11 0\n", ":1: END_S"},
        {"a 0 1 -5\n", ":1: NOTICE_S"},
        {"a 0 1 2s\n", ":1: NOTICE_S"},
    };
    struct spot_trace trace;
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(cases[i].text);
        assert_int_equal(spot_trace_read(path, &trace, &err), NERO_INVALID);
        if (strstr(err.message, cases[i].reason) == NULL) {
            fail_msg("'%s': %s", cases[i].text, err.message);
        }
    }
    assert_int_equal(spot_trace_read("/nowhere", &trace, &err), NERO_NOT_FOUND);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The shipped trace is the generator's, and near what is published. */
static void test_spot_trace__generator_keeps_the_statistics(void **state)
{
    double lives[256];
    double sum = 0;
    struct spot_trace trace;
    struct spot_trace shipped;
    struct nero_err err;
    FILE *file = fopen(path, "w");

    (void)state;
    assert_non_null(file);
    spot_trace_generate(1, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(spot_trace_read(path, &trace, &err), NERO_OK);
    assert_int_equal(spot_trace_read(NERO_SOURCE_DIR "/bench/spot.trace", &shipped, &err), NERO_OK);
    assert_int_equal(trace.life_count, 202);
    assert_int_equal(trace.place_count, 4);
    assert_int_equal(shipped.life_count, 202);
    for (uint32_t i = 0; i < trace.life_count; i++) {
        lives[i] = trace.lives[i].end_s - trace.lives[i].start_s;
        sum += lives[i];
        assert_true(shipped.lives[i].end_s == trace.lives[i].end_s);
    }
    qsort(lives, trace.life_count, sizeof lives[0], by_value);
    assert_true(sum / 202 > 6500 && sum / 202 < 8000);   /* published: 7,325 */
    assert_true(lives[101] > 2000 && lives[101] < 2700); /* 2,336 */
    assert_true(lives[20] > 200 && lives[20] < 450);     /* 288 */
    spot_trace_fini(&trace);
    spot_trace_fini(&shipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spot_trace__is_read_as_it_stands),
        cmocka_unit_test(test_spot_trace__broken_lines_are_named),
        cmocka_unit_test(test_spot_trace__generator_keeps_the_statistics),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
