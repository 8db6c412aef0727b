/*
 * Goal: every stored record is canonical, refuses what is broken, and names where. Method: for a
 * sample of each, golden bytes, every truncation, every flipped bit, every failing allocation, and
 * msgpack-c as a second reader.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "nero/hash.h"
#include "nero/mem.h"
#include "nero/record.h"
#include "tests/support/codec_samples.h"

enum { TEST_BYTES_MAX = 1 << 20 };

static void make_sample(const struct codec_sample *sample, struct bytes *out)
{
    struct nero_err err;

    bytes_init(out, TEST_BYTES_MAX);
    if (sample->make(out, &err) != NERO_OK) {
        fail_msg("%s: %s", sample->name, err.message);
    }
}

/* Refused with a place, or accepted and written again as the same bytes. */
static void check_verdict(const struct codec_sample *sample, struct bytes_view bytes)
{
    struct nero_err err;
    struct bytes again;
    enum nero_status status;

    bytes_init(&again, TEST_BYTES_MAX);
    status = sample->recode(bytes, &again, &err);
    if (status == NERO_OK) {
        if (!bytes_view_equal(bytes, bytes_as_view(&again))) {
            fail_msg("%s: accepted bytes are written otherwise", sample->name);
        }
    } else {
        if (status != NERO_CORRUPT && status != NERO_VERSION) {
            fail_msg("%s: %s: %s", sample->name, err_status_name(status), err.message);
        }
        assert_non_null(strstr(err.message, " at byte "));
    }
    bytes_fini(&again);
}

static void test_codec__decoding_inverts_encoding(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct nero_err err;
        struct bytes made;
        struct bytes again;

        make_sample(&codec_samples[i], &made);
        bytes_init(&again, TEST_BYTES_MAX);
        if (codec_samples[i].recode(bytes_as_view(&made), &again, &err) != NERO_OK) {
            fail_msg("%s: %s", codec_samples[i].name, err.message);
        }
        assert_true(bytes_view_equal(bytes_as_view(&made), bytes_as_view(&again)));
        bytes_fini(&made);
        bytes_fini(&again);
    }
}

/* The copy ends where the truncated record ends, so that a sanitizer sees any read beyond. */
static void test_codec__every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct bytes made;

        make_sample(&codec_samples[i], &made);
        for (size_t length = 0; length < made.bytes; length++) {
            uint8_t *copy = malloc(length > 0 ? length : 1);
            struct bytes again;
            struct nero_err err;

            assert_non_null(copy);
            memcpy(copy, made.data, length);
            bytes_init(&again, TEST_BYTES_MAX);
            assert_int_equal(codec_samples[i].recode(bytes_view_of(copy, length), &again, &err),
                             NERO_CORRUPT);
            assert_non_null(strstr(err.message, " at byte "));
            bytes_fini(&again);
            free(copy);
        }
        bytes_fini(&made);
    }
}

static void test_codec__every_flipped_bit_is_refused_or_a_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct bytes made;

        make_sample(&codec_samples[i], &made);
        for (size_t bit = 0; bit < 8 * made.bytes; bit++) {
            made.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            check_verdict(&codec_samples[i], bytes_as_view(&made));
            made.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        bytes_fini(&made);
    }
}

static void test_codec__trailing_bytes_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct nero_err err;
        struct bytes made;
        struct bytes again;

        make_sample(&codec_samples[i], &made);
        assert_int_equal(bytes_append(&made, "\0", 1, &err), NERO_OK);
        bytes_init(&again, TEST_BYTES_MAX);
        assert_int_equal(codec_samples[i].recode(bytes_as_view(&made), &again, &err), NERO_CORRUPT);
        assert_non_null(strstr(err.message, "bytes after the end"));
        bytes_fini(&again);
        bytes_fini(&made);
    }
}

static void test_codec__a_newer_version_is_refused_as_such(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct nero_err err;
        struct bytes made;
        struct bytes again;
        char newer[16];
        size_t at;

        make_sample(&codec_samples[i], &made);
        at = made.data[0] == 0xdc ? 3 : 1; /* array16 or fixarray */
        assert_in_range(made.data[at], 1, 126);
        made.data[at]++;
        (void)snprintf(newer, sizeof newer, "version %u;", made.data[at]);
        bytes_init(&again, TEST_BYTES_MAX);
        assert_int_equal(codec_samples[i].recode(bytes_as_view(&made), &again, &err), NERO_VERSION);
        assert_non_null(strstr(err.message, newer));
        bytes_fini(&again);
        bytes_fini(&made);
    }
}

/* Fail the N-th allocation, N = 0, 1, ..., until a pass fires none. */
static void test_codec__every_failing_allocation_is_reported(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct bytes made;
        int fired = 1;

        make_sample(&codec_samples[i], &made);
        for (long skip = 0; fired > 0; skip++) {
            struct nero_err err;
            struct bytes again;
            enum nero_status status;

            bytes_init(&again, TEST_BYTES_MAX);
            (void)mem_fail_plan(skip, 1);
            status = codec_samples[i].recode(bytes_as_view(&made), &again, &err);
            fired = mem_fail_plan(0, 0);
            if (fired > 0) {
                assert_int_equal(status, NERO_NO_MEMORY);
                assert_int_equal(again.bytes, 0);
            } else {
                assert_int_equal(status, NERO_OK);
            }
            bytes_fini(&again);
        }
        bytes_fini(&made);
    }
}

/* ---- golden files ---- */

static void golden_path(char out[512], const struct codec_sample *sample)
{
    (void)snprintf(out, 512, "%s/tests/golden/codec/%s.mp", NERO_SOURCE_DIR, sample->name);
}

/* What is stored once must be read for good: a change here is a new version of the format. */
static void test_codec__samples_are_the_golden_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        static uint8_t golden[65536];
        struct bytes made;
        char path[512];
        FILE *file;
        size_t bytes;

        make_sample(&codec_samples[i], &made);
        golden_path(path, &codec_samples[i]);
        file = fopen(path, "rb");
        if (file == NULL) {
            fail_msg("%s is missing; write it with: test_codec --write", path);
        }
        bytes = fread(golden, 1, sizeof golden, file);
        (void)fclose(file);
        if (!bytes_view_equal(bytes_as_view(&made), bytes_view_of(golden, bytes))) {
            fail_msg("%s differs from what is written now", path);
        }
        bytes_fini(&made);
    }
}

/* `test_codec --write`: for a new record, or a new version of one. */
static int write_golden_files(void)
{
    struct nero_err err;

    if (hash_library_init(&err) != NERO_OK) {
        return 1;
    }
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct bytes made;
        char path[512];
        FILE *file;

        make_sample(&codec_samples[i], &made);
        golden_path(path, &codec_samples[i]);
        file = fopen(path, "wb");
        if (file == NULL || fwrite(made.data, 1, made.bytes, file) != made.bytes ||
            fclose(file) != 0) {
            perror(path);
            return 1;
        }
        bytes_fini(&made);
    }
    return 0;
}

/* ---- msgpack-c as the referee ---- */

/* Pack what msgpack-c understood, generically. */
static void test_codec__msgpack_c_reads_the_same_tree(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct bytes made;
        msgpack_unpacked unpacked;
        msgpack_sbuffer packed;
        msgpack_packer packer;
        size_t at = 0;

        make_sample(&codec_samples[i], &made);
        msgpack_unpacked_init(&unpacked);
        assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)made.data, made.bytes, &at),
                         MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(at, made.bytes);
        msgpack_sbuffer_init(&packed);
        msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
        assert_int_equal(msgpack_pack_object(&packer, unpacked.data), 0);
        assert_true(
            bytes_view_equal(bytes_as_view(&made), bytes_view_of(packed.data, packed.size)));
        msgpack_sbuffer_destroy(&packed);
        msgpack_unpacked_destroy(&unpacked);
        bytes_fini(&made);
    }
}

static int codec_setup(void **state)
{
    struct nero_err err;

    (void)state;
    return hash_library_init(&err) == NERO_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codec__decoding_inverts_encoding),
        cmocka_unit_test(test_codec__every_truncation_is_refused),
        cmocka_unit_test(test_codec__every_flipped_bit_is_refused_or_a_value),
        cmocka_unit_test(test_codec__trailing_bytes_are_refused),
        cmocka_unit_test(test_codec__a_newer_version_is_refused_as_such),
        cmocka_unit_test(test_codec__every_failing_allocation_is_reported),
        cmocka_unit_test(test_codec__msgpack_c_reads_the_same_tree),
        cmocka_unit_test(test_codec__samples_are_the_golden_bytes),
    };

    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        return write_golden_files();
    }
    return cmocka_run_group_tests(tests, codec_setup, NULL);
}
