/*
 * Goal: what is particular to s3:// against a real gateway: clocks, refusals, styles, large
 * objects, names of others, a missing bucket. Method: stores opened with options of the test's own.
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
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nero/thread.h"
#include "storage_s3.h"
#include "tests/support/rgw.h"

enum {
    PART_BYTES = 128 * 1024,
    LARGE_BYTES = 5 * PART_BYTES + 77,
    LARGEST_BYTES = 97 * PART_BYTES + 5
};

static struct rgw gateway;
static struct nero_err err;

static struct variable {
    const char *name;
    const char *value;
} changed;

static const char *get_variable(void *context, const char *name)
{
    (void)context;
    return changed.name != NULL && strcmp(changed.name, name) == 0 ? changed.value : getenv(name);
}

static const struct s3_environment environment = {.get = get_variable};

static int64_t off_ms;

static int64_t off_wall_ms(void *context)
{
    (void)context;
    return clock_wall_ms(clock_system()) + off_ms;
}

static void no_sleep(void *context, int64_t ms)
{
    (void)context;
    (void)ms;
}

static const struct clock_source off_clock = {.wall_ms = off_wall_ms, .sleep_ms = no_sleep};

static enum nero_status open_store(const char *url, bool create, struct storage **out)
{
    struct storage_s3_options options = storage_s3_defaults();

    options.client.environment = &environment;
    options.client.clock = &off_clock;
    options.client.http.connect_ms = 1000;
    options.client.http.request_ms = 20000;
    options.part_bytes = PART_BYTES;
    options.multipart_bytes = PART_BYTES;
    return storage_s3_open_with(url, &options, create, out, &err);
}

static struct storage *open_good(const char *url)
{
    struct storage *store = NULL;

    assert_int_equal(open_store(url, true, &store), NERO_OK);
    return store;
}

static int reset(void **state)
{
    (void)state;
    changed = (struct variable){0};
    off_ms = 0;
    return 0;
}

/* 15 min are allowed; the first refusal tells by how much we are wrong, in both directions. */
static void test_s3__a_wrong_clock_is_corrected(void **state)
{
    static const int64_t hours[] = {1, -1, 24 * 400};

    (void)state;
    for (size_t i = 0; i < sizeof hours / sizeof hours[0]; i++) {
        struct storage *store;

        off_ms = hours[i] * 3600 * 1000;
        store = open_good("s3://gateway/clock");
        assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
        off_ms = 0; /* and again, when somebody sets it right */
        assert_int_equal(storage_head(store, "k", NULL, &err), NERO_OK);
        storage_close(store);
    }
}

static void test_s3__refusals(void **state)
{
    struct storage *store = NULL;

    (void)state;
    assert_int_equal(open_store("s3://no-such-bucket", false, &store), NERO_NOT_FOUND);
    changed = (struct variable){"AWS_SECRET_ACCESS_KEY", "mistaken"};
    assert_int_equal(open_store("s3://gateway", true, &store), NERO_DENIED);
    assert_null(strstr(err.message, "mistaken"));
    assert_non_null(strstr(err.message, "lack s3:ListBucket here (infra/policies"));
    changed = (struct variable){"AWS_SESSION_TOKEN", "bogus"};
    assert_int_equal(open_store("s3://gateway", true, &store), NERO_DENIED);
    assert_non_null(strstr(err.message, "renew the session's credentials"));
    changed = (struct variable){"AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"};
    assert_int_equal(open_store("s3://gateway", true, &store), NERO_UNAVAILABLE);
    assert_null(store);
}

/* Every operation is denied, also a look at what is absent, and nothing has changed. */
static void test_s3__a_suspended_user(void **state)
{
    struct storage *store = open_good("s3://gateway/suspended");
    struct storage_list list;
    struct bytes out;

    (void)state;
    bytes_init(&out, 100);
    assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
    assert_true(rgw_admin(&gateway, (const char *[]){"user", "suspend", "--uid=test", NULL}));
    assert_int_equal(storage_put(store, "k", bytes_view_str("w"), &err), NERO_DENIED);
    assert_int_equal(storage_put_if_absent(store, "new", bytes_view_str("w"), &err), NERO_DENIED);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_DENIED);
    assert_int_equal(storage_head(store, "absent", NULL, &err), NERO_DENIED); /* no not_found */
    assert_int_equal(storage_list_page(store, "", NULL, 2, &list, &err), NERO_DENIED);
    assert_int_equal(storage_remove(store, "k", &err), NERO_DENIED);
    assert_true(rgw_admin(&gateway, (const char *[]){"user", "enable", "--uid=test", NULL}));
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_OK);
    assert_memory_equal(out.data, "v", 1);
    assert_int_equal(storage_head(store, "new", NULL, &err), NERO_NOT_FOUND);
    storage_close(store);
    bytes_fini(&out);
}

static void limit_user(const char *bytes)
{
    bool limits = bytes != NULL;

    assert_true(!limits ||
                rgw_admin(&gateway, (const char *[]){"quota", "set", "--quota-scope=user",
                                                     "--uid=test", bytes, NULL}));
    assert_true(rgw_admin(&gateway, (const char *[]){"quota", limits ? "enable" : "disable",
                                                     "--quota-scope=user", "--uid=test", NULL}));
}

/* A full quota: nothing is half-written, also not of an object in parts, and reads go on. */
static void test_s3__a_full_quota(void **state)
{
    static uint8_t data[LARGE_BYTES];
    struct storage *store = open_good("s3://gateway/quota");
    struct bytes out;

    (void)state;
    bytes_init(&out, 100);
    assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
    limit_user("--max-size=8192");
    assert_int_equal(storage_put(store, "k", bytes_view_of(data, PART_BYTES - 1), &err),
                     NERO_NO_SPACE);
    assert_int_equal(storage_put_if_absent(store, "new", bytes_view_of(data, PART_BYTES - 1), &err),
                     NERO_NO_SPACE);
    assert_int_equal(storage_put(store, "large", bytes_view_of(data, sizeof data), &err),
                     NERO_NO_SPACE);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_OK);
    assert_int_equal(out.bytes, 1);
    limit_user(NULL);
    assert_int_equal(storage_head(store, "new", NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(storage_head(store, "large", NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(storage_put(store, "new", bytes_view_str("w"), &err), NERO_OK);
    storage_close(store);
    bytes_fini(&out);
}

/* The refusals of before through libs3, which says less: none is taken for an absence or an outage.
 */
static void test_libs3__refusals(void **state)
{
    static uint8_t data[PART_BYTES];
    struct storage *store = NULL;
    struct storage_list list;
    struct bytes out;

    (void)state;
    bytes_init(&out, PART_BYTES);
    assert_int_equal(storage_open("s3+libs3://gateway/refused", true, &store, &err), NERO_OK);
    assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
    assert_true(rgw_admin(&gateway, (const char *[]){"user", "suspend", "--uid=test", NULL}));
    assert_int_equal(storage_put(store, "k", bytes_view_str("w"), &err), NERO_UNKNOWN);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_UNAVAILABLE);
    assert_int_equal(storage_head(store, "absent", NULL, &err), NERO_DENIED);
    assert_int_equal(storage_list_page(store, "", NULL, 2, &list, &err), NERO_UNAVAILABLE);
    assert_int_equal(storage_remove(store, "k", &err), NERO_UNKNOWN);
    assert_true(rgw_admin(&gateway, (const char *[]){"user", "enable", "--uid=test", NULL}));
    limit_user("--max-size=8192");
    assert_int_equal(storage_put(store, "new", bytes_view_of(data, sizeof data), &err),
                     NERO_UNKNOWN);
    limit_user(NULL);
    assert_int_equal(storage_head(store, "new", NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_OK);
    assert_memory_equal(out.data, "v", 1);
    storage_close(store);
    store = NULL;
    (void)setenv("AWS_SECRET_ACCESS_KEY", "mistaken", 1);
    assert_int_equal(storage_open("s3+libs3://gateway/refused", true, &store, &err), NERO_DENIED);
    (void)setenv("AWS_SESSION_TOKEN", "any", 1); /* which version 2 cannot sign */
    assert_int_equal(storage_open("s3+libs3://gateway/refused", true, &store, &err), NERO_DENIED);
    assert_non_null(strstr(err.message, "session"));
    assert_null(store);
    rgw_set_environment(&gateway);
    bytes_fini(&out);
}

static void write_keys(const char *path, const char *key)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fprintf(file, "[default]\naws_access_key_id = %s\naws_secret_access_key = rotated\n", key);
    assert_int_equal(fclose(file), 0);
}

static bool change_key(const char *verb, const char *access_key)
{
    char access[64];

    (void)snprintf(access, sizeof access, "--access-key=%s", access_key);
    return rgw_admin(&gateway, (const char *[]){"key", verb, "--uid=test", "--key-type=s3", access,
                                                "--secret-key=rotated", NULL});
}

/* The keys in a credentials file are rotated, and the old ones end: an open store goes on. */
static void test_s3__rotated_keys(void **state)
{
    static const char *const urls[] = {"s3://gateway/rotated", "s3+libs3://gateway/rotated"};
    char path[] = "/tmp/nero-credentials-XXXXXX";
    struct storage *store;

    (void)state;
    assert_int_equal(close(mkstemp(path)), 0);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_true(change_key("create", "first") && change_key("create", "second"));
        write_keys(path, "first");
        (void)setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
        (void)unsetenv("AWS_ACCESS_KEY_ID");
        (void)unsetenv("AWS_SECRET_ACCESS_KEY");
        assert_int_equal(storage_open(urls[i], true, &store, &err), NERO_OK);
        assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
        assert_true(change_key("rm", "first"));
        assert_int_equal(storage_put(store, "k", bytes_view_str("w"), &err), NERO_DENIED);
        write_keys(path, "second");
        assert_int_equal(storage_put(store, "k", bytes_view_str("w"), &err), NERO_OK);
        storage_close(store);
        assert_true(change_key("rm", "second"));
        rgw_set_environment(&gateway);
    }
    assert_int_equal(remove(path), 0);
}

static void test_s3__a_vanished_bucket_is_no_absence(void **state)
{
    struct storage *store = open_good("s3://vanishing");
    struct bytes out;

    (void)state;
    bytes_init(&out, 100);
    assert_int_equal(storage_head(store, "k", NULL, &err), NERO_NOT_FOUND);
    assert_true(rgw_admin(&gateway, (const char *[]){"bucket", "rm", "--bucket=vanishing", NULL}));
    assert_int_equal(storage_head(store, "k", NULL, &err), NERO_UNAVAILABLE);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_UNAVAILABLE);
    assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_UNAVAILABLE);
    storage_close(store);
    bytes_fini(&out);
}

static void test_s3__virtual_hosts(void **state)
{
    char endpoint[64];
    struct storage *store;
    struct bytes out;

    (void)state;
    store = open_good("s3://gateway/style");
    assert_int_equal(storage_put(store, "k", bytes_view_str("v"), &err), NERO_OK);
    storage_close(store);
    (void)snprintf(endpoint, sizeof endpoint, "http://localhost:%d", gateway.port);
    (void)setenv("NERO_S3_STYLE", "virtual", 1);
    changed = (struct variable){"AWS_ENDPOINT_URL_S3", endpoint};
    store = open_good("s3://gateway/style");
    (void)unsetenv("NERO_S3_STYLE");
    bytes_init(&out, 10);
    assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_OK);
    assert_int_equal(out.bytes, 1);
    storage_close(store);
    bytes_fini(&out);
}

/* Every length around a part's, and those of which parts are larger: written in parts, read in
 * ranges. */
static void test_s3__large_objects(void **state)
{
    static const size_t sizes[] = {PART_BYTES - 1,      PART_BYTES,     PART_BYTES + 1,
                                   2 * PART_BYTES - 1,  2 * PART_BYTES, LARGE_BYTES,
                                   24 * PART_BYTES + 1, LARGEST_BYTES};
    struct storage *store = open_good("s3://gateway/large");
    uint8_t *data = malloc(LARGEST_BYTES);

    (void)state;
    for (size_t i = 0; i < LARGEST_BYTES; i++) {
        data[i] = (uint8_t)(i >> 9 ^ i * 7);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct storage_info info;
        struct bytes out;

        assert_int_equal(storage_put(store, "k", bytes_view_of(data, sizes[i]), &err), NERO_OK);
        bytes_init(&out, sizes[i]);
        assert_int_equal(storage_get(store, "k", &out, &info, &err), NERO_OK);
        assert_int_equal(out.bytes, sizes[i]);
        assert_int_equal(info.bytes, sizes[i]);
        assert_memory_equal(out.data, data, sizes[i]);
        bytes_clear(&out);
        assert_int_equal(storage_get_range(store, "k", 5, PART_BYTES + 9, &out, NULL, &err),
                         NERO_OK);
        assert_memory_equal(out.data, data + 5, out.bytes);
        bytes_fini(&out);
        bytes_init(&out, sizes[i] - 1);
        assert_int_equal(storage_get(store, "k", &out, NULL, &err), NERO_TOO_BIG);
        assert_int_equal(out.bytes, 0);
        bytes_fini(&out);
        /* its ETag is no digest of the content, and works all the same */
        assert_int_equal(storage_put_if_match(store, "k", bytes_view_str("small"), info.etag, &err),
                         NERO_OK);
        assert_int_equal(storage_put_if_match(store, "k", bytes_view_str("x"), info.etag, &err),
                         NERO_CONFLICT);
    }
    storage_close(store);
    free(data);
}

/* One of two bodies, over and over, until told to stop. */
struct replacer {
    struct thread thread;
    struct storage *store;
    uint8_t *bodies[2];
    _Atomic bool stop;
    enum nero_status status;
    struct nero_err err;
};

static void replace_on(void *context)
{
    struct replacer *replacer = context;

    for (unsigned i = 0; !replacer->stop && replacer->status == NERO_OK; i++) {
        replacer->status =
            storage_put(replacer->store, "k", bytes_view_of(replacer->bodies[i % 2], LARGE_BYTES),
                        &replacer->err);
    }
}

/* Ranges are bound to the first one's ETag: never a mix, whatever is written meanwhile. */
static void test_s3__large_reads_are_of_one_object(void **state)
{
    enum { WHOLE_MIN = 5, READS_MAX = 200 };
    struct replacer replacer = {.store = open_good("s3://gateway/replaced"), .status = NERO_OK};
    struct storage *store = open_good("s3://gateway/replaced");
    struct bytes out;
    int whole = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        replacer.bodies[i] = malloc(LARGE_BYTES);
        memset(replacer.bodies[i], 'a' + i, LARGE_BYTES);
    }
    assert_int_equal(storage_put(store, "k", bytes_view_of(replacer.bodies[1], LARGE_BYTES), &err),
                     NERO_OK);
    assert_int_equal(thread_start(&replacer.thread, "replacer", replace_on, &replacer, &err),
                     NERO_OK);
    bytes_init(&out, LARGE_BYTES);
    for (int i = 0; i < READS_MAX && whole < WHOLE_MIN; i++) {
        enum nero_status status;

        bytes_clear(&out);
        status = storage_get(store, "k", &out, NULL, &err);
        if (status == NERO_OK) {
            assert_int_equal(out.bytes, LARGE_BYTES);
            assert_memory_equal(out.data, replacer.bodies[out.data[0] - 'a'], LARGE_BYTES);
            whole++;
        } else {
            assert_true(err_is_retryable(status)); /* it was replaced each time */
            assert_int_equal(out.bytes, 0);
        }
    }
    replacer.stop = true;
    thread_join(&replacer.thread);
    assert_int_equal(replacer.status, NERO_OK);
    assert_int_equal(whole, WHOLE_MIN);
    bytes_fini(&out);
    for (int i = 0; i < 2; i++) {
        free(replacer.bodies[i]);
    }
    storage_close(replacer.store);
    storage_close(store);
}

/* Its queue of connections full, a server answers not even that: the deadline of connecting. */
static void test_s3__a_connection_that_never_comes(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    struct storage *store = NULL;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    char endpoint[64];
    int fillers[8];

    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", ntohs(address.sin_port));
    changed = (struct variable){"AWS_ENDPOINT_URL_S3", endpoint};
    assert_int_equal(open_store("s3://gateway", false, &store), NERO_TIMEOUT);
    assert_null(store);
    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++) {
        (void)close(fillers[i]);
    }
    (void)close(listener);
}

/* What others have put into the bucket under names that are no keys. */
static void test_s3__names_of_others_are_not_listed(void **state)
{
    static const char *const names[] = {"others/",     "others/a b", "others/\xc3\xa4",
                                        "others/x//y", "others/~z",  "others/a%2Fb",
                                        "othersx"};
    struct storage *store = open_good("s3://gateway/others");
    struct s3_client_options options = storage_s3_defaults().client;
    struct storage_list list;
    struct s3_client *client;

    (void)state;
    assert_int_equal(s3_client_open("s3://gateway", "gateway", &options, &client, &err), NERO_OK);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct s3_call call = {.method = "PUT", .key = names[i], .is_write = true};
        struct s3_http_answer answer;

        assert_int_equal(s3_client_send(client, &call, &answer, NULL, &err), NERO_OK);
        s3_http_answer_fini(&answer);
    }
    s3_client_close(client);
    assert_int_equal(storage_put(store, "a/b", bytes_view_str("1"), &err), NERO_OK);
    assert_int_equal(storage_put(store, "z", bytes_view_str("22"), &err), NERO_OK);
    assert_int_equal(storage_list_page(store, "", NULL, 2, &list, &err), NERO_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.entries[0].key, "a/b");
    assert_string_equal(list.entries[1].key, "z");
    assert_int_equal(list.entries[1].bytes, 2);
    storage_list_fini(&list);
    storage_close(store);
}

static int start(void **state)
{
    (void)state;
    rgw_start(&gateway);
    rgw_set_environment(&gateway);
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
        cmocka_unit_test_setup(test_s3__a_wrong_clock_is_corrected, reset),
        cmocka_unit_test_setup(test_s3__refusals, reset),
        cmocka_unit_test_setup(test_s3__a_suspended_user, reset),
        cmocka_unit_test_setup(test_s3__a_full_quota, reset),
        cmocka_unit_test_setup(test_libs3__refusals, reset),
        cmocka_unit_test_setup(test_s3__rotated_keys, reset),
        cmocka_unit_test_setup(test_s3__a_vanished_bucket_is_no_absence, reset),
        cmocka_unit_test_setup(test_s3__virtual_hosts, reset),
        cmocka_unit_test_setup(test_s3__large_objects, reset),
        cmocka_unit_test_setup(test_s3__names_of_others_are_not_listed, reset),
        cmocka_unit_test_setup(test_s3__large_reads_are_of_one_object, reset),
        cmocka_unit_test_setup(test_s3__a_connection_that_never_comes, reset),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
