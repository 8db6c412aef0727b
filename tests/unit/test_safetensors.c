/*
 * Goal: equal tensors are equal bytes that any safetensors reader opens, and no broken file is half
 * accepted. Method: golden bytes, every truncation and flipped bit of the header, forged headers.
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
#include "nero/safetensors.h"

static const float values[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, -1.0f};
static const struct safetensors_tensor sample[] = {
    {.name = "u00.n001.kernel", .rank = 2, .dims = {2, 3}, .count = 6, .data = values},
    {.name = "scalar", .rank = 0, .count = 1, .data = values + 6}};
static const char sample_header[] =
    "{\"u00.n001.kernel\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]}}";

static void write_sample(struct bytes *out)
{
    struct nero_err err;

    bytes_init(out, 4096);
    assert_int_equal(safetensors_write(sample, 2, out, &err), NERO_OK);
}

static void test_safetensors__bytes_are_golden(void **state)
{
    struct bytes file;
    size_t length = sizeof sample_header - 1;
    size_t padded = (length + 7) / 8 * 8;

    (void)state;
    write_sample(&file);
    assert_int_equal(file.bytes, 8 + padded + 28);
    assert_true(bytes_get_u64le(file.data) == padded);
    assert_memory_equal(file.data + 8, sample_header, length);
    for (size_t i = length; i < padded; i++) {
        assert_int_equal(file.data[8 + i], ' ');
    }
    assert_memory_equal(file.data + 8 + padded, values, sizeof values);
    bytes_fini(&file);
}

static void test_safetensors__what_was_written_is_read(void **state)
{
    struct safetensors_file read;
    const struct safetensors_tensor *found;
    struct nero_err err;
    struct bytes file;
    struct bytes again;

    (void)state;
    write_sample(&file);
    assert_int_equal(safetensors_read(bytes_as_view(&file), &read, &err), NERO_OK);
    assert_int_equal(read.count, 2);
    found = safetensors_find(&read, "u00.n001.kernel");
    assert_non_null(found);
    assert_int_equal(found->rank, 2);
    assert_true(found->dims[0] == 2 && found->dims[1] == 3 && found->count == 6);
    assert_memory_equal(found->data, values, 24);
    assert_null(safetensors_find(&read, "u00"));
    bytes_init(&again, 4096);
    assert_int_equal(safetensors_write(read.tensors, read.count, &again, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&file), bytes_as_view(&again)));
    safetensors_file_fini(&read);
    bytes_fini(&again);
    bytes_fini(&file);
}

static void test_safetensors__no_tensors_is_a_file(void **state)
{
    struct safetensors_file read;
    struct nero_err err;
    struct bytes file;

    (void)state;
    bytes_init(&file, 64);
    assert_int_equal(safetensors_write(NULL, 0, &file, &err), NERO_OK);
    assert_int_equal(file.bytes, 16);
    assert_int_equal(safetensors_read(bytes_as_view(&file), &read, &err), NERO_OK);
    assert_int_equal(read.count, 0);
    safetensors_file_fini(&read);
    bytes_fini(&file);
}

static void test_safetensors__bad_tensors_are_not_written(void **state)
{
    struct safetensors_tensor bad[2];
    struct nero_err err;
    struct bytes out;

    (void)state;
    bytes_init(&out, 4096);
    memcpy(bad, sample, sizeof bad);
    memcpy(bad[1].name, bad[0].name, sizeof bad[0].name);
    assert_int_equal(safetensors_write(bad, 2, &out, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "twice"));
    memcpy(bad, sample, sizeof bad);
    bad[0].count = 5;
    assert_int_equal(safetensors_write(bad, 2, &out, &err), NERO_INVALID);
    memcpy(bad, sample, sizeof bad);
    bad[0].name[0] = '"';
    assert_int_equal(safetensors_write(bad, 2, &out, &err), NERO_INVALID);
    memcpy(bad, sample, sizeof bad);
    bad[0].dims[0] = 0;
    bad[0].count = 0;
    assert_int_equal(safetensors_write(bad, 2, &out, &err), NERO_INVALID);
    assert_int_equal(out.bytes, 0);
    bytes_fini(&out);
}

/* A file of this header, padded, and this much data. */
static void check_header(const char *header, size_t data_bytes, enum nero_status expected,
                         const char *where)
{
    _Alignas(8) static uint8_t file[4096];
    struct safetensors_file read;
    struct nero_err err;
    size_t length = strlen(header);
    size_t padded = (length + 7) / 8 * 8;
    enum nero_status status;

    memset(file, ' ', sizeof file);
    bytes_put_u64le(file, padded);
    memcpy(file + 8, header, length);
    status = safetensors_read(bytes_view_of(file, 8 + padded + data_bytes), &read, &err);
    if (status != expected || (status != NERO_OK && strstr(err.message, where) == NULL)) {
        fail_msg("%s: %s: %s", header, err_status_name(status), err.message);
    }
    if (status == NERO_OK) {
        safetensors_file_fini(&read);
    }
}

#define ONE(name, shape, offsets) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_safetensors__forged_headers_are_refused(void **state)
{
    (void)state;
    check_header("{" ONE("a", "[2]", "[0,8]") "}", 8, NERO_OK, "");
    check_header("{" ONE("a", "[2]", "[0,8]") "}", 4, NERO_CORRUPT, "length");
    check_header("{" ONE("a", "[2]", "[0,8]") "}", 12, NERO_CORRUPT, "length");
    check_header("{" ONE("a", "[2]", "[0,4]") "}", 4, NERO_CORRUPT, "'a'");
    check_header("{" ONE("a", "[2]", "[4,12]") "}", 12, NERO_CORRUPT, "'a'");
    check_header("{" ONE("a", "[2]", "[8,0]") "}", 8, NERO_CORRUPT, "'a'");
    check_header("{" ONE("a", "[1]", "[0,4]") "," ONE("b", "[1]", "[0,4]") "}", 4, NERO_CORRUPT,
                 "'b'"); /* overlap */
    check_header("{" ONE("a", "[1]", "[0,4]") "," ONE("a", "[1]", "[4,8]") "}", 8, NERO_CORRUPT,
                 "twice");
    check_header("{" ONE("a", "[02]", "[0,8]") "}", 8, NERO_CORRUPT, "'a'");
    check_header("{" ONE("a", "[0]", "[0,0]") "}", 0, NERO_CORRUPT, "shape");
    check_header("{" ONE("a", "[1,1,1,1,2]", "[0,8]") "}", 8, NERO_CORRUPT, "up to 4");
    check_header("{" ONE("a", "[4294967296,4294967296]", "[0,0]") "}", 0, NERO_CORRUPT, "shape");
    check_header("{" ONE("a", "[99999999999999999999]", "[0,8]") "}", 8, NERO_CORRUPT, "shape");
    check_header("{" ONE("", "[2]", "[0,8]") "}", 8, NERO_CORRUPT, "name");
    check_header("{" ONE("a\\u0062", "[2]", "[0,8]") "}", 8, NERO_CORRUPT, "name");
    check_header("{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                 NERO_CORRUPT, "F32");
    check_header("{" ONE("a", "[2]", "[0,8]") ",}", 8, NERO_CORRUPT, "byte");
    check_header("{" ONE("a", "[2]", "[0,8]") "}x", 8, NERO_CORRUPT, "spaces");
    check_header("{" ONE("a", "[2]", "[0,8]") "}         ", 8, NERO_CORRUPT, "7 bytes");
    check_header(" {" ONE("a", "[2]", "[0,8]") "}", 8, NERO_CORRUPT, "{");
    check_header("{", 0, NERO_CORRUPT, "byte");
}

static void test_safetensors__every_truncation_and_flip_is_refused_or_a_value(void **state)
{
    struct bytes file;
    size_t header_end;

    (void)state;
    write_sample(&file);
    header_end = 8 + (size_t)bytes_get_u64le(file.data);
    for (size_t bytes = 0; bytes < file.bytes; bytes++) {
        uint8_t *copy = mem_dup(file.data, bytes);
        struct safetensors_file read;
        struct nero_err err;

        assert_int_equal(safetensors_read(bytes_view_of(copy, bytes), &read, &err), NERO_CORRUPT);
        free(copy);
    }
    for (size_t bit = 0; bit < 8 * header_end; bit++) {
        struct safetensors_file read;
        struct nero_err err;

        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (safetensors_read(bytes_as_view(&file), &read, &err) == NERO_OK) {
            struct bytes again;

            bytes_init(&again, 4096); /* another name */
            assert_int_equal(safetensors_write(read.tensors, read.count, &again, &err), NERO_OK);
            assert_true(bytes_view_equal(bytes_as_view(&file), bytes_as_view(&again)));
            bytes_fini(&again);
            safetensors_file_fini(&read);
        }
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bytes_fini(&file);
}

static void test_safetensors__every_failing_allocation_is_reported(void **state)
{
    struct bytes file;
    int fired = 1;

    (void)state;
    write_sample(&file);
    for (long skip = 0; fired > 0; skip++) {
        struct safetensors_file read;
        struct nero_err err;
        struct bytes out;
        enum nero_status status;

        bytes_init(&out, 4096);
        (void)mem_fail_plan(skip, 1);
        status = safetensors_read(bytes_as_view(&file), &read, &err);
        if (status == NERO_OK) {
            status = safetensors_write(read.tensors, read.count, &out, &err);
            safetensors_file_fini(&read);
        }
        fired = mem_fail_plan(0, 0);
        assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
        assert_true(status == NERO_OK || out.bytes == 0);
        bytes_fini(&out);
    }
    bytes_fini(&file);
}

static void test_safetensors__a_misaligned_buffer_is_refused(void **state)
{
    _Alignas(8) static uint8_t copy[512];
    struct safetensors_file read;
    struct nero_err err;
    struct bytes file;

    (void)state;
    write_sample(&file);
    memcpy(copy + 1, file.data, file.bytes);
    assert_int_equal(safetensors_read(bytes_view_of(copy + 1, file.bytes), &read, &err),
                     NERO_INVALID);
    bytes_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors__bytes_are_golden),
        cmocka_unit_test(test_safetensors__what_was_written_is_read),
        cmocka_unit_test(test_safetensors__no_tensors_is_a_file),
        cmocka_unit_test(test_safetensors__bad_tensors_are_not_written),
        cmocka_unit_test(test_safetensors__forged_headers_are_refused),
        cmocka_unit_test(test_safetensors__every_truncation_and_flip_is_refused_or_a_value),
        cmocka_unit_test(test_safetensors__every_failing_allocation_is_reported),
        cmocka_unit_test(test_safetensors__a_misaligned_buffer_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
