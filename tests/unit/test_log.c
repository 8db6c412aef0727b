/*
 * Goal: one event is one line, of the level asked for, and JSON stays JSON whatever is logged.
 * Method: lines written to memory, read back; threads that write at once.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/log.h"
#include "nero/thread.h"

enum { THREADS = 4, LINES = 200 };

static char *written;
static size_t written_bytes;
static FILE *out;

static int open_memory(void **state)
{
    (void)state;
    out = open_memstream(&written, &written_bytes);
    return out == NULL;
}

static int close_memory(void **state)
{
    (void)state;
    log_setup(stderr, LOG_INFO, LOG_TEXT);
    (void)fclose(out);
    free(written);
    return 0;
}

/* "2026-01-31T12:34:56.789Z" with any digits */
static void assert_time(const char *text)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";

    for (size_t i = 0; form[i] != 0; i++) {
        assert_true(form[i] == '0' ? isdigit((unsigned char)text[i]) != 0 : text[i] == form[i]);
    }
}

static void test_log__text_line(void **state)
{
    struct log_context where = {.run = "r1", .job = "abc", .token = 7};

    (void)state;
    log_setup(out, LOG_INFO, LOG_TEXT);
    log_line(LOG_WARN, "lease.lost", &where, "age=%d ms", 12);
    assert_time(written);
    assert_string_equal(written + 24, " warn  lease.lost run=r1 job=abc token=7 age=12 ms\n");
}

static void test_log__empty_context_is_left_out(void **state)
{
    struct log_context where = {.run = ""};

    (void)state;
    log_setup(out, LOG_INFO, LOG_TEXT);
    log_line(LOG_INFO, "start", &where, "x=1");
    log_line(LOG_INFO, "start", NULL, "x=2");
    assert_memory_equal(written + 24, " info  start x=1\n", 17);
    assert_string_equal(written + 24 + 17 + 24, " info  start x=2\n");
}

static void test_log__level_is_the_least(void **state)
{
    (void)state;
    log_setup(out, LOG_WARN, LOG_TEXT);
    log_line(LOG_DEBUG, "a", NULL, "x");
    log_line(LOG_INFO, "a", NULL, "x");
    (void)fflush(out);
    assert_int_equal(written_bytes, 0);
    log_line(LOG_WARN, "a", NULL, "x");
    log_line(LOG_ERROR, "a", NULL, "x");
    assert_true(written_bytes > 50);
}

static void test_log__json_escapes(void **state)
{
    struct log_context where = {.run = "r\"1", .token = 18446744073709551615U};

    (void)state;
    log_setup(out, LOG_DEBUG, LOG_JSON);
    log_line(LOG_ERROR, "s", &where, "path=\"a\\b\"\n\t\x01");
    assert_memory_equal(written, "{\"time\":\"", 9);
    assert_time(written + 9);
    assert_string_equal(written + 33,
                        "\",\"level\":\"error\",\"subject\":\"s\",\"run\":\"r\\\"1\","
                        "\"token\":\"18446744073709551615\","
                        "\"message\":\"path=\\\"a\\\\b\\\"\\u000a\\u0009\\u0001\"}\n");
}

static void test_log__failure_tells_status_and_place(void **state)
{
    struct nero_err err;

    (void)state;
    log_setup(out, LOG_INFO, LOG_TEXT);
    (void)err_set(&err, NERO_DENIED, 403, "no entry");
    log_failure("store", NULL, &err);
    assert_non_null(strstr(written, " error store status=denied code=403 at="));
    assert_non_null(strstr(written, "test_log.c:"));
    assert_non_null(strstr(written, " no entry\n"));
}

static void write_lines(void *context)
{
    for (int i = 0; i < LINES; i++) {
        log_line(LOG_INFO, "t", NULL, "%s", (const char *)context);
    }
}

static void test_log__lines_of_threads_do_not_mix(void **state)
{
    static char texts[THREADS][1500];
    struct thread threads[THREADS] = {0};
    struct nero_err err;
    size_t lines = 0;

    (void)state;
    log_setup(out, LOG_INFO, LOG_TEXT);
    for (int i = 0; i < THREADS; i++) {
        memset(texts[i], 'a' + i, sizeof texts[i] - 1);
        assert_int_equal(thread_start(&threads[i], "log", write_lines, texts[i], &err), NERO_OK);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
    }
    (void)fflush(out);
    for (char *line = written; *line != 0; lines++) {
        char *end = strchr(line, '\n');
        const char *text = line + 24 + strlen(" info  t ");

        assert_non_null(end);
        assert_time(line);
        assert_int_equal(end - text, sizeof texts[0] - 1);
        assert_int_equal(strspn(text, (const char[]){*text, 0}), sizeof texts[0] - 1);
        line = end + 1;
    }
    assert_int_equal(lines, THREADS * LINES);
}

static void test_log__parse(void **state)
{
    enum log_level level = LOG_DEBUG;
    enum log_format format = LOG_TEXT;
    struct nero_err err;

    (void)state;
    assert_int_equal(log_parse_level("warn", &level, &err), NERO_OK);
    assert_int_equal(level, LOG_WARN);
    assert_int_equal(log_parse_level("WARN", &level, &err), NERO_INVALID);
    assert_int_equal(log_parse_format("json", &format, &err), NERO_OK);
    assert_int_equal(format, LOG_JSON);
    assert_int_equal(log_parse_format("xml", &format, &err), NERO_INVALID);
    assert_string_equal(err.message, "log format 'xml' is not text or json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log__text_line, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(test_log__empty_context_is_left_out, open_memory,
                                        close_memory),
        cmocka_unit_test_setup_teardown(test_log__level_is_the_least, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(test_log__json_escapes, open_memory, close_memory),
        cmocka_unit_test_setup_teardown(test_log__failure_tells_status_and_place, open_memory,
                                        close_memory),
        cmocka_unit_test_setup_teardown(test_log__lines_of_threads_do_not_mix, open_memory,
                                        close_memory),
        cmocka_unit_test(test_log__parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
