/*
 * Goal: signatures are those of AWS. Method: the published cases (the Signature Version 4 suite,
 * the examples of S3's reference) as a table of ours; parts of the canonical request where a rule
 * has more cases than those.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nero/mem.h"
#include "s3_sign.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SUITE_MS INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */
#define S3_MS INT64_C(1369353600000)    /* 2013-05-24T00:00:00Z */

/* The account of the suite, and that of S3's examples. */
static const struct account {
    const char *access_key;
    const char *secret_key;
    const char *service;
    const char *host;
    int64_t wall_ms;
} suite = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "service",
           "example.amazonaws.com", SUITE_MS},
  s3 = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "s3",
        "examplebucket.s3.amazonaws.com", S3_MS};

enum { PAIRS = 5 };

static const struct sign_case {
    const char *name;
    const struct account *account;
    const char *method;
    const char *path;
    const char *payload;
    struct s3_sign_pair query[PAIRS];
    struct s3_sign_pair headers[PAIRS];
    const char *signature;
} cases[] = {
    {"vanilla",
     &suite,
     "GET",
     "/",
     "",
     {{0}},
     {{0}},
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"unreserved path",
     &suite,
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     "",
     {{0}},
     {{0}},
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"utf-8 path",
     &suite,
     "GET",
     "/\xe1\x88\xb4",
     "",
     {{0}},
     {{0}},
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"query in another order",
     &suite,
     "GET",
     "/",
     "",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {{0}},
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"repeated header",
     &suite,
     "GET",
     "/",
     "",
     {{0}},
     {{"my-header1", "value2"}, {"my-header1", "value2"}, {"my-header1", "value1"}},
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"blanks in headers",
     &suite,
     "GET",
     "/",
     "",
     {{0}},
     {{"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}},
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post",
     &suite,
     "POST",
     "/",
     "",
     {{0}},
     {{0}},
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post a form",
     &suite,
     "POST",
     "/",
     "Param1=value1",
     {{0}},
     {{"content-type", "application/x-www-form-urlencoded"}},
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"header with its values in order",
     &suite,
     "GET",
     "/",
     "",
     {{0}},
     {{"my-header1", "value4"},
      {"my-header1", "value1"},
      {"my-header1", "value3"},
      {"my-header1", "value2"}},
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"session token",
     &suite,
     "GET",
     "/",
     "",
     {{0}},
     {{"x-amz-security-token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"}},
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"a parameter",
     &suite,
     "GET",
     "/",
     "",
     {{"Param1", "value1"}},
     {{0}},
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"parameters of one name, by value",
     &suite,
     "GET",
     "/",
     "",
     {{"Param1", "value2"}, {"Param1", "value1"}},
     {{0}},
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"unreserved parameter",
     &suite,
     "GET",
     "/",
     "",
     {{"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
       "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}},
     {{0}},
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"utf-8 parameter",
     &suite,
     "GET",
     "/",
     "",
     {{"\xe1\x88\xb4", "bar"}},
     {{0}},
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"post with a header",
     &suite,
     "POST",
     "/",
     "",
     {{0}},
     {{"my-header1", "value1"}},
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"a header's value keeps its case",
     &suite,
     "POST",
     "/",
     "",
     {{0}},
     {{"my-header1", "VALUE1"}},
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post with a session token",
     &suite,
     "POST",
     "/",
     "",
     {{0}},
     {{"x-amz-security-token",
       "AQoDYXdzEPT//////////"
       "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
       "hAx7mSEI/qkPpKPi/"
       "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQc"
       "HNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
       "scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="}},
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"post with a parameter",
     &suite,
     "POST",
     "/",
     "",
     {{"Param1", "value1"}},
     {{0}},
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post a form of a charset",
     &suite,
     "POST",
     "/",
     "Param1=value1",
     {{0}},
     {{"content-type", "application/x-www-form-urlencoded; charset=utf8"}},
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
    {"s3: get a range",
     &s3,
     "GET",
     "/test.txt",
     "",
     {{0}},
     {{"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY_HASH}},
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"s3: put",
     &s3,
     "PUT",
     "/test$file.text",
     "Welcome to Amazon S3.",
     {{0}},
     {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}},
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"s3: a parameter without value",
     &s3,
     "GET",
     "/",
     "",
     {{"lifecycle", ""}},
     {{"x-amz-content-sha256", EMPTY_HASH}},
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"s3: list",
     &s3,
     "GET",
     "/",
     "",
     {{"prefix", "J"}, {"max-keys", "2"}},
     {{"x-amz-content-sha256", EMPTY_HASH}},
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static size_t count_pairs(const struct s3_sign_pair pairs[PAIRS])
{
    size_t count = 0;

    while (count < PAIRS && pairs[count].name != NULL) {
        count++;
    }
    return count;
}

static struct s3_sign_input input_of(const struct sign_case *c, char hash[S3_SIGN_HASH_BYTES])
{
    s3_sign_hash(hash, bytes_view_str(c->payload));
    return (struct s3_sign_input){.method = c->method,
                                  .host = c->account->host,
                                  .path = c->path,
                                  .query = c->query,
                                  .query_count = count_pairs(c->query),
                                  .headers = c->headers,
                                  .header_count = count_pairs(c->headers),
                                  .payload_hash = hash,
                                  .region = "us-east-1",
                                  .service = c->account->service,
                                  .access_key = c->account->access_key,
                                  .secret_key = c->account->secret_key,
                                  .wall_ms = c->account->wall_ms};
}

static void test_s3_sign__published_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char hash[S3_SIGN_HASH_BYTES];
        struct s3_sign_input input = input_of(&cases[i], hash);
        struct nero_err err;
        struct bytes out;
        const char *hex;

        bytes_init(&out, 4096);
        assert_int_equal(s3_sign_authorization(&out, &input, &err), NERO_OK);
        assert_int_equal(bytes_terminate(&out, &err), NERO_OK);
        hex = strstr((const char *)out.data, "Signature=");
        assert_non_null(hex);
        if (strcmp(hex + 10, cases[i].signature) != 0) {
            fail_msg("%s: %s", cases[i].name, hex);
        }
        bytes_fini(&out);
    }
}

/* The whole header and the whole canonical request of one case. */
static void test_s3_sign__header_and_canonical_request(void **state)
{
    char hash[S3_SIGN_HASH_BYTES];
    struct s3_sign_input input = input_of(&cases[19], hash);
    struct nero_err err;
    struct bytes out;

    (void)state;
    bytes_init(&out, 4096);
    assert_int_equal(s3_sign_canonical(&out, &input, &err), NERO_OK);
    assert_true(bytes_view_equal(
        bytes_as_view(&out),
        bytes_view_str("GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
                       "x-amz-content-sha256:" EMPTY_HASH "\nx-amz-date:20130524T000000Z\n\n"
                       "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY_HASH)));
    bytes_clear(&out);
    assert_int_equal(s3_sign_authorization(&out, &input, &err), NERO_OK);
    assert_true(bytes_view_equal(
        bytes_as_view(&out),
        bytes_view_str("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                       "aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                       "Signature="
                       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")));
    bytes_fini(&out);
}

static void test_s3_sign__targets_are_encoded_and_sorted(void **state)
{
    static const struct {
        const char *path;
        struct s3_sign_pair query[PAIRS];
        const char *target;
    } targets[] = {
        {"/b/a b+c", {{0}}, "/b/a%20b%2Bc"},
        {"/a//b/../c/./", {{0}}, "/a//b/../c/./"}, /* S3 does not normalise */
        {"/~-._/=:@()*!'%", {{0}}, "/~-._/%3D%3A%40%28%29%2A%21%27%25"},
        {"/\x01\x7f\xff", {{0}}, "/%01%7F%FF"},
        {"/", {{"uploads", ""}}, "/?uploads="},
        {"/", {{"prefix", "a/b c"}, {"list-type", "2"}}, "/?list-type=2&prefix=a%2Fb%20c"},
        {"/", {{"b", "2"}, {"a", "2"}, {"b", "1"}, {"B", ""}}, "/?B=&a=2&b=1&b=2"},
        {"/", {{"a-b", ""}, {"a", ""}, {"a+b", ""}}, "/?a=&a%2Bb=&a-b="},
        {"/", {{"a-", ""}, {"a ", ""}, {"a\xff", ""}}, "/?a%20=&a%FF=&a-="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct s3_sign_input input = {.path = targets[i].path,
                                      .query = targets[i].query,
                                      .query_count = count_pairs(targets[i].query)};
        struct nero_err err;
        struct bytes out;

        bytes_init(&out, 1000);
        assert_int_equal(s3_sign_target(&out, &input, &err), NERO_OK);
        assert_int_equal(bytes_terminate(&out, &err), NERO_OK);
        assert_string_equal((const char *)out.data, targets[i].target);
        bytes_fini(&out);
    }
}

static void test_s3_sign__too_much_is_refused_and_leaves_out_alone(void **state)
{
    static struct s3_sign_pair many[S3_SIGN_PAIRS_MAX + 1];
    char hash[S3_SIGN_HASH_BYTES];
    struct s3_sign_input input = input_of(&cases[0], hash);
    struct nero_err err;
    struct bytes out;
    int fired = 1;

    (void)state;
    for (size_t i = 0; i < S3_SIGN_PAIRS_MAX + 1; i++) {
        many[i] = (struct s3_sign_pair){.name = "n", .value = "v"};
    }
    bytes_init(&out, 4096);
    input.query = many;
    input.query_count = S3_SIGN_PAIRS_MAX + 1;
    assert_int_equal(s3_sign_authorization(&out, &input, &err), NERO_INVALID);
    input.query_count = S3_SIGN_PAIRS_MAX;
    input.headers = many;
    input.header_count = S3_SIGN_PAIRS_MAX - 1;
    assert_int_equal(s3_sign_authorization(&out, &input, &err), NERO_INVALID);
    input.header_count = S3_SIGN_PAIRS_MAX - 2;
    assert_int_equal(out.bytes, 0);
    for (long skip = 0; fired > 0; skip++) {
        enum nero_status status;

        bytes_fini(&out);
        bytes_init(&out, 4096);
        (void)mem_fail_plan(skip, 1);
        status = s3_sign_authorization(&out, &input, &err);
        fired = mem_fail_plan(0, 0);
        assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
        assert_true(fired == 0 || out.bytes == 0);
    }
    bytes_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_sign__published_signatures),
        cmocka_unit_test(test_s3_sign__header_and_canonical_request),
        cmocka_unit_test(test_s3_sign__targets_are_encoded_and_sorted),
        cmocka_unit_test(test_s3_sign__too_much_is_refused_and_leaves_out_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
