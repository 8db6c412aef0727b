/*
 * Goal: whom s3:// trusts, who trusts it, and that this is not paid for with every request:
 * certificates, tokens that expire, clocks, kept connections.
 * Method: a real gateway with TLS and a security token service, restarted with another clock; a
 * relay that counts connections.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy.h"
#include "storage_s3.h"
#include "tests/support/rgw.h"

enum { LARGE_BYTES = 40 * 1024 * 1024, OPERATIONS = 30, TOKEN_BYTES = 2048 };

static struct rgw gateway;
static struct nero_err err;

static void set_endpoint(const char *scheme, const char *host, int port)
{
    char endpoint[64];

    (void)snprintf(endpoint, sizeof endpoint, "%s://%s:%d", scheme, host, port);
    (void)setenv("AWS_ENDPOINT_URL_S3", endpoint, 1);
}

static void set_authority(const char *name)
{
    char path[TEMP_FOLDER_BYTES + 16];

    (void)snprintf(path, sizeof path, "%s/%s", gateway.folder, name);
    (void)setenv("AWS_CA_BUNDLE", path, 1);
}

static struct storage *open_good(void)
{
    struct storage *store = NULL;

    if (storage_open("s3://trust/x", true, &store, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    return store;
}

static void use_store(struct storage *store)
{
    struct bytes out;

    bytes_init(&out, 10);
    assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_OK);
    assert_memory_equal(out.data, "v", 1);
    assert_int_equal(storage_remove(store, "k", &err), NERO_OK);
    bytes_fini(&out);
}

static int reset(void **state)
{
    (void)state;
    rgw_set_environment(&gateway);
    return 0;
}

/* Its own authority, and no other, and only under the name that the certificate has. */
static void test_s3__tls_is_verified(void **state)
{
    static const struct {
        const char *host;
        const char *authority; /* NULL: the system's */
        enum nero_status status;
    } cases[] = {{"localhost", "ca.pem", NERO_OK},
                 {"localhost", "other.pem", NERO_DENIED},
                 {"localhost", NULL, NERO_DENIED},
                 {"127.0.0.1", "ca.pem", NERO_DENIED},
                 {"localhost", "missing.pem", NERO_DENIED}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct storage *store = NULL;

        (void)unsetenv("AWS_CA_BUNDLE");
        set_endpoint("https", cases[i].host, gateway.tls_port);
        if (cases[i].authority != NULL) {
            set_authority(cases[i].authority);
        }
        assert_int_equal(storage_open("s3://trust/x", true, &store, &err), cases[i].status);
        if (cases[i].status == NERO_OK) {
            use_store(store);
        } else {
            assert_non_null(strstr(err.message, "AWS_CA_BUNDLE"));
        }
        storage_close(store);
    }
}

/* TLS guards the bodies where they are not signed; without it that is refused. */
static void test_s3__unsigned_bodies_need_tls(void **state)
{
    struct storage *store = NULL;

    (void)state;
    (void)setenv("NERO_S3_PAYLOAD", "unsigned", 1);
    assert_int_equal(storage_open("s3://trust/x", true, &store, &err), NERO_INVALID);
    set_endpoint("https", "localhost", gateway.tls_port);
    set_authority("ca.pem");
    store = open_good();
    use_store(store);
    assert_int_equal(storage_put_if_absent(store, "once", bytes_view_str("1"), &err), NERO_OK);
    assert_int_equal(storage_put_if_absent(store, "once", bytes_view_str("2"), &err), NERO_EXISTS);
    assert_int_equal(storage_remove(store, "once", &err), NERO_OK);
    storage_close(store);
}

/* One connection for one thing after another, one for each range at a time, with TLS and without.
 */
static void test_s3__connections_are_kept(void **state)
{
    uint8_t *data = calloc(1, LARGE_BYTES);

    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        struct proxy *relay = proxy_start_relay(tls ? gateway.tls_port : gateway.port);
        struct storage *store;
        struct bytes out;

        set_authority("ca.pem");
        set_endpoint(tls ? "https" : "http", "localhost", proxy_port(relay));
        store = open_good();
        for (int i = 0; i < OPERATIONS; i++) {
            use_store(store);
        }
        assert_int_equal(proxy_counts(relay).connections, 1);
        bytes_init(&out, LARGE_BYTES);
        for (int i = 0; i < 2; i++) {
            bytes_clear(&out);
            assert_int_equal(storage_put(store, "big", bytes_view_of(data, LARGE_BYTES), &err),
                             NERO_OK);
            assert_int_equal(storage_get(store, "big", &out, NULL, &err), NERO_OK);
        }
        assert_int_equal(proxy_counts(relay).connections, storage_s3_defaults().parallel);
        storage_close(store);
        proxy_stop(relay);
        bytes_fini(&out);
    }
    free(data);
}

/* A server that stops in the middle, or sends a byte now and then, is given up by its pace, long
 * before the deadline of the whole request. */
static void test_s3__a_stalled_transfer_ends(void **state)
{
    static const enum proxy_fault faults[] = {PROXY_STALL_REPLY, PROXY_DRIP};
    struct storage_s3_options options = storage_s3_defaults();

    (void)state;
    options.client.http.stall_ms = 1000;
    options.client.http.request_ms = 600000;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct proxy *proxy = proxy_start(gateway.port);
        struct storage *store = NULL;
        struct bytes out;

        set_endpoint("http", "127.0.0.1", proxy_port(proxy));
        assert_int_equal(storage_s3_open_with("s3://trust/x", &options, true, &store, &err),
                         NERO_OK);
        assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
        bytes_init(&out, 10);
        proxy_set(proxy, faults[i], 0, -1);
        assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_TIMEOUT);
        assert_int_equal(storage_put(store, "k", bytes_view_str("w"), &err), NERO_UNKNOWN);
        proxy_set(proxy, PROXY_NONE, 0, 0);
        assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_OK);
        assert_memory_equal(out.data, "w", 1); /* it had arrived */
        storage_close(store);
        proxy_stop(proxy);
        bytes_fini(&out);
    }
}

/* The text of an element of the token service's answer. */
static bool copy_element(const char *text, const char *name, char out[TOKEN_BYTES])
{
    const char *start = strstr(text, name);

    if (start == NULL) {
        return false;
    }
    start += strlen(name) + 1;
    (void)snprintf(out, TOKEN_BYTES, "%.*s", (int)strcspn(start, "<"), start);
    return true;
}

/* Temporary credentials of the role, into the environment. */
static void assume_role(void)
{
    static const char *const elements[] = {"AccessKeyId", "SecretAccessKey", "SessionToken"};
    static const char *const variables[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                            "AWS_SESSION_TOKEN"};
    char command[512];
    char answer[8192];
    FILE *pipe;

    (void)snprintf(command, sizeof command,
                   "curl -sS --user '%s:%s' --aws-sigv4 aws:amz:us-east-1:sts -X POST "
                   "http://127.0.0.1:%d/ -d 'Action=AssumeRole&Version=2011-06-15"
                   "&RoleArn=arn:aws:iam:::role/runner&RoleSessionName=runner"
                   "&DurationSeconds=900'",
                   RGW_ACCESS_KEY, RGW_SECRET_KEY, gateway.port);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    answer[fread(answer, 1, sizeof answer - 1, pipe)] = 0;
    assert_int_equal(pclose(pipe), 0);
    for (size_t i = 0; i < 3; i++) {
        char value[TOKEN_BYTES];

        if (!copy_element(answer, elements[i], value)) {
            fail_msg("the token service answers: %s", answer);
        }
        (void)setenv(variables[i], value, 1);
    }
}

static void make_role(void)
{
    assert_true(rgw_admin(
        &gateway,
        (const char *[]){
            "role", "create", "--role-name=runner", "--path=/",
            "--assume-role-policy-doc={\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":"
            "\"Allow\",\"Principal\":{\"AWS\":[\"arn:aws:iam:::user/test\"]},\"Action\":"
            "[\"sts:AssumeRole\"]}]}",
            NULL}));
    assert_true(rgw_admin(
        &gateway,
        (const char *[]){"role-policy", "put", "--role-name=runner", "--policy-name=p",
                         "--policy-doc={\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":"
                         "\"Allow\",\"Action\":[\"s3:*\"],\"Resource\":[\"arn:aws:s3:::trust\","
                         "\"arn:aws:s3:::trust/*\"]}]}",
                         NULL}));
}

/*
 * A gateway two hours ahead: a store that is open learns its clock from the first refusal, and a
 * token of a quarter of an hour has expired.
 */
static void test_s3__a_gateway_of_another_time(void **state)
{
    struct storage *owner = open_good();
    struct storage *tampered = NULL;
    struct storage *session;
    int64_t ahead_ms;

    (void)state;
    use_store(owner);
    make_role();
    assume_role();
    session = open_good();
    use_store(session);
    (void)setenv("AWS_SESSION_TOKEN", "tampered", 1);
    assert_int_equal(storage_open("s3://trust/x", false, &tampered, &err), NERO_DENIED);
    assert_null(tampered);
    rgw_kill_gateway(&gateway);
    assert_true(rgw_restart_gateway(&gateway, "+2h"));
    use_store(owner);
    assert_true(storage_clock_ahead(owner, &ahead_ms));
    assert_true(ahead_ms > 110 * 60000 && ahead_ms < 130 * 60000);
    assert_int_equal(storage_put(session, "k", bytes_view_str("v"), &err), NERO_DENIED);
    assert_int_equal(storage_head(session, "absent", NULL, &err), NERO_DENIED);
    rgw_kill_gateway(&gateway);
    assert_true(rgw_restart_gateway(&gateway, "-2h"));
    use_store(owner);
    use_store(session); /* it has not expired yet */
    storage_close(session);
    storage_close(owner);
}

static int start(void **state)
{
    (void)state;
    rgw_start_tls(&gateway);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rgw_stop(&gateway);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_s3__tls_is_verified, reset),
        cmocka_unit_test_setup(test_s3__unsigned_bodies_need_tls, reset),
        cmocka_unit_test_setup(test_s3__connections_are_kept, reset),
        cmocka_unit_test_setup(test_s3__a_stalled_transfer_ends, reset),
        cmocka_unit_test_setup(test_s3__a_gateway_of_another_time, reset),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
