/*
 * Goal: every store keeps every promise of storage.h (P1 to P7 of storage/DESIGN.md).
 * Method: every operation and every status it can have, on the store that argv[1] names. The
 * other test_storage_*.c beside this one are parts of the same suite.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contract.h"
#include "nero/storage_probe.h"

enum { BIG_BYTES = 64 * 1024 * 1024 };

static void test_storage__put_get_head_remove(void **state)
{
    struct storage_info info;
    char etag[STORAGE_ETAG_BYTES_MAX];

    (void)state;
    contract_assert_body(contract.store, "a/b/c", NULL);
    assert_int_equal(contract_put("a/b/c", "one"), NERO_OK);
    contract_assert_body(contract.store, "a/b/c", "one");
    assert_int_equal(storage_head(contract.store, "a/b/c", &info, &contract.err), NERO_OK);
    assert_int_equal(info.bytes, 3);
    assert_true(info.etag[0] != 0);
    memcpy(etag, info.etag, sizeof etag);
    assert_int_equal(contract_put("a/b/c", "three"), NERO_OK);
    contract_assert_body(contract.store, "a/b/c", "three");
    assert_int_equal(storage_head(contract.store, "a/b/c", &info, &contract.err), NERO_OK);
    assert_string_not_equal(etag, info.etag);
    assert_int_equal(storage_head(contract.store, "a/b/c", NULL, &contract.err), NERO_OK);
    assert_int_equal(contract_put("empty", ""), NERO_OK);
    contract_assert_body(contract.store, "empty", "");
    assert_int_equal(storage_remove(contract.store, "a/b/c", &contract.err), NERO_OK);
    contract_assert_body(contract.store, "a/b/c", NULL);
    assert_int_equal(storage_remove(contract.store, "a/b/c", &contract.err), NERO_OK);
    assert_int_equal(storage_remove(contract.store, "never/was", &contract.err), NERO_OK);
    contract_assert_body(contract.store, "empty", "");
    assert_true(contract_can(STORAGE_CAN_CREATE) != contract_is_libs3());
    assert_true(contract_can(STORAGE_CAN_MATCH) != contract_is_libs3());
}

static void test_storage__create_only_creates(void **state)
{
    (void)state;
    if (!contract_can(STORAGE_CAN_CREATE)) { /* declared absent; by promise all but races holds */
        assert_int_equal(contract_create("k", "first"), NERO_INVALID);
        contract_assert_body(contract.store, "k", NULL);
        storage_promise_single_writer(contract.store);
    }
    assert_int_equal(contract_create("k", "first"), NERO_OK);
    assert_int_equal(contract_create("k", "second"), NERO_EXISTS);
    assert_int_equal(contract_create("k", "first"), NERO_EXISTS);
    contract_assert_body(contract.store, "k", "first");
    assert_int_equal(contract_put("p", "put"), NERO_OK);
    assert_int_equal(contract_create("p", "created"), NERO_EXISTS);
    assert_int_equal(storage_remove(contract.store, "k", &contract.err), NERO_OK);
    assert_int_equal(contract_create("k", "again"), NERO_OK);
    contract_assert_body(contract.store, "k", "again");
    assert_int_equal(
        storage_create_once(contract.store, "k", bytes_view_str("again"), &contract.err), NERO_OK);
    assert_int_equal(
        storage_create_once(contract.store, "k", bytes_view_str("other"), &contract.err),
        NERO_EXISTS);
    assert_int_equal(
        storage_create_once(contract.store, "k", bytes_view_str("longer still"), &contract.err),
        NERO_EXISTS);
    assert_int_equal(storage_create_once(contract.store, "n", bytes_view_str("new"), &contract.err),
                     NERO_OK);
    contract_assert_body(contract.store, "n", "new");
}

static void test_storage__replace_needs_the_etag(void **state)
{
    struct storage_info first;
    struct storage_info second;
    struct bytes body;

    (void)state;
    if (!contract_can(STORAGE_CAN_MATCH)) {
        assert_int_equal(contract_put("k", "v1"), NERO_OK);
        assert_int_equal(storage_head(contract.store, "k", &first, &contract.err), NERO_OK);
        assert_int_equal(storage_put_if_match(contract.store, "k", bytes_view_str("v2"), first.etag,
                                              &contract.err),
                         NERO_INVALID);
        contract_assert_body(contract.store, "k", "v1");
        return;
    }
    bytes_init(&body, 100);
    assert_int_equal(
        storage_put_if_match(contract.store, "k", bytes_view_str("x"), "no-etag", &contract.err),
        NERO_NOT_FOUND);
    assert_int_equal(contract_create("k", "v1"), NERO_OK);
    assert_int_equal(storage_head(contract.store, "k", &first, &contract.err), NERO_OK);
    assert_int_equal(
        storage_put_if_match(contract.store, "k", bytes_view_str("x"), "no-etag", &contract.err),
        NERO_CONFLICT);
    contract_assert_body(contract.store, "k", "v1");
    assert_int_equal(
        storage_put_if_match(contract.store, "k", bytes_view_str("v2"), first.etag, &contract.err),
        NERO_OK);
    contract_assert_body(contract.store, "k", "v2");
    assert_int_equal(
        storage_put_if_match(contract.store, "k", bytes_view_str("v3"), first.etag, &contract.err),
        NERO_CONFLICT);
    contract_assert_body(contract.store, "k", "v2");
    /* get, a ranged get and head name one ETag */
    assert_int_equal(storage_get_range(contract.store, "k", 1, 1, &body, &second, &contract.err),
                     NERO_OK);
    assert_int_equal(second.bytes, 2);
    assert_int_equal(storage_get(contract.store, "k", &body, &first, &contract.err), NERO_OK);
    assert_string_equal(first.etag, second.etag);
    assert_int_equal(storage_head(contract.store, "k", &first, &contract.err), NERO_OK);
    assert_string_equal(first.etag, second.etag);
    assert_int_equal(
        storage_put_if_match(contract.store, "k", bytes_view_str("v3"), second.etag, &contract.err),
        NERO_OK);
    assert_int_equal(storage_remove(contract.store, "k", &contract.err), NERO_OK);
    assert_int_equal(
        storage_put_if_match(contract.store, "k", bytes_view_str("v4"), second.etag, &contract.err),
        NERO_NOT_FOUND);
    bytes_fini(&body);
}

static void test_storage__ranges(void **state)
{
    struct bytes out;
    uint8_t data[5000];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 31 >> 3);
    }
    assert_int_equal(
        storage_put(contract.store, "r", bytes_view_of(data, sizeof data), &contract.err), NERO_OK);
    bytes_init(&out, 10000);
    for (size_t offset = 0; offset <= sizeof data; offset += 500) {
        static const uint64_t lengths[] = {0, 1, 499, 5000, UINT64_MAX};

        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            size_t left = sizeof data - offset;
            size_t wanted = lengths[i] < left ? (size_t)lengths[i] : left;

            bytes_clear(&out);
            assert_int_equal(bytes_append(&out, "ab", 2, &contract.err), NERO_OK);
            assert_int_equal(storage_get_range(contract.store, "r", offset, lengths[i], &out, NULL,
                                               &contract.err),
                             NERO_OK);
            assert_int_equal(out.bytes, 2 + wanted); /* appended */
            assert_memory_equal(out.data, "ab", 2);
            assert_true(wanted == 0 || memcmp(out.data + 2, data + offset, wanted) == 0);
        }
    }
    bytes_clear(&out);
    assert_int_equal(storage_get_range(contract.store, "r", 5001, 1, &out, NULL, &contract.err),
                     NERO_INVALID);
    assert_int_equal(
        storage_get_range(contract.store, "r", UINT64_MAX, 1, &out, NULL, &contract.err),
        NERO_INVALID);
    assert_int_equal(out.bytes, 0);
    bytes_fini(&out);
}

static void test_storage__get_obeys_the_limit_and_leaves_out_alone(void **state)
{
    struct storage_info info = {.bytes = 77};
    struct bytes out;

    (void)state;
    assert_int_equal(contract_put("k", "0123456789"), NERO_OK);
    bytes_init(&out, 12);
    assert_int_equal(bytes_append(&out, "abc", 3, &contract.err), NERO_OK);
    assert_int_equal(storage_get(contract.store, "k", &out, &info, &contract.err), NERO_TOO_BIG);
    assert_int_equal(storage_get(contract.store, "absent", &out, &info, &contract.err),
                     NERO_NOT_FOUND);
    assert_int_equal(out.bytes, 3);
    assert_memory_equal(out.data, "abc", 3);
    assert_int_equal(info.bytes, 77);
    bytes_clear(&out);
    assert_int_equal(storage_get(contract.store, "k", &out, &info, &contract.err), NERO_OK);
    bytes_fini(&out);
}

static void test_storage__bad_keys_are_refused_by_every_operation(void **state)
{
    char longest[STORAGE_KEY_BYTES_MAX + 2];
    const char *bad[] = {"",       "/",    "/a",   "a/",  "a//b",        ".",     "..",   "a/./b",
                         "a/../b", "../a", "a b",  "a\n", "a\x7f",       "a~b",   "ä",    "a\\b",
                         "a:b",    "a*",   "a/..", "./a", "~nero/tmp/x", "a%2fb", longest};
    char segment[STORAGE_SEGMENT_BYTES_MAX + 2];
    struct storage_list list;
    struct bytes out;

    (void)state;
    bytes_init(&out, 100);
    memset(segment, 's', sizeof segment - 1);
    segment[sizeof segment - 1] = 0;
    assert_int_equal(contract_put(segment, "x"), NERO_INVALID);
    segment[STORAGE_SEGMENT_BYTES_MAX] = 0;
    assert_int_equal(contract_put(segment, "x"), NERO_OK);
    assert_int_equal(storage_remove(contract.store, segment, &contract.err), NERO_OK);
    memset(longest, 'k', sizeof longest - 1);
    longest[STORAGE_SEGMENT_BYTES_MAX] = '/';
    longest[400] = '/';
    longest[sizeof longest - 1] = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bytes_view x = bytes_view_str("x");

        assert_int_equal(storage_put(contract.store, bad[i], x, &contract.err), NERO_INVALID);
        assert_int_equal(storage_put_if_absent(contract.store, bad[i], x, &contract.err),
                         NERO_INVALID);
        assert_int_equal(storage_create_once(contract.store, bad[i], x, &contract.err),
                         NERO_INVALID);
        assert_int_equal(storage_put_if_match(contract.store, bad[i], x, "e", &contract.err),
                         NERO_INVALID);
        assert_int_equal(storage_get(contract.store, bad[i], &out, NULL, &contract.err),
                         NERO_INVALID);
        assert_int_equal(storage_head(contract.store, bad[i], NULL, &contract.err), NERO_INVALID);
        assert_int_equal(storage_remove(contract.store, bad[i], &contract.err), NERO_INVALID);
    }
    assert_int_equal(storage_list_page(contract.store, "", NULL, 10, &list, &contract.err),
                     NERO_OK);
    assert_int_equal(list.count, 0);
    storage_list_fini(&list);
    longest[STORAGE_KEY_BYTES_MAX] = 0; /* the longest that is allowed */
    assert_int_equal(contract_put(longest, "long"), NERO_OK);
    contract_assert_body(contract.store, longest, "long");
    assert_int_equal(storage_list_page(contract.store, longest, NULL, 10, &list, &contract.err),
                     NERO_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.entries[0].key, longest);
    storage_list_fini(&list);
    assert_int_equal(contract_put("...", "dots"), NERO_OK);
    assert_int_equal(contract_put(".hidden/-x", "dash"), NERO_OK);
    contract_assert_body(contract.store, "...", "dots");
    bytes_fini(&out);
}

/* More keys than one request has, few of which are there, in no order; what is not named stays. */
static void test_storage__many_are_removed(void **state)
{
    enum { KEYS = STORAGE_REMOVE_MAX + 7, EACH = 100 };
    static char names[KEYS][32];
    static const char *keys[KEYS];
    struct storage_list list;

    (void)state;
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(names[i], sizeof names[i], "many/%u/-._Az", i * 7919u % KEYS);
        keys[i] = names[i];
        if (i % EACH == 0 || i + 1 == KEYS) {
            assert_int_equal(contract_put(keys[i], "x"), NERO_OK);
        }
    }
    assert_int_equal(contract_put("many/stays", "x"), NERO_OK);
    assert_int_equal(storage_remove_many(contract.store, keys, 0, &contract.err), NERO_OK);
    keys[KEYS - 1] = "a//b"; /* one bad key, and nothing happens */
    assert_int_equal(storage_remove_many(contract.store, keys, KEYS, &contract.err), NERO_INVALID);
    contract_assert_body(contract.store, names[0], "x");
    keys[KEYS - 1] = names[KEYS - 1];
    assert_int_equal(storage_remove_many(contract.store, keys, KEYS, &contract.err), NERO_OK);
    assert_int_equal(storage_list_page(contract.store, "", NULL, 10, &list, &contract.err),
                     NERO_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.entries[0].key, "many/stays");
    storage_list_fini(&list);
}

static void test_storage__a_key_is_no_folder(void **state)
{
    (void)state;
    if (contract_is_s3()) { /* declared absent: S3 has no folders, so both are objects */
        assert_int_equal(contract_put("a/b", "leaf"), NERO_OK);
        assert_int_equal(contract_put("a", "x"), NERO_OK);
        contract_assert_body(contract.store, "a", "x");
        contract_assert_body(contract.store, "a/b", "leaf");
        return;
    }
    assert_int_equal(contract_put("a/b", "leaf"), NERO_OK);
    assert_int_equal(contract_put("a", "x"), NERO_CONFLICT);
    assert_int_equal(contract_create("a", "x"), NERO_CONFLICT);
    assert_int_equal(contract_put("a/b/c", "x"), NERO_CONFLICT);
    assert_int_equal(contract_create("a/b/c/d/e", "x"), NERO_CONFLICT);
    contract_assert_body(contract.store, "a", NULL);
    contract_assert_body(contract.store, "a/b/c", NULL);
    assert_int_equal(storage_remove(contract.store, "a", &contract.err), NERO_OK);
    assert_int_equal(storage_remove(contract.store, "a/b/c", &contract.err), NERO_OK);
    contract_assert_body(contract.store, "a/b", "leaf");
    assert_int_equal(contract_put("a-", "x"), NERO_OK); /* neighbours in order are none */
    assert_int_equal(contract_put("a/bb", "x"), NERO_OK);
    assert_int_equal(contract_put("a0", "x"), NERO_OK);
}

static void test_storage__big_object(void **state)
{
    uint8_t *data = malloc(BIG_BYTES);
    struct bytes out;

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < BIG_BYTES; i++) {
        data[i] = (uint8_t)(i >> 12 ^ i);
    }
    assert_int_equal(
        storage_put(contract.store, "big", bytes_view_of(data, BIG_BYTES), &contract.err), NERO_OK);
    bytes_init(&out, BIG_BYTES);
    assert_int_equal(storage_get(contract.store, "big", &out, NULL, &contract.err), NERO_OK);
    assert_int_equal(out.bytes, BIG_BYTES);
    assert_int_equal(memcmp(out.data, data, BIG_BYTES), 0);
    bytes_clear(&out);
    assert_int_equal(
        storage_get_range(contract.store, "big", BIG_BYTES - 5, 100, &out, NULL, &contract.err),
        NERO_OK);
    assert_int_equal(out.bytes, 5);
    assert_memory_equal(out.data, data + BIG_BYTES - 5, 5);
    bytes_fini(&out);
    free(data);
}

static void test_storage__the_probe_trusts_it_and_leaves_nothing(void **state)
{
    struct storage_probe seen;
    struct storage_list list;

    (void)state;
    assert_int_equal(storage_probe(contract.store, &seen, &contract.err), NERO_OK);
    assert_true(seen.usable);
    if (contract_can(STORAGE_CAN_CREATE)) {
        assert_string_equal(seen.why, "");
        assert_true(seen.trusted && seen.replaces_matched && seen.misses_matched);
    } else {
        assert_false(seen.trusted);
        assert_non_null(strstr(seen.why, "cannot put on the condition of absence"));
    }
    assert_int_equal(seen.traits.tried, strncmp(contract_url, "s3://", 5) == 0);
    if (seen.traits.tried) { /* as Ceph's gateway does it */
        assert_true(seen.traits.pins_reads && !seen.traits.creates_parts && seen.knows_clock);
        assert_int_equal(seen.traits.match_form, STORAGE_MATCH_BARE);
        assert_in_range(seen.clock_ahead_ms + 30000, 0, 60000);
    }
    assert_int_equal(storage_list_page(contract.store, "", NULL, 10, &list, &contract.err),
                     NERO_OK);
    assert_int_equal(list.count, 0);
    storage_list_fini(&list);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_storage__put_get_head_remove),
        CONTRACT_TEST(test_storage__create_only_creates),
        CONTRACT_TEST(test_storage__replace_needs_the_etag),
        CONTRACT_TEST(test_storage__ranges),
        CONTRACT_TEST(test_storage__get_obeys_the_limit_and_leaves_out_alone),
        CONTRACT_TEST(test_storage__bad_keys_are_refused_by_every_operation),
        CONTRACT_TEST(test_storage__many_are_removed),
        CONTRACT_TEST(test_storage__a_key_is_no_folder),
        CONTRACT_TEST(test_storage__big_object),
        CONTRACT_TEST(test_storage__the_probe_trusts_it_and_leaves_nothing),
    };

    return CONTRACT_RUN(argc, argv, tests);
}
