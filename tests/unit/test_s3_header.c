/*
 * Goal: what the headers of an answer say is taken exactly, and what they should not say is not.
 * Method: tables of lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "s3_header.h"

static struct s3_http_answer take(const char *line)
{
    struct s3_http_answer answer = {.content_bytes = -1};

    s3_header_take(&answer, line, strlen(line));
    return answer;
}

static void test_s3_header__lengths(void **state)
{
    static const struct {
        const char *line;
        int64_t bytes;
    } lines[] = {{"Content-Length: 0\r\n", 0},
                 {"content-length:\t77 \r\n", 77},
                 {"CONTENT-LENGTH: 9223372036854775807\r\n", INT64_MAX},
                 {"Content-Length: 9223372036854775808\r\n", -1},
                 {"Content-Length: 99999999999999999999\r\n", -1},
                 {"Content-Length: -1\r\n", -1},
                 {"Content-Length: 7x\r\n", -1},
                 {"Content-Length: \r\n", -1},
                 {"Content-Length", -1},
                 {"Content-Lengths: 7\r\n", -1}};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_true(take(lines[i].line).content_bytes == lines[i].bytes);
    }
}

static void test_s3_header__ranges(void **state)
{
    static const char *const bad[] = {
        "Content-Range: bytes */77\r\n",    "Content-Range: bytes 5-4/77\r\n",
        "Content-Range: bytes 5-77/77\r\n", "Content-Range: bytes 5-9/*\r\n",
        "Content-Range: 5-9/77\r\n",        "Content-Range: bytes 5-9/77 x\r\n",
        "Content-Range: bytes -9/77\r\n",   "Content-Range: bytes 5-9\r\n"};
    struct s3_http_answer answer = take("Content-Range: bytes 5-9/77\r\n");

    (void)state;
    assert_true(answer.has_range);
    assert_int_equal(answer.range_first, 5);
    assert_int_equal(answer.range_last, 9);
    assert_int_equal(answer.object_bytes, 77);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(take(bad[i]).has_range);
    }
}

static void test_s3_header__names(void **state)
{
    char line[S3_HTTP_ETAG_BYTES + 64] = "ETag: ";

    (void)state;
    assert_string_equal(take("ETag: \"abc-2\"\r\n").etag, "abc-2");
    assert_string_equal(take("etag: abc\r\n").etag, "abc");
    assert_string_equal(take("ETag: \"a\"b\"\r\n").etag, "");
    assert_string_equal(take("ETag: \"a b\"\r\n").etag, "");
    assert_string_equal(take("ETag: \"a\x01\"\r\n").etag, "");
    memset(line + 6, 'e', S3_HTTP_ETAG_BYTES);
    assert_string_equal(take(line).etag, "");
    line[6 + S3_HTTP_ETAG_BYTES - 1] = 0;
    assert_string_equal(take(line).etag, line + 6);
    assert_string_equal(take("x-amz-bucket-region: eu-west-1\r\n").region, "eu-west-1");
    assert_string_equal(take("x-amz-bucket-region: eu\x1b[2J\r\n").region, "");
    assert_true(take("Date: Mon, 23 Nov 2026 05:41:33 GMT\r\n").date_ms == 1795412493000);
    assert_true(take("Date: yesterday\r\n").date_ms == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_header__lengths),
        cmocka_unit_test(test_s3_header__ranges),
        cmocka_unit_test(test_s3_header__names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
