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

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

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
    if (storage_put(store, "k", bytes_view_str("v"), &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
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

/*
 * A server that is fast enough not to stall, and too slow for its bytes, is given up when their
 * time is up, however much its caller has room for.
 */
static void test_s3__a_drip_above_the_stall_ends(void **state)
{
    static const uint8_t body[32 * 1024]; /* 6 s of it */
    struct storage_s3_options options = storage_s3_defaults();
    struct proxy *proxy = proxy_start(gateway.port);
    struct storage *store = NULL;
    struct bytes out;
    int64_t start_ns;

    (void)state;
    options.client.http.request_ms = 1000;
    set_endpoint("http", "127.0.0.1", proxy_port(proxy));
    assert_int_equal(storage_s3_open_with("s3://trust/x", &options, true, &store, &err), NERO_OK);
    assert_int_equal(storage_put(store, "k", bytes_view_of(body, sizeof body), &err), NERO_OK);
    bytes_init(&out, (size_t)1 << 30);
    proxy_set(proxy, PROXY_TRICKLE, 0, -1);
    start_ns = clock_mono_ns(clock_system());
    assert_int_equal(storage_get_range(store, "k", 0, sizeof body, &out, NULL, &err), NERO_TIMEOUT);
    assert_true(clock_seconds_since(clock_system(), start_ns) < 4);
    assert_int_equal(out.bytes, 0);
    proxy_set(proxy, PROXY_NONE, 0, 0);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_OK);
    assert_int_equal(out.bytes, sizeof body);
    storage_close(store);
    proxy_stop(proxy);
    bytes_fini(&out);
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

/* Temporary credentials of the role. */
struct session {
    char access_key[TOKEN_BYTES];
    char secret_key[TOKEN_BYTES];
    char token[TOKEN_BYTES];
};

/* `clock`: of the gateway, as rgw_restart_gateway has it. */
static void assume_role(const char *clock, struct session *out)
{
    char command[640];
    char answer[8192];
    FILE *pipe;

    (void)snprintf(command, sizeof command,
                   "FAKETIME=%s LD_PRELOAD='/usr/$LIB/faketime/libfaketime.so.1' "
                   "curl -sS --user '%s:%s' --aws-sigv4 aws:amz:us-east-1:sts -X POST "
                   "http://127.0.0.1:%d/ -d 'Action=AssumeRole&Version=2011-06-15"
                   "&RoleArn=arn:aws:iam:::role/runner&RoleSessionName=runner"
                   "&DurationSeconds=900'",
                   clock, RGW_ACCESS_KEY, RGW_SECRET_KEY, gateway.port);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    answer[fread(answer, 1, sizeof answer - 1, pipe)] = 0;
    assert_int_equal(pclose(pipe), 0);
    if (!copy_element(answer, "AccessKeyId", out->access_key) ||
        !copy_element(answer, "SecretAccessKey", out->secret_key) ||
        !copy_element(answer, "SessionToken", out->token)) {
        fail_msg("the token service answers: %s", answer);
    }
}

static struct storage *open_session(const struct session *session)
{
    (void)setenv("AWS_ACCESS_KEY_ID", session->access_key, 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", session->secret_key, 1);
    (void)setenv("AWS_SESSION_TOKEN", session->token, 1);
    return open_good();
}

/* The service of a container that gives it a session. */
static struct vendor {
    struct thread thread;
    struct thread_stop stop;
    struct thread_monitor monitor; /* guards what follows */
    struct session session;
    int given;
    int fd;
    char url[64];
} vendor;

static void give_session(int fd)
{
    char date[CLOCK_TEXT_BYTES];
    char request[4096];
    char body[4 * TOKEN_BYTES];
    char head[128];

    clock_format_utc(date, clock_wall_ms(clock_system()) + 3600000);
    thread_monitor_enter(&vendor.monitor);
    vendor.given++;
    (void)snprintf(body, sizeof body,
                   "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\",\"Token\":\"%s\","
                   "\"Expiration\":\"%s\"}",
                   vendor.session.access_key, vendor.session.secret_key, vendor.session.token,
                   date);
    thread_monitor_leave(&vendor.monitor);
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                   strlen(body));
    (void)recv(fd, request, sizeof request, 0);
    (void)send(fd, head, strlen(head), MSG_NOSIGNAL);
    (void)send(fd, body, strlen(body), MSG_NOSIGNAL);
}

static void vend(void *context)
{
    struct pollfd waits[2] = {{.fd = vendor.fd, .events = POLLIN},
                              {.fd = vendor.stop.event_fd, .events = POLLIN}};

    (void)context;
    while (poll(waits, 2, -1) > 0 && waits[1].revents == 0) {
        int fd = accept(vendor.fd, NULL, NULL);

        give_session(fd);
        (void)close(fd);
    }
}

static void start_vendor(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    vendor.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(vendor.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(vendor.fd, 16), 0);
    assert_int_equal(getsockname(vendor.fd, (struct sockaddr *)&address, &bytes), 0);
    (void)snprintf(vendor.url, sizeof vendor.url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    assert_int_equal(thread_monitor_init(&vendor.monitor, &err), NERO_OK);
    assert_int_equal(thread_stop_init(&vendor.stop, &err), NERO_OK);
    assert_int_equal(thread_start(&vendor.thread, "vendor", vend, NULL, &err), NERO_OK);
}

static void stop_vendor(void)
{
    thread_stop_raise(&vendor.stop);
    thread_join(&vendor.thread);
    thread_stop_fini(&vendor.stop);
    thread_monitor_fini(&vendor.monitor);
    (void)close(vendor.fd);
}

static struct storage *open_vended(void)
{
    struct storage *store;

    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    (void)unsetenv("AWS_SESSION_TOKEN");
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", vendor.url, 1);
    store = open_good();
    (void)unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    return store;
}

static void vend_new(const char *clock)
{
    struct session fresh;

    assume_role(clock, &fresh);
    thread_monitor_enter(&vendor.monitor);
    vendor.session = fresh;
    vendor.given = 0;
    thread_monitor_leave(&vendor.monitor);
}

static int vended(void)
{
    int given;

    thread_monitor_enter(&vendor.monitor);
    given = vendor.given;
    thread_monitor_leave(&vendor.monitor);
    return given;
}

/* All rights in the bucket but to find interrupted uploads. */
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
                         "\"arn:aws:s3:::trust/*\"]},{\"Effect\":\"Deny\",\"Action\":"
                         "[\"s3:ListBucketMultipartUploads\"],\"Resource\":"
                         "[\"arn:aws:s3:::trust\"]}]}",
                         NULL}));
}

/* Who may not look for interrupted uploads puts a large object from its beginning. */
static void put_large(struct storage *store)
{
    uint8_t *data = calloc(1, LARGE_BYTES);
    struct storage_info info;

    if (storage_put(store, "large", bytes_view_of(data, LARGE_BYTES), &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(storage_head(store, "large", &info, &err), NERO_OK);
    assert_int_equal(info.bytes, LARGE_BYTES);
    free(data);
}

/*
 * A gateway two hours ahead: a store that is open learns its clock from the first refusal, and a
 * token of a quarter of an hour has expired. Who has it from the environment is denied, who has it
 * from a service gets another one there, whatever the operation is.
 */
static void test_s3__a_gateway_of_another_time(void **state)
{
    struct storage *owner = open_good();
    struct storage *tampered = NULL;
    struct storage *fixed;
    struct storage *renewing[2];
    struct session session;
    int64_t ahead_ms;

    (void)state;
    use_store(owner);
    make_role();
    start_vendor();
    vend_new("+0");
    assume_role("+0", &session);
    fixed = open_session(&session);
    use_store(fixed);
    put_large(fixed);
    (void)setenv("AWS_SESSION_TOKEN", "tampered", 1);
    assert_int_equal(storage_open("s3://trust/x", false, &tampered, &err), NERO_DENIED);
    assert_null(tampered);
    for (size_t i = 0; i < 2; i++) {
        renewing[i] = open_vended();
        use_store(renewing[i]);
    }
    assert_int_equal(vended(), 2);
    rgw_kill_gateway(&gateway);
    assert_true(rgw_restart_gateway(&gateway, "+2h"));
    use_store(owner);
    assert_true(storage_clock_ahead(owner, &ahead_ms));
    assert_true(ahead_ms > 110 * 60000 && ahead_ms < 130 * 60000);
    assert_int_equal(storage_put(fixed, "k", bytes_view_str("v"), &err), NERO_DENIED);
    assert_int_equal(storage_head(fixed, "absent", NULL, &err), NERO_DENIED);
    vend_new("+2h");
    use_store(renewing[0]);
    assert_int_equal(storage_head(renewing[1], "absent", NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(vended(), 2);
    rgw_kill_gateway(&gateway);
    assert_true(rgw_restart_gateway(&gateway, "-2h"));
    use_store(owner);
    use_store(fixed); /* it has not expired yet */
    storage_close(renewing[0]);
    storage_close(renewing[1]);
    storage_close(fixed);
    storage_close(owner);
    stop_vendor();
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
        cmocka_unit_test_setup(test_s3__a_drip_above_the_stall_ends, reset),
        cmocka_unit_test_setup(test_s3__a_gateway_of_another_time, reset),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
