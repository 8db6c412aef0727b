/*
 * Goal: durations never go back, sleeps last, times are written as UTC. Method: the machine's
 * clock, instants whose text is known, a virtual clock through the same table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"

static void test_clock__monotonic_never_goes_back(void **state)
{
    const struct clock_source *clock = clock_system();
    int64_t last = clock_mono_ns(clock);

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_ns(clock);

        assert_true(now >= last);
        last = now;
    }
}

static void test_clock__sleep_lasts(void **state)
{
    const struct clock_source *clock = clock_system();
    int64_t start = clock_mono_ns(clock);
    double seconds;

    (void)state;
    clock_sleep_ms(clock, 20);
    seconds = clock_seconds_since(clock, start);
    assert_true(seconds >= 0.0199 && seconds < 20.0);
    clock_sleep_ms(clock, 0);
    clock_sleep_ms(clock, -1);
}

static void test_clock__wall_is_after_2024(void **state)
{
    (void)state;
    assert_true(clock_wall_ms(clock_system()) > INT64_C(1704067200000));
}

static void test_clock__format(void **state)
{
    char text[CLOCK_TEXT_BYTES];

    (void)state;
    clock_format_utc(text, 0);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_format_utc(text, INT64_C(951827696789)); /* a leap day */
    assert_string_equal(text, "2000-02-29T12:34:56.789Z");
    clock_format_utc(text, INT64_C(4102444799999));
    assert_string_equal(text, "2099-12-31T23:59:59.999Z");
}

static int64_t virtual_ns(void *context)
{
    return *(int64_t *)context;
}

static void virtual_sleep(void *context, int64_t ms)
{
    *(int64_t *)context += ms * 1000000;
}

static void test_clock__virtual_clock(void **state)
{
    int64_t now = 5;
    struct clock_source clock = {
        .wall_ms = virtual_ns, .mono_ns = virtual_ns, .sleep_ms = virtual_sleep, .context = &now};

    (void)state;
    clock_sleep_ms(&clock, 3600000);
    assert_true(clock_seconds_since(&clock, 5) == 3600.0);
}

static void test_clock__utc_is_read(void **state)
{
    static const char *const bad[] = {"",
                                      "2026-11-23T05:41:33",
                                      "2026-11-23 05:41:33Z",
                                      "2026-13-23T05:41:33Z",
                                      "2026-11-23T25:41:33Z",
                                      "2026-11-23T05:41:33+01:00",
                                      "2026-11-23T05:41:33Zx",
                                      "1969-11-23T05:41:33Z"};
    char text[CLOCK_TEXT_BYTES];
    int64_t wall_ms = 0;

    (void)state;
    assert_true(clock_parse_utc("2017-09-18T08:22:00Z", &wall_ms));
    assert_true(wall_ms == INT64_C(1505722920000));
    assert_true(clock_parse_utc("2017-09-18T08:22:00.75+00:00", &wall_ms));
    assert_true(wall_ms == INT64_C(1505722920000));
    clock_format_utc(text, wall_ms);
    assert_true(clock_parse_utc(text, &wall_ms));
    assert_true(wall_ms == INT64_C(1505722920000));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(clock_parse_utc(bad[i], &wall_ms));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock__monotonic_never_goes_back),
        cmocka_unit_test(test_clock__sleep_lasts),
        cmocka_unit_test(test_clock__wall_is_after_2024),
        cmocka_unit_test(test_clock__format),
        cmocka_unit_test(test_clock__virtual_clock),
        cmocka_unit_test(test_clock__utc_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
