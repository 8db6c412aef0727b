/*
 * Goal: an upload that was killed goes on where it stood, and a gateway that stalls or dies in the
 * middle of a write leaves the old object or the new one.
 * Method: this program run again as the writer, behind a proxy that lets a part of its requests
 * pass, and killed; real daemons stopped and killed while a write is under way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/storage_retry.h"
#include "proxy.h"
#include "s3_xml.h"
#include "storage_s3.h"
#include "tests/support/rgw.h"

enum {
    MIB = 1024 * 1024,
    OBJECT_BYTES = 64 * MIB,
    SINGLE_BYTES = 16 * MIB, /* the most that goes in one request */
    PARTS = 8,               /* of 8 MiB, the default */
    PASSING = 5,
    WAIT_MAX_MS = 60000
};

static struct rgw gateway;
static uint8_t *object;
static struct nero_err err;
static char *program;

static void fill_object(void)
{
    object = malloc(OBJECT_BYTES);
    for (size_t i = 0; i < OBJECT_BYTES; i++) {
        object[i] = (uint8_t)(i * 2654435761u >> 13);
    }
}

static void set_endpoint(int port)
{
    char endpoint[64];

    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", port);
    (void)setenv("AWS_ENDPOINT_URL_S3", endpoint, 1);
}

static struct storage *open_at(int port)
{
    struct storage *store = NULL;

    set_endpoint(port);
    assert_int_equal(storage_open("s3://crashes/x", true, &store, &err), NERO_OK);
    return store;
}

/* The program's other self: put the object and end. */
static int put_object(void)
{
    struct storage *store;

    fill_object();
    if (storage_open("s3://crashes/x", false, &store, &err) != NERO_OK ||
        storage_put(store, "blob", bytes_view_of(object, OBJECT_BYTES), &err) != NERO_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    storage_close(store);
    return 0;
}

static pid_t spawn_writer(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(program, program, "put", (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static void assert_object(struct storage *store, const char *key)
{
    struct bytes out;

    bytes_init(&out, OBJECT_BYTES);
    assert_int_equal(storage_get(store, key, &out, NULL, &err), NERO_OK);
    assert_int_equal(out.bytes, OBJECT_BYTES);
    assert_memory_equal(out.data, object, OBJECT_BYTES);
    bytes_fini(&out);
}

static bool wait_for_parts(struct proxy *proxy, int parts)
{
    for (int waited = 0; waited < WAIT_MAX_MS; waited += 10) {
        if (proxy_counts(proxy).parts >= parts) {
            return true;
        }
        clock_sleep_ms(clock_system(), 10);
    }
    return false;
}

/* Kill a writer of which `PASSING` parts have arrived, and leave the upload there. */
static void kill_writer(struct proxy *proxy)
{
    int parts = proxy_counts(proxy).parts;
    int status = 0;
    pid_t pid;

    /* It looks for its bucket and for uploads and begins one; then parts. */
    proxy_set(proxy, PROXY_STALL, 3 + PASSING, -1);
    set_endpoint(proxy_port(proxy));
    pid = spawn_writer();
    assert_true(wait_for_parts(proxy, parts + PASSING));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(proxy_counts(proxy).parts, parts + PASSING);
    proxy_set(proxy, PROXY_NONE, 0, 0);
}

static enum nero_status count_upload(void *context, const char *const *values,
                                     struct nero_err *ignored)
{
    (void)values;
    (void)ignored;
    (*(int *)context)++;
    return NERO_OK;
}

/* How many uploads are under way in the bucket, as the gateway says. */
static int uploads_under_way(void)
{
    enum { LISTING_BYTES_MAX = 1024 * 1024 };
    struct s3_client_options options = storage_s3_defaults().client;
    struct s3_call call = {.method = "GET",
                           .key = "",
                           .query = {{"uploads", ""}},
                           .body_bytes_max = LISTING_BYTES_MAX};
    struct s3_http_answer answer;
    struct s3_client *client;
    int count = 0;

    set_endpoint(gateway.port);
    assert_int_equal(s3_client_open("s3://crashes", "crashes", &options, &client, &err), NERO_OK);
    assert_int_equal(s3_client_send(client, &call, &answer, NULL, &err), NERO_OK);
    assert_int_equal(s3_xml_uploads(bytes_as_view(&answer.body), count_upload, &count, &err),
                     NERO_OK);
    s3_http_answer_fini(&answer);
    s3_client_close(client);
    return count;
}

/* Only the parts that had not arrived are sent. */
static void test_s3__a_killed_upload_goes_on(void **state)
{
    struct proxy *proxy = proxy_start(gateway.port);
    struct storage *store = open_at(proxy_port(proxy));
    struct proxy_counts before;
    struct proxy_counts after;

    (void)state;
    kill_writer(proxy);
    assert_int_equal(storage_head(store, "blob", NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(uploads_under_way(), 1);
    before = proxy_counts(proxy);
    assert_int_equal(storage_put(store, "blob", bytes_view_of(object, OBJECT_BYTES), &err),
                     NERO_OK);
    after = proxy_counts(proxy);
    assert_int_equal(after.parts - before.parts, PARTS - PASSING);
    assert_true(after.bytes - before.bytes < (uint64_t)(PARTS - PASSING) * 8 * MIB + 65536);
    assert_object(store, "blob");
    assert_int_equal(uploads_under_way(), 0);
    storage_close(store);
    proxy_stop(proxy);
}

/* Its parts are refused, until nobody tries any more: nothing of it stays at the gateway. */
static void test_s3__a_failed_upload_is_aborted(void **state)
{
    struct proxy *proxy = proxy_start(gateway.port);
    struct storage *store = open_at(proxy_port(proxy));
    int requests = proxy_counts(proxy).requests;

    (void)state;
    assert_int_equal(uploads_under_way(), 0);
    proxy_set(proxy, PROXY_REFUSE_PARTS, 0, -1);
    assert_int_equal(storage_put(store, "aborted", bytes_view_of(object, OBJECT_BYTES), &err),
                     NERO_UNAVAILABLE);
    /* it looked for one, began one and ended it */
    assert_int_equal(proxy_counts(proxy).requests - requests, 3);
    assert_int_equal(uploads_under_way(), 0);
    assert_int_equal(storage_head(store, "aborted", NULL, &err), NERO_NOT_FOUND);
    storage_close(store);
    proxy_stop(proxy);
}

static void change_parts(void)
{
    for (size_t i = 0; i < PARTS; i++) {
        object[i * 8 * MIB] ^= 1;
    }
}

/* An upload whose parts are of other bytes is somebody else's: it is left alone. */
static void test_s3__an_upload_of_other_bytes_is_left_alone(void **state)
{
    struct proxy *proxy = proxy_start(gateway.port);
    struct storage *store = open_at(proxy_port(proxy));
    struct proxy_counts before;

    (void)state;
    assert_int_equal(storage_remove(store, "blob", &err), NERO_OK);
    kill_writer(proxy);
    before = proxy_counts(proxy);
    change_parts();
    assert_int_equal(storage_put(store, "blob", bytes_view_of(object, OBJECT_BYTES), &err),
                     NERO_OK);
    assert_int_equal(proxy_counts(proxy).parts - before.parts, PARTS);
    assert_object(store, "blob");
    change_parts();               /* back */
    before = proxy_counts(proxy); /* and its own writer still goes on with it */
    assert_int_equal(storage_put(store, "blob", bytes_view_of(object, OBJECT_BYTES), &err),
                     NERO_OK);
    assert_int_equal(proxy_counts(proxy).parts - before.parts, PARTS - PASSING);
    assert_object(store, "blob");
    storage_close(store);
    proxy_stop(proxy);
}

/* A put under way on a thread of its own. */
struct writer {
    struct thread thread;
    struct storage *store;
    size_t bytes;
    _Atomic bool ended;
    enum nero_status status;
    struct nero_err err;
};

static void write_object(void *context)
{
    struct writer *writer = context;

    writer->status =
        storage_put(writer->store, "held", bytes_view_of(object, writer->bytes), &writer->err);
    writer->ended = true;
}

static struct storage *open_retrying(int port)
{
    struct storage_retry_options options = storage_retry_defaults(1);
    struct storage *store = NULL;

    options.budget_ms = WAIT_MAX_MS;
    assert_int_equal(storage_retry_wrap(open_at(port), &options, &store, &err), NERO_OK);
    return store;
}

/* The disks stop in the middle of a put, behind its first part and before its last: it waits, and
 * succeeds when they go on. */
static void test_s3__a_put_outlives_a_stopped_osd(void **state)
{
    struct proxy *proxy = proxy_start(gateway.port);
    struct writer writer = {.store = open_retrying(proxy_port(proxy)), .bytes = OBJECT_BYTES};
    struct storage *direct = open_at(gateway.port);

    (void)state;
    assert_int_equal(storage_put(direct, "held", bytes_view_str("old"), &err), NERO_OK);
    proxy_set(proxy, PROXY_SLOW, 0, -1); /* there is a middle for certain */
    assert_int_equal(thread_start(&writer.thread, "writer", write_object, &writer, &err), NERO_OK);
    assert_true(wait_for_parts(proxy, 1));
    assert_int_equal(kill(gateway.pids[RGW_OSD], SIGSTOP), 0);
    assert_true(proxy_counts(proxy).parts < PARTS);
    clock_sleep_ms(clock_system(), 1500);
    assert_true(proxy_counts(proxy).parts < PARTS);
    assert_false(writer.ended);
    assert_int_equal(kill(gateway.pids[RGW_OSD], SIGCONT), 0);
    thread_join(&writer.thread);
    assert_int_equal(writer.status, NERO_OK);
    assert_object(direct, "held");
    storage_close(writer.store);
    storage_close(direct);
    proxy_stop(proxy);
}

/* The gateway is killed in the middle of an overwrite: the old object is whole, and once there is a
 * gateway again the retries end with the new one. */
static void test_s3__a_put_outlives_its_gateway(void **state)
{
    struct proxy *proxy = proxy_start(gateway.port);
    struct writer writer = {.store = open_retrying(proxy_port(proxy)), .bytes = OBJECT_BYTES};
    struct storage *direct = open_at(gateway.port);
    struct bytes out;

    (void)state;
    bytes_init(&out, 100);
    assert_int_equal(storage_put(direct, "held", bytes_view_str("old"), &err), NERO_OK);
    proxy_set(proxy, PROXY_CLOSE_EARLY, 2 + 2, -1); /* so that it cannot end before the kill */
    assert_int_equal(thread_start(&writer.thread, "writer", write_object, &writer, &err), NERO_OK);
    assert_true(wait_for_parts(proxy, 2));
    rgw_kill_gateway(&gateway);
    assert_true(rgw_restart_gateway(&gateway, NULL));
    assert_int_equal(storage_get(direct, "held", &out, NULL, &err), NERO_OK);
    assert_memory_equal(out.data, "old", 3);
    proxy_set(proxy, PROXY_NONE, 0, 0);
    thread_join(&writer.thread);
    assert_int_equal(writer.status, NERO_OK);
    assert_object(direct, "held");
    storage_close(writer.store);
    storage_close(direct);
    proxy_stop(proxy);
    bytes_fini(&out);
}

/* A put of one request, killed at some moment: the old object or the new one, whole. */
static void test_s3__a_killed_gateway_leaves_one_of_two_objects(void **state)
{
    static const int64_t moments_ms[] = {2, 10, 20, 40, 60};
    struct storage *store = open_at(gateway.port);

    (void)state;
    for (size_t i = 0; i < sizeof moments_ms / sizeof moments_ms[0]; i++) {
        struct writer writer = {.store = store, .bytes = SINGLE_BYTES};
        struct bytes out;

        bytes_init(&out, SINGLE_BYTES);
        assert_int_equal(storage_put(store, "held", bytes_view_str("old"), &err), NERO_OK);
        assert_int_equal(thread_start(&writer.thread, "writer", write_object, &writer, &err),
                         NERO_OK);
        clock_sleep_ms(clock_system(), moments_ms[i]);
        rgw_kill_gateway(&gateway);
        thread_join(&writer.thread);
        assert_true(rgw_restart_gateway(&gateway, NULL));
        assert_int_equal(storage_get(store, "held", &out, NULL, &err), NERO_OK);
        if (writer.status == NERO_OK || out.bytes != 3) {
            assert_int_equal(out.bytes, SINGLE_BYTES);
            assert_memory_equal(out.data, object, SINGLE_BYTES);
        } else {
            assert_memory_equal(out.data, "old", 3);
            assert_true(err_is_retryable(writer.status));
        }
        bytes_fini(&out);
    }
    storage_close(store);
}

static int start(void **state)
{
    (void)state;
    fill_object();
    rgw_start(&gateway);
    rgw_set_environment(&gateway);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rgw_stop(&gateway);
    free(object);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3__a_failed_upload_is_aborted),
        cmocka_unit_test(test_s3__a_killed_upload_goes_on),
        cmocka_unit_test(test_s3__an_upload_of_other_bytes_is_left_alone),
        cmocka_unit_test(test_s3__a_put_outlives_a_stopped_osd),
        cmocka_unit_test(test_s3__a_put_outlives_its_gateway),
        cmocka_unit_test(test_s3__a_killed_gateway_leaves_one_of_two_objects),
    };

    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "put") == 0) {
        return put_object();
    }
    return cmocka_run_group_tests(tests, start, stop);
}
