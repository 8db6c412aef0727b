/*
 * Goal: what is signed is exactly type and payload, and nothing forged opens. Method: the signature
 * checked by libsodium over an encoding made by hand (DSSE v1), then every way of forging.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "nero/envelope.h"
#include "nero/mem.h"
#include "nero/slot.h"
#include "tests/support/codec_samples.h"

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
    for (enum envelope_type type = ENVELOPE_RUN; type <= ENVELOPE_COLLECTION; type++) {
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
        status =
            envelope_open(bytes_as_view(&stored), ENVELOPE_SLOT, &key.public_key, &payload, &err);
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
        envelope_seal(ENVELOPE_JOB, bytes_view_of(large, sizeof large), &key, &out, &err), NERO_OK);
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

/* A slot sealed by the key of an all-zero seed: another program can check it against this file. */
static void seal_golden(struct bytes *out)
{
    static const uint8_t seed[crypto_sign_SEEDBYTES] = {0};
    struct key_pair fixed;
    struct nero_err err;
    struct bytes payload;

    (void)crypto_sign_seed_keypair(fixed.public_key.data, fixed.secret, seed);
    fixed.id = key_id_of(&fixed.public_key);
    bytes_init(&payload, SLOT_BYTES_MAX);
    bytes_init(out, SLOT_BYTES_MAX);
    for (size_t i = 0; i < codec_sample_count; i++) {
        if (strcmp(codec_samples[i].name, "slot") == 0) {
            assert_int_equal(codec_samples[i].make(&payload, &err), NERO_OK);
        }
    }
    assert_int_equal(envelope_seal(ENVELOPE_SLOT, bytes_as_view(&payload), &fixed, out, &err),
                     NERO_OK);
    bytes_fini(&payload);
}

static const char golden_path[] = NERO_SOURCE_DIR "/tests/golden/envelope/slot.mp";

static void test_envelope__bytes_are_golden(void **state)
{
    static uint8_t golden[4096];
    struct bytes made;
    FILE *file = fopen(golden_path, "rb");
    size_t bytes;

    (void)state;
    assert_non_null(file);
    bytes = fread(golden, 1, sizeof golden, file);
    assert_int_equal(fclose(file), 0);
    seal_golden(&made);
    assert_true(bytes_view_equal(bytes_as_view(&made), bytes_view_of(golden, bytes)));
    bytes_fini(&made);
}

/* `test_envelope --write`: for a new version of the format. */
static int write_golden_file(void)
{
    FILE *file = fopen(golden_path, "wb");
    struct bytes made;
    bool whole;

    if (file == NULL || sodium_init() < 0) {
        perror(golden_path);
        return 1;
    }
    seal_golden(&made);
    whole = fwrite(made.data, 1, made.bytes, file) == made.bytes;
    bytes_fini(&made);
    return fclose(file) == 0 && whole ? 0 : 1;
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope__signs_the_dsse_encoding),
        cmocka_unit_test(test_envelope__opens_what_was_sealed_and_seals_alike),
        cmocka_unit_test(test_envelope__every_flipped_bit_is_refused),
        cmocka_unit_test(test_envelope__another_type_or_key_is_refused),
        cmocka_unit_test(test_envelope__a_signature_does_not_move),
        cmocka_unit_test(test_envelope__sizes_are_limited),
        cmocka_unit_test(test_envelope__no_memory_is_said),
        cmocka_unit_test(test_envelope__bytes_are_golden),
    };

    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        return write_golden_file();
    }

    return cmocka_run_group_tests(tests, envelope_setup, NULL);
}
