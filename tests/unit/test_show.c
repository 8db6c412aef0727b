/*
 * Goal: every stored record can be read by a person. Method: jansson as the judge of what is JSON,
 * for the sample of each record; a slot in full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "nero/mem.h"
#include "nero/record.h"
#include "nero/show.h"
#include "nero/slot.h"
#include "tests/support/codec_samples.h"

enum { SHOW_BYTES_MAX = 1 << 20 };

static const struct {
    const char *sample;
    enum envelope_type type;
    const char *field; /* that must be there */
} shown[] = {{"job", ENVELOPE_JOB, "spec"},
             {"slot", ENVELOPE_SLOT, "token"},
             {"generation", ENVELOPE_GENERATION, "members"},
             {"run", ENVELOPE_RUN, "protocol"},
             {"run", ENVELOPE_REQUEST, "search"},
             {"amendment", ENVELOPE_RUN, "generations"},
             {"epoch", ENVELOPE_EPOCH, "host"},
             {"batch", ENVELOPE_BATCH, "jobs"},
             {"dataset", ENVELOPE_DATASET, "classes"},
             {"certificate", ENVELOPE_CERTIFICATE, "uses"},
             {"enrol", ENVELOPE_ENROL, "proof"}};

static void make_sample(const char *name, struct bytes *out)
{
    struct nero_err err;

    bytes_init(out, SHOW_BYTES_MAX);
    for (size_t i = 0; i < codec_sample_count; i++) {
        if (strcmp(codec_samples[i].name, name) == 0) {
            assert_int_equal(codec_samples[i].make(out, &err), NERO_OK);
            return;
        }
    }
    fail_msg("no sample %s", name);
}

static json_t *parse(const struct bytes *json)
{
    json_error_t error;
    json_t *tree =
        json_loadb((const char *)json->data, json->bytes, JSON_REJECT_DUPLICATES, &error);

    if (tree == NULL) {
        fail_msg("%s: %.*s", error.text, (int)json->bytes, (const char *)json->data);
    }
    return tree;
}

static void test_show__every_payload_is_json_with_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        struct bytes payload;
        struct bytes json;
        struct nero_err err;
        json_t *tree;

        make_sample(shown[i].sample, &payload);
        bytes_init(&json, SHOW_BYTES_MAX);
        if (show_payload(shown[i].type, bytes_as_view(&payload), &json, &err) != NERO_OK) {
            fail_msg("%s", err.message);
        }
        tree = parse(&json);
        assert_int_equal(json_integer_value(json_object_get(tree, "version")),
                         payload.data[payload.data[0] == 0xdc ? 3 : 1]); /* array16 or fixarray */
        assert_non_null(json_object_get(tree, shown[i].field));
        json_decref(tree);
        bytes_fini(&payload);
        bytes_fini(&json);
    }
}

static void test_show__an_envelope_holds_its_slot_and_the_slot_its_body(void **state)
{
    struct key_pair key;
    struct slot slot = {.run = "run-1", .kind = SLOT_FINAL};
    struct bytes body;
    struct bytes payload;
    struct bytes stored;
    struct bytes json;
    struct nero_err err;
    json_t *tree;
    json_t *outcome;

    (void)state;
    key_pair_generate(&key);
    make_sample("result", &body);
    slot.body = bytes_as_view(&body);
    bytes_init(&payload, SHOW_BYTES_MAX);
    bytes_init(&stored, SHOW_BYTES_MAX);
    bytes_init(&json, SHOW_BYTES_MAX);
    assert_int_equal(slot_encode(&slot, &payload, &err), NERO_OK);
    assert_int_equal(envelope_seal(ENVELOPE_SLOT, bytes_as_view(&payload), &key, &stored, &err),
                     NERO_OK);
    assert_int_equal(show_envelope(bytes_as_view(&stored), &json, &err), NERO_OK);
    tree = parse(&json);
    assert_string_equal(json_string_value(json_object_get(tree, "type")),
                        "application/vnd.nero.slot.v1+msgpack");
    outcome = json_object_get(
        json_object_get(json_object_get(json_object_get(tree, "payload"), "body"), "provenance"),
        "attempts");
    assert_int_equal(json_integer_value(outcome), 2);
    outcome = json_object_get(json_object_get(json_object_get(tree, "payload"), "body"), "outcome");
    assert_int_equal(json_integer_value(json_object_get(outcome, "correct")), 3062);
    json_decref(tree);
    stored.data[5] ^= 1;
    assert_int_equal(show_envelope(bytes_as_view(&stored), &json, &err), NERO_CORRUPT);
    bytes_fini(&body);
    bytes_fini(&payload);
    bytes_fini(&stored);
    bytes_fini(&json);
    key_pair_fini(&key);
}

static void test_show__every_sample_prints_without_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_sample_count; i++) {
        struct bytes payload;
        struct bytes json;
        struct nero_err err;
        json_t *tree;

        make_sample(codec_samples[i].name, &payload);
        bytes_init(&json, SHOW_BYTES_MAX);
        assert_int_equal(record_print_json(bytes_as_view(&payload), &json, &err), NERO_OK);
        tree = parse(&json);
        assert_true(json_is_array(tree));
        json_decref(tree);
        bytes_fini(&payload);
        bytes_fini(&json);
    }
}

static void test_show__every_failing_allocation_is_reported(void **state)
{
    struct bytes payload;
    int fired = 1;

    (void)state;
    make_sample("run", &payload);
    for (long skip = 0; fired > 0; skip++) {
        struct bytes json;
        struct nero_err err;
        enum nero_status status;

        bytes_init(&json, SHOW_BYTES_MAX);
        (void)mem_fail_plan(skip, 1);
        status = show_payload(ENVELOPE_RUN, bytes_as_view(&payload), &json, &err);
        fired = mem_fail_plan(0, 0);
        assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
        assert_true(status == NERO_OK || json.bytes == 0);
        bytes_fini(&json);
    }
    bytes_fini(&payload);
}

static int show_setup(void **state)
{
    struct nero_err err;

    (void)state;
    return hash_library_init(&err) == NERO_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show__every_payload_is_json_with_names),
        cmocka_unit_test(test_show__an_envelope_holds_its_slot_and_the_slot_its_body),
        cmocka_unit_test(test_show__every_sample_prints_without_names),
        cmocka_unit_test(test_show__every_failing_allocation_is_reported),
    };

    return cmocka_run_group_tests(tests, show_setup, NULL);
}
