/*
 * Goal: what storage.c itself decides: keys, URLs, create_once, pages that lie.
 * Method: tables; a store whose answers the test writes.
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
#include "nero/storage.h"

static void test_storage__urls(void **state)
{
    static const struct {
        const char *url;
        const char *says;
    } bad[] = {
        {"", "store '': expected file:///directory, mem:name"},
        {"/tmp/x", "store '/tmp/x': expected file:///directory"},
        {"file://relative", "store 'file://relative': expected file:///absolute/directory"},
        {"http://x/y", "store 'http://x/y': expected file:///directory"},
        {"s3://b", "store 's3://b': a bucket has 3 to 63 of"},
        {"s3+libs3://b", "store 's3+libs3://b': a bucket has 3 to 63 of"},
    };
    char longest[STORAGE_URL_BYTES_MAX + 1];
    struct storage *store = NULL;
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(storage_open(bad[i].url, true, &store, &err), NERO_INVALID);
        assert_memory_equal(err.message, bad[i].says, strlen(bad[i].says));
    }
    memset(longest, 'x', sizeof longest - 1);
    memcpy(longest, "mem:", 4);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(storage_open(longest, true, &store, &err), NERO_INVALID);
    assert_int_equal(storage_open("file:///tmp/nero-none/none/x", true, &store, &err),
                     NERO_NOT_FOUND);
    assert_int_equal(storage_open("file:///tmp/nero-none", false, &store, &err), NERO_NOT_FOUND);
    assert_int_equal(storage_open("file:///dev/null", false, &store, &err), NERO_INVALID);
    assert_int_equal(storage_open("file:///dev/null", true, &store, &err), NERO_INVALID);
    assert_null(store);
    storage_close(NULL);
}

static void test_storage__key_errors_say_where(void **state)
{
    static const struct {
        const char *key;
        const char *message;
    } bad[] = {
        {"ab c", "key 'ab c' has byte 0x20 at place 2; allowed are letters, digits and . _ / -"},
        {"a//b", "key 'a//b' has an empty, '.' or '..' segment at place 2"},
        {"a/..", "key 'a/..' has an empty, '.' or '..' segment at place 2"},
        {"", "key '' has an empty, '.' or '..' segment at place 0"},
    };
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(storage_check_key(bad[i].key, &err), NERO_INVALID);
        assert_string_equal(err.message, bad[i].message);
    }
    assert_int_equal(storage_check_key("r/1/.a..b/-_Z9", &err), NERO_OK);
}

static void test_storage__errors_name_operation_key_and_store(void **state)
{
    struct storage *store;
    struct nero_err err;
    struct bytes out;

    (void)state;
    bytes_init(&out, 10);
    assert_int_equal(storage_open("mem:named", true, &store, &err), NERO_OK);
    assert_string_equal(storage_url(store), "mem:named");
    assert_int_equal(storage_get(store, "a/b", &out, NULL, &err), NERO_NOT_FOUND);
    assert_string_equal(err.message, "get 'a/b' in mem:named: there is no such object");
    storage_close(store);
}

static void test_storage__mem_is_shared_by_name(void **state)
{
    struct storage *stores[4];
    static const char *const urls[] = {"mem:x", "mem:x", "mem:y", "mem:"};
    struct nero_err err;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(storage_open(urls[i], true, &stores[i], &err), NERO_OK);
    }
    assert_int_equal(storage_put(stores[0], "k", bytes_view_str("v"), &err), NERO_OK);
    assert_int_equal(storage_head(stores[1], "k", NULL, &err), NERO_OK);
    assert_int_equal(storage_head(stores[2], "k", NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(storage_head(stores[3], "k", NULL, &err), NERO_NOT_FOUND);
    storage_close(stores[0]);
    assert_int_equal(storage_head(stores[1], "k", NULL, &err), NERO_OK);
    storage_close(stores[1]);
    storage_close(stores[2]);
    storage_close(stores[3]);
    assert_int_equal(storage_open("mem:x", true, &stores[0], &err), NERO_OK);
    assert_int_equal(storage_head(stores[0], "k", NULL, &err), NERO_NOT_FOUND);
    storage_close(stores[0]);
}

static void test_storage__open_survives_failed_allocations(void **state)
{
    static const char *const urls[] = {"mem:a", "mem:", "file:///tmp"};
    char folder[] = "/tmp/nero-open-XXXXXX";
    char url[64];

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(url, sizeof url, "file://%s", folder);
    for (size_t i = 0; i < 3; i++) {
        int fired = 1;

        for (long skip = 0; fired > 0; skip++) {
            struct storage *store = NULL;
            enum nero_status status;
            struct nero_err err;

            (void)mem_fail_plan(skip, 1);
            status = storage_open(i < 2 ? urls[i] : url, true, &store, &err);
            fired = mem_fail_plan(0, 0);
            assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
            storage_close(store);
        }
    }
    (void)snprintf(url, sizeof url, "rm -r %s", folder);
    assert_int_equal(system(url), 0);
}

/* A store that gives the answers of a script. */
struct script {
    const enum nero_status *creates; /* of put_if_absent, in order */
    const enum nero_status *reads;   /* of get_range */
    const char *body;
    struct storage_list *page;
    int create_calls;
    int read_calls;
};

static enum nero_status script_create(void *self, const char *key, struct bytes_view body,
                                      struct nero_err *err)
{
    struct script *script = self;
    enum nero_status status = script->creates[script->create_calls++];

    (void)key;
    (void)body;
    return status == NERO_OK ? NERO_OK : err_set(err, status, 0, "scripted");
}

static enum nero_status script_get(void *self, const char *key, uint64_t offset, uint64_t bytes,
                                   struct bytes *out, struct storage_info *info,
                                   struct nero_err *err)
{
    struct script *script = self;
    enum nero_status status = script->reads[script->read_calls++];

    (void)key;
    (void)offset;
    (void)bytes;
    (void)info;
    return status == NERO_OK ? bytes_append(out, script->body, strlen(script->body), err)
                             : err_set(err, status, 0, "scripted");
}

static enum nero_status script_list(void *self, const char *prefix, const char *start_after,
                                    size_t count_max, struct storage_list *out,
                                    struct nero_err *err)
{
    struct script *script = self;

    (void)prefix;
    (void)start_after;
    (void)count_max;
    (void)err;
    *out = *script->page;
    return NERO_OK;
}

static void script_close(void *self)
{
    (void)self;
}

static const struct storage_ops script_ops = {.name = "script",
                                              .put_if_absent = script_create,
                                              .get_range = script_get,
                                              .list = script_list,
                                              .close = script_close};

static enum nero_status run_create_once(const enum nero_status *creates,
                                        const enum nero_status *reads, const char *present,
                                        int *create_calls)
{
    struct script script = {.creates = creates, .reads = reads, .body = present};
    struct storage *store = NULL;
    enum nero_status status;
    struct nero_err err;

    assert_int_equal(storage_from_ops(&script_ops, &script, "script:", &store, &err), NERO_OK);
    status = storage_create_once(store, "k", bytes_view_str("mine"), &err);
    *create_calls = script.create_calls;
    storage_close(store);
    return status;
}

static void test_storage__create_once_settles_what_is_unknown(void **state)
{
    static const enum nero_status ok[] = {NERO_OK};
    static const enum nero_status exists[] = {NERO_EXISTS};
    static const enum nero_status unknown[] = {NERO_UNKNOWN};
    static const enum nero_status unknown_ok[] = {NERO_UNKNOWN, NERO_OK};
    static const enum nero_status unavailable[] = {NERO_UNAVAILABLE};
    static const enum nero_status absent[] = {NERO_NOT_FOUND, NERO_NOT_FOUND, NERO_NOT_FOUND,
                                              NERO_NOT_FOUND};
    static const enum nero_status all_unknown[] = {NERO_UNKNOWN, NERO_UNKNOWN, NERO_UNKNOWN,
                                                   NERO_UNKNOWN};
    int calls;

    (void)state;
    assert_int_equal(run_create_once(ok, NULL, "", &calls), NERO_OK);
    assert_int_equal(run_create_once(exists, ok, "mine", &calls), NERO_OK);
    assert_int_equal(run_create_once(exists, ok, "else", &calls), NERO_EXISTS);
    assert_int_equal(run_create_once(exists, ok, "min", &calls), NERO_EXISTS);
    assert_int_equal(run_create_once(exists, ok, "mine, and longer", &calls), NERO_EXISTS);
    assert_int_equal(run_create_once(unknown, ok, "mine", &calls), NERO_OK);
    assert_int_equal(run_create_once(unknown, ok, "else", &calls), NERO_EXISTS);
    assert_int_equal(run_create_once(unknown_ok, absent, "", &calls), NERO_OK);
    assert_int_equal(calls, 2);
    assert_int_equal(run_create_once(all_unknown, absent, "", &calls), NERO_UNKNOWN);
    assert_int_equal(calls, 4);
    /* It may be our own: that it exists is no answer while it cannot be read. */
    assert_int_equal(run_create_once(exists, unavailable, "", &calls), NERO_UNKNOWN);
    assert_int_equal(run_create_once(unavailable, NULL, "", &calls), NERO_UNAVAILABLE);
    assert_int_equal(calls, 1);
}

static void test_storage__pages_that_lie_are_refused(void **state)
{
    static const struct {
        const char *keys[2];
        size_t count;
        bool more;
        const char *start_after;
        enum nero_status status;
    } cases[] = {
        {{"b", "c"}, 2, true, "a", NERO_OK},        {{NULL, NULL}, 0, false, "a", NERO_OK},
        {{NULL, NULL}, 0, true, "a", NERO_CORRUPT}, {{"c", "b"}, 2, false, "a", NERO_CORRUPT},
        {{"b", "b"}, 2, false, "a", NERO_CORRUPT},  {{"a", "b"}, 2, false, "a", NERO_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct storage_list page = {.count = cases[i].count, .more = cases[i].more};
        struct script script = {.page = &page};
        struct storage_list out = {0};
        struct storage *store = NULL;
        struct nero_err err;

        page.entries = calloc(2, sizeof *page.entries);
        for (size_t k = 0; k < cases[i].count; k++) {
            page.entries[k].key = strdup(cases[i].keys[k]);
        }
        assert_int_equal(storage_from_ops(&script_ops, &script, "script:", &store, &err), NERO_OK);
        assert_int_equal(storage_list_page(store, "", cases[i].start_after, 2, &out, &err),
                         cases[i].status);
        assert_int_equal(out.count, cases[i].status == NERO_OK ? cases[i].count : 0);
        storage_list_fini(&out);
        storage_close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storage__urls),
        cmocka_unit_test(test_storage__key_errors_say_where),
        cmocka_unit_test(test_storage__errors_name_operation_key_and_store),
        cmocka_unit_test(test_storage__mem_is_shared_by_name),
        cmocka_unit_test(test_storage__open_survives_failed_allocations),
        cmocka_unit_test(test_storage__create_once_settles_what_is_unknown),
        cmocka_unit_test(test_storage__pages_that_lie_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
