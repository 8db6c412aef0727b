/*
 * Goal: a slot says one thing and fits its object; a result and a progress record of the largest
 * size fit in it. Method: extremes of every field, one wrong field at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/envelope.h"
#include "nero/progress.h"
#include "nero/result.h"
#include "nero/slot.h"

static void slot_largest(struct slot *slot, struct bytes_view body)
{
    memset(slot, 0xff, sizeof *slot);
    memset(slot->run, 'a', sizeof slot->run - 1);
    slot->run[sizeof slot->run - 1] = 0;
    slot->number = UINT64_C(9999999999);
    slot->kind = SLOT_CHECKPOINT;
    slot->reason = SLOT_END;
    slot->skipped_count = SLOT_SKIPPED_MAX;
    for (uint32_t i = 0; i < SLOT_SKIPPED_MAX; i++) {
        slot->skipped[i] = UINT64_C(9999999000) + i;
    }
    slot->has_restored_from = true;
    memset(&slot->restored_from, 0xff, sizeof slot->restored_from);
    memset(slot->text, 'b', sizeof slot->text - 1);
    slot->text[sizeof slot->text - 1] = 0;
    slot->blob_count = SLOT_BLOBS_MAX;
    for (uint32_t i = 0; i < SLOT_BLOBS_MAX; i++) {
        memset(slot->blobs[i].role, 'a' + (int)i, sizeof slot->blobs[i].role - 1);
        slot->blobs[i].role[sizeof slot->blobs[i].role - 1] = 0;
    }
    slot->body = body;
}

static void test_slot__the_largest_fits_its_object(void **state)
{
    static uint8_t body[SLOT_BODY_MAX];
    struct slot slot;
    struct key_pair key;
    struct bytes payload;
    struct bytes stored;
    struct nero_err err;

    (void)state;
    key_pair_generate(&key);
    slot_largest(&slot, bytes_view_of(body, sizeof body));
    bytes_init(&payload, SLOT_BYTES_MAX);
    bytes_init(&stored, SLOT_BYTES_MAX);
    assert_int_equal(slot_encode(&slot, &payload, &err), NERO_OK);
    assert_int_equal(envelope_seal(ENVELOPE_SLOT, bytes_as_view(&payload), &key, &stored, &err),
                     NERO_OK);
    assert_true(stored.bytes <= SLOT_BYTES_MAX);
    bytes_fini(&payload);
    bytes_fini(&stored);
    key_pair_fini(&key);
}

static void test_slot__largest_result_and_progress_fit_the_body(void **state)
{
    static uint32_t histogram[PHENOTYPE_CLASSES_MAX];
    static struct result_epoch curve[RESULT_EPOCHS_MAX];
    static uint8_t mask[PROGRESS_MASK_BYTES_MAX];
    struct result_outcome outcome = {.stop = RESULT_STOP_BUDGET,
                                     .steps = UINT64_MAX,
                                     .epochs = UINT32_MAX,
                                     .best_epoch = UINT32_MAX,
                                     .control_count = JOB_IMAGES_MAX,
                                     .count = JOB_SCORED_MAX,
                                     .class_count = PHENOTYPE_CLASSES_MAX,
                                     .histogram = histogram,
                                     .epoch_count = RESULT_EPOCHS_MAX,
                                     .curve = curve,
                                     .has_state = true};
    struct result_provenance provenance = {.started_ms = INT64_MAX,
                                           .finished_ms = INT64_MAX,
                                           .attempts = UINT32_MAX,
                                           .preemptions = UINT32_MAX,
                                           .token_count = RESULT_TOKENS_MAX,
                                           .steps_redone = UINT64_MAX};
    struct progress progress = {.phase = PROGRESS_ATTACK,
                                .units = UINT64_MAX,
                                .updates = UINT64_MAX,
                                .count = JOB_SCORED_MAX,
                                .class_count = PHENOTYPE_CLASSES_MAX,
                                .histogram = histogram,
                                .correct_mask_bytes = sizeof mask,
                                .correct_mask = mask,
                                .epoch_count = RESULT_EPOCHS_MAX,
                                .curve = curve,
                                .has_best = true,
                                .best_epoch = 1,
                                .stopped = true,
                                .stop = RESULT_STOP_BUDGET};
    struct bytes bytes;
    struct bytes result;
    struct nero_err err;

    (void)state;
    memset(histogram, 0xff, sizeof histogram);
    for (size_t i = 0; i < RESULT_EPOCHS_MAX; i++) {
        curve[i] = (struct result_epoch){1e300, 1e300, UINT32_MAX, UINT32_MAX};
    }
    memset(provenance.tokens, 0xff, sizeof provenance.tokens);
    memset(outcome.numeric_class, 'c', sizeof outcome.numeric_class - 1);
    memset(progress.numeric_class, 'c', sizeof progress.numeric_class - 1);
    bytes_init(&bytes, SLOT_BODY_MAX);
    bytes_init(&result, SLOT_BODY_MAX);
    assert_int_equal(result_outcome_encode(&outcome, &bytes, &err), NERO_OK);
    assert_int_equal(result_encode(bytes_as_view(&bytes), &provenance, &result, &err), NERO_OK);
    bytes_clear(&bytes);
    assert_int_equal(progress_encode(&progress, &bytes, &err), NERO_OK);
    bytes_fini(&bytes);
    bytes_fini(&result);
}

static void slot_sample(struct slot *slot, enum slot_kind kind)
{
    memset(slot, 0, sizeof *slot);
    memcpy(slot->run, "run-1", 6);
    slot->kind = kind;
    slot->number = 5;
    slot->reason = SLOT_INTERVAL;
    if (kind == SLOT_CHECKPOINT || kind == SLOT_FINAL) {
        slot->body = bytes_view_str("body");
    }
}

#define REFUSED(slot_kind, change, where)                            \
    do {                                                             \
        struct slot s;                                               \
        struct nero_err err;                                         \
        struct bytes out;                                            \
        slot_sample(&s, slot_kind);                                  \
        bytes_init(&out, SLOT_BYTES_MAX);                            \
        assert_int_equal(slot_encode(&s, &out, &err), NERO_OK);      \
        bytes_clear(&out);                                           \
        change;                                                      \
        assert_int_equal(slot_encode(&s, &out, &err), NERO_INVALID); \
        if (strstr(err.message, where) == NULL) {                    \
            fail_msg("'%s' does not name '%s'", err.message, where); \
        }                                                            \
        bytes_fini(&out);                                            \
    } while (0)

static void test_slot__wrong_fields_are_refused(void **state)
{
    (void)state;
    REFUSED(SLOT_TAKEOVER, s.kind = 7, "kind");
    REFUSED(SLOT_TAKEOVER, s.run[0] = 'A', "run");
    REFUSED(SLOT_TAKEOVER, s.run[0] = 0, "run");
    REFUSED(SLOT_TAKEOVER, s.number = UINT64_C(10000000000), "number");
    REFUSED(SLOT_TAKEOVER, s.body = bytes_view_str("x"), "body");
    REFUSED(SLOT_CHECKPOINT, s.body.bytes = 0, "body");
    REFUSED(SLOT_CHECKPOINT, s.reason = 0, "reason");
    REFUSED(SLOT_FINAL, s.body.bytes = 0, "body");
    REFUSED(SLOT_CANCELLED, s.skipped_count = 1; s.skipped[0] = 5, "skipped[0]");
    REFUSED(SLOT_REOPENED, s.skipped_count = 2; s.skipped[0] = 3; s.skipped[1] = 3, "skipped[1]");
    REFUSED(SLOT_REOPENED, s.blob_count = 1, "blobs[0].blob.role");
    REFUSED(SLOT_CHECKPOINT, s.blob_count = 2; s.blobs[0].role[0] = 'a';
            s.blobs[1].role[0] = 'a', "'a' twice");
}

static void test_slot__kinds_have_names_and_ends(void **state)
{
    (void)state;
    assert_string_equal(slot_kind_name(SLOT_TAKEOVER), "takeover");
    assert_string_equal(slot_kind_name(SLOT_REOPENED), "reopened");
    assert_string_equal(slot_kind_name(0), "undefined");
    assert_true(slot_is_terminal(SLOT_FINAL));
    assert_true(slot_is_terminal(SLOT_FAILED));
    assert_true(slot_is_terminal(SLOT_CANCELLED));
    assert_false(slot_is_terminal(SLOT_REOPENED));
    assert_false(slot_is_terminal(SLOT_CHECKPOINT));
}

static void test_slot__accuracies_come_from_the_integers(void **state)
{
    struct result_outcome outcome = {.count = 3500, .correct = 3062, .kept = 1018};
    double clean = result_clean_accuracy(&outcome);
    double kept = result_adversarial_accuracy(&outcome);

    (void)state;
    assert_true(clean == 3062.0 / 3500.0);
    assert_true(kept == 1018.0 / 3062.0);
    assert_true(result_fitness(clean, kept, 4.0) == 17.0 * clean * kept / (16.0 * kept + clean));
    assert_true(result_fitness(0.0, 0.0, 4.0) == 0.0);
    outcome = (struct result_outcome){.count = 0};
    assert_true(result_clean_accuracy(&outcome) == 0.0);
    assert_true(result_adversarial_accuracy(&outcome) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot__the_largest_fits_its_object),
        cmocka_unit_test(test_slot__largest_result_and_progress_fit_the_body),
        cmocka_unit_test(test_slot__wrong_fields_are_refused),
        cmocka_unit_test(test_slot__kinds_have_names_and_ends),
        cmocka_unit_test(test_slot__accuracies_come_from_the_integers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
