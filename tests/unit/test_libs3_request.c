/*
 * Goal: what libs3 cannot do safely is refused before anything is sent, with a way out named, and
 * its statuses become ours. Method: tables of variables and of statuses; no server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "libs3_request.h"

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

static enum nero_status open_with(const char *place, struct variable *variables,
                                  struct libs3_client **out, struct nero_err *err)
{
    const struct s3_environment environment = {.get = get_variable, .context = variables};
    struct libs3_options options = libs3_defaults();
    char url[80];

    options.environment = &environment;
    (void)snprintf(url, sizeof url, "s3+libs3://%s", place);
    return libs3_client_open(url, place, &options, out, err);
}

static void test_libs3_request__what_it_cannot_send_is_refused(void **state)
{
    static struct {
        const char *place;
        struct variable variables[VARIABLES_MAX];
        enum nero_status status;
        const char *says;
    } bad[] = {
        {"bkt",
         {{"AWS_ACCESS_KEY_ID", "a"}, {"AWS_SECRET_ACCESS_KEY", "b"}}, /* AWS itself is https */
         NERO_INVALID,
         "libs3 does not verify whom it talks to over https"},
        {"bkt",
         {{"AWS_ACCESS_KEY_ID", "a"},
          {"AWS_SECRET_ACCESS_KEY", "b"},
          {"AWS_ENDPOINT_URL_S3", "https://localhost:9000"}},
         NERO_INVALID,
         "use s3://"},
        {"bkt",
         {{"AWS_ACCESS_KEY_ID", "a"},
          {"AWS_SECRET_ACCESS_KEY", "b"},
          {"AWS_SESSION_TOKEN", "c"},
          {"AWS_ENDPOINT_URL_S3", "http://localhost:9000"}},
         NERO_DENIED,
         "session token, which libs3 cannot send"},
        {"bkt/a b",
         {{"AWS_ACCESS_KEY_ID", "a"},
          {"AWS_SECRET_ACCESS_KEY", "b"},
          {"AWS_ENDPOINT_URL_S3", "http://localhost:9000"}},
         NERO_INVALID,
         "0x20"},
    };
    struct variable good[VARIABLES_MAX] = {{"AWS_ACCESS_KEY_ID", "a"},
                                           {"AWS_SECRET_ACCESS_KEY", "b"},
                                           {"AWS_ENDPOINT_URL_S3", "http://localhost:9000"}};
    struct libs3_client *client = NULL;
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(open_with(bad[i].place, bad[i].variables, &client, &err), bad[i].status);
        assert_non_null(strstr(err.message, bad[i].says));
        assert_null(strstr(err.message, "AWS_SECRET_ACCESS_KEY"));
        assert_null(client);
    }
    assert_int_equal(open_with("bkt/p", good, &client, &err), NERO_OK);
    assert_string_equal(libs3_client_config(client)->prefix, "p/");
    libs3_client_close(client);
    libs3_client_close(NULL);
}

/* Nobody listens: a definite failure, also of a write. */
static void test_libs3_request__no_connection(void **state)
{
    struct variable variables[VARIABLES_MAX] = {{"AWS_ACCESS_KEY_ID", "a"},
                                                {"AWS_SECRET_ACCESS_KEY", "b"},
                                                {"AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"}};
    const struct libs3_call call = {.verb = LIBS3_PUT, .name = "k", .body = bytes_view_str("body")};
    struct libs3_client *client;
    struct libs3_answer answer;
    struct nero_err err;

    (void)state;
    assert_int_equal(open_with("bkt", variables, &client, &err), NERO_OK);
    assert_int_equal(libs3_send(client, &call, &answer, &err), NERO_UNAVAILABLE);
    assert_non_null(strstr(err.message, "FailedToConnect"));
    libs3_client_close(client);
}

static void test_libs3_request__statuses(void **state)
{
    static const struct {
        S3Status status;
        enum nero_status read;
        enum nero_status write;
    } table[] = {
        {S3StatusErrorNoSuchKey, NERO_NOT_FOUND, NERO_NOT_FOUND},
        {S3StatusErrorNoSuchBucket, NERO_UNAVAILABLE, NERO_UNAVAILABLE}, /* no absence */
        {S3StatusHttpErrorNotFound, NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {S3StatusErrorSlowDown, NERO_UNAVAILABLE,
         NERO_UNKNOWN}, /* retryable, unlike libs3's word */
        {S3StatusErrorInternalError, NERO_UNAVAILABLE, NERO_UNKNOWN},
        {S3StatusInternalError, NERO_UNAVAILABLE, NERO_UNKNOWN},
        {S3StatusConnectionFailed, NERO_UNAVAILABLE, NERO_UNKNOWN},
        {S3StatusErrorUnknown, NERO_UNAVAILABLE, NERO_UNKNOWN},
        {S3StatusFailedToConnect, NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {S3StatusNameLookupError, NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {S3StatusErrorBadDigest, NERO_UNAVAILABLE, NERO_UNAVAILABLE},
        {S3StatusErrorSignatureDoesNotMatch, NERO_DENIED, NERO_DENIED},
        {S3StatusHttpErrorForbidden, NERO_DENIED, NERO_DENIED},
        {S3StatusErrorEntityTooLarge, NERO_TOO_BIG, NERO_TOO_BIG},
        {S3StatusErrorPreconditionFailed, NERO_CONFLICT, NERO_CONFLICT},
        {S3StatusUriTooLong, NERO_INVALID, NERO_INVALID},
        {S3StatusErrorInvalidArgument, NERO_INVALID, NERO_INVALID},
        {S3StatusOutOfMemory, NERO_NO_MEMORY, NERO_NO_MEMORY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(libs3_status(table[i].status, false), table[i].read);
        assert_int_equal(libs3_status(table[i].status, true), table[i].write);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libs3_request__what_it_cannot_send_is_refused),
        cmocka_unit_test(test_libs3_request__no_connection),
        cmocka_unit_test(test_libs3_request__statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
