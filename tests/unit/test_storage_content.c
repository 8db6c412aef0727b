/*
 * Goal: content is read whole or not at all, whatever its size and whichever piece fails, and tells
 * how far it is. Method: objects around the size of a piece in a memory store, changed behind its
 * back and with each call failing in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/storage.h"
#include "nero/storage_fault.h"

enum { MIB = 1 << 20, LARGEST = 5 * MIB + 3 };

static struct storage *store;
static struct storage_fault *control;
static uint8_t *data;
static struct nero_err err;

static int set_up(void **state)
{
    struct storage *inner;

    (void)state;
    data = malloc(LARGEST);
    for (size_t i = 0; i < LARGEST; i++) {
        data[i] = (uint8_t)(i * 31 >> 7);
    }
    assert_int_equal(hash_library_init(&err), NERO_OK);
    assert_int_equal(storage_open("mem:", true, &inner, &err), NERO_OK);
    return storage_fault_wrap(inner, &store, &control, &err) == NERO_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    storage_close(store);
    free(data);
    return 0;
}

struct heard {
    unsigned times;
    uint64_t bytes;
};

static void hear(void *context, uint64_t bytes)
{
    struct heard *heard = context;

    assert_true(bytes > heard->bytes || (bytes == 0 && heard->times == 0) ||
                (bytes == heard->bytes && bytes % MIB == 0)); /* its end was not known before */
    heard->bytes = bytes;
    heard->times++;
}

/* Put so many bytes, get them as `content` behind two of the caller's. */
static enum nero_status get(size_t bytes, const struct hash *content, uint64_t bytes_max,
                            struct heard *heard)
{
    struct hash hash = hash_of(bytes_view_of(data, bytes));
    struct storage_progress progress = {.made = hear, .context = heard};
    struct bytes out;
    enum nero_status status;

    *heard = (struct heard){0};
    assert_int_equal(storage_put(store, "k", bytes_view_of(data, bytes), &err), NERO_OK);
    bytes_init(&out, LARGEST + 2);
    assert_int_equal(bytes_append(&out, "ab", 2, &err), NERO_OK);
    status = storage_get_content(store, "k", content != NULL ? content : &hash, bytes_max,
                                 &progress, &out, &err);
    assert_memory_equal(out.data, "ab", 2);
    assert_int_equal(out.bytes, status == NERO_OK ? bytes + 2 : 2);
    assert_true(status != NERO_OK || bytes == 0 || memcmp(out.data + 2, data, bytes) == 0);
    bytes_fini(&out);
    return status;
}

static void test_storage_content__is_whole_at_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, LARGEST};
    struct hash other = hash_of(bytes_view_str("other"));
    struct heard heard;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(get(sizes[i], NULL, UINT64_MAX, &heard), NERO_OK);
        assert_int_equal(heard.bytes, sizes[i]);
        assert_true(heard.times >= (sizes[i] > MIB ? 2 : 1)); /* also on the fastest of stores */
        assert_int_equal(get(sizes[i], NULL, sizes[i], &heard), NERO_OK);
        assert_int_equal(heard.bytes, sizes[i]);
        assert_int_equal(get(sizes[i], &other, sizes[i], &heard), NERO_CORRUPT);
        if (sizes[i] > 0) {
            assert_int_equal(get(sizes[i], NULL, sizes[i] - 1, &heard), NERO_TOO_BIG);
        }
    }
}

static void test_storage_content__any_piece_may_fail(void **state)
{
    struct heard heard;
    uint64_t nth = 1;

    (void)state;
    for (;; nth++) {
        enum nero_status status;

        storage_fault_set(control, (struct storage_fault_plan){.nth = nth,
                                                               .operations = STORAGE_FAULT_GET,
                                                               .status = NERO_UNAVAILABLE});
        status = get(LARGEST, NULL, LARGEST, &heard);
        if (storage_fault_fired(control) == 0) {
            assert_int_equal(status, NERO_OK);
            break;
        }
        assert_int_equal(status, NERO_UNAVAILABLE);
        assert_int_equal(heard.times, nth - 1);
    }
    assert_true(nth > 2);
    storage_fault_set(control, (struct storage_fault_plan){0});
}

/* Replaced by a shorter one between two pieces. */
static void shrink(void *context, uint64_t bytes)
{
    (void)context;
    (void)bytes;
    assert_int_equal(storage_put(store, "k", bytes_view_of(data, 5), &err), NERO_OK);
}

static void test_storage_content__absent_or_changed_while_it_is_read(void **state)
{
    struct storage_progress progress = {.made = shrink};
    struct hash hash = hash_of(bytes_view_of(data, LARGEST));
    struct bytes out;

    (void)state;
    bytes_init(&out, LARGEST);
    assert_int_equal(storage_get_content(store, "absent", &hash, LARGEST, NULL, &out, &err),
                     NERO_NOT_FOUND);
    assert_int_equal(storage_put(store, "k", bytes_view_of(data, LARGEST), &err), NERO_OK);
    assert_int_equal(storage_get_content(store, "k", &hash, LARGEST, &progress, &out, &err),
                     NERO_CORRUPT);
    assert_int_equal(out.bytes, 0);
    bytes_fini(&out);
}
#define TEST(name) cmocka_unit_test_setup_teardown(test_storage_content__##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_whole_at_every_size),
        TEST(any_piece_may_fail),
        TEST(absent_or_changed_while_it_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
