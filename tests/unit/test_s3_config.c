/*
 * Goal: URLs, variables and the AWS tools' files become what is meant or are refused, and an answer
 * becomes its status. Method: tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/mem.h"
#include "s3_client.h"
#include "storage_s3.h"
#include "tests/support/temp_folder.h"

enum { VARIABLES_MAX = 6 };

struct variable {
    const char *name;
    const char *value;
};

static const char *get_variable(void *context, const char *name)
{
    const struct variable *variables = context;

    for (size_t i = 0; i < VARIABLES_MAX && variables[i].name != NULL; i++) {
        if (strcmp(variables[i].name, name) == 0) {
            return variables[i].value;
        }
    }
    return NULL;
}

static void test_s3_config__urls_and_endpoints(void **state)
{
    static struct {
        const char *place;
        struct variable variables[VARIABLES_MAX];
        const char *prefix;
        const char *host;
        bool tls;
        bool path_style;
    } good[] = {
        {"bkt", {{0}}, "", "bkt.s3.us-east-1.amazonaws.com", true, false},
        {"bkt/", {{0}}, "", "bkt.s3.us-east-1.amazonaws.com", true, false},
        {"bkt/a/b/",
         {{"AWS_REGION", "eu-west-1"}},
         "a/b/",
         "bkt.s3.eu-west-1.amazonaws.com",
         true,
         false},
        {"bkt",
         {{"AWS_DEFAULT_REGION", "cn-north-1"}},
         "",
         "bkt.s3.cn-north-1.amazonaws.com.cn",
         true,
         false},
        {"my.bkt", {{0}}, "", "s3.us-east-1.amazonaws.com", true, true},
        {"bkt", {{"AWS_ENDPOINT_URL", "http://h:80/"}}, "", "h", false, true},
        {"bkt", {{"AWS_ENDPOINT_URL", "https://h:443"}}, "", "h", true, true},
        {"bkt", {{"AWS_ENDPOINT_URL", "https://h:80"}}, "", "h:80", true, true},
        {"bkt",
         {{"AWS_ENDPOINT_URL", "http://no"}, {"AWS_ENDPOINT_URL_S3", "http://[::1]:90"}},
         "",
         "[::1]:90",
         false,
         true},
        {"bkt",
         {{"AWS_ENDPOINT_URL", "http://h:90"}, {"NERO_S3_STYLE", "virtual"}},
         "",
         "bkt.h:90",
         false,
         false},
        {"bkt", {{"NERO_S3_STYLE", "path"}}, "", "s3.us-east-1.amazonaws.com", true, true},
        {"bkt",
         {{"AWS_REGION", ""}, {"NERO_S3_PAYLOAD", "unsigned"}},
         "",
         "bkt.s3.us-east-1.amazonaws.com",
         true,
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct s3_environment environment = {.get = get_variable, .context = good[i].variables};
        struct s3_config config;
        struct nero_err err;

        assert_int_equal(s3_config_parse("s3://x", good[i].place, &environment, &config, &err),
                         NERO_OK);
        assert_string_equal(config.prefix, good[i].prefix);
        assert_string_equal(config.host, good[i].host);
        assert_int_equal(config.tls, good[i].tls);
        assert_int_equal(config.path_style, good[i].path_style);
    }
}

static void test_s3_config__bad_ones_are_refused(void **state)
{
    static struct {
        const char *place;
        struct variable variables[VARIABLES_MAX];
    } bad[] = {
        {"", {{0}}},
        {"ab", {{0}}},
        {"Bucket", {{0}}},
        {"-bkt", {{0}}},
        {"bkt-", {{0}}},
        {"b..kt", {{0}}},
        {"b_kt", {{0}}},
        {"0123456789012345678901234567890123456789012345678901234567890123", {{0}}},
        {"bkt//", {{0}}},
        {"bkt//a", {{0}}},
        {"bkt/../a", {{0}}},
        {"bkt/a b", {{0}}},
        {"bkt", {{"AWS_ENDPOINT_URL", "h:90"}}},
        {"bkt", {{"AWS_ENDPOINT_URL", "ftp://h"}}},
        {"bkt", {{"AWS_ENDPOINT_URL", "http://"}}},
        {"bkt", {{"AWS_ENDPOINT_URL", "http://h/path"}}},
        {"bkt", {{"AWS_ENDPOINT_URL", "http://user@h"}}},
        {"bkt", {{"AWS_ENDPOINT_URL", "http://h\r\nX: y"}}},
        {"bkt", {{"AWS_REGION", "us east"}}},
        {"bkt", {{"AWS_REGION", "eu-west-1/s3"}}},
        {"bkt", {{"NERO_S3_STYLE", "other"}}},
        {"bkt", {{"NERO_S3_PAYLOAD", "maybe"}}},
        {"bkt", {{"NERO_S3_PAYLOAD", "unsigned"}, {"AWS_ENDPOINT_URL", "http://h"}}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct s3_environment environment = {.get = get_variable, .context = bad[i].variables};
        struct s3_config config;
        struct nero_err err;

        if (s3_config_parse("s3://x", bad[i].place, &environment, &config, &err) != NERO_INVALID) {
            fail_msg("accepted: %s %s", bad[i].place,
                     bad[i].variables[0].value != NULL ? bad[i].variables[0].value : "");
        }
    }
}

static enum nero_status parse(const char *text, const char *profile, bool is_config,
                              struct s3_profile *out, struct nero_err *err)
{
    *out = (struct s3_profile){0};
    return s3_profile_parse("file", bytes_view_str(text), profile, is_config, out, err);
}

static void test_s3_profile__files_of_the_aws_tools(void **state)
{
    static const char credentials[] = "# comment\r\n"
                                      "aws_access_key_id = outside\n"
                                      "[default]\n"
                                      "aws_access_key_id=AK1\n"
                                      "aws_secret_access_key =\ts/e+c=r#et ; a comment\n"
                                      "\n"
                                      "[ two ]\n"
                                      "aws_access_key_id = AK2\n"
                                      "s3 =\n"
                                      "  aws_secret_access_key = nested\n"
                                      "aws_secret_access_key = S2\n"
                                      "aws_session_token = T2";
    static const char config[] = "[default]\nregion = eu-west-1\n[profile two]\nregion=eu-west-2\n"
                                 "[two]\nregion = wrong\n";
    struct s3_profile profile;
    struct nero_err err;

    (void)state;
    assert_int_equal(parse(credentials, "default", false, &profile, &err), NERO_OK);
    assert_true(profile.found);
    assert_string_equal(profile.credentials.access_key, "AK1");
    assert_string_equal(profile.credentials.secret_key, "s/e+c=r#et");
    assert_string_equal(profile.credentials.token, "");
    assert_int_equal(parse(credentials, "two", false, &profile, &err), NERO_OK);
    assert_string_equal(profile.credentials.access_key, "AK2");
    assert_string_equal(profile.credentials.secret_key, "S2");
    assert_string_equal(profile.credentials.token, "T2");
    assert_int_equal(parse(credentials, "three", false, &profile, &err), NERO_OK);
    assert_false(profile.found);
    assert_int_equal(parse(config, "default", true, &profile, &err), NERO_OK);
    assert_string_equal(profile.region, "eu-west-1");
    assert_int_equal(parse(config, "two", true, &profile, &err), NERO_OK);
    assert_string_equal(profile.region, "eu-west-2");
}

static void test_s3_profile__bad_lines_are_named(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } bad[] = {
        {"[default\n", "file:1: a section without ']'"},
        {"[default]\nnonsense\n", "file:2: expected name = value"},
        {"[default]\naws_access_key_id = a b\n",
         "file:2: 'aws_access_key_id' is too long or has a character that is not allowed"},
    };
    struct s3_profile profile;
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse(bad[i].text, "default", false, &profile, &err), NERO_INVALID);
        assert_string_equal(err.message, bad[i].message);
    }
}

static void write_text(const char *folder, const char *name, const char *text, char path[300])
{
    FILE *file;

    (void)snprintf(path, 300, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_s3_profile__both_files_make_one(void **state)
{
    char folder[TEMP_FOLDER_BYTES];
    char credentials[300];
    char config[300];
    struct variable variables[VARIABLES_MAX] = {{"AWS_SHARED_CREDENTIALS_FILE", credentials},
                                                {"AWS_CONFIG_FILE", config}};
    struct s3_environment environment = {.get = get_variable, .context = variables};
    struct s3_profile profile;
    struct nero_err err;

    (void)state;
    assert_int_equal(temp_folder_make(folder, NULL), 0);
    write_text(folder, "credentials",
               "[default]\naws_access_key_id=A\naws_secret_access_key=S\n[half]\n"
               "aws_access_key_id=A\n",
               credentials);
    write_text(folder, "config",
               "[default]\nregion=r-1\naws_access_key_id=other\n[profile p]\nrole_arn=x\n", config);
    assert_int_equal(s3_profile_load(&environment, &profile, &err), NERO_OK);
    assert_string_equal(profile.credentials.access_key, "A"); /* the credentials file is first */
    assert_string_equal(profile.region, "r-1");
    variables[2] = (struct variable){"AWS_PROFILE", "half"};
    assert_int_equal(s3_profile_load(&environment, &profile, &err), NERO_INVALID);
    variables[2].value = "nobody";
    assert_int_equal(s3_profile_load(&environment, &profile, &err), NERO_INVALID);
    variables[2].value = "p";
    assert_int_equal(s3_profile_load(&environment, &profile, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "role_arn"));
    variables[0].value = variables[1].value = "/nonexistent/file";
    variables[2].value = NULL;
    assert_int_equal(s3_profile_load(&environment, &profile, &err), NERO_OK);
    assert_false(profile.found);
    temp_folder_remove(folder);
}

static void test_s3_client__statuses(void **state)
{
    static const struct {
        int http;
        const char *code;
        enum nero_status read;
        enum nero_status write;
    } answers[] = {
        {200, "InternalError", NERO_UNAVAILABLE, NERO_UNKNOWN},
        {301, "PermanentRedirect", NERO_INVALID, NERO_INVALID},
        {307, "TemporaryRedirect", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {400, "", NERO_INVALID, NERO_INVALID},
        {400, "RequestTimeout", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {400, "BadDigest", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {400, "ExpiredToken", NERO_DENIED, NERO_DENIED},
        {400, "EntityTooLarge", NERO_TOO_BIG, NERO_TOO_BIG},
        {401, "", NERO_DENIED, NERO_DENIED},
        {403, "", NERO_DENIED, NERO_DENIED},
        {403, "SignatureDoesNotMatch", NERO_DENIED, NERO_DENIED},
        {403, "QuotaExceeded", NERO_NO_SPACE, NERO_NO_SPACE},
        {404, "NoSuchKey", NERO_NOT_FOUND, NERO_NOT_FOUND},
        {404, "NoSuchBucket", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {404, "", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {405, "MethodNotAllowed", NERO_INVALID, NERO_INVALID},
        {408, "", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {409, "OperationAborted", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {412, "PreconditionFailed", NERO_CONFLICT, NERO_CONFLICT},
        {413, "", NERO_TOO_BIG, NERO_TOO_BIG},
        {429, "", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {500, "InternalError", NERO_UNAVAILABLE, NERO_UNKNOWN},
        {501, "NotImplemented", NERO_INVALID, NERO_INVALID},
        {502, "", NERO_UNAVAILABLE, NERO_UNKNOWN},
        {503, "", NERO_UNAVAILABLE, NERO_UNKNOWN},
        {503, "SlowDown", NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {504, "", NERO_UNAVAILABLE, NERO_UNKNOWN},
        {507, "", NERO_NO_SPACE, NERO_NO_SPACE},
        {599, "", NERO_UNAVAILABLE, NERO_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct s3_xml_error error = {0};

        (void)snprintf(error.code, sizeof error.code, "%s", answers[i].code);
        assert_int_equal(s3_client_status(answers[i].http, &error, false), answers[i].read);
        assert_int_equal(s3_client_status(answers[i].http, &error, true), answers[i].write);
    }
}

/* What is sent to the store lies where the caller's beginning lies, among all keys. */
static void test_storage_s3__beginnings_of_listings(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } beginnings[] = {{"", ""},       {"a/b", "a/b"},  {"a b", "a"},  {"a\x01", "a"},
                      {"a~b", "a~"},  {"a\xff", "a~"}, {"a:b", "a:"}, {"a\x7f", "a~"},
                      {"~nero", "~"}, {" ", ""},       {"a%", "a"},   {"a{", "a{"}};
    char longest[2000];
    char out[STORAGE_KEY_BYTES_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        storage_s3_start_after(beginnings[i].in, out);
        assert_string_equal(out, beginnings[i].out);
    }
    memset(longest, 'k', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    storage_s3_start_after(longest, out);
    assert_int_equal(strlen(out), STORAGE_KEY_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_config__urls_and_endpoints),
        cmocka_unit_test(test_s3_config__bad_ones_are_refused),
        cmocka_unit_test(test_s3_profile__files_of_the_aws_tools),
        cmocka_unit_test(test_s3_profile__bad_lines_are_named),
        cmocka_unit_test(test_s3_profile__both_files_make_one),
        cmocka_unit_test(test_s3_client__statuses),
        cmocka_unit_test(test_storage_s3__beginnings_of_listings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
