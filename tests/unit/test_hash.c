/*
 * Goal: the hash is BLAKE2b-256, however its input is cut. Method: digests computed by another
 * implementation (Python's hashlib.blake2b with digest_size=32), every cut of one input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nero/hash.h"

static void assert_hash(struct hash hash, const char *wanted)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, &hash);
    assert_string_equal(hex, wanted);
}

static void test_hash__known_answers(void **state)
{
    struct nero_err err;

    (void)state;
    assert_int_equal(hash_library_init(&err), NERO_OK);
    assert_int_equal(hash_library_init(&err), NERO_OK);
    assert_hash(hash_of(bytes_view_of(NULL, 0)),
                "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    assert_hash(hash_of(bytes_view_str("abc")),
                "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    assert_hash(hash_tagged("job", bytes_view_str("abc")),
                "9ffffb5e90116b6aca7cfb7b963ae975622952885748aab7c6724c4cd73f21cf");
}

static void test_hash__any_cut_gives_the_same(void **state)
{
    uint8_t data[300];
    struct hash whole;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7);
    }
    whole = hash_of(bytes_view_of(data, sizeof data));
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        struct hash_state parts;
        struct hash hash;

        hash_begin(&parts);
        hash_update(&parts, data, cut);
        hash_update(&parts, data + cut, sizeof data - cut);
        hash = hash_end(&parts);
        assert_true(hash_equal(&hash, &whole));
    }
    data[299] ^= 1;
    assert_false(hash_equal(&(struct hash){0}, &whole));
    assert_int_not_equal(
        hash_compare(&whole, &(struct hash[]){hash_of(bytes_view_of(data, sizeof data))}[0]), 0);
}

static void test_hash__tag_and_bytes_do_not_run_together(void **state)
{
    struct hash a = hash_tagged("ab", bytes_view_str("c"));
    struct hash b = hash_tagged("a", bytes_view_str("bc"));

    (void)state;
    assert_false(hash_equal(&a, &b));
}

static void test_hash__hex_round_trip(void **state)
{
    struct hash hash = hash_of(bytes_view_str("x"));
    struct hash back = {0};
    char hex[HASH_HEX_BYTES];
    struct nero_err err;

    (void)state;
    hash_to_hex(hex, &hash);
    assert_int_equal(hash_from_hex(&back, hex, &err), NERO_OK);
    assert_true(hash_equal(&hash, &back));
    hex[10] = 'A';
    assert_int_equal(hash_from_hex(&back, hex, &err), NERO_INVALID);
    hex[10] = 0;
    assert_int_equal(hash_from_hex(&back, hex, &err), NERO_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash__known_answers),
        cmocka_unit_test(test_hash__any_cut_gives_the_same),
        cmocka_unit_test(test_hash__tag_and_bytes_do_not_run_together),
        cmocka_unit_test(test_hash__hex_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
