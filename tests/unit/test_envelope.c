/*
 * Goal: what is signed is exactly type and payload, and nothing forged opens. Method: the signature
 * checked by libsodium over an encoding made by hand (DSSE v1), then every way of forging.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "nero/envelope.h"
#include "nero/mem.h"
#include "nero/slot.h"

static struct key_pair key;

static void seal(enum envelope_type type, const char *payload, struct bytes *out)
{
    struct nero_err err;

    bytes_init(out, ENVELOPE_BYTES_MAX);
    assert_int_equal(envelope_seal(type, bytes_view_str(payload), &key, out, &err), NERO_OK);
}

static void test_envelope__signs_the_dsse_encoding(void **state)
{
    static const char pae[] = "DSSEv1 35 application/vnd.nero.job.v1+msgpack 5 hello";
    struct nero_err err;
    struct envelope envelope;
    struct bytes stored;

    (void)state;
    seal(ENVELOPE_JOB, "hello", &stored);
    assert_true(stored.bytes <= 5 + ENVELOPE_OVERHEAD_MAX);
    assert_int_equal(envelope_parse(bytes_as_view(&stored), ENVELOPE_JOB, &envelope, &err),
                     NERO_OK);
    assert_int_equal(crypto_sign_verify_detached(envelope.signature, (const uint8_t *)pae,
                                                 sizeof pae - 1, key.public_key.data),
                     0);
    assert_memory_equal(envelope.key.data, key.id.data, KEY_ID_BYTES);
    bytes_fini(&stored);
}

static void test_envelope__opens_what_was_sealed_and_seals_alike(void **state)
{
    struct nero_err err;
    struct bytes_view payload;
    struct bytes a;
    struct bytes b;

    (void)state;
    for (enum envelope_type type = ENVELOPE_RUN; type <= ENVELOPE_ENROL; type++) {
        seal(type, "payload", &a);
        seal(type, "payload", &b);
        assert_true(bytes_view_equal(bytes_as_view(&a), bytes_as_view(&b)));
        assert_int_equal(envelope_open(bytes_as_view(&a), type, &key.public_key, &payload, &err),
                         NERO_OK);
        assert_true(bytes_view_equal(payload, bytes_view_str("payload")));
        bytes_fini(&a);
        bytes_fini(&b);
    }
}

static void test_envelope__every_flipped_bit_is_refused(void **state)
{
    struct nero_err err;
    struct bytes stored;
    struct bytes_view payload = {NULL, 0};

    (void)state;
    seal(ENVELOPE_SLOT, "payload", &stored);
    for (size_t bit = 0; bit < 8 * stored.bytes; bit++) {
        enum nero_status status;

        stored.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        status = envelope_open(bytes_as_view(&stored), ENVELOPE_SLOT, &key.public_key, &payload,
                               &err);
        assert_true(status == NERO_CORRUPT || status == NERO_VERSION || status == NERO_DENIED);
        assert_null(payload.data);
        stored.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bytes = 0; bytes < stored.bytes; bytes++) {
        assert_int_equal(envelope_open(bytes_view_of(stored.data, bytes), ENVELOPE_SLOT,
                                       &key.public_key, &payload, &err),
                         NERO_CORRUPT);
    }
    bytes_fini(&stored);
}

static void test_envelope__another_type_or_key_is_refused(void **state)
{
    struct nero_err err;
    struct bytes_view payload;
    struct key_pair other;
    struct bytes stored;

    (void)state;
    key_pair_generate(&other);
    seal(ENVELOPE_SLOT, "payload", &stored);
    assert_int_equal(
        envelope_open(bytes_as_view(&stored), ENVELOPE_JOB, &key.public_key, &payload, &err),
        NERO_CORRUPT);
    assert_non_null(strstr(err.message, "vnd.nero.slot.v1"));
    assert_int_equal(
        envelope_open(bytes_as_view(&stored), ENVELOPE_SLOT, &other.public_key, &payload, &err),
        NERO_DENIED);
    assert_non_null(strstr(err.message, "signed by key"));
    bytes_fini(&stored);
    key_pair_fini(&other);
}

/* The forger writes the right type, key id or payload around somebody else's signature. */
static void test_envelope__a_signature_does_not_move(void **state)
{
    struct nero_err err;
    struct envelope slot;
    struct envelope job;
    struct bytes a;
    struct bytes b;
    struct key_pair other;

    (void)state;
    key_pair_generate(&other);
    seal(ENVELOPE_SLOT, "payload", &a);
    seal(ENVELOPE_JOB, "payload", &b);
    assert_int_equal(envelope_parse(bytes_as_view(&a), ENVELOPE_SLOT, &slot, &err), NERO_OK);
    assert_int_equal(envelope_parse(bytes_as_view(&b), ENVELOPE_JOB, &job, &err), NERO_OK);
    assert_int_equal(envelope_verify(&slot, &key.public_key, &err), NERO_OK);
    slot.type = ENVELOPE_JOB;
    assert_int_equal(envelope_verify(&slot, &key.public_key, &err), NERO_DENIED);
    job.payload = bytes_view_str("Payload");
    assert_int_equal(envelope_verify(&job, &key.public_key, &err), NERO_DENIED);
    job.payload = bytes_view_str("payload");
    job.key = other.id;
    assert_int_equal(envelope_verify(&job, &other.public_key, &err), NERO_DENIED);
    bytes_fini(&a);
    bytes_fini(&b);
    key_pair_fini(&other);
}

static void test_envelope__sizes_are_limited(void **state)
{
    static uint8_t large[SLOT_BYTES_MAX];
    struct nero_err err;
    struct bytes out;

    (void)state;
    bytes_init(&out, ENVELOPE_BYTES_MAX);
    assert_int_equal(
        envelope_seal(ENVELOPE_SLOT, bytes_view_of(large, sizeof large), &key, &out, &err),
        NERO_TOO_BIG);
    assert_int_equal(out.bytes, 0);
    assert_int_equal(
        envelope_seal(ENVELOPE_JOB, bytes_view_of(large, sizeof large), &key, &out, &err),
        NERO_OK);
    bytes_fini(&out);
}

static void test_envelope__no_memory_is_said(void **state)
{
    struct nero_err err;
    struct bytes stored;
    struct bytes_view payload;

    (void)state;
    seal(ENVELOPE_JOB, "hello", &stored);
    (void)mem_fail_plan(0, 1);
    assert_int_equal(
        envelope_open(bytes_as_view(&stored), ENVELOPE_JOB, &key.public_key, &payload, &err),
        NERO_NO_MEMORY);
    (void)mem_fail_plan(0, 0);
    bytes_fini(&stored);
}

static int envelope_setup(void **state)
{
    struct nero_err err;

    (void)state;
    if (hash_library_init(&err) != NERO_OK) {
        return -1;
    }
    key_pair_generate(&key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope__signs_the_dsse_encoding),
        cmocka_unit_test(test_envelope__opens_what_was_sealed_and_seals_alike),
        cmocka_unit_test(test_envelope__every_flipped_bit_is_refused),
        cmocka_unit_test(test_envelope__another_type_or_key_is_refused),
        cmocka_unit_test(test_envelope__a_signature_does_not_move),
        cmocka_unit_test(test_envelope__sizes_are_limited),
        cmocka_unit_test(test_envelope__no_memory_is_said),
    };

    return cmocka_run_group_tests(tests, envelope_setup, NULL);
}
