/*
 * Goal: whatever a network or a store does to a request, s3:// (with the argument "libs3":
 * s3+libs3://) answers with the status of storage/DESIGN.md, within its deadlines, and no object is
 * ever seen in part.
 * Method: every operation times every fault of the proxy in front of a real gateway, for good and
 * once with retries above; each fault has a thread, a proxy and a prefix of its own. What became of
 * the objects is read past the proxy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>

#include "nero/storage_probe.h"
#include "nero/storage_retry.h"
#include "proxy.h"
#include "storage_libs3.h"
#include "storage_s3.h"
#include "tests/support/rgw.h"

enum {
    LARGE_BYTES = 600 * 1024,
    PART_BYTES = 128 * 1024, /* the gateway of the tests allows it */
    PARTS = 5,               /* of LARGE_BYTES */
    REQUEST_MS = 400,        /* where it is to pass */
    PATIENT_MS = 20000,
    BUSY_MS_MAX =
        3000, /* beyond REQUEST_MS, on a busy machine: one request passes it, and no other */
    OPERATION_MS_MAX = PATIENT_MS / 2, /* where nothing waits for a deadline */
    RETRY_BUDGET_MS = 20000
};

enum operation {
    OP_PUT,
    OP_CREATE,
    OP_REPLACE,
    OP_REMOVE,
    OP_REMOVE_MANY,
    OP_PUT_LARGE,
    OP_GET,
    OP_HEAD,
    OP_LIST,
    OP_GET_LARGE,
    OPERATIONS
};

static const char *const operation_names[OPERATIONS] = {
    "put",       "create", "replace", "remove", "remove many",
    "put large", "get",    "head",    "list",   "get large"};

static struct rgw gateway;
static bool libs3; /* the driver under test */
static uint8_t large[LARGE_BYTES];

/* The thread of one fault. cmocka's asserts work on the main thread only, so it notes what fails.
 */
struct bench {
    struct thread thread;
    enum proxy_fault fault;
    struct proxy *proxy;
    struct storage *direct;
    struct storage *store;
    struct storage *retrying;
    char endpoint[64];
    char etag[STORAGE_ETAG_BYTES_MAX]; /* of "old" */
    unsigned checks;
    char failures[4096];
};

static const char *get_variable(void *context, const char *name)
{
    const struct bench *bench = context;

    return strcmp(name, "AWS_ENDPOINT_URL_S3") == 0 ? bench->endpoint : getenv(name);
}

static void note(struct bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct bench *bench, const char *format, ...)
{
    size_t used = strlen(bench->failures);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(bench->failures + used, sizeof bench->failures - used, format, args);
    va_end(args);
}

static enum nero_status open_s3(const struct s3_environment *environment, const char *prefix,
                                int64_t request_ms, struct storage **out, struct nero_err *err)
{
    struct storage_s3_options options = storage_s3_defaults();
    char url[64];

    (void)snprintf(url, sizeof url, "s3://%s", prefix);
    options.client.environment = environment;
    options.client.http.connect_ms = PATIENT_MS;
    options.client.http.request_ms = request_ms;
    options.client.http.bytes_per_second_min = UINT64_C(1) << 40; /* sizes do not extend it */
    options.part_bytes = PART_BYTES;
    options.multipart_bytes = 2 * PART_BYTES;
    options.complete_ms = request_ms;
    return storage_s3_open_with(url, &options, true, out, err);
}

static enum nero_status open_libs3(const struct s3_environment *environment, const char *prefix,
                                   int64_t request_ms, struct storage **out, struct nero_err *err)
{
    struct libs3_options options = libs3_defaults();
    char url[64];

    (void)snprintf(url, sizeof url, "s3+libs3://%s", prefix);
    options.environment = environment;
    options.request_ms = request_ms;
    options.bytes_per_second_min = UINT64_C(1) << 40;
    return storage_libs3_open_with(url, &options, true, out, err);
}

static bool waits_for_deadline(enum proxy_fault fault)
{
    return fault == PROXY_STALL || fault == PROXY_STALL_REPLY || fault == PROXY_DRIP;
}

static bool open_store(struct bench *bench, int port, struct storage **out)
{
    const struct s3_environment environment = {.get = get_variable, .context = bench};
    int64_t request_ms =
        waits_for_deadline(bench->fault) && port != gateway.port ? REQUEST_MS : PATIENT_MS;
    struct nero_err err;
    char prefix[32];

    (void)snprintf(bench->endpoint, sizeof bench->endpoint, "http://127.0.0.1:%d", port);
    (void)snprintf(prefix, sizeof prefix, "faults/fault-%d", (int)bench->fault);
    if ((libs3 ? open_libs3 : open_s3)(&environment, prefix, request_ms, out, &err) != NERO_OK) {
        note(bench, "open: %s\n", err.message);
        return false;
    }
    return true;
}

/* Bits of enum nero_status. */
static unsigned one(enum nero_status status)
{
    return 1u << status;
}

static bool is_write(enum operation operation)
{
    return operation <= OP_REMOVE_MANY;
}

/* What an operation answers whose requests all have the fault. */
static unsigned expected(enum proxy_fault fault, enum operation operation)
{
    /* A large put fails at its first request, which looks for an interrupted one. */
    unsigned lost = one(is_write(operation) ? NERO_UNKNOWN : NERO_UNAVAILABLE);
    bool large_put = operation == OP_PUT_LARGE;

    switch (fault) {
    case PROXY_STALL:
    case PROXY_STALL_REPLY:
    case PROXY_DRIP:
        return is_write(operation) ? lost : one(NERO_TIMEOUT);
    case PROXY_503_XML:
    case PROXY_404_HTML:
        return one(NERO_UNAVAILABLE);
    case PROXY_301:
        return one(NERO_INVALID);
    case PROXY_200_ERROR:
        return operation == OP_GET || operation == OP_HEAD || operation == OP_GET_LARGE
                   ? one(NERO_CORRUPT)
                   : lost;
    case PROXY_LONG_HEADERS:
        return is_write(operation) || large_put ? lost : one(NERO_CORRUPT);
    case PROXY_CUT_XML:
        return operation == OP_LIST || large_put ? one(NERO_CORRUPT)
               : operation == OP_REMOVE_MANY     ? lost
                                                 : one(NERO_OK);
    case PROXY_KEY_DENIED:
        return one(operation == OP_REMOVE_MANY ? NERO_DENIED : NERO_OK);
    case PROXY_KEYS_UNNAMED:
        return operation == OP_REMOVE_MANY ? lost : one(NERO_OK);
    case PROXY_WRONG_ETAG:
        return large_put                   ? one(NERO_INVALID)
               : operation == OP_GET_LARGE ? one(NERO_UNAVAILABLE)
                                           : one(NERO_OK);
    case PROXY_DUPLICATE:
        return operation == OP_CREATE    ? one(NERO_EXISTS)
               : operation == OP_REPLACE ? one(NERO_CONFLICT)
                                         : one(NERO_OK);
    case PROXY_LIE:
    case PROXY_NONE:
    case PROXY_SLOW:
    case PROXY_STALE_READS: /* it is as fresh as it must be, for nothing else changes it */
    case PROXY_STALE_LISTS:
        return one(NERO_OK);
    case PROXY_RESET_ON_ACCEPT: /* which libcurl may see before it has begun to send */
        return lost | one(NERO_UNAVAILABLE);
    default:
        return lost;
    }
}

/* The same of libs3, which hides more, and whose writes are looked up afterwards. */
static unsigned expected_libs3(enum proxy_fault fault, enum operation operation)
{
    bool puts = operation == OP_PUT || operation == OP_PUT_LARGE;
    bool gets = operation == OP_GET || operation == OP_GET_LARGE;
    bool writes = puts || operation == OP_REMOVE || operation == OP_REMOVE_MANY;
    unsigned lost = one(writes ? NERO_UNKNOWN : NERO_UNAVAILABLE);

    switch (fault) {
    case PROXY_STALL:
    case PROXY_STALL_REPLY:
    case PROXY_DRIP:
        return writes ? lost : one(NERO_TIMEOUT);
    case PROXY_404_HTML:
        return puts ? lost : one(NERO_UNAVAILABLE);
    case PROXY_301: /* it follows, to where nobody is */
        return one(NERO_UNAVAILABLE);
    case PROXY_TRUNCATE:
    case PROXY_RESET_BODY: /* of an answer without a body only the end of its headers is missing */
        return gets || operation == OP_LIST ? lost : lost | one(NERO_OK);
    case PROXY_CUT_XML:
        return operation == OP_LIST ? lost : one(NERO_OK);
    case PROXY_WRONG_ETAG:
        return puts ? lost : one(gets ? NERO_CORRUPT : NERO_OK);
    case PROXY_STALE_READS: /* in which it does not see what it has written */
        return writes ? lost | one(NERO_OK) : one(NERO_OK);
    case PROXY_LIE:
    case PROXY_DUPLICATE:
    case PROXY_SLOW:
    case PROXY_STALE_LISTS:
    case PROXY_KEY_DENIED: /* it has no delete of many */
    case PROXY_KEYS_UNNAMED:
    case PROXY_NONE:
        return one(NERO_OK);
    case PROXY_RESET_ON_ACCEPT:
        return lost | one(NERO_UNAVAILABLE);
    default:
        return lost;
    }
}

/* Run one; its own outputs are checked. */
static enum nero_status operate(struct bench *bench, struct storage *store,
                                enum operation operation, struct nero_err *err)
{
    struct bytes_view body = bytes_view_str("new bytes");
    struct storage_list list = {0};
    struct storage_info info;
    enum nero_status status;
    struct bytes out;
    size_t wanted = operation == OP_GET ? 9 : LARGE_BYTES;

    bytes_init(&out, 2 * LARGE_BYTES);
    switch (operation) {
    case OP_PUT:
        status = storage_put(store, "old", body, err);
        break;
    case OP_CREATE:
        status = storage_put_if_absent(store, "made", body, err);
        break;
    case OP_REPLACE:
        status = storage_put_if_match(store, "old", body, bench->etag, err);
        break;
    case OP_REMOVE:
        status = storage_remove(store, "old", err);
        break;
    case OP_REMOVE_MANY:
        status = storage_remove_many(store, (const char *[]){"old", "absent"}, 2, err);
        break;
    case OP_PUT_LARGE:
        status = storage_put(store, "large", bytes_view_of(large, LARGE_BYTES), err);
        break;
    case OP_HEAD:
        status = storage_head(store, "big", &info, err);
        break;
    case OP_LIST:
        status = storage_list_page(store, "", NULL, 100, &list, err);
        if (status == NERO_OK && list.count != 3) {
            note(bench, "a list of %zu keys\n", list.count);
        }
        break;
    default:
        status = storage_get(store, operation == OP_GET ? "old" : "big", &out, &info, err);
        if (out.bytes != (status == NERO_OK ? wanted : 0) ||
            (status == NERO_OK &&
             memcmp(out.data, operation == OP_GET ? "old bytes" : (const char *)large, wanted) !=
                 0)) {
            note(bench, "a get gives %zu bytes\n", out.bytes);
        }
        break;
    }
    storage_list_fini(&list);
    bytes_fini(&out);
    return status;
}

static bool restore(struct bench *bench)
{
    struct storage_info info;
    struct nero_err err;

    if (storage_put(bench->direct, "old", bytes_view_str("old bytes"), &err) != NERO_OK ||
        storage_put(bench->direct, "large", bytes_view_str("small"), &err) != NERO_OK ||
        storage_remove(bench->direct, "made", &err) != NERO_OK ||
        storage_head(bench->direct, "old", &info, &err) != NERO_OK) {
        note(bench, "restore: %s\n", err.message);
        return false;
    }
    memcpy(bench->etag, info.etag, sizeof info.etag);
    return true;
}

/* 'o': as before, 'n': as wanted, '?': neither, which must never be. */
static char state_of(struct bench *bench, enum operation operation)
{
    const char *key = operation == OP_CREATE ? "made" : operation == OP_PUT_LARGE ? "large" : "old";
    struct bytes_view before =
        operation == OP_PUT_LARGE ? bytes_view_str("small") : bytes_view_str("old bytes");
    struct bytes_view after =
        operation == OP_PUT_LARGE ? bytes_view_of(large, LARGE_BYTES) : bytes_view_str("new bytes");
    bool removes = operation == OP_REMOVE || operation == OP_REMOVE_MANY;
    enum nero_status status;
    struct nero_err err;
    struct bytes out;
    char state = '?';

    bytes_init(&out, 2 * LARGE_BYTES);
    status = storage_get(bench->direct, key, &out, NULL, &err);
    if (status == NERO_NOT_FOUND) {
        state = operation == OP_CREATE ? 'o' : removes ? 'n' : '?';
    } else if (status == NERO_OK && bytes_view_equal(bytes_as_view(&out), after)) {
        state = removes ? '?' : 'n';
    } else if (status == NERO_OK && bytes_view_equal(bytes_as_view(&out), before)) {
        state = operation == OP_CREATE ? '?' : 'o';
    }
    bytes_fini(&out);
    return state;
}

/* A second delivery finds the first one's work: exists and conflict are then about ourselves. */
static void check_state(struct bench *bench, enum operation operation, enum nero_status status)
{
    char state =
        is_write(operation) || operation == OP_PUT_LARGE ? state_of(bench, operation) : 'o';
    bool own =
        bench->fault == PROXY_DUPLICATE && (status == NERO_EXISTS || status == NERO_CONFLICT);
    bool write = is_write(operation) || operation == OP_PUT_LARGE;

    if (write && (state == '?' || (status == NERO_OK && state != 'n') ||
                  (status != NERO_OK && status != NERO_UNKNOWN && !own && state != 'o'))) {
        note(bench, "%s: after %s the object is '%c'\n", operation_names[operation],
             err_status_name(status), state);
    }
    bench->checks++;
}

/* All requests have the fault. */
static void try_for_good(struct bench *bench, enum operation operation)
{
    const struct clock_source *clock = clock_system();
    unsigned wanted = (libs3 ? expected_libs3 : expected)(bench->fault, operation);
    int64_t limit_ms =
        waits_for_deadline(bench->fault) ? REQUEST_MS + BUSY_MS_MAX : OPERATION_MS_MAX;
    enum nero_status status;
    struct nero_err err;
    int64_t start_ns;
    double ms;

    if (!restore(bench)) {
        return;
    }
    proxy_set(bench->proxy, bench->fault, 0, -1);
    start_ns = clock_mono_ns(clock);
    status = operate(bench, bench->store, operation, &err);
    ms = 1000 * clock_seconds_since(clock, start_ns);
    proxy_set(bench->proxy, PROXY_NONE, 0, 0);
    if ((one(status) & wanted) == 0) {
        note(bench, "%s: %s: %s\n", operation_names[operation], err_status_name(status),
             status != NERO_OK ? err.message : "");
    }
    if (ms > (double)limit_ms) {
        note(bench, "%s: took %.0f ms\n", operation_names[operation], ms);
    }
    check_state(bench, operation, status);
}

/* What may be another when it is tried again. */
static unsigned passing(void)
{
    return one(NERO_OK) | one(NERO_UNKNOWN) | one(NERO_UNAVAILABLE) | one(NERO_TIMEOUT);
}

/* One request has the fault and somebody tries again: what may pass does. */
static void try_once(struct bench *bench, enum operation operation)
{
    unsigned wanted = (libs3 ? expected_libs3 : expected)(bench->fault, operation);
    enum nero_status status;
    struct nero_err err;

    if (!restore(bench)) {
        return;
    }
    proxy_set(bench->proxy, bench->fault, 0, 1);
    status = operate(bench, bench->retrying, operation, &err);
    proxy_set(bench->proxy, PROXY_NONE, 0, 0);
    if (status != NERO_OK && (wanted & ~passing()) == 0) {
        note(bench, "%s, once: %s\n", operation_names[operation], err.message);
    }
    check_state(bench, operation, status);
}

/*
 * Of a large transfer in which one request has the fault: a range or a part is tried again by
 * itself. The requests that look for an upload, begin it and complete it are not.
 */
static unsigned expected_of_one(enum proxy_fault fault, enum operation operation)
{
    unsigned wanted = (libs3 ? expected_libs3 : expected)(fault, operation);
    unsigned lasting = wanted & ~passing();

    if (wanted == one(NERO_OK)) {
        return wanted;
    }
    if (operation == OP_GET_LARGE) {
        return lasting != 0 ? lasting : one(NERO_OK);
    }
    return one(NERO_OK) | one(NERO_UNAVAILABLE) | one(NERO_UNKNOWN) | lasting;
}

/* The fault at the N-th request of a large transfer, once, for N = 2, 3, ... until it has fewer. */
static void try_each_request(struct bench *bench, enum operation operation)
{
    unsigned wanted = expected_of_one(bench->fault, operation);
    int unknown = 0;
    int whole = 0;
    int fired = 1;

    for (int skip = 1; fired > 0 && restore(bench); skip++) {
        enum nero_status status;
        struct nero_err err;

        proxy_set(bench->proxy, bench->fault, skip, 1);
        status = operate(bench, bench->store, operation, &err);
        fired = proxy_fired(bench->proxy);
        proxy_set(bench->proxy, PROXY_NONE, 0, 0);
        unknown += status == NERO_UNKNOWN;
        whole += status == NERO_OK;
        if ((one(status) & (fired > 0 ? wanted : one(NERO_OK))) == 0) {
            note(bench, "%s, at request %d: %s: %s\n", operation_names[operation], skip + 1,
                 err_status_name(status), status != NERO_OK ? err.message : "");
        }
        check_state(bench, operation, status);
    }
    if (unknown > 1) { /* what completes an upload is one request */
        note(bench, "%s: unknown at %d requests\n", operation_names[operation], unknown);
    }
    if (operation == OP_PUT_LARGE && !libs3 && bench->fault != PROXY_NONE &&
        (wanted & ~passing()) == 0 && whole <= PARTS) {
        note(bench, "%s: whole at %d requests\n", operation_names[operation], whole);
    }
}

static void run_bench(void *context)
{
    struct bench *bench = context;
    struct storage_list list = {0};
    struct nero_err err;

    if (storage_put(bench->direct, "big", bytes_view_of(large, LARGE_BYTES), &err) != NERO_OK ||
        storage_list_page(bench->direct, "", NULL, 1, &list, &err) != NERO_OK) {
        note(bench, "%s\n", err.message);
        return;
    }
    storage_list_fini(&list);
    for (int i = 0; i < OPERATIONS; i++) {
        if (libs3 && (i == OP_CREATE || i == OP_REPLACE)) { /* declared absent */
            continue;
        }
        try_for_good(bench, (enum operation)i);
        try_once(bench, (enum operation)i);
    }
    try_each_request(bench, OP_PUT_LARGE);
    try_each_request(bench, OP_GET_LARGE);
}

/* As open_store, of a store that tries again. */
static bool open_retrying(struct bench *bench, int port, struct storage **out)
{
    struct storage_retry_options options = storage_retry_defaults(1);
    struct storage *inner;
    struct nero_err err;

    options.budget_ms = RETRY_BUDGET_MS;
    options.delay_first_ms = 10;
    return open_store(bench, port, &inner) &&
           storage_retry_wrap(inner, &options, out, &err) == NERO_OK;
}

static bool open_bench(struct bench *bench)
{
    bench->proxy = proxy_start(gateway.port);
    return open_retrying(bench, gateway.port, &bench->direct) &&
           open_store(bench, proxy_port(bench->proxy), &bench->store) &&
           open_retrying(bench, proxy_port(bench->proxy), &bench->retrying);
}

static void close_bench(struct bench *bench)
{
    storage_close(bench->retrying);
    storage_close(bench->store);
    storage_close(bench->direct);
    proxy_stop(bench->proxy);
}

/* What is in a folder of /proc/self: open files ("fd"), threads ("task"). */
static int count_own(const char *name)
{
    char path[32];
    int count = 0;
    DIR *folder;

    (void)snprintf(path, sizeof path, "/proc/self/%s", name);
    folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

/* And once closed, the stores leave no connection and no thread behind, whatever befell them. */
static void test_s3__every_operation_under_every_fault(void **state)
{
    static struct bench benches[PROXY_FAULTS];
    int files = count_own("fd");
    int threads = count_own("task");
    struct nero_err err;
    unsigned checks = 0;
    bool failed = false;

    (void)state;
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        large[i] = (uint8_t)(i >> 8 ^ i);
    }
    for (int i = 0; i < PROXY_FAULTS; i++) {
        benches[i].fault = (enum proxy_fault)i;
        if (!open_bench(&benches[i])) {
            fail_msg("%s", benches[i].failures);
        }
    }
    /* Only now: opening keeps the short deadlines, which the benches' load must not break. */
    for (int i = 0; i < PROXY_FAULTS; i++) {
        assert_int_equal(thread_start(&benches[i].thread, "fault", run_bench, &benches[i], &err),
                         NERO_OK);
    }
    for (int i = 0; i < PROXY_FAULTS; i++) {
        struct bench *bench = &benches[i];

        thread_join(&bench->thread);
        close_bench(bench);
        checks += bench->checks;
        if (bench->failures[0] != 0) {
            print_error("under '%s':\n%s", proxy_fault_name(bench->fault), bench->failures);
            failed = true;
        }
    }
    assert_false(failed);
    assert_true(checks > PROXY_FAULTS * (OPERATIONS - 2) * 2);
    assert_int_equal(count_own("fd"), files);
    assert_int_equal(count_own("task"), threads);
}

/* How many objects there are, past the proxy; they are removed. */
static size_t clear(struct bench *bench)
{
    struct storage_list list = {0};
    struct nero_err err;
    size_t count;

    assert_int_equal(storage_list_page(bench->direct, "", NULL, 100, &list, &err), NERO_OK);
    count = list.count;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(storage_remove(bench->direct, list.entries[i].key, &err), NERO_OK);
    }
    storage_list_fini(&list);
    return count;
}

/* Whoever lies is caught, each by what it lies about; and an outage is no verdict. */
static void test_storage_probe__catches_every_liar(void **state)
{
    static const struct {
        enum proxy_fault lie;
        bool usable;
        const char *why;
    } liars[] = {{PROXY_LIE, true, "If-None-Match is ignored"},
                 {PROXY_LIE_IN_RACES, true, "of creates at once more than one"},
                 {PROXY_FOLD_KEYS, false, "a key of all allowed characters"},
                 {PROXY_STALE_READS, false, "a get does not show"},
                 {PROXY_STALE_LISTS, false, "a list does not show"},
                 {PROXY_WRONG_ETAG, false, "the ETag that it tells"}};
    struct bench bench = {.fault = PROXY_FAULTS}; /* for a prefix of its own */
    struct storage_probe seen;
    struct nero_err err;

    (void)state;
    if (libs3) { /* it makes no promise about conditions */
        return;
    }
    assert_true(open_bench(&bench));
    assert_int_equal(storage_probe(bench.store, &seen, &err), NERO_OK);
    assert_true(seen.trusted && seen.usable && seen.replaces_matched && seen.misses_matched);
    for (size_t i = 0; i < sizeof liars / sizeof liars[0]; i++) {
        proxy_set(bench.proxy, liars[i].lie, 0, -1);
        if (storage_probe(bench.store, &seen, &err) != NERO_OK) {
            fail_msg("%s: %s", proxy_fault_name(liars[i].lie), err.message);
        }
        assert_false(seen.trusted);
        assert_int_equal(seen.usable, liars[i].usable);
        assert_non_null(strstr(seen.why, liars[i].why));
        assert_int_equal(seen.creates_once, liars[i].lie != PROXY_LIE);
        assert_int_equal(seen.race_has_one,
                         liars[i].lie != PROXY_LIE && liars[i].lie != PROXY_LIE_IN_RACES);
        assert_int_equal(seen.keeps_odd_keys, liars[i].lie != PROXY_FOLD_KEYS);
        /* what is under another name than it was put under cannot be cleared away */
        assert_int_equal(clear(&bench), liars[i].lie == PROXY_FOLD_KEYS ? 1 : 0);
        if (liars[i].lie == PROXY_LIE) { /* nothing is refused there, in whatever form */
            assert_int_equal(seen.traits.match_form, STORAGE_MATCH_EITHER);
        }
    }
    proxy_set(bench.proxy, PROXY_503_XML, 0, -1);
    assert_int_equal(storage_probe(bench.store, &seen, &err), NERO_UNAVAILABLE);
    assert_int_equal(clear(&bench), 0);
    close_bench(&bench);
}

/* The liar of these tests does what it is there for: it overwrites, and says so to nobody. */
static void test_proxy__a_lie_overwrites(void **state)
{
    struct bench bench = {.fault = PROXY_FAULTS};
    struct nero_err err;
    struct bytes out;

    (void)state;
    if (libs3) { /* it has no conditions that could be left out */
        return;
    }
    assert_true(open_bench(&bench));
    bytes_init(&out, 100);
    assert_int_equal(storage_put(bench.direct, "once", bytes_view_str("first"), &err), NERO_OK);
    assert_int_equal(storage_put_if_absent(bench.store, "once", bytes_view_str("second"), &err),
                     NERO_EXISTS);
    proxy_set(bench.proxy, PROXY_LIE, 0, -1);
    assert_int_equal(storage_put_if_absent(bench.store, "once", bytes_view_str("second"), &err),
                     NERO_OK);
    assert_int_equal(storage_get(bench.direct, "once", &out, NULL, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&out), bytes_view_str("second")));
    assert_int_equal(clear(&bench), 1);
    bytes_fini(&out);
    close_bench(&bench);
}

/* A store of another time is told by how much, and is trusted all the same. */
static void test_storage_probe__tells_the_clock(void **state)
{
    enum { OFF_MS_MAX = 60000 };
    struct bench bench = {.fault = PROXY_FAULTS};
    struct storage_probe seen;
    struct nero_err err;

    (void)state;
    if (libs3) { /* it shows no Date */
        return;
    }
    assert_true(open_bench(&bench));
    for (int late = 0; late <= 1; late++) {
        proxy_set(bench.proxy, late ? PROXY_WRONG_DATE : PROXY_NONE, 0, -1);
        assert_int_equal(storage_probe(bench.store, &seen, &err), NERO_OK);
        assert_true(seen.trusted && seen.knows_clock);
        assert_in_range(seen.clock_ahead_ms + OFF_MS_MAX, (int64_t)late * PROXY_DATE_AHEAD_MS,
                        (int64_t)late * PROXY_DATE_AHEAD_MS + 2 * OFF_MS_MAX);
    }
    close_bench(&bench);
}

/* Another kind of store: what is found of it is kept, and its next replace is one request. */
static void test_storage_probe__tells_other_stores(void **state)
{
    struct bench bench = {.fault = PROXY_FAULTS};
    struct storage_probe seen;
    struct storage_info info;
    struct nero_err err;
    int requests;

    (void)state;
    if (libs3) {
        return;
    }
    assert_true(open_bench(&bench));
    assert_null(storage_probed(bench.store));
    proxy_set(bench.proxy, PROXY_OTHER_STORE, 0, -1);
    assert_int_equal(storage_probe(bench.store, &seen, &err), NERO_OK);
    assert_true(seen.trusted && seen.replaces_matched && seen.traits.creates_parts);
    assert_int_equal(seen.traits.match_form, STORAGE_MATCH_QUOTED);
    assert_memory_equal(storage_probed(bench.store)->why, seen.why, sizeof seen.why);
    assert_int_equal(storage_put(bench.store, "k", bytes_view_str("v"), &err), NERO_OK);
    assert_int_equal(storage_head(bench.store, "k", &info, &err), NERO_OK);
    proxy_set(bench.proxy, PROXY_OTHER_STORE, 0, -1);
    requests = proxy_fired(bench.proxy);
    assert_int_equal(storage_put_if_match(bench.store, "k", bytes_view_str("w"), info.etag, &err),
                     NERO_OK);
    assert_int_equal(proxy_fired(bench.proxy) - requests, 1);
    close_bench(&bench);
}

/* As many keys as fit go into one request. */
static void test_s3__many_are_removed_by_few_requests(void **state)
{
    enum { KEYS = 1500 };
    static char names[KEYS][16];
    static const char *keys[KEYS];
    struct bench bench = {.fault = PROXY_FAULTS};
    struct nero_err err;
    int requests;

    (void)state;
    if (libs3) { /* it has no delete of many */
        return;
    }
    assert_true(open_bench(&bench));
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(names[i], sizeof names[i], "many/%d", i);
        keys[i] = names[i];
    }
    requests = proxy_counts(bench.proxy).requests;
    assert_int_equal(storage_remove_many(bench.store, keys, KEYS, &err), NERO_OK);
    assert_int_equal(proxy_counts(bench.proxy).requests - requests, 2);
    close_bench(&bench);
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storage_probe__catches_every_liar),
        cmocka_unit_test(test_proxy__a_lie_overwrites),
        cmocka_unit_test(test_storage_probe__tells_the_clock),
        cmocka_unit_test(test_storage_probe__tells_other_stores),
        cmocka_unit_test(test_s3__many_are_removed_by_few_requests),
        cmocka_unit_test(test_s3__every_operation_under_every_fault),
    };

    libs3 = argc > 1 && strcmp(argv[1], "libs3") == 0;
    return cmocka_run_group_tests(tests, start, stop);
}
