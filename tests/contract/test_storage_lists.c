/*
 * Goal: promise P6, the order and the pages of listings. Method: hundreds of keys around the byte
 * order of '/', compared with a sorted model for many prefixes, beginnings and page sizes.
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
#include "nero/rng.h"

enum { MODEL_KEYS_MAX = 400, MODEL_KEY_BYTES = 96 };

/* Listings against a model. */

static char model[MODEL_KEYS_MAX][MODEL_KEY_BYTES];
static size_t model_count;

static int compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_folder_of(const char *a, const char *b)
{
    size_t bytes = strlen(a);

    return strncmp(a, b, bytes) == 0 && (b[bytes] == '/' || b[bytes] == 0);
}

/* Segments around '/' in byte order ('-' and '.' before, '0' after), and prefixes of each other. */
static void make_model(void)
{
    static const char *const segments[] = {"a",  "a-", "a.", "a0", "a-b", "aa", "A",  "b",
                                           "b.", "-",  "_",  "0",  "00",  "z",  "a_", "Z.z"};
    struct rng_stream stream = rng_stream(11, RNG_TEST, 0, 0, 0);

    model_count = 0;
    for (int try = 0; try < 20000 && model_count < MODEL_KEYS_MAX; try++) {
        char *key = model[model_count];
        bool fits = true;
        size_t used = 0;

        for (uint64_t depth = 1 + rng_below(&stream, 4); depth > 0; depth--) {
            used += (size_t)snprintf(key + used, sizeof model[0] - used, "%s%s",
                                     used > 0 ? "/" : "", segments[rng_below(&stream, 16)]);
        }
        for (size_t i = 0; i < model_count && fits; i++) {
            fits = !is_folder_of(key, model[i]) && !is_folder_of(model[i], key);
        }
        model_count += fits ? 1 : 0;
    }
    assert_true(model_count > 200);
}

/* All pages of `page` keys from start_after give the model's keys in its order. */
static void assert_listing(const char *prefix, const char *start_after, size_t page)
{
    char last[128];
    size_t at = 0;
    bool more = true;

    (void)snprintf(last, sizeof last, "%s", start_after);
    while (more) {
        struct storage_list list;

        assert_int_equal(
            storage_list_page(contract.store, prefix, last, page, &list, &contract.err), NERO_OK);
        assert_true(list.count == page || !list.more);
        for (size_t i = 0; i < list.count; i++, at++) {
            while (at < model_count && (strncmp(model[at], prefix, strlen(prefix)) != 0 ||
                                        strcmp(model[at], start_after) <= 0)) {
                at++;
            }
            assert_true(at < model_count);
            assert_string_equal(list.entries[i].key, model[at]);
            assert_int_equal(list.entries[i].bytes, strlen(model[at]));
            (void)snprintf(last, sizeof last, "%.127s", list.entries[i].key);
        }
        more = list.more;
        storage_list_fini(&list);
    }
    for (; at < model_count; at++) {
        assert_true(strncmp(model[at], prefix, strlen(prefix)) != 0 ||
                    strcmp(model[at], start_after) <= 0);
    }
}

static void test_storage__listing_is_the_sorted_model(void **state)
{
    static const char *const odd[] = {"",    "a",  "a/", "a-",    "a/a", "a.",    "a/a-", "b.",
                                      "zz",  "~",  "/",  "a//",   "../", "a/../", "-",    "A",
                                      "a-b", "0/", "Z.", "Z.z/a", "./",  " ",     "\xff", "a/~"};

    (void)state;
    make_model();
    for (size_t i = 0; i < model_count; i++) {
        assert_int_equal(contract_put(model[i], model[i]), NERO_OK);
    }
    qsort(model, model_count, sizeof model[0], compare_keys);
    assert_listing("", "", 1);
    assert_listing("", "", 7);
    assert_listing("", "", STORAGE_LIST_PAGE_MAX);
    assert_listing("", "", model_count); /* exactly full, and no more */
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        for (size_t k = 0; k < sizeof odd / sizeof odd[0]; k++) {
            assert_listing(odd[i], odd[k], 50);
        }
    }
    for (size_t i = 0; i < model_count; i += 13) {
        char longer[128];

        assert_listing("", model[i], 3 + i);
        assert_listing(model[i], "", 5);
        (void)snprintf(longer, sizeof longer, "%.95s/", model[i]);
        assert_listing("", longer, 100);
        assert_listing("a", longer, 100);
    }
}

struct collected {
    size_t count;
    size_t stop_at;
    char last[96];
};

static enum nero_status collect(void *context, const char *key, uint64_t bytes,
                                struct nero_err *err)
{
    struct collected *collected = context;

    if (strcmp(key, collected->last) <= 0 || bytes != 1) {
        return err_set(err, NERO_CORRUPT, 0, "out of order: %s", key);
    }
    (void)snprintf(collected->last, sizeof collected->last, "%s", key);
    collected->count++;
    return collected->count == collected->stop_at ? err_set(err, NERO_CANCELLED, 0, "enough")
                                                  : NERO_OK;
}

/* More keys than one page has: only then does list_each turn a page. */
static void test_storage__list_each_turns_pages(void **state)
{
    enum { KEYS = STORAGE_LIST_PAGE_MAX + 5 };
    struct collected all = {0};
    struct collected some = {.stop_at = 3};
    struct collected none = {0};
    int keys = contract_is_file() ? 40 : KEYS; /* file: syncs each; its paging is tested above */

    (void)state;
    for (int i = 0; i < keys; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "p/%d", i);
        assert_int_equal(contract_put(key, "x"), NERO_OK);
    }
    assert_int_equal(contract_put("q", "x"), NERO_OK);
    assert_int_equal(storage_list_each(contract.store, "p/", collect, &all, &contract.err),
                     NERO_OK);
    assert_int_equal(all.count, keys);
    assert_int_equal(storage_list_each(contract.store, "p/", collect, &some, &contract.err),
                     NERO_CANCELLED);
    assert_int_equal(some.count, 3);
    assert_int_equal(storage_list_each(contract.store, "none", collect, &none, &contract.err),
                     NERO_OK);
    assert_int_equal(none.count, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_storage__listing_is_the_sorted_model),
        CONTRACT_TEST(test_storage__list_each_turns_pages),
    };

    return CONTRACT_RUN(argc, argv, tests);
}
